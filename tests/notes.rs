//! The note of how far the log was durable: what it spares, and that it never says too much.
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;

use annals::simulation::{Call, Fault, Simulation};
use annals::{
    Batch, Durability, Error, Expected, IndexRecovery, NewEvent, Options, Store, Witness,
};

const NOTE: &str = "durable";
const SLOT_LEN: usize = 512;

fn event(n: u64) -> NewEvent {
    NewEvent::bytes("t", n.to_le_bytes())
}

fn append(store: &Store, durability: Durability, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let stream = format!("s{}", n % 5);
        let batch = Batch::new().append(stream.as_str(), Expected::Any, [event(n)]);
        store.append_batch(batch.durability(durability)).unwrap();
    }
}

/// Fails unless a store holds the events of these numbers, and every stream its own.
fn assert_holds(store: &Store, count: u64) {
    let numbers: Vec<_> = store.read_all().map(|event| event.unwrap().payload().to_vec()).collect();
    let expected: Vec<_> = (0..count).map(|n| n.to_le_bytes().to_vec()).collect();
    assert_eq!(numbers, expected);
    for stream in 0..5 {
        let of_stream = (0..count).filter(|n| n % 5 == stream).count();
        assert_eq!(store.read_stream(&format!("s{stream}")).map(Result::unwrap).count(), of_stream);
    }
}

fn bytes_of(disk: &Simulation, name: &str) -> Option<Vec<u8>> {
    disk.files().into_iter().find(|(other, _)| other == name).map(|(_, bytes)| bytes)
}

/// A process that was killed after 200 events, each of which was durable.
fn killed() -> Simulation {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    append(&store, Durability::Sync, 0..200);
    disk.restart()
}

#[test]
fn a_killed_store_is_scanned_from_where_it_was_noted_to_be_durable() {
    let disk = killed();
    let store = disk.restart().open(&Options::new()).unwrap();
    let report = store.recovery();
    assert_eq!((report.scanned_count, report.rewritten_len), (0, 0));
    assert_eq!(
        report.witness.map(|(end, witness)| (end.get(), witness)),
        Some((200, Witness::DurableNote))
    );
    assert_holds(&store, 200);

    // Without the note the whole segment is read.
    disk.take(NOTE);
    let store = disk.without_index().open(&Options::new()).unwrap();
    assert_eq!(store.recovery().scanned_count, 200);
    assert_holds(&store, 200);
}

#[test]
fn a_store_is_scanned_from_its_note_however_often_it_is_killed() {
    let mut disk = killed();
    for round in 0..8 {
        let store = disk.open(&Options::new()).unwrap();
        assert_eq!(store.recovery().scanned_count, round % 3);
        let end = store.end().get();
        append(&store, Durability::Sync, end..end + 5);
        append(&store, Durability::Buffered, end + 5..end + 5 + (round + 1) % 3);
        let end = store.end().get();
        let next = disk.restart();
        drop(store);
        disk = next;
        assert_holds(&disk.restart().open(&Options::new()).unwrap(), end);
    }
}

#[test]
fn whatever_is_wrong_with_the_note_costs_a_longer_scan_at_most() {
    let disk = killed();
    let note = bytes_of(&disk, NOTE).unwrap();
    let mut bad: Vec<Vec<u8>> =
        (0..note.len()).step_by(7).map(|len| note[..len].to_vec()).collect();
    bad.extend((0..note.len()).map(|at| {
        let mut bytes = note.clone();
        bytes[at] ^= 1 << (at % 8);
        bytes
    }));
    let (first, second) = note.split_at(SLOT_LEN);
    bad.extend([
        [second, first].concat(),
        [first, &[0; 512]].concat(),
        [&[0; 512], second].concat(),
    ]);
    bad.extend([vec![0; 1_024], vec![7; 5_000], [note.clone(), vec![7; 9]].concat()]);
    let other = killed();
    bad.push(bytes_of(&other, NOTE).unwrap());
    for bytes in bad {
        let damaged = disk.restart();
        damaged.put(NOTE, bytes);
        let store = damaged.open(&Options::new()).unwrap();
        assert_holds(&store, 200);
        append(&store, Durability::Sync, 200..205);
        let again = damaged.restart();
        drop(store);
        let store = again.open(&Options::new()).unwrap();
        assert_eq!(store.recovery().scanned_count, 0, "it was written anew");
        assert_holds(&store, 205);
    }
}

