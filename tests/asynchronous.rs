//! Asynchronous code: following, appending, and futures that are dropped at any point.
#![cfg(feature = "async")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use annals::simulation::{Call, Fault, Simulation};
use annals::{
    Batch, Clock, Durability, Error, Event, Expected, Followed, NewEvent, Options, Position,
    Result, Store, Timestamp,
};
use common::{assert_error, place};
use futures_core::Stream;

/// Wakes a thread, and counts how often.
struct Waking {
    thread: Thread,
    count: AtomicUsize,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn waking() -> Arc<Waking> {
    Arc::new(Waking { thread: thread::current(), count: AtomicUsize::new(0) })
}

/// The smallest runtime: polls, and sleeps until it is woken.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(waking());
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// The next item of a stream.
fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    block_on(std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)))
}

/// What a stream gives without waiting; if it waits, it will wake `waker`.
fn poll<S: Stream + Unpin>(stream: &mut S, waker: &Waker) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(waker))
}

fn batch(n: u64) -> Batch {
    let events = [0, 1].map(|part| NewEvent::text("t", format!("{n}.{part}")));
    Batch::new().append("s", Expected::Any, events)
}

fn event_of(item: Option<Result<Followed>>) -> Event {
    item.unwrap().unwrap().event().unwrap()
}

fn is_caught_up(item: Option<Result<Followed>>) -> bool {
    item.is_some_and(|item| matches!(item, Ok(Followed::CaughtUp)))
}

#[test]
fn a_stream_gives_what_is_there_says_so_and_goes_on() {
    let dir = place();
    let store = Store::open(dir.path().join("store")).unwrap();
    store.append_batch(batch(0)).unwrap();
    let mut stream = store.read_all().follow().into_async();
    for n in 0..2 {
        assert_eq!(event_of(next(&mut stream)).position(), Position::new(n));
    }
    assert!(is_caught_up(next(&mut stream)));
    let other = store.clone();
    let appending = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        other.append_batch(batch(1)).unwrap();
    });
    assert_eq!(event_of(next(&mut stream)).position(), Position::new(2));
    appending.join().unwrap();
    assert_eq!(stream.get_ref().next_position(), Position::new(3));
}

#[test]
fn a_stream_ends_with_its_store_and_wakes_who_waits() {
    let dir = place();
    let store = Store::open(dir.path().join("store")).unwrap();
    let mut stream = store.read_stream("s").follow().into_async();
    assert!(is_caught_up(next(&mut stream)));
    let other = store.clone();
    let closing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        other.close().unwrap();
    });
    assert!(next(&mut stream).is_none());
    closing.join().unwrap();
}

#[test]
fn a_task_is_woken_once_for_what_it_waits_for_and_not_when_it_is_gone() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    let (waiting, gone) = (waking(), waking());
    let mut stream = store.read_all().follow().into_async();
    let mut dropped = store.read_all().follow().into_async();
    for (stream, waker) in [(&mut stream, &waiting), (&mut dropped, &gone)] {
        let waker = Waker::from(Arc::clone(waker));
        assert!(poll(stream, &waker).map(is_caught_up) == Poll::Ready(true));
        // As often as it is polled, it waits once.
        assert!((0..3).all(|_| poll(stream, &waker).is_pending()));
    }
    drop(dropped);
    store.append_batch(batch(0)).unwrap();
    store.append_batch(batch(1)).unwrap();
    let count = |waking: &Arc<Waking>| waking.count.load(Ordering::SeqCst);
    assert_eq!((count(&waiting), count(&gone)), (1, 0));
    assert_eq!(Arc::strong_count(&gone), 1, "nothing of it is left");
}

#[test]
fn a_stream_that_is_dropped_anywhere_loses_nothing() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    (0..5).for_each(|n| _ = store.append_batch(batch(n)).unwrap());
    for given in 0..10 {
        let mut stream = store.consumer("c").open().unwrap().follow().into_async();
        let event = event_of(next(&mut stream));
        assert_eq!(event.position(), Position::new(given));
        stream.get_mut().commit(event.position().next()).unwrap();
        // Some are given more, which they do not commit.
        (0..given % 3).for_each(|_| _ = next(&mut stream));
    }
}

#[test]
fn a_stream_of_another_process_s_store_waits_without_being_told() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    let reader = disk.open_read_only(&Options::new()).unwrap();
    let mut stream = reader.read_all().follow().into_async();
    assert!(is_caught_up(next(&mut stream)));
    let appending = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        store.append_batch(batch(0)).unwrap();
        store.append_batch(batch(1)).unwrap();
        store
    });
    assert_eq!(event_of(next(&mut stream)).position(), Position::START);
    drop(appending.join().unwrap());
}

#[test]
fn an_append_is_awaited_and_appends_share_syncs() {
    let dir = place();
    let path = dir.path().join("store");
    let store = Store::open(&path).unwrap();
    let appending: Vec<_> = (0..500).map(|n| store.append_async(batch(n))).collect();
    for (n, appending) in (0..).zip(appending) {
        let receipt = block_on(appending).unwrap();
        assert_eq!(receipt.first(), Position::new(2 * n), "in the order of the calls");
    }
    let conflict = Batch::new().append("s", Expected::NoStream, [NewEvent::text("t", "")]);
    assert_error!(block_on(store.append_async(conflict)), Error::Conflict { .. });
    assert_error!(block_on(store.append_async(Batch::new())), Error::EmptyBatch);
    // Whoever was told may open it again at once.
    drop(store);
    for n in 500..520 {
        let store = Store::open(&path).unwrap();
        let receipt = block_on(store.append_async(batch(n))).unwrap();
        assert_eq!(receipt.end(), store.end());
        drop(store);
    }
}

