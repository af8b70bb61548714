//! Workers: order by key, what is repeated, what happens when a handler fails, and how they stop.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use annals::simulation::{Call, Fault, Simulation};
use annals::{
    Delivery, Error, Expected, NewEvent, OnFailure, Options, Position, Store, WorkerGroup, Workers,
};
use common::assert_error;

const LONG: Duration = Duration::from_secs(60);

fn store_of(count: u64, stream_count: u64) -> (Simulation, Store) {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    append(&store, count, stream_count);
    (disk, store)
}

fn append(store: &Store, count: u64, stream_count: u64) {
    for n in 0..count {
        let event = NewEvent::text("t", n.to_string());
        store.append(&format!("s-{}", n % stream_count), Expected::Any, [event]).unwrap();
    }
}

fn run(
    store: &Store,
    workers: Workers,
    handler: impl Fn(&Delivery) -> Result<(), String> + Send + Sync + 'static,
) -> WorkerGroup {
    store.consumer("c").open().unwrap().run(workers, handler).unwrap()
}

fn position(store: &Store) -> u64 {
    store.consumers().unwrap()[0].committed.get()
}

/// Waits until what is committed is `end`.
fn wait_until(store: &Store, end: u64) {
    let deadline = Instant::now() + LONG;
    while position(store) != end {
        assert!(Instant::now() < deadline, "{} is not {end}", position(store));
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn each_event_is_handled_once_and_those_of_a_stream_in_order() {
    let (_, store) = store_of(630, 7);
    let seen = Arc::new(Mutex::new(BTreeMap::<String, Vec<u64>>::new()));
    let (running, book) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::clone(&seen));
    let group = run(&store, Workers::new(4).in_flight_max(32), move |delivery| {
        let event = delivery.event();
        assert_eq!(delivery.attempt(), 1);
        let stream = event.stream().to_owned();
        assert!(running.lock().unwrap().insert(stream.clone()), "one of a stream at a time");
        book.lock().unwrap().entry(stream.clone()).or_default().push(event.revision().get());
        thread::yield_now();
        running.lock().unwrap().remove(&stream);
        Ok(())
    });
    append(&store, 70, 7);
    wait_until(&store, 700);
    group.stop(LONG).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 7);
    assert!(seen.values().all(|revisions| revisions.iter().copied().eq(0..100)));
}

#[test]
fn streams_are_handled_in_parallel_and_a_key_can_be_anything() {
    let (_, store) = store_of(8, 4);
    // All four must be in the handler at once for any to leave it.
    let inside = Arc::new(std::sync::Barrier::new(4));
    let group = run(&store, Workers::new(4), move |_| {
        inside.wait();
        Ok(())
    });
    wait_until(&store, 8);
    group.stop(LONG).unwrap();
    assert!(store.delete_consumer("c").unwrap());
    // With one key for all, one is handled at a time, in the order of positions.
    let (order, seen) = channel();
    let order = Mutex::new(order);
    let workers = Workers::new(4).key(|_| "all");
    let group = run(&store, workers, move |delivery| {
        order.lock().unwrap().send(delivery.event().position().get()).unwrap();
        Ok(())
    });
    wait_until(&store, 8);
    group.stop(LONG).unwrap();
    assert!(seen.into_iter().eq(0..8));
}

#[test]
fn a_delivery_says_whether_it_was_there_before() {
    let (_, store) = store_of(3, 1);
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let group = run(&store, Workers::new(2), move |delivery| {
        tell.lock().unwrap().send(delivery.is_replay()).unwrap();
        Ok(())
    });
    assert_eq!(told.iter().take(3).collect::<Vec<_>>(), [true; 3]);
    append(&store, 2, 1);
    assert_eq!(told.iter().take(2).collect::<Vec<_>>(), [false; 2]);
    drop(group);
    assert_eq!(position(&store), 5);
}

/// A handler that says which event it has, and returns for each word that it is given.
fn gated(gate: Receiver<()>) -> (impl Fn(&Delivery) -> Result<(), String>, Receiver<u64>) {
    let (tell, told) = channel();
    let (tell, gate) = (Mutex::new(tell), Mutex::new(gate));
    let handler = move |delivery: &Delivery| {
        let _ = tell.lock().unwrap().send(delivery.event().position().get());
        gate.lock().unwrap().recv().map_err(|_| "nobody opens".to_owned())
    };
    (handler, told)
}

