//! What cursors read from: the log, and the index that knows where to look in it.
//!
//! Where the index has no answer, or a wrong one, the log is scanned: slower, and right.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
#[cfg(feature = "async")]
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::cursor::LaterIndex;
use crate::error::{Error, Result};
use crate::index::{Index, Mark, Seek};
#[cfg(feature = "async")]
use crate::log::WakerId;
use crate::log::{Segments, Tracker};
use crate::segment::Scanner;
use crate::sync::{AtomicBool, Ordering};
use crate::types::{Address, LogEnd, NameHash, NameKind, Position, Revision, check_name};

/// How long to wait before looking again at what another process writes: about as long as it takes
/// the writer to note how far that is durable.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Whether a stream can have this name. The index is asked for no other.
fn is_name(stream: &str) -> bool {
    check_name(NameKind::Stream, stream).is_ok()
}

/// What cursors of a store share.
#[derive(Debug)]
pub(crate) struct Source {
    pub(super) segments: Arc<Segments>,
    index: Arc<LaterIndex>,
    closed: AtomicBool,
    /// Finds out what another process has written, if that is who writes.
    tracker: Option<Tracker>,
    /// Whether a thread looks, for tasks that wait, at what another process writes.
    #[cfg(feature = "async")]
    is_looking: AtomicBool,
}

