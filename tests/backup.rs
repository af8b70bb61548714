//! Backups: copies of stores that are in use, made and brought up to date.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use annals::inspect::Inspection;
use annals::transfer::{Backup, BackupReport, Link};
use annals::{
    Durability, Error, Expected, NewEvent, OnFailure, Options, RepairPlan, Store, Workers,
};
use common::{Book, all_files, assert_agrees, assert_error, files, place, segments, small};

const LINKS: [Link; 2] = [Link::WherePossible, Link::Never];

fn append(store: &Store, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let events = (0..2).map(|half| NewEvent::text("said", format!("{n} {half}")));
        store.append("talk", Expected::Any, events).unwrap();
    }
}

/// A closed store of several sealed segments.
fn closed(path: &Path) -> Book {
    let mut book = Book::new(5);
    more(path, &mut book);
    assert!(segments(path).len() > 3, "{:?}", segments(path));
    book
}

fn more(path: &Path, book: &mut Book) {
    let store = small().open(path).unwrap();
    for n in 0..30 {
        book.append(&store, &[("cart", 1 + n % 4), ("user", n % 3)]);
    }
    store.close().unwrap();
}

fn back_up(from: &Path, to: &Path, link: Link) -> BackupReport {
    let report = Backup::of(from).link(link).to(to).unwrap();
    assert!(report.is_complete && report.damages.is_empty(), "{report:?}");
    report
}

fn verify(path: &Path) {
    let report = Inspection::open(path).unwrap().verify();
    assert!(report.is_sound(), "{report:?}");
}

