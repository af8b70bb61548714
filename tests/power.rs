//! Loss of power on real file systems, and syncs that really fail: ext4 and XFS on a loop device are
//! shut down in the middle of appends, so that what was not synced is lost as the kernel would lose
//! it, and mounted again.
//!
//! `ANNALS_POWER_ROUNDS` is the number of losses of power for each file system; few unless it is
//! set. Needs root, `losetup`, `mkfs`, `mount` and `xfs_io` (of xfsprogs), and says that it was
//! skipped where one of them is missing.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]
#![expect(clippy::disallowed_types, reason = "file systems are made and filled here")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;
#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, reason = "what a file uses of it differs")]
mod real;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use annals::{Batch, Durability, Error, Expected, NewEvent, Options, Store};
use real::{
    Book, Ended, FileSystem, Kind, Log, Memory, Running, assert_unharmed, batch_of, command,
    number_from, run, tell,
};

/// How long a process may take to open a store, and to end.
const TIME: Duration = Duration::from_secs(60);
const THREADS: u64 = 3;
/// A payload that no room for it was set apart for, when the file was smaller.
const BIG: usize = 600_000;
/// After so many losses of power another store is begun, so that comparing stays short.
const ROUNDS_OF_A_STORE: u64 = 25;

/// Not a test of its own: the processes that tests have started run it.
#[test]
fn a_process_that_a_test_has_started_plays_its_part() {
    let Some((part, place)) = real::part() else { return };
    match &*part {
        "append for ever" => append_for_ever(&place),
        "meet a failed sync" => meet_failed_sync(&place),
        "look" => look(&place),
        _ => assert!(real::play_common(&part, &place), "{part}"),
    }
}

fn options() -> Options {
    Options::new().segment_len_max(64 << 10).page_cache_len(0).checkpoint_event_count(200)
}

/// Opens the store, compares it with its book, and appends from several threads.
fn append_for_ever(path: &Path) {
    let store = options().open(path).unwrap();
    let book = Book::load(path);
    real::compare(&store, &book).unwrap();
    let torn = store.recovery().torn_tail.as_ref().map_or(0, |tail| tail.len);
    tell(&format!("READY {torn} {:?}", store.recovery().index));
    let next = AtomicU64::new(book.next());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, next) = (&store, &next);
            scope.spawn(move || append_from(store, next, thread));
        }
    });
}

/// Appends until that fails. The last thread does not wait for each of its batches, but syncs
/// some at once, so that much is written that no sync has covered.
fn append_from(store: &Store, next: &AtomicU64, thread: u64) {
    loop {
        let is_buffered = thread + 1 == THREADS;
        let count = if is_buffered { 12 } else { 1 };
        let mut lines = Vec::new();
        for _ in 0..count {
            let number = next.fetch_add(1, Ordering::Relaxed);
            tell(&format!("TRY {number}"));
            let durability = if is_buffered { Durability::Buffered } else { Durability::Sync };
            match store.append_batch(batch_of(number, None).durability(durability)) {
                Ok(receipt) => lines.push(format!("ACK {number} {}", receipt.first())),
                Err(Error::OutcomeUnknown { .. }) => return tell(&format!("UNKNOWN {number}")),
                Err(_) => return tell(&format!("UNDONE {number}")),
            }
        }
        if is_buffered && store.sync().is_err() {
            return;
        }
        for line in lines {
            tell(&line);
        }
    }
}

/// What a process tells before power is lost. Later acknowledgements do not count: a process does
/// not outlive a loss of power, but here it does for a moment, and while the file system goes down
/// ext4 may call a sync successful whose end of the I/O it has refused.
#[derive(Default)]
struct Ear {
    book: Book,
    is_dark: bool,
}

impl Ear {
    fn hear(&mut self, line: &str) {
        // Nor is anything undone that power was lost over.
        if !self.is_dark || line.starts_with("TRY") {
            self.book.hear(line);
        }
    }
}

/// Pushes pages of the last segments out early, not in their order.
fn write_out_of_order(folder: &Path, dark: &AtomicBool, mut random: fastrand::Rng) {
    while !dark.load(Ordering::Relaxed) {
        let mut files: Vec<_> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        files.sort();
        for path in files.iter().rev().take(2) {
            let len = fs::metadata(path).map_or(0, |metadata| metadata.len());
            let start = random.u64(len / 3..=len) / 4_096 * 4_096;
            let range = format!("sync_range -w {start} {}", 4_096 << random.u32(0..6));
            run("xfs_io", &["-c", &range, path.to_str().unwrap_or_default()]);
        }
    }
}

