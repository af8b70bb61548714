//! A window on a segment: the block of its bytes that was read last.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::Result;
use crate::event::{Block, Buffer, Event, EventView};
use crate::format::{
    Claim, Fault, RECORD_HEADER_LEN, RECORD_LEN_MIN, Record, RecordFault, SEGMENT_HEADER_LEN, Trust,
};
use crate::segment::blocks::{Blocks, Likely};
use crate::segment::cell::{CELL_LEN_MAX, cell_end, len_of_cell_from};
use crate::segment::checked::Checked;
use crate::segment::digest::RunningDigest;
use crate::segment::file::wide;
use crate::segment::spares::Spares;
use crate::segment::{SegmentFile, Shared};
use crate::types::{Address, Position};

/// Bytes that a reader in order reads first: it may want a few records only. It reads half as many
/// again each time, and then twice as many, up to a cell. To ask the system once more costs as much as
/// some KiB that are read and not wanted.
const AHEAD_LEN_MIN: u64 = 15 << 10;
/// Who reads no more at once than this part of a cell does not stop where one ends: it may never
/// come to where blocks are shared.
const CROSSING_PART: u64 = 4;
/// Bytes that are read for one record, if those before were not longer.
const POINT_LEN_MIN: usize = 512;
/// The most bytes that are read for one record before it is known to be longer.
const POINT_LEN_MAX: usize = 16 << 10;

/// The most bytes from the first to the last of several records here and there that are read at once.
pub(crate) const RUN_LEN_MAX: u64 = 32 << 10;

/// The most bytes of one record that are brought nearer: if it has more, they come in their order anyway.
const TOUCH_LEN_MAX: usize = 1 << 10;

/// How much is read at once, and whether blocks of other readers may be used.
#[derive(Debug)]
enum Reading {
    /// So many bytes, from wherever they are wanted.
    Fixed { len: usize },
    /// In order: more and more, and then a cell at a time.
    Ahead { len: u64, cell_len: u64 },
    /// Here and there: little more than is asked for.
    Points { expected_end: u64 },
}

impl Reading {
    /// Where memory comes from that is read into, and goes to. A reader here and there reads so little
    /// that it is not worth it.
    fn spares<'a>(&self, shared: Option<&'a Shared>) -> Option<&'a Spares> {
        shared.filter(|_| matches!(self, Self::Ahead { .. })).map(Shared::spares)
    }

    fn take_memory(&self, shared: Option<&Shared>) -> Buffer {
        self.spares(shared).map_or_else(Buffer::default, Spares::take)
    }
}

/// Reads records out of blocks of bytes, and another block only when it must.
#[derive(Debug)]
pub(crate) struct Window {
    file: Arc<SegmentFile>,
    /// What the checksums of the file's records begin with.
    seed: u32,
    block: Arc<Block>,
    /// Where the block begins in the file.
    block_start: u64,
    /// Offset in the file from which on another block is read, though this one may have the bytes.
    block_end: u64,
    /// The records in the block, if it is shared.
    checked: Option<Checked>,
    /// Where the record that was read last ends.
    last_end: u64,
    last_len: u32,
    reading: Reading,
    /// What it shares with other readers, if they are likely to read the same.
    shared: Option<Arc<Shared>>,
    /// Of what was read, if it is wanted.
    digest: Option<Box<RunningDigest>>,
}

impl Window {
    /// A window that reads `block_len` bytes at once.
    pub(crate) fn new(file: Arc<SegmentFile>, block_len: usize) -> Self {
        Self::with(file, Reading::Fixed { len: block_len }, None)
    }

    /// A window for reading in order, one of several.
    pub(crate) fn ahead(file: Arc<SegmentFile>, shared: Arc<Shared>) -> Self {
        let cell_len = shared.blocks().map_or(CELL_LEN_MAX, Blocks::cell_len);
        let reading = Reading::Ahead { len: AHEAD_LEN_MIN.min(cell_len), cell_len };
        Self::with(file, reading, Some(shared))
    }

