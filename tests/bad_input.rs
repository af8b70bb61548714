//! What annals refuses: each time with the error that says what is wrong, and with nothing lost or
//! changed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use annals::{
    Batch, Clock, ContentType, Error, Event, Expected, IndexRecovery, NameFault, NameKind,
    NewEvent, Options, Position, Receipt, Result, Revision, Store, Timestamp,
};
use common::{
    Book, Seen, all_files, assert_agrees, assert_error, assert_unharmed, child, files, in_child,
    place, segments, small,
};

/// Bytes of a batch that fits into a segment of 4 KiB: without the header and the footer.
const BATCH_LEN_MAX: u64 = 4_096 - 64 - 96;

/// Tries something on a store with a few events, and fails unless that changes nothing: not what
/// can be read, not what can be appended, not what is found after reopening.
fn attempt<T>(options: &Options, attempt: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
    let place = place();
    let path = place.path().join("store");
    let store = options.open(&path).unwrap();
    let mut book = Book::new(5);
    book.append(&store, &[("cart", 2), ("user", 1)]);
    book.append(&store, &[("cart", 1)]);
    let result = attempt(&store);
    assert_agrees(&store, &book.events);
    book.append(&store, &[("user", 1)]);
    assert_agrees(&store, &book.events);
    store.close().unwrap();
    assert_unharmed(&path, &book);
    result
}

fn append(stream: &str, event: NewEvent) -> Result<Receipt> {
    let small = small();
    attempt(&small, |store| store.append(stream, Expected::Any, [event]))
}

fn append_batch(batch: Batch) -> Result<Receipt> {
    attempt(&small(), |store| store.append_batch(batch))
}

fn event() -> NewEvent {
    NewEvent::text("t", "x")
}

/// Names that are none, and why.
fn bad_names() -> [(String, NameFault); 7] {
    [
        (String::new(), NameFault::Empty),
        ("n".repeat(256), NameFault::TooLong { len: 256, max: 255 }),
        ("é".repeat(128), NameFault::TooLong { len: 256, max: 255 }),
        ("\0".to_owned(), NameFault::ControlCharacter { offset: 0 }),
        ("cart\n42".to_owned(), NameFault::ControlCharacter { offset: 4 }),
        ("\u{7f}".to_owned(), NameFault::ControlCharacter { offset: 0 }),
        ("é\u{85}".to_owned(), NameFault::ControlCharacter { offset: 2 }),
    ]
}

fn assert_bad_name(result: Result<Receipt>, kind: NameKind, fault: NameFault) {
    assert_error!(result, Error::InvalidName { kind: k, fault: f } if (k, f) == (kind, fault));
}

#[test]
fn a_bad_stream_name_is_refused() {
    for (name, fault) in bad_names() {
        assert_bad_name(append(&name, event()), NameKind::Stream, fault);
        let batch = Batch::new().append("cart", Expected::Any, [event()]);
        let batch = batch.append(name, Expected::Any, []);
        assert_bad_name(append_batch(batch), NameKind::Stream, fault);
    }
}

#[test]
fn a_bad_event_type_is_refused() {
    for (name, fault) in bad_names() {
        assert_bad_name(append("cart", NewEvent::text(&*name, "x")), NameKind::EventType, fault);
        let batch = Batch::new().append("cart", Expected::Any, [event()]).append(
            "user",
            Expected::Any,
            [event(), NewEvent::bytes(name, [])],
        );
        assert_bad_name(append_batch(batch), NameKind::EventType, fault);
    }
}

#[test]
fn a_bad_tag_is_refused() {
    for (name, fault) in bad_names() {
        assert_bad_name(append("cart", event().tag("good").tag(name)), NameKind::Tag, fault);
    }
}

#[test]
fn the_longest_names_are_taken() {
    let name = "n".repeat(255);
    let place = place();
    let store = small().open(place.path()).unwrap();
    let event = NewEvent::text(&*name, "x").tag(&*name);
    store.append(&name, Expected::NoStream, [event]).unwrap();
    store.close().unwrap();
    let store = small().open(place.path()).unwrap();
    let event = store.read_stream(&name).next().unwrap().unwrap();
    assert_eq!((event.stream(), event.event_type()), (&*name, &*name));
    assert_eq!(event.tags().collect::<Vec<_>>(), [&*name]);
    assert_eq!(store.streams().prefix(&*name).count(), 1);
}

/// Names that no stream can have: some of them, with the bytes that follow a name in the keys of the
/// index, once looked like keys of the stream `cart`.
fn impossible_names() -> impl Iterator<Item = String> {
    let zeroes = (1..12).map(|len| format!("cart{}", "\0".repeat(len)));
    let bad = bad_names().into_iter().map(|(name, _)| name).filter(|name| !name.is_empty());
    bad.chain(zeroes).chain(["cart\u{1}".to_owned(), "n".repeat(70_000)])
}

/// Looks up what cannot be there, and fails unless the index is none the worse for it.
fn assert_index_is_unharmed(look_up: impl Fn(&Store, &str)) {
    let place = place();
    let options = small().checkpoint_event_count(1);
    let store = options.open(place.path()).unwrap();
    let mut book = Book::new(5);
    book.append(&store, &[("cart", 2), ("user", 1)]);
    for name in impossible_names() {
        look_up(&store, &name);
    }
    assert_agrees(&store, &book.events);
    book.append(&store, &[("cart", 1)]);
    store.close().unwrap();
    let store = options.open(place.path()).unwrap();
    assert_eq!(store.recovery().index, IndexRecovery::Current, "the index went on");
}

