//! Noting how far the log is durable, so that opening it after a crash begins there.
//!
//! Owns the file `durable`. It is written off the path of those who append, and only with what a
//! sync has covered; a note that is lost, or an older one, costs a longer scan and nothing else.

use std::sync::Arc;

use crate::directory::{Directory, RandomFile, read_small};
use crate::error::{Error, Result};
use crate::format::{CleanNote, DURABLE_LEN, DurableNote};
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::types::{Position, StoreId};

/// The file that says how far the log was durable.
pub(crate) const DURABLE_NOTE: &str = "durable";

/// Reads the note of this store that counts, if there is one that is valid.
pub(super) fn read_durable(
    directory: &dyn Directory,
    store: StoreId,
) -> Result<Option<DurableNote>> {
    let path = directory.path_of(DURABLE_NOTE);
    let bytes =
        read_small(directory, DURABLE_NOTE, DURABLE_LEN).map_err(Error::io("read", &path))?;
    let note = bytes.and_then(|bytes| DurableNote::latest(&bytes));
    Ok(note.filter(|note| note.place.store == store))
}

/// Writes notes.
#[derive(Debug)]
pub(super) struct Noter {
    directory: Arc<dyn Directory>,
    slots: Mutex<Slots>,
    /// What the last note says, or 0.
    noted_end: AtomicU64,
}

/// The file, as it was written last. What was synced last is never written over before another
/// note is: a crash leaves it or a later one.
#[derive(Debug)]
struct Slots {
    /// The file, once it was written to.
    file: Option<Arc<dyn RandomFile>>,
    /// The note that was written last; `None` if the file must be made anew.
    last: Option<DurableNote>,
    /// Whether that is known to be on the medium.
    is_synced: bool,
}

impl Noter {
    /// A noter that goes on after the note that was found.
    pub(super) fn after(directory: Arc<dyn Directory>, found: Option<DurableNote>) -> Self {
        let noted_end = AtomicU64::new(found.map_or(0, |note| note.place.end.get()));
        let slots = Slots { file: None, last: found, is_synced: false };
        Self { directory, slots: Mutex::new(slots), noted_end }
    }

    /// How far the last note says that the log is durable.
    pub(super) fn noted_end(&self) -> Position {
        Position::new(self.noted_end.load(Ordering::Acquire))
    }

    /// Notes that the log is durable up to `place`, unless that was noted. The note is not synced.
    pub(super) fn note(&self, place: CleanNote) -> Result<()> {
        self.note_in(&mut self.slots.lock(), place)
    }

    /// The same, durably.
    pub(super) fn note_durably(&self, place: CleanNote) -> Result<()> {
        let mut slots = self.slots.lock();
        self.note_in(&mut slots, place)?;
        self.sync(&mut slots)
    }

    /// Makes sure, durably, that there is no note.
    pub(super) fn remove(&self) -> Result<()> {
        let mut slots = self.slots.lock();
        self.forget(&mut slots);
        let path = self.directory.path_of(DURABLE_NOTE);
        self.directory.remove(DURABLE_NOTE).map_err(Error::io("remove", &path))
    }

    /// Lets the next note take the place of the file: what the medium has of it is not known.
    fn forget(&self, slots: &mut Slots) {
        *slots = Slots { file: None, last: None, is_synced: false };
        self.noted_end.store(0, Ordering::Release);
    }

    fn note_in(&self, slots: &mut Slots, place: CleanNote) -> Result<()> {
        match slots.last {
            Some(last) if last.place.end >= place.end => return Ok(()),
            Some(last) => self.write(slots, last, place)?,
            None => self.create(slots, place)?,
        }
        self.noted_end.store(place.end.get(), Ordering::Release);
        Ok(())
    }

    fn create(&self, slots: &mut Slots, place: CleanNote) -> Result<()> {
        let note = DurableNote { generation: 1, place };
        let path = self.directory.path_of(DURABLE_NOTE);
        let created = self.directory.replace(DURABLE_NOTE, &note.file());
        let file = created.map_err(Error::io("create", &path))?;
        *slots = Slots { file: Some(file), last: Some(note), is_synced: true };
        Ok(())
    }

    fn write(&self, slots: &mut Slots, last: DurableNote, place: CleanNote) -> Result<()> {
        if slots.file.is_none() {
            // It is not known which of the notes that were found is on the medium.
            self.sync(slots)?;
        }
        let file = self.file(slots)?;
        // The other slot, but for one that was not synced, which is written over.
        let generation = last.generation.saturating_add(if slots.is_synced { 1 } else { 2 });
        let note = DurableNote { generation, place };
        if let Err(error) = file.write_all_at(&note.slot(), note.offset()) {
            self.forget(slots);
            return Err(Error::io("write", &self.directory.path_of(DURABLE_NOTE))(error));
        }
        (slots.last, slots.is_synced) = (Some(note), false);
        Ok(())
    }

    fn sync(&self, slots: &mut Slots) -> Result<()> {
        if slots.is_synced {
            return Ok(());
        }
        if let Err(error) = self.file(slots)?.sync() {
            // No later sync tells.
            self.forget(slots);
            return Err(Error::io("sync", &self.directory.path_of(DURABLE_NOTE))(error));
        }
        slots.is_synced = true;
        Ok(())
    }

    fn file(&self, slots: &mut Slots) -> Result<Arc<dyn RandomFile>> {
        if let Some(file) = &slots.file {
            return Ok(Arc::clone(file));
        }
        let path = self.directory.path_of(DURABLE_NOTE);
        let opened = self.directory.open_to_write(DURABLE_NOTE).inspect_err(|_| self.forget(slots));
        let file = opened.map_err(Error::io("open", &path))?;
        slots.file = Some(Arc::clone(&file));
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::SimulatedDirectory;
    use crate::types::Address;

    fn place(end: u64) -> CleanNote {
        let address = Address { segment: Position::START, offset: end * 8 };
        let (store, end) = (StoreId::from_bytes([3; 16]), Position::new(end));
        CleanNote { store, end, address, last_offset: 64, checksum: 5 }
    }

    fn noted_end(directory: &SimulatedDirectory) -> Option<u64> {
        let note = read_durable(directory, place(0).store).unwrap();
        note.map(|note| note.place.end.get())
    }

    /// Notes these places, the first of them durably, and fails unless no crash takes that one back.
    fn assert_stays(noter: &Noter, directory: &SimulatedDirectory, ends: std::ops::Range<u64>) {
        noter.note_durably(place(ends.start)).unwrap();
        for end in ends.clone() {
            noter.note(place(end)).unwrap();
            assert_eq!(noted_end(directory), Some(end));
            for seed in 0..200 {
                let left = noted_end(&directory.crashed(seed));
                assert!(left >= Some(ends.start), "{left:?} of {ends:?}, at {end}");
            }
        }
    }

    #[test]
    fn a_crash_leaves_the_note_that_was_synced_last_or_a_later_one() {
        let directory = SimulatedDirectory::new();
        let noter = Noter::after(Arc::new(directory.clone()), None);
        assert_stays(&noter, &directory, 10..16);
        assert_stays(&noter, &directory, 20..25);
        // Which of the notes that are found was synced is not known.
        let found = read_durable(&directory, place(0).store).unwrap();
        let again = Noter::after(Arc::new(directory.clone()), found);
        again.note(place(30)).unwrap();
        for seed in 0..200 {
            assert!(noted_end(&directory.crashed(seed)) >= Some(24), "{seed}");
        }
        assert_stays(&again, &directory, 40..46);
    }
}