/// Fails unless the copy is sound and holds what is in the book, also once it is opened.
fn assert_copied(copy: &Path, book: &Book) {
    verify(copy);
    let store = small().open(copy).unwrap();
    assert!(store.recovery().was_closed);
    assert_agrees(&store, &book.events);
    assert!(store.verify().unwrap().is_sound());
    store.close().unwrap();
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn counts(report: &BackupReport) -> [u64; 3] {
    [report.linked.count, report.copied.count, report.kept.count]
}

#[test]
fn a_copy_is_a_store_with_the_same_events() {
    for link in LINKS {
        let place = place();
        let (path, copy) = (place.path().join("store"), place.path().join("new/copy"));
        let mut book = closed(&path);
        let full = u64::try_from(segments(&path).len()).unwrap() - 1;
        let report = back_up(&path, &copy, link);
        assert_eq!((report.end.get(), report.was), (book.end(), None));
        let expected = if link == Link::Never { [0, full + 1, 0] } else { [full, 1, 0] };
        assert_eq!(counts(&report), expected);
        assert_copied(&copy, &book);

        let was = report.end;
        more(&path, &mut book);
        let report = back_up(&path, &copy, link);
        assert_eq!((report.end.get(), report.was), (book.end(), Some(was)));
        assert_eq!(report.kept.count, full);
        assert_copied(&copy, &book);
    }
}

#[test]
fn an_empty_store_is_copied() {
    let place = place();
    let (path, copy) = (place.path().join("store"), place.path().join("copy"));
    let store = Store::open(&path).unwrap();
    fs::create_dir(&copy).unwrap();
    for _ in 0..2 {
        assert_eq!(back_up(&path, &copy, Link::default()).end.get(), 0);
        verify(&copy);
    }
    store.append("talk", Expected::NoStream, [NewEvent::text("said", "hello")]).unwrap();
    assert_eq!(back_up(&path, &copy, Link::default()).end.get(), 1);
    let copied = Store::open(&copy).unwrap();
    assert_eq!((copied.end().get(), copied.id()), (1, store.id()));
}

#[test]
fn a_second_backup_copies_only_what_is_new() {
    for link in LINKS {
        let place = place();
        let (path, copy) = (place.path().join("store"), place.path().join("copy"));
        let mut book = closed(&path);
        back_up(&path, &copy, link);
        let before: Vec<_> = segments(&copy).iter().map(|path| inode(path)).collect();
        let all = u64::try_from(before.len()).unwrap();
        let report = back_up(&path, &copy, link);
        assert_eq!(counts(&report), [0, 0, all]);
        let unchanged: Vec<_> = segments(&copy).iter().map(|path| inode(path)).collect();
        assert_eq!(unchanged, before);

        more(&path, &mut book);
        let new = u64::try_from(segments(&path).len()).unwrap() - all;
        let report = back_up(&path, &copy, link);
        let expected = if link == Link::Never { [0, 1 + new, all - 1] } else { [new, 1, all - 1] };
        assert_eq!(counts(&report), expected);
        assert_copied(&copy, &book);
    }
}

#[test]
fn sealed_segments_are_shared_and_the_last_one_is_not() {
    let place = place();
    let (path, copy) = (place.path().join("store"), place.path().join("copy"));
    let mut book = closed(&path);
    for _ in 0..2 {
        back_up(&path, &copy, Link::WherePossible);
        let (originals, copies) = (segments(&path), segments(&copy));
        assert_eq!(originals.len(), copies.len());
        let last = originals.len() - 1;
        for (n, (original, copied)) in originals.iter().zip(&copies).enumerate() {
            assert_eq!(inode(original) == inode(copied), n < last, "{n} of {last}");
        }
        more(&path, &mut book);
    }
    let other = place.path().join("other");
    back_up(&path, &other, Link::Never);
    for (original, copied) in segments(&path).iter().zip(&segments(&other)) {
        assert_ne!(inode(original), inode(copied));
        assert_eq!(fs::read(original).unwrap(), fs::read(copied).unwrap());
    }
}

#[test]
fn a_backup_to_another_file_system_is_a_copy() {
    let memory = Path::new("/dev/shm");
    let place = tempfile::tempdir().unwrap();
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    if device(memory).is_none() || device(memory) == device(place.path()) {
        eprintln!("skipped: there is no other file system at /dev/shm");
        return;
    }
    let elsewhere = tempfile::tempdir_in(memory).unwrap();
    let (path, copy) = (place.path().join("store"), elsewhere.path().join("copy"));
    let mut book = closed(&path);
    for _ in 0..2 {
        let report = back_up(&path, &copy, Link::WherePossible);
        assert_eq!(report.linked.count, 0);
        assert_copied(&copy, &book);
        more(&path, &mut book);
    }
}

/// Whether the writer may end.
#[derive(Default)]
struct Over(AtomicBool);

/// Ends the writer, also if the test fails.
struct Ends<'a>(&'a Over);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

/// Copies again and again while a thread appends, rolls and seals: each holds all that was durable
/// before it began, and no part of a batch.
fn beside_a_writer(durability: Durability) {
    let place = place();
    let (path, copy) = (place.path().join("store"), place.path().join("copy"));
    let options = Options::new().segment_len_max(4 << 10).durability(durability);
    let store = options.open(&path).unwrap();
    let appended = AtomicU64::new(0);
    let is_over = Over::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut consumer = store.consumer("billing").open().unwrap();
            for n in 0.. {
                if is_over.0.load(Ordering::Acquire) {
                    break;
                }
                append(&store, n..n + 1);
                // Not more than can be read again and again.
                thread::sleep(Duration::from_millis(1));
                if n % 16 == 0 {
                    while consumer.next_position() < store.end() {
                        consumer.next().unwrap().unwrap();
                    }
                    consumer.commit_delivered().unwrap();
                }
                if durability == Durability::Sync {
                    appended.store(2 * (n + 1), Ordering::Release);
                }
            }
        });
        let _over = Ends(&is_over);
        for round in 0..16 {
            let link = LINKS[round % 2];
            let durable = appended.load(Ordering::Acquire);
            let fresh = place.path().join(format!("copy-{round}"));
            let to = if round % 4 == 3 { &fresh } else { &copy };
            let report = back_up(&path, to, link);
            assert!(report.end.get() >= durable, "{} of {durable}", report.end);
            assert!(report.end.get().is_multiple_of(2), "{}", report.end);
            verify(to);
            let copied = Inspection::open(to).unwrap();
            assert_eq!(copied.end(), report.end);
            let numbers = copied
                .events()
                .map(|event| String::from_utf8(event.unwrap().payload().to_vec()).unwrap());
            let expected = (0..report.end.get()).map(|n| format!("{} {}", n / 2, n % 2));
            assert!(numbers.eq(expected));
            for consumer in copied.consumers().unwrap().0 {
                assert!(consumer.committed <= report.end);
            }
            if round % 4 == 1 {
                // Whoever opens the copy changes nothing that stands in the way of the next one.
                let opened = options.open(to).unwrap();
                assert_eq!(opened.end(), report.end);
                opened.close().unwrap();
            }
        }
    });
    assert!(segments(&path).len() > 2);
    store.close().unwrap();
    let report = back_up(&path, &copy, Link::default());
    assert_eq!(report.end, Inspection::open(&path).unwrap().end());
    verify(&copy);
}