#[test]
fn reading_a_stream_whose_name_none_can_have_harms_nothing() {
    assert_index_is_unharmed(|store, name| {
        assert_eq!(store.read_stream(name).count(), 0, "{name:?}");
        assert_eq!(store.read_stream(name).backwards().count(), 0, "{name:?}");
        assert_eq!(store.read_stream(name).from(1).count(), 0, "{name:?}");
    });
    assert_index_is_unharmed(|store, name| {
        assert_eq!(store.stream_end(name).unwrap(), Revision::START, "{name:?}");
    });
}

#[test]
fn listing_streams_by_a_prefix_that_none_can_have_finds_none() {
    assert_index_is_unharmed(|store, name| {
        assert_eq!(store.streams().prefix(name).count(), 0, "{name:?}");
    });
}

#[test]
fn a_payload_over_the_limit_is_refused() {
    let options = small().payload_len_max(100);
    let append = |len: usize| {
        let event = NewEvent::bytes("t", vec![1; len]);
        attempt(&options, |store| store.append("cart", Expected::Any, [event]))
    };
    assert_error!(append(101), Error::TooLarge { what: "the payload", len: 101, max: 100 });
    assert_error!(append(1_000_000), Error::TooLarge { what: "the payload", len: 1_000_000, .. });
}

#[test]
fn a_payload_at_the_limit_is_taken() {
    let place = place();
    let store = small().payload_len_max(100).open(place.path()).unwrap();
    let event = NewEvent::bytes("t", vec![1; 100]).metadata(vec![2; 100]);
    store.append("cart", Expected::Any, [event]).unwrap();
    let event = store.read_all().next().unwrap().unwrap();
    assert_eq!((event.payload(), event.metadata()), (&[1; 100][..], &[2; 100][..]));
}

#[test]
fn metadata_over_the_limit_is_refused() {
    let event = event().metadata(vec![1; 101]);
    let options = small().payload_len_max(100);
    let result = attempt(&options, |store| store.append("cart", Expected::Any, [event]));
    assert_error!(result, Error::TooLarge { what: "the metadata", len: 101, max: 100 });
}

#[test]
fn by_default_a_payload_may_have_16_mib() {
    const MAX: usize = 16 << 20;
    let place = place();
    let store = Options::new().durability(annals::Durability::Buffered).open(place.path()).unwrap();
    let append = |len, metadata_len| {
        let event = NewEvent::bytes("t", vec![1; len]).metadata(vec![2; metadata_len]);
        store.append("cart", Expected::Any, [event])
    };
    assert_error!(append(MAX + 1, 0), Error::TooLarge { what: "the payload", len: 16_777_217, .. });
    assert_error!(
        append(0, MAX + 1),
        Error::TooLarge { what: "the metadata", len: 16_777_217, .. }
    );
    assert_eq!(append(MAX, MAX).unwrap().first(), Position::START);
    let event = store.read_all().next().unwrap().unwrap();
    assert_eq!((event.payload().len(), event.metadata().len()), (MAX, MAX));
}

#[test]
fn limits_hold_for_appends_only() {
    let place = place();
    let store = small().open(place.path()).unwrap();
    let mut book = Book::new(1);
    book.append_big(&store, "cart", 3_000);
    store.close().unwrap();
    let store = small().payload_len_max(0).open(place.path()).unwrap();
    assert_agrees(&store, &book.events);
    assert_error!(
        store.append("cart", Expected::Any, [event()]),
        Error::TooLarge { what: "the payload", len: 1, max: 0 }
    );
    store.append("cart", Expected::Any, [NewEvent::bytes("t", [])]).unwrap();
}

/// An event whose tags have `len` bytes, each with one more for its length.
fn tagged(len: usize) -> NewEvent {
    let tags = std::iter::repeat_n("g".repeat(255), len / 256);
    let event = tags.fold(event(), NewEvent::tag);
    if len % 256 > 1 { event.tag("g".repeat(len % 256 - 1)) } else { event }
}

#[test]
fn tags_over_64_kib_are_refused() {
    for len in [65_536, 70_000] {
        let expected = u64::try_from(len).unwrap();
        assert_error!(
            append("cart", tagged(len)),
            Error::TooLarge { what: "all tags", len, max: 65_535 } if len == expected
        );
    }
    let place = place();
    let store = Options::new().open(place.path()).unwrap();
    store.append("cart", Expected::Any, [tagged(65_535)]).unwrap();
    let event = store.read_all().next().unwrap().unwrap();
    assert_eq!(event.tags().map(|tag| tag.len() + 1).sum::<usize>(), 65_535);
}

#[test]
fn an_idempotency_key_over_255_bytes_is_refused() {
    let result = append("cart", event().idempotency_key([7; 256]));
    assert_error!(result, Error::TooLarge { what: "the idempotency key", len: 256, max: 255 });
    let place = place();
    let store = small().open(place.path()).unwrap();
    store.append("cart", Expected::Any, [event().idempotency_key([7; 255])]).unwrap();
    let event = store.read_all().next().unwrap().unwrap();
    assert_eq!(event.idempotency_key(), Some(&[7; 255][..]));
}

