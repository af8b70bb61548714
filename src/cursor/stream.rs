//! The cursor over one stream.

use std::fmt::Debug;
use std::ops::{ControlFlow, RangeBounds};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cursor::filter::Filter;
use crate::cursor::revisions::{Finding, Revisions};
use crate::cursor::times::Times;
use crate::cursor::{Direction, Source};
use crate::error::Result;
use crate::event::{Event, EventView};
use crate::types::{Position, Revision, Timestamp};

/// Reads the events of one stream, in the order of their revisions or against it.
///
/// Like [`Cursor`](crate::Cursor), but its place is a revision.
///
/// ```
/// use annals::{Expected, NewEvent, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path().join("shop.annals"))?;
/// let items = ["a teapot", "a cup"].map(|item| NewEvent::text("item-added", item));
/// store.append("cart-42", Expected::NoStream, items)?;
///
/// let mut newest_first = store.read_stream("cart-42").backwards();
/// assert_eq!(newest_first.next().unwrap()?.payload(), b"a cup");
/// assert_eq!(store.read_stream("cart-43").count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StreamCursor {
    revisions: Revisions,
    from: Option<Revision>,
    times: Times,
    filter: Filter,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    revision: Revision,
    /// Finds the next revisions in the cursor's direction.
    finding: Finding,
    failed: bool,
    /// Whether all that it may give was given, whatever is appended.
    is_over: bool,
}

impl StreamCursor {
    pub(crate) fn new(
        source: Arc<Source>,
        store: Arc<dyn Debug + Send + Sync>,
        stream: &str,
    ) -> Self {
        Self {
            revisions: Revisions::new(source, store, stream),
            from: None,
            times: Times::default(),
            filter: Filter::default(),
            place: None,
        }
    }

    /// Puts the cursor before the event at `revision`: forwards that is the first it gives,
    /// backwards the one before that.
    ///
    /// Default: forwards the start of the stream, backwards its end.
    #[must_use]
    pub fn from(mut self, revision: impl Into<Revision>) -> Self {
        self.from = Some(revision.into());
        self.place = None;
        self
    }

    /// Gives the events from the last to the first.
    #[must_use]
    pub fn backwards(mut self) -> Self {
        self.revisions.direction = Direction::Backwards;
        self.place = None;
        self
    }

    /// Gives only events that were recorded in this range of times, `since..until` for instance.
    #[must_use]
    pub fn recorded(mut self, times: impl RangeBounds<Timestamp>) -> Self {
        self.times = Times::of(&times);
        self.place = None;
        self
    }

    /// Gives only events of these types; none, if there are none.
    ///
    /// Others are read and checked all the same, and [`StreamCursor::next_revision`] passes them.
    #[must_use]
    pub fn event_types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let types = types.into_iter().map(|name| name.into().into_boxed_str()).collect();
        self.filter = self.filter.with_types(types);
        self
    }

    /// The stream it reads.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.revisions.stream
    }

    /// The revision it stands before: forwards, the next that it may give; backwards, the last
    /// that it gave. Before the first event was asked for, where it was put; backwards from the
    /// end, [`Revision::START`], since the end is not looked up before that.
    #[must_use]
    pub fn next_revision(&self) -> Revision {
        self.place.as_ref().map_or(self.from.unwrap_or_default(), |place| place.revision)
    }

    /// Calls `visit` with one event after the other, each lent for that call, until it says
    /// [`Break`](ControlFlow::Break) or there are no more for now, as [`Cursor::visit`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Cursor::visit`].
    ///
    /// [`Cursor::visit`]: crate::Cursor::visit
    pub fn visit(&mut self, mut visit: impl FnMut(EventView<'_>) -> ControlFlow<()>) -> Result<()> {
        if self.place.is_none() {
            let begun = self.begin();
            let revision = begun.as_ref().copied().unwrap_or_else(|_| self.next_revision());
            let finding = Finding::new(self.revisions.direction);
            let failed = begun.is_err();
            self.place = Some(Place { revision, finding, failed, is_over: false });
            begun?;
        }
        let Self { revisions, times, filter, place, .. } = self;
        let Some(place) = place.as_mut().filter(|place| !place.failed) else { return Ok(()) };
        let visited = place.visit(revisions, times, filter, &mut visit);
        place.failed = visited.is_err();
        visited
    }

    /// Waits until there may be an event to give, for `timeout` at most, and says whether there may,
    /// as [`Cursor::wait`] does. Forwards, each event of the store is a reason to look at the stream; and
    /// where no index tells where the stream ends, as with a
    /// [`ReadOnlyStore`](crate::ReadOnlyStore), each event that the cursor has not passed may be its.
    ///
    /// # Errors
    ///
    /// Those of [`Cursor::wait`], and backwards from the end those of
    /// [`Store::stream_end`](crate::Store::stream_end).
    ///
    /// [`Cursor::wait`]: crate::Cursor::wait
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let Revisions { source, direction, .. } = &self.revisions;
        if *direction == Direction::Backwards {
            let is_begun = self.place.is_some() || self.from.is_some();
            let next = if is_begun { self.next_revision() } else { self.revisions.end()? };
            return source.check_open().map(|()| next > Revision::START);
        }
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left =
                deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if let Some(waited) = self.place.as_ref().and_then(|place| place.finding.wait(left)) {
                return waited;
            }
            if !self.revisions.has_index() {
                return source.wait_for(Position::START, left);
            }
            let seen = source.visible()?.position;
            if self.revisions.end()? > self.next_revision() {
                return Ok(true);
            }
            if !source.wait_for(seen, left)? {
                return Ok(false);
            }
        }
    }

    /// Whether there will never be another event to give.
    pub(super) fn is_over(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_over || place.failed)
    }

    /// What the cursor reads from.
    pub(super) fn source(&self) -> &Arc<Source> {
        &self.revisions.source
    }

    /// Finds the revision to begin at.
    fn begin(&self) -> Result<Revision> {
        let revisions = &self.revisions;
        // Where the stream ends is told of what is visible: what another process has written since
        // comes first.
        revisions.source.visible()?;
        let from = self.from.unwrap_or_default();
        // Forwards, the end of the stream matters only for finding a time.
        match (revisions.direction, self.times) {
            (Direction::Forwards, Times { since: None, .. }) => Ok(from),
            (Direction::Forwards, Times { since: Some(time), .. }) => {
                Ok(revisions.recorded_from(time, revisions.end()?)?.max(from))
            }
            (Direction::Backwards, Times { until, .. }) => {
                let end = revisions.end()?;
                let from = self.from.unwrap_or(end).min(end);
                let until = until.map(|time| revisions.recorded_from(time, end)).transpose()?;
                Ok(until.map_or(from, |until| until.min(from)))
            }
        }
    }

    /// Puts the cursor before the first event at `position` or after it, and returns how many events
    /// the stream has from there on.
    pub(crate) fn put_before(&mut self, position: Position) -> Result<u64> {
        let end = self.revisions.end()?;
        let from = self.revisions.placed_from(position, end)?;
        (self.from, self.place) = (Some(from), None);
        Ok(end.since(from))
    }

    /// The end of what readers see.
    pub(crate) fn visible_end(&self) -> Result<Position> {
        self.revisions.source.visible().map(|end| end.position)
    }
}

