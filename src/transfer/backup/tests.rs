//! Backups on a simulated directory, where every call may be the last one.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::io::{self, ErrorKind};

use super::*;
use crate::directory::{Call, Fault, Lock, RandomFile, SimulatedDirectory, read_small};
use crate::event::{Batch, Expected, NewEvent};
use crate::format::{
    PARKED_FILE_LEN_MAX, PARKED_SUFFIX, ParkedEntry, ParkedFile, SegmentHeader, Slot, consumer_file,
};
use crate::index::MemoryTree;
use crate::inspect::Inspection;
use crate::log::{CONSUMERS, META};
use crate::options::{Durability, Options};
use crate::segment::name_of;
use crate::store::{IndexPlace, Store};
use crate::sync::Mutex;
use crate::types::{Position, Timestamp};

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

/// Copies to `before`, which holds `least` events or is no store if that is `None`, and ends the
/// process after each call. What that leaves opens, and the next backup completes it, also if
/// someone has opened it before.
fn cut_everywhere(original: &SimulatedDirectory, before: &SimulatedDirectory, least: Option<u64>) {
    let end = look(original).end().get();
    let (mut cuts, mut stores) = (0, 0);
    for calls in 0.. {
        let copy = before.restarted();
        copy.die_after(calls);
        let is_done = copy_to(original, &copy).is_ok();
        let crashes = (0..3).map(|seed| copy.crashed(seed));
        for (n, left) in crashes.chain([copy.restarted()]).enumerate() {
            let what = format!("after {calls} calls, state {n}");
            if least.is_some() || is_done {
                assert!(is_store(&left), "{what}");
            }
            if is_store(&left) {
                assert_opens(&left, if is_done { end } else { least.unwrap_or(end) }, &what);
                stores += 1;
            }
            let again = left.restarted();
            copy_to(original, &again).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_whole(&again, end, &what);
            if is_store(&left) {
                let opened = left.restarted();
                open(&opened, &Options::new(), &MemoryTree::default()).unwrap().close().unwrap();
                copy_to(original, &opened).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_whole(&opened, end, &what);
            }
        }
        cuts += 1;
        if is_done {
            break;
        }
    }
    assert!(cuts > 40 && stores > 6, "{cuts} cuts, {stores} stores");
}

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

#[test]
fn a_first_backup_that_is_cut_off_leaves_no_store_and_is_done_again() {
    let shop = Shop::new();
    shop.fill(60);
    cut_everywhere(&shop.directory, &SimulatedDirectory::new(), None);
}

#[test]
fn a_later_backup_that_is_cut_off_leaves_what_was_there_or_more() {
    let shop = Shop::new();
    shop.fill(24);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    shop.fill(60);
    assert!(look(&shop.directory).into_sound().unwrap().0.len() > 3);
    cut_everywhere(&shop.directory, &copy, Some(24));
}

#[test]
fn a_later_backup_of_a_copy_that_was_opened_leaves_what_was_there_or_more() {
    let shop = Shop::new();
    shop.fill(24);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    open(&copy, &Options::new(), &MemoryTree::default()).unwrap().close().unwrap();
    shop.fill(60);
    cut_everywhere(&shop.directory, &copy, Some(24));
}

/// Recovery puts what was not known to be durable into a segment of its own, where the copy has it
/// in the one before.
#[test]
fn a_backup_of_what_recovery_has_moved_leaves_what_was_there_or_more() {
    let shop = Shop::with(Options::new().segment_len_max(64 << 10));
    let store = shop.open();
    append(&store, 30, Durability::Sync);
    append(&store, 45, Durability::Buffered);
    let copy = SimulatedDirectory::new();
    assert_eq!(shop.copy_to(&copy).unwrap().end.get(), 45);
    let killed = shop.directory.restarted();
    drop(store);
    let moved = Shop { directory: killed, tree: MemoryTree::default(), ..shop };
    let store = moved.open();
    assert!(store.recovery().rewritten_len > 0);
    let bases = look(&moved.directory).into_sound().unwrap().0;
    assert_eq!(bases.len(), 2, "the rest was moved");
    append(&store, 60, Durability::Sync);
    store.close().unwrap();
    cut_everywhere(&moved.directory, &copy, Some(45));
}