/// Events whose records have 72 bytes each, in a batch of `len` bytes.
fn batch_of(len: u64) -> Batch {
    let count = usize::try_from(len / 72).unwrap() - 1;
    let rest = usize::try_from(len % 72).unwrap();
    let last = NewEvent::bytes("t", vec![1; 6 + rest]);
    let events = (0..count).map(|_| NewEvent::bytes("t", [1; 6])).chain([last]);
    Batch::new().append("s", Expected::Any, events)
}

#[test]
fn a_batch_that_does_not_fit_into_a_segment_is_refused() {
    for len in [BATCH_LEN_MAX + 8, BATCH_LEN_MAX + 72, 100_008] {
        assert_error!(
            append_batch(batch_of(len)),
            Error::TooLarge { what: "the batch", len: l, max: BATCH_LEN_MAX } if l == len
        );
    }
}

#[test]
fn a_batch_that_just_fits_into_a_segment_is_taken() {
    let place = place();
    let path = place.path().join("store");
    let store = small().open(&path).unwrap();
    for n in 1..=3 {
        let receipt = store.append_batch(batch_of(BATCH_LEN_MAX)).unwrap();
        assert_eq!(receipt.end().get(), 54 * n);
    }
    let mut book = Book::new(1);
    book.events = store.read_all().map(|event| Seen::of(&event.unwrap())).collect();
    store.close().unwrap();
    let lens: Vec<_> =
        segments(&path).iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    assert_eq!(lens, [4_096, 4_096, 4_096 - 96], "only the last one has no footer");
    assert_unharmed(&path, &book);
}

#[test]
fn a_batch_without_events_is_refused() {
    assert_error!(append_batch(Batch::new()), Error::EmptyBatch);
    let nothing = Batch::new().append("cart", Expected::Any, []).append("new", Expected::Any, []);
    assert_error!(append_batch(nothing), Error::EmptyBatch);
    let result = attempt(&small(), |store| store.append("cart", Expected::NoStream, []));
    assert_error!(result, Error::EmptyBatch);
}

/// What `cart`, which holds 3 events, and `new`, which holds none, are not.
const WRONG: [(&str, Expected, u64); 9] = [
    ("cart", Expected::NoStream, 3),
    ("cart", Expected::Exact(0), 3),
    ("cart", Expected::Exact(2), 3),
    ("cart", Expected::Exact(4), 3),
    ("cart", Expected::Exact(u64::MAX), 3),
    ("new", Expected::Exists, 0),
    ("new", Expected::Exact(1), 0),
    ("new", Expected::Exact(u64::MAX), 0),
    ("car", Expected::Exists, 0),
];

fn assert_conflict(result: Result<Receipt>, (name, expects, holds): (&str, Expected, u64)) {
    assert_error!(
        result,
        Error::Conflict { stream, expected, actual }
            if (&*stream, expected, actual) == (name, expects, Revision::new(holds))
    );
}

#[test]
fn a_wrong_expected_count_is_a_conflict() {
    for wrong in WRONG {
        let (stream, expected, _) = wrong;
        let result = attempt(&small(), |store| store.append(stream, expected, [event()]));
        assert_conflict(result, wrong);
    }
}

#[test]
fn one_wrong_expected_count_stops_the_whole_batch() {
    for wrong in WRONG {
        let (stream, expected, _) = wrong;
        let first = Batch::new().append(stream, expected, [event()]);
        assert_conflict(append_batch(first.append("user", Expected::Exact(1), [event()])), wrong);
        let last = Batch::new().append("user", Expected::Exact(1), [event(), event()]);
        assert_conflict(append_batch(last.append(stream, expected, [event()])), wrong);
        // What is expected is expected also where nothing is to be appended.
        let without = Batch::new().append("user", Expected::Any, [event()]);
        assert_conflict(append_batch(without.append(stream, expected, [])), wrong);
    }
}

#[test]
fn what_is_expected_is_about_the_state_before_the_batch() {
    let place = place();
    let path = place.path().join("store");
    let store = small().open(&path).unwrap();
    let mut book = Book::new(1);
    let parts =
        [("a", Expected::NoStream, 2), ("b", Expected::Exact(0), 1), ("a", Expected::NoStream, 1)];
    let receipt = book.try_append(&store, &parts, |batch| batch).unwrap();
    let revisions = receipt.revisions_by_part().iter().map(|r| (r.start.get(), r.end.get()));
    assert_eq!(revisions.collect::<Vec<_>>(), [(0, 2), (0, 1), (2, 3)]);
    let parts =
        [("a", Expected::Exact(3), 1), ("c", Expected::NoStream, 0), ("a", Expected::Exact(4), 1)];
    let result = book.try_append(&store, &parts, |batch| batch);
    assert_conflict(result, ("a", Expected::Exact(4), 3));
    store.close().unwrap();
    assert_unharmed(&path, &book);
}

/// A clock that says what it is told to.
#[derive(Clone, Debug, Default)]
struct ToldClock(Arc<AtomicI64>);

impl ToldClock {
    fn set(&self, ns: i64) {
        self.0.store(ns, Ordering::Relaxed);
    }
}

