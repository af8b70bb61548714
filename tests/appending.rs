//! How appends reach the disk: what a segment is prepared with, and that nobody has to know.
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::sync::Barrier;

use annals::simulation::{Call, Fault, Simulation};
use annals::{Durability, Expected, NewEvent, Options, Store};

const SEGMENT: &str = "log/00000000000000000000.seg";

fn append(store: &Store, count: usize, len: usize) {
    for _ in 0..count {
        store.append("s", Expected::Any, [NewEvent::bytes("t", vec![b'x'; len])]).unwrap();
    }
}

fn segment_len(disk: &Simulation) -> usize {
    disk.files().iter().find(|(name, _)| name == SEGMENT).unwrap().1.len()
}

#[test]
fn a_segment_is_prepared_with_zeroes_that_nobody_sees() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    append(&store, 10, 200);
    let prepared = segment_len(&disk);
    assert!((16 << 10..64 << 10).contains(&prepared), "ten events take up {prepared} bytes");
    // The file does not grow with each append.
    append(&store, 20, 200);
    assert_eq!(segment_len(&disk), prepared);
    assert!(store.verify().unwrap().is_sound());
    let inspection = disk.inspect().unwrap();
    assert_eq!((inspection.trailing_len(), inspection.end().get()), (0, 30));
    assert!(inspection.damage().is_none());
    store.close().unwrap();
    assert!(segment_len(&disk) < 30 * 400, "a closed store takes up what its events do");
    append(&disk.open(&Options::new()).unwrap(), 1, 200);
}

#[test]
fn what_a_segment_is_prepared_with_is_no_torn_tail() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    append(&store, 10, 200);
    for seed in 0..50 {
        for state in [disk.crash(seed), disk.restart()] {
            let store = state.open(&Options::new()).unwrap();
            assert_eq!((store.end().get(), &store.recovery().torn_tail), (10, &None));
            append(&store, 3, 50);
            assert!(store.verify().unwrap().is_sound());
        }
    }
}

#[test]
fn a_disk_without_room_for_zeroes_takes_events_all_the_same() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    // The group is written first, the zeroes after it.
    disk.inject(Fault::next(Call::Write, ErrorKind::StorageFull).after(1));
    append(&store, 5, 200);
    assert_eq!(store.end().get(), 5);
    let store = disk.crash(3).open(&Options::new()).unwrap();
    assert_eq!((store.end().get(), &store.recovery().torn_tail), (5, &None));
}

#[test]
fn a_load_without_syncs_is_not_written_twice() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new().durability(Durability::Buffered)).unwrap();
    append(&store, 50, 100);
    let len = segment_len(&disk);
    assert!(len < 50 * 250, "{len} bytes");
    store.sync().unwrap();
    assert_eq!(segment_len(&disk), len);
    // Nor is one of large batches.
    let big = (0..200).map(|_| NewEvent::bytes("t", vec![0; 1_000]));
    store
        .append_batch(
            annals::Batch::new().append("s", Expected::Any, big).durability(Durability::Sync),
        )
        .unwrap();
    assert!(segment_len(&disk) < len + 200 * 1_200);
}

/// Callers that come back at once are waited for, and one that does not is not waited for long.
#[test]
fn callers_that_come_and_go_are_all_answered() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (store, start) = (&store, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..(thread + 1) * 20 {
                    let stream = format!("s-{thread}");
                    store.append(&stream, Expected::Exact(n), [NewEvent::text("t", "x")]).unwrap();
                    if n % 7 == 0 {
                        store.sync().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(store.end().get(), (1..=8).map(|thread| thread * 20).sum::<u64>());
}
