//! Going through the log from its first byte to its last, past whatever is damaged.
//!
//! Owns what is checked of a segment and between segments. Remembers nothing of the records.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{Fault, Footer, Record, SegmentHeader};
use crate::log::Segments;
use crate::segment::{
    Link, ReadAhead, Scanner, SegmentFile, Window, begins_with, digest_of, find_record,
    records_start,
};
use crate::types::{Address, LogEnd, Position, Timestamp};
use crate::verify::{DAMAGES_MAX, Damage, is_damage};

/// Bytes after the beginning of a bad record at which a good one may begin.
const NEXT_PLACE: u64 = 8;
/// Bytes to read for one record.
const RECORD_LEN: usize = 4 << 10;

/// Is told of every sound record, and may end the walk.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&Record, &str, Address) -> ControlFlow<()>;

/// What was found on the way.
#[derive(Debug)]
pub(crate) struct Walked {
    pub(crate) damages: Vec<Damage>,
    pub(crate) damage_count: u64,
    pub(crate) segment_count: u64,
    pub(crate) sealed_count: u64,
    pub(crate) event_count: u64,
    /// End of the last whole batch before the first damage to a record or between segments.
    pub(crate) sound_end: LogEnd,
    /// Where sound segments end whose footers are damaged or missing; at most as many as damages.
    pub(crate) to_seal: Vec<LogEnd>,
    /// Whether no record is damaged and all segments follow from each other.
    pub(crate) is_whole: bool,
    pub(crate) is_complete: bool,
}

/// Which full segments may be without a footer.
#[derive(Clone, Copy)]
pub(crate) enum MayBeUnsealed<'a> {
    /// Those that no sealed one follows.
    Last,
    /// Those of which this says so, by their first positions.
    Told(&'a dyn Fn(Position) -> bool),
}

/// Reads all segments in the directory that `segments` knows, up to `end`.
pub(crate) fn walk(
    segments: &Segments,
    end: &LogEnd,
    may_be_unsealed: MayBeUnsealed<'_>,
    visit: Visit<'_>,
) -> Walked {
    let mut bases = segments.bases();
    // One that was just begun has nothing visible.
    bases.retain(|base| *base <= end.address.segment);
    let mut walk = Walk::new(segments, *end, may_be_unsealed);
    let first = bases.first().copied().unwrap_or(end.position);
    if first != Position::START {
        let expected = "the first segment";
        let error = Error::Corrupt { segment: Position::START, offset: 0, expected };
        walk.lose(error, Position::START..first);
        walk.before = None;
    }
    let next = bases.iter().skip(1).copied().map(Some).chain([None]);
    for (base, next) in bases.iter().zip(next) {
        if walk.segment(*base, next, visit).is_break() {
            walk.found.is_complete = false;
            break;
        }
    }
    walk.found
}

struct Walk<'a> {
    segments: &'a Segments,
    end: LogEnd,
    may_be_unsealed: MayBeUnsealed<'a>,
    /// Where the segment before ended; `None` if that is not known.
    before: Option<LogEnd>,
    /// Ends of segments without a footer that no sealed one follows so far.
    unsealed: Vec<LogEnd>,
    /// Whether something could not be read, and that was written down.
    has_failed: bool,
    ahead: ReadAhead,
    found: Walked,
}

/// A segment while it is read.
struct Reading {
    file: Arc<SegmentFile>,
    scanner: Scanner,
    /// Where its records should end.
    stop: Position,
    limit: u64,
    first_recorded_at: Option<Timestamp>,
    is_whole: bool,
    /// How often it was looked for what stands behind damage.
    resumed_count: usize,
}

impl<'a> Walk<'a> {
    fn new(segments: &'a Segments, end: LogEnd, may_be_unsealed: MayBeUnsealed<'a>) -> Self {
        let start = LogEnd::start(segments.key().seed, records_start());
        let found = Walked {
            damages: Vec::new(),
            damage_count: 0,
            segment_count: 0,
            sealed_count: 0,
            event_count: 0,
            sound_end: start,
            to_seal: Vec::new(),
            is_whole: true,
            is_complete: true,
        };
        let before = Some(start);
        Self {
            segments,
            end,
            may_be_unsealed,
            before,
            unsealed: Vec::new(),
            has_failed: false,
            ahead: ReadAhead::new(),
            found,
        }
    }