impl Clock for ToldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn a_given_time_that_goes_back_or_stands_still_is_refused() {
    let clock = ToldClock::default();
    clock.set(1_000);
    let options = small().clock(clock);
    // The second batch was recorded one nanosecond after the first.
    for back in [i64::MIN, -1, 0, 1_000, 1_001] {
        let time = Timestamp::from_nanos(back);
        let batch = Batch::new().append("cart", Expected::Any, [event()]).recorded_at(time);
        assert_error!(
            attempt(&options, |store| store.append_batch(batch)),
            Error::TimeWentBack { given, last }
                if (given, last) == (time, Timestamp::from_nanos(1_001))
        );
    }
}

#[test]
fn given_times_are_recorded_from_the_earliest_to_the_latest() {
    let place = place();
    let path = place.path().join("store");
    let mut book = Book::new(1);
    let times = [i64::MIN, i64::MIN + 1, -5, 0, 1, i64::MAX - 1, i64::MAX];
    for (n, ns) in times.into_iter().enumerate() {
        // Reopened between any two: what is in the file must do.
        let store = small().open(&path).unwrap();
        let time = Timestamp::from_nanos(ns);
        let add = |book: &mut Book| {
            book.try_append(&store, &[("cart", Expected::Any, 2)], |batch| batch.recorded_at(time))
        };
        assert_eq!(add(&mut book).unwrap().recorded_at(), time);
        assert_error!(
            add(&mut book),
            Error::TimeWentBack { given, last } if (given, last) == (time, time)
        );
        assert_eq!(book.end(), 2 * (u64::try_from(n).unwrap() + 1));
    }
    let store = small().open(&path).unwrap();
    assert_agrees(&store, &book.events);
    // No time is later.
    assert_error!(
        store.append("cart", Expected::Any, [event()]),
        Error::TimeWentBack { last: Timestamp::MAX, .. }
    );
    assert_agrees(&store, &book.events);
}

#[test]
fn a_range_with_its_end_holds_the_latest_time() {
    let place = place();
    let store = small().open(place.path()).unwrap();
    let batch = Batch::new().append("cart", Expected::Any, [event()]);
    store.append_batch(batch.recorded_at(Timestamp::MAX)).unwrap();
    assert_eq!(store.read_all().recorded(..=Timestamp::MAX).count(), 1);
    assert_eq!(store.read_all().recorded(Timestamp::MAX..=Timestamp::MAX).count(), 1);
    assert_eq!(store.read_stream("cart").recorded(..=Timestamp::MAX).backwards().count(), 1);
    assert_eq!(store.read_all().recorded(..Timestamp::MAX).count(), 0);
}

#[test]
fn recorded_times_increase_though_the_clock_goes_back() {
    let place = place();
    let path = place.path().join("store");
    let clock = ToldClock::default();
    let options = small().clock(clock.clone());
    let mut book = Book::new(1);
    let mut latest = i64::MIN;
    for said in [5_000, 6_000, 6_000, 10, -7, i64::MIN, 5_999, 6_004, 9_000] {
        clock.set(said);
        // Reopened each time: the latest time is in the log, not in memory.
        let store = options.open(&path).unwrap();
        for _ in 0..3 {
            let time = book.append(&store, &[("cart", 2)]).recorded_at().as_nanos();
            assert!(time > latest && time >= said, "{time} after {latest}, at {said}");
            assert!(time == said || time == latest + 1);
            latest = time;
        }
        if said % 2 == 0 {
            store.close().unwrap();
        }
    }
    let store = options.open(&path).unwrap();
    assert_agrees(&store, &book.events);
    store.close().unwrap();
    // And if nothing but the log is left.
    common::crash(&path);
    clock.set(0);
    let store = options.open(&path).unwrap();
    let time = book.append(&store, &[("cart", 1)]).recorded_at().as_nanos();
    assert_eq!(time, latest + 1);
    assert_agrees(&store, &book.events);
}

/// A clock that panics when it is asked at this time of its life.
#[derive(Debug)]
struct PanickingClock {
    asked: AtomicI64,
    panics_at: i64,
}

impl Clock for PanickingClock {
    fn now(&self) -> Timestamp {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        assert!(asked != self.panics_at, "no time");
        Timestamp::from_nanos(asked)
    }
}

#[test]
fn a_clock_that_panics_costs_only_the_append_that_asked_it() {
    let (_place, path, mut book, _) = with_meta();
    let store = small().clock(PanickingClock { asked: AtomicI64::new(0), panics_at: 1 });
    let store = store.open(&path).unwrap();
    book.append(&store, &[("cart", 1)]);
    let append = || store.append("cart", Expected::Any, [event(), event()]);
    assert!(catch_unwind(AssertUnwindSafe(append)).is_err());
    assert_agrees(&store, &book.events);
    book.append(&store, &[("cart", 2), ("user", 1)]);
    assert_agrees(&store, &book.events);
    store.close().unwrap();
    assert_unharmed(&path, &book);
}

#[test]
fn a_store_that_is_dropped_by_a_panic_has_lost_nothing_and_is_not_locked() {
    let (_place, path, mut book, _) = with_meta();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let store = small().open(&path).unwrap();
        book.append(&store, &[("cart", 2)]);
        panic!("something else went wrong");
    }));
    assert!(panicked.is_err());
    assert!(!path.join("clean").exists(), "that was no clean close");
    assert_unharmed(&path, &book);
}