#[test]
fn a_copy_of_a_store_that_is_appended_to_has_all_that_was_durable() {
    beside_a_writer(Durability::Sync);
}

#[test]
fn a_copy_of_a_store_that_is_appended_to_without_syncs_is_whole() {
    beside_a_writer(Durability::Buffered);
}

#[test]
fn consumers_come_with_their_places_and_what_they_have_parked() {
    let place = place();
    let (path, copy) = (place.path().join("store"), place.path().join("copy"));
    let store = Store::open(&path).unwrap();
    append(&store, 0..5);
    let mut billing = store.consumer("Billing").open().unwrap();
    (0..3).for_each(|_| drop(billing.next().unwrap().unwrap()));
    billing.commit_delivered().unwrap();
    drop(store.consumer("short-lived").open().unwrap());
    let workers = Workers::new(2).on_failure(OnFailure::Park);
    let group = store.consumer("parks").open().unwrap().run(workers, |delivery| {
        if delivery.event().position().get() == 4 { Err("no such customer") } else { Ok(()) }
    });
    let parks = || {
        let consumers = store.consumers().unwrap();
        consumers.into_iter().find(|consumer| consumer.name == "parks").unwrap()
    };
    while parks().committed.get() < 10 {
        thread::yield_now();
    }
    group.unwrap().stop(Duration::from_secs(60)).unwrap();
    back_up(&path, &copy, Link::default());
    let of = |path: &Path| {
        let consumers = Inspection::open(path).unwrap().consumers().unwrap().0;
        consumers
            .into_iter()
            .map(|c| (c.name, c.committed.get(), c.parked_count))
            .collect::<Vec<_>>()
    };
    let expected = [("Billing", 3, 0), ("parks", 10, 1), ("short-lived", 0, 0)];
    assert_eq!(of(&copy), expected.map(|(name, at, parked)| (name.to_owned(), at, parked)));

    assert!(store.delete_consumer("short-lived").unwrap());
    assert!(store.consumer("parks").open().unwrap().dismiss_parked(4).unwrap());
    billing.reset_to(1).unwrap();
    assert_eq!(back_up(&path, &copy, Link::default()).consumer_count, 2);
    let expected = [("Billing", 1, 0), ("parks", 10, 0)];
    assert_eq!(of(&copy), expected.map(|(name, at, parked)| (name.to_owned(), at, parked)));
    let opened = Store::open(&copy).unwrap();
    let next = opened.consumer("Billing").open().unwrap().next().unwrap().unwrap();
    assert_eq!(next.position().get(), 1);
}

#[test]
fn a_copy_that_was_appended_to_is_refused_and_left_as_it_is() {
    let place = place();
    let (path, copy) = (place.path().join("store"), place.path().join("copy"));
    let mut book = closed(&path);
    back_up(&path, &copy, Link::default());
    let store = small().open(&copy).unwrap();
    append(&store, 0..1);
    store.close().unwrap();
    let before = all_files(&copy);
    for _ in 0..2 {
        match Backup::of(&path).to(&copy) {
            Err(Error::BackupRefused { reason, .. }) => assert!(reason.contains("appended")),
            other => panic!("{other:?}"),
        }
        assert!(all_files(&copy) == before);
        // Also once the store has more events than the copy.
        more(&path, &mut book);
    }
}

