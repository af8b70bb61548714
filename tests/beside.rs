//! Opening the index beside whoever reads the log already.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use annals::{
    Batch, Durability, Error, Expected, IndexRecovery, IndexTrouble, NewEvent, Options, Position,
    Store,
};

/// A store of ten events without an index.
fn without_index(place: &Path) -> PathBuf {
    let path = place.join("store");
    let store = Store::open(&path).unwrap();
    for n in 0..10_u8 {
        store.append("s", Expected::Exact(n.into()), [NewEvent::bytes("t", [n])]).unwrap();
    }
    store.close().unwrap();
    fs::remove_dir_all(path.join("index")).unwrap();
    path
}

/// Opens a store whose index is not open before something is sent.
fn open_held(path: &Path) -> (Store, Sender<()>) {
    let (go_on, held) = channel();
    let held: Mutex<Receiver<()>> = Mutex::new(held);
    let wait = move |_, _| _ = held.lock().unwrap().recv();
    (Options::new().on_index_progress(wait).open(path).unwrap(), go_on)
}

#[test]
fn a_store_whose_index_hangs_is_read_at_once() {
    let place = tempfile::tempdir().unwrap();
    let path = without_index(place.path());
    let (store, go_on) = open_held(&path);
    assert_eq!(store.end().get(), 10);
    let events: Vec<_> = store.read_all().map(Result::unwrap).collect();
    assert_eq!(events.len(), 10);
    assert_eq!(store.read_all().from(Position::new(7)).count(), 3);
    assert_eq!(store.read_all().backwards().count(), 10);
    let at = store.position_at(events.get(4).unwrap().recorded_at()).unwrap();
    assert_eq!(at.get(), 4);
    go_on.send(()).unwrap();
    assert_eq!(store.stream_end("s").unwrap().get(), 10);
    let index = &store.recovery().index;
    assert_eq!(*index, IndexRecovery::Rebuilt { event_count: 10, reason: IndexTrouble::Missing });
}

#[test]
fn what_needs_the_index_waits_for_it() {
    type Use = fn(&Store) -> u64;
    let uses: [Use; 4] = [
        |store| {
            let appended = store.append("s", Expected::Exact(10), [NewEvent::bytes("t", [10])]);
            appended.unwrap().first().get()
        },
        |store| store.stream_end("s").unwrap().get(),
        |store| u64::try_from(store.read_stream("s").map(Result::unwrap).count()).unwrap(),
        |store| store.streams().next().unwrap().unwrap().end().get(),
    ];
    for use_it in uses {
        let place = tempfile::tempdir().unwrap();
        let path = without_index(place.path());
        let (store, go_on) = open_held(&path);
        let (done, is_done) = channel();
        let handle = store.clone();
        let waiting = thread::spawn(move || done.send(use_it(&handle)).unwrap());
        assert_eq!(store.read_all().count(), 10);
        assert!(is_done.try_recv().is_err());
        go_on.send(()).unwrap();
        assert_eq!(is_done.recv().unwrap(), 10);
        waiting.join().unwrap();
    }
}

#[test]
fn closing_a_store_waits_for_whoever_opens_its_index() {
    let close: fn(Store) = |store| store.close().unwrap();
    for end in [close, drop::<Store>] {
        let place = tempfile::tempdir().unwrap();
        let path = without_index(place.path());
        let (store, go_on) = open_held(&path);
        let waiting = thread::spawn(move || end(store));
        assert!(matches!(Store::open(&path), Err(Error::Locked { .. })));
        go_on.send(()).unwrap();
        waiting.join().unwrap();
        let store = Store::open(&path).unwrap();
        assert_eq!(store.recovery().index, IndexRecovery::Current);
    }
}

#[test]
fn an_append_that_waits_for_the_index_of_a_store_that_is_closed_is_told() {
    let place = tempfile::tempdir().unwrap();
    let path = without_index(place.path());
    let (store, go_on) = open_held(&path);
    let closer = store.clone();
    let closing = thread::spawn(move || closer.close().unwrap());
    while !matches!(store.read_all().next(), Some(Err(Error::Closed))) {
        thread::yield_now();
    }
    let appending = thread::spawn(move || {
        store.append("s", Expected::Any, [NewEvent::bytes("t", [])]).map(|_| ())
    });
    go_on.send(()).unwrap();
    closing.join().unwrap();
    // It was before the close or after it.
    let appended = appending.join().unwrap();
    assert!(matches!(appended, Ok(()) | Err(Error::Closed)), "{appended:?}");
}

#[test]
fn an_index_whose_opening_panics_is_as_good_as_none() {
    let place = tempfile::tempdir().unwrap();
    let path = without_index(place.path());
    let options = Options::new().on_index_progress(|_, _| panic!("whoever watches panics"));
    let store = options.open(&path).unwrap();
    assert!(matches!(store.recovery().index, IndexRecovery::Unavailable { .. }));
    assert_eq!(store.read_stream("s").map(Result::unwrap).count(), 10);
    store.append("s", Expected::Exact(10), [NewEvent::bytes("t", [10])]).unwrap();
    store.close().unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.stream_end("s").unwrap().get(), 11);
}

/// A store of so many events that its index is built by several threads, without that index.
fn large_without_index(place: &Path) -> PathBuf {
    let path = place.join("large");
    let store = Options::new().durability(Durability::Buffered).open(&path).unwrap();
    for n in 0..400_u32 {
        let mut batch = Batch::new();
        for k in 0..100_u32 {
            let stream = format!("stream-{}", (n * 100 + k) % 7_777);
            batch = batch.append(stream.as_str(), Expected::Any, [NewEvent::bytes("t", [])]);
        }
        store.append_batch(batch).unwrap();
    }
    store.close().unwrap();
    fs::remove_dir_all(path.join("index")).unwrap();
    path
}

#[test]
fn an_index_that_several_threads_build_lacks_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = large_without_index(place.path());
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let options = Options::new().checkpoint_event_count(2_000);
    let listen = move |done, total| listener.lock().unwrap().push((done, total));
    let store = options.on_index_progress(listen).open(&path).unwrap();
    let index = store.recovery().index.clone();
    let reason = IndexTrouble::Missing;
    assert_eq!(index, IndexRecovery::Rebuilt { event_count: 40_000, reason });
    assert!(store.verify().unwrap().is_sound());
    let told = told.lock().unwrap().clone();
    assert!(told.is_sorted() && told.len() > 3);
    assert_eq!(told.last(), Some(&(40_000, 40_000)));
    store.close().unwrap();
    assert_eq!(Store::open(&path).unwrap().recovery().index, IndexRecovery::Current);
}

#[test]
fn whoever_watches_several_threads_and_panics_leaves_nobody_waiting() {
    let place = tempfile::tempdir().unwrap();
    let path = large_without_index(place.path());
    let options = Options::new().on_index_progress(|done, _| assert!(done < 9_000));
    let store = options.open(&path).unwrap();
    assert!(matches!(store.recovery().index, IndexRecovery::Unavailable { .. }));
    assert_eq!(store.stream_end("stream-7").unwrap().get(), 6);
    store.close().unwrap();
    assert!(Store::open(&path).unwrap().verify().unwrap().is_sound());
}
