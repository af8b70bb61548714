//! Loss of power on real file systems: ext4 and XFS on a loop device are shut down in the middle of
//! appends, so that what was not synced is lost as the kernel would lose it, and mounted again.
//!
//! Runs on request: `ANNALS_POWER_ROUNDS` is the number of losses of power for each file system, and
//! without it each test says that it was skipped. Needs root, `losetup`, `mkfs`, `mount` and `xfs_io`
//! (of xfsprogs), and says so as well if one of them is missing.
//!
//! The process outlives the loss of power here, and so does what sled holds in it: after a failed
//! write, sled 0.34.7 now and then waits for ever, in every database of the process. Then a test
//! hangs, which is why they are not run by default.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]
#![expect(clippy::disallowed_types, reason = "file systems are made and filled here")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, thread};

use annals::{Durability, Event, Expected, NewEvent, Options, Position, Store};

/// How often power is lost; `None` with a message if nobody asked for it.
fn rounds() -> Option<u64> {
    let rounds = env::var("ANNALS_POWER_ROUNDS").ok().and_then(|n| n.parse().ok());
    if rounds.is_none() {
        eprintln!("skipped: set ANNALS_POWER_ROUNDS to run it");
    }
    rounds
}

/// Runs a program; says whether it succeeded.
fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// A file system in a file, that can lose power.
struct FileSystem {
    place: tempfile::TempDir,
}

impl FileSystem {
    /// Makes one and mounts it; `None` with a message if that cannot be done here.
    fn make(kind: &str) -> Option<Self> {
        rounds()?;
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
        let place = tempfile::Builder::new().prefix("annals-power-").tempdir_in(base).unwrap();
        let file_system = Self { place };
        File::create(file_system.image()).unwrap().set_len(320 << 20).unwrap();
        fs::create_dir(file_system.root()).unwrap();
        let image = file_system.image();
        let quiet = if kind == "xfs" { "-qf" } else { "-qF" };
        let made = run("xfs_io", &["-V"])
            && run(&format!("mkfs.{kind}"), &[quiet, image.to_str().unwrap()])
            && file_system.mount();
        if !made {
            eprintln!("skipped: {kind} on a loop device cannot be had here");
            return None;
        }
        Some(file_system)
    }

    fn image(&self) -> PathBuf {
        self.place.path().join("image")
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("root")
    }

    fn mount(&self) -> bool {
        let (image, root) = (self.image(), self.root());
        run("mount", &["-o", "loop", image.to_str().unwrap(), root.to_str().unwrap()])
    }

    /// Loses power. With `Log::Flushed` the file system's own log is written first, so that lengths
    /// are on the medium whose bytes are not.
    fn lose_power(&self, log: Log) {
        let command = match log {
            Log::Lost => "shutdown",
            Log::Flushed => "shutdown -f",
        };
        assert!(run("xfs_io", &["-x", "-c", command, self.root().to_str().unwrap()]));
    }

    fn come_back(&self) {
        unmount(&self.root());
        assert!(self.mount(), "the file system can be mounted again");
    }
}

/// Unmounts a file system, once the last of sled's threads has let go of it.
fn unmount(root: &Path) {
    for _ in 0..500 {
        if run("umount", &[root.to_str().unwrap()]) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the file system stays in use");
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        run("umount", &[self.root().to_str().unwrap()]);
    }
}

/// What becomes of the file system's own log when power is lost.
#[derive(Clone, Copy)]
enum Log {
    Lost,
    Flushed,
}

fn options() -> Options {
    Options::new().segment_len_max(64 << 10).checkpoint_event_count(200)
}

/// Positions that were acknowledged as durable, and the payloads that went there.
type Book = BTreeMap<u64, String>;

/// Appends from several threads until power is lost, and writes down what was acknowledged.
fn append_until_dark(store: &Store, file_system: &FileSystem, round: u64, book: &Mutex<Book>) {
    let dark = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3 {
            let (dark, book) = (&dark, &book);
            scope.spawn(move || {
                for n in 0.. {
                    if dark.load(Ordering::Relaxed) {
                        return;
                    }
                    let payload = format!("{round}/{writer}/{n} {}", ".".repeat(n % 1_500));
                    let stream = format!("stream-{}", n % 7);
                    let event = NewEvent::text("t", payload.clone());
                    let Ok(receipt) = store.append(&stream, Expected::Any, [event]) else { return };
                    let mut book = book.lock().unwrap();
                    if !dark.load(Ordering::Relaxed) {
                        book.insert(receipt.first().get(), payload);
                    }
                }
            });
        }
        scope.spawn(|| write_out_of_order(&store.path().join("log"), &dark));
        thread::sleep(Duration::from_millis(20 + round * 37 % 150));
        let log = if round.is_multiple_of(2) { Log::Lost } else { Log::Flushed };
        // A process does not outlive a loss of power. Here it does, and while the file system goes
        // down ext4 may call a sync successful whose end of the I/O it has refused: what is
        // acknowledged from now on does not count.
        let book = book.lock().unwrap();
        dark.store(true, Ordering::Relaxed);
        drop(book);
        file_system.lose_power(log);
    });
}

