//! Backups of a store that is written to meanwhile.

use std::fmt::{self, Debug};
use std::io;

use super::*;
use crate::directory::{Lock, RandomFile, read_small};
use crate::format::{PARKED_FILE_LEN_MAX, PARKED_SUFFIX, ParkedEntry, ParkedFile, consumer_file};
use crate::log::CONSUMERS;
use crate::sync::Mutex;
use crate::types::{Position, Timestamp};

/// What happens meanwhile.
type Work = Box<dyn FnOnce() + Send>;

/// A directory in which something else happens before one of the calls.
struct Interrupted {
    inner: SimulatedDirectory,
    /// Calls before it, and what it is.
    happens: Mutex<Option<(u64, Work)>>,
}

impl Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Interrupted {
    fn inner(&self) -> &SimulatedDirectory {
        let mut happens = self.happens.lock();
        match happens.take() {
            Some((0, work)) => work(),
            Some((left, work)) => *happens = Some((left - 1, work)),
            None => {}
        }
        &self.inner
    }
}

impl Directory for Interrupted {
    fn path(&self) -> &Path {
        self.inner.path()
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner().list(folder)
    }
    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn RandomFile>> {
        self.inner().open_to_read(name)
    }
    fn create_folder(&self, folder: &str) -> io::Result<()> {
        unreachable!("{folder} is created in the original")
    }
    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        unreachable!("{folder} is synced in the original")
    }
    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn RandomFile>> {
        unreachable!("{name} is written in the original")
    }
    fn replace(&self, name: &str, _: &[u8]) -> io::Result<Arc<dyn RandomFile>> {
        unreachable!("{name} is replaced in the original")
    }
    fn renew(&self, name: &str, _: u64) -> io::Result<Arc<dyn RandomFile>> {
        unreachable!("{name} is renewed in the original")
    }
    fn link(&self, _: &Path, name: &str) -> io::Result<()> {
        unreachable!("{name} is linked in the original")
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        unreachable!("{name} is removed from the original")
    }
    fn rename_file(&self, from: &str, _: &str) -> io::Result<()> {
        unreachable!("{from} is moved in the original")
    }
    fn rename_folder(&self, from: &str, _: &str) -> io::Result<()> {
        unreachable!("{from} is moved in the original")
    }
    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        unreachable!("{folder} is removed from the original")
    }
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        unreachable!("{name} is locked in the original")
    }
}

/// Makes a copy of what is in `original`, while `work` is done before one of the calls. Returns what came
/// of it, and whether there was such a call.
fn copy_interrupted(
    original: &SimulatedDirectory,
    copy: &SimulatedDirectory,
    calls: u64,
    work: Work,
) -> (Result<BackupReport>, bool) {
    let happens = Mutex::new(Some((calls, work)));
    let interrupted = Arc::new(Interrupted { inner: original.clone(), happens });
    let (from, to) = (Arc::clone(&interrupted), Arc::new(copy.clone()));
    let (from, to): (Arc<dyn Directory>, Arc<dyn Directory>) = (from, to);
    let watch = &mut |_: &BackupProgress| ControlFlow::Continue(());
    let done = back_up(&from, &to, Link::WherePossible, Duration::ZERO, watch);
    let has_happened = interrupted.happens.lock().is_none();
    (done, has_happened)
}

/// Runs `work` on an open store of 24 events before each call to its directory in turn: each time the
/// copy is whole, no consumer is ahead of it, and the next backup brings the rest.
fn interrupt_everywhere(work: fn(&Store)) {
    for calls in 0.. {
        let shop = Shop::new();
        shop.fill(24);
        let store = shop.open();
        let working = store.clone();
        let work: Work = Box::new(move || work(&working));
        let copy = SimulatedDirectory::new();
        let (done, has_happened) = copy_interrupted(&shop.directory, &copy, calls, work);
        let what = format!("before call {calls}");
        let report = done.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_whole(&copy, report.end.get(), &what);
        assert!(report.damages.is_empty() && report.end.get() >= 24, "{what}: {report:?}");
        shop.copy_to(&copy).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_whole(&copy, store.end().get(), &what);
        if !has_happened {
            assert!(calls > 20, "{calls} calls");
            return;
        }
    }
}

