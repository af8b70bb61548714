//! Backups on a simulated directory, where every call may be the last one.
//!
//! Owns the store that is copied, and what a copy must be.

mod beside;
mod damaged;
mod interrupted;
mod whole;

use std::collections::BTreeMap;

use super::*;
use crate::directory::SimulatedDirectory;
use crate::event::{Batch, Expected, NewEvent};
use crate::index::MemoryTree;
use crate::inspect::Inspection;
use crate::log::META;
use crate::options::{Durability, Options};
use crate::store::{IndexPlace, Store};

/// A store that holds the events 0, 1, 2 and so on, and a consumer that has done some.
struct Shop {
    directory: SimulatedDirectory,
    options: Options,
    tree: MemoryTree,
}

impl Shop {
    fn new() -> Self {
        Self::with(Options::new().segment_len_max(4 << 10))
    }

    fn with(options: Options) -> Self {
        Self { directory: SimulatedDirectory::new(), options, tree: MemoryTree::default() }
    }

    fn open(&self) -> Store {
        open(&self.directory, &self.options, &self.tree).unwrap()
    }

    /// Appends batches of three events up to `end`, and moves the consumer there.
    fn fill(&self, end: u64) {
        let store = self.open();
        append(&store, end, Durability::Sync);
        commit(&store, end - 1);
        store.close().unwrap();
    }

    fn copy_to(&self, copy: &SimulatedDirectory) -> Result<BackupReport> {
        copy_to(&self.directory, copy)
    }
}

fn open(directory: &SimulatedDirectory, options: &Options, tree: &MemoryTree) -> Result<Store> {
    options.open_in(Arc::new(directory.clone()), &IndexPlace::Memory(tree.clone()))
}

fn copy_to(original: &SimulatedDirectory, copy: &SimulatedDirectory) -> Result<BackupReport> {
    let original: Arc<dyn Directory> = Arc::new(original.clone());
    let copy: Arc<dyn Directory> = Arc::new(copy.clone());
    let watch = &mut |_: &BackupProgress| ControlFlow::Continue(());
    back_up(&original, &copy, Link::WherePossible, Duration::ZERO, watch)
}

fn append(store: &Store, end: u64, durability: Durability) {
    for first in (store.end().get()..end).step_by(3) {
        let events = (first..first + 3)
            .map(|n| NewEvent::text("said", format!("{n} {}", "word ".repeat(30))));
        let batch = Batch::new().append("talk", Expected::Any, events);
        store.append_batch(batch.durability(durability)).unwrap();
    }
}

fn commit(store: &Store, position: u64) {
    let mut consumer = store.consumer("billing").open().unwrap();
    while consumer.next().unwrap().unwrap().position().get() + 1 < position {}
    consumer.commit(position).unwrap();
}

fn numbers(store: &Inspection) -> Vec<u64> {
    store
        .events()
        .map(|event| {
            let event = event.unwrap();
            let text = std::str::from_utf8(event.payload()).unwrap().to_owned();
            text.split(' ').next().unwrap().parse().unwrap()
        })
        .collect()
}

fn look(directory: &SimulatedDirectory) -> Inspection {
    let directory: Arc<dyn Directory> = Arc::new(directory.clone());
    Inspection::of(&directory, Duration::ZERO).unwrap()
}

fn is_store(directory: &SimulatedDirectory) -> bool {
    directory.files().iter().any(|(name, _)| name == META)
}

/// Fails unless `directory` is a store that opens with the first events, whole batches of them and
/// at least `least`; returns how many.
fn assert_opens(directory: &SimulatedDirectory, least: u64, what: &str) -> u64 {
    let inspected = look(directory);
    assert_eq!(inspected.damage().map(ToString::to_string), None, "{what}");
    let end = inspected.end().get();
    assert!(end >= least && end.is_multiple_of(3), "{what}: {end}, at least {least}");
    assert_eq!(numbers(&inspected), (0..end).collect::<Vec<_>>(), "{what}");
    let opened = directory.restarted();
    let store = open(&opened, &Options::new(), &MemoryTree::default());
    let store = store.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.end().get(), end, "{what}");
    for consumer in store.consumers().unwrap() {
        assert!(consumer.committed.get() <= end, "{what}: {}", consumer.committed);
    }
    end
}

/// Fails unless `directory` is a sound, closed copy with so many events.
fn assert_whole(directory: &SimulatedDirectory, end: u64, what: &str) {
    assert_eq!(assert_opens(directory, end, what), end, "{what}");
    let report = look(directory).verify();
    assert!(report.is_sound(), "{what}: {report:?}");
    let opened = directory.restarted();
    let store = open(&opened, &Options::new(), &MemoryTree::default()).unwrap();
    assert!(store.recovery().was_closed, "{what}: {:?}", store.recovery());
}

/// All files but those that say nothing of what is in the store.
fn content(directory: &SimulatedDirectory) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<_, _> = directory.files().into_iter().collect();
    files.retain(|name, _| name != "LOCK");
    files
}
