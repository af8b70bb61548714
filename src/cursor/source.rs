//! What cursors read from: the log, and the index that knows where to look in it.
//!
//! Where the index has no answer, or a wrong one, the log is scanned: slower, and right.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cursor::LaterIndex;
use crate::cursor::page::Run;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::format::Record;
use crate::index::{Index, IndexFault, Mark, Seek};
use crate::log::{Segments, Tracker};
use crate::segment::{Scanner, Window, find_record, wide};
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::types::{Address, LogEnd, NameKind, Position, Revision, Timestamp, check_name};

/// The most events that are held to be given out backwards.
pub(super) const BACKWARDS_COUNT_MAX: u64 = 1_024;

/// How long to wait before looking again at what another process writes: about as long as it takes
/// the writer to note how far that is durable.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Whether a stream can have this name. The index is asked for no other.
fn is_name(stream: &str) -> bool {
    check_name(NameKind::Stream, stream).is_ok()
}

/// Whether an error says that there is no such segment.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}

/// Where single records are read, and up to which offset there.
#[derive(Debug)]
pub(crate) struct Near {
    pub(crate) window: Window,
    limit: u64,
}

/// What cursors of a store share.
#[derive(Debug)]
pub(crate) struct Source {
    segments: Arc<Segments>,
    index: Arc<LaterIndex>,
    /// Places in one segment, some way apart, for reading it backwards without the index.
    milestones: Mutex<Vec<(Address, Position)>>,
    closed: AtomicBool,
    /// Finds out what another process has written, if that is who writes.
    tracker: Option<Tracker>,
}

impl Source {
    pub(crate) fn new(segments: Arc<Segments>, index: Arc<LaterIndex>) -> Self {
        let milestones = Mutex::default();
        Self { segments, index, milestones, closed: AtomicBool::new(false), tracker: None }
    }

    /// What cursors share over a log that another process writes, without an index.
    pub(crate) fn tracking(tracker: Tracker, no_index: Index) -> Self {
        let index = Arc::new(LaterIndex::from(Arc::new(no_index)));
        let source = Self::new(Arc::clone(tracker.segments()), index);
        Self { tracker: Some(tracker), ..source }
    }

    /// The index, once it is open.
    pub(crate) fn index(&self) -> &Arc<Index> {
        self.index.wait()
    }

    /// The last mark before a place, if the index is open and has one.
    fn mark_before(&self, seek: Seek) -> Option<Mark> {
        self.index.look()?.mark_before(seek).ok().flatten()
    }

    /// Breaks an index that gave a mark without its event.
    fn break_index(&self) {
        if let Some(index) = self.index.look() {
            index.mark_broken(IndexFault::Damaged { what: "a mark without its event" });
        }
    }