    /// A window for reading in order what others may not see yet: that may be taken back.
    pub(super) fn ahead_alone(file: Arc<SegmentFile>) -> Self {
        let reading = Reading::Ahead { len: AHEAD_LEN_MIN, cell_len: CELL_LEN_MAX };
        Self::with(file, reading, None)
    }

    /// A window for reading here and there, one of several.
    pub(crate) fn points(file: Arc<SegmentFile>, shared: Arc<Shared>) -> Self {
        Self::with(file, Reading::Points { expected_end: 0 }, Some(shared))
    }

    fn with(file: Arc<SegmentFile>, reading: Reading, shared: Option<Arc<Shared>>) -> Self {
        Self {
            seed: file.key().seed,
            file,
            block: Arc::new(Block::Own(reading.take_memory(shared.as_deref()))),
            block_start: 0,
            block_end: 0,
            checked: None,
            last_end: 0,
            last_len: 0,
            reading,
            shared,
            digest: None,
        }
    }

    /// Computes a digest as well, of the file from its first byte on, while records are read in order
    /// from the first one on.
    pub(super) fn digest(&mut self) -> Result<()> {
        self.digest = Some(Box::new(RunningDigest::begin(&self.file)?));
        Ok(())
    }

    /// The digest of everything before the end of the record that was read last, or of the header if
    /// none was; `None` if it was not wanted, or something was passed over.
    pub(super) fn take_digest(&mut self) -> Option<u128> {
        self.add_to_digest();
        let end = self.last_end.max(wide(SEGMENT_HEADER_LEN));
        self.digest.take().and_then(|digest| digest.finish(end))
    }

    /// Adds to the digest what was read of the block.
    fn add_to_digest(&mut self) {
        if let Some(digest) = &mut self.digest {
            digest.add(&self.block, self.block_start, self.last_end);
        }
    }

    pub(crate) fn file(&self) -> &Arc<SegmentFile> {
        &self.file
    }

    /// Makes ready to read records from the one at the start of `run` to the one at its end, all of
    /// which should lie before `limit`. Only for a window that reads here and there.
    pub(crate) fn cover_run(&mut self, run: &RangeInclusive<u64>, limit: u64) -> Result<()> {
        if run.start() == run.end() {
            // What was expected before may have been in blocks of others, and be far from here.
            self.expect_until(0);
            return Ok(());
        }
        let end = self.block_start.saturating_add(wide(self.block.len())).min(self.block_end);
        let held = self.block_start..end;
        if held.contains(run.start()) && held.contains(run.end()) {
            return Ok(());
        }
        self.expect_until(*run.end());
        // What is there is found out when it is read.
        self.claim_at(*run.start(), limit).map(|_| ())
    }

    /// Lets a window that reads here and there read up to `end` at once, if that is ahead.
    fn expect_until(&mut self, end: u64) {
        if let Reading::Points { expected_end } = &mut self.reading {
            *expected_end = end;
        }
    }

    /// Whether the record that was read last is in a block of other readers.
    pub(crate) fn is_shared(&self) -> bool {
        self.checked.is_some()
    }

    /// Brings nearer the first records of those at these addresses, in this segment or another, which
    /// will be read in this order. To be called where blocks of other readers are likely to have them.
    pub(crate) fn bring_nearer(&self, addresses: impl Iterator<Item = Address>) {
        if let (Reading::Points { .. }, Some(blocks)) = (&self.reading, self.blocks()) {
            let len = usize::try_from(self.last_len).unwrap_or(0);
            blocks.bring_nearer(addresses, len.min(TOUCH_LEN_MAX), self.likely());
        }
    }

    /// Reads the record at `offset`, all of which must lie before `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) if there is no whole record.
    pub(crate) fn record_at(&mut self, offset: u64, limit: u64) -> Result<Record> {
        let mut record = Record::none();
        self.read_anew(&mut record, offset, limit).map(|()| record)
    }