impl Source {
    pub(crate) fn new(segments: Arc<Segments>, index: Arc<LaterIndex>) -> Self {
        Self {
            segments,
            index,
            closed: AtomicBool::new(false),
            tracker: None,
            #[cfg(feature = "async")]
            is_looking: AtomicBool::new(false),
        }
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

    /// Whether the index is open and answers.
    pub(crate) fn is_index_usable(&self) -> bool {
        self.index.look().is_some_and(|index| !index.has_failed())
    }

    /// The last mark before a place, if the index is open and has one, and which index has said so.
    pub(super) fn mark_before(&self, seek: Seek) -> Option<(Mark, &Index)> {
        let index = self.index.look()?;
        index.mark_before(seek).ok().flatten().map(|mark| (mark, &**index))
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
    ///
    /// In one order with [`Source::close`] and with who begins to wait: a task looks here after that, and
    /// is told of a close either here or by being woken.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(()) }
    }

    /// The visible end, unless the store is closed.
    pub(crate) fn visible(&self) -> Result<LogEnd> {
        self.check_open()?;
        self.tracker.as_ref().map_or(Ok(()), Tracker::refresh)?;
        Ok(self.segments.visible())
    }

    /// What `read` gives; if it comes upon damage, what it gives once it was looked whether recovery by
    /// another process has moved what was there.
    pub(super) fn read_or_look<T>(&self, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        match read() {
            Err(Error::Corrupt { .. }) if self.tracker.is_some() => {
                self.visible()?;
                read()
            }
            other => other,
        }
    }

    /// Goes on with what `scanner` has come to as damage, if recovery by another process has moved it
    /// meanwhile.
    pub(super) fn find_moved(&self, scanner: Scanner) -> Result<Option<Scanner>> {
        if self.tracker.is_none() {
            return Ok(None);
        }
        self.visible()?;
        let mut moved = self.segments.cross(scanner)?;
        let limit = self.segments.limit(moved.file())?;
        // Only what is there shows that it was moved: another file may have the same damage.
        match moved.peek(limit) {
            Ok(_) => Ok(Some(moved)),
            Err(Error::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until an event at `position` is visible, for `timeout` at most; says whether it is.
    pub(crate) fn wait_for(&self, position: Position, timeout: Duration) -> Result<bool> {
        let is_over = || self.closed.load(Ordering::SeqCst);
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

    /// Waits until an event at `position` is visible, or until `is_over`, which is looked at again
    /// when [`Segments::wake`] is called. For a log that this process writes.
    pub(crate) fn wait_for_unless(
        &self,
        position: Position,
        is_over: impl Fn() -> bool,
    ) -> Result<()> {
        let is_over = || is_over() || self.closed.load(Ordering::SeqCst);
        self.segments.wait_beyond(position, Duration::MAX, is_over);
        self.check_open()
    }

    /// Lets a task be woken when there is something new, or the store is closed, in the place of
    /// `earlier`.
    #[cfg(feature = "async")]
    pub(super) fn watch(self: &Arc<Self>, waker: &Waker, earlier: Option<WakerId>) -> WakerId {
        let id = self.segments.add_waker(waker, earlier);
        if self.tracker.is_some() && !self.is_looking.swap(true, Ordering::SeqCst) {
            let source = Arc::clone(self);
            let look = move || source.look_for_tasks();
            let begun = std::thread::Builder::new().name("annals-look".to_owned()).spawn(look);
            if begun.is_err() {
                // It is polled again, and again, until a thread can be had.
                self.is_looking.store(false, Ordering::SeqCst);
                self.segments.wake();
            }
        }
        id
    }

    /// Looks at what another process writes, for as long as tasks wait for that.
    #[cfg(feature = "async")]
    fn look_for_tasks(&self) {
        let mut seen = self.segments.visible().position;
        loop {
            std::thread::sleep(LOOK_INTERVAL);
            if !self.segments.has_wakers() {
                self.is_looking.store(false, Ordering::SeqCst);
                // One that came meanwhile has seen that this was looking.
                if !self.segments.has_wakers() || self.is_looking.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
            // An error is told to whoever reads.
            let visible = self.visible().map(|end| end.position);
            if visible.as_ref().is_ok_and(|end| *end == seen) {
                continue;
            }
            seen = visible.unwrap_or(seen);
            self.segments.wake();
        }
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
        let ends = self.read_or_look(|| self.scan_ends(&[stream]))?;
        Ok(ends.first().copied().unwrap_or_default())
    }

    /// The ends of several streams, whose names were checked and have these hashes: of what is
    /// visible, or of as much of that as the index has taken in.
    pub(crate) fn ends_taken_in(&self, streams: &[(NameHash, &str)]) -> Result<Vec<Revision>> {
        if let Ok(ends) = self.index().ends_taken_in(streams) {
            self.wait_until_visible();
            return Ok(ends);
        }
        self.scan_ends(&streams.iter().map(|(_, stream)| *stream).collect::<Vec<_>>())
    }

    /// The ends of streams without the index: reads the segments from the last to the first, each once,
    /// until all streams were met.
    fn scan_ends(&self, streams: &[&str]) -> Result<Vec<Revision>> {
        let visible = self.segments.visible();
        let mut ends: HashMap<&str, _> = streams.iter().map(|stream| (*stream, None)).collect();
        for base in self.segments.bases().into_iter().rev() {
            let mut scanner = self.segments.scan(base)?;
            let limit = self.segments.limit(scanner.file())?;
            let stop = self.stop(&scanner, visible.position);
            while scanner.position() < stop {
                let (record, _) = scanner.read(limit)?;
                // One that was met in a later segment ends there.
                if let Some(end) = ends.get_mut(scanner.stream(&record))
                    && end.is_none_or(|(segment, _)| segment == base)
                {
                    *end = Some((base, record.parts.revision.next()));
                }
            }
            if ends.values().all(Option::is_some) {
                break;
            }
        }
        let end = |stream| match ends.get(stream).copied().flatten() {
            Some((_, end)) => Ok(end),
            // Without the first segment the stream may have had events that are missing.
            None => self.segments.file(Position::START).map(|_| Revision::START),
        };
        streams.iter().map(|stream| end(*stream)).collect()
    }

    /// Where revisions of a stream stand, as `index` has it; `None` if it has no answer.
    pub(super) fn addresses(
        &self,
        index: &Index,
        stream: &str,
        revisions: Range<Revision>,
    ) -> Option<Vec<Address>> {
        if !is_name(stream) {
            return Some(Vec::new());
        }
        let addresses = index.addresses(stream, revisions).ok();
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
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cursor::StreamCursor;
    use crate::directory::{Directory, SimulatedDirectory};
    use crate::event::{Expected, NewEvent};
    use crate::index::{IndexOptions, MemoryTree};
    use crate::log::{UnrecoveredLog, read_meta};
    use crate::options::Options;
    use crate::store::IndexPlace;
    use crate::types::{Entries, Entry, NameHasher, Timestamp};

    const INDEX: IndexOptions =
        IndexOptions { checkpoint_event_count: 100, mark_interval_len: 1, cache_len_max: 1 << 20 };

    /// A store with these events of the stream `a`, as it is read without an index.
    pub(in crate::cursor) fn without_index(
        directory: &Arc<dyn Directory>,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Source {
        let place = IndexPlace::Memory(MemoryTree::default());
        let store = Options::new().open_in(Arc::clone(directory), &place).unwrap();
        for event in events {
            store.append("a", Expected::Any, [event]).unwrap();
        }
        store.close().unwrap();
        let key = read_meta(&**directory).unwrap().unwrap().key;
        let (segments, _) = UnrecoveredLog::scan(Arc::clone(directory), key).unwrap().look();
        let index = Arc::new(Index::unavailable(segments.store(), INDEX));
        Source::new(Arc::new(segments), Arc::new(index.into()))
    }

    /// A log with events of the streams `a` and `b` by turns, and where they stand.
    fn log() -> (Segments, Vec<(String, Entry)>) {
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
            let stream = scanner.stream(&record).to_owned();
            let entry = Entry {
                hash: NameHasher::of(key.id).hash(&stream),
                revision: record.parts.revision,
                position: record.parts.position,
                recorded_at: record.parts.recorded_at,
                address,
            };
            entries.push((stream, entry));
        }
        (segments, entries)
    }

    /// An index that was told that events stand elsewhere, and what reads from it and from the log.
    fn wrong_source(bend: impl Fn(&str, Entry) -> (&'static str, Entry)) -> Arc<Source> {
        let (segments, known) = log();
        let hasher = NameHasher::of(segments.store());
        let mut entries = Entries::default();
        for (stream, entry) in known {
            let (stream, entry) = bend(&stream, entry);
            entries.push(stream, Entry { hash: hasher.hash(stream), ..entry });
        }
        let tree = Box::new(MemoryTree::default());
        let index = Index::open(tree, segments.store(), INDEX).unwrap().0;
        index.add(&entries, segments.visible());
        Arc::new(Source::new(Arc::new(segments), Arc::new(Arc::new(index).into())))
    }

    fn assert_not_believed(source: &Arc<Source>) {
        assert!(source.index().fault().is_none());
        let read = |cursor: StreamCursor| {
            let texts = cursor.map(|event| event.unwrap().payload().to_vec());
            texts.map(|text| String::from_utf8(text).unwrap()).collect::<Vec<_>>()
        };
        let cursor = |stream| StreamCursor::new(Arc::clone(source), Arc::new(()), stream);
        assert_eq!(read(cursor("a")), ["a", "a"]);
        assert!(source.index().fault().is_some());
        assert_eq!(read(cursor("b").backwards()), ["b", "b"]);
    }

    /// Every value in the tree has a checksum, so that only an index that was filled wrongly does
    /// this: by a bug, or from a copy of the log that went another way.
    #[test]
    fn an_index_that_points_to_other_events_is_not_believed() {
        assert_not_believed(&wrong_source(|stream, entry| {
            (if stream == "a" { "b" } else { "a" }, entry)
        }));
    }

    /// A segment that the log lacks is no fault of the index; one that there never was is.
    #[test]
    fn an_index_that_points_to_segments_that_never_were_is_not_believed() {
        for base in [1, 3, 4, 900] {
            let segment = Position::new(base);
            let bend = |stream: &str, entry: Entry| {
                let address = Address { segment, ..entry.address };
                (if stream == "a" { "a" } else { "b" }, Entry { address, ..entry })
            };
            assert_not_believed(&wrong_source(bend));
            let source = wrong_source(bend);
            let found = source.position_at(Timestamp::MAX).unwrap();
            assert_eq!(found, Position::new(4));
            assert!(source.index().fault().is_some());
        }
    }
}
