//! The cursor over one stream.

use std::fmt::Debug;
use std::ops::{ControlFlow, RangeBounds};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cursor::filter::Filter;
use crate::cursor::near::Near;
use crate::cursor::page::Page;
use crate::cursor::times::Times;
use crate::cursor::{Cursor, Direction, Source};
use crate::error::Result;
use crate::event::{Event, EventView};
use crate::index::IndexFault;
use crate::types::{Position, Revision, Timestamp};

/// Reads the events of one stream, in the order of their revisions or against it.
///
/// Like [`Cursor`], but its place is a revision.
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
    source: Arc<Source>,
    store: Arc<dyn Debug + Send + Sync>,
    stream: Arc<str>,
    direction: Direction,
    from: Option<Revision>,
    times: Times,
    filter: Filter,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    revision: Revision,
    /// Addresses of the next revisions in the cursor's direction.
    page: Page,
    near: Option<Near>,
    /// Reads everything, if the index cannot tell where the stream is.
    scan: Option<Box<Cursor>>,
    failed: bool,
    /// Whether all that it may give was given, whatever is appended.
    is_over: bool,
}

impl Place {
    fn at(revision: Revision, direction: Direction) -> Self {
        Self {
            revision,
            page: Page::new(direction),
            near: None,
            scan: None,
            failed: false,
            is_over: false,
        }
    }
}

/// An event of the stream, where it was read.
enum Found {
    /// Near the place.
    Near { position: Position, recorded_at: Timestamp },
    /// By a scan.
    Kept(Event),
}

impl Found {
    /// The event; `None` if it is not where it was.
    fn view<'a>(&'a self, near: Option<&'a Near>) -> Option<EventView<'a>> {
        match self {
            Self::Near { .. } => near.map(Near::view),
            Self::Kept(event) => Some(event.view()),
        }
    }

    fn position(&self) -> Position {
        match self {
            Self::Near { position, .. } => *position,
            Self::Kept(event) => event.position(),
        }
    }

    fn recorded_at(&self) -> Timestamp {
        match self {
            Self::Near { recorded_at, .. } => *recorded_at,
            Self::Kept(event) => event.recorded_at(),
        }
    }
}

impl From<EventView<'_>> for Found {
    fn from(event: EventView<'_>) -> Self {
        Self::Near { position: event.position(), recorded_at: event.recorded_at() }
    }
}