    /// As [`Self::record_at`], into `record`.
    #[inline]
    pub(crate) fn read(&mut self, record: &mut Record, offset: u64, limit: u64) -> Result<()> {
        // As almost always.
        if let Some(start) = self.offset_in_block(offset, RECORD_LEN_MIN)
            && record.read(&self.block, start, self.seed, self.trust()).is_ok()
        {
            return self.took(record.len, offset, limit);
        }
        self.read_anew(record, offset, limit)
    }

    /// As [`Self::read`], where another block may be needed, or there may be no record.
    fn read_anew(&mut self, record: &mut Record, offset: u64, limit: u64) -> Result<()> {
        let mut needed = RECORD_LEN_MIN;
        // A first read may show that the record is longer than what was read.
        for _ in 0..3 {
            let start = self.cover(offset, needed, limit)?;
            match record.read(&self.block, start, self.seed, self.trust()) {
                Ok(()) => return self.took(record.len, offset, limit),
                Err(RecordFault::Bad(fault)) => return Err(self.file.corrupt(offset, fault)),
                Err(RecordFault::Short { len }) => needed = len.max(RECORD_HEADER_LEN),
            }
        }
        Err(self.file.corrupt(offset, Fault("a record that stays as it is")))
    }

    #[inline]
    fn trust(&self) -> Trust {
        self.checked.as_ref().map_or(Trust::Nothing, |_| Trust::Checked)
    }

    #[inline]
    fn took(&mut self, len: u32, offset: u64, limit: u64) -> Result<()> {
        let end = offset.saturating_add(u64::from(len));
        // A block of another reader may hold more than this one may see.
        if end > limit {
            return Err(self.file.corrupt(offset, Fault("a whole record")));
        }
        (self.last_end, self.last_len) = (end, len);
        Ok(())
    }

    /// What may be a record at `offset`, going by its header alone; `None` if that cannot be the
    /// header of a record that ends before `limit`.
    pub(crate) fn claim_at(&mut self, offset: u64, limit: u64) -> Result<Option<Claim>> {
        if limit.saturating_sub(offset) < wide(RECORD_LEN_MIN) {
            return Ok(None);
        }
        let start = self.cover(offset, RECORD_LEN_MIN, limit)?;
        let claim = Record::claim(&self.block, start);
        Ok(claim.filter(|claim| claim.len <= limit - offset))
    }

    /// The event of a record that was just read, to be kept.
    pub(crate) fn event(&self, record: &Record) -> Event {
        Event::new(record.parts, Arc::clone(&self.block))
    }

    /// The event of a record that was just read, to be looked at.
    #[inline]
    pub(crate) fn view<'a>(&'a self, record: &'a Record) -> EventView<'a> {
        EventView::new(&record.parts, &self.block)
    }

    /// The stream of a record that was just read.
    pub(crate) fn stream(&self, record: &Record) -> &str {
        record.stream(&self.block)
    }

    /// What a record that was just read says of a consumer.
    pub(crate) fn progress(&self, record: &Record) -> Option<(&str, Position)> {
        record.progress(&self.block)
    }

    /// Makes the block hold the `needed` bytes from `offset` on, which must lie before `limit`,
    /// and returns where in the block they begin.
    #[inline]
    fn cover(&mut self, offset: u64, needed: usize, limit: u64) -> Result<usize> {
        if wide(needed) > limit.saturating_sub(offset) {
            return Err(self.file.corrupt(offset, Fault("a whole record")));
        }
        if let Some(start) = self.offset_in_block(offset, needed) {
            return Ok(start);
        }
        self.fill(offset, needed, limit)?;
        let start = self.offset_in_block(offset, needed);
        start.ok_or_else(|| self.file.corrupt(offset, Fault("a whole record")))
    }

    #[inline]
    fn offset_in_block(&self, offset: u64, needed: usize) -> Option<usize> {
        let start = usize::try_from(offset.checked_sub(self.block_start)?).ok()?;
        let is_there = offset < self.block_end && start.checked_add(needed)? <= self.block.len();
        // In a block whose records were checked, nothing else is taken for one.
        let is_known = offset == self.last_end
            || self.checked.as_ref().is_none_or(|checked| checked.has(offset));
        (is_there && is_known).then_some(start)
    }