/// Lets a process append, and takes the power away. Returns what it has told on opening.
fn lose_power_once(
    file_system: &FileSystem,
    path: &Path,
    ear: &Arc<Mutex<Ear>>,
    round: u64,
) -> String {
    ear.lock().unwrap().book.save(path);
    let ear_of_process = Arc::clone(ear);
    let process = command("append for ever", path, &[]);
    let mut process =
        Running::start(process, move |line| ear_of_process.lock().unwrap().hear(line));
    let is_ready = process.wait_for("READY", TIME);
    let dark = AtomicBool::new(false);
    thread::scope(|scope| {
        let random = fastrand::Rng::with_seed(round);
        scope.spawn(|| write_out_of_order(&path.join("log"), &dark, random));
        thread::sleep(Duration::from_millis(10 + round * 37 % 90));
        ear.lock().unwrap().is_dark = true;
        dark.store(true, Ordering::Relaxed);
        file_system.lose_power(if round.is_multiple_of(2) { Log::Lost } else { Log::Flushed });
    });
    process.kill();
    let ended = process.end(TIME);
    assert!(is_ready && !ended.has_panicked(), "round {round}: {ended:#?}");
    file_system.come_back();
    ear.lock().unwrap().is_dark = false;
    ended.told("READY").next().unwrap().to_owned()
}

fn lose_power_again_and_again(kind: Kind) {
    let place = common::place();
    let Some(file_system) = FileSystem::make(place.path(), kind, 320) else { return };
    let rounds = number_from("ANNALS_POWER_ROUNDS", 3);
    let (mut torn, mut acknowledged) = (0, 0);
    for first in (0..rounds).step_by(usize::try_from(ROUNDS_OF_A_STORE).unwrap()) {
        let folder = file_system.root().join("stores");
        fs::create_dir_all(&folder).unwrap();
        // A book would be lost with the power beside the store: it stands elsewhere.
        let path = place.path().join("link");
        let ear = Arc::new(Mutex::new(Ear::default()));
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(folder.join(first.to_string()), &path).unwrap();
        fs::create_dir_all(folder.join(first.to_string())).unwrap();
        run("sync", &[]);
        for round in first..rounds.min(first + ROUNDS_OF_A_STORE) {
            let told = lose_power_once(&file_system, &path, &ear, round);
            torn += u64::from(!told.starts_with("0 "));
        }
        let mut book = std::mem::take(&mut ear.lock().unwrap().book);
        assert_unharmed(&path, &mut book, "after the last loss of power");
        acknowledged += book.acknowledged_count();
        fs::remove_dir_all(folder.join(first.to_string())).unwrap();
    }
    eprintln!(
        "{kind:?}: {rounds} losses of power, {acknowledged} batches acknowledged, {torn} torn tails"
    );
}

#[test]
fn no_loss_of_power_on_ext4_takes_back_what_was_acknowledged() {
    lose_power_again_and_again(Kind::Ext4);
}

#[test]
fn no_loss_of_power_on_xfs_takes_back_what_was_acknowledged() {
    lose_power_again_and_again(Kind::Xfs);
}

/// Appends a batch of one event of this length.
fn append_one(store: &Store, number: u64, len: usize) -> Result<u64, Error> {
    let event = NewEvent::text(number.to_string(), ".".repeat(len));
    let batch = Batch::new().append("s", Expected::Any, [event]);
    store.append_batch(batch.durability(Durability::Sync)).map(|receipt| receipt.first().get())
}

/// Appends until a sync fails, once the medium refuses what is written to new places.
fn meet_failed_sync(path: &Path) {
    let store = Options::new().segment_len_max(1 << 20).open(path).unwrap();
    let control = path.with_extension("control");
    let control_file = File::create(&control).unwrap();
    control_file.write_all_at(&[1; 4_096], 0).unwrap();
    control_file.sync_all().unwrap();
    for number in 0..10 {
        append_one(&store, number, 3_000).unwrap();
    }
    tell("READY");
    let gate = path.with_extension("gate");
    while !gate.exists() {
        thread::sleep(Duration::from_millis(1));
    }
    // What the kernel does, seen on another file: it reports once, and then says Ok.
    control_file.write_all_at(&vec![2; 1 << 20], 8 << 20).unwrap();
    let (first, second) = (control_file.sync_data().is_err(), control_file.sync_data().is_ok());
    tell(&format!("CONTROL {first} {second}"));
    let failed = append_one(&store, 10, BIG);
    tell(&format!("FAILED {failed:?}"));
    assert!(matches!(failed, Err(Error::OutcomeUnknown { .. })), "{failed:?}");
    for _ in 0..3 {
        let refused = append_one(&store, 11, 100);
        assert!(matches!(refused, Err(Error::Poisoned)), "{refused:?}");
        assert!(matches!(store.sync(), Err(Error::Poisoned)));
    }
    assert_eq!(store.read_all().map(Result::unwrap).count(), 10, "reads go on");
    tell("DONE");
}

