//! Blocks of records that were read and checked once, for several readers.
//!
//! Owns which blocks are kept, in how much memory, and when reading one is worth it. Knows nothing
//! of what is visible: who asks says how far it may read.
//!
//! A segment is seen as cells of a fixed length. The block of a cell holds the records that begin in
//! it, from the first one that somebody asked for. Readers in order come to the same blocks, wherever
//! they began. A reader that is alone reads into memory of its own, which is faster: blocks are kept
//! only where somebody else has been lately.
//!
//! What is read again here and there, as a stream whose records are far apart, is kept record by record,
//! each a block of its own: their cells would take some hundred times the memory.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::error::Result;
use crate::format::{RECORD_ALIGNMENT, Record, RecordFault};
use crate::segment::SegmentFile;
use crate::segment::file::wide;
use crate::sync::{AtomicU64, Ordering};
use crate::types::{Address, Position};

/// Bytes of a cell, where there is room for many. Reads of more at once take no less time a byte.
pub(super) const CELL_LEN_MAX: u64 = 128 << 10;
/// Bytes of the smallest cell. For less room than takes some of these nothing is shared.
const CELL_LEN_MIN: u64 = 1 << 10;
/// How many cells there should at least be room for.
const CELL_COUNT_MIN: u64 = 16;
/// Bytes that are read after the end of a cell, for the record that begins before it.
const OVERHANG_LEN: usize = 1 << 10;
/// How many cells, and how many records, are remembered at most.
const COUNT_MAX: u64 = 1 << 20;
/// What a block takes beside its bytes and its offsets.
const BLOCK_OVERHEAD: u64 = 256;
/// How often a cell is touched by readers here and there before its block is read.
const POINT_TOUCHES_MIN: u8 = 4;
/// How often a record is before it is kept by itself.
const RECORD_TOUCHES_MIN: u8 = 1;
/// Bytes of room for each record that is remembered to have been touched.
const RECORD_ROOM: u64 = 1 << 10;

/// How many records are brought nearer at once. More of them would push each other away again.
pub(crate) const LOT_COUNT_MAX: usize = 16;
/// Bytes that memory is fetched in.
const LINE_LEN: usize = 64;

/// The offset at which the cell after that of `offset` begins, if cells have `cell_len` bytes.
pub(super) fn cell_end(offset: u64, cell_len: u64) -> u64 {
    (offset / cell_len.max(1)).saturating_add(1).saturating_mul(cell_len)
}

/// How many bytes to read from `offset` on for the records that begin in its cell.
pub(super) fn len_of_cell_from(offset: u64, cell_len: u64) -> usize {
    let len = cell_end(offset, cell_len).saturating_sub(offset);
    usize::try_from(len).unwrap_or(usize::MAX).saturating_add(OVERHANG_LEN)
}

/// Records that follow each other in a segment, each of which was read and found to be one.
///
/// It is small, and kept where it is found: a reader here and there waits for memory at each step.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    start: u64,
    /// Bytes of the records.
    len: usize,
    /// The records, and then a bit for each place from `start` on at which one may begin, set if one
    /// does.
    bytes: Arc<Vec<u8>>,
}

impl Checked {
    /// Reads the records from `start` to the end of its cell, or to `limit`, or to one that is none:
    /// who comes to that finds out for itself. `None` if that is the first one.
    fn read(file: &SegmentFile, start: u64, limit: u64, cell_len: u64) -> Result<Option<Self>> {
        let wanted = cell_end(start, cell_len).saturating_sub(start);
        Self::read_from(file, start, limit, (wanted, len_of_cell_from(start, cell_len)))
    }

    /// Reads the record at `start`, which is likely to have at most `len` bytes. `None` if it is none
    /// before `limit`.
    fn read_one(file: &SegmentFile, start: u64, limit: u64, len: usize) -> Result<Option<Self>> {
        Self::read_from(file, start, limit, (1, len))
    }

