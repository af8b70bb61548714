//! Blocks of records that were read and checked once, for several readers.
//!
//! Owns which blocks are kept, in how much memory, and when reading one is worth it. Knows nothing
//! of what is visible: who asks says how far it may read.
//!
//! The block of a cell holds the records that begin in it: from the first one that a reader in order has come
//! to, or all, if it was read for one here or there and is full. Who comes to a cell as the first one lately
//! reads into memory of its own, which is faster: it is kept for the second, be that the same reader again.
//!
//! What is read again here and there, as a stream whose records are far apart, is kept record by record,
//! each a block of its own: their cells would take some hundred times the memory.

use std::hint::black_box;
use std::sync::OnceLock;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::error::Result;
use crate::format::RECORD_ALIGNMENT;
use crate::segment::SegmentFile;
use crate::segment::cell::CELL_LEN_MAX;
use crate::segment::checked::Checked;
use crate::segment::file::wide;
use crate::segment::touches::Touches;
use crate::types::{Address, Position};

/// Bytes of the smallest cell. For less room than takes some of these nothing is shared.
const CELL_LEN_MIN: u64 = 1 << 10;
/// How many cells there should at least be room for.
const CELL_COUNT_MIN: u64 = 16;
/// How many cells, and how many records, are remembered at most.
const COUNT_MAX: u64 = 1 << 20;
/// How often a cell is touched by readers here and there before its block is read, while there is room.
const POINT_TOUCHES_MIN: u8 = 4;
/// The same where others must go for it: as many small records are read by themselves in about the time that
/// it takes to read a cell, so that it costs at most twice as much to have waited, or to have read in vain.
const POINT_TOUCHES_MIN_FULL: u8 = 64;
/// How often a record is before it is kept by itself.
const RECORD_TOUCHES_MIN: u8 = 1;
/// Bytes of room for each record that is remembered to have been touched.
const RECORD_ROOM: u64 = 1 << 10;
/// How many cells may have the same slots: so many that, where there is room for all cells that are read,
/// few of them are forgotten for others that happen to have the same.
const CELL_WAYS: usize = 16;
/// How many records may. They are looked for before each that is read, so these are few.
const RECORD_WAYS: usize = 4;

/// How many records are brought nearer at once. More of them would push each other away again.
pub(crate) const LOT_COUNT_MAX: usize = 16;

/// What a block is of: a cell of a segment, or one record. Small, for it is hashed with each look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    segment: Position,
    /// The number of the cell; or the offset of the record, with [`OF_RECORD`].
    number: u64,
}

/// An odd number without a pattern, which spreads what is multiplied by it over all bits.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
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
    cell_touches: Touches<CELL_WAYS>,
    /// Made when a record is first asked for by itself: a store that is only appended to needs none.
    record_touches: OnceLock<Touches<RECORD_WAYS>>,
    record_count: usize,
}

impl Blocks {
    /// Room for blocks of `len_max` bytes; `None` if that is not enough for a few.
    pub(crate) fn with_room(len_max: u64) -> Option<Self> {
        let len = (len_max / CELL_COUNT_MIN).clamp(CELL_LEN_MIN, CELL_LEN_MAX);
        // Records may begin where a cell does.
        let cell_len = len - len % wide(RECORD_ALIGNMENT);
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
    ) -> Option<Checked> {
        self.find(file, (offset, limit), |touches| touches > 0, Checked::read)
    }

    /// The block for a reader that wants what is at `offset`. `None` if it should read that for itself.
    pub(super) fn for_point(&self, file: &SegmentFile, offset: u64, limit: u64) -> Option<Checked> {
        let is_worth_it = |touches| {
            touches >= POINT_TOUCHES_MIN_FULL || (touches >= POINT_TOUCHES_MIN && !self.is_full())
        };
        self.find(file, (offset, limit), is_worth_it, Checked::read_around)
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
    ) -> Option<Checked> {
        let key = Key::of_record(Address { segment: file.base(), offset });
        let found = self.kept.get(&key);
        let touches = || self.record_touches.get_or_init(|| Touches::of(self.record_count));
        if found.is_some() || touches().count(key.hash()) < RECORD_TOUCHES_MIN {
            return found;
        }
        let read = Checked::read_one(file, offset, limit, len).ok().flatten()?;
        self.kept.insert(key, read.clone());
        Some(read)
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
        (offset, limit): (u64, u64),
        is_worth_it: impl FnOnce(u8) -> bool,
        read: impl FnOnce(&SegmentFile, u64, u64, u64) -> Result<Option<Checked>>,
    ) -> Option<Checked> {
        let cell = self.cell(file.base(), offset);
        let found = self.kept.get(&cell).filter(|block| block.has(offset));
        if found.is_some() || !is_worth_it(self.cell_touches.count(cell.hash())) {
            return found;
        }
        // What cannot be read may be of others: whoever reads for itself is told of its own.
        let read = read(file, offset, limit, self.cell_len).ok().flatten()?;
        self.kept.insert(cell, read.clone());
        Some(read)
    }