#[test]
fn places_beyond_the_end_are_no_error() {
    let (_place, path, book, _) = with_meta();
    let store = small().open(&path).unwrap();
    for place in [book.end(), book.end() + 1, 1 << 40, u64::MAX] {
        let (all, stream) = (store.read_all().from(place), store.read_stream("cart").from(place));
        assert_eq!((all.count(), stream.count()), (0, 0));
        assert_eq!(store.read_all().from(place).backwards().count(), 3);
        assert_eq!(store.read_stream("cart").from(place).backwards().count(), 2);
    }
    // A cursor that was put there waits for the events to come so far.
    let mut later = store.read_all().from(book.end() + 1);
    assert!(later.next().is_none());
    store.append("cart", Expected::Any, [event()]).unwrap();
    assert!(later.next().is_none());
    store.append("cart", Expected::Any, [event()]).unwrap();
    assert_eq!(later.next().unwrap().unwrap().position().get(), book.end() + 1);
}

/// Opens what is no store, with and without leave to create one, and fails unless all stays as it
/// was.
fn assert_not_a_store(path: &Path) {
    let before = if path.is_dir() { all_files(path) } else { BTreeMap::new() };
    for options in [small(), small().create(false)] {
        let error = options.open(path).map(drop);
        assert_error!(error, Error::NotAStore { path: named } if named == path);
    }
    let after = if path.is_dir() { all_files(path) } else { BTreeMap::new() };
    assert!(before == after);
}

#[test]
fn a_directory_that_is_something_else_is_left_alone() {
    for name in ["notes.txt", "LOCK.bak", "store.met", "clean", ".hidden"] {
        let place = place();
        fs::write(place.path().join(name), "mine").unwrap();
        assert_not_a_store(place.path());
        fs::create_dir(place.path().join("log")).unwrap();
        fs::write(place.path().join("log/app.log"), "mine").unwrap();
        assert_not_a_store(place.path());
        let names = fs::read_dir(place.path()).unwrap().count();
        assert_eq!(names, 2, "nothing was created");
    }
}

/// A program's own `log` folder is no log of ours.
#[test]
fn a_directory_with_a_log_folder_of_something_else_is_left_alone() {
    let place = place();
    fs::create_dir(place.path().join("log")).unwrap();
    fs::write(place.path().join("log/app.log"), "mine").unwrap();
    assert_not_a_store(place.path());
}

/// Its name cannot be told as text, but it is somebody's all the same.
#[test]
fn a_directory_with_a_file_whose_name_is_no_text_is_left_alone() {
    let place = place();
    let name = OsStr::from_bytes(b"notes-\xff");
    fs::write(place.path().join(name), "mine").unwrap();
    assert_not_a_store(place.path());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing was created");
}

#[test]
fn a_store_may_be_at_a_path_that_is_no_text_or_leads_there() {
    let place = place();
    let path = place.path().join(OsStr::from_bytes(b"store-\xff"));
    let mut book = Book::new(1);
    let store = small().open(&path).unwrap();
    book.append(&store, &[("cart", 2)]);
    store.close().unwrap();
    let link = place.path().join("link");
    symlink(&path, &link).unwrap();
    let store = small().open(&link).unwrap();
    assert_eq!(store.recovery().index, IndexRecovery::Current);
    book.append(&store, &[("cart", 2)]);
    assert_error!(small().open(&path), Error::Locked { path: named } if named == path);
    store.close().unwrap();
    assert_unharmed(&path, &book);
}

#[test]
fn a_link_that_leads_nowhere_is_refused() {
    let place = place();
    let (link, nowhere) = (place.path().join("link"), place.path().join("nowhere"));
    symlink(&nowhere, &link).unwrap();
    assert_error!(small().create(false).open(&link), Error::NotAStore { path } if path == link);
    let error = small().open(&link).map(drop).unwrap_err();
    assert!(matches!(error, Error::Io { .. } | Error::NotAStore { .. }), "{error:?}");
    assert!(!nowhere.exists());
}

