//! The cursor over one stream.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::Arc;

use crate::cursor::times::Times;
use crate::cursor::{Cursor, Direction, Source};
use crate::error::Result;
use crate::event::Event;
use crate::index::IndexFault;
use crate::segment::Window;
use crate::types::{Address, Revision, Timestamp};

/// How many addresses are asked of the index at once.
const PAGE_COUNT: u64 = 256;

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
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    revision: Revision,
    /// Addresses of the next revisions in the cursor's direction.
    page: VecDeque<Address>,
    window: Option<Window>,
    /// Reads everything, if the index cannot tell where the stream is.
    scan: Option<Cursor>,
    failed: bool,
}

impl Place {
    fn at(revision: Revision) -> Self {
        Self { revision, page: VecDeque::new(), window: None, scan: None, failed: false }
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

    fn begin(&self) -> Result<Place> {
        self.source.check_open()?;
        let from = self.from.unwrap_or_default();
        // Forwards, the end of the stream matters only for finding a time.
        Ok(Place::at(match (self.direction, self.times) {
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
        }))
    }

    /// The first of the revisions below `end` that was recorded at `time` or later.
    fn revision_at(&self, time: Timestamp, end: Revision) -> Result<Revision> {
        let (mut low, mut high) = (0, end.get());
        while low < high {
            let middle = low.midpoint(high);
            let mut place = Place::at(Revision::new(middle));
            let event = self.event_at(&mut place, Revision::new(middle))?;
            if event.is_some_and(|event| event.recorded_at() < time) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Revision::new(low))
    }

    /// Reads one revision, which must not be after the end; `None` if it is not visible yet.
    fn event_at(&self, place: &mut Place, revision: Revision) -> Result<Option<Event>> {
        if place.scan.is_none() {
            if place.page.is_empty() {
                self.fill(place, revision);
            }
            let address = match self.direction {
                Direction::Forwards => place.page.pop_front(),
                Direction::Backwards => place.page.pop_back(),
            };
            if let Some(address) = address {
                let source = &self.source;
                let found = source.event_at(&mut place.window, address, &self.stream, revision)?;
                if found.is_some() {
                    return Ok(found);
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

    /// Asks the index for the addresses of `revision` and of those after it in this direction.
    fn fill(&self, place: &mut Place, revision: Revision) {
        let revisions = match self.direction {
            Direction::Forwards => revision..revision.plus(PAGE_COUNT),
            Direction::Backwards => {
                let end = revision.next();
                Revision::new(end.get().saturating_sub(PAGE_COUNT))..end
            }
        };
        if let Some(addresses) = self.source.addresses(&self.stream, revisions) {
            place.page = addresses.into();
        }
    }

    /// Finds a revision without the index, by reading everything in this direction.
    fn scan_to(&self, place: &mut Place, revision: Revision) -> Result<Option<Event>> {
        let scan = place.scan.get_or_insert_with(|| {
            let all = Cursor::new(Arc::clone(&self.source), Arc::clone(&self.store));
            match self.direction {
                Direction::Forwards => all,
                Direction::Backwards => all.backwards(),
            }
        });
        for event in scan {
            let event = event?;
            if event.stream() == &*self.stream && event.revision() == revision {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn next_event(&self, place: &mut Place) -> Result<Option<Event>> {
        self.source.check_open()?;
        loop {
            let revision = match self.direction {
                Direction::Forwards => place.revision,
                Direction::Backwards => match place.revision.previous() {
                    Some(revision) => revision,
                    None => return Ok(None),
                },
            };
            let Some(event) = self.event_at(place, revision)? else { return Ok(None) };
            let (time, forwards) = (event.recorded_at(), self.direction == Direction::Forwards);
            let (early, late) = (self.times.begins_after(time), self.times.ends_before(time));
            let past = if forwards { late } else { early };
            if past {
                place.page.clear();
                return Ok(None);
            }
            place.revision = if forwards { revision.next() } else { revision };
            if !(early || late) {
                return Ok(Some(event));
            }
        }
    }
}

impl Iterator for StreamCursor {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        let begun = self.place.take().map_or_else(|| self.begin(), Ok);
        let mut place = match begun {
            Ok(place) => place,
            Err(error) => {
                let failed = Place { failed: true, ..Place::at(self.next_revision()) };
                self.place = Some(failed);
                return Some(Err(error));
            }
        };
        let next = if place.failed { Ok(None) } else { self.next_event(&mut place) };
        place.failed |= next.is_err();
        self.place = Some(place);
        next.transpose()
    }
}
