//! Consumers as they are found in the files of a store.
//!
//! Owns what slots, lists of parked events and batches in the log say together. Only reads.

use std::collections::BTreeMap;

use crate::consumer::place::Place;
use crate::cursor::Source;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::format::{PARKED_SUFFIX, ParkedEntry, Slot, consumer_file, consumer_of_file};
use crate::log::{CONSUMERS, list_consumers, read_parked, read_slot};
use crate::types::{Position, StoreId};

/// A consumer whose files are sound.
#[derive(Debug)]
pub(crate) struct FoundConsumer {
    pub(crate) slot: Slot,
    /// In the order of their positions.
    pub(crate) parked: Vec<ParkedEntry>,
    /// Where it is, by what batches have said since as well.
    pub(super) place: Place,
    /// The end of the last batch that counts, if one does.
    pub(super) batch_end: Option<Position>,
    /// From where on batches count.
    pub(super) log_from: Option<Position>,
}

impl FoundConsumer {
    /// Before this, everything is done.
    pub(crate) fn committed(&self) -> Position {
        self.place.watermark()
    }

    /// How many events are not done, of a log that ends at `end`.
    pub(crate) fn lag_event_count(&self, end: Position) -> u64 {
        let pending_count = u64::try_from(self.place.pending.len()).unwrap_or(u64::MAX);
        end.since(self.place.end).saturating_add(pending_count)
    }

    /// How many events are not done though later ones are.
    pub(crate) fn pending_count(&self) -> usize {
        self.place.pending.len()
    }

    /// Takes over what the batch that ends with the record at `at` says.
    fn take(&mut self, at: Position, position: Position) {
        if self.log_from.is_some_and(|from| at >= from) && position > self.place.end {
            self.place = Place::at(position);
            self.batch_end = Some(at.next());
        }
    }
}

/// The consumers of a store, by name; of one whose files are damaged, what they should be.
type FoundConsumers = BTreeMap<Box<str>, Result<FoundConsumer, &'static str>>;

/// Finds the consumers of the store that `source` reads.
pub(crate) fn find_consumers(source: &Source) -> Result<FoundConsumers> {
    let directory = &**source.segments().directory();
    let files = list_consumers(directory)?;
    let visible = source.visible()?.position;
    let mut found = FoundConsumers::new();
    for name in files.iter().filter_map(|file| consumer_of_file(file)) {
        let consumer = match read(directory, source.segments().store(), &name, visible) {
            Err(Error::CorruptFile { expected, .. }) => Err(expected),
            read => Ok(read?),
        };
        found.insert(name.into_boxed_str(), consumer);
    }
    read_log(source, visible, &mut found)?;
    Ok(found)
}

fn read(
    directory: &dyn Directory,
    store: StoreId,
    name: &str,
    visible: Position,
) -> Result<FoundConsumer> {
    let file = consumer_file(name);
    let slot = read_slot(directory, store, &file)?.ok_or_else(|| Error::CorruptFile {
        path: directory.path_of(&format!("{CONSUMERS}/{file}")),
        expected: "a file of 16,384 bytes",
    })?;
    let list = read_parked(directory, store, &format!("{file}{PARKED_SUFFIX}"))?;
    let mut parked = list.map_or_else(Vec::new, |list| list.entries);
    // What is not there could not be given again.
    parked.retain(|entry| entry.position < visible);
    let place = Place { end: slot.position, pending: slot.pending.clone() };
    // What was not durable when it was kept may be gone, and the log have gone another way.
    let log_from = slot.log_from.filter(|from| *from <= visible);
    Ok(FoundConsumer { slot, parked, place, batch_end: None, log_from })
}

/// Takes over what batches have said that are younger than what is kept.
fn read_log(source: &Source, visible: Position, found: &mut FoundConsumers) -> Result<()> {
    let from = found.values().flatten().filter_map(|consumer| consumer.log_from).min();
    let Some(from) = from.filter(|from| *from < visible) else { return Ok(()) };
    let segments = source.segments();
    let mut scanner = source.locate(from)?;
    while scanner.position() < visible {
        scanner = segments.cross(scanner)?;
        let limit = segments.limit(scanner.file())?;
        let stop = source.stop(&scanner, visible);
        while scanner.position() < stop {
            source.check_open()?;
            let (record, _) = scanner.read(limit)?;
            if let Some((name, position)) = scanner.progress(&record)
                && let Some(Ok(consumer)) = found.get_mut(name)
            {
                consumer.take(record.parts.position, position);
            }
        }
    }
    Ok(())
}
