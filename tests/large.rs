//! More than fits into one page, one block, one cache of anything.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use annals::{
    Batch, Durability, Error, Event, Expected, IndexRecovery, NewEvent, Options, Position, Result,
    Revision, Store, Timestamp,
};
use common::{assert_error, count, place, segments};

/// Events of each stream in the large store: far more than one page of a cursor, one, and some.
fn streams() -> BTreeMap<String, u64> {
    let mut streams: BTreeMap<_, _> = (0..700).map(|n| (format!("few-{n:03}"), 2)).collect();
    streams.insert("many".to_owned(), 2_600);
    streams.insert("some".to_owned(), 256);
    streams.insert("z".to_owned(), 257);
    streams
}

fn options() -> Options {
    Options::new().segment_len_max(8 << 10).durability(Durability::Buffered)
}

/// The recorded time of a batch that begins at `position`.
fn time_of(position: u64) -> Timestamp {
    Timestamp::from_nanos(1_000 + 10 * i64::try_from(position).unwrap())
}

/// A store of which every event says its place: position, stream, revision.
fn fill(path: &Path, options: &Options) -> Store {
    let store = options.open(path).unwrap();
    let mut left = streams();
    let mut ends = BTreeMap::<String, u64>::new();
    let mut position = 0;
    for round in 0.. {
        let mut batch = Batch::new().recorded_at(time_of(position));
        let share = left.len().div_ceil(15);
        for stream in left.keys().skip(round % share).step_by(share) {
            let end = ends.entry(stream.clone()).or_default();
            let event = NewEvent::text("t", format!("{position} {stream} {end}"));
            batch = batch.append(&**stream, Expected::Exact(*end), [event]);
            (position, *end) = (position + 1, *end + 1);
        }
        store.append_batch(&batch).unwrap();
        left.retain(|stream, count| ends.get(stream).is_none_or(|end| end < count));
        if left.is_empty() {
            break;
        }
    }
    store
}

/// Fails unless an event is the one that it says.
fn assert_is(event: &Event, position: u64) {
    let text = format!("{position} {} {}", event.stream(), event.revision());
    assert_eq!((event.position().get(), event.payload()), (position, text.as_bytes()));
}

fn end() -> u64 {
    streams().values().sum()
}

/// Fails unless all reads give all that [`fill`] has appended.
fn assert_full(store: &Store) {
    assert_eq!(store.end().get(), end());
    let mut forwards = 0..end();
    for event in store.read_all() {
        assert_is(&event.unwrap(), forwards.next().unwrap());
    }
    assert!(forwards.is_empty());
    let mut backwards = (0..end()).rev();
    for event in store.read_all().backwards() {
        assert_is(&event.unwrap(), backwards.next().unwrap());
    }
    assert_eq!(backwards.next(), None);
    for (stream, count) in streams().iter().filter(|(name, _)| !name.contains('7')) {
        assert_stream(store, stream, *count);
    }
    let listed: BTreeMap<_, _> = store
        .streams()
        .map(|info| info.map(|info| (info.name().to_owned(), info.end().get())).unwrap())
        .collect();
    assert_eq!(listed, streams());
    assert_eq!(store.streams().prefix("few-1").count(), 100);
    assert_times(store);
}

fn assert_stream(store: &Store, stream: &str, count: u64) {
    let revision = |event: Result<Event>| {
        let event = event.unwrap();
        assert_eq!(event.stream(), stream);
        assert_is(&event, event.position().get());
        event.revision().get()
    };
    assert!(store.read_stream(stream).map(revision).eq(0..count), "{stream}");
    assert!(store.read_stream(stream).backwards().map(revision).eq((0..count).rev()), "{stream}");
    for from in [1, count / 2, count - 1] {
        assert!(store.read_stream(stream).from(from).map(revision).eq(from..count), "{stream}");
        let before = store.read_stream(stream).from(from).backwards();
        assert!(before.map(revision).eq((0..from).rev()), "{stream}");
    }
    assert_eq!(store.stream_end(stream).unwrap(), Revision::new(count));
}

fn assert_times(store: &Store) {
    for at in (0..end()).step_by(500).chain([end() - 1]) {
        let event = store.read_all().from(at).next().unwrap().unwrap();
        assert_is(&event, at);
        let first = store.position_at(event.recorded_at()).unwrap();
        let time = time_of(first.get());
        assert_eq!(event.recorded_at(), time, "that of the first event of its batch");
        assert!(first.get() <= at);
        let since = store.read_all().recorded(time..).next().unwrap().unwrap();
        assert_eq!(since.position(), first);
        let until = store.read_all().recorded(..time).backwards().next();
        assert_eq!(
            until.map(|event| event.unwrap().position().next()),
            first.previous().map(Position::next)
        );
        let late = store.read_stream("many").recorded(time..).next();
        assert!(late.is_none_or(|event| event.unwrap().recorded_at() >= time));
    }
    assert_eq!(store.position_at(Timestamp::MIN).unwrap(), Position::START);
    assert_eq!(store.position_at(Timestamp::MAX).unwrap().get(), end());
}