    /// Writes down damage that costs no event.
    fn note(&mut self, error: Error, at: Position) {
        self.write_down(error, at..at);
    }

    /// Writes down damage to records, or to how they follow from each other.
    fn lose(&mut self, error: Error, positions: Range<Position>) {
        self.found.is_whole = false;
        let end = positions.end.max(positions.start);
        self.write_down(error, positions.start..end);
    }

    fn write_down(&mut self, error: Error, positions: Range<Position>) {
        self.found.damage_count += 1;
        // Whoever repairs must hear of what could not be read, however much else there is.
        let is_first_failure = !is_damage(&error) && !self.has_failed;
        self.has_failed |= is_first_failure;
        if self.found.damages.len() < DAMAGES_MAX || is_first_failure {
            self.found.damages.push(Damage { error, positions });
        }
    }

    /// Reads the segment that begins at `base`, and that `next` follows if there is one.
    fn segment(
        &mut self,
        base: Position,
        next: Option<Position>,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        let before = self.before.take();
        let stop = next.unwrap_or(self.end.position).max(base);
        let (mut reading, footer) = match self.begin(base, next, stop, before) {
            Ok(begun) => begun,
            Err(error) => {
                self.lose(error, base..stop);
                return ControlFlow::Continue(());
            }
        };
        self.found.segment_count += 1;
        self.records(&mut reading, visit)?;
        if next.is_some()
            && reading.is_whole
            && let Some(end) = self.ended(&reading)
        {
            self.before = Some(end);
            match footer {
                Some(footer) => self.sealed(reading, &footer, &end),
                None => self.unsealed(&reading.file, &end),
            }
        }
        ControlFlow::Continue(())
    }

    fn begin(
        &mut self,
        base: Position,
        next: Option<Position>,
        stop: Position,
        before: Option<LogEnd>,
    ) -> Result<(Reading, Option<Footer>)> {
        // Not a file that is open already: what is in the directory counts.
        let directory = &**self.segments.directory();
        let file = Arc::new(SegmentFile::open_to_read(directory, self.segments.key(), base)?);
        let header = file.header()?;
        if before.is_some_and(|end| !follows(&header, &end)) {
            let fault = Fault("a segment that follows from the one before");
            self.lose(file.corrupt(0, fault), base..base);
        }
        let footer = if next.is_some() { file.footer()? } else { None };
        let limit = match &footer {
            _ if next.is_none() => self.end.address.offset,
            Some(footer) => footer.offset,
            None => file.len()?,
        };
        self.ahead.begin(&file, limit);
        let mut scanner = Scanner::from_header(Arc::clone(&file), &header);
        if footer.is_some() {
            scanner.digest()?;
        }
        let reading = Reading {
            file,
            scanner,
            stop,
            limit,
            first_recorded_at: None,
            is_whole: true,
            resumed_count: 0,
        };
        Ok((reading, footer))
    }

