//! What there is of each stream.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::event::Event;
use crate::inspect::Inspection;
use crate::inspect::table::{Align, table};
use crate::inspect::text::escaped;
use crate::types::{Position, Timestamp};

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
    fn of(event: &Event) -> Self {
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

    fn add(&mut self, event: &Event) {
        self.event_count += 1;
        self.last = event.position();
        self.last_recorded_at = event.recorded_at();
        self.payload_len += payload_len(event);
    }
}

fn payload_len(event: &Event) -> u64 {
    u64::try_from(event.payload().len()).unwrap_or(u64::MAX)
}

impl Inspection {
    /// What there is of each stream, in the byte order of their names, by reading all events.
    ///
    /// If they cannot all be read, what was read before that, and the error. Takes memory for
    /// each stream.
    #[must_use]
    pub fn streams(&self) -> (Vec<StreamSummary>, Option<Error>) {
        let mut streams = BTreeMap::<String, StreamSummary>::new();
        let mut stopped_by = None;
        for event in self.events() {
            match event {
                Ok(event) => match streams.get_mut(event.stream()) {
                    Some(summary) => summary.add(&event),
                    None => {
                        streams.insert(event.stream().to_owned(), StreamSummary::of(&event));
                    }
                },
                Err(error) => stopped_by = Some(error),
            }
        }
        (streams.into_values().collect(), stopped_by)
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
