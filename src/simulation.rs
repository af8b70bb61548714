//! Stores on a simulated directory: to see what an application does when things fail.
//!
//! Owns the public face of the simulation. The model is in `directory::simulated`.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use crate::directory::{Call, Fault};
use crate::directory::{Directory, SimulatedDirectory};
use crate::error::Result;
use crate::index::MemoryTree;
use crate::inspect::Inspection;
use crate::options::Options;
use crate::store::{IndexPlace, ReadOnlyStore, RepairPlan, Store};

/// A directory in memory, for one store, that fails and crashes as a real one may.
///
/// ```
/// use annals::simulation::Simulation;
/// use annals::{Expected, NewEvent, Options};
///
/// let disk = Simulation::new();
/// let store = disk.open(&Options::new())?;
/// store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
///
/// // Whatever the crash leaves of what was not synced, the event is there.
/// for seed in 0..100 {
///     let store = disk.crash(seed).open(&Options::new())?;
///     assert_eq!(store.end().get(), 1);
/// }
/// # Ok::<(), annals::Error>(())
/// ```
///
/// Clones are the same directory. The same calls by one thread and the same seeds give the same
/// states, if the clock of the [`Options`] does too.
#[derive(Clone, Debug)]
pub struct Simulation {
    directory: SimulatedDirectory,
    tree: MemoryTree,
}

impl Simulation {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self { directory: SimulatedDirectory::new(), tree: MemoryTree::default() }
    }

    /// Opens the store in this directory, and first creates it if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`Options::open`].
    pub fn open(&self, options: &Options) -> Result<Store> {
        options.check()?;
        let place = IndexPlace::Memory(self.tree.clone());
        options.open_in(Arc::new(self.directory.clone()), &place)
    }

    /// Opens the store in this directory for reading alone, beside whoever has it open.
    ///
    /// # Errors
    ///
    /// Those of [`Options::open_read_only`].
    pub fn open_read_only(&self, options: &Options) -> Result<ReadOnlyStore> {
        options.check()?;
        options.open_read_only_in(Arc::new(self.directory.clone()))
    }

    /// Inspects the store in this directory, which may be open. What looks damaged is looked at
    /// once more, without waiting.
    ///
    /// # Errors
    ///
    /// Those of [`Inspection::open`].
    pub fn inspect(&self) -> Result<Inspection> {
        let directory: Arc<dyn Directory> = Arc::new(self.directory.clone());
        Inspection::of(&directory, Duration::ZERO)
    }

    /// Plans how to repair the store in this directory.
    ///
    /// # Errors
    ///
    /// Those of [`RepairPlan::make`].
    pub fn plan_repair(&self) -> Result<RepairPlan> {
        let place = IndexPlace::Memory(self.tree.clone());
        RepairPlan::make_in(Arc::new(self.directory.clone()), place)
    }

    /// One of the states that a loss of power now may leave, chosen by `seed`. What was synced
    /// is there; what was not may be, in part or in any order. The index survives or does not.
    ///
    /// This directory, and a store that is open in it, are left as they are.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let tree = if seed.is_multiple_of(2) { self.tree.copy() } else { MemoryTree::default() };
        Self { directory: self.directory.crashed(seed), tree }
    }

    /// The state that the end of the process leaves now: nothing is lost, and what a failed sync
    /// has kept from the medium is seen all the same.
    #[must_use]
    pub fn restart(&self) -> Self {
        Self { directory: self.directory.restarted(), tree: self.tree.copy() }
    }

    /// The same directory without the index.
    #[must_use]
    pub fn without_index(self) -> Self {
        Self { tree: MemoryTree::default(), ..self }
    }

    /// Whether a crash now can leave one state only, because everything is synced.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.directory.is_settled()
    }

    /// Makes calls fail from now on.
    pub fn inject(&self, fault: Fault) {
        self.directory.inject(fault);
    }

    /// Lets all calls succeed again.
    pub fn heal(&self) {
        self.directory.heal();
    }

    /// How many calls have been made that change something.
    #[must_use]
    pub fn call_count(&self) -> u64 {
        self.directory.call_count()
    }

    /// Ends the process once `count` calls that change something have been made: later calls
    /// fail and change nothing.
    pub fn die_after(&self, count: u64) {
        self.directory.die_after(count);
    }

    /// All files with their bytes, by name.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.directory.files()
    }

    /// Puts bytes in the place of a file, durably: damage, or an older copy. The folder is made if
    /// there is none.
    pub fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.directory.put(name, bytes.into());
    }

    /// Takes a file away, durably.
    pub fn take(&self, name: &str) {
        self.directory.take(name);
    }

    /// The directory behind it.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn directory(&self) -> &SimulatedDirectory {
        &self.directory
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}
