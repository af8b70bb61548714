//! Keeping the place of one consumer on the medium.
//!
//! Owns how its two slots are written, so that a crash leaves the last place that was kept or the
//! one that was being written, and never an older one.

use std::sync::Arc;

use crate::consumer::place::Place;
use crate::directory::{Directory, RandomFile};
use crate::error::{Error, Result};
use crate::format::{Slot, consumer_file};
use crate::log::CONSUMERS;
use crate::types::{Position, StoreId, Timestamp};

/// Writes the slots of one consumer.
#[derive(Debug)]
pub(super) struct Keeper {
    directory: Arc<dyn Directory>,
    name: String,
    /// The slot that was written last, or found.
    last: Slot,
    /// The file, once it is one that this keeper has made: what the medium has of one that was
    /// found is not known, nor of one that could not be written.
    file: Option<Arc<dyn RandomFile>>,
}

/// What is to be kept.
#[derive(Debug)]
pub(super) struct ToKeep {
    pub(super) place: Place,
    /// From where on batches in the log may move the place further.
    pub(super) log_from: Option<Position>,
    /// The number of the opening that says so.
    pub(super) owner: u64,
    pub(super) at: Timestamp,
}

impl Keeper {
    /// A keeper of the consumer whose slot was found.
    pub(super) fn after(directory: Arc<dyn Directory>, consumer: &str, found: Slot) -> Self {
        let name = format!("{CONSUMERS}/{}", consumer_file(consumer));
        Self { directory, name, last: found, file: None }
    }

    /// A keeper of a consumer that is not there yet.
    pub(super) fn new(directory: Arc<dyn Directory>, consumer: &str, store: StoreId) -> Self {
        let nothing = Slot {
            store,
            generation: 0,
            position: Position::START,
            committed_at: Timestamp::MIN,
            owner: 0,
            log_from: None,
            pending: Vec::new(),
        };
        Self::after(directory, consumer, nothing)
    }

    /// The slot that counts.
    pub(super) fn last(&self) -> &Slot {
        &self.last
    }

    /// Whether what the medium has is known: the slot that was kept last, by this keeper.
    pub(super) fn is_sure(&self) -> bool {
        self.file.is_some()
    }

    /// Keeps a place, durably. Up to where it is, the log must be durable.
    ///
    /// If it fails, a crash may leave the place that was to be kept or the one before.
    pub(super) fn keep(&mut self, ToKeep { place, log_from, owner, at }: ToKeep) -> Result<()> {
        self.last.generation = self.last.generation.saturating_add(1);
        let slot = Slot {
            store: self.last.store,
            generation: self.last.generation,
            position: place.end,
            committed_at: at,
            owner,
            log_from,
            pending: place.pending,
        };
        match self.file.take() {
            Some(file) => {
                let path = || self.directory.path_of(&self.name);
                file.write_all_at(&slot.bytes(), slot.offset())
                    .map_err(|error| Error::io("write", &path())(error))?;
                file.sync().map_err(|error| Error::io("sync", &path())(error))?;
                self.file = Some(file);
            }
            None => self.file = Some(self.place(&slot)?),
        }
        self.last = slot;
        Ok(())
    }

    /// Puts a file of this slot in the place of what is there.
    fn place(&self, slot: &Slot) -> Result<Arc<dyn RandomFile>> {
        let path = self.directory.path_of(&self.name);
        self.directory.replace(&self.name, &slot.file()).map_err(Error::io("write", &path))
    }