impl Place {
    fn visit(
        &mut self,
        revisions: &Revisions,
        times: &Times,
        filter: &Filter,
        visit: &mut impl FnMut(EventView<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let forwards = revisions.direction == Direction::Forwards;
        loop {
            revisions.source.check_open()?;
            let revision = if forwards { Some(self.revision) } else { self.revision.previous() };
            let Some(revision) = revision else {
                self.is_over = true;
                return Ok(());
            };
            if !revisions.find(&mut self.finding, revision)? {
                return Ok(());
            }
            let Some(event) = self.finding.view() else { return Ok(()) };
            let time = event.recorded_at();
            let (early, late) = (times.begins_after(time), times.ends_before(time));
            if if forwards { late } else { early } {
                self.finding.clear();
                self.is_over = true;
                return Ok(());
            }
            self.revision = if forwards { revision.next() } else { revision };
            if !(early || late) && filter.takes(&event) && visit(event).is_break() {
                return Ok(());
            }
        }
    }
}

impl Iterator for StreamCursor {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut next = None;
        let visited = self.visit(|event| {
            next = Some(event.to_event());
            ControlFlow::Break(())
        });
        visited.map(|()| next).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::cursor::source::tests::without_index;
    use crate::directory::{Call, Directory, Fault, SimulatedDirectory};
    use crate::event::NewEvent;

    /// Each look at the stream's end read the last segment, or the whole log.
    #[test]
    fn who_waits_without_an_index_reads_nothing() {
        let simulated = Arc::new(SimulatedDirectory::new());
        let directory: Arc<dyn Directory> = simulated.clone();
        let events = (0..20).map(|n| NewEvent::text("t", n.to_string()));
        let source = Arc::new(without_index(&directory, events));
        for (stream, count) in [("a", 20), ("b", 0)] {
            let mut cursor = StreamCursor::new(Arc::clone(&source), Arc::new(()), stream);
            let waited = |cursor: &StreamCursor| {
                let kind = std::io::ErrorKind::Other;
                simulated.inject(Fault::next(Call::Read, kind).forever());
                let waited = cursor.wait(Duration::ZERO).unwrap();
                simulated.heal();
                waited
            };
            assert!(waited(&cursor), "there may be one");
            assert_eq!(cursor.by_ref().map(Result::unwrap).count(), count);
            assert!(!waited(&cursor), "all was passed");
        }
    }

    /// Its place was lost with it, and everything was given again.
    #[test]
    fn a_visit_that_panics_goes_on_behind_the_event_it_panicked_at() {
        let directory: Arc<dyn Directory> = Arc::new(SimulatedDirectory::new());
        let source = Arc::new(without_index(&directory, (0..5).map(|_| NewEvent::text("t", ""))));
        let mut cursor = StreamCursor::new(source, Arc::new(()), "a");
        let visited = catch_unwind(AssertUnwindSafe(|| {
            cursor.visit(|event| {
                assert!(event.revision() < Revision::new(2), "no more");
                ControlFlow::Continue(())
            })
        }));
        assert!(visited.is_err());
        assert_eq!(cursor.next_revision(), Revision::new(3));
        assert_eq!(cursor.next().unwrap().unwrap().revision(), Revision::new(3));
    }
}
