//! What applications rely on when they use a store: what may be sent where, how a cursor goes on,
//! what is told while an index is built.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use annals::{
    Clock, ContentType, Cursor, Error, Event, Expected, IndexRecovery, NewEvent, Options, Position,
    Store, StreamCursor, Streams, SystemClock, Timestamp,
};
use serde::{Deserialize, Serialize};

fn event(payload: &str) -> NewEvent {
    NewEvent::text("t", payload)
}

fn payloads(cursor: &mut Cursor) -> Vec<String> {
    cursor.map(|event| String::from_utf8(event.unwrap().payload().to_vec()).unwrap()).collect()
}

#[test]
fn stores_cursors_and_events_may_be_sent_to_other_threads() {
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    fn is_sent<T: Send + 'static>() {}
    is_shared::<Store>();
    is_shared::<Event>();
    is_shared::<Options>();
    is_shared::<NewEvent>();
    is_sent::<Cursor>();
    is_sent::<StreamCursor>();
    is_sent::<Streams>();
    is_sent::<Error>();
}

#[test]
fn a_cursor_that_has_ended_goes_on_with_what_was_appended_since() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    let mut cursor = store.read_all();
    let mut of_stream = store.read_stream("b");
    assert!(cursor.next().is_none() && of_stream.next().is_none());
    store.append("a", Expected::NoStream, [event("1")]).unwrap();
    store.append("b", Expected::NoStream, [event("2")]).unwrap();
    assert_eq!(payloads(&mut cursor), ["1", "2"]);
    assert_eq!(of_stream.next().unwrap().unwrap().payload(), b"2");
    assert_eq!(cursor.next_position(), Position::new(2));
    store.append("b", Expected::Exists, [event("3")]).unwrap();
    assert_eq!(payloads(&mut cursor), ["3"]);
    assert_eq!(of_stream.next_revision().get(), 1);
    assert_eq!(of_stream.next().unwrap().unwrap().payload(), b"3");
}

#[test]
fn a_cursor_resumes_from_a_plain_number_after_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    store.append("a", Expected::Any, ["1", "2", "3"].map(event)).unwrap();
    let mut cursor = store.read_all();
    assert_eq!(cursor.next().unwrap().unwrap().payload(), b"1");
    let kept: u64 = cursor.next_position().get();
    drop((cursor, store));
    let store = Store::open(place.path()).unwrap();
    assert_eq!(payloads(&mut store.read_all().from(kept)), ["2", "3"]);
    assert_eq!(payloads(&mut store.read_all().from(kept).backwards()), ["1"]);
}

#[test]
fn a_cursor_keeps_its_store_open() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    store.append("a", Expected::Any, [event("1")]).unwrap();
    let mut cursor = store.read_all();
    drop(store);
    let read = thread::spawn(move || payloads(&mut cursor)).join().unwrap();
    assert_eq!(read, ["1"]);
    assert!(Store::open(place.path()).unwrap().recovery().was_closed);
}

#[test]
fn the_end_that_a_receipt_tells_is_what_the_next_append_expects() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    let mut expected = Expected::NoStream;
    for n in 0..5 {
        let receipt = store.append("a", expected, [event("x"), event("y")]).unwrap();
        assert_eq!((receipt.first().get(), receipt.end().get()), (2 * n, 2 * n + 2));
        expected = receipt.revisions().end.into();
    }
    assert_eq!(Expected::from(store.stream_end("a").unwrap()), expected);
}

#[test]
fn typed_payloads_come_back_as_they_went_in() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Item {
        name: String,
        cents: u64,
    }
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    let item = || Item { name: "茶壶".to_owned(), cents: u64::MAX };
    let events =
        [NewEvent::json("item", &item()).unwrap(), NewEvent::bincode("item", &item()).unwrap()];
    store.append("cart", Expected::NoStream, events).unwrap();
    let types = [ContentType::Json, ContentType::Bincode];
    for (event, content_type) in store.read_all().zip(types) {
        let event = event.unwrap();
        assert_eq!(event.content_type(), content_type);
        assert_eq!(event.decode::<Item>().unwrap(), item());
    }
}

#[test]
fn progress_is_told_while_an_index_is_built() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    for _ in 0..10 {
        store.append("a", Expected::Any, (0..1_000).map(|_| event("x"))).unwrap();
    }
    store.close().unwrap();
    fs::remove_dir_all(place.path().join("index")).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    let options = Options::new()
        .on_index_progress(move |done, total| teller.lock().unwrap().push((done, total)));
    let store = options.open(place.path()).unwrap();
    match &store.recovery().index {
        IndexRecovery::Rebuilt { event_count: 10_000, .. } => {}
        other => panic!("{other:?}"),
    }
    let told = told.lock().unwrap();
    assert!(told.len() > 1 && told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&(10_000, 10_000)));
}

/// A clock that panics when it is told to.
#[derive(Clone, Debug, Default)]
struct Panicking(Arc<AtomicBool>);

impl Clock for Panicking {
    fn now(&self) -> Timestamp {
        assert!(!self.0.load(Ordering::Relaxed), "the clock is broken");
        SystemClock.now()
    }
}

#[test]
fn a_caller_that_panics_while_it_appends_harms_no_other() {
    let place = tempfile::tempdir().unwrap();
    let clock = Panicking::default();
    let store = Options::new().clock(clock.clone()).open(place.path()).unwrap();
    store.append("a", Expected::NoStream, [event("1")]).unwrap();
    clock.0.store(true, Ordering::Relaxed);
    let append = || store.append("a", Expected::Exact(1), [event("2")]);
    assert!(catch_unwind(AssertUnwindSafe(append)).is_err());
    clock.0.store(false, Ordering::Relaxed);
    let count = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                store.append("a", Expected::Exists, [event("3")]).unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(count.into_inner(), 4);
    assert_eq!(store.stream_end("a").unwrap().get(), 5);
    assert_eq!(payloads(&mut store.read_all()), ["1", "3", "3", "3", "3"]);
}

/// sled creates its files for everyone to read, in a folder that only their owner can enter.
#[cfg(unix)]
#[test]
fn nobody_but_its_owner_can_read_a_store() {
    use std::os::unix::fs::PermissionsExt;

    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("stores/mine");
    for _ in 0..2 {
        let store = Options::new().checkpoint_event_count(1).open(&path).unwrap();
        store.append("s", Expected::Any, [event("x"), event("y")]).unwrap();
        store.close().unwrap();
        fs::remove_dir_all(path.join("index")).unwrap();
        Store::open(&path).unwrap().close().unwrap();
    }
    let mut seen = 0;
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let wanted = if entry.file_type().unwrap().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{:?} has {mode:o}", entry.file_name());
        seen += 1;
    }
    assert!(seen >= 4);
}
