//! What there is of each stream.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::error::Error;
use crate::event::EventView;
use crate::inspect::Inspection;
use crate::inspect::notation::{Align, escaped, table};
use crate::types::{Position, Timestamp};
use crate::verify::{Progress, Step};

/// Events between two calls of whoever watches.
const WATCH_INTERVAL: u64 = 1 << 12;

/// What there is of a stream. From [`Inspection::streams`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSummary {
    /// Its name.
    pub name: String,
    /// How many events it has.
    pub event_count: u64,
    /// The position of its first event.
    pub first: Position,
    /// The position of its last event.
    pub last: Position,
    /// The recorded time of its first event.
    pub first_recorded_at: Timestamp,
    /// The recorded time of its last event.
    pub last_recorded_at: Timestamp,
    /// Bytes of the payloads of its events.
    pub payload_len: u64,
}

impl StreamSummary {
    /// A stream of which `event` is the only one.
    fn of(event: &EventView<'_>) -> Self {
        Self {
            name: event.stream().to_owned(),
            event_count: 1,
            first: event.position(),
            last: event.position(),
            first_recorded_at: event.recorded_at(),
            last_recorded_at: event.recorded_at(),
            payload_len: payload_len(event),
        }
    }

    fn add(&mut self, event: &EventView<'_>) {
        self.event_count += 1;
        self.last = event.position();
        self.last_recorded_at = event.recorded_at();
        self.payload_len += payload_len(event);
    }
}

fn payload_len(event: &EventView<'_>) -> u64 {
    u64::try_from(event.payload().len()).unwrap_or(u64::MAX)
}

/// An order of streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamOrder {
    /// By the bytes of their names.
    #[default]
    Name,
    /// Those with most events first.
    Events,
    /// Those with most bytes of payloads first.
    Bytes,
    /// Those whose first event is the newest first.
    First,
    /// Those whose last event is the newest first.
    Last,
}

impl StreamOrder {
    /// Puts `streams` in this order, and those that are equal in it in that of their names.
    pub fn sort(self, streams: &mut [StreamSummary]) {
        streams.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        match self {
            Self::Name => {}
            Self::Events => streams.sort_by_key(|stream| Reverse(stream.event_count)),
            Self::Bytes => streams.sort_by_key(|stream| Reverse(stream.payload_len)),
            Self::First => streams.sort_by_key(|stream| Reverse(stream.first)),
            Self::Last => streams.sort_by_key(|stream| Reverse(stream.last)),
        }
    }
}

impl Inspection {
    /// What there is of each stream, in the byte order of their names, by reading all events.
    ///
    /// If they cannot all be read, what was read before that, and the error. Takes memory for
    /// each stream.
    #[must_use]
    pub fn streams(&self) -> (Vec<StreamSummary>, Option<Error>) {
        self.streams_watched("", |_| ControlFlow::Continue(()))
    }

    /// As [`Inspection::streams`], but only of streams whose names begin with `prefix`, and calls
    /// `watch` now and then, which may end it by returning [`ControlFlow::Break`].
    ///
    /// All events are read, and memory is taken for streams with that prefix only.
    pub fn streams_watched(
        &self,
        prefix: &str,
        mut watch: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> (Vec<StreamSummary>, Option<Error>) {
        let mut streams = BTreeMap::<String, StreamSummary>::new();
        let mut progress = Progress { step: Step::Log, done: 0, total: self.end().get() };
        let visited = self.events().visit(|event| {
            if event.stream().starts_with(prefix) {
                match streams.get_mut(event.stream()) {
                    Some(summary) => summary.add(&event),
                    None => {
                        streams.insert(event.stream().to_owned(), StreamSummary::of(&event));
                    }
                }
            }
            progress.done = event.position().next().get();
            if progress.done.is_multiple_of(WATCH_INTERVAL) {
                return watch(&progress);
            }
            ControlFlow::Continue(())
        });
        (streams.into_values().collect(), visited.err())
    }
}

/// A table of streams for people: a header, then one line for each, with line feeds.
#[must_use]
pub fn stream_table(streams: &[StreamSummary]) -> String {
    let columns = [
        ("events", Align::Right),
        ("first", Align::Right),
        ("last", Align::Right),
        ("first recorded at", Align::Left),
        ("last recorded at", Align::Left),
        ("payload bytes", Align::Right),
        ("stream", Align::Left),
    ];
    let rows: Vec<_> = streams.iter().map(row).collect();
    table(columns, &rows)
}

fn row(stream: &StreamSummary) -> [String; 7] {
    [
        stream.event_count.to_string(),
        stream.first.to_string(),
        stream.last.to_string(),
        stream.first_recorded_at.to_string(),
        stream.last_recorded_at.to_string(),
        stream.payload_len.to_string(),
        // Last, because how wide a name is on a screen is not known.
        escaped(&stream.name),
    ]
}