    /// Whether others must go for what is kept from now on: where nearly all of the room is taken.
    fn is_full(&self) -> bool {
        self.kept.weight() > self.kept.capacity() / 8 * 7
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
            assert!(blocks.for_reader_in_order(&file, offset, end).is_none());
        }
        assert_eq!(blocks.kept.len(), 0);
    }

    #[test]
    fn a_block_is_kept_for_the_second_reader_and_holds_the_records_of_its_cell() {
        let ((file, end), blocks) = (segment(), room());
        let start = records_start();
        assert!(blocks.for_reader_in_order(&file, start, end).is_none());
        let second = blocks.for_reader_in_order(&file, start, end).unwrap();
        let third = blocks.for_reader_in_order(&file, start, end).unwrap();
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
            let ask = || blocks.for_reader_in_order(&file, start, limit);
            ask().or_else(ask)
        };
        assert_eq!(read(start + 144).unwrap().end(), start + 144);
        let rest = blocks.for_reader_in_order(&file, start + 144, start + 288).unwrap();
        assert_eq!((rest.start(), rest.end()), (start + 144, start + 288));
        assert!(Checked::read(&file, start, start + 71, CELL).unwrap().is_none());
    }

    #[test]
    fn blocks_take_no_more_room_than_they_may() {
        let ((file, end), blocks) = (segment(), room());
        for _ in 0..3 {
            for n in 0..1_000 {
                let offset = records_start() + 72 * n;
                let _ = blocks.find(&file, (offset, end), |_| true, Checked::read);
                assert!(blocks.kept.weight() <= CELL_COUNT_MIN * CELL);
            }
        }
        assert!(blocks.kept.len() > 2);
        assert!(Blocks::with_room(CELL_COUNT_MIN * CELL - 1).is_none());
        assert_eq!(Blocks::with_room(u64::MAX).unwrap().cell_len(), CELL_LEN_MAX);
        assert_eq!(Blocks::with_room(100_000).unwrap().cell_len(), 6_248);
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
        let read = |n| blocks.for_record(&file, offset_of(n), end, 72).is_some();
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
            .map(|n| blocks.for_point(&file, records_start() + 72 * n, end).is_some())
            .collect();
        assert_eq!(found, [false, false, false, false, true, true]);
    }

    /// Whichever was asked for first: each that was before it had the block read again, six times on average
    /// for streams at random.
    #[test]
    fn a_cell_is_read_once_for_all_its_points() {
        let ((file, end), blocks) = (segment(), room());
        let find = |n: u64| blocks.for_point(&file, records_start() + 72 * n, end);
        let block = (0..5).find_map(|_| find(12)).unwrap();
        for n in 0..13 {
            assert!(Arc::ptr_eq(find(n).unwrap().bytes(), block.bytes()), "{n}");
        }
        assert_eq!((block.start(), blocks.kept.len()), (records_start(), 1));
    }

    /// Where the log grows, each read of what came last read all that was before it.
    #[test]
    fn no_more_is_read_at_the_end_than_is_new() {
        let ((file, end), blocks) = (segment(), room());
        let offset_of = |n: u64| records_start() + 72 * n;
        let last = |n| blocks.for_point(&file, offset_of(n), offset_of(n + 1));
        let starts: Vec<_> = (0..12).filter_map(last).map(|block| block.start()).collect();
        assert!(starts.iter().copied().eq((4..12).map(offset_of)), "{starts:?}");
        assert_eq!(blocks.for_point(&file, offset_of(2), end).unwrap().start(), offset_of(0));
    }

    /// It took as many touches of each as there are records in a cell, where cells had the same slots.
    #[test]
    fn all_cells_are_soon_kept_where_there_is_room_for_them() {
        let ((file, end), blocks) = (segment(), Blocks::with_room(128 << 10).unwrap());
        assert_eq!(blocks.cell_len(), 8 << 10);
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100 {
            let offset = records_start() + 72 * random.u64(0..1_000);
            let _ = blocks.for_point(&file, offset, end);
        }
        assert_eq!(blocks.kept.len(), 9);
    }

    /// Cells of which one record was wanted now and then pushed each other out, each read for four reads.
    #[test]
    fn where_others_must_go_for_it_a_cell_is_read_only_for_many() {
        let ((file, end), blocks) = (segment(), room());
        let offset_of = |cell: u64| records_start() + CELL.div_ceil(72) * 72 * cell;
        let touch = |cell| blocks.for_point(&file, offset_of(cell), end).is_some();
        let touches = |cell| (1..200).find(|_| touch(cell)).unwrap();
        assert_eq!((touches(0), touches(1)), (5, 5));
        let rest: Vec<_> = (2..30).map(touches).collect();
        assert!(rest.iter().all(|count| [5, 65].contains(count)), "{rest:?}");
        assert!(rest.iter().rev().take(10).all(|count| *count == 65), "{rest:?}");
    }

    #[test]
    fn a_record_is_kept_by_itself_once_it_is_read_again() {
        let ((file, end), blocks) = (segment(), room());
        let start = records_start() + 720;
        let read = |offset, limit| blocks.for_record(&file, offset, limit, 8);
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
        assert!(blocks.for_reader_in_order(&file, start, end).is_none());
    }
}
