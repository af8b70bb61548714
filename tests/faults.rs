//! Calls to the file system that fail while a store is in use: every call of every kind in turn,
//! once and for good, on a simulated directory.
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use annals::simulation::{Call, Fault, Simulation};
use annals::{Batch, Durability, Error, Event, Expected, NewEvent, Options, Store};

fn options() -> Options {
    Options::new().segment_len_max(4 << 10).page_cache_len(4 << 10).checkpoint_event_count(6)
}

/// The payloads of all events, in order.
fn payloads(store: &Store) -> Vec<Vec<u8>> {
    store.read_all().map(|event| event.unwrap().payload().to_vec()).collect()
}

fn payload(number: usize) -> Vec<u8> {
    let mut payload = format!("{number} ").into_bytes();
    payload.resize(600, b'.');
    payload
}

/// What was appended while calls failed.
#[derive(Debug, Default)]
struct Outcome {
    /// Acknowledged: must be there.
    acknowledged: Vec<Vec<u8>>,
    /// Reported as failed, with the store left as it was: must not be there.
    undone: Vec<Vec<u8>>,
    /// Reported as unknown: may be there.
    unknown: Vec<Vec<u8>>,
}

/// Appends twelve events one by one, and goes on after failures.
fn append_all(store: &Store, outcome: &mut Outcome) {
    for number in 0..12 {
        let event = NewEvent::bytes("step", payload(number));
        let stream = format!("stream-{}", number % 3);
        match store.append(&stream, Expected::Any, [event]) {
            Ok(receipt) => {
                let position = receipt.first().get();
                outcome.acknowledged.push(payload(number));
                assert_eq!(position + 1, count(&outcome.acknowledged), "positions are dense");
            }
            Err(Error::OutcomeUnknown { .. }) => outcome.unknown.push(payload(number)),
            Err(Error::Poisoned | Error::Io { .. }) => outcome.undone.push(payload(number)),
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap()
}

/// Checks that a store holds what it must and may, in order.
fn check(store: &Store, outcome: &Outcome, what: &str) {
    let found = payloads(store);
    let mut acknowledged = outcome.acknowledged.iter().peekable();
    for payload in &found {
        if acknowledged.peek() == Some(&payload) {
            acknowledged.next();
        } else {
            assert!(!outcome.undone.contains(payload), "{what}: an event that failed came back");
            assert!(outcome.unknown.contains(payload), "{what}: an event nobody appended");
        }
    }
    assert_eq!(acknowledged.next(), None, "{what}: an acknowledged event is gone");
    let by_stream: usize = (0..3).map(|n| store.read_stream(&format!("stream-{n}")).count()).sum();
    assert_eq!(by_stream, found.len(), "{what}");
}

/// Lets one fault strike while events are appended, and checks the store then, after a restart,
/// and after crashes.
fn strike(fault: Fault) -> bool {
    let what = format!("{fault:?}");
    let disk = Simulation::new();
    let store = disk.open(&options()).unwrap();
    let mut outcome = Outcome::default();
    disk.inject(fault);
    append_all(&store, &mut outcome);
    let struck = outcome.acknowledged.len() < 12;
    disk.heal();
    // Readers see what was acknowledged, whatever has happened to the rest.
    assert_eq!(payloads(&store), outcome.acknowledged, "{what}");
    // What happens after a crash is as good as what happens after a restart.
    for seed in 0..6 {
        let store = disk.crash(seed).open(&options()).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        check(&store, &outcome, &format!("{what}, crash {seed}"));
    }
    let restarted = disk.restart();
    let reopened = restarted.open(&options()).unwrap_or_else(|e| panic!("{what}: {e:?}"));
    check(&reopened, &outcome, &format!("{what}, restart"));
    let seen = payloads(&reopened);
    for seed in 0..6 {
        let store = restarted.crash(seed).open(&options()).unwrap();
        assert_eq!(payloads(&store), seen, "{what}, restart, crash {seed}");
    }
    let next = NewEvent::bytes("next", "next");
    reopened.append("next", Expected::NoStream, [next]).unwrap();
    struck
}

/// Lets each call of this kind fail, once or from then on, until none is left that could.
fn strike_each(call: Call, kind: ErrorKind) {
    let mut struck = 0;
    for after in 0..60 {
        let fault = Fault::next(call, kind).after(after);
        struck += u32::from(strike(fault));
        struck += u32::from(strike(fault.forever()));
    }
    assert!(struck > 0, "no append has met a failed {call:?}");
}

#[test]
fn no_failed_write_loses_or_bends_anything() {
    strike_each(Call::Write, ErrorKind::StorageFull);
}

#[test]
fn no_failed_sync_loses_or_bends_anything() {
    strike_each(Call::Sync, ErrorKind::Other);
}

#[test]
fn no_failed_creation_of_a_segment_loses_or_bends_anything() {
    strike_each(Call::Create, ErrorKind::StorageFull);
    strike_each(Call::Rename, ErrorKind::Other);
}

/// What does not fit any more begins another segment; what is smaller goes on in this one, which
/// must be the last.
#[test]
fn a_segment_that_could_not_be_created_is_not_there() {
    for call in [Call::Create, Call::Write, Call::Sync, Call::Rename, Call::SyncFolder] {
        for after in 0..3 {
            let disk = Simulation::new();
            let store = disk.open(&options()).unwrap();
            let append =
                |len| store.append("s", Expected::Any, [NewEvent::bytes("t", vec![7; len])]);
            append(3_000).unwrap();
            disk.inject(Fault::next(call, ErrorKind::Other).after(after));
            let rolled = append(3_000);
            disk.heal();
            let count = 1 + usize::from(rolled.is_ok());
            let count = count + usize::from(append(100).is_ok()) + usize::from(append(100).is_ok());
            let what = format!("{call:?} {after}: {rolled:?}");
            if matches!(rolled, Err(Error::OutcomeUnknown { .. })) {
                continue;
            }
            assert!(count >= 3, "{what}");
            for seed in 0..20 {
                let store = disk.crash(seed).open(&options()).unwrap();
                assert_eq!(payloads(&store).len(), count, "{what}, crash {seed}");
            }
        }
    }
}

#[test]
fn no_failed_sync_of_a_folder_loses_or_bends_anything() {
    strike_each(Call::SyncFolder, ErrorKind::Other);
}

#[test]
fn a_full_disk_fails_the_append_and_the_store_lives_on_once_there_is_room() {
    let disk = Simulation::new();
    let store = disk.open(&options()).unwrap();
    let append = |number| store.append("s", Expected::Any, [NewEvent::bytes("t", payload(number))]);
    append(0).unwrap();
    disk.inject(Fault::next(Call::Write, ErrorKind::StorageFull).forever());
    for number in 1..4 {
        match append(number) {
            Err(Error::Io { operation: "write", source, .. }) => {
                assert_eq!(source.kind(), ErrorKind::StorageFull);
            }
            other => panic!("{other:?}"),
        }
    }
    disk.heal();
    append(4).unwrap();
    assert_eq!(payloads(&store), [payload(0), payload(4)]);
    assert_eq!(store.stream_end("s").unwrap().get(), 2);
    for seed in 0..50 {
        let after = disk.crash(seed).open(&options()).unwrap();
        assert_eq!(payloads(&after), [payload(0), payload(4)]);
    }
}

/// After a failure the store forgets where streams end and asks the index, which has been told of all
/// that is visible, but has perhaps not looked at it yet.
#[test]
fn a_failed_append_changes_nothing_for_streams_that_were_appended_to_just_before() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new().durability(Durability::Buffered)).unwrap();
    let append = |stream, expected| store.append(stream, expected, [NewEvent::text("t", stream)]);
    append("a", Expected::NoStream).unwrap();
    disk.inject(Fault::next(Call::Write, ErrorKind::StorageFull));
    append("b", Expected::NoStream).unwrap_err();
    assert!(matches!(append("a", Expected::NoStream), Err(Error::Conflict { .. })));
    let receipt = append("a", Expected::Exact(1)).unwrap();
    assert_eq!(receipt.first().get(), 1);
    append("b", Expected::NoStream).unwrap();
    let events: Vec<_> = store.read_stream("a").map(|event| event.unwrap()).collect();
    assert!(events.iter().map(|event| event.revision().get()).eq(0..2));
    assert_eq!(store.stream_end("b").unwrap().get(), 1);
}