#[test]
fn a_file_is_not_a_store() {
    let place = place();
    let path = place.path().join("file");
    for bytes in [&b""[..], b"annals\r\n", &[0; 64]] {
        fs::write(&path, bytes).unwrap();
        assert_not_a_store(&path);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_path_below_a_file_cannot_be_created() {
    let place = place();
    fs::write(place.path().join("file"), "mine").unwrap();
    let path = place.path().join("file/store");
    assert_error!(small().open(&path), Error::Io { operation: "create", .. });
    let opened = small().create(false).open(&path);
    assert_error!(opened, Error::NotAStore { path: named } if named == path);
}

#[test]
fn a_path_that_does_not_exist_is_created_with_its_parents() {
    let place = place();
    let path = place.path().join("a/b/store");
    assert_error!(small().create(false).open(&path), Error::NotAStore { path: named } if named == path);
    assert!(!place.path().join("a").exists(), "nothing was created");
    let store = small().open(&path).unwrap();
    assert!(store.recovery().created);
    assert_eq!((store.path(), store.end()), (&*path, Position::START));
    drop(store);
    assert!(!small().create(false).open(&path).unwrap().recovery().created);
    assert_unharmed(&path, &Book::new(1));
}

#[test]
fn an_empty_directory_becomes_a_store_if_one_may_be_created() {
    let place = place();
    let opened = small().create(false).open(place.path());
    assert_error!(opened, Error::NotAStore { path } if path == place.path());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    assert!(small().open(place.path()).unwrap().recovery().created);
}

/// Run in a process of its own, because it once did not come back.
#[test]
fn an_empty_path_is_refused() {
    if let Some(path) = in_child() {
        std::env::set_current_dir(path).unwrap();
        let refused = |options: Options| options.open("").map(drop).unwrap_err();
        let error = refused(small().create(false));
        assert!(matches!(error, Error::NotAStore { .. } | Error::Io { .. }), "{error:?}");
        let error = refused(small());
        assert!(matches!(error, Error::NotAStore { .. } | Error::Io { .. }), "{error:?}");
        return;
    }
    let place = place();
    let output = child("an_empty_path_is_refused", place.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

/// A closed store with some events, and its `store.meta`.
fn with_meta() -> (tempfile::TempDir, PathBuf, Book, Vec<u8>) {
    let place = place();
    let path = place.path().join("store");
    let store = small().open(&path).unwrap();
    let mut book = Book::new(5);
    book.append(&store, &[("cart", 2), ("user", 1)]);
    store.close().unwrap();
    let meta = fs::read(path.join("store.meta")).unwrap();
    (place, path, book, meta)
}

/// Opens a store with this `store.meta`, then once more with the right one: it must be unharmed.
fn with_bad_meta(bad: &[u8], check: impl Fn(Result<Store>, &Path)) {
    let (_place, path, book, meta) = with_meta();
    let file = path.join("store.meta");
    fs::write(&file, bad).unwrap();
    let before = files(&path);
    for options in [small(), small().create(false)] {
        check(options.open(&path), &file);
        assert!(files(&path) == before);
    }
    fs::write(&file, meta).unwrap();
    assert_unharmed(&path, &book);
}

#[test]
fn a_store_of_a_newer_format_is_refused_by_its_number() {
    let (_place, _, _, meta) = with_meta();
    for version in [2, 3, 256, u32::MAX] {
        let mut newer = meta.clone();
        newer[8..12].copy_from_slice(&u32::to_le_bytes(version));
        for len in [12, 40, 64, 100] {
            newer.resize(len, 9);
            with_bad_meta(&newer, |opened, file| {
                assert_error!(
                    opened,
                    Error::NewerFormat { path, found, supported: 1 }
                        if (&*path, found) == (file, version)
                );
            });
        }
    }
}

#[test]
fn a_damaged_store_meta_is_refused() {
    let (_place, _, _, meta) = with_meta();
    for offset in 0..meta.len() {
        let mut damaged = meta.clone();
        damaged[offset] ^= 1 << (offset % 8);
        with_bad_meta(&damaged, |opened, file| match offset {
            // What a newer format looks like is not known.
            8..12 => assert_error!(opened, Error::NewerFormat { .. } | Error::CorruptFile { .. }),
            _ => assert_error!(opened, Error::CorruptFile { path, .. } if path == file),
        });
    }
}

#[test]
fn a_store_meta_of_the_wrong_length_is_refused() {
    let (_place, _, _, meta) = with_meta();
    for len in (0..64).chain([65, 128, 10_000]) {
        let mut wrong = meta.clone();
        wrong.resize(len, 0);
        with_bad_meta(&wrong, |opened, file| {
            assert_error!(opened, Error::CorruptFile { path, .. } if path == file);
        });
    }
}

/// Fails unless the store at `path`, which is in use, can be opened only after `release`.
fn assert_locked_until(path: &Path, book: &Book, release: impl FnOnce()) {
    for options in [small(), small().create(false), Options::new()] {
        let opened = options.open(path);
        assert_error!(opened, Error::Locked { path: named } if named == path);
    }
    release();
    assert_unharmed(path, book);
}

#[test]
fn a_store_that_is_open_in_this_process_is_locked() {
    let (_place, path, mut book, _) = with_meta();
    let store = small().open(&path).unwrap();
    book.append(&store, &[("cart", 1)]);
    assert_locked_until(&path, &book, || drop(store));
}

#[test]
fn a_store_is_locked_until_its_last_handle_and_cursor_are_gone() {
    let (_place, path, book, _) = with_meta();
    let store = small().open(&path).unwrap();
    let (other, mut cursor) = (store.clone(), store.read_all());
    let is_locked = || matches!(small().open(&path), Err(Error::Locked { .. }));
    assert!(is_locked());
    drop(store);
    assert!(is_locked());
    drop(other);
    assert!(is_locked());
    assert_eq!(Seen::of(&cursor.next().unwrap().unwrap()), book.events[0]);
    drop(cursor);
    assert_unharmed(&path, &book);
}

/// A process that is being started holds a copy of every open file for a moment, the lock of a
/// store among them.
#[test]
fn a_closed_store_is_not_locked_though_processes_are_started() {
    let (_place, path, book, _) = with_meta();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                assert!(Command::new("true").status().unwrap().success());
            }
        });
        let opened: Vec<_> = (0..150).map(|_| small().open(&path).map(drop)).collect();
        is_done.store(true, Ordering::Relaxed);
        opened.into_iter().collect::<Result<Vec<_>>>().unwrap();
    });
    assert_unharmed(&path, &book);
}

