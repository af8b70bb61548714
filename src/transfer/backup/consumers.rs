//! The consumers of the store that is copied.
//!
//! Owns that none is lost or ahead of the copy, and that no event that it has put aside is missing:
//! its place is read before the list of what it has put aside, which names an event before its place
//! passes it; and both before the log's end, so that the copy has what was appended before an event
//! was taken off the list.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::directory::{Directory, TEMPORARY_PREFIX, read_small};
use crate::error::{Error, Result};
use crate::format::{
    PARKED_FILE_LEN_MAX, PARKED_SUFFIX, ParkedFile, SLOTS_LEN, Slot, consumer_of_file,
};
use crate::log::{CONSUMERS, read_parked, read_slot};
use crate::transfer::backup::{BackupReport, list, remove, replace};
use crate::types::{Position, StoreId};

/// How often a file is read whose slots are both bad: it may have been written just then.
const READS_MAX: usize = 5;

/// Where the consumers were.
#[derive(Debug)]
pub(super) struct Consumers {
    directory: Arc<dyn Directory>,
    store: StoreId,
    /// By the names of their files, with what they have put aside.
    places: Vec<(String, Slot, Option<ParkedFile>)>,
    damages: Vec<Error>,
    /// The files of the copy that stay as they are, because the original's are damaged.
    to_keep: Vec<String>,
}

impl Consumers {
    /// Reads where each consumer of the store in `directory` is.
    pub(super) fn read(
        directory: Arc<dyn Directory>,
        store: StoreId,
        pause: Duration,
    ) -> Result<Self> {
        let names = list(&*directory, CONSUMERS)?;
        let (places, damages, to_keep) = (Vec::new(), Vec::new(), Vec::new());
        let mut consumers = Self { directory, store, places, damages, to_keep };
        for name in names.into_iter().filter(|name| consumer_of_file(name).is_some()) {
            match consumers.read_one(&name, pause) {
                Ok(Some((slot, parked))) => consumers.places.push((name, slot, parked)),
                // Deleted meanwhile.
                Ok(None) => {}
                Err(error @ Error::CorruptFile { .. }) => consumers.note_damage(&name, error),
                Err(error) => return Err(error),
            }
        }
        Ok(consumers)
    }

    fn note_damage(&mut self, name: &str, error: Error) {
        self.damages.push(error);
        self.to_keep.extend([name.to_owned(), format!("{name}{PARKED_SUFFIX}")]);
    }

    /// A place, and the list that belongs to it: not that of a consumer which was deleted and made
    /// again meanwhile.
    fn read_one(&self, name: &str, pause: Duration) -> Result<Option<(Slot, Option<ParkedFile>)>> {
        let list = format!("{name}{PARKED_SUFFIX}");
        let Some(mut slot) = self.place_of(name, pause)? else { return Ok(None) };
        for _ in 1..READS_MAX {
            let parked = read_parked(&*self.directory, self.store, &list)?;
            let Some(later) = self.place_of(name, pause)? else { return Ok(None) };
            if later.generation >= slot.generation && later.position >= slot.position {
                return Ok(Some((slot, parked)));
            }
            slot = later;
        }
        Ok(Some((slot, read_parked(&*self.directory, self.store, &list)?)))
    }

    fn place_of(&self, name: &str, pause: Duration) -> Result<Option<Slot>> {
        for _ in 1..READS_MAX {
            match read_slot(&*self.directory, self.store, name) {
                Err(Error::CorruptFile { .. }) => thread::sleep(pause),
                read => return read,
            }
        }
        read_slot(&*self.directory, self.store, name)
    }

    /// The highest place of a consumer: the log is durable up to there.
    pub(super) fn highest(&self) -> Option<Position> {
        self.places.iter().map(|(_, slot, _)| slot.position).max()
    }

    /// Puts the consumers into `copy`, whose log ends at `end`, and tells in `report` how many the copy
    /// has, and which of their files are damaged in the original.
    pub(super) fn write(
        self,
        copy: &dyn Directory,
        end: Position,
        report: &mut BackupReport,
    ) -> Result<()> {
        let mut expected = Vec::new();
        for (name, slot, parked) in self.places {
            if let Some(list) = parked.and_then(|list| before(end, list)) {
                let parked = format!("{name}{PARKED_SUFFIX}");
                put(copy, &parked, &list.encode(), PARKED_FILE_LEN_MAX)?;
                expected.push(parked);
            }
            put(copy, &name, &slot.file(), SLOTS_LEN)?;
            expected.push(name);
        }
        // A place goes before its list does.
        let mut others = list(copy, CONSUMERS)?;
        others.retain(|name| !expected.contains(name) && !self.to_keep.contains(name));
        others.sort_unstable();
        for name in others.iter().filter(|name| !name.starts_with(TEMPORARY_PREFIX)) {
            remove(copy, &format!("{CONSUMERS}/{name}"))?;
        }
        let there = list(copy, CONSUMERS)?;
        let places = there.iter().filter(|name| consumer_of_file(name).is_some());
        report.consumer_count = u64::try_from(places.count()).unwrap_or(u64::MAX);
        report.damages = self.damages;
        Ok(())
    }
}

/// What of a list is before `end`; `None` if nothing is. Later events are not in the copy, and others
/// could come into their places there.
fn before(end: Position, mut list: ParkedFile) -> Option<ParkedFile> {
    list.entries.retain(|entry| entry.position < end);
    Some(list).filter(|list| !list.entries.is_empty())
}

/// Puts a file into the folder of consumers, unless it is there as it should be.
fn put(copy: &dyn Directory, name: &str, bytes: &[u8], len_max: usize) -> Result<()> {
    let file = format!("{CONSUMERS}/{name}");
    let path = copy.path_of(&file);
    let there = read_small(copy, &file, len_max).map_err(Error::io("read", &path))?;
    if there.as_deref() == Some(bytes) { Ok(()) } else { replace(copy, &file, bytes) }
}