    /// Reads the records that begin in the first `wanted` bytes from `start` on. So many bytes are read
    /// at first as `len` says.
    fn read_from(
        file: &SegmentFile,
        start: u64,
        limit: u64,
        (wanted, len): (u64, usize),
    ) -> Result<Option<Self>> {
        let left = usize::try_from(limit.saturating_sub(start)).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        extend(&mut bytes, file, start, len.min(left))?;
        let seed = file.key().seed;
        let (mut begins, mut at) = (Vec::new(), 0);
        while wide(at) < wanted {
            match Record::decode(&bytes, at, seed) {
                Ok(record) => {
                    set(&mut begins, at);
                    at = at.saturating_add(usize::try_from(record.len).unwrap_or(usize::MAX));
                }
                Err(RecordFault::Short { len }) if at.saturating_add(len) <= left => {
                    let had = bytes.len();
                    extend(&mut bytes, file, start, at.saturating_add(len))?;
                    if bytes.len() == had {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        bytes.truncate(at);
        bytes.extend(begins);
        bytes.shrink_to_fit();
        let checked = Self { start, len: at, bytes: Arc::new(bytes) };
        Ok(Some(checked).filter(|_| at > 0))
    }

    /// Where the first record begins.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Whether it is nothing but a record of `len` bytes.
    pub(super) fn is_one_of(&self, len: u32) -> bool {
        usize::try_from(len) == Ok(self.len)
    }

    /// Where the last record ends.
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(wide(self.len))
    }

    /// The records, and what follows them in memory.
    pub(super) fn bytes(&self) -> &Arc<Vec<u8>> {
        &self.bytes
    }

    /// Whether a record begins at `offset`.
    pub(super) fn has(&self, offset: u64) -> bool {
        let Some(at) = self.place_of(offset) else { return false };
        at.is_multiple_of(RECORD_ALIGNMENT) && self.bits_at(at) & place_in_bits(at) != 0
    }

    /// Where `offset` is among the bytes of the records, if it is.
    fn place_of(&self, offset: u64) -> Option<usize> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        Some(at).filter(|at| *at < self.len)
    }

    /// The bits of which one is for a record that begins at `at`.
    fn bits_at(&self, at: usize) -> u8 {
        let place = self.len.saturating_add(at / PLACES_LEN);
        self.bytes.get(place).copied().unwrap_or(0)
    }

    /// Has a look at `len` bytes from `offset` on, and at whether a record begins there.
    #[inline]
    fn touch(&self, offset: u64, len: usize) -> u8 {
        let Some(at) = self.place_of(offset) else { return 0 };
        let lines = self.bytes.get(at..self.len.min(at.saturating_add(len))).unwrap_or_default();
        lines.iter().step_by(LINE_LEN).fold(self.bits_at(at), |sum, byte| sum ^ byte)
    }

    fn weight(&self) -> u64 {
        wide(self.bytes.len()).saturating_add(BLOCK_OVERHEAD)
    }
}

/// Bytes of a block that one byte of bits is for.
const PLACES_LEN: usize = RECORD_ALIGNMENT * 8;

fn place_in_bits(at: usize) -> u8 {
    1 << (at / RECORD_ALIGNMENT % 8)
}

/// Sets the bit of a record that begins at `at`.
fn set(begins: &mut Vec<u8>, at: usize) {
    begins.resize(at / PLACES_LEN + 1, 0);
    if let Some(bits) = begins.last_mut() {
        *bits |= place_in_bits(at);
    }
}

/// Makes `bytes`, which stand at `start`, `len` bytes long, or fewer if the file ends.
fn extend(bytes: &mut Vec<u8>, file: &SegmentFile, start: u64, len: usize) -> Result<()> {
    let had = bytes.len();
    bytes.resize(len.max(had), 0);
    let rest = bytes.get_mut(had..).unwrap_or_default();
    let read = file.read_at(rest, start.saturating_add(wide(had)))?;
    bytes.truncate(had.saturating_add(read));
    Ok(())
}

/// What a block is of: a cell of a segment, or one record. Small, for it is hashed with each look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    segment: Position,
    /// The number of the cell; or the offset of the record, with [`OF_RECORD`].
    number: u64,
}

/// No segment is so long that an offset in it has this bit.
const OF_RECORD: u64 = 1 << 63;

impl Key {
    fn of_record(Address { segment, offset }: Address) -> Self {
        Self { segment, number: offset | OF_RECORD }
    }

    /// A number for each, some of which have the same.
    fn hash(self) -> u64 {
        (self.segment.get() ^ self.number.wrapping_mul(SPREAD)).wrapping_mul(SPREAD)
    }
}

#[derive(Clone, Debug)]
struct ByLen;

impl Weighter<Key, Checked> for ByLen {
    fn weight(&self, _: &Key, block: &Checked) -> u64 {
        block.weight()
    }
}

/// What is likely to be kept of a record that is wanted: what was of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likely {
    Cell,
    Record,
}