    /// Takes another block, which holds at least `needed` bytes from `offset` on if the file does.
    fn fill(&mut self, offset: u64, needed: usize, limit: u64) -> Result<()> {
        // Going on in the same block can only mean that a record is longer than what was read of it.
        let is_rest = self.checked.is_none()
            && (self.block_start..self.block_end).contains(&offset)
            && needed > RECORD_LEN_MIN;
        let shared = if is_rest { None } else { self.find_shared(offset, limit) };
        if let Some(checked) = shared {
            self.block_start = checked.start();
            self.block_end = checked.end();
            let shared = Block::Shared(Arc::clone(checked.bytes()));
            self.give_back();
            match Arc::get_mut(&mut self.block) {
                Some(block) => *block = shared,
                None => self.block = Arc::new(shared),
            }
            self.checked = Some(checked);
            // Where a record of another block ended says nothing of this one.
            self.last_end = u64::MAX;
            return Ok(());
        }
        let len = self.len_to_read(offset).max(needed);
        let left = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.take_block(offset, len.min(left))
    }

    /// A block that is, or should be, shared with other readers.
    fn find_shared(&self, offset: u64, limit: u64) -> Option<Checked> {
        let blocks = self.blocks()?;
        match &self.reading {
            // It came by already, and is counted once.
            Reading::Ahead { cell_len, .. } if self.has_read_in_cell_of(offset, *cell_len) => None,
            Reading::Ahead { len, cell_len } if len >= cell_len => {
                blocks.for_reader_in_order(&self.file, offset, limit)
            }
            Reading::Points { expected_end } => {
                if self.likely() == Likely::Record
                    && let Some(record) = blocks.kept_record(&self.file, offset)
                {
                    return Some(record);
                }
                let found = blocks.for_point(&self.file, offset, limit);
                // What is near each other is better read at once.
                if found.is_some() || *expected_end > offset {
                    return found;
                }
                blocks.for_record(&self.file, offset, limit, self.point_len())
            }
            // Who has just begun may stop soon.
            _ => blocks.for_point(&self.file, offset, limit),
        }
    }

    /// Whether the block was read, by this reader for itself, where that cell is.
    fn has_read_in_cell_of(&self, offset: u64, cell_len: u64) -> bool {
        self.checked.is_none()
            && self.block_start < self.block_end
            && self.block_start.checked_div(cell_len) == offset.checked_div(cell_len)
    }

    /// How many bytes to read from `offset` on, if they are not shared. Sets where the block ends.
    fn len_to_read(&mut self, offset: u64) -> usize {
        self.block_end = u64::MAX;
        match &mut self.reading {
            Reading::Fixed { len } => *len,
            Reading::Ahead { len, cell_len } => {
                let now = usize::try_from(*len).unwrap_or(usize::MAX);
                if *len <= *cell_len / CROSSING_PART {
                    *len = len.saturating_add(*len / 2);
                    return now;
                }
                self.block_end = cell_end(offset, *cell_len);
                let in_cell = len_of_cell_from(offset, *cell_len);
                let now = Some(now).filter(|_| *len < *cell_len);
                match now {
                    // Who has come to the end of a cell has not shown that it wants more.
                    Some(now) if now < in_cell => {
                        *len = len.saturating_mul(2).min(*cell_len);
                        now
                    }
                    _ => in_cell,
                }
            }
            Reading::Points { expected_end } => {
                // Once: what is read next may be anywhere.
                let expected = std::mem::take(expected_end);
                let before_last = usize::try_from(expected.saturating_sub(offset));
                before_last.unwrap_or(0).saturating_add(self.point_len())
            }
        }
    }

    fn likely(&self) -> Likely {
        let is_one = |checked: &Checked| checked.is_one_of(self.last_len);
        if self.checked.as_ref().is_some_and(is_one) { Likely::Record } else { Likely::Cell }
    }

    /// How many bytes to read for a record here or there.
    fn point_len(&self) -> usize {
        let last = usize::try_from(self.last_len).unwrap_or(POINT_LEN_MAX);
        last.clamp(POINT_LEN_MIN, POINT_LEN_MAX)
    }

