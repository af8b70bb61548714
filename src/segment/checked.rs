//! Records that were read and checked once, as one block.
//!
//! Owns where such a block begins and ends, and which records it has. Knows nothing of who reads it, or how
//! long it is kept.

use std::sync::Arc;

use crate::error::Result;
use crate::format::{RECORD_ALIGNMENT, RECORD_LEN_MIN, Record, RecordFault};
use crate::segment::SegmentFile;
use crate::segment::cell::{cell_end, cell_start, len_of_cell_from};
use crate::segment::file::wide;

/// What a block takes beside its bytes and its bits.
const BLOCK_OVERHEAD: u64 = 256;
/// Bytes that memory is fetched in.
const LINE_LEN: usize = 64;

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
    pub(super) fn read(
        file: &SegmentFile,
        start: u64,
        limit: u64,
        cell_len: u64,
    ) -> Result<Option<Self>> {
        let wanted = cell_end(start, cell_len).saturating_sub(start);
        Self::read_from(file, start, limit, (wanted, len_of_cell_from(start, cell_len)))
    }

    /// As [`Self::read`], but from the first record of the cell on, if that can be told: whoever reads here
    /// and there will come to those before `start` as well. Not where `limit` is before the end of the cell,
    /// which may still grow: what comes last is read again and again.
    pub(super) fn read_around(
        file: &SegmentFile,
        start: u64,
        limit: u64,
        cell_len: u64,
    ) -> Result<Option<Self>> {
        if limit >= cell_end(start, cell_len)
            && let Ok(Some(whole)) = Self::read_whole(file, start, limit, cell_len)
            && whole.has(start)
        {
            return Ok(Some(whole));
        }
        // What is before it may be damaged, or not be readable: nobody has asked for that.
        Self::read(file, start, limit, cell_len)
    }

    /// Reads the records of the cell of the one at `wanted`, from what is likely to be the first one on.
    fn read_whole(
        file: &SegmentFile,
        wanted: u64,
        limit: u64,
        cell_len: u64,
    ) -> Result<Option<Self>> {
        let start = cell_start(wanted, cell_len);
        let mut bytes = read_some(file, start, limit, len_of_cell_from(start, cell_len))?;
        let at = usize::try_from(wanted.saturating_sub(start)).unwrap_or(usize::MAX);
        let first = first_before(&bytes, at);
        if first >= bytes.len() {
            return Ok(None);
        }
        bytes.drain(..first);
        let start = start.saturating_add(wide(first));
        let left_of_cell = cell_end(wanted, cell_len).saturating_sub(start);
        Self::check(file, start, limit, (left_of_cell, bytes))
    }

    /// Reads the record at `start`, which is likely to have at most `len` bytes. `None` if it is none
    /// before `limit`.
    pub(super) fn read_one(
        file: &SegmentFile,
        start: u64,
        limit: u64,
        len: usize,
    ) -> Result<Option<Self>> {
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
        Self::check(file, start, limit, (wanted, read_some(file, start, limit, len)?))
    }

    /// Checks the records that begin in the first `wanted` of these bytes, which stand at `start`, and
    /// reads more of the last one if it is longer.
    fn check(
        file: &SegmentFile,
        start: u64,
        limit: u64,
        (wanted, mut bytes): (u64, Vec<u8>),
    ) -> Result<Option<Self>> {
        let left = usize::try_from(limit.saturating_sub(start)).unwrap_or(usize::MAX);
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
    pub(super) fn touch(&self, offset: u64, len: usize) -> u8 {
        let Some(at) = self.place_of(offset) else { return 0 };
        let lines = self.bytes.get(at..self.len.min(at.saturating_add(len))).unwrap_or_default();
        lines.iter().step_by(LINE_LEN).fold(self.bits_at(at), |sum, byte| sum ^ byte)
    }

    pub(super) fn weight(&self) -> u64 {
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

/// Up to `len` bytes from `start` on, before `limit`; with room for the bits of their records, which would
/// take twice the memory to grow for.
fn read_some(file: &SegmentFile, start: u64, limit: u64, len: usize) -> Result<Vec<u8>> {
    let left = usize::try_from(limit.saturating_sub(start)).unwrap_or(usize::MAX);
    let len = len.min(left);
    let mut bytes = Vec::with_capacity(len.saturating_add(len / PLACES_LEN + 1));
    extend(&mut bytes, file, start, len)?;
    Ok(bytes)
}

/// Where in `bytes` the first record begins of those that follow each other up to the one at `wanted`, going
/// by what their headers claim: what they are is found out when they are read.
fn first_before(bytes: &[u8], wanted: usize) -> usize {
    let Some(last) = Record::claim(bytes, wanted) else { return wanted };
    // How many records before the last one there are from a place on, by its own word.
    let count_at = |at: usize| {
        let claim = Record::claim(bytes, at)?;
        let count = last.position.get().checked_sub(claim.position.get())?;
        let next = at.checked_add(usize::try_from(claim.len).ok()?)?;
        let is_possible = count > 0 && count <= wide((wanted - at) / RECORD_LEN_MIN);
        (is_possible && next <= wanted).then_some((count, next))
    };
    let mut first = 0;
    while first < wanted {
        let (mut at, mut left) = (first, None);
        while let Some((count, next)) = (at < wanted).then(|| count_at(at)).flatten()
            && left.is_none_or(|left| left == count)
        {
            (at, left) = (next, count.checked_sub(1));
        }
        if at == wanted && left == Some(0) {
            return first;
        }
        first = at.saturating_add(RECORD_ALIGNMENT);
    }
    wanted
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::file::tests::Unreadable;
    use crate::segment::records_start;
    use crate::segment::scan::tests::segment_of;
    use crate::types::Timestamp;

    const CELL: u64 = 1 << 10;
    /// Bytes of each record.
    const LEN: u64 = 72;

    /// A segment of 100 records, and where they end.
    fn segment() -> (Arc<SegmentFile>, u64) {
        let times: Vec<_> = (0..100).map(Timestamp::from_nanos).collect();
        let file = segment_of(&times);
        let end = file.len().unwrap();
        (file, end)
    }

    fn offset_of(n: u64) -> u64 {
        records_start() + LEN * n
    }

    /// The offset of the first record of the cell of record `n`, and where the last one ends.
    fn cell_of(n: u64) -> (u64, u64) {
        let number = |n| offset_of(n) / CELL;
        let first = (0..=n).find(|other| number(*other) == number(n)).unwrap();
        let next = (n..101).find(|other| number(*other) != number(n)).unwrap_or(100);
        (offset_of(first), offset_of(next.min(100)))
    }

    #[test]
    fn around_a_record_are_all_of_its_cell() {
        let (file, end) = segment();
        for n in 0..100 {
            let checked = Checked::read_around(&file, offset_of(n), end, CELL).unwrap().unwrap();
            let (first, last) = cell_of(n);
            // The last cell may grow.
            let first = if last < end { first } else { offset_of(n) };
            assert_eq!((checked.start(), checked.end()), (first, last), "{n}");
            let all = (checked.start()..checked.end()).filter(|offset| checked.has(*offset));
            assert!(all.eq((checked.start()..checked.end()).step_by(72)), "{n}");
        }
    }

    /// Nobody has asked for what is before it.
    #[test]
    fn a_record_is_read_though_one_before_it_is_damaged_or_cannot_be_read() {
        let (file, end) = segment();
        let (n, bad) = (20, offset_of(17) + 64..offset_of(18));
        assert_eq!(cell_of(n), cell_of(17));
        let unreadable = file.with_file(|file| Arc::new(Unreadable::new(file, bad.clone())));
        let damaged = file.with_file(|file| Arc::new(Unreadable::new(file, bad).giving_zeroes()));
        for file in [unreadable, damaged] {
            let read = || Checked::read_around(&file, offset_of(n), end, CELL);
            let checked = read().unwrap().unwrap();
            assert_eq!((checked.start(), checked.end()), (offset_of(n), cell_of(n).1));
            assert!(!checked.has(offset_of(17)));
        }
    }

    #[test]
    fn what_is_no_record_begins_no_chain_and_one_that_leads_elsewhere_is_left() {
        let (file, _) = segment();
        let mut bytes = vec![0; 72 * 10];
        file.read_at(&mut bytes, offset_of(0)).unwrap();
        let record = 72;
        assert_eq!(first_before(&bytes, 5 * record), 0);
        assert_eq!(first_before(&bytes[8..], 5 * record - 8), record - 8);
        // One in the payload of another, which claims to be one before the last.
        let inner = bytes[3 * record..4 * record].to_vec();
        let with_inner = [&bytes[8..record], &inner, &[0; 24], &bytes[record..]].concat();
        let added = inner.len() + 24;
        assert_eq!(first_before(&with_inner, 5 * record - 8 + added), record - 8 + added);
        assert_eq!(first_before(&bytes, 0), 0);
        // Nothing says how many there are before what is none.
        let zeroes = [&bytes[..record], &[0; 72]].concat();
        assert_eq!(first_before(&zeroes, record), record);
    }
}