impl StreamCursor {
    pub(crate) fn new(
        source: Arc<Source>,
        store: Arc<dyn Debug + Send + Sync>,
        stream: &str,
    ) -> Self {
        Self {
            source,
            store,
            stream: stream.into(),
            direction: Direction::Forwards,
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
        self.direction = Direction::Backwards;
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
        &self.stream
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
    pub fn visit(&mut self, mut visit: impl FnMut(EventView<'_>) -> ControlFlow<()>) -> Result<()> {
        let begun = self.place.take().map_or_else(|| self.begin(), Ok);
        let mut place = match begun {
            Ok(place) => place,
            Err(error) => {
                let at = Place::at(self.next_revision(), self.direction);
                self.place = Some(Place { failed: true, ..at });
                return Err(error);
            }
        };
        let visited = if place.failed { Ok(()) } else { self.visit_from(&mut place, &mut visit) };
        place.failed |= visited.is_err();
        self.place = Some(place);
        visited
    }

    /// Waits until there may be an event to give, for `timeout` at most, and says whether there may,
    /// as [`Cursor::wait`] does. Forwards, each event of the store is a reason to look at the stream.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed), also if the store is closed meanwhile; and those of
    /// [`Store::stream_end`](crate::Store::stream_end).
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let seen = self.source.visible()?.position;
            let next = self.next_revision();
            let is_there = match self.direction {
                Direction::Forwards => self.source.stream_end(&self.stream)? > next,
                Direction::Backwards if self.place.is_none() && self.from.is_none() => {
                    self.source.stream_end(&self.stream)? > Revision::START
                }
                Direction::Backwards => next > Revision::START,
            };
            if is_there || self.direction == Direction::Backwards {
                return Ok(is_there);
            }
            let left =
                deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if !self.source.wait_for(seen, left)? {
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
        &self.source
    }

    fn begin(&self) -> Result<Place> {
        // Where the stream ends is told of what is visible: what another process has written since
        // comes first.
        self.source.visible()?;
        let from = self.from.unwrap_or_default();
        // Forwards, the end of the stream matters only for finding a time.
        let revision = match (self.direction, self.times) {
            (Direction::Forwards, Times { since: None, .. }) => from,
            (Direction::Forwards, Times { since: Some(time), .. }) => {
                self.revision_at(time, self.source.stream_end(&self.stream)?)?.max(from)
            }
            (Direction::Backwards, Times { until, .. }) => {
                let end = self.source.stream_end(&self.stream)?;
                let from = self.from.unwrap_or(end).min(end);
                let until = until.map(|time| self.revision_at(time, end)).transpose()?;
                until.map_or(from, |until| until.min(from))
            }
        };
        Ok(Place::at(revision, self.direction))
    }

    /// The first of the revisions below `end` that was recorded at `time` or later.
    fn revision_at(&self, time: Timestamp, end: Revision) -> Result<Revision> {
        self.first_not(end, |found| found.recorded_at() < time)
    }

    /// The first of the revisions below `end` that is not before a place, as `is_before` says.
    fn first_not(&self, end: Revision, is_before: impl Fn(&Found) -> bool) -> Result<Revision> {
        let (mut low, mut high) = (0, end.get());
        let mut near = None;
        while low < high {
            let middle = low.midpoint(high);
            // A scan goes one way, so each revision needs one of its own.
            let page = Page::of_one();
            let mut place = Place { page, near, ..Place::at(Revision::START, self.direction) };
            let found = self.find(&mut place, Revision::new(middle))?;
            near = place.near;
            if found.as_ref().is_some_and(&is_before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Revision::new(low))
    }

    /// Puts the cursor before the first event at `position` or after it, and returns how many events
    /// the stream has from there on.
    pub(crate) fn put_before(&mut self, position: Position) -> Result<u64> {
        let end = self.source.stream_end(&self.stream)?;
        let from = self.first_not(end, |found| found.position() < position)?;
        (self.from, self.place) = (Some(from), None);
        Ok(end.since(from))
    }

    /// The end of what readers see.
    pub(crate) fn visible_end(&self) -> Result<Position> {
        self.source.visible().map(|end| end.position)
    }

    /// Reads one revision, which must not be after the end; `None` if it is not visible yet.
    fn find(&self, place: &mut Place, revision: Revision) -> Result<Option<Found>> {
        if place.scan.is_none() {
            if place.page.is_empty()
                && let Some(addresses) =
                    self.source.addresses(&self.stream, place.page.wanted(revision))
            {
                place.page.fill(addresses);
            }
            if let Some(near) = &place.near {
                near.prepare(&mut place.page);
            }
            if let Some((address, run)) = place.page.next() {
                let (source, wanted) = (&self.source, (&*self.stream, revision));
                if source.record_at(&mut place.near, (address, run), wanted)? {
                    return Ok(place.near.as_ref().map(|near| near.view().into()));
                }
                source
                    .index()
                    .mark_broken(IndexFault::Damaged { what: "an address without its event" });
            } else if self.source.index().fault().is_none() {
                // A closed index has no answer and no fault either.
                self.source.check_open()?;
                return Ok(None);
            }
        }
        self.scan_to(place, revision)
    }

    /// Finds a revision without the index, by reading everything in this direction.
    fn scan_to(&self, place: &mut Place, revision: Revision) -> Result<Option<Found>> {
        let scan = place.scan.get_or_insert_with(|| {
            let all = Cursor::new(Arc::clone(&self.source), Arc::clone(&self.store));
            let all = all.filtered(Filter::default().with_stream(Arc::clone(&self.stream)));
            Box::new(match self.direction {
                Direction::Forwards => all,
                Direction::Backwards => all.backwards(),
            })
        });
        for event in scan {
            let event = event?;
            if event.revision() == revision {
                return Ok(Some(Found::Kept(event)));
            }
        }
        Ok(None)
    }

    fn visit_from(
        &self,
        place: &mut Place,
        visit: &mut impl FnMut(EventView<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        loop {
            self.source.check_open()?;
            let forwards = self.direction == Direction::Forwards;
            let revision = if forwards { Some(place.revision) } else { place.revision.previous() };
            let Some(revision) = revision else {
                place.is_over = true;
                return Ok(());
            };
            let Some(found) = self.find(place, revision)? else { return Ok(()) };
            let time = found.recorded_at();
            let (early, late) = (self.times.begins_after(time), self.times.ends_before(time));
            if if forwards { late } else { early } {
                place.page.clear();
                place.is_over = true;
                return Ok(());
            }
            place.revision = if forwards { revision.next() } else { revision };
            let event = found.view(place.near.as_ref());
            let Some(event) = event.filter(|event| self.filter.takes(event)) else { continue };
            if !(early || late) && visit(event).is_break() {
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
