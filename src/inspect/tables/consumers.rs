//! Where each consumer is.

use crate::consumer::{FoundConsumer, find_consumers};
use crate::error::{Error, Result};
use crate::format::consumer_file;
use crate::inspect::Inspection;
use crate::inspect::notation::{Align, escaped, table};
use crate::log::CONSUMERS;
use crate::types::{Position, Timestamp};

/// Where a consumer is. From [`Inspection::consumers`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerSummary {
    /// Its name.
    pub name: String,
    /// Every event before it is done.
    pub committed: Position,
    /// Events that are not done: of the whole log, also those that its filter leaves out.
    pub lag_event_count: u64,
    /// Of those, events that its workers were given and that are not done, though later ones are.
    pub pending_count: usize,
    /// Events that it has put aside.
    pub parked_count: usize,
    /// When its place was last kept, but for batches that have moved it since.
    pub committed_at: Timestamp,
}

impl ConsumerSummary {
    fn of(name: &str, found: &FoundConsumer, end: Position) -> Self {
        Self {
            name: name.to_owned(),
            committed: found.committed(),
            lag_event_count: found.lag_event_count(end),
            pending_count: found.pending_count(),
            parked_count: found.parked.len(),
            committed_at: found.slot.committed_at,
        }
    }
}

impl Inspection {
    /// Where each consumer is, in the byte order of their names: by its file, and by what batches in
    /// the log have said since.
    ///
    /// Of those whose files are damaged, the errors: [`Error::CorruptFile`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and [`Error::Corrupt`] from reading the log for what batches say.
    pub fn consumers(&self) -> Result<(Vec<ConsumerSummary>, Vec<Error>)> {
        let directory = self.segments_seen().directory();
        let (mut summaries, mut errors) = (Vec::new(), Vec::new());
        for (name, found) in find_consumers(self.source())? {
            match found {
                Ok(found) => summaries.push(ConsumerSummary::of(&name, &found, self.end())),
                Err(expected) => {
                    let path = directory.path_of(&format!("{CONSUMERS}/{}", consumer_file(&name)));
                    errors.push(Error::CorruptFile { path, expected });
                }
            }
        }
        Ok((summaries, errors))
    }
}

/// A table of consumers for people: a header, then one line for each, with line feeds.
#[must_use]
pub fn consumer_table(consumers: &[ConsumerSummary]) -> String {
    let columns = [
        ("committed", Align::Right),
        ("behind", Align::Right),
        ("pending", Align::Right),
        ("parked", Align::Right),
        ("committed at", Align::Left),
        ("consumer", Align::Left),
    ];
    let rows: Vec<_> = consumers.iter().map(row).collect();
    table(columns, &rows)
}

fn row(consumer: &ConsumerSummary) -> [String; 6] {
    [
        consumer.committed.to_string(),
        consumer.lag_event_count.to_string(),
        consumer.pending_count.to_string(),
        consumer.parked_count.to_string(),
        consumer.committed_at.to_string(),
        // Last, because how wide a name is on a screen is not known.
        escaped(&consumer.name),
    ]
}