#[test]
fn what_is_done_behind_an_event_that_is_not_is_not_repeated_after_a_crash() {
    let (disk, store) = store_of(40, 40);
    let (gate, blocked) = channel();
    let gate = Mutex::new(gate);
    let stuck = Arc::new(Mutex::new(blocked));
    let handler = {
        let stuck = Arc::clone(&stuck);
        move |delivery: &Delivery| {
            if delivery.event().position().get() % 20 == 3 {
                let _: Result<(), _> = stuck.lock().unwrap().recv();
            }
            Ok(())
        }
    };
    let group = run(&store, Workers::new(4), handler);
    let deadline = Instant::now() + LONG;
    while group.stats().in_flight_count != 2 {
        assert!(Instant::now() < deadline, "{group:?}");
        thread::sleep(Duration::from_millis(1));
    }
    let info = &store.consumers().unwrap()[0];
    assert_eq!((info.committed.get(), info.pending_count), (3, 2));
    assert_eq!(info.lag.event_count, 2);
    for seed in 0..20 {
        let store = disk.crash(seed).open(&Options::new()).unwrap();
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        let group = run(&store, Workers::new(2), move |delivery| {
            tell.lock().unwrap().send(delivery.event().position().get()).unwrap();
            Ok(())
        });
        wait_until(&store, 40);
        group.stop(LONG).unwrap();
        let mut seen: Vec<_> = told.into_iter().collect();
        seen.sort_unstable();
        assert_eq!(seen, [3, 23], "seed {seed}");
    }
    drop(gate.into_inner());
    group.stop(LONG).unwrap();
}

#[test]
fn what_is_in_flight_is_bounded() {
    let (_, store) = store_of(100, 100);
    let (open, gate) = channel();
    let (handler, told) = gated(gate);
    let group = run(&store, Workers::new(2).in_flight_max(5), handler);
    told.recv().unwrap();
    thread::sleep(Duration::from_millis(30));
    assert_eq!(group.stats().in_flight_count, 5);
    (0..100).for_each(|_| open.send(()).unwrap());
    wait_until(&store, 100);
    group.stop(LONG).unwrap();
}