/// A segment that was begun when the copy was made, and taken back because its entry could not be
/// synced: the log goes on in the one before.
#[test]
fn a_backup_after_a_segment_was_taken_back_leaves_what_was_there_or_more() {
    let shop = Shop::with(Options::new().segment_len_max(64 << 10));
    shop.fill(30);
    let begun = shop.directory.restarted();
    let (_, end, _) = look(&begun).into_sound().unwrap();
    let header = SegmentHeader {
        store: look(&begun).id(),
        base: end.position,
        recorded_before: end.recorded_at,
        chain: end.checksum,
    };
    begun.put(&name_of(end.position), header.encode());
    begun.take("clean");
    begun.take("durable");
    let copy = SimulatedDirectory::new();
    copy_to(&begun, &copy).unwrap();
    assert_whole(&copy, 30, "begun");
    assert_eq!(look(&copy).into_sound().unwrap().0.len(), 2);
    shop.fill(60);
    cut_everywhere(&shop.directory, &copy, Some(30));
}

#[test]
fn a_backup_whose_calls_fail_can_be_done_again() {
    let calls = [
        Call::Open,
        Call::Create,
        Call::Read,
        Call::Write,
        Call::Sync,
        Call::SetLen,
        Call::Rename,
        Call::Remove,
        Call::CreateFolder,
        Call::SyncFolder,
        Call::List,
    ];
    let shop = Shop::new();
    shop.fill(24);
    let copied = SimulatedDirectory::new();
    shop.copy_to(&copied).unwrap();
    shop.fill(60);
    for (before, least) in [(SimulatedDirectory::new(), None), (copied, Some(24))] {
        for call in calls {
            for after in 0.. {
                let copy = before.restarted();
                copy.inject(Fault::next(call, ErrorKind::StorageFull).after(after));
                let done = shop.copy_to(&copy);
                copy.heal();
                let what = format!("{call:?} {after}, {least:?}");
                if is_store(&copy) {
                    assert_opens(&copy, least.unwrap_or(60), &what);
                }
                if done.is_ok() {
                    assert!(after > 0, "{call:?} is never called");
                    assert_whole(&copy, 60, &what);
                    break;
                }
                shop.copy_to(&copy).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_whole(&copy, 60, &what);
            }
        }
    }
}

#[test]
fn a_backup_changes_nothing_of_the_original() {
    let shop = Shop::new();
    shop.fill(60);
    let before = shop.directory.files();
    shop.copy_to(&SimulatedDirectory::new()).unwrap();
    assert_eq!(shop.directory.files(), before);
    let store = shop.open();
    append(&store, 90, Durability::Buffered);
    let before = shop.directory.files();
    shop.copy_to(&SimulatedDirectory::new()).unwrap();
    assert_eq!(shop.directory.files(), before);
}

/// The process that appended was killed before it has noted what it acknowledged.
#[test]
fn what_was_acknowledged_and_not_noted_is_in_the_copy() {
    let shop = Shop::new();
    let store = shop.open();
    append(&store, 60, Durability::Sync);
    let killed = shop.directory.restarted();
    killed.take("durable");
    let copy = SimulatedDirectory::new();
    assert_eq!(copy_to(&killed, &copy).unwrap().end.get(), 60);
    assert_whole(&copy, 60, "killed");
}

/// After a sync that has failed, no later one tells what is on the medium.
#[test]
fn what_a_failed_sync_may_have_lost_is_not_in_the_copy() {
    let shop = Shop::new();
    let store = shop.open();
    append(&store, 6, Durability::Sync);
    append(&store, 9, Durability::Buffered);
    shop.directory.inject(Fault::next(Call::Sync, ErrorKind::Other));
    store.sync().unwrap_err();
    let copy = SimulatedDirectory::new();
    let report = shop.copy_to(&copy).unwrap();
    assert_eq!((report.end.get(), report.left_out_count), (6, 3));
    assert_whole(&copy, 6, "poisoned");
    // Without its notes, the records still tell of each other that they were durable.
    shop.directory.take("durable");
    let copy = SimulatedDirectory::new();
    assert_eq!(shop.copy_to(&copy).unwrap().end.get(), 6);
}

