//! What was appended, to compare with what is read.

use std::collections::BTreeMap;

use crate::event::{Event, NewEvent};
use crate::types::{Position, Revision, Timestamp};

/// All that a reader can see of an event. Its position is its place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) stream: String,
    pub(super) revision: Revision,
    pub(super) recorded_at: Timestamp,
    pub(super) ends_batch: bool,
    /// With its id.
    pub(super) event: NewEvent,
}

impl Fact {
    pub(super) fn of(event: &Event) -> Self {
        Self {
            stream: event.stream().to_owned(),
            revision: event.revision(),
            recorded_at: event.recorded_at(),
            ends_batch: event.ends_batch(),
            event: NewEvent::from(event),
        }
    }

    /// Whether `event` is this one, in every part.
    pub(super) fn is(&self, event: &Event) -> bool {
        let new = &self.event;
        (self.stream.as_str(), self.revision) == (event.stream(), event.revision())
            && (self.recorded_at, self.ends_batch) == (event.recorded_at(), event.ends_batch())
            && new.event_type == event.event_type()
            && (new.content_type, new.id) == (event.content_type(), Some(event.id()))
            && (&*new.payload, &*new.metadata) == (event.payload(), event.metadata())
            && new.idempotency_key == event.idempotency_key().unwrap_or_default()
            && new.tags.iter().eq(event.tags())
    }
}

/// Facts with their positions.
pub(super) fn numbered(facts: &[Fact]) -> Vec<(u64, &Fact)> {
    (0..).zip(facts).collect()
}

/// How many there are, as a position.
pub(super) fn end_of(facts: &[Fact]) -> Position {
    Position::new(wide(facts.len()))
}

/// How many events a stream has.
pub(super) fn stream_end(facts: &[Fact], stream: &str) -> Revision {
    Revision::new(wide(facts.iter().filter(|fact| fact.stream == stream).count()))
}

/// The facts of each stream, with their positions.
pub(super) fn by_stream(facts: &[Fact]) -> BTreeMap<&str, Vec<(u64, &Fact)>> {
    let mut streams = BTreeMap::<_, Vec<_>>::new();
    for (position, fact) in (0..).zip(facts) {
        streams.entry(&*fact.stream).or_default().push((position, fact));
    }
    streams
}

pub(super) fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