/// The future of each append is dropped before it was polled, or after it was polled some times. What
/// the caller was told is that the batch was handed over.
#[test]
fn an_append_whose_future_is_dropped_at_any_point_is_appended_all_the_same() {
    let dir = place();
    let path = dir.path().join("store");
    let store = Store::open(&path).unwrap();
    let waker = Waker::from(waking());
    let mut told = 0;
    for n in 0..200 {
        let mut appending = store.append_async(batch(n));
        for _ in 0..n % 5 {
            if Pin::new(&mut appending).poll(&mut Context::from_waker(&waker)).is_ready() {
                told += 1;
                break;
            }
            if n % 7 == 0 {
                thread::sleep(Duration::from_micros(200));
            }
        }
        drop(appending);
    }
    // Also if every handle is dropped: what was handed over keeps the store open.
    drop(store);
    let store = loop {
        match Store::open(&path) {
            Err(Error::Locked { .. }) => thread::sleep(Duration::from_millis(1)),
            opened => break opened.unwrap(),
        }
    };
    let texts: Vec<_> = store.read_all().map(|event| event.unwrap().payload().to_vec()).collect();
    let expected = (0..200).flat_map(|n| [0, 1].map(|part| format!("{n}.{part}").into_bytes()));
    assert!(texts.into_iter().eq(expected));
    assert!(told > 0, "some were awaited to the end");
}

#[test]
fn what_could_not_be_appended_is_told_and_is_not_there() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    block_on(store.append_async(batch(0))).unwrap();
    disk.inject(Fault::next(Call::Write, std::io::ErrorKind::StorageFull));
    assert_error!(block_on(store.append_async(batch(1))), Error::Io { .. });
    block_on(store.append_async(batch(2))).unwrap();
    disk.inject(Fault::next(Call::Sync, std::io::ErrorKind::Other));
    assert_error!(block_on(store.append_async(batch(3))), Error::OutcomeUnknown { .. });
    assert_error!(block_on(store.append_async(batch(4))), Error::Poisoned);
    assert_eq!(store.end(), Position::new(4));
    store.close().unwrap();
    assert_error!(block_on(store.append_async(batch(5))), Error::Closed);
}

/// A clock that panics when its time has come.
#[derive(Debug)]
struct Breaking(AtomicUsize);

impl Clock for Breaking {
    fn now(&self) -> Timestamp {
        assert!(self.0.fetch_add(1, Ordering::SeqCst) != 3, "the clock is broken");
        Timestamp::from_nanos(7)
    }
}

#[test]
fn a_clock_that_panics_costs_only_the_future_that_asked_it() {
    let dir = place();
    let options = Options::new().clock(Breaking(AtomicUsize::new(0)));
    let store = options.open(dir.path().join("store")).unwrap();
    let mut panics = 0;
    for n in 0..5 {
        let appended = catch_unwind(AssertUnwindSafe(|| block_on(store.append_async(batch(n)))));
        match appended {
            Ok(appended) => _ = appended.unwrap(),
            Err(_) => panics += 1,
        }
    }
    assert_eq!((panics, store.end()), (1, Position::new(8)));
}

/// Panics when it is woken, as some do whose runtime is gone.
struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        panic!("the runtime is gone")
    }
}

#[test]
fn a_waker_that_panics_harms_neither_those_who_append_nor_other_tasks() {
    let dir = place();
    let store = Store::open(dir.path().join("store")).unwrap();
    let (broken, waiting) = (Waker::from(Arc::new(Broken)), waking());
    let mut streams = [store.read_all(), store.read_all()].map(|all| all.follow().into_async());
    for (stream, waker) in streams.iter_mut().zip([&broken, &Waker::from(Arc::clone(&waiting))]) {
        assert!(poll(stream, waker).map(is_caught_up) == Poll::Ready(true));
        assert!(poll(stream, waker).is_pending());
    }
    store.append_batch(batch(0)).unwrap();
    assert_eq!(waiting.count.load(Ordering::SeqCst), 1);
    for n in 1..20 {
        let mut appending = store.append_async(batch(n));
        let _ = Pin::new(&mut appending).poll(&mut Context::from_waker(&broken));
        drop(appending);
    }
    // Its thread goes on, and the store takes appends.
    assert_eq!(block_on(store.append_async(batch(20))).unwrap().end(), Position::new(42));
}

/// Appends when it is woken, as a runtime does that polls a task at once on the thread that wakes it.
struct Inline {
    store: Store,
    count: AtomicUsize,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let n = self.count.fetch_add(1, Ordering::SeqCst);
        self.store.append_batch(batch(100)).unwrap();
        self.store.sync().unwrap();
        assert!(n > 0, "it panics the first time");
    }
}

/// It was woken by the thread that wrote the group, before the group was done: it joined the next one,
/// and waited for itself.
#[test]
fn a_waker_that_appends_when_it_is_woken_waits_for_nobody() {
    for durability in [Durability::Sync, Durability::Buffered] {
        let dir = place();
        let path = dir.path().join("store");
        let store = Options::new().durability(durability).open(path).unwrap();
        let (done, told) = channel();
        let appending = store.clone();
        let inline = Arc::new(Inline { store: store.clone(), count: AtomicUsize::new(0) });
        let waker = Waker::from(Arc::clone(&inline));
        thread::spawn(move || {
            let mut stream = appending.read_all().follow().into_async();
            for n in 0..4 {
                while poll(&mut stream, &waker).is_ready() {}
                appending.append_batch(batch(n)).unwrap();
            }
            let _ = done.send(());
        });
        told.recv_timeout(Duration::from_secs(60)).expect("it waits for itself");
        assert_eq!(inline.count.load(Ordering::SeqCst), 4);
        assert_eq!(store.end(), Position::new(16));
    }
}