#[test]
fn a_handler_that_fails_stops_its_workers_before_the_event_by_default() {
    let (_, store) = store_of(10, 10);
    let handled = |delivery: &Delivery| match delivery.event().position().get() {
        4 => Err("no such customer".to_owned()),
        _ => Ok(()),
    };
    let group = run(&store, Workers::new(1), handled);
    match group.wait() {
        Err(Error::HandlerFailed { consumer, position, attempt, source }) => {
            assert_eq!((&*consumer, position.get(), attempt), ("c", 4, 1));
            assert_eq!(source.to_string(), "no such customer");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(position(&store), 4);
    // Once it is mended, nothing was skipped.
    let group = run(&store, Workers::new(1), |_| Ok(()));
    wait_until(&store, 10);
    group.stop(LONG).unwrap();
}

#[test]
fn a_handler_that_panics_has_failed() {
    let (_, store) = store_of(3, 1);
    let group = run(&store, Workers::new(2), |delivery| {
        assert!(delivery.event().position() != Position::new(1), "not this one");
        Ok(())
    });
    match group.wait() {
        Err(Error::HandlerFailed { position, source, .. }) => {
            assert_eq!(position, Position::new(1));
            assert!(source.to_string().contains("not this one"), "{source}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(position(&store), 1);
}

#[test]
fn a_handler_that_fails_is_tried_again_and_others_are_not_kept_waiting() {
    let (_, store) = store_of(6, 3);
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&attempts);
    let ms = Duration::from_millis;
    let group = run(&store, Workers::new(2).retries(3, ms(1)..=ms(4)), move |delivery| {
        seen.lock().unwrap().push((delivery.event().position().get(), delivery.attempt()));
        let fails = delivery.event().position().get() == 1 && delivery.attempt() < 4;
        if fails { Err("not yet".to_owned()) } else { Ok(()) }
    });
    wait_until(&store, 6);
    assert_eq!((group.stats().handled_count, group.stats().failed_count), (6, 3));
    group.stop(LONG).unwrap();
    let attempts = attempts.lock().unwrap();
    let of = |stream: u64| attempts.iter().filter(move |(position, _)| position % 3 == stream);
    assert!(of(1).copied().eq([(1, 1), (1, 2), (1, 3), (1, 4), (4, 1)]), "{attempts:?}");
    assert!(of(0).copied().eq([(0, 1), (3, 1)]));
}

/// Workers that fail on the event at 1, of nine in three streams, until `is_mended`.
fn failing(store: &Store, on_failure: OnFailure) -> (Vec<u64>, Arc<AtomicBool>) {
    let is_mended = Arc::new(AtomicBool::new(false));
    let (tell, told) = channel();
    let (tell, mended) = (Mutex::new(tell), Arc::clone(&is_mended));
    let group = run(store, Workers::new(3).on_failure(on_failure), move |delivery| {
        let n = delivery.event().position().get();
        if n == 1 && !mended.load(Ordering::Relaxed) {
            return Err("no such customer".to_owned());
        }
        tell.lock().unwrap().send(n).map_err(|error| error.to_string())
    });
    wait_until(store, 9);
    group.stop(LONG).unwrap();
    let mut handled: Vec<_> = told.into_iter().collect();
    handled.sort_unstable();
    (handled, is_mended)
}

#[test]
fn an_event_can_be_put_aside_and_handled_or_dismissed_later() {
    let (disk, store) = store_of(9, 3);
    let (handled, _) = failing(&store, OnFailure::Park);
    assert_eq!(handled, [0, 2, 3, 4, 5, 6, 7, 8]);
    drop(store);
    for seed in 0..10 {
        let store = disk.crash(seed).open(&Options::new()).unwrap();
        assert_eq!(store.consumers().unwrap()[0].parked_count, 1);
        let mut consumer = store.consumer("c").open().unwrap();
        let parked = consumer.parked();
        assert_eq!((parked.len(), parked[0].position.get()), (1, 1));
        assert_eq!((&*parked[0].reason, parked[0].attempt_count), ("no such customer", 1));
        let retried = consumer.retry_parked(|_| Err("still none")).unwrap();
        assert_eq!((retried.handled_count, retried.left_count), (0, 1));
        let parked = consumer.parked();
        assert_eq!((&*parked[0].reason, parked[0].attempt_count), ("still none", 2));
        let retried = consumer.retry_parked(|delivery| {
            assert_eq!((delivery.event().payload(), delivery.attempt()), (&b"1"[..], 3));
            assert!(delivery.is_replay());
            Ok::<(), Error>(())
        });
        assert_eq!(retried.unwrap().handled_count, 1);
        assert!(consumer.parked().is_empty());
        assert_eq!(consumer.committed(), Position::new(9), "its place is where it was");
    }
    let store = disk.restart().open(&Options::new()).unwrap();
    let mut consumer = store.consumer("c").open().unwrap();
    assert!(consumer.dismiss_parked(1).unwrap());
    assert!(!consumer.dismiss_parked(1).unwrap());
    assert!(consumer.parked().is_empty());
}

#[test]
fn a_stream_can_be_held_back_until_its_event_is_handled() {
    let (disk, store) = store_of(9, 3);
    let (handled, _) = failing(&store, OnFailure::HoldBack);
    assert_eq!(handled, [0, 2, 3, 5, 6, 8], "the other streams go on");
    // Also after a restart none of its events overtakes it.
    drop(store);
    let store = disk.restart().open(&Options::new()).unwrap();
    append(&store, 3, 3);
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let group = run(&store, Workers::new(1), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    wait_until(&store, 12);
    group.stop(LONG).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 2);
    let mut consumer = store.consumer("c").open().unwrap();
    let parked: Vec<_> = consumer.parked().iter().map(|event| event.position.get()).collect();
    assert_eq!(parked, [1, 4, 7, 10]);
    // One that fails again keeps back those after it.
    let retried = consumer.retry_parked(|_| Err("still none")).unwrap();
    assert_eq!((retried.handled_count, retried.left_count), (0, 4));
    let mut order = Vec::new();
    let retried = consumer.retry_parked(|delivery| {
        order.push(delivery.event().position().get());
        Ok::<(), Error>(())
    });
    assert_eq!((retried.unwrap().handled_count, order), (4, vec![1, 4, 7, 10]));
    // From then on the stream is handled as any other.
    append(&store, 3, 3);
    let group = run(&store, Workers::new(1), |_| Ok(()));
    wait_until(&store, 15);
    assert_eq!(group.stats().handled_count, 3);
    group.stop(LONG).unwrap();
}

#[test]
fn an_event_is_put_aside_before_its_place_is_passed() {
    let (disk, store) = store_of(3, 3);
    // Nothing is durable of the list: so nothing is committed either.
    disk.inject(Fault::next(Call::Rename, std::io::ErrorKind::StorageFull).after(1).forever());
    let workers = Workers::new(1).on_failure(OnFailure::Park);
    let consumer = store.consumer("e").open().unwrap();
    let group = consumer.run(workers, |_| Err("never".to_owned())).unwrap();
    assert_error!(group.wait(), Error::Io { .. });
    disk.heal();
    assert_eq!(position(&store), 0);
    for seed in 0..20 {
        let store = disk.crash(seed).open(&Options::new()).unwrap();
        assert_eq!(position(&store), 0, "seed {seed}");
    }
}

#[test]
fn stopping_finishes_what_is_under_way_and_leaves_the_rest() {
    let (_, store) = store_of(10, 10);
    let (open, gate) = channel();
    let (handler, told) = gated(gate);
    let group = run(&store, Workers::new(2), handler);
    let first: BTreeSet<_> = told.iter().take(2).collect();
    assert_eq!(first, BTreeSet::from([0, 1]));
    let opening = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        (0..2).for_each(|_| open.send(()).unwrap());
    });
    group.stop(LONG).unwrap();
    opening.join().unwrap();
    assert_eq!((position(&store), told.try_iter().count()), (2, 0));
}

#[test]
fn a_handler_that_never_returns_is_reported_and_what_others_did_is_committed() {
    let (disk, store) = store_of(10, 10);
    let (open, stuck) = channel::<()>();
    let stuck = Mutex::new(stuck);
    let group = run(&store, Workers::new(3), move |delivery| {
        if delivery.event().position().get() == 4 {
            let _: Result<(), _> = stuck.lock().unwrap().recv();
        }
        Ok(())
    });
    let deadline = Instant::now() + LONG;
    while group.stats().handled_count < 9 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
    match group.stop(Duration::from_millis(20)) {
        Err(Error::HandlersStillRunning { consumer, positions }) => {
            assert_eq!((&*consumer, positions), ("c", vec![Position::new(4)]));
        }
        other => panic!("{other:?}"),
    }
    // Another goes on in its place, and gets that event alone.
    let again = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&again);
    let group = run(&store, Workers::new(1), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    wait_until(&store, 10);
    assert_eq!(again.load(Ordering::Relaxed), 1);
    group.stop(LONG).unwrap();
    drop(open);
    drop(store);
    assert_eq!(position(&disk.restart().open(&Options::new()).unwrap()), 10);
}

#[test]
fn workers_whose_consumer_was_taken_over_end_and_say_so() {
    let (_, store) = store_of(1, 1);
    let group = run(&store, Workers::new(1), |_| Ok(()));
    wait_until(&store, 1);
    let _other = store.consumer("c").open().unwrap();
    append(&store, 1, 1);
    assert_error!(group.wait(), Error::TakenOver { .. });
}

#[test]
fn closing_the_store_ends_its_workers() {
    let (_, store) = store_of(5, 5);
    let group = run(&store, Workers::new(2), |_| Ok(()));
    wait_until(&store, 5);
    store.close().unwrap();
    group.wait().unwrap();
}

#[test]
fn workers_pass_what_is_not_to_be_handled_and_commit_it() {
    let (_, store) = store_of(50, 5);
    let (tell, told): (Sender<u64>, _) = channel();
    let tell = Mutex::new(tell);
    let consumer = store.consumer("c").stream("s-2").open().unwrap();
    let group = consumer.run(Workers::new(2), move |delivery| {
        tell.lock().unwrap().send(delivery.event().position().get())
    });
    let group = group.unwrap();
    wait_until(&store, 50);
    group.stop(LONG).unwrap();
    assert!(told.into_iter().eq((0..10).map(|n| 5 * n + 2)));
}

#[test]
fn dropping_a_group_stops_it() {
    let (_, store) = store_of(5, 5);
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    drop(run(&store, Workers::new(2), move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }));
    let handled = count.load(Ordering::SeqCst);
    assert_eq!(position(&store), u64::from(handled));
    append(&store, 5, 5);
    thread::sleep(Duration::from_millis(10));
    assert_eq!(count.load(Ordering::SeqCst), handled);
}

#[test]
fn nothing_of_workers_that_were_stopped_keeps_their_store_open() {
    let place = common::place();
    let path = place.path().join("store");
    for n in 1..20 {
        let store = Store::open(&path).unwrap();
        append(&store, 3, 3);
        // The handler keeps it open, too.
        let kept = store.clone();
        let group = run(&store, Workers::new(3), move |_| {
            assert!(kept.end() > Position::START);
            Ok(())
        });
        if n % 2 == 0 {
            wait_until(&store, 3 * n);
        }
        group.stop(LONG).unwrap();
    }
}

/// An error that panics when it is asked what it says.
#[derive(Debug)]
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Unspeakable {}

#[test]
fn code_of_others_that_panics_ends_the_workers_and_is_told() {
    let (_, store) = store_of(3, 3);
    let workers = Workers::new(2).key(|event| {
        assert!(event.position() != Position::new(1), "no key");
        event.stream().to_owned()
    });
    let is_told = |result: annals::Result<()>, words: &str| match result {
        Err(Error::HandlerFailed { position, source, .. }) => {
            assert_eq!(position, Position::new(1));
            assert!(source.to_string().contains(words), "{source}");
        }
        other => panic!("{other:?}"),
    };
    is_told(run(&store, workers, |_| Ok(())).wait(), "no key");
    let workers = Workers::new(2).on_failure(OnFailure::Park);
    let consumer = store.consumer("d").open().unwrap();
    let group = consumer.run(workers, |delivery| {
        if delivery.event().position() == Position::new(1) { Err(Unspeakable) } else { Ok(()) }
    });
    is_told(group.unwrap().wait(), "no words");
    // A pause that no clock can tell is a long one.
    let workers = Workers::new(1).retries(1, Duration::MAX..=Duration::MAX);
    let consumer = store.consumer("e").open().unwrap();
    let group = consumer.run(workers, |_| Err("never".to_owned())).unwrap();
    let deadline = Instant::now() + LONG;
    while group.stats().failed_count < 3 {
        assert!(Instant::now() < deadline, "{group:?}");
        thread::sleep(Duration::from_millis(1));
    }
    group.stop(LONG).unwrap();
}

/// What was read together with the damage was handled by nobody, however often the workers were run.
#[test]
fn what_is_before_damage_is_handled_before_the_workers_end_for_it() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    for n in 0..200 {
        let event = NewEvent::text("t", format!("event {n}."));
        store.append(&format!("s-{}", n % 7), Expected::Any, [event]).unwrap();
    }
    store.close().unwrap();
    let (name, mut bytes) =
        disk.files().into_iter().find(|(name, _)| name.starts_with("log/")).unwrap();
    let at = bytes.windows(10).position(|window| window == b"event 150.").unwrap();
    bytes[at] ^= 1;
    disk.put(&name, bytes);
    let store = disk.open(&Options::new()).unwrap();
    for by_stream in [false, true] {
        let consumer = store.consumer(if by_stream { "s" } else { "c" });
        let consumer = if by_stream { consumer.stream("s-3") } else { consumer };
        let (tell, told): (Sender<u64>, _) = channel();
        let tell = Mutex::new(tell);
        let group = consumer.open().unwrap().run(Workers::new(2), move |delivery| {
            thread::sleep(Duration::from_micros(200));
            tell.lock().unwrap().send(delivery.event().position().get())
        });
        assert_error!(group.unwrap().wait(), Error::Corrupt { .. });
        let told: BTreeSet<_> = told.into_iter().collect();
        assert!(told.into_iter().eq((0..150).filter(|n| !by_stream || n % 7 == 3)));
        let places = store.consumers().unwrap();
        assert!(places.iter().all(|consumer| consumer.committed.get() == 150));
    }
}