#[test]
fn a_closed_store_is_not_locked_and_takes_and_gives_nothing() {
    let (_place, path, book, _) = with_meta();
    let store = small().open(&path).unwrap();
    let (mut begun, mut fresh, mut stream) =
        (store.read_all(), store.read_all().backwards(), store.read_stream("cart"));
    begun.next().unwrap().unwrap();
    store.close().unwrap();
    store.close().unwrap();
    assert_unharmed(&path, &book);
    assert_error!(store.append("cart", Expected::Any, [event()]), Error::Closed);
    assert_error!(begun.next().unwrap(), Error::Closed);
    assert_error!(fresh.next().unwrap(), Error::Closed);
    assert_error!(stream.next().unwrap(), Error::Closed);
    assert_error!(store.streams().next().unwrap(), Error::Closed);
    assert_error!(store.stream_end("cart"), Error::Closed);
    assert_error!(store.position_at(Timestamp::MIN), Error::Closed);
    assert_error!(store.sync(), Error::Closed);
    assert!(begun.next().is_none(), "an error ends a cursor");
    let mut after: Book = book.clone();
    let store = small().open(&path).unwrap();
    after.events = store.read_all().map(|event| Seen::of(&event.unwrap())).collect();
    assert_eq!(after.events[..3], book.events);
}

/// Of several who open a path at once where nothing is, one makes the store.
#[test]
fn a_store_that_several_create_at_once_is_created_once() {
    for _ in 0..20 {
        let place = place();
        let path = place.path().join("a/store");
        let open = || small().open(&path);
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (mine, others): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
        assert_eq!(mine.len(), 1, "{others:?}");
        for other in others {
            assert_error!(other, Error::Locked { path: named } if named == path);
        }
        let mut book = Book::new(1);
        let store = mine.into_iter().next().unwrap().unwrap();
        assert!(store.recovery().created);
        book.append(&store, &[("cart", 1)]);
        store.close().unwrap();
        assert_unharmed(&path, &book);
    }
}

/// Who is told that the store is closed can open it, also if another thread was closing it already.
#[test]
fn a_store_that_two_threads_close_is_closed_for_both() {
    for _ in 0..20 {
        let (_place, path, book, _) = with_meta();
        let store = small().open(&path).unwrap();
        store.append("cart", Expected::Any, [event()]).unwrap();
        let other = store.clone();
        std::thread::scope(|scope| {
            let closing = scope.spawn(move || other.close());
            store.close().unwrap();
            let reopened = small().open(&path).unwrap();
            assert_eq!(reopened.end().get(), book.end() + 1);
            closing.join().unwrap().unwrap();
        });
    }
}

#[test]
fn a_store_that_is_open_in_another_process_is_locked() {
    if let Some(path) = in_child() {
        let _store = small().open(path).unwrap();
        std::io::stdout().write_all(b"opened\n").unwrap();
        // Until the parent ends it.
        std::io::stdin().read_line(&mut String::new()).unwrap();
        std::process::abort();
    }
    let (_place, path, book, _) = with_meta();
    let mut other = child("a_store_that_is_open_in_another_process_is_locked", &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("opened")));
    assert_locked_until(&path, &book, || {
        other.kill().unwrap();
        other.wait().unwrap();
    });
}

#[test]
fn a_store_that_is_open_here_is_locked_for_another_process() {
    if let Some(path) = in_child() {
        assert_error!(small().open(&path), Error::Locked { path: named } if named == path);
        return;
    }
    let (_place, path, book, _) = with_meta();
    let store = small().open(&path).unwrap();
    let output =
        child("a_store_that_is_open_here_is_locked_for_another_process", &path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_agrees(&store, &book.events);
    drop(store);
    assert_unharmed(&path, &book);
}

/// Makes a directory with all that is in it one that cannot be written to, for as long as it lives.
struct ReadOnly<'a>(&'a Path);

impl<'a> ReadOnly<'a> {
    /// `None` if the system does not let us. Permissions do not bind root, but this flag does.
    fn make(path: &'a Path) -> Option<Self> {
        let read_only = Self(path);
        let flag = Command::new("chattr").args(["-R", "+i"]).arg(path).output();
        let is_set = flag.is_ok_and(|output| output.status.success());
        let probe = path.join("probe");
        if !is_set {
            read_only.set_mode("a-w");
        }
        match fs::write(&probe, "") {
            Ok(()) => {
                fs::remove_file(probe).unwrap();
                None
            }
            Err(_) => Some(read_only),
        }
    }

    fn set_mode(&self, mode: &str) {
        let _ = Command::new("chmod").args(["-R", mode]).arg(self.0).output();
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-R", "-i"]).arg(self.0).output();
        self.set_mode("u+w");
    }
}

#[test]
fn a_read_only_directory_is_refused() {
    // Not in memory: such a file system does not know the flag.
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let store = small().open(&path).unwrap();
    let mut book = Book::new(5);
    book.append(&store, &[("cart", 2), ("user", 1)]);
    store.close().unwrap();
    let Some(read_only) = ReadOnly::make(&path) else {
        std::io::stderr().write_all(b"left out: nothing is read-only here\n").unwrap();
        return;
    };
    let before = files(&path);
    for options in [small(), small().create(false)] {
        assert_error!(
            options.open(&path),
            Error::Io { operation: "lock", path: named, .. } if named == path.join("LOCK")
        );
    }
    assert!(files(&path) == before);
    let inside = path.join("log/new");
    assert_error!(
        small().open(&inside),
        Error::Io { operation: "create", path: named, .. } if named == inside
    );
    drop(read_only);
    assert_unharmed(&path, &book);
}