#[test]
fn what_is_no_copy_of_the_store_is_refused_and_left_as_it_is() {
    let place = place();
    let path = place.path().join("store");
    closed(&path);
    let before = all_files(&path);
    let other = place.path().join("other");
    Store::open(&other).unwrap().close().unwrap();
    let full = place.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("letter"), "dear").unwrap();
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for (to, why) in [
        (other.clone(), "another store"),
        (full.clone(), "not empty"),
        (full.join("letter"), "no directory"),
        (path.clone(), "the store itself"),
        (path.join("log/copy"), "inside"),
        (link.join("copy"), "inside"),
        (PathBuf::new(), "no name"),
    ] {
        let others = (all_files(&other), all_files(&full));
        match Backup::of(&path).to(&to) {
            Err(Error::BackupRefused { reason, .. }) => assert!(reason.contains(why), "{reason}"),
            refused => panic!("{}: {refused:?}", to.display()),
        }
        assert!((all_files(&other), all_files(&full)) == others, "{why}");
    }
    assert!(all_files(&path) == before);
    let nothing = place.path().join("nothing");
    assert_error!(Backup::of(&nothing).to(place.path().join("new")), Error::NotAStore { .. });
    assert_error!(Backup::of(&full).to(place.path().join("new")), Error::NotAStore { .. });
    assert!(!place.path().join("new").exists() && !nothing.exists());
}

#[test]
fn a_copy_that_is_open_is_locked_and_a_store_that_is_open_is_not() {
    let place = place();
    let (path, copy) = (place.path().join("store"), place.path().join("copy"));
    closed(&path);
    back_up(&path, &copy, Link::default());
    let opened = small().open(&copy).unwrap();
    assert_error!(Backup::of(&path).to(&copy), Error::Locked { .. });
    opened.close().unwrap();
    let store = small().open(&path).unwrap();
    append(&store, 0..3);
    // What the store's own thread does is done after a while.
    let mut before = files(&path);
    loop {
        thread::sleep(Duration::from_millis(100));
        let after = std::mem::replace(&mut before, files(&path));
        if after == before {
            break;
        }
    }
    back_up(&path, &copy, Link::default());
    assert!(files(&path) == before);
    assert_error!(small().open(&path), Error::Locked { .. });
}

