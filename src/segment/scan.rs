//! Reading a segment record by record, each of which must follow from the one before.

use std::sync::Arc;

use crate::error::Result;
use crate::event::{Event, EventView};
use crate::format::{Claim, Fault, Record, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::segment::file::wide;
use crate::segment::{SegmentFile, Shared, Window};
use crate::types::{Address, LogEnd, Position, Timestamp};

/// Bytes that a scan reads at once.
const BLOCK_LEN: usize = 128 << 10;

/// What the next record must follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The position that it must have.
    pub(crate) position: Position,
    /// The checksum that it must carry; `None` where a scan begins in the middle.
    pub(crate) chain: Option<u32>,
    /// The recorded time that it must be later than, or equal to within a batch.
    pub(crate) recorded_before: Timestamp,
    /// Whether the record before it ended its batch; `None` where a scan begins in the middle.
    pub(crate) begins_batch: Option<bool>,
}

impl Link {
    /// What follows from the header of a segment.
    pub(crate) fn from_header(header: &SegmentHeader) -> Self {
        Self {
            position: header.base,
            chain: Some(header.chain),
            recorded_before: header.recorded_before,
            begins_batch: Some(true),
        }
    }

    /// What follows from the end of the log, or an earlier end of a batch.
    pub(crate) fn from_end(end: &LogEnd) -> Self {
        Self {
            position: end.position,
            chain: Some(end.checksum),
            recorded_before: end.recorded_at,
            begins_batch: Some(true),
        }
    }

    /// What is known where a scan begins in the middle: which position is there.
    pub(crate) fn at(position: Position) -> Self {
        Self { position, chain: None, recorded_before: Timestamp::MIN, begins_batch: None }
    }

    /// Checks that `record` is the next one: rules 2 to 4 of `docs/format.md`, section 3.
    #[inline]
    fn check(&self, record: &Record) -> Result<(), Fault> {
        let parts = &record.parts;
        if parts.position != self.position {
            return Err(Fault("the record of the next position"));
        }
        if self.chain.is_some_and(|chain| chain != record.previous) {
            return Err(Fault("a record that follows from the one before"));
        }
        let time = parts.recorded_at;
        let is_first = self.position == Position::START && self.recorded_before == Timestamp::MIN;
        let in_order = match self.begins_batch {
            Some(true) => time > self.recorded_before || is_first,
            Some(false) => time == self.recorded_before,
            None => true,
        };
        if in_order {
            Ok(())
        } else {
            Err(Fault("a recorded time that follows from the one before"))
        }
    }

    #[inline]
    fn after(record: &Record) -> Self {
        Self {
            position: record.end(),
            chain: Some(record.checksum),
            recorded_before: record.parts.recorded_at,
            begins_batch: Some(record.parts.ends_batch),
        }
    }
}

/// Reads one segment record by record.
#[derive(Debug)]
pub(crate) struct Scanner {
    window: Window,
    offset: u64,
    link: Link,
    /// The one that was read last. It stays in its place: to move it costs as much as to check it.
    record: Record,
    /// Whether that is the next one, and follows.
    is_peeked: bool,
}

impl Scanner {
    /// Begins with the record at `offset`, which must follow from `link`.
    pub(crate) fn new(file: Arc<SegmentFile>, offset: u64, link: Link) -> Self {
        Self::with(Window::new(file, BLOCK_LEN), offset, link)
    }

    /// As [`Self::new`], for one of several readers; it may stop soon.
    pub(crate) fn sharing(
        file: Arc<SegmentFile>,
        offset: u64,
        link: Link,
        shared: Arc<Shared>,
    ) -> Self {
        Self::with(Window::ahead(file, shared), offset, link)
    }

    /// As [`Self::sharing`], for who reads what others may not see yet.
    pub(crate) fn alone(file: Arc<SegmentFile>, offset: u64, link: Link) -> Self {
        Self::with(Window::ahead_alone(file), offset, link)
    }

    /// Goes on in another file, with the record at the same offset, which must follow from what was
    /// read in this one.
    pub(crate) fn go_on_in(self, file: Arc<SegmentFile>, shared: Arc<Shared>) -> Self {
        Self::sharing(file, self.offset, self.link, shared)
    }

    fn with(window: Window, offset: u64, link: Link) -> Self {
        Self { window, offset, link, record: Record::none(), is_peeked: false }
    }

    /// Begins with the first record.
    pub(crate) fn from_header(file: Arc<SegmentFile>, header: &SegmentHeader) -> Self {
        Self::new(file, wide(SEGMENT_HEADER_LEN), Link::from_header(header))
    }

    /// Goes to `offset`, where the record at `position` stands, whatever is before it.
    pub(super) fn put(&mut self, offset: u64, position: Position) {
        self.offset = offset;
        self.link = Link::at(position);
        self.is_peeked = false;
    }

