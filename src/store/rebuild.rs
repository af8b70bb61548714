//! Building the index anew because someone asks for it.

use std::path::Path;
use std::sync::Arc;

use crate::directory::{Directory, DiskDirectory};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::report::RecoveryReport;
use crate::store::open_index::IndexPlace;

impl Options {
    /// Opens the store at `path`, builds its index anew from the log, closes it, and says what was
    /// found and done: [`RecoveryReport::index`] tells whether there is an index now.
    ///
    /// That is never needed for the store to be right: an index that is missing, broken or behind is
    /// seen to on opening, and one that gives a wrong answer is no longer asked. The old index is left
    /// in `index.broken`, in the place of one that was left there before.
    /// [`Options::on_index_progress`] is told of the progress.
    ///
    /// # Errors
    ///
    /// As [`Options::open`], but that no store is created: where there is none, that is
    /// [`Error::NotAStore`]. An index that cannot be built is no error, but told in the report.
    pub fn rebuild_index(&self, path: impl AsRef<Path>) -> Result<RecoveryReport> {
        self.check()?;
        let path = path.as_ref();
        if !path.is_dir() {
            return Err(Error::NotAStore { path: path.to_owned() });
        }
        self.rebuild_index_in(Arc::new(DiskDirectory::new(path)), &IndexPlace::Sled)
    }

    fn rebuild_index_in(
        &self,
        directory: Arc<dyn Directory>,
        place: &IndexPlace,
    ) -> Result<RecoveryReport> {
        let options = Self { create: false, rebuilds_index: true, ..self.clone() };
        let store = options.open_in(directory, place)?;
        let report = store.recovery().clone();
        store.close()?;
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::SimulatedDirectory;
    use crate::event::{Expected, NewEvent};
    use crate::index::MemoryTree;
    use crate::report::{IndexRecovery, IndexTrouble};
    use crate::store::Store;

    const NOTES: [&str; 2] = [crate::log::CLEAN_NOTE, crate::log::DURABLE_NOTE];

    fn store(directory: &SimulatedDirectory, place: &IndexPlace) -> Store {
        let options = Options::new().checkpoint_event_count(2);
        options.open_in(Arc::new(directory.clone()), place).unwrap()
    }

    fn append_four(store: &Store) {
        for n in 0..4 {
            let event = NewEvent::text("t", n.to_string());
            store.append(["a", "b"][n % 2], Expected::Any, [event]).unwrap();
        }
    }

    #[test]
    fn the_index_is_built_anew_whatever_there_is_of_it() {
        for notes in [&NOTES[..], &[]] {
            let (directory, tree) = (SimulatedDirectory::new(), MemoryTree::default());
            let place = IndexPlace::Memory(tree);
            let first = store(&directory, &place);
            append_four(&first);
            first.close().unwrap();
            // Without notes the old index is asked how far the log was durable, and let go.
            for note in notes {
                directory.remove(note).unwrap();
            }
            let report =
                Options::new().rebuild_index_in(Arc::new(directory.clone()), &place).unwrap();
            let reason = IndexTrouble::Asked;
            assert_eq!(report.index, IndexRecovery::Rebuilt { event_count: 4, reason });
            let again = store(&directory, &place);
            assert_eq!(again.recovery().index, IndexRecovery::Current);
            assert_eq!(again.read_stream("b").count(), 2);
            assert!(again.verify().unwrap().is_sound());
        }
    }

    #[test]
    fn a_rebuild_creates_no_store() {
        let directory = Arc::new(SimulatedDirectory::new());
        let place = IndexPlace::Memory(MemoryTree::default());
        let rebuilt = Options::new().rebuild_index_in(directory, &place);
        assert!(matches!(rebuilt, Err(Error::NotAStore { .. })), "{rebuilt:?}");
    }
}