#[test]
fn an_older_note_costs_a_longer_scan() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    append(&store, Durability::Sync, 0..150);
    let older = bytes_of(&disk, NOTE).unwrap();
    append(&store, Durability::Sync, 150..200);
    let killed = disk.restart();
    killed.put(NOTE, older);
    let store = killed.open(&Options::new()).unwrap();
    assert_eq!(store.recovery().scanned_count, 50);
    assert_holds(&store, 200);
}

#[test]
fn a_log_that_ends_before_its_note_is_refused_and_stays_as_it_is() {
    const SEGMENT: &str = "log/00000000000000000000.seg";
    let disk = killed().without_index();
    let segment = bytes_of(&disk, SEGMENT).unwrap();
    let end = segment.iter().rposition(|byte| *byte != 0).unwrap();
    for len in [64, end / 2, end - 90, end - 8] {
        let cut = disk.restart();
        cut.put(SEGMENT, segment[..len].to_vec());
        let before = cut.files();
        assert!(matches!(cut.open(&Options::new()), Err(Error::Corrupt { .. })), "cut to {len}");
        assert_eq!(cut.files(), before);
        assert!(cut.inspect().unwrap().damage().is_some());
        // A repair lets go of the note, and keeps it.
        let report = cut.plan_repair().unwrap().carry_out().unwrap();
        let kept = report.kept_in.unwrap();
        let kept = format!("quarantine/{}/{NOTE}", kept.file_name().unwrap().to_str().unwrap());
        assert!(bytes_of(&cut, NOTE).is_none() && bytes_of(&cut, &kept).is_some());
        assert_holds(&cut.open(&Options::new()).unwrap(), report.end.get());
    }
}

#[test]
fn another_record_where_the_note_says_is_refused() {
    let disk = killed();
    let (fork, other) = (disk.restart(), disk.restart());
    for (copy, numbers) in [(&fork, 200..210), (&other, 300..310)] {
        append(&copy.open(&Options::new()).unwrap(), Durability::Sync, numbers);
    }
    let other = other.restart().without_index();
    other.put(NOTE, bytes_of(&fork, NOTE).unwrap());
    other.take("clean");
    assert!(matches!(other.open(&Options::new()), Err(Error::Corrupt { .. })));
}

/// Damage before the place that the note names is told by whoever reads it, as after a clean close.
#[test]
fn damage_before_the_note_is_found_by_who_reads_it() {
    const SEGMENT: &str = "log/00000000000000000000.seg";
    let disk = killed();
    let mut segment = bytes_of(&disk, SEGMENT).unwrap();
    segment[5_000] ^= 1;
    disk.put(SEGMENT, segment);
    let store = disk.open(&Options::new()).unwrap();
    assert!(store.read_all().any(|event| matches!(event, Err(Error::Corrupt { .. }))));
    assert!(!store.verify().unwrap().is_sound());
}

#[test]
fn a_note_that_cannot_be_written_fails_no_append() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new().checkpoint_event_count(8)).unwrap();
    disk.inject(Fault::next(Call::Create, ErrorKind::StorageFull).forever());
    append(&store, Durability::Sync, 0..50);
    assert!(bytes_of(&disk, NOTE).is_none());
    assert_eq!(disk.restart().open(&Options::new()).unwrap().recovery().scanned_count, 50);
    disk.heal();
    append(&store, Durability::Sync, 50..51);
    assert!(bytes_of(&disk, NOTE).is_some());
    assert_holds(&store, 51);
    assert!(store.verify().unwrap().is_sound(), "the index lacks nothing");
}