    /// Computes a digest as well, of the file from its first byte on. Before the first record is read.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) from reading the header.
    pub(crate) fn digest(&mut self) -> Result<()> {
        self.window.digest()
    }

    /// The digest of everything before the next record; `None` if it was not wanted, or something
    /// was passed over.
    pub(crate) fn take_digest(&mut self) -> Option<u128> {
        self.window.take_digest()
    }

    /// Position of the next record.
    pub(crate) fn position(&self) -> Position {
        self.link.position
    }

    /// Offset of the next record.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// First position of the segment.
    pub(crate) fn segment(&self) -> Position {
        self.window.file().base()
    }

    /// The end of the log as it stands before the next record, if the record before it was read
    /// or is known otherwise, and ended its batch.
    pub(crate) fn end(&self) -> Option<LogEnd> {
        let Link { position, chain, recorded_before, begins_batch } = self.link;
        let address = Address { segment: self.segment(), offset: self.offset };
        let end = LogEnd { position, address, checksum: chain?, recorded_at: recorded_before };
        (begins_batch == Some(true)).then_some(end)
    }

    /// Whether nothing is known of the record before the next one.
    pub(crate) fn is_fresh(&self) -> bool {
        self.link.begins_batch.is_none()
    }

    /// Reads the next record, all of which must lie before `limit`, and where it stands.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) if there is no whole record that follows from
    /// the one before. The scanner stays where it is.
    pub(crate) fn read(&mut self, limit: u64) -> Result<(Record, Address)> {
        let address = Address { segment: self.segment(), offset: self.offset };
        self.advance(limit)?;
        Ok((self.record, address))
    }

    /// As [`Self::read`], for who looks at the event with [`Self::view`]: returns when it was
    /// recorded.
    #[inline]
    pub(crate) fn advance(&mut self, limit: u64) -> Result<Timestamp> {
        self.peek(limit)?;
        self.is_peeked = false;
        self.offset += u64::from(self.record.len);
        self.link = Link::after(&self.record);
        Ok(self.record.parts.recorded_at)
    }

    /// Looks at the next record, as [`Self::advance`] does, and stays before it.
    #[inline]
    pub(crate) fn peek(&mut self, limit: u64) -> Result<Timestamp> {
        if !self.is_peeked {
            self.window.read(&mut self.record, self.offset, limit)?;
            let checked = self.link.check(&self.record);
            checked.map_err(|fault| self.window.file().corrupt(self.offset, fault))?;
            self.is_peeked = true;
        }
        Ok(self.record.parts.recorded_at)
    }

    /// Goes to the last of those next records of which `is_before` holds, going by their headers
    /// alone: stays where it is if there is none. What is there must be read to be believed.
    pub(crate) fn skip_to_last(
        &mut self,
        limit: u64,
        is_before: impl Fn(&Claim) -> bool,
    ) -> Result<()> {
        let (mut offset, mut position) = (self.offset, self.link.position);
        let mut skipped = false;
        // What was read may be in another block than what is now looked at.
        self.is_peeked = false;
        while let Some(claim) = self.window.claim_at(offset, limit)?
            && claim.position == position
            && is_before(&claim)
        {
            skipped |= offset != self.offset;
            self.offset = offset;
            self.link.position = position;
            offset = offset.saturating_add(claim.len);
            position = position.next();
        }
        if skipped {
            self.link = Link::at(self.link.position);
        }
        Ok(())
    }

    /// Reads so many bytes at once from now on.
    pub(super) fn read_at_once(&mut self, len: usize) {
        self.window = Window::new(Arc::clone(self.window.file()), len);
        self.is_peeked = false;
    }

    pub(crate) fn file(&self) -> &SegmentFile {
        self.window.file()
    }

    /// The record that was read last.
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// The event of a record that was just read, to be kept.
    pub(crate) fn event(&self, record: &Record) -> Event {
        self.window.event(record)
    }