/// Appends that are refused make the store look for where streams end, and forget others.
#[test]
fn streams_are_remembered_until_the_index_has_been_told_of_them_and_has_looked() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new().durability(Durability::Buffered)).unwrap();
    let append = |stream: &str, expected| {
        store.append(stream, expected, [NewEvent::text("t", stream)]).map(|receipt| receipt.first())
    };
    append("a", Expected::NoStream).unwrap();
    for n in 0..70_000 {
        append(&format!("x{n}"), Expected::Exact(7)).unwrap_err();
    }
    assert!(matches!(append("a", Expected::NoStream), Err(Error::Conflict { .. })));
    append("a", Expected::Exact(1)).unwrap();
}

#[test]
fn a_failed_sync_poisons_the_store_until_it_is_reopened() {
    let disk = Simulation::new();
    let store = disk.open(&options()).unwrap();
    let append =
        |store: &Store, n| store.append("s", Expected::Any, [NewEvent::bytes("t", payload(n))]);
    append(&store, 0).unwrap();
    disk.inject(Fault::next(Call::Sync, ErrorKind::Other));
    match append(&store, 1) {
        Err(Error::OutcomeUnknown { .. }) => {}
        other => panic!("{other:?}"),
    }
    // The fault is over, and still nothing is taken: what reached the medium is not known.
    for result in [append(&store, 2).map(|_| ()), store.sync()] {
        match result {
            Err(Error::Poisoned) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(payloads(&store), [payload(0)], "reads go on");
    store.close().unwrap();

    // The failed sync has kept the event from the medium, but memory still shows it. Recovery
    // writes it again, so that what is seen from now on stays.
    let restarted = disk.restart();
    let reopened = restarted.open(&options()).unwrap();
    let seen = payloads(&reopened);
    assert!(!reopened.recovery().was_closed);
    append(&reopened, 3).unwrap();
    for seed in 0..50 {
        let after = payloads(&restarted.crash(seed).open(&options()).unwrap());
        assert_eq!(after, [seen.clone(), vec![payload(3)]].concat());
    }
}

/// A simulated store with an interval syncs after each append; on a disk a thread does it.
#[test]
fn a_sync_that_fails_beside_those_who_append_poisons_the_store() {
    let disk = Simulation::new();
    let options = options().durability(Durability::Buffered).sync_interval(Duration::from_secs(1));
    let store = disk.open(&options).unwrap();
    let append = |n| store.append("s", Expected::Any, [NewEvent::bytes("t", payload(n))]);
    append(0).unwrap();
    for seed in 0..50 {
        let after = disk.crash(seed).open(&options).unwrap();
        assert_eq!(payloads(&after), [payload(0)], "it was synced, though nobody asked");
    }
    disk.inject(Fault::next(Call::Sync, ErrorKind::Other));
    append(1).unwrap();
    for result in [append(2).map(|_| ()), store.sync()] {
        match result {
            Err(Error::Poisoned) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(payloads(&store), [payload(0), payload(1)], "reads go on");
    store.close().unwrap_err();
    let after = payloads(&disk.restart().open(&options).unwrap());
    assert_eq!(after[0], payload(0));
}

/// A test on a real ext4 has shown it: a sync failed when it was to fill new places of the medium,
/// recovery wrote the same bytes again to the same places, and the sync said Ok. But ext4 went on
/// taking these places for empty, so that after a restart of the system there were zeroes, with
/// acknowledged events after them.
#[test]
fn what_recovery_keeps_after_a_failed_sync_is_written_to_other_places() {
    let disk = Simulation::new();
    let store = disk.open(&options()).unwrap();
    let append =
        |store: &Store, n| store.append("s", Expected::Any, [NewEvent::bytes("t", payload(n))]);
    append(&store, 0).unwrap();
    disk.inject(Fault::next(Call::Sync, ErrorKind::Other));
    assert!(append(&store, 1).is_err());
    let disk = disk.restart();
    let store = disk.open(&options()).unwrap();
    assert_eq!(payloads(&store), [payload(0), payload(1)], "memory still shows it");
    assert!(store.recovery().rewritten_len > 0);
    append(&store, 2).unwrap();
    for seed in 0..50 {
        let after = disk.crash(seed).open(&options()).unwrap();
        assert_eq!(payloads(&after), [payload(0), payload(1), payload(2)]);
    }
}

/// The first version of the copy took a folder that could not be synced for a lack of room, and
/// went on with the old file, which had no name any more: what was appended to it was gone.
#[test]
fn no_failed_call_while_recovering_loses_or_bends_anything() {
    for call in
        [Call::Create, Call::Write, Call::Sync, Call::SetLen, Call::Rename, Call::SyncFolder]
    {
        for (after, kind) in
            (0..8).flat_map(|n| [(n, ErrorKind::StorageFull), (n, ErrorKind::Other)])
        {
            let what = format!("{call:?} {after} {kind:?}");
            let disk = Simulation::new();
            let store = disk.open(&options()).unwrap();
            let append = |store: &Store, n| {
                store.append("s", Expected::Any, [NewEvent::bytes("t", payload(n))])
            };
            append(&store, 0).unwrap();
            append(&store, 1).unwrap();
            let disk = disk.restart();
            disk.inject(Fault::next(call, kind).after(after));
            let store = disk.open(&options());
            disk.heal();
            let store = store.or_else(|_| disk.open(&options())).unwrap();
            append(&store, 2).unwrap();
            for seed in 0..20 {
                let after = disk.crash(seed).open(&options()).unwrap();
                assert_eq!(payloads(&after).len(), 3, "{what}, crash {seed}");
            }
        }
    }
}

#[test]
fn a_full_disk_while_recovering_does_not_stop_it() {
    let disk = Simulation::new();
    let store = disk.open(&options()).unwrap();
    store.append("s", Expected::Any, [NewEvent::bytes("t", payload(0))]).unwrap();
    let disk = disk.restart();
    disk.inject(Fault::next(Call::Create, ErrorKind::StorageFull).forever());
    let store = disk.open(&options()).unwrap();
    assert_eq!(payloads(&store), [payload(0)]);
    store.append("s", Expected::Any, [NewEvent::bytes("t", payload(1))]).unwrap();
    for seed in 0..20 {
        let store = disk.crash(seed).open(&options()).unwrap();
        assert_eq!(payloads(&store), [payload(0), payload(1)]);
    }
}

/// The new segment had its name then, and the log went on in the old one.
#[test]
fn a_folder_that_has_no_room_while_recovering_costs_nothing_that_is_appended_then() {
    let mut opened_count = 0;
    for after in 0..12 {
        let disk = Simulation::new();
        let append = |store: &Store, n, durability| {
            let batch = Batch::new().append("s", Expected::Any, [NewEvent::bytes("t", payload(n))]);
            store.append_batch(batch.durability(durability)).is_ok()
        };
        let store = disk.open(&options()).unwrap();
        assert!((0..22).all(|n| append(&store, n, Durability::Sync)));
        assert!(append(&store, 22, Durability::Buffered));
        let disk = disk.restart();
        disk.inject(Fault::next(Call::SyncFolder, ErrorKind::StorageFull).after(after));
        let Ok(store) = disk.open(&options()) else { continue };
        opened_count += 1;
        let count = 23 + (23..26).take_while(|n| append(&store, *n, Durability::Sync)).count();
        let store = disk.restart().open(&options()).unwrap();
        let found = payloads(&store);
        assert_eq!(found[..count], (0..count).map(payload).collect::<Vec<_>>(), "{after}");
    }
    assert!(opened_count > 0);
}

/// Nothing was promised of it, but it was seen.
#[test]
fn what_is_seen_after_recovering_on_a_full_disk_stays() {
    let disk = Simulation::new();
    let store = disk.open(&options()).unwrap();
    let batch = Batch::new().append("s", Expected::Any, [NewEvent::bytes("t", payload(0))]);
    store.append_batch(batch.durability(Durability::Buffered)).unwrap();
    let disk = disk.restart();
    disk.inject(Fault::next(Call::Create, ErrorKind::StorageFull).forever());
    let store = disk.open(&options()).unwrap();
    assert!(store.recovery().is_durable);
    assert_eq!(payloads(&store), [payload(0)]);
    for seed in 0..50 {
        assert_eq!(payloads(&disk.crash(seed).open(&options()).unwrap()), [payload(0)]);
    }
}

/// Fuzzing has found it: such a store took appends, and a crash made them unreadable.
#[test]
fn after_a_failed_sync_a_full_disk_leaves_a_store_that_can_be_read() {
    let append =
        |store: &Store, n| store.append("s", Expected::Any, [NewEvent::bytes("t", payload(n))]);
    let disk = Simulation::new();
    let store = disk.open(&options()).unwrap();
    append(&store, 0).unwrap();
    disk.inject(Fault::next(Call::Sync, ErrorKind::Other));
    assert!(matches!(append(&store, 1), Err(Error::OutcomeUnknown { .. })));
    drop(store);

    disk.inject(Fault::next(Call::Create, ErrorKind::StorageFull).forever());
    for _ in 0..2 {
        let store = disk.open(&options()).unwrap();
        assert_eq!(payloads(&store).first(), Some(&payload(0)));
        assert!(!store.recovery().is_durable);
        assert!(matches!(append(&store, 2), Err(Error::Poisoned)));
        assert!(matches!(store.sync(), Err(Error::Poisoned)));
        assert!(matches!(store.close(), Err(Error::Poisoned)));
    }
    for seed in 0..20 {
        let crashed = disk.crash(seed);
        assert_eq!(payloads(&crashed.open(&options()).unwrap()).first(), Some(&payload(0)));
    }

    // Once there is room, opening it again is enough.
    disk.heal();
    let store = disk.open(&options()).unwrap();
    assert!(store.recovery().is_durable);
    append(&store, 3).unwrap();
    let there = payloads(&store);
    for seed in 0..50 {
        assert_eq!(payloads(&disk.crash(seed).open(&options()).unwrap()), there, "seed {seed}");
    }
}

#[test]
fn those_who_wait_for_a_group_that_fails_are_all_told() {
    let disk = Simulation::new();
    let store = disk.open(&options()).unwrap();
    disk.inject(Fault::next(Call::Write, ErrorKind::StorageFull).after(5));
    disk.inject(Fault::next(Call::Sync, ErrorKind::Other).after(40));
    let accepted = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let (store, accepted) = (store.clone(), Arc::clone(&accepted));
            thread::spawn(move || {
                for _ in 0..50 {
                    let event = NewEvent::bytes("t", [n]);
                    let batch = Batch::new().append(format!("s{n}"), Expected::Any, [event]);
                    if store.append_batch(batch.durability(Durability::Sync)).is_ok() {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(store.end().get(), accepted.load(Ordering::Relaxed));
    let revisions: Vec<_> = store
        .read_stream("s3")
        .map(|event| event.as_ref().map(Event::revision).unwrap().get())
        .collect();
    assert_eq!(revisions, (0..count(&revisions)).collect::<Vec<_>>());
}

/// A store on a simulated disk has no thread for maintenance: who appends does it.
#[test]
fn an_append_is_there_though_the_checkpoint_after_it_panics() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new().checkpoint_event_count(4)).unwrap();
    let append = |n| store.append("s", Expected::Exact(n), [NewEvent::bytes("t", [0])]);
    (0..3).for_each(|n| _ = append(n).unwrap());
    // The first is the append's own. The next one is of the checkpoint that it makes due.
    disk.inject(Fault::next(Call::Sync, ErrorKind::Other).after(1).panicking());
    (3..40).for_each(|n| _ = append(n).unwrap());
    assert_eq!(payloads(&store).len(), 40);
    drop(store);
    assert_eq!(payloads(&disk.crash(1).open(&options()).unwrap()).len(), 40);
}

/// In every order of threads: `tests/schedules.rs`.
#[test]
fn a_thread_that_panics_while_it_writes_leaves_nobody_waiting() {
    let disk = Simulation::new();
    // Nothing is sealed and no checkpoint written, and the file of the note is there, so that only a
    // group is synced.
    let store = disk.open(&Options::new()).unwrap();
    store.append("s", Expected::Any, [NewEvent::bytes("t", [0])]).unwrap();
    disk.inject(Fault::next(Call::Sync, ErrorKind::Other).after(10).panicking());
    let threads: Vec<_> = (0..6)
        .map(|n| {
            let store = store.clone();
            let append = move || store.append("s", Expected::Any, [NewEvent::bytes("t", [n])]);
            thread::spawn(move || (0..20).filter(|_| append().is_ok()).count())
        })
        .collect();
    let ended: Vec<_> = threads.into_iter().map(thread::JoinHandle::join).collect();
    assert_eq!(ended.iter().filter(|result| result.is_err()).count(), 1);
    let next = store.append("s", Expected::Any, [NewEvent::bytes("t", [0])]);
    assert!(matches!(next, Err(Error::Poisoned)), "{next:?}");
    // What the thread that panicked had been told before is there as well, and nobody counted it.
    let accepted: usize = ended.into_iter().flatten().sum();
    assert!(payloads(&store).len() >= accepted);
    let end = store.end();
    drop(store);
    assert!(disk.crash(1).open(&options()).unwrap().end() >= end);
}