/// Reads the last segment over and over with the page cache under pressure to write pages early.
fn write_out_of_order(folder: &Path, dark: &AtomicBool) {
    while !dark.load(Ordering::Relaxed) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            // Starts writing back the second half of the file and leaves the first.
            let path = entry.path();
            let len = entry.metadata().map_or(0, |metadata| metadata.len());
            let half = (len / 2).next_multiple_of(4_096).to_string();
            let range = format!("sync_range -w {half} 1m");
            run("xfs_io", &["-c", &range, path.to_str().unwrap_or_default()]);
        }
    }
}

fn check(store: &Store, book: &Book) {
    let events: Vec<Event> = store.read_all().map(Result::unwrap).collect();
    for (n, event) in (0..).zip(&events) {
        assert_eq!(event.position(), Position::new(n));
    }
    for (position, payload) in book {
        let event = events.get(usize::try_from(*position).unwrap());
        let found = event.map(|event| String::from_utf8(event.payload().to_vec()).unwrap());
        assert_eq!(found.as_ref(), Some(payload), "position {position}");
    }
    let by_stream: usize = store
        .streams()
        .map(|stream| store.read_stream(stream.unwrap().name()).map(Result::unwrap).count())
        .sum();
    assert_eq!(by_stream, events.len());
}

fn lose_power_again_and_again(kind: &str) {
    let Some(file_system) = FileSystem::make(kind) else { return };
    let Some(rounds) = rounds() else { return };
    let path = file_system.root().join("store.annals");
    let book = Mutex::new(Book::new());
    let mut lost = 0;
    for round in 0..rounds {
        let store = options().open(&path).unwrap();
        check(&store, &book.lock().unwrap());
        lost += u32::from(store.recovery().torn_tail.is_some());
        append_until_dark(&store, &file_system, round, &book);
        drop(store);
        file_system.come_back();
    }
    let store = options().open(&path).unwrap();
    let book = book.into_inner().unwrap();
    check(&store, &book);
    eprintln!(
        "{kind}: {rounds} losses of power, {} events acknowledged, {lost} torn tails",
        book.len()
    );
}

#[test]
fn no_loss_of_power_on_ext4_takes_back_what_was_acknowledged() {
    lose_power_again_and_again("ext4");
}

#[test]
fn no_loss_of_power_on_xfs_takes_back_what_was_acknowledged() {
    lose_power_again_and_again("xfs");
}

/// A sync fails once, as it does when a thin volume is full, and the kernel then calls the pages
/// clean: later syncs say Ok, and the medium never gets the bytes.
#[test]
fn what_a_failed_sync_has_kept_from_the_medium_is_not_acknowledged_by_a_later_one() {
    let Some(file_system) = FileSystem::make("ext4") else { return };
    let path = file_system.root().join("store.annals");
    let store = options().open(&path).unwrap();
    let append = |n: u32| {
        store.append(
            "s",
            Expected::Any,
            [NewEvent::text("t", format!("{n} {}", ".".repeat(5_000)))],
        )
    };
    for n in 0..3 {
        append(n).unwrap();
    }
    file_system.lose_power(Log::Lost);
    assert!(append(3).is_err());
    // Whatever the kernel says now, the store takes nothing more.
    assert!(append(4).is_err() && store.sync().is_err());
    assert_eq!(store.end(), Position::new(3));
    drop(store);
    file_system.come_back();
    let store = options().open(&path).unwrap();
    assert_eq!(store.end(), Position::new(3));
}

/// Fills a small file system to the brim, at every size, frees room, and goes on.
#[test]
fn a_real_disk_that_is_full_fails_appends_and_loses_nothing() {
    if rounds().is_none() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("small");
    fs::create_dir(&root).unwrap();
    for size in 0..12 {
        let option = format!("size={}k", 512 + size * 36);
        if !run("mount", &["-t", "tmpfs", "-o", &option, "tmpfs", root.to_str().unwrap()]) {
            eprintln!("skipped: a small file system cannot be had here");
            return;
        }
        fill_and_go_on(&root);
        unmount(&root);
    }
}

fn fill_and_go_on(root: &Path) {
    let ballast = File::create(root.join("ballast")).unwrap();
    ballast.write_all_at(&vec![1; 200 << 10], 0).unwrap();
    let options = options().segment_len_max(64 << 10).durability(Durability::Sync);
    let Ok(store) = options.open(root.join("store.annals")) else { return };
    let mut acknowledged = Vec::new();
    let mut failed = 0;
    let append = |n: usize| {
        let payload = format!("{n} {}", ".".repeat(n * 97 % 4_000));
        store.append("s", Expected::Any, [NewEvent::text("t", payload.clone())]).map(|_| payload)
    };
    for n in 0..1_000 {
        match append(n) {
            Ok(payload) => acknowledged.push(payload),
            Err(_) => failed += 1,
        }
        if failed > 5 {
            break;
        }
    }
    assert!(failed > 5, "the file system is small enough to be full");
    // The rest of the disk is freed, and the store goes on.
    ballast.set_len(0).unwrap();
    acknowledged.push(append(5_000).unwrap());
    let payloads = |store: &Store| -> Vec<String> {
        let text = |event: Event| String::from_utf8(event.payload().to_vec()).unwrap();
        store.read_all().map(|event| text(event.unwrap())).collect()
    };
    assert_eq!(payloads(&store), acknowledged);
    store.close().unwrap();
    let store = options.open(root.join("store.annals")).unwrap();
    assert_eq!(payloads(&store), acknowledged);
}