#[test]
fn a_large_store_reads_the_same_from_memory_from_the_index_and_after_it_was_built_anew() {
    let place = place();
    let path = place.path().join("store");
    let store = fill(&path, &options());
    assert!(segments(&path).len() > 40, "more than are kept open");
    assert_full(&store);
    store.close().unwrap();
    let store = options().open(&path).unwrap();
    assert_eq!(store.recovery().index, IndexRecovery::Current);
    assert_full(&store);
    store.close().unwrap();
    common::crash(&path);
    let store = options().checkpoint_event_count(500).open(&path).unwrap();
    assert!(matches!(store.recovery().index, IndexRecovery::Rebuilt { .. }));
    assert_full(&store);
}

#[test]
fn a_large_store_with_many_checkpoints_reads_the_same() {
    let place = place();
    let store = fill(place.path(), &options().checkpoint_event_count(97));
    assert_full(&store);
}

/// A directory in which nothing can be created, nor it be moved, as long as this lives.
struct Fixed<'a>(&'a Path);

impl<'a> Fixed<'a> {
    /// `None` if the system does not let us.
    fn new(path: &'a Path) -> Option<Self> {
        let flag = Command::new("chattr").arg("+i").arg(path).output();
        let fixed = Self(path);
        flag.is_ok_and(|output| output.status.success()).then_some(fixed)
    }
}

impl Drop for Fixed<'_> {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").arg(self.0).output();
    }
}

#[test]
fn without_any_index_everything_is_found_by_reading_the_log() {
    // Not in memory: such a file system does not know the flag.
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    fill(&path, &options().segment_len_max(128 << 10)).close().unwrap();
    fs::remove_dir_all(path.join("index")).unwrap();
    let index = path.join("index");
    fs::create_dir(&index).unwrap();
    let Some(_fixed) = Fixed::new(&index) else {
        std::io::Write::write_all(&mut std::io::stderr(), b"left out: chattr is needed\n").unwrap();
        return;
    };
    let store = options().open(&path).unwrap();
    let IndexRecovery::Unavailable { .. } = store.recovery().index else {
        panic!("{:?}", store.recovery());
    };
    assert_eq!(store.end().get(), end());
    assert_stream(&store, "many", 2_600);
    assert_stream(&store, "z", 257);
    assert_stream(&store, "few-350", 2);
    assert_eq!(store.streams().count(), 703);
    assert_eq!(store.stream_end("none").unwrap(), Revision::START);
    assert_times(&store);
    let append = |expected| store.append("z", expected, [NewEvent::text("t", "x")]);
    assert_error!(append(Expected::Exact(256)), Error::Conflict { actual, .. } if actual.get() == 257);
    assert_eq!(append(Expected::Exact(257)).unwrap().revisions().end.get(), 258);
    assert_eq!(append(Expected::Exact(258)).unwrap().first().get(), end() + 1);
    store.close().unwrap();
}

/// Longer than a block, and than what is read for one event.
#[test]
fn events_of_all_sizes_read_the_same_in_every_way() {
    let place = place();
    let store = Options::new().durability(Durability::Buffered).open(place.path()).unwrap();
    let lens = [0, 1, 4_000, 4_096, 5_000, 200_000, 262_144, 300_000, 1_000_000, 3, 2_000_000, 7];
    for (n, len) in lens.into_iter().enumerate() {
        let stream = ["a", "b"][n % 2];
        let event = NewEvent::bytes("t", vec![u8::try_from(n).unwrap(); len]);
        store.append(stream, Expected::Any, [event]).unwrap();
    }
    let check = |store: &Store| {
        let is_right = |event: Result<Event>| {
            let event = event.unwrap();
            let n = usize::try_from(event.position().get()).unwrap();
            assert_eq!(event.payload().len(), lens[n]);
            assert!(event.payload().iter().all(|byte| usize::from(*byte) == n));
        };
        assert_eq!(store.read_all().map(is_right).count(), lens.len());
        assert_eq!(store.read_all().backwards().map(is_right).count(), lens.len());
        assert_eq!(store.read_stream("a").map(is_right).count(), lens.len() / 2);
        assert_eq!(store.read_stream("b").backwards().map(is_right).count(), lens.len() / 2);
        (0..count(&lens)).for_each(|n| is_right(store.read_all().from(n).next().unwrap()));
    };
    check(&store);
    store.close().unwrap();
    common::crash(place.path());
    check(&Options::new().open(place.path()).unwrap());
}

/// Events keep what they were read from: they stay as they are whatever becomes of the store.
#[test]
fn events_outlive_their_cursor_and_their_store() {
    let place = place();
    let store = fill(place.path(), &options());
    let events: Vec<_> = store.read_all().map(Result::unwrap).collect();
    let single: Vec<_> = store.read_stream("z").map(Result::unwrap).collect();
    store.close().unwrap();
    drop(store);
    fs::remove_dir_all(place.path().join("log")).unwrap();
    for event in events.iter().chain(&single) {
        assert_is(event, event.position().get());
    }
    let moved = std::thread::spawn(move || events[9].clone()).join().unwrap();
    assert_is(&moved, 9);
}
