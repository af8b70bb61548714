//! Opening the index, which may be missing, foreign or broken, and must never stop a store.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

use crate::directory::{Directory, read_small};
#[cfg(any(test, feature = "simulation"))]
use crate::index::MemoryTree;
use crate::index::{Index, IndexFault, IndexOptions, MARK_INTERVAL_LEN, Tree, open_sled};
use crate::options::Options;
use crate::report::IndexTrouble;
use crate::store::maintenance::{Maintenance, Tasks};
use crate::types::{LogEnd, StoreId};

const INDEX: &str = "index";
/// Where an index that cannot be used goes, so that someone may look into it.
const BROKEN: &str = "index.broken";
/// There while the index is being opened: if it is still there, opening it has ended the
/// process, as a panic does where panics abort.
const OPENING: &str = "index.opening";

/// An index as it was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) index: Option<Index>,
    /// How far it knows the log.
    pub(super) checkpoint: Option<LogEnd>,
    /// Why it must be built anew.
    pub(super) reason: IndexTrouble,
}

impl Opened {
    pub(super) fn unusable(reason: IndexTrouble) -> Self {
        Self { index: None, checkpoint: None, reason }
    }

    /// What is left of it where another index is asked for.
    pub(super) fn discarded(self) -> Self {
        if let Some(index) = self.index {
            index.close();
        }
        Self::unusable(IndexTrouble::Asked)
    }
}

/// What a fault of the index is to who asks why it could not be used.
pub(super) fn trouble(fault: &IndexFault) -> IndexTrouble {
    match fault {
        IndexFault::Foreign => IndexTrouble::OtherLog,
        other => IndexTrouble::Failed { detail: other.to_string() },
    }
}

/// Where the index is kept.
#[derive(Clone, Debug)]
pub(crate) enum IndexPlace {
    /// In sled, in the store's directory.
    Sled,
    /// In memory that outlives the store, as simulations have it.
    #[cfg(any(test, feature = "simulation"))]
    Memory(MemoryTree),
}

/// A source of random numbers that begins where the operating system says.
pub(super) fn random_from_system() -> fastrand::Rng {
    // The keys of the standard library's hash maps come from the system's own source.
    fastrand::Rng::with_seed(RandomState::new().build_hasher().finish())
}

impl IndexPlace {
    /// A source of random numbers for the store: the same each time in a simulation.
    pub(super) fn random(&self) -> fastrand::Rng {
        match self {
            Self::Sled => random_from_system(),
            #[cfg(any(test, feature = "simulation"))]
            Self::Memory(_) => fastrand::Rng::with_seed(0),
        }
    }

    /// Whether the store may work on threads of its own: everything happens in the same order
    /// each time in a simulation.
    pub(super) fn may_have_threads(&self) -> bool {
        matches!(self, Self::Sled)
    }

    /// Maintenance by a thread, but in a simulation.
    pub(super) fn maintenance(&self, tasks: Tasks) -> Maintenance {
        match self {
            Self::Sled => Maintenance::on_thread(tasks),
            #[cfg(any(test, feature = "simulation"))]
            Self::Memory(_) => Maintenance::inline(tasks),
        }
    }

    fn is_empty(&self, directory: &dyn Directory) -> bool {
        match self {
            Self::Sled => match directory.list(INDEX) {
                Ok(names) => names.is_empty(),
                // Something that is no folder is something to move aside.
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            },
            #[cfg(any(test, feature = "simulation"))]
            Self::Memory(tree) => tree.is_empty(),
        }
    }

    /// Makes room for another index, and leaves the old one where someone may look into it.
    pub(super) fn move_aside(&self, directory: &dyn Directory) -> Result<(), IndexTrouble> {
        if self.is_empty(directory) {
            return Ok(());
        }
        match self {
            Self::Sled => {
                let _ = directory.remove_folder(BROKEN);
                let moved = directory.rename_folder(INDEX, BROKEN);
                moved.map_err(|error| IndexTrouble::Failed { detail: error.to_string() })
            }
            #[cfg(any(test, feature = "simulation"))]
            Self::Memory(tree) => {
                tree.clear();
                Ok(())
            }
        }
    }
}

impl Options {
    /// sled's part of the cache: a sixteenth, for it takes many times as much.
    fn sled_cache_len(&self) -> u64 {
        self.index_cache_len / 16
    }

    pub(super) fn index_options(&self) -> IndexOptions {
        IndexOptions {
            checkpoint_event_count: self.checkpoint_event_count,
            mark_interval_len: MARK_INTERVAL_LEN,
            cache_len_max: self.index_cache_len - self.sled_cache_len(),
        }
    }

    /// Opens the index as it is.
    pub(super) fn open_index(
        &self,
        directory: &dyn Directory,
        place: &IndexPlace,
        store: StoreId,
    ) -> Opened {
        if place.is_empty(directory) {
            return Opened::unusable(IndexTrouble::Missing);
        }
        if !matches!(read_small(directory, OPENING, 0), Ok(None)) {
            return Opened::unusable(IndexTrouble::OpeningDidNotEnd);
        }
        match self.open_tree(directory, place).and_then(|tree| self.index_on(tree, store)) {
            Ok((index, checkpoint)) => {
                Opened { index: Some(index), checkpoint, reason: IndexTrouble::NoCheckpoint }
            }
            Err(fault) => Opened::unusable(trouble(&fault)),
        }
    }

    pub(super) fn index_on(
        &self,
        tree: Box<dyn Tree>,
        store: StoreId,
    ) -> Result<(Index, Option<LogEnd>), IndexFault> {
        Index::open(tree, store, self.index_options())
    }

    pub(super) fn open_tree(
        &self,
        directory: &dyn Directory,
        place: &IndexPlace,
    ) -> Result<Box<dyn Tree>, IndexFault> {
        match place {
            IndexPlace::Sled => {
                if place.is_empty(directory) {
                    // sled would create it for everyone to read. If this fails, sled will say.
                    let _ = directory.create_folder(INDEX);
                }
                // Without the mark a crash while opening is not noticed, and that is all.
                let _ = directory.replace(OPENING, b"");
                let tree = open_sled(&directory.path_of(INDEX), self.sled_cache_len());
                let _ = directory.remove(OPENING);
                tree
            }
            #[cfg(any(test, feature = "simulation"))]
            IndexPlace::Memory(tree) => Ok(Box::new(tree.clone())),
        }
    }

    /// An index that answers nothing, so that everything is found by scanning.
    pub(super) fn no_index(&self, store: StoreId) -> Index {
        Index::unavailable(store, self.index_options())
    }
}