#[test]
fn damage_to_a_segment_is_an_error_that_names_it_and_the_copy_has_what_is_before() {
    let shop = Shop::new();
    shop.fill(12);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    shop.fill(90);
    let bases = look(&shop.directory).into_sound().unwrap().0;
    let broken = *bases.get(3).unwrap();
    let name = name_of(broken);
    let mut bytes = content(&shop.directory).remove(&name).unwrap();
    *bytes.get_mut(500).unwrap() ^= 1;
    shop.directory.put(&name, bytes);
    for _ in 0..2 {
        match shop.copy_to(&copy) {
            Err(Error::Corrupt { segment, .. }) => assert_eq!(segment, broken),
            other => panic!("{other:?}"),
        }
        assert_eq!(assert_opens(&copy, 12, "damaged"), broken.get());
    }
    let first = SimulatedDirectory::new();
    assert!(
        matches!(shop.copy_to(&first), Err(Error::Corrupt { segment, .. }) if segment == broken)
    );
    assert!(!is_store(&first));
}

#[test]
fn damage_at_the_end_of_the_log_is_an_error_and_the_copy_stays_as_it_was() {
    let shop = Shop::new();
    shop.fill(60);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    shop.fill(66);
    let before = content(&copy);
    let last = *look(&shop.directory).into_sound().unwrap().0.last().unwrap();
    let name = name_of(last);
    let mut bytes = content(&shop.directory).remove(&name).unwrap();
    let middle = bytes.len() - 100;
    *bytes.get_mut(middle).unwrap() ^= 1;
    shop.directory.put(&name, bytes);
    assert!(matches!(shop.copy_to(&copy), Err(Error::Corrupt { .. })));
    assert_eq!(content(&copy), before);
}

#[test]
fn a_damaged_consumer_is_told_and_the_copy_keeps_the_one_it_has() {
    let shop = Shop::new();
    shop.fill(12);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    let kept = content(&copy).remove("consumers/billing").unwrap();
    shop.fill(24);
    shop.directory.put("consumers/billing", vec![7; 100]);
    let report = shop.copy_to(&copy).unwrap();
    assert!(matches!(report.damages[..], [Error::CorruptFile { .. }]), "{report:?}");
    assert_eq!(content(&copy).remove("consumers/billing").unwrap(), kept);
    assert_whole(&copy, 24, "the rest");
}

/// Two slots of which one is being written: the other one counts.
#[test]
fn a_place_that_is_being_written_is_the_one_before() {
    let shop = Shop::new();
    shop.fill(24);
    let copy = SimulatedDirectory::new();
    let store = shop.open();
    commit(&store, 23);
    commit(&store, 24);
    let file = content(&shop.directory).remove("consumers/billing").unwrap();
    let latest = Slot::latest(&file).unwrap();
    assert_eq!(latest.position.get(), 24);
    let mut torn = file.clone();
    let at = usize::try_from(latest.offset()).unwrap() + 40;
    torn.get_mut(at..at + 8).unwrap().fill(0xee);
    shop.directory.put("consumers/billing", torn);
    assert!(shop.copy_to(&copy).unwrap().damages.is_empty());
    let store = open(&copy, &Options::new(), &MemoryTree::default()).unwrap();
    assert_eq!(store.consumers().unwrap().first().unwrap().committed.get(), 23);
}

#[test]
fn an_unfinished_repair_is_neither_copied_nor_copied_over() {
    let shop = Shop::new();
    shop.fill(12);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    shop.directory.put("repairing", Vec::new());
    assert!(matches!(shop.copy_to(&copy), Err(Error::RepairUnfinished { .. })));
    shop.directory.take("repairing");
    copy.put("repairing", Vec::new());
    assert!(matches!(shop.copy_to(&copy), Err(Error::RepairUnfinished { .. })));
}