/// The blocks that readers of a store share.
#[derive(Debug)]
pub(crate) struct Blocks {
    cell_len: u64,
    kept: Cache<Key, Checked, ByLen>,
    cell_touches: Touches,
    /// Made when a record is first asked for by itself: a store that is only appended to needs none.
    record_touches: OnceLock<Touches>,
    record_count: usize,
}

impl Blocks {
    /// Room for blocks of `len_max` bytes; `None` if that is not enough for a few.
    pub(crate) fn with_room(len_max: u64) -> Option<Self> {
        let cell_len = (len_max / CELL_COUNT_MIN).clamp(CELL_LEN_MIN, CELL_LEN_MAX);
        let count_of = |len: u64| usize::try_from((len_max / len).min(COUNT_MAX)).unwrap_or(0);
        let is_enough = len_max >= CELL_COUNT_MIN * CELL_LEN_MIN;
        is_enough.then(|| Self {
            cell_len,
            // There are more records than cells; but the room is divided among as many locks as this
            // says are worth it, and each part must have room for cells.
            kept: Cache::with_weighter(count_of(cell_len), len_max, ByLen),
            cell_touches: Touches::of(count_of(cell_len)),
            record_touches: OnceLock::new(),
            record_count: count_of(RECORD_ROOM),
        })
    }

    /// Bytes of a cell.
    pub(super) fn cell_len(&self) -> u64 {
        self.cell_len
    }

    /// The block for a reader in order that has come to `offset` and may read up to `limit`. `None`
    /// if it should read for itself.
    pub(super) fn for_reader_in_order(
        &self,
        file: &SegmentFile,
        offset: u64,
        limit: u64,
    ) -> Result<Option<Checked>> {
        self.find(file, offset, limit, 1)
    }

    /// The block for a reader that wants what is at `offset`. `None` if it should read that for itself.
    pub(super) fn for_point(
        &self,
        file: &SegmentFile,
        offset: u64,
        limit: u64,
    ) -> Result<Option<Checked>> {
        self.find(file, offset, limit, POINT_TOUCHES_MIN)
    }

    /// The record at `offset`, if it is kept as a block of its own.
    pub(super) fn kept_record(&self, file: &SegmentFile, offset: u64) -> Option<Checked> {
        self.kept.get(&Key::of_record(Address { segment: file.base(), offset }))
    }

    /// The record at `offset` as a block of its own, for a reader that wants nothing else near it, and
    /// expects it to have at most `len` bytes. `None` if it should read that for itself.
    pub(super) fn for_record(
        &self,
        file: &SegmentFile,
        offset: u64,
        limit: u64,
        len: usize,
    ) -> Result<Option<Checked>> {
        let key = Key::of_record(Address { segment: file.base(), offset });
        let found = self.kept.get(&key);
        let touches = || self.record_touches.get_or_init(|| Touches::of(self.record_count));
        if found.is_some() || touches().count(key) < RECORD_TOUCHES_MIN {
            return Ok(found);
        }
        let read = Checked::read_one(file, offset, limit, len)?;
        if let Some(record) = &read {
            self.kept.insert(key, record.clone());
        }
        Ok(read)
    }

    /// Brings nearer what is kept of records at these places, which have some `len` bytes each and are
    /// read next. To wait for memory for all of them at once takes little more time than for one.
    pub(super) fn bring_nearer(
        &self,
        addresses: impl Iterator<Item = Address>,
        len: usize,
        likely: Likely,
    ) {
        let mut kept = [const { None }; LOT_COUNT_MAX];
        for (kept, address) in kept.iter_mut().zip(addresses) {
            let [cell, record] =
                [self.cell(address.segment, address.offset), Key::of_record(address)];
            let [first, second] = match likely {
                Likely::Cell => [cell, record],
                Likely::Record => [record, cell],
            };
            let block = self.kept.peek(&first).or_else(|| self.kept.peek(&second));
            *kept = block.map(|block| (block, address.offset));
        }
        let touched =
            kept.iter().flatten().fold(0, |sum, (block, offset)| sum ^ block.touch(*offset, len));
        // So that it is done, though nothing comes of it.
        black_box(touched);
    }

    fn cell(&self, segment: Position, offset: u64) -> Key {
        Key { segment, number: offset / self.cell_len.max(1) }
    }