    /// The event of the record that was read last, to be looked at.
    #[inline]
    pub(crate) fn view(&self) -> EventView<'_> {
        self.window.view(&self.record)
    }

    /// The stream of a record that was just read.
    pub(crate) fn stream(&self, record: &Record) -> &str {
        self.window.stream(record)
    }

    /// What a record that was just read says of a consumer.
    pub(crate) fn progress(&self, record: &Record) -> Option<(&str, Position)> {
        self.window.progress(record)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::directory::{Directory, SimulatedDirectory};
    use crate::event::NewEvent;
    use crate::format::{ToRecord, encode_record};
    use crate::segment::{FOLDER, name_of};
    use crate::types::{EventId, Revision, StoreId, StoreKey};

    const KEY: StoreKey = StoreKey { id: StoreId::from_bytes([3; 16]), seed: 5 };

    /// Streams of the records of a segment, by turns.
    const STREAMS: [&str; 3] = ["a", "b", "c"];

    /// The first segment of a store, with one batch at each of these times.
    pub(in crate::segment) fn segment_of(times: &[Timestamp]) -> Arc<SegmentFile> {
        let header = SegmentHeader::first(KEY);
        let (mut bytes, mut previous) = (header.encode(), header.chain);
        for ((n, recorded_at), stream) in (0..).zip(times).zip(STREAMS.iter().cycle()) {
            let record = ToRecord {
                stream,
                event: &NewEvent::text("said", ""),
                id: EventId::from_bytes([0; 16]),
                position: Position::new(n),
                revision: Revision::new(n),
                recorded_at: *recorded_at,
                previous,
                durable_end: Position::START,
                ends_batch: true,
                progress: None,
                seed: KEY.seed,
            };
            previous = encode_record(&record, &mut bytes);
        }
        let directory = SimulatedDirectory::new();
        directory.create_folder(FOLDER).unwrap();
        directory.put(&name_of(Position::START), bytes);
        Arc::new(SegmentFile::open_to_read(&directory, KEY, Position::START).unwrap())
    }

    fn count(times: &[Timestamp]) -> usize {
        let file = segment_of(times);
        let (header, limit) = (file.header().unwrap(), file.len().unwrap());
        let mut scanner = Scanner::from_header(file, &header);
        std::iter::from_fn(|| scanner.read(limit).ok()).count()
    }

    /// Where a scan begins in the middle there is no chain to check, only what is said to be there.
    #[test]
    fn a_scan_that_begins_at_another_record_than_it_should_gives_none() {
        let file = segment_of(&[Timestamp::from_nanos(7), Timestamp::from_nanos(8)]);
        let (offset, limit) = (wide(SEGMENT_HEADER_LEN), file.len().unwrap());
        let read = |position| {
            let link = Link::at(Position::new(position));
            Scanner::new(Arc::clone(&file), offset, link).read(limit)
        };
        assert!(read(0).is_ok());
        assert!(read(1).is_err() && read(u64::MAX).is_err());
        let link = Link { position: Position::START, ..Link::at(Position::new(1)) };
        let second = offset + u64::from(read(0).unwrap().0.len);
        assert!(Scanner::new(Arc::clone(&file), second, link).read(limit).is_err());
    }

    /// What is peeked at is not read again, but where the scanner has gone on, or looked elsewhere.
    #[test]
    fn a_scanner_that_peeked_reads_what_is_next() {
        let times: Vec<_> = (0..100).map(Timestamp::from_nanos).collect();
        let file = segment_of(&times);
        let (header, limit) = (file.header().unwrap(), file.len().unwrap());
        // Bytes of two records, of which one is looked at with the next.
        let mut scanner = Scanner::from_header(file, &header);
        scanner.read_at_once(150);
        let mut read = Vec::new();
        for skip_to in [0, 0, 7, 7, 8, 30, 31, 90] {
            let position = Position::new(skip_to);
            scanner.skip_to_last(limit, |claim| claim.position <= position).unwrap();
            let peeked = scanner.peek(limit).unwrap();
            assert_eq!(scanner.peek(limit).unwrap(), peeked);
            assert_eq!(scanner.advance(limit).unwrap(), peeked);
            assert_eq!(scanner.view().recorded_at(), peeked);
            read.push(scanner.view().position().get());
        }
        assert_eq!(read, [0, 1, 7, 8, 9, 30, 31, 90]);
        // Nothing is skipped here, but the headers of what follows were looked at.
        let peeked = scanner.peek(limit).unwrap();
        scanner.skip_to_last(limit, |claim| claim.position <= Position::new(91)).unwrap();
        assert_eq!(scanner.advance(limit).unwrap(), peeked);
        assert_eq!(scanner.view().stream(), STREAMS[91 % 3]);
    }

    #[test]
    fn a_batch_at_the_time_of_the_one_before_does_not_follow() {
        let time = Timestamp::from_nanos;
        assert_eq!(count(&[time(7), time(8)]), 2);
        assert_eq!(count(&[time(7), time(7)]), 1);
        assert_eq!(count(&[time(7), time(6)]), 1);
    }

    /// The smallest time stands for "no record before" in the first header, so any time was taken
    /// after it: also the same again, by any number of batches. Found by the fuzz target `segment`.
    #[test]
    fn only_the_first_batch_may_have_the_earliest_time() {
        let time = Timestamp::from_nanos;
        assert_eq!(count(&[Timestamp::MIN, time(i64::MIN + 1)]), 2);
        assert_eq!(count(&[Timestamp::MIN, Timestamp::MIN]), 1);
    }
}
