//! Events appended as one, and what the store says of it.

use std::fmt;
use std::ops::Range;

use crate::event::NewEvent;
use crate::options::Durability;
use crate::types::{Position, Revision, Timestamp};

/// What an append expects of a stream. If the stream is otherwise, nothing is appended.
///
/// This is how two writers that have read the same state notice each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Anything: the append does not care.
    Any,
    /// That the stream does not exist yet.
    NoStream,
    /// That the stream holds at least one event.
    Exists,
    /// That the stream holds exactly this many events.
    Exact(u64),
}

impl Expected {
    /// Whether a stream that ends at `end` is as expected.
    pub(crate) fn holds(self, end: Revision) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => end == Revision::START,
            Self::Exists => end > Revision::START,
            Self::Exact(count) => end.get() == count,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any number of events"),
            Self::NoStream => f.write_str("no events"),
            Self::Exists => f.write_str("at least one event"),
            Self::Exact(1) => f.write_str("exactly one event"),
            Self::Exact(count) => write!(f, "exactly {count} events"),
        }
    }
}

impl From<Revision> for Expected {
    /// That the stream ends at this revision: what the next append expects after a
    /// [`Receipt`], with the end of its [`Receipt::revisions`], or after
    /// [`Store::stream_end`](crate::Store::stream_end).
    fn from(end: Revision) -> Self {
        Self::Exact(end.get())
    }
}

/// Events to append as one step, to one stream or to several: they become visible together and
/// durable together, or not at all.
///
/// ```
/// use annals::{Batch, Expected, NewEvent};
///
/// let batch = Batch::new()
///     .append("cart-42", Expected::Exact(1), [NewEvent::text("cart-paid", "EUR 12")])
///     .append("ledger", Expected::Any, [NewEvent::text("entry-made", "EUR 12")]);
/// assert_eq!(batch.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub(crate) parts: Vec<BatchPart>,
    pub(crate) recorded_at: Option<Timestamp>,
    pub(crate) durability: Option<Durability>,
}

/// That a consumer has done every event before a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) consumer: Box<str>,
    pub(crate) position: Position,
}

/// The events of a batch that go to one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchPart {
    pub(crate) stream: String,
    pub(crate) expected: Expected,
    pub(crate) events: Vec<NewEvent>,
}

impl Batch {
    /// A batch without events, which cannot be appended yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds events for `stream`, after those added so far.
    ///
    /// A stream name is 1 to 255 bytes of UTF-8 without control characters. A stream may be
    /// named more than once; what is expected of it is always about the state before the batch.
    /// Without events, only what is expected of the stream is checked.
    #[must_use]
    pub fn append(
        mut self,
        stream: impl Into<String>,
        expected: Expected,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Self {
        let events = events.into_iter().collect();
        self.parts.push(BatchPart { stream: stream.into(), expected, events });
        self
    }

    /// Adds an event for `stream`, to those that were added last if they are for the same one and
    /// nothing is expected of it now.
    #[cfg(feature = "json")]
    pub(crate) fn push(&mut self, stream: String, expected: Expected, event: NewEvent) {
        match self.parts.last_mut() {
            Some(part) if part.stream == stream && expected == Expected::Any => {
                part.events.push(event);
            }
            _ => self.parts.push(BatchPart { stream, expected, events: vec![event] }),
        }
    }

    /// Records the batch with this time and not with the clock's: for importing what happened
    /// earlier. It must be later than the time of every batch before, and holds all later ones
    /// above it: after [`Timestamp::MAX`] nothing more can be appended.
    #[must_use]
    pub fn recorded_at(mut self, time: Timestamp) -> Self {
        self.recorded_at = Some(time);
        self
    }

    /// When the append of this batch returns. Default: as the store's
    /// [`Options::durability`](crate::Options::durability) says.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// How many events it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.events.len()).sum()
    }

    /// Whether it has no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What an append has done: where its events are, and when they were recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) positions: Range<Position>,
    pub(crate) revisions: Vec<Range<Revision>>,
    pub(crate) recorded_at: Timestamp,
}

impl Receipt {
    /// The positions that the events got.
    #[must_use]
    pub fn positions(&self) -> Range<Position> {
        self.positions.clone()
    }

    /// The position of the first event.
    #[must_use]
    pub fn first(&self) -> Position {
        self.positions.start
    }

    /// The position after that of the last event.
    #[must_use]
    pub fn end(&self) -> Position {
        self.positions.end
    }

    /// The recorded time of all events of the batch.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// The revisions that the events got in their stream, for an append to one stream; for a
    /// batch, those of its first [`Batch::append`]. The end is what the next append expects, if
    /// nobody else appends: `receipt.revisions().end.into()`.
    #[must_use]
    pub fn revisions(&self) -> Range<Revision> {
        self.revisions.first().cloned().unwrap_or_default()
    }

    /// The revisions of each [`Batch::append`], in their order.
    #[must_use]
    pub fn revisions_by_part(&self) -> &[Range<Revision>] {
        &self.revisions
    }
}