#[test]
fn whoever_watches_hears_of_all_bytes_and_may_end_it() {
    let place = place();
    let (path, copy) = (place.path().join("store"), place.path().join("copy"));
    let book = closed(&path);
    let mut last = None;
    let report = Backup::of(&path).link(Link::Never).to_watched(&copy, |progress| {
        last = Some(*progress);
        if progress.done_len > 5_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(!report.unwrap().is_complete);
    assert!(!copy.join("store.meta").exists());
    assert!(last.unwrap().done_len < last.unwrap().total_len);
    let report = Backup::of(&path).to_watched(&copy, |progress| {
        last = Some(*progress);
        ControlFlow::Continue(())
    });
    assert!(report.unwrap().is_complete);
    assert!(last.unwrap().done_len * 10 > last.unwrap().total_len * 9, "{last:?}");
    assert_copied(&copy, &book);
}

/// A backup has the same files, and must not lose what a repair takes away.
#[test]
fn a_repair_leaves_a_linked_backup_as_it_was() {
    for in_footer in [false, true] {
        let place = place();
        let (path, copy) = (place.path().join("store"), place.path().join("copy"));
        closed(&path);
        // A footer that is damaged after a backup was made damages the backup as well; here the
        // repair is what is looked at, so the damage comes first.
        let segment = segments(&path).remove(1);
        back_up(&path, &copy, Link::WherePossible);
        let shared = inode(&segment);
        let mut bytes = fs::read(&segment).unwrap();
        let at = if in_footer { bytes.len() - 20 } else { bytes.len() / 2 };
        bytes[at] ^= 1;
        fs::write(&segment, &bytes).unwrap();
        assert_eq!(inode(&segments(&copy)[1]), shared);
        let before = all_files(&copy);
        let report = RepairPlan::make(&path).unwrap().carry_out().unwrap();
        assert_eq!(report.removed.is_empty(), in_footer, "{report}");
        assert!(fs::read(&segment).unwrap() != bytes, "the repair has changed the segment");
        assert!(all_files(&copy) == before, "in the footer: {in_footer}");
    }
}

/// The program, run as its users run it.
#[cfg(feature = "cli")]
mod program {
    use std::process::{Command, Output};

    use super::*;

    fn dump(from: &Path, to: &Path, args: &[&str]) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_annals-dump"));
        program.arg("backup").arg(from).arg(to).args(args).output().unwrap()
    }

    fn code(output: &Output) -> i32 {
        output.status.code().unwrap()
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_program_copies_and_says_what_it_has_done() {
        let place = place();
        let (path, copy) = (place.path().join("store"), place.path().join("copy"));
        let book = closed(&path);
        let done = dump(&path, &copy, &["--verify"]);
        assert_eq!((code(&done), text(&done.stderr)), (0, ""));
        let lines: Vec<_> = text(&done.stdout).lines().collect();
        assert_eq!(lines[0], format!("end: {}", book.end()));
        assert!(lines[2].starts_with("copied: 1 segment, "), "{lines:?}");
        assert_eq!(lines[4], "consumers: 0");

        let done = dump(&path, &copy, &["--copy", "--format", "jsonl"]);
        assert_eq!((code(&done), text(&done.stderr)), (0, ""));
        let line = text(&done.stdout);
        assert!(line.starts_with(r#"{"v":1,"end_position":"#) && line.ends_with("}\n"), "{line}");
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(json["was_position"], book.end());
        assert_eq!(json["kept_count"], segments(&path).len());
        assert_eq!((&json["linked_count"], &json["copied_count"]), (&0.into(), &0.into()));
        assert_eq!(json["is_complete"], true);
        assert_copied(&copy, &book);
    }

    #[test]
    fn the_exit_code_says_what_stands_in_the_way() {
        let place = place();
        let (path, copy) = (place.path().join("store"), place.path().join("copy"));
        closed(&path);
        let refused = dump(&path, &path.join("copy"), &[]);
        assert_eq!((code(&refused), text(&refused.stdout)), (3, ""));
        assert!(text(&refused.stderr).contains("cannot take the backup: it is the store itself"));
        assert_eq!(code(&dump(&place.path().join("none"), &copy, &[])), 3);
        assert_eq!(code(&dump(&path, &copy, &["--nonsense"])), 2);
        assert_eq!(code(&dump(&path, &copy, &[])), 0);
        let opened = small().open(&copy).unwrap();
        assert_eq!(code(&dump(&path, &copy, &[])), 5);
        opened.close().unwrap();
    }

    #[test]
    fn damage_is_named_and_the_exit_code_tells_of_it() {
        let place = place();
        let (path, copy) = (place.path().join("store"), place.path().join("copy"));
        closed(&path);
        let segment = segments(&path).remove(1);
        let mut bytes = fs::read(&segment).unwrap();
        bytes[300] ^= 1;
        fs::write(&segment, bytes).unwrap();
        let file = format!("log/{}", segment.file_name().unwrap().to_str().unwrap());

        let copied = dump(&path, &copy, &["--copy"]);
        assert_eq!((code(&copied), text(&copied.stdout)), (1, ""));
        assert!(text(&copied.stderr).contains(&file), "{}", text(&copied.stderr));
        // What is linked is not read, but by whoever verifies it.
        let linked = dump(&path, &place.path().join("linked"), &["--verify"]);
        assert_eq!(code(&linked), 1);
        let said = text(&linked.stderr);
        assert!(said.contains("in the copy, segment") && said.contains(&file), "{said}");
    }
}
