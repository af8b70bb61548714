//! Events that a consumer has put aside, by reference.
//!
//! Owns the file that names them. It is written anew as a whole each time: it is short, and rarely
//! written.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::format::{
    PARKED_COUNT_MAX, PARKED_SUFFIX, ParkedEntry, ParkedFile, REASON_LEN_MAX, consumer_file,
};
use crate::log::CONSUMERS;
use crate::types::{Position, StoreId, Timestamp};

/// An event that a consumer has put aside, because its handler failed on it or on an earlier one of
/// the same key. From [`Consumer::parked`](crate::Consumer::parked).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedEvent {
    /// Where the event is.
    pub position: Position,
    /// When it was put aside.
    pub parked_at: Timestamp,
    /// How often the handler was called for it; 0 if it was put aside only because an earlier one of
    /// its key was.
    pub attempt_count: u32,
    /// What the handler said the last time, shortened to 255 bytes.
    pub reason: String,
}

impl From<&ParkedEntry> for ParkedEvent {
    fn from(entry: &ParkedEntry) -> Self {
        let ParkedEntry { position, parked_at, attempt_count, ref reason, .. } = *entry;
        Self { position, parked_at, attempt_count, reason: reason.clone() }
    }
}

/// Shortens a reason to what there is room for.
pub(super) fn shortened(reason: &str) -> String {
    let mut len = reason.len().min(REASON_LEN_MAX);
    while !reason.is_char_boundary(len) {
        len -= 1;
    }
    reason.get(..len).unwrap_or_default().to_owned()
}

/// The events that one consumer has put aside.
#[derive(Debug)]
pub(super) struct ParkedList {
    directory: Arc<dyn Directory>,
    store: StoreId,
    name: String,
    entries: BTreeMap<Position, ParkedEntry>,
}

impl ParkedList {
    /// A list without events, of which there is no file.
    pub(super) fn empty(directory: Arc<dyn Directory>, consumer: &str, store: StoreId) -> Self {
        let name = format!("{CONSUMERS}/{}{PARKED_SUFFIX}", consumer_file(consumer));
        Self { directory, store, name, entries: BTreeMap::new() }
    }

    /// A list with these events, as the file has them.
    pub(super) fn of(
        directory: Arc<dyn Directory>,
        consumer: &str,
        store: StoreId,
        entries: Vec<ParkedEntry>,
    ) -> Self {
        let entries = entries.into_iter().map(|entry| (entry.position, entry)).collect();
        Self { entries, ..Self::empty(directory, consumer, store) }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &ParkedEntry> {
        self.entries.values()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds events, durably, or says more of those that are there.
    ///
    /// # Errors
    ///
    /// If they are too many, or cannot be written. The list is as it was then.
    pub(super) fn add(&mut self, consumer: &str, added: &[ParkedEntry]) -> Result<()> {
        if added.is_empty() {
            return Ok(());
        }
        let mut entries = self.entries.clone();
        entries.extend(added.iter().map(|entry| (entry.position, entry.clone())));
        if entries.len() > PARKED_COUNT_MAX {
            let consumer = consumer.to_owned();
            return Err(Error::TooManyParked { consumer, max: PARKED_COUNT_MAX });
        }
        self.write(entries)
    }

    /// Lets go of an event, durably; says whether it was there.
    pub(super) fn take(&mut self, position: Position) -> Result<bool> {
        let mut entries = self.entries.clone();
        if entries.remove(&position).is_none() {
            return Ok(false);
        }
        self.write(entries).map(|()| true)
    }

    fn write(&mut self, entries: BTreeMap<Position, ParkedEntry>) -> Result<()> {
        if entries.is_empty() {
            self.remove()?;
        } else {
            let file =
                ParkedFile { store: self.store, entries: entries.values().cloned().collect() };
            let path = self.directory.path_of(&self.name);
            let written = self.directory.replace(&self.name, &file.encode());
            written.map_err(Error::io("write", &path))?;
        }
        self.entries = entries;
        Ok(())
    }

    /// Removes the file, durably.
    pub(super) fn remove(&mut self) -> Result<()> {
        let path = self.directory.path_of(&self.name);
        self.directory.remove(&self.name).map_err(Error::io("remove", &path))?;
        self.entries.clear();
        Ok(())
    }
}