    /// Removes the file, durably.
    pub(super) fn remove(&mut self) -> Result<()> {
        self.file = None;
        let path = self.directory.path_of(&self.name);
        self.directory.remove(&self.name).map_err(Error::io("remove", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Call, Fault, SimulatedDirectory, read_small};
    use crate::format::SLOTS_LEN;

    const STORE: StoreId = StoreId::from_bytes([3; 16]);

    fn directory() -> SimulatedDirectory {
        let directory = SimulatedDirectory::new();
        directory.create_folder(CONSUMERS).unwrap();
        directory
    }

    fn keep(keeper: &mut Keeper, end: u64) -> Result<()> {
        let place = Place::at(Position::new(end));
        keeper.keep(ToKeep { place, log_from: None, owner: 1, at: Timestamp::from_nanos(7) })
    }

    fn found(directory: &SimulatedDirectory) -> Option<Slot> {
        let bytes = read_small(directory, "consumers/billing", SLOTS_LEN).unwrap()?;
        Slot::latest(&bytes).ok()
    }

    fn kept(directory: &SimulatedDirectory) -> Option<u64> {
        found(directory).map(|slot| slot.position.get())
    }

    #[test]
    fn a_crash_leaves_the_place_that_was_kept_last() {
        let directory = directory();
        let mut keeper = Keeper::new(Arc::new(directory.clone()), "billing", STORE);
        for end in 1..8 {
            keep(&mut keeper, end).unwrap();
            for seed in 0..50 {
                assert_eq!(kept(&directory.crashed(seed)), Some(end));
            }
        }
    }

    #[test]
    fn a_crash_in_the_middle_leaves_the_place_before_or_the_new_one() {
        let mut seen = [0, 0];
        for calls in 0..40 {
            let directory = directory();
            let mut keeper = Keeper::new(Arc::new(directory.clone()), "billing", STORE);
            directory.die_after(calls);
            let kept_ends = (1..100).take_while(|end| keep(&mut keeper, *end).is_ok());
            let last = kept_ends.last().unwrap_or(0);
            for seed in 0..50 {
                let left = kept(&directory.crashed(seed)).unwrap_or(0);
                assert!(left == last || left == last + 1, "{calls}, {seed}: {left} after {last}");
                seen[usize::from(left > last)] += 1;
            }
        }
        assert!(seen[0] > 100 && seen[1] > 100, "{seen:?}");
    }

    /// The process ends between write and sync, and another begins with what the page cache has:
    /// the slot that the medium has must not be written over.
    #[test]
    fn what_is_found_is_never_written_over_before_it_is_known_to_be_on_the_medium() {
        for more in 0..8 {
            for seed in 0..100 {
                let directory = directory();
                let mut keeper = Keeper::new(Arc::new(directory.clone()), "billing", STORE);
                (1..5).for_each(|end| keep(&mut keeper, end).unwrap());
                // The write, and not the sync.
                directory.die_after(directory.call_count() + 1);
                keep(&mut keeper, 5).unwrap_err();
                let restarted = directory.restarted();
                let found = found(&restarted).unwrap();
                assert_eq!(found.position.get(), 5);
                let mut keeper = Keeper::after(Arc::new(restarted.clone()), "billing", found);
                restarted.die_after(restarted.call_count() + more);
                let _ = keep(&mut keeper, 6);
                let left = kept(&restarted.crashed(seed));
                assert!(left >= Some(4), "{more}, {seed}: {left:?}");
            }
        }
    }

    #[test]
    fn after_a_call_that_fails_the_next_place_is_kept() {
        for call in [Call::Write, Call::Sync] {
            for more in 0..8 {
                let directory = directory();
                let mut keeper = Keeper::new(Arc::new(directory.clone()), "billing", STORE);
                (1..4).for_each(|end| keep(&mut keeper, end).unwrap());
                directory.inject(Fault::next(call, std::io::ErrorKind::StorageFull));
                keep(&mut keeper, 4).unwrap_err();
                directory.die_after(directory.call_count() + more);
                let is_kept = keep(&mut keeper, 5).is_ok();
                for seed in 0..100 {
                    let left = kept(&directory.crashed(seed));
                    let least = if is_kept { 5 } else { 3 };
                    assert!(left >= Some(least), "{call:?}, {more}, {seed}: {left:?}");
                }
                assert!(is_kept || more < 7);
            }
        }
    }
}