/// A note that could not be written in time is written later, when more is visible than is durable.
#[test]
fn a_note_that_is_late_names_only_what_is_durable() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    disk.inject(Fault::next(Call::Create, ErrorKind::StorageFull));
    append(&store, Durability::Sync, 0..1);
    assert!(bytes_of(&disk, NOTE).is_none());
    append(&store, Durability::Buffered, 1..9);
    assert!(bytes_of(&disk, NOTE).is_some());
    for seed in 0..50 {
        let store = disk.crash(seed).without_index().open(&Options::new()).unwrap();
        assert!(store.end().get() >= 1, "{seed}");
        assert_holds(&store, store.end().get());
    }
}

/// Neither can the note be written nor the old one be taken away: then the index must stay behind.
#[test]
fn an_index_that_would_be_ahead_of_the_note_is_given_up() {
    for count in 0..60 {
        let disk = Simulation::new();
        let options = Options::new().checkpoint_event_count(8);
        let store = disk.open(&options).unwrap();
        append(&store, Durability::Sync, 0..4);
        disk.inject(Fault::next(Call::Sync, ErrorKind::Other).after(count).forever());
        disk.inject(Fault::next(Call::Remove, ErrorKind::Other).forever());
        let mut end = 4;
        while end < 40 && store.append("s0", Expected::Any, [event(end)]).is_ok() {
            end += 1;
        }
        for seed in 0..8 {
            let store = disk.crash(seed).open(&options).unwrap();
            assert!(store.end().get() >= end, "{count}, {seed}");
        }
    }
}

#[test]
fn what_may_not_be_durable_is_moved_and_not_copied_with_its_segment() {
    let options = Options::new().segment_len_max(64 << 10);
    let disk = Simulation::new();
    let store = disk.open(&options).unwrap();
    append(&store, Durability::Sync, 0..200);
    append(&store, Durability::Buffered, 200..230);
    let killed = disk.restart();
    let segment_len = bytes_of(&killed, "log/00000000000000000000.seg").unwrap().len();
    let store = killed.open(&options).unwrap();
    let report = store.recovery();
    assert_eq!(report.scanned_count, 30);
    assert!(report.rewritten_len > 0 && report.is_durable);
    let moved = bytes_of(&killed, "log/00000000000000000200.seg").unwrap();
    assert_eq!(u64::try_from(moved.len()).unwrap(), 64 + report.rewritten_len);
    assert!(segment_len > 2 * moved.len());
    assert_holds(&store, 230);
    append(&store, Durability::Sync, 230..240);
    assert!(store.verify().unwrap().is_sound());
    store.close().unwrap();
    let store = killed.open(&options).unwrap();
    assert_eq!(store.recovery().index, IndexRecovery::Current);
    assert_holds(&store, 240);
    assert!(killed.inspect().unwrap().verify().is_sound());
}

/// Recovery that moves what may not be durable is cut off after each of its calls: nothing is
/// lost, and nothing is called damaged.
#[test]
fn no_crash_while_a_tail_is_moved_loses_anything() {
    let options = Options::new().segment_len_max(64 << 10);
    let disk = Simulation::new();
    let store = disk.open(&options).unwrap();
    append(&store, Durability::Sync, 0..100);
    append(&store, Durability::Buffered, 100..110);
    let killed = disk.restart();
    for calls in 0..40 {
        let dying = killed.restart();
        dying.die_after(calls);
        drop(dying.open(&options));
        for state in [dying.restart(), dying.crash(calls), dying.crash(calls + 1)] {
            let inspection = state.inspect().unwrap();
            assert!(inspection.damage().is_none(), "{calls}: {:?}", inspection.damage());
            let verified = inspection.verify();
            assert!(verified.is_sound(), "{calls}: {verified:?}");
            assert!(!state.plan_repair().unwrap().is_needed(), "{calls}");
            let store = state.open(&options).unwrap();
            let end = store.end().get();
            assert!((100..=110).contains(&end), "{calls}: {end}");
            assert_holds(&store, end);
            append(&store, Durability::Sync, end..end + 3);
            assert_holds(&state.crash(calls).open(&options).unwrap(), end + 3);
        }
        // Without a loss of power nothing goes.
        assert_eq!(dying.restart().open(&options).unwrap().end().get(), 110);
    }
}