/// A process was killed that had appended one small event without a sync. Another one opens the store
/// while it is copied: recovery moves the event to a segment of its own, and seals the one before, so
/// that a footer stands where the event stood.
#[test]
fn an_opening_of_the_original_meanwhile_leaves_the_copy_whole() {
    for (word, has_copy) in [("x", false), ("x", true), ("word word word", true)] {
        for calls in 0.. {
            let shop = Shop::with(Options::new().segment_len_max(64 << 10));
            let store = shop.open();
            append(&store, 30, Durability::Sync);
            let copy = SimulatedDirectory::new();
            if has_copy {
                shop.copy_to(&copy).unwrap();
            }
            let event = NewEvent::text("t", word);
            let batch = Batch::new().append("s", Expected::Any, [event]);
            store.append_batch(batch.durability(Durability::Buffered)).unwrap();
            let killed = shop.directory.restarted();
            drop(store);
            let (directory, options) = (killed.clone(), shop.options.clone());
            let work: Work = Box::new(move || {
                let store = open(&directory, &options, &MemoryTree::default()).unwrap();
                assert!(store.recovery().rewritten_len > 0);
                store.append("s", Expected::Any, [NewEvent::text("t", "later")]).unwrap();
                store.close().unwrap();
            });
            let (done, has_happened) = copy_interrupted(&killed, &copy, calls, work);
            let what = format!("{word}, before call {calls}, a copy before: {has_copy}");
            let report = done.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(report.end.get() >= 30, "{what}: {report:?}");
            let inspection = look(&copy);
            assert!(inspection.damage().is_none() && inspection.verify().is_sound(), "{what}");
            assert_eq!(inspection.end(), report.end, "{what}");
            let opened = open(&copy, &shop.options, &MemoryTree::default());
            opened.unwrap_or_else(|error| panic!("{what}: {error}")).close().unwrap();
            if !has_happened {
                assert!(calls > 10, "{calls} calls");
                break;
            }
            // The copy was opened, and takes what has come since.
            let later = copy_to(&killed, &copy).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(later.end.get(), 32, "{what}");
            assert!(look(&copy).verify().is_sound(), "{what}");
        }
    }
}

/// An event that was put aside is handled while the store is copied: the copy has what its handler has
/// appended, or still has it put aside.
#[test]
fn an_event_that_was_put_aside_is_done_or_put_aside_in_the_copy() {
    for calls in 0.. {
        let shop = Shop::new();
        shop.fill(24);
        let store = shop.open();
        let name = format!("{CONSUMERS}/{}{PARKED_SUFFIX}", consumer_file("billing"));
        let entry = ParkedEntry {
            position: Position::new(4),
            key: 0,
            parked_at: Timestamp::from_nanos(0),
            attempt_count: 1,
            holds: false,
            reason: "out of stock".to_owned(),
        };
        let parked = ParkedFile { store: store.id(), entries: vec![entry] };
        shop.directory.replace(&name, &parked.encode()).unwrap();
        let (working, directory) = (store.clone(), shop.directory.clone());
        let list = name.clone();
        let work: Work = Box::new(move || {
            working.append("effects", Expected::Any, [NewEvent::text("t", "done")]).unwrap();
            directory.remove(&list).unwrap();
        });
        let copy = SimulatedDirectory::new();
        let (done, has_happened) = copy_interrupted(&shop.directory, &copy, calls, work);
        let report = done.unwrap_or_else(|error| panic!("before call {calls}: {error}"));
        let is_done = report.end.get() == 25;
        let is_parked = read_small(&copy, &name, PARKED_FILE_LEN_MAX).unwrap().is_some();
        assert!(is_done || is_parked, "before call {calls}: {report:?}");
        if !has_happened {
            assert!(calls > 20, "{calls} calls");
            return;
        }
    }
}

#[test]
fn whatever_is_appended_and_committed_meanwhile_the_copy_is_whole() {
    interrupt_everywhere(|store| {
        append(store, 60, Durability::Sync);
        commit(store, 59);
    });
}

#[test]
fn whatever_is_appended_without_a_sync_meanwhile_the_copy_is_whole() {
    interrupt_everywhere(|store| {
        append(store, 45, Durability::Buffered);
    });
}

#[test]
fn whichever_consumers_come_and_go_meanwhile_the_copy_is_whole() {
    interrupt_everywhere(|store| {
        store.delete_consumer("billing").unwrap();
        append(store, 30, Durability::Sync);
        drop(store.consumer("shipping").from_end().open().unwrap());
    });
}