    /// Reads `len` bytes from `offset` on, into the old block if no event holds on to it.
    fn take_block(&mut self, offset: u64, len: usize) -> Result<()> {
        self.add_to_digest();
        self.checked = None;
        self.block_start = offset;
        if !matches!(Arc::get_mut(&mut self.block), Some(Block::Own(_))) {
            let buffer = self.reading.take_memory(self.shared.as_deref());
            self.block = Arc::new(Block::Own(buffer));
        }
        let Some(Block::Own(buffer)) = Arc::get_mut(&mut self.block) else { return Ok(()) };
        buffer.fill(len, |bytes| self.file.read_at(bytes, offset))
    }

    fn blocks(&self) -> Option<&Blocks> {
        self.shared.as_ref()?.blocks()
    }

    /// Lets other readers have the memory of the block, if no event holds on to it.
    fn give_back(&mut self) {
        if let Some(Block::Own(buffer)) = Arc::get_mut(&mut self.block) {
            let buffer = std::mem::take(buffer);
            if let Some(spares) = self.reading.spares(self.shared.as_deref()) {
                spares.give_back(buffer);
            }
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::file::tests::Unreadable;
    use crate::segment::scan::tests::segment_of;
    use crate::types::Timestamp;

    /// How many KiB are read at once, one after the other, from an offset on.
    fn read_lens(mut offset: u64) -> Vec<u64> {
        let mut window = Window::ahead(segment_of(&[]), Arc::default());
        let mut next_len = || {
            let len = wide(window.len_to_read(offset)).min(window.block_end - offset);
            offset += len;
            len >> 10
        };
        (0..6).map(|_| next_len()).collect()
    }

    /// A reader here and there of records of 72 bytes, in blocks of as many bytes as 1,000 of them have.
    fn reader_of_points() -> (Window, u64) {
        let times: Vec<_> = (0..1_000).map(Timestamp::from_nanos).collect();
        let (file, shared) = (segment_of(&times), Arc::new(Shared::default()));
        shared.keep_blocks(1 << 20);
        let end = file.len().unwrap();
        (Window::points(file, shared), end)
    }

    fn offset_of(n: u64) -> u64 {
        wide(SEGMENT_HEADER_LEN) + 72 * n
    }

    #[test]
    fn records_that_are_read_again_are_kept_unless_they_are_near_each_other() {
        let were_kept = |first: u64, last: u64| {
            let (mut window, end) = reader_of_points();
            [(); 3].map(|()| {
                window.cover_run(&(offset_of(first)..=offset_of(last)), end).unwrap();
                window.record_at(offset_of(first), end).unwrap();
                let is_shared = window.is_shared();
                // As if it had read elsewhere meanwhile.
                window.take_block(0, 1).unwrap();
                is_shared
            })
        };
        assert_eq!(were_kept(7, 7), [false, true, true]);
        assert_eq!(were_kept(50, 60), [false; 3]);
    }

    /// It was told that others cannot be read, once all of their cell was to be kept.
    #[test]
    fn a_record_is_read_whatever_else_of_its_cell_cannot_be() {
        let (points, end) = reader_of_points();
        let shared = points.shared.clone().unwrap();
        let bad = offset_of(40)..offset_of(41);
        let file = points.file.with_file(|file| Arc::new(Unreadable::new(file, bad)));
        let mut window = Window::points(Arc::new(file), shared);
        for n in [3, 20, 41, 900].repeat(10) {
            let record = window.record_at(offset_of(n), end).unwrap();
            assert_eq!(record.parts.position.get(), n);
        }
        assert!(window.record_at(offset_of(40), end).is_err());
    }

    /// Whoever found a record by itself looks for the next one there first, and not for its cell.
    #[test]
    fn one_record_after_the_other_is_found_without_asking_for_cells() {
        let (mut window, end) = reader_of_points();
        let mut read = |n| {
            window.cover_run(&(offset_of(n)..=offset_of(n)), end).unwrap();
            window.record_at(offset_of(n), end).unwrap();
            (window.is_shared(), window.likely())
        };
        let (alone, kept) = ((false, Likely::Cell), (true, Likely::Record));
        assert_eq!([read(7), read(950), read(7), read(950)], [alone, alone, kept, kept]);
        // Each time it asked for a cell would have counted, and the fifth have read it.
        for _ in 0..10 {
            assert_eq!([read(7), read(950)], [kept, kept]);
        }
        assert_eq!(read(8), alone);
    }

    /// It read everything between two records that were far from each other.
    #[test]
    fn no_more_is_read_than_expected_though_others_had_what_that_was_for() {
        let (mut window, end) = reader_of_points();
        for _ in 0..2 {
            window.record_at(offset_of(900), end).unwrap();
            window.take_block(0, 1).unwrap();
        }
        window.cover_run(&(offset_of(900)..=offset_of(905)), end).unwrap();
        assert!(!window.is_shared(), "what is near each other is read at once");
        assert_eq!(window.block.len(), 5 * 72 + POINT_LEN_MIN);
        window.reading = Reading::Points { expected_end: offset_of(905) };
        window.cover_run(&(offset_of(7)..=offset_of(7)), end).unwrap();
        window.record_at(offset_of(7), end).unwrap();
        assert_eq!(window.block.len(), POINT_LEN_MIN);
    }

    /// Else each reader would clear new memory, or an event would have other bytes than its own.
    #[test]
    fn memory_goes_to_the_next_reader_unless_an_event_holds_on_to_it() {
        let file = segment_of(&[7, 8].map(Timestamp::from_nanos));
        let (shared, end) = (Arc::new(Shared::default()), file.len().unwrap());
        let read = |offset| {
            let mut window = Window::ahead(Arc::clone(&file), Arc::clone(&shared));
            let record = window.record_at(offset, end).unwrap();
            (window.event(&record), offset + u64::from(record.len), window)
        };
        let first = wide(SEGMENT_HEADER_LEN);
        let rooms = || shared.spares().rooms();
        let (event, second, window) = read(first);
        drop(window);
        assert!(rooms().is_empty(), "the event has it");
        let (other, _, window) = read(first);
        drop((other, window));
        assert_eq!(rooms().len(), 1);
        let (other, _, _window) = read(second);
        assert!(rooms().is_empty(), "it is used again");
        assert_eq!([&event, &other].map(|event| event.position().get()), [0, 1]);
    }

    #[test]
    fn a_reader_in_order_reads_more_and_more() {
        assert_eq!(read_lens(0), [15, 22, 33, 56, 67, 60]);
    }

    /// It read four times as much behind a cell as before, having asked for little in it.
    #[test]
    fn the_end_of_a_cell_is_no_reason_to_read_more() {
        assert_eq!(read_lens(CELL_LEN_MAX - (48 << 10)), [15, 22, 10, 33, 67, 26]);
    }

    /// Each of its first reads counted, so that the second reader of a place read all of the cell.
    #[test]
    fn a_reader_in_order_comes_by_once_however_often_it_reads() {
        let (points, end) = reader_of_points();
        let shared = Arc::new(Shared::default());
        // In blocks of several reads each, of which the file fills one.
        shared.keep_blocks(1 << 20);
        let were_shared = [(); 6].map(|()| {
            let mut window = Window::ahead(Arc::clone(&points.file), Arc::clone(&shared));
            window.record_at(offset_of(0), end).unwrap();
            let is_shared = window.is_shared();
            for n in 1..800 {
                window.record_at(offset_of(n), end).unwrap();
            }
            is_shared
        });
        assert_eq!(were_shared, [false, false, false, false, true, true]);
    }

    /// It read once more for the same, where the end of a cell came between.
    #[test]
    fn who_reads_little_reads_on_where_a_cell_ends() {
        assert_eq!(read_lens(CELL_LEN_MAX - (8 << 10)), [15, 22, 33, 64, 67, 60]);
        assert_eq!(read_lens(CELL_LEN_MAX - (24 << 10)), [15, 22, 33, 67, 13, 128]);
    }
}