/// Opens a store, and tells what is in it, or why it cannot be opened.
fn look(path: &Path) {
    match Options::new().segment_len_max(1 << 20).open(path) {
        Ok(store) => {
            let events: Vec<_> = store.read_all().map(|event| event.unwrap()).collect();
            for (number, event) in events.iter().enumerate() {
                assert_eq!(event.event_type(), number.to_string());
                let len = if number == 10 { BIG } else { 3_000 };
                assert!(event.payload().iter().all(|byte| *byte == b'.'));
                assert_eq!(event.payload().len(), len);
            }
            tell(&format!("SEEN {}", events.len()));
            // Ends as a killed process does, and leaves no note.
            std::process::exit(0);
        }
        Err(error @ (Error::Io { .. } | Error::OutcomeUnknown { .. })) => {
            tell(&format!("SHUT {error}"));
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// A file system on a medium that has no more room for anything that was not written before.
struct ThinVolume {
    file_system: FileSystem,
    memory: Memory,
}

impl ThinVolume {
    fn make(place: &Path, kind: Kind) -> Option<Self> {
        let mib = if kind == Kind::Xfs { 320 } else { 64 };
        let memory = Memory::mount(&place.join("thin"), (mib + 16) << 10)?;
        let file_system = FileSystem::make(memory.root(), kind, mib)?;
        file_system.write_page_by_page();
        Some(Self { file_system, memory })
    }

    fn ballast(&self) -> PathBuf {
        self.memory.root().join("ballast")
    }

    /// From now on every write to a place that is free now fails on the medium.
    fn refuse_new_places(&self) {
        let (image, root) = (self.file_system.image(), self.file_system.root());
        let len = fs::metadata(&image).unwrap().len();
        // The journal and all that is in use gets and keeps its room; what is free loses it.
        assert!(run("fallocate", &["-l", &len.to_string(), image.to_str().unwrap()]));
        assert!(run("sync", &["-f", root.to_str().unwrap()]));
        assert!(run("fstrim", &[root.to_str().unwrap()]));
        // Which takes its time.
        let held = || fs::metadata(&image).unwrap().blocks() * 512;
        let mut before = len;
        while before > len / 2 || held() < before {
            before = held();
            thread::sleep(Duration::from_millis(100));
        }
        let mut ballast = File::create(self.ballast()).unwrap();
        for piece in [1 << 20, 4 << 10] {
            while ballast.write_all(&vec![4; piece]).is_ok() {}
        }
    }

    fn have_room_again(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

fn played(part: &str, path: &Path) -> Ended {
    let ended = Running::start(command(part, path, &[]), |_| {}).end(TIME);
    assert!(ended.status.success() && !ended.has_panicked(), "{ended:#?}");
    ended
}

/// What a process sees that opens the store.
fn seen(path: &Path) -> Option<u64> {
    let ended = played("look", path);
    ended.told("SHUT").for_each(|why| eprintln!("not opened: {why}"));
    ended.told("SEEN").next().map(|count| count.parse().unwrap())
}

/// What is done between the failed sync and the opening that counts.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The store is reopened while the medium is as it was, then once it is mended.
    Reopen,
    /// The page cache is emptied, so that only what is on the medium is there.
    Forget,
}

fn meet_failed_syncs(kind: Kind) {
    for then in [Then::Reopen, Then::Forget] {
        let place = common::place();
        let Some(volume) = ThinVolume::make(place.path(), kind) else { return };
        let path = volume.file_system.root().join("store");
        let mut process = Running::start(command("meet a failed sync", &path, &[]), |_| {});
        assert!(process.wait_for("READY", TIME));
        volume.refuse_new_places();
        File::create(path.with_extension("gate")).unwrap();
        let ended = process.end(TIME);
        assert!(ended.has_told("DONE") && !ended.has_panicked(), "{kind:?}: {ended:#?}");
        let told: Vec<_> = ended.told("CONTROL").collect();
        assert_eq!(
            told,
            ["true true"],
            "{kind:?}: the sync of another file fails once, then is Ok"
        );
        let early = match then {
            Then::Reopen => seen(&path),
            Then::Forget => None,
        };
        volume.have_room_again();
        if matches!(then, Then::Forget) {
            volume.file_system.come_back();
        }
        // A sync of a file that was just opened may still report the failure of an earlier one.
        let first = seen(&path).or_else(|| seen(&path)).unwrap();
        volume.file_system.come_back();
        let later = seen(&path).unwrap();
        eprintln!("{kind:?}, {then:?}: {early:?} events, then {first}, then {later}");
        assert!(first >= 10 && first == later && early.is_none_or(|early| early == first));
    }
}

#[test]
fn a_sync_that_really_fails_on_ext4_poisons_and_nothing_seen_later_is_lost() {
    meet_failed_syncs(Kind::Ext4);
}

#[test]
fn a_sync_that_really_fails_on_xfs_poisons_and_nothing_seen_later_is_lost() {
    meet_failed_syncs(Kind::Xfs);
}