    /// Reads records up to where they should end, past those that are damaged.
    fn records(&mut self, reading: &mut Reading, visit: Visit<'_>) -> ControlFlow<()> {
        while reading.scanner.position() < reading.stop {
            match reading.scanner.read(reading.limit) {
                Ok((record, address)) => {
                    self.found.event_count += 1;
                    self.ahead.reached(&reading.file, address.offset, reading.limit);
                    reading.first_recorded_at.get_or_insert(record.parts.recorded_at);
                    if let Some(end) = reading.scanner.end().filter(|_| self.found.is_whole) {
                        self.found.sound_end = end;
                    }
                    visit(&record, reading.scanner.stream(&record), address)?;
                }
                Err(error) => {
                    reading.is_whole = false;
                    if !self.resume(reading, error) {
                        break;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Goes on behind damage, at the next record that stands in the segment; `false` if there is
    /// none.
    fn resume(&mut self, reading: &mut Reading, error: Error) -> bool {
        let Reading { file, scanner, stop, limit, resumed_count, .. } = reading;
        *resumed_count += 1;
        let missing = scanner.position()..*stop;
        let start = scanner.offset().saturating_add(NEXT_PLACE);
        // What cannot be searched is lost as well, and the place is the same. So is what stands
        // behind damage without end, each piece of which takes another search.
        let found = if *resumed_count <= DAMAGES_MAX {
            find_record(file, start, *limit, &missing).ok().flatten()
        } else {
            None
        };
        let resumed = found.map_or(missing.end, |(_, position)| position);
        self.lose(error, missing.start..resumed);
        let Some((offset, position)) = found else { return false };
        *scanner = Scanner::new(Arc::clone(file), offset, Link::at(position));
        true
    }

    /// Where a segment that another follows has ended, if it has ended there.
    fn ended(&mut self, reading: &Reading) -> Option<LogEnd> {
        let Reading { file, scanner, stop, limit, .. } = reading;
        let fault = Fault("a segment that ends where the next one begins");
        let corrupt = file.corrupt(scanner.offset(), fault);
        let ended = scanner.end();
        let goes_on = find_record(file, scanner.offset(), *limit, &(*stop..stop.next()));
        let has_ended = match goes_on {
            Ok(None) => true,
            Ok(Some((offset, _))) => {
                self.has_moved(file, offset, *limit).is_ok_and(|has_moved| has_moved)
            }
            Err(_) => false,
        };
        if ended.is_none() || !has_ended {
            self.lose(corrupt, *stop..*stop);
            return None;
        }
        ended
    }

    /// Whether the record at `offset` is the one that the next segment begins with.
    fn has_moved(&self, file: &Arc<SegmentFile>, offset: u64, limit: u64) -> Result<bool> {
        let record = Window::new(Arc::clone(file), RECORD_LEN).record_at(offset, limit)?;
        let (directory, key) = (&**self.segments.directory(), self.segments.key());
        let next = SegmentFile::open_to_read(directory, key, record.parts.position)?;
        begins_with(next, &record)
    }

    /// Takes note of a segment that was read without a footer.
    fn unsealed(&mut self, file: &SegmentFile, end: &LogEnd) {
        match self.may_be_unsealed {
            MayBeUnsealed::Last => self.unsealed.push(*end),
            MayBeUnsealed::Told(may_be_unsealed) if may_be_unsealed(file.base()) => {}
            MayBeUnsealed::Told(_) => self.check_sealed(file, end),
        }
    }

    /// Checks that a segment that was read without a footer has got one meanwhile.
    fn check_sealed(&mut self, file: &SegmentFile, end: &LogEnd) {
        if !matches!(file.footer(), Ok(Some(_))) {
            self.bad_footer(file.corrupt(end.address.offset, Fault("a footer")), end);
        }
    }

    fn bad_footer(&mut self, error: Error, end: &LogEnd) {
        self.note(error, end.position);
        if self.found.to_seal.len() < DAMAGES_MAX {
            self.found.to_seal.push(*end);
        }
    }

    /// Checks the footer of a segment whose records are sound.
    fn sealed(&mut self, mut reading: Reading, footer: &Footer, end: &LogEnd) {
        let digest = reading.scanner.take_digest();
        let file = &reading.file;
        // Segments are sealed in their order, and these were not when they were read.
        for earlier in std::mem::take(&mut self.unsealed) {
            let directory = &**self.segments.directory();
            let base = earlier.address.segment;
            match SegmentFile::open_to_read(directory, self.segments.key(), base) {
                Ok(file) => self.check_sealed(&file, &earlier),
                Err(error) => self.note(error, earlier.position),
            }
        }
        let fits = footer.offset == end.address.offset
            && footer.end() == end.position
            && footer.checksum == end.checksum
            && footer.last_recorded_at == end.recorded_at
            && Some(footer.first_recorded_at) == reading.first_recorded_at;
        if !fits {
            let fault = Fault("a footer that fits the records");
            return self.bad_footer(file.corrupt(footer.offset, fault), end);
        }
        // Its bytes were read just now.
        match digest.map_or_else(|| digest_of(file, footer.offset), Ok) {
            Ok(digest) if digest == footer.digest => self.found.sealed_count += 1,
            Ok(_) => {
                self.note(file.corrupt(0, Fault("the bytes that were sealed")), end.position);
            }
            Err(error) => self.note(error, end.position),
        }
    }
}

fn follows(header: &SegmentHeader, end: &LogEnd) -> bool {
    header.base == end.position
        && header.chain == end.checksum
        && header.recorded_before == end.recorded_at
}