    pub(crate) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// Ends reading: cursors fail with [`Error::Closed`] from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.segments.wake();
    }

    /// Fails if the store is closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// The visible end, unless the store is closed.
    pub(crate) fn visible(&self) -> Result<LogEnd> {
        self.check_open()?;
        self.tracker.as_ref().map_or(Ok(()), Tracker::refresh)?;
        Ok(self.segments.visible())
    }

    /// Waits until an event at `position` is visible, for `timeout` at most; says whether it is.
    pub(crate) fn wait_for(&self, position: Position, timeout: Duration) -> Result<bool> {
        let is_over = || self.closed.load(Ordering::Acquire);
        let Some(_) = &self.tracker else {
            let is_visible = self.segments.wait_beyond(position, timeout, is_over);
            return self.check_open().map(|()| is_visible);
        };
        let deadline = Instant::now().checked_add(timeout);
        let left =
            || deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        // Nobody tells what another process does.
        while self.visible()?.position <= position {
            if left().is_zero() {
                return Ok(false);
            }
            self.segments.wait_beyond(position, left().min(LOOK_INTERVAL), is_over);
        }
        Ok(true)
    }

    /// Begins to read at `position`, which must be visible.
    ///
    /// Damage before it in its segment is passed over if a record stands at `position`: whoever
    /// asks for a place knows what is before it.
    pub(crate) fn locate(&self, position: Position) -> Result<Scanner> {
        let base = self.segments.holding(position);
        if position == base {
            return self.segments.scan(base);
        }
        let mark = self.mark_before(Seek::Position(position));
        if let Some(mark) = mark.filter(|mark| mark.address.segment == base) {
            let scanner = self.segments.scan_at(mark.address, mark.position)?;
            match self.skip_to(scanner, position) {
                Err(Error::Corrupt { .. }) => {}
                other => return other,
            }
            // Either the mark is wrong or the log is: without it, the error tells.
            match self.advance(self.segments.scan(base)?, position) {
                Err(error @ Error::Corrupt { .. }) => return self.behind(error, base, position),
                other => {
                    let mut scanner = other?;
                    let file = self.segments.file(base)?;
                    // What is damaged at the position itself is for the reader to find.
                    if scanner.peek(self.segments.limit(&file)?).is_ok() {
                        self.break_index();
                    }
                    return Ok(scanner);
                }
            }
        }
        match self.advance(self.segments.scan(base)?, position) {
            Err(error @ Error::Corrupt { .. }) => self.behind(error, base, position),
            other => other,
        }
    }

    /// Goes on until `position` is next, by the headers of the records before it, and makes sure
    /// that the record there is one.
    fn skip_to(&self, mut scanner: Scanner, position: Position) -> Result<Scanner> {
        let file = self.segments.file(scanner.segment())?;
        let limit = self.segments.limit(&file)?;
        scanner.skip_to_last(limit, |claim| claim.position <= position)?;
        // A header that lies leads to bytes that are no record, or the wrong one.
        while scanner.position() < position {
            scanner.advance(limit)?;
        }
        scanner.peek(limit)?;
        Ok(scanner)
    }

    /// Begins to read at `position` behind damage, or fails with `error` if no record stands
    /// there.
    fn behind(&self, error: Error, base: Position, position: Position) -> Result<Scanner> {
        let Error::Corrupt { segment, offset, .. } = &error else { return Err(error) };
        if *segment != base {
            return Err(error);
        }
        let file = self.segments.file(base)?;
        let limit = self.segments.limit(&file)?;
        let start = offset.saturating_add(1);
        let found = find_record(&file, start, limit, &(position..position.next()))?;
        let (offset, position) = found.ok_or(error)?;
        self.segments.scan_at(Address { segment: base, offset }, position)
    }

    /// Reads on until `position` is next.
    fn advance(&self, mut scanner: Scanner, position: Position) -> Result<Scanner> {
        let file = self.segments.file(scanner.segment())?;
        let limit = self.segments.limit(&file)?;
        while scanner.position() < position {
            scanner.advance(limit)?;
        }
        Ok(scanner)
    }

    /// The position of the first visible event recorded at `time` or later; the visible end if
    /// there is none.
    pub(crate) fn position_at(&self, time: Timestamp) -> Result<Position> {
        let visible = self.visible()?.position;
        let found = self.scanner_at(time, visible)?;
        Ok(found.map_or(visible, |scanner| scanner.position()))
    }

    /// Begins to read at the first event before `visible` that was recorded at `time` or later;
    /// `None` if there is none.
    pub(crate) fn scanner_at(&self, time: Timestamp, visible: Position) -> Result<Option<Scanner>> {
        let mark = self.mark_before(Seek::Time(time));
        let mut scanner = match mark.filter(|mark| mark.position < visible) {
            Some(mark) => self.scan_from_mark(&mark, time)?,
            None => self.segments.scan(self.segment_before(time)?)?,
        };
        while scanner.position() < visible {
            scanner = self.segments.cross(scanner)?;
            let file = self.segments.file(scanner.segment())?;
            let limit = self.segments.limit(&file)?;
            let stop = self.stop(&scanner, visible);
            while scanner.position() < stop {
                if scanner.peek(limit)? >= time {
                    return Ok(Some(scanner));
                }
                scanner.advance(limit)?;
            }
        }
        Ok(None)
    }

    /// Begins to read at a mark before `time`, or after it, as near as can be told by the headers
    /// of the records there. If the record at the mark is not the one it speaks of, begins where the
    /// segments tell.
    fn scan_from_mark(&self, mark: &Mark, time: Timestamp) -> Result<Scanner> {
        match self.read_mark(mark) {
            Ok((scanner, at)) if at == mark.recorded_at && at < time => {
                return self.skip_before(scanner, mark, time);
            }
            Err(error @ Error::Corrupt { .. }) if self.is_record_there(mark.address)? => {
                return Err(error);
            }
            Ok(_) | Err(Error::Corrupt { .. }) => {}
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
        self.break_index();
        self.segments.scan(self.segment_before(time)?)
    }

    /// Goes on to a record that was recorded before `time`, by the headers of those before it: that
    /// is where it should be if its own checksum says so. If not, whoever reads on from the mark
    /// learns why.
    fn skip_before(&self, scanner: Scanner, mark: &Mark, time: Timestamp) -> Result<Scanner> {
        let mut ahead = scanner;
        let file = self.segments.file(ahead.segment())?;
        let limit = self.segments.limit(&file)?;
        let visible = self.segments.visible().position;
        let stop = self.stop(&ahead, visible);
        if ahead.position() >= stop {
            return Ok(ahead);
        }
        ahead.skip_to_last(limit, |claim| claim.recorded_at < time && claim.position < stop)?;
        match ahead.peek(limit) {
            Err(Error::Corrupt { .. }) => self.segments.scan_at(mark.address, mark.position),
            // Records of one segment ascend in time, so all before it are earlier, too.
            _ => Ok(ahead),
        }
    }

    /// Reads the record that a mark speaks of, and when it was recorded.
    fn read_mark(&self, mark: &Mark) -> Result<(Scanner, Timestamp)> {
        let mut scanner = self.segments.scan_at(mark.address, mark.position)?;
        let file = self.segments.file(mark.address.segment)?;
        let (record, _) = scanner.read(self.segments.limit(&file)?)?;
        Ok((scanner, record.parts.recorded_at))
    }

    /// Where a reader of a segment must look up again what follows: the end of the segment, or
    /// of what is visible.
    pub(crate) fn stop(&self, scanner: &Scanner, visible: Position) -> Position {
        self.segments.after(scanner.segment()).map_or(visible, |next| next.min(visible))
    }

    /// The last segment that begins with events recorded before `time`, or the first segment.
    fn segment_before(&self, time: Timestamp) -> Result<Position> {
        let bases = self.segments.bases();
        let (mut low, mut high) = (0, bases.len());
        while low < high {
            let middle = low.midpoint(high);
            let Some(base) = bases.get(middle) else { break };
            let header = self.segments.file(*base)?.header()?;
            if header.recorded_before < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.checked_sub(1).and_then(|at| bases.get(at)).copied().unwrap_or_default())
    }

    /// The last events before `end`, ascending: at least one if there is one, all of one segment,
    /// and about `count` with the index, up to [`BACKWARDS_COUNT_MAX`] without.
    pub(crate) fn events_before(&self, end: Position, count: u64) -> Result<VecDeque<Event>> {
        let mut events = VecDeque::new();
        let Some(last) = end.previous() else { return Ok(events) };
        let base = self.segments.holding(last);
        let wanted = Position::new(end.get().saturating_sub(count)).max(base);
        let mark = self.mark_before(Seek::Position(wanted));
        let mut scanner = match mark.filter(|mark| mark.address.segment == base) {
            Some(_) => self.locate(wanted)?,
            None => self.scan_before(base, end)?,
        };
        let file = self.segments.file(base)?;
        let limit = self.segments.limit(&file)?;
        while scanner.position() < end {
            let (record, _) = scanner.read(limit)?;
            events.push_back(scanner.event(&record));
            if wide(events.len()) > BACKWARDS_COUNT_MAX {
                events.pop_front();
            }
        }
        Ok(events)
    }

    /// Begins to read some events before `end`, all in the segment that begins at `base`, without
    /// the index: from a milestone, or from the first record, leaving milestones on the way.
    fn scan_before(&self, base: Position, end: Position) -> Result<Scanner> {
        let wanted = Position::new(end.get().saturating_sub(BACKWARDS_COUNT_MAX)).max(base);
        let mut milestones = self.milestones.lock();
        if milestones.first().is_none_or(|(address, _)| address.segment != base) {
            milestones.clear();
        }
        let passed = milestones.iter().rev().find(|(_, position)| *position <= wanted);
        let mut scanner = match passed {
            Some((address, position)) => self.segments.scan_at(*address, *position)?,
            None => self.segments.scan(base)?,
        };
        let file = self.segments.file(base)?;
        let limit = self.segments.limit(&file)?;
        while scanner.position() < wanted {
            let (_, address) = scanner.read(limit)?;
            let place = (Address { offset: scanner.offset(), ..address }, scanner.position());
            let far = milestones.last().map_or(base, |(_, position)| *position);
            if place.1.since(far) >= BACKWARDS_COUNT_MAX {
                milestones.push(place);
            }
        }
        Ok(scanner)
    }

    /// The end of a stream, of what is visible.
    pub(crate) fn stream_end(&self, stream: &str) -> Result<Revision> {
        if !is_name(stream) {
            return Ok(Revision::START);
        }
        if let Ok(end) = self.index().stream_end(stream) {
            self.wait_until_visible();
            return Ok(end);
        }
        self.scan_stream_end(stream)
    }

    /// The end of a stream without the index: reads the segments from the last to the first, each
    /// once, until one has events of the stream.
    fn scan_stream_end(&self, stream: &str) -> Result<Revision> {
        let visible = self.segments.visible();
        for base in self.segments.bases().into_iter().rev() {
            let mut scanner = self.segments.scan(base)?;
            let file = self.segments.file(base)?;
            let limit = self.segments.limit(&file)?;
            let stop = self.stop(&scanner, visible.position);
            let mut end = None;
            while scanner.position() < stop {
                let (record, _) = scanner.read(limit)?;
                if scanner.stream(&record) == stream {
                    end = Some(record.parts.revision.next());
                }
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
        // Without the first segment the stream may have had events that are missing.
        self.segments.file(Position::START)?;
        Ok(Revision::START)
    }

    /// Where revisions of a stream stand, as the index has it; `None` if it has no answer.
    pub(crate) fn addresses(
        &self,
        stream: &str,
        revisions: Range<Revision>,
    ) -> Option<Vec<Address>> {
        if !is_name(stream) {
            return Some(Vec::new());
        }
        let addresses = self.index().addresses(stream, revisions).ok();
        self.wait_until_visible();
        addresses
    }

    /// Names and ends of streams, as the index has them; `None` if it has no answer.
    pub(crate) fn streams(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> Option<Vec<(String, Revision)>> {
        if !prefix.is_empty() && !is_name(prefix) {
            return Some(Vec::new());
        }
        let streams = self.index().streams(prefix, after, count_max).ok();
        self.wait_until_visible();
        streams
    }

    /// The index is told of events just before they become visible. What it has answered is
    /// visible when this returns.
    fn wait_until_visible(&self) {
        let _ = self.segments.visible();
    }

    /// Reads the record of a revision at an address that the index gave, which is in the window of
    /// `near` then; `None` if something else stands there, so that the index is wrong.
    pub(crate) fn record_at(
        &self,
        near: &mut Option<Near>,
        (address, run): (Address, Run),
        (stream, revision): (&str, Revision),
    ) -> Result<Option<Record>> {
        // The limit is looked up again only when it must be: that may be a system call.
        let is_near = |near: &Near| {
            near.window.file().base() == address.segment && address.offset < near.limit
        };
        if !near.as_ref().is_some_and(is_near) {
            let window = match self.segments.window(address.segment) {
                Err(error) if is_missing(&error) => return Ok(None),
                other => other?,
            };
            *near = Some(Near { limit: self.segments.limit(window.file())?, window });
        }
        let Some(Near { window, limit }) = near else { return Ok(None) };
        if run.start() != run.end() {
            window.cover_run(&run, *limit)?;
        }
        let record = match window.record_at(address.offset, *limit) {
            Ok(record) => record,
            Err(error @ Error::Corrupt { .. }) if self.is_record_there(address)? => {
                return Err(error);
            }
            Err(Error::Corrupt { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_right = record.parts.revision == revision && window.stream(&record) == stream;
        Ok(Some(record).filter(|_| is_right))
    }

    /// Whether a scan of the segment comes to `address`, so that a record should begin there.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the segment is damaged before that.
    fn is_record_there(&self, address: Address) -> Result<bool> {
        let mut scanner = self.segments.scan(address.segment)?;
        let file = self.segments.file(address.segment)?;
        let limit = self.segments.limit(&file)?;
        let stop = self.stop(&scanner, self.segments.visible().position);
        while scanner.offset() < address.offset && scanner.position() < stop {
            scanner.read(limit)?;
        }
        Ok(scanner.offset() == address.offset && scanner.position() < stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::StreamCursor;
    use crate::directory::{Directory, SimulatedDirectory};
    use crate::event::{Expected, NewEvent};
    use crate::index::{IndexOptions, MemoryTree};
    use crate::log::{UnrecoveredLog, read_meta};
    use crate::options::Options;
    use crate::store::IndexPlace;
    use crate::types::Entry;

    /// A log with events of the streams `a` and `b` by turns, and where they stand.
    fn log() -> (Segments, Vec<Entry>) {
        let directory: Arc<dyn Directory> = Arc::new(SimulatedDirectory::new());
        let place = IndexPlace::Memory(MemoryTree::default());
        let store = Options::new().open_in(Arc::clone(&directory), &place).unwrap();
        for stream in ["a", "b", "a", "b"] {
            store.append(stream, Expected::Any, [NewEvent::text("t", stream)]).unwrap();
        }
        store.close().unwrap();
        let key = read_meta(&*directory).unwrap().unwrap().key;
        let (segments, _) = UnrecoveredLog::scan(directory, key).unwrap().look();
        let mut scanner = segments.scan(Position::START).unwrap();
        let limit = segments.visible().address.offset;
        let mut entries = Vec::new();
        while let Ok((record, address)) = scanner.read(limit) {
            entries.push(Entry {
                stream: scanner.stream(&record).into(),
                revision: record.parts.revision,
                position: record.parts.position,
                recorded_at: record.parts.recorded_at,
                address,
            });
        }
        (segments, entries)
    }

    /// Every value in the tree has a checksum, so that only an index that was filled wrongly does
    /// this: by a bug, or from a copy of the log that went another way.
    #[test]
    fn an_index_that_points_to_other_events_is_not_believed() {
        let (segments, mut entries) = log();
        for entry in &mut entries {
            entry.stream = if &*entry.stream == "a" { "b".into() } else { "a".into() };
        }
        let options = IndexOptions {
            checkpoint_event_count: 100,
            mark_interval_len: 1,
            cache_len_max: 1 << 20,
        };
        let tree = Box::new(MemoryTree::default());
        let index = Index::open(tree, segments.store(), options).unwrap().0;
        index.add(&entries, segments.visible());
        let source = Arc::new(Source::new(Arc::new(segments), Arc::new(Arc::new(index).into())));
        assert!(source.index().fault().is_none());
        let read = |cursor: StreamCursor| {
            let texts = cursor.map(|event| event.unwrap().payload().to_vec());
            texts.map(|text| String::from_utf8(text).unwrap()).collect::<Vec<_>>()
        };
        let cursor = |stream| StreamCursor::new(Arc::clone(&source), Arc::new(()), stream);
        assert_eq!(read(cursor("a")), ["a", "a"]);
        assert!(source.index().fault().is_some());
        assert_eq!(read(cursor("b").backwards()), ["b", "b"]);
    }
}
