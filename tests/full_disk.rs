//! A real disk that is full, at every size: appends fail and are undone, reads go on, and once
//! there is room the store goes on.
//!
//! Tries every n-th size from nothing on; `ANNALS_FULL_DISK_STEP=4` tries every 4 KiB. Needs root,
//! to mount file systems, and says that it was skipped otherwise.
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
use std::path::{Path, PathBuf};
use std::time::Duration;

use annals::Durability;
use real::{
    Book, Ended, Fate, FileSystem, Kind, Memory, Running, Session, assert_unharmed, command,
    number_from, open, tell,
};

const TIME: Duration = Duration::from_secs(60);
/// Enough room for everything that is appended here.
const ROOM_KIB: u64 = 32 << 10;
/// The largest size that is tried: sled begins with half a MiB.
const SIZE_KIB_MAX: u64 = 1_536;

/// Not a test of its own: the processes that tests have started run it.
#[test]
fn a_process_that_a_test_has_started_plays_its_part() {
    let Some((part, place)) = real::part() else { return };
    match &*part {
        "fill memory" => fill(&place, || Memory::resize(place.parent().unwrap(), ROOM_KIB)),
        "fill disk" => fill(&place, || fs::remove_file(ballast_of(&place)).unwrap()),
        "open on a full disk" => open_full(&place),
        _ => assert!(real::play_common(&part, &place), "{part}"),
    }
}

/// What takes up room beside a store.
fn ballast_of(store: &Path) -> PathBuf {
    store.with_extension("ballast")
}

/// Takes up all the room that is left beside a store but for so many bytes.
fn leave_room(store: &Path, len: usize) {
    let mut ballast = File::create(ballast_of(store)).unwrap();
    for piece in [64 << 10, 4 << 10, 512, 1] {
        while ballast.write_all(&vec![1; piece]).is_ok() {}
    }
    ballast.sync_all().unwrap_or_default();
    let full = ballast.metadata().unwrap().len();
    ballast.set_len(full.saturating_sub(u64::try_from(len).unwrap())).unwrap();
    ballast.sync_all().unwrap();
}

/// Opens a store and appends until the disk is full, and some more; then there is room, and it
/// goes on.
fn fill(path: &Path, make_room: impl Fn()) {
    let mut book = Book::default();
    let mut has_room = false;
    let store = open(path).or_else(|| {
        make_room();
        has_room = true;
        open(path)
    });
    let store = store.unwrap();
    let mut session = Session::new(&store, &mut book);
    for _ in 0..2_000 {
        if has_room || session.undone_count() > 6 {
            break;
        }
        session.append(Durability::Sync);
    }
    session.compare();
    if !has_room {
        make_room();
    }
    tell("ROOM");
    for n in 0..12 {
        let fate = session.append(if n % 3 == 1 { Durability::Buffered } else { Durability::Sync });
        assert!(matches!(fate, Fate::There(_)), "there is room: {fate:?}");
    }
    session.compare();
    store.close().unwrap();
    tell("DONE");
}

/// Opens a store where there is no room at all; then there is.
fn open_full(path: &Path) {
    let mut book = Book::load(path);
    leave_room(path, 0);
    let store = open(path).unwrap();
    let mut session = Session::new(&store, &mut book);
    session.compare();
    for _ in 0..30 {
        session.append(Durability::Sync);
    }
    session.compare();
    tell(if session.undone_count() > 0 { "FULL" } else { "FITS" });
    fs::remove_file(ballast_of(path)).unwrap();
    for _ in 0..12 {
        assert!(matches!(session.append(Durability::Sync), Fate::There(_)));
    }
    session.compare();
    store.close().unwrap();
    tell("DONE");
}

/// Lets a process play a part on the store at `path`, and compares what it has left.
fn play(part: &str, path: &Path, mut book: Book, what: &str) -> Ended {
    let ended = Running::start(command(part, path, &[]), |_| {}).end(TIME);
    let is_fine = ended.has_told("DONE") && ended.status.success();
    assert!(is_fine && !ended.has_panicked(), "{what}\n{ended:#?}");
    book.hear_all(&ended.lines);
    assert_unharmed(path, &mut book, what);
    ended
}

#[test]
fn a_full_disk_of_any_size_fails_appends_and_the_store_goes_on_once_there_is_room() {
    let place = common::place();
    let step = usize::try_from(number_from("ANNALS_FULL_DISK_STEP", 172)).unwrap();
    let (mut sizes, mut undone, mut refused) = (0, 0, 0);
    for kib in (4..=SIZE_KIB_MAX).step_by(step) {
        let Some(disk) = Memory::mount(&place.path().join("disk"), kib) else { return };
        let path = disk.root().join("store");
        let what = format!("a disk of {kib} KiB");
        let ended = play("fill memory", &path, Book::default(), &what);
        sizes += 1;
        undone += ended.told("UNDONE").count();
        refused += u64::from(ended.has_told("REFUSED"));
    }
    eprintln!("memory: {sizes} sizes, {undone} appends undone, {refused} times none could be made");
}

#[test]
fn a_full_disk_under_ext4_fails_appends_and_the_store_goes_on_once_there_is_room() {
    let place = common::place();
    let step = usize::try_from(number_from("ANNALS_FULL_DISK_STEP", 500)).unwrap();
    let Some(disk) = FileSystem::make(place.path(), Kind::Ext4, 16) else { return };
    let (mut sizes, mut undone) = (0, 0);
    for kib in (4..=SIZE_KIB_MAX).step_by(step) {
        let folder = disk.root().join(kib.to_string());
        fs::create_dir(&folder).unwrap();
        let path = folder.join("store");
        leave_room(&path, usize::try_from(kib << 10).unwrap());
        let what = format!("{kib} KiB left");
        undone += play("fill disk", &path, Book::default(), &what).told("UNDONE").count();
        sizes += 1;
        fs::remove_dir_all(&folder).unwrap();
    }
    eprintln!("ext4: {sizes} sizes, {undone} appends undone");
}

#[test]
fn a_store_opens_on_a_full_disk_and_goes_on_once_there_is_room() {
    let place = common::place();
    let Some(disk) = FileSystem::make(place.path(), Kind::Ext4, 16) else { return };
    for (n, first) in ["leave open", "play"].into_iter().enumerate() {
        let folder = disk.root().join(n.to_string());
        fs::create_dir(&folder).unwrap();
        let path = folder.join("store");
        let ended = Running::start(command(first, &path, &[]), |_| {}).end(TIME);
        assert!(ended.status.success(), "{ended:#?}");
        let mut book = Book::default();
        book.hear_all(&ended.lines);
        if first == "leave open" {
            let last = common::segments(&path).pop().unwrap();
            fs::OpenOptions::new().append(true).open(last).unwrap().write_all(&[1; 100]).unwrap();
        }
        book.save(&path);
        let ended = play("open on a full disk", &path, book, first);
        assert!(ended.has_told("FULL"), "{ended:#?}");
    }
}