    fn find(
        &self,
        file: &SegmentFile,
        offset: u64,
        limit: u64,
        touches_min: u8,
    ) -> Result<Option<Checked>> {
        let cell = self.cell(file.base(), offset);
        let found = self.kept.get(&cell).filter(|block| block.has(offset));
        if found.is_some() || self.cell_touches.count(cell) < touches_min {
            return Ok(found);
        }
        let read = Checked::read(file, offset, limit, self.cell_len)?;
        if let Some(block) = &read {
            self.kept.insert(cell, block.clone());
        }
        Ok(read)
    }
}

/// How often places were touched lately: as many of them as there is room for blocks.
#[derive(Debug)]
struct Touches {
    /// In the upper bits of each number which place it is of, in the lower ones how often.
    slots: Box<[[AtomicU64; WAYS]]>,
}

/// How many places may have the same slots.
const WAYS: usize = 4;
/// Bits of a count.
const COUNT_BITS: u32 = 8;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// An odd number without a pattern, which spreads what is multiplied by it over all bits.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Touches {
    fn of(count: usize) -> Self {
        let ways = |_| std::array::from_fn(|_| AtomicU64::new(0));
        Self { slots: (0..count.div_ceil(WAYS)).map(ways).collect() }
    }

    /// How often `key` was touched before this, as far as is known. It takes the slot of another that
    /// was touched less than those beside it, which then count for less.
    fn count(&self, key: Key) -> u8 {
        let hash = key.hash();
        let at = (hash >> u32::BITS).checked_rem(wide(self.slots.len())).unwrap_or(0);
        let ways = usize::try_from(at).ok().and_then(|at| self.slots.get(at));
        let tag = hash & !COUNT_MASK;
        let count_of = |slot: u64| slot & COUNT_MASK;
        // Two at the same time may count as one: it is a guess in any case.
        for slot in ways.into_iter().flatten() {
            let held = slot.load(Ordering::Relaxed);
            if held & !COUNT_MASK == tag && count_of(held) > 0 {
                slot.store(tag | (count_of(held) + 1).min(COUNT_MASK), Ordering::Relaxed);
                return u8::try_from(count_of(held)).unwrap_or(u8::MAX);
            }
        }
        for slot in ways.into_iter().flatten() {
            let held = slot.load(Ordering::Relaxed);
            slot.store(held - count_of(held).min(1), Ordering::Relaxed);
        }
        let all = ways.into_iter().flatten();
        if let Some(least) = all.min_by_key(|slot| count_of(slot.load(Ordering::Relaxed))) {
            least.store(tag | 1, Ordering::Relaxed);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::records_start;
    use crate::segment::scan::tests::segment_of;
    use crate::types::Timestamp;

    const CELL: u64 = 1 << 10;

    /// A segment of 1,000 records of 72 bytes, and where they end.
    fn segment() -> (Arc<SegmentFile>, u64) {
        let times: Vec<_> = (0..1_000).map(Timestamp::from_nanos).collect();
        let file = segment_of(&times);
        let end = file.len().unwrap();
        (file, end)
    }

    fn room() -> Blocks {
        Blocks::with_room(CELL_COUNT_MIN * CELL).unwrap()
    }

    #[test]
    fn a_reader_that_is_alone_reads_for_itself() {
        let ((file, end), blocks) = (segment(), room());
        for number in 0..end / CELL {
            let offset = records_start().max(number * CELL);
            assert!(blocks.for_reader_in_order(&file, offset, end).unwrap().is_none());
        }
        assert_eq!(blocks.kept.len(), 0);
    }

    #[test]
    fn a_block_is_kept_for_the_second_reader_and_holds_the_records_of_its_cell() {
        let ((file, end), blocks) = (segment(), room());
        let start = records_start();
        assert!(blocks.for_reader_in_order(&file, start, end).unwrap().is_none());
        let second = blocks.for_reader_in_order(&file, start, end).unwrap().unwrap();
        let third = blocks.for_reader_in_order(&file, start, end).unwrap().unwrap();
        assert!(Arc::ptr_eq(second.bytes(), third.bytes()));
        assert_eq!((second.start(), second.end() % 8), (start, 0));
        assert!(second.end() >= CELL && second.end() < CELL + 72);
        assert!(second.has(start) && second.has(start + 72) && !second.has(second.end()));
        assert!((1..72).all(|n| !second.has(start + n)));
    }

    #[test]
    fn a_block_ends_where_its_reader_may_not_read() {
        let ((file, _), blocks) = (segment(), room());
        let start = records_start();
        let read = |limit| {
            let ask = || blocks.for_reader_in_order(&file, start, limit).unwrap();
            ask().or_else(ask)
        };
        assert_eq!(read(start + 144).unwrap().end(), start + 144);
        let rest = blocks.for_reader_in_order(&file, start + 144, start + 288).unwrap().unwrap();
        assert_eq!((rest.start(), rest.end()), (start + 144, start + 288));
        assert!(Checked::read(&file, start, start + 71, CELL).unwrap().is_none());
    }

    #[test]
    fn blocks_take_no_more_room_than_they_may() {
        let ((file, end), blocks) = (segment(), room());
        for _ in 0..3 {
            for n in 0..1_000 {
                let offset = records_start() + 72 * n;
                let _ = blocks.find(&file, offset, end, 0).unwrap();
                assert!(blocks.kept.weight() <= CELL_COUNT_MIN * CELL);
            }
        }
        assert!(blocks.kept.len() > 2);
        assert!(Blocks::with_room(CELL_COUNT_MIN * CELL - 1).is_none());
        assert_eq!(Blocks::with_room(u64::MAX).unwrap().cell_len(), CELL_LEN_MAX);
    }

    /// Else no cell would be kept: what has no room in its part is let go of at once.
    #[test]
    fn each_part_of_the_room_has_room_for_cells() {
        for len_max in [2 << 20, 32 << 20, 1 << 30] {
            let blocks = Blocks::with_room(len_max).unwrap();
            assert!(blocks.kept.shard_capacity() >= 8 * blocks.cell_len(), "{len_max}");
        }
    }

    #[test]
    fn records_take_no_more_room_than_they_may_and_are_found_though_others_were_touched() {
        let ((file, end), blocks) = (segment(), room());
        let offset_of = |n: u64| records_start() + 72 * n;
        let read = |n| blocks.for_record(&file, offset_of(n), end, 72).unwrap().is_some();
        assert_eq!([read(0), read(0)], [false, true]);
        // Once each, so that none of them is kept, and the first one's touch is forgotten.
        assert!((1..1_000).all(|n| !read(n)));
        assert!(read(0));
        for _ in 0..3 {
            for n in 0..1_000 {
                let _ = (read(n), read(n));
                assert!(blocks.kept.weight() <= CELL_COUNT_MIN * CELL);
            }
        }
        assert!(blocks.kept.len() > 2);
    }

    #[test]
    fn a_cell_is_read_for_points_once_they_are_many() {
        let ((file, end), blocks) = (segment(), room());
        let found: Vec<_> = (0..6)
            .map(|n| blocks.for_point(&file, records_start() + 72 * n, end).unwrap().is_some())
            .collect();
        assert_eq!(found, [false, false, false, false, true, true]);
    }

    #[test]
    fn a_record_is_kept_by_itself_once_it_is_read_again() {
        let ((file, end), blocks) = (segment(), room());
        let start = records_start() + 720;
        let read = |offset, limit| blocks.for_record(&file, offset, limit, 8).unwrap();
        assert!(read(start, end).is_none());
        let second = read(start, end).unwrap();
        assert!(Arc::ptr_eq(second.bytes(), read(start, end).unwrap().bytes()));
        assert_eq!((second.start(), second.end()), (start, start + 72));
        assert!(second.has(start) && !second.has(start + 72));
        assert_eq!(blocks.kept.len(), 1);
        // Where no record is, or may be seen, there is nothing to keep.
        for (offset, limit) in [(start + 8, end), (start + 72, start + 143)] {
            assert!((0..3).all(|_| read(offset, limit).is_none()), "{offset}");
        }
        assert_eq!(blocks.kept.len(), 1);
    }

    /// Else a reader would keep blocks by looking ahead, and be told of damage that it does not come to.
    #[test]
    fn to_bring_records_nearer_reads_nothing_and_counts_for_nothing() {
        let ((file, end), blocks) = (segment(), room());
        let (segment, start) = (file.base(), records_start());
        for _ in 0..10 {
            let offsets = (0..40).map(|n| start + 72 * n);
            let addresses = offsets.map(|offset| Address { segment, offset });
            blocks.bring_nearer(addresses, 72, Likely::Cell);
        }
        assert_eq!(blocks.kept.len(), 0);
        assert!(blocks.for_reader_in_order(&file, start, end).unwrap().is_none());
    }
}