/// Appends one event and decodes it into what it is not.
fn assert_wrong_type(event: NewEvent, decode: impl Fn(&Event) -> Result<()>) {
    let expected = event.content_type();
    let payload = event.payload().to_owned();
    let place = place();
    let path = place.path().join("store");
    let store = small().open(&path).unwrap();
    store.append("cart", Expected::Any, [NewEvent::text("t", "before")]).unwrap();
    store.append("cart", Expected::Any, [event]).unwrap();
    let event = store.read_stream("cart").from(1).next().unwrap().unwrap();
    match decode(&event) {
        Err(error @ Error::Decode { position, content_type, .. }) => {
            assert_eq!((position, content_type), (Position::new(1), expected));
            assert!(std::error::Error::source(&error).is_some(), "the cause is kept");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(event.payload(), payload, "the bytes are there all the same");
    let mut book = Book::new(1);
    book.events = store.read_all().map(|event| Seen::of(&event.unwrap())).collect();
    drop((event, store));
    assert_unharmed(&path, &book);
}

#[test]
fn json_of_another_type_is_not_decoded() {
    let wrong = |event: &Event| event.decode::<u8>().map(drop);
    assert_wrong_type(NewEvent::json("t", "a text").unwrap(), wrong);
    assert_wrong_type(NewEvent::json("t", &300).unwrap(), wrong);
    assert_wrong_type(NewEvent::json("t", &[1, 2]).unwrap(), wrong);
    assert_wrong_type(NewEvent::new("t", ContentType::Json, "7 8"), wrong);
    assert_wrong_type(NewEvent::new("t", ContentType::Json, ""), wrong);
    assert_wrong_type(NewEvent::new("t", ContentType::Json, [0xff, 0xfe]), |event| {
        event.decode::<String>().map(drop)
    });
    let deep = "[".repeat(100_000);
    assert_wrong_type(NewEvent::new("t", ContentType::Json, deep[..3_000].to_owned()), |event| {
        event.decode::<serde_json::Value>().map(drop)
    });
}

#[test]
fn bincode_of_another_type_is_not_decoded() {
    assert_wrong_type(NewEvent::bincode("t", &7_u32).unwrap(), |e| e.decode::<u64>().map(drop));
    assert_wrong_type(NewEvent::bincode("t", &7_u32).unwrap(), |e| e.decode::<u16>().map(drop));
    assert_wrong_type(NewEvent::bincode("t", &7_u8).unwrap(), |e| e.decode::<bool>().map(drop));
    assert_wrong_type(NewEvent::bincode("t", &u64::MAX).unwrap(), |event| {
        event.decode::<String>().map(drop)
    });
    assert_wrong_type(NewEvent::bincode("t", &u64::MAX).unwrap(), |event| {
        event.decode::<Vec<u64>>().map(drop)
    });
    assert_wrong_type(NewEvent::new("t", ContentType::Bincode, []), |e| e.decode::<u8>().map(drop));
}

#[test]
fn what_annals_cannot_read_is_not_decoded() {
    assert_wrong_type(NewEvent::text("t", "7"), |event| event.decode::<u8>().map(drop));
    assert_wrong_type(NewEvent::text("t", "x"), |event| event.decode::<String>().map(drop));
    assert_wrong_type(NewEvent::bytes("t", [7]), |event| event.decode::<u8>().map(drop));
    for code in [4, 7, 128, 200, 255] {
        let event = NewEvent::new("t", ContentType::from_code(code), [7]);
        assert_wrong_type(event, |event| event.decode::<u8>().map(drop));
    }
}

#[test]
fn what_has_no_form_in_an_encoding_is_not_encoded() {
    let map: BTreeMap<Vec<u8>, u8> = BTreeMap::from([(vec![1], 1)]);
    assert_error!(NewEvent::json("t", &map), Error::Encode { content_type: ContentType::Json, .. });
    assert!(NewEvent::bincode("t", &map).is_ok());
}

#[test]
fn options_out_of_range_are_refused_before_anything_is_created() {
    let place = place();
    let path = place.path().join("store");
    for (options, name) in [
        (small().segment_len_max(4_095), "segment_len_max"),
        (small().segment_len_max((1 << 40) + 1), "segment_len_max"),
        (small().payload_len_max((1 << 30) + 1), "payload_len_max"),
        (small().checkpoint_event_count(0), "checkpoint_event_count"),
    ] {
        let opened = options.open(&path);
        assert_error!(opened, Error::InvalidOption { option, .. } if option == name);
        assert!(!path.exists());
    }
}

#[test]
fn a_content_type_that_is_kept_for_later_is_refused() {
    for code in [8, 127] {
        let event = NewEvent::new("t", ContentType::from_code(code), "x");
        match append("s", event) {
            Err(Error::ReservedContentType { code: refused }) => assert_eq!(refused, code),
            other => panic!("{other:?}"),
        }
    }
    let place = place();
    let store = small().open(place.path()).unwrap();
    let own = NewEvent::new("t", ContentType::from_code(128), "x");
    store.append("s", Expected::Any, [own]).unwrap();
}