/// The reader waited for a handler that was to be tried again in an hour.
#[test]
fn workers_that_wait_to_end_for_damage_end_when_their_store_is_closed() {
    let (_, store) = store_of(40, 4);
    let workers = Workers::new(2).retries(9, LONG * 60..=LONG * 60).key(|event| {
        assert!(event.position() != Position::new(30), "no key");
        event.stream().to_owned()
    });
    let group = run(&store, workers, |_| Err("not now".to_owned()));
    let deadline = Instant::now() + LONG;
    while group.stats().failed_count < 4 {
        assert!(Instant::now() < deadline, "{group:?}");
        thread::sleep(Duration::from_millis(1));
    }
    store.close().unwrap();
    let begun = Instant::now();
    group.wait().unwrap();
    assert!(begun.elapsed() < LONG);
}

#[test]
fn what_is_before_an_event_without_a_key_is_handled_before_the_workers_end_for_it() {
    let (_, store) = store_of(40, 4);
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let workers = Workers::new(2).key(|event| {
        assert!(event.position() != Position::new(30), "no key");
        event.stream().to_owned()
    });
    let group = run(&store, workers, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    assert_error!(group.wait(), Error::HandlerFailed { position, .. } if position.get() == 30);
    assert_eq!((handled.load(Ordering::Relaxed), position(&store)), (30, 30));
}
