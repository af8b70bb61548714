//! Consumers: where they are, who may move them, and what bad input does.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::thread;
use std::time::Duration;

use annals::simulation::Simulation;
use annals::{
    Batch, Error, Expected, Followed, NameFault, NewEvent, Options, Position, Store, Timestamp,
};
use common::{assert_error, slots};

const NOW: Duration = Duration::ZERO;

fn open(disk: &Simulation) -> Store {
    disk.open(&Options::new()).unwrap()
}

/// A store with the events 0 to `count`, by turns in three streams, of two types.
fn store_of(count: u64) -> (Simulation, Store) {
    let disk = Simulation::new();
    let store = open(&disk);
    append(&store, 0..count);
    (disk, store)
}

fn append(store: &Store, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let event_type = if n.is_multiple_of(2) { "even" } else { "odd" };
        let event = NewEvent::text(event_type, n.to_string());
        store.append(&format!("s-{}", n % 3), Expected::Any, [event]).unwrap();
    }
}

/// The numbers of the events that a consumer gives until there are no more.
fn numbers<'a>(events: impl IntoIterator<Item = annals::Result<annals::Event>> + 'a) -> Vec<u64> {
    let text = |event: annals::Event| String::from_utf8(event.payload().to_vec()).unwrap();
    events.into_iter().map(|event| text(event.unwrap()).parse().unwrap()).collect()
}

#[test]
fn a_consumer_goes_on_where_it_has_committed() {
    let (disk, store) = store_of(6);
    let mut billing = store.consumer("billing").open().unwrap();
    assert_eq!(numbers(billing.by_ref().take(4)), [0, 1, 2, 3]);
    billing.commit(3).unwrap();
    assert_eq!((billing.committed(), billing.next_position()), (3.into(), 4.into()));
    drop(billing);
    assert_eq!(numbers(store.consumer("billing").open().unwrap()), [3, 4, 5]);
    drop(store);
    for seed in 0..20 {
        let store = open(&disk.crash(seed));
        assert_eq!(numbers(store.consumer("billing").open().unwrap()), [3, 4, 5]);
    }
}

#[test]
fn a_new_consumer_begins_where_it_is_told() {
    let (disk, store) = store_of(5);
    let third = store.read_all().from(3).next().unwrap().unwrap().recorded_at();
    let mut all = store.consumer("all").open().unwrap();
    let mut later = store.consumer("later").from_end().open().unwrap();
    let mut placed = store.consumer("placed").from_position(4).open().unwrap();
    let mut timed = store.consumer("timed").from_time(third).open().unwrap();
    let never = store.consumer("never").from_time(Timestamp::MAX).open().unwrap();
    assert_eq!(never.committed(), Position::new(5));
    append(&store, 5..6);
    assert_eq!(numbers(all.by_ref()), [0, 1, 2, 3, 4, 5]);
    assert_eq!(numbers(later.by_ref()), [5]);
    assert_eq!(numbers(placed.by_ref()), [4, 5]);
    assert_eq!(numbers(timed.by_ref()), [3, 4, 5]);
    // Where it begins is kept: it counts once.
    drop((all, later, placed, timed, never, store));
    let store = open(&disk.crash(3));
    let later = store.consumer("later").from_position(0).open().unwrap();
    assert_eq!(later.committed(), Position::new(5));
}

#[test]
fn a_filtered_consumer_commits_what_it_has_passed() {
    let (_, store) = store_of(9);
    let mut odd = store.consumer("odd").event_types(["odd"]).open().unwrap();
    assert_eq!(numbers(odd.by_ref()), [1, 3, 5, 7]);
    odd.commit_delivered().unwrap();
    assert_eq!(odd.committed(), store.end());
    assert_eq!(odd.lag().unwrap().event_count, 0);
    let one = store.consumer("one").stream("s-1").open().unwrap();
    assert_eq!(numbers(one), [1, 4, 7]);
    let none = store.consumer("none").event_types([""; 0]).open().unwrap();
    assert_eq!(numbers(none), [0; 0]);
    let some = store.consumer("some").stream_prefix("s-").event_types(["even"]).open().unwrap();
    assert_eq!(numbers(some), [0, 2, 4, 6, 8]);
    store.append("t", Expected::Any, [NewEvent::text("odd", "9")]).unwrap();
    assert_eq!(numbers(store.consumer("two").stream_prefix("t").open().unwrap()), [9]);
}

#[test]
fn a_commit_goes_only_forwards_over_what_was_given() {
    let (_, store) = store_of(5);
    let mut consumer = store.consumer("c").open().unwrap();
    let refused = |result| assert_error!(result, Error::CommitRefused { .. });
    refused(consumer.commit(1));
    assert_eq!(numbers(consumer.by_ref().take(3)), [0, 1, 2]);
    consumer.commit(2).unwrap();
    refused(consumer.commit(1));
    refused(consumer.commit(4));
    assert_error!(consumer.commit(6), Error::BeyondEnd { .. });
    consumer.commit(2).unwrap();
    assert_eq!(consumer.commit_count(), 1, "to commit again what is committed does nothing");
    assert_eq!(consumer.committed(), Position::new(2));
}

#[test]
fn only_a_reset_goes_back_or_passes_what_was_not_given() {
    let (_, store) = store_of(5);
    let mut consumer = store.consumer("c").open().unwrap();
    consumer.reset_to(4).unwrap();
    assert_eq!(numbers(consumer.by_ref()), [4]);
    consumer.reset_to(1).unwrap();
    assert_eq!(numbers(consumer.by_ref()), [1, 2, 3, 4]);
    assert_error!(consumer.reset_to(6), Error::BeyondEnd { .. });
    assert_eq!(consumer.committed(), Position::new(1));
    assert_error!(store.consumer("d").from_position(6).open(), Error::BeyondEnd { .. });
    assert_eq!(store.consumers().unwrap().len(), 1);
}

#[test]
fn whoever_opens_a_consumer_takes_it_over() {
    let (_, store) = store_of(3);
    let mut first = store.consumer("c").open().unwrap();
    assert_eq!(numbers(first.by_ref()), [0, 1, 2]);
    let mut second = store.consumer("c").open().unwrap();
    let taken = |result| assert_error!(result, Error::TakenOver { .. });
    taken(first.commit(3));
    taken(first.reset_to(0));
    taken(first.dismiss_parked(0).map(drop));
    let batch = Batch::new().append("out", Expected::Any, [NewEvent::text("t", "3")]);
    taken(store.append_and_commit(&batch, &mut first, 3).map(drop));
    assert_eq!(store.end(), Position::new(3), "nothing was appended either");
    assert_eq!(numbers(second.by_ref()), [0, 1, 2]);
    second.commit(3).unwrap();
    // Dropping the first one says nothing any more.
    drop(first);
    assert_eq!(second.committed(), Position::new(3));
}

#[test]
fn a_deleted_consumer_begins_anew_and_its_owner_is_told() {
    let (disk, store) = store_of(3);
    let mut consumer = store.consumer("c").open().unwrap();
    assert_eq!(numbers(consumer.by_ref()), [0, 1, 2]);
    consumer.commit(3).unwrap();
    assert!(store.delete_consumer("c").unwrap());
    assert!(!store.delete_consumer("c").unwrap());
    assert_error!(consumer.commit(3), Error::TakenOver { .. });
    assert!(store.consumers().unwrap().is_empty());
    for seed in 0..20 {
        assert!(open(&disk.crash(seed)).consumers().unwrap().is_empty());
    }
    assert_eq!(numbers(store.consumer("c").open().unwrap()), [0, 1, 2]);
}

#[test]
fn names_in_any_script_are_consumers_and_none_leaves_its_folder() {
    let (disk, store) = store_of(1);
    let long = "n".repeat(80);
    let names = ["..", "a/b", "../../etc", "Billing", "billing", "结算", "🛒 cart", ".", &long];
    for (n, name) in names.iter().enumerate() {
        let mut consumer = store.consumer(*name).open().unwrap();
        if n.is_multiple_of(2) {
            assert_eq!(consumer.by_ref().count(), 1);
            consumer.commit_delivered().unwrap();
        }
    }
    let folders = |(file, _): &(String, Vec<u8>)| file.starts_with("consumers/");
    assert_eq!(disk.files().into_iter().filter(folders).count(), names.len());
    drop(store);
    let store = open(&disk.restart());
    let listed = store.consumers().unwrap();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    assert_eq!(listed.iter().map(|info| &*info.name).collect::<Vec<_>>(), sorted);
    for info in listed {
        let n = names.iter().position(|name| *name == info.name).unwrap();
        assert_eq!(info.committed.get(), u64::from(n.is_multiple_of(2)), "{}", info.name);
    }
}

#[test]
fn names_that_are_none_are_refused() {
    let (_, store) = store_of(1);
    let (long, wide) = ("n".repeat(300), "é".repeat(41));
    for (name, fault) in [
        ("", NameFault::Empty),
        (&*long, NameFault::TooLong { len: 300, max: 80 }),
        (&*wide, NameFault::TooLong { len: 82, max: 80 }),
        ("a\0", NameFault::ControlCharacter { offset: 1 }),
    ] {
        match store.consumer(name).open().map(drop) {
            Err(Error::InvalidName { fault: found, .. }) => assert_eq!(found, fault),
            other => panic!("{name:?}: {other:?}"),
        }
        assert_error!(store.delete_consumer(name), Error::InvalidName { .. });
    }
}

/// Puts bytes in the place of the file of a consumer that was at 2 of 3, and opens it.
fn opened_on(bytes: impl FnOnce(Vec<u8>) -> Vec<u8>) -> annals::Result<Position> {
    let (disk, store) = store_of(3);
    let mut consumer = store.consumer("c").open().unwrap();
    for position in 1..3 {
        assert_eq!(consumer.by_ref().take(1).count(), 1);
        consumer.commit(position).unwrap();
    }
    drop((consumer, store));
    let files = disk.files();
    let file = files.iter().find(|(name, _)| name == "consumers/c").unwrap();
    disk.put("consumers/c", bytes(file.1.clone()));
    open(&disk).consumer("c").open().map(|consumer| consumer.committed())
}

/// Which of the slots was written last: that of the higher generation.
fn newest(bytes: &[u8]) -> std::ops::Range<usize> {
    let generation = |at: usize| u64::from_le_bytes(bytes[at + 24..at + 32].try_into().unwrap());
    if generation(0) > generation(8_192) { 0..8_192 } else { 8_192..16_384 }
}

#[test]
fn a_torn_slot_is_the_commit_before_and_two_are_damage() {
    assert_eq!(opened_on(|bytes| bytes).unwrap(), Position::new(2));
    let torn = opened_on(|mut bytes| {
        let newest = newest(&bytes);
        bytes[newest][40..].fill(0);
        bytes
    });
    assert_eq!(torn.unwrap(), Position::new(1));
    let damaged = |bytes: Vec<u8>| {
        let opened = opened_on(|_| bytes);
        assert_error!(opened, Error::CorruptFile { path, .. } if path.ends_with("consumers/c"));
    };
    damaged(vec![0; 16_384]);
    damaged(vec![7; 16_384]);
    damaged(vec![]);
    damaged(vec![0xff; 100_000]);
    damaged(slots([9; 16], 1));
}

#[test]
fn a_damaged_consumer_can_be_deleted_and_harms_no_other() {
    let (disk, store) = store_of(3);
    for name in ["a", "b"] {
        let mut consumer = store.consumer(name).open().unwrap();
        assert_eq!(consumer.by_ref().count(), 3);
        consumer.commit_delivered().unwrap();
    }
    drop(store);
    disk.put("consumers/a", vec![7; 16_384]);
    disk.put("consumers/not ours", vec![7; 3]);
    let store = open(&disk);
    assert_eq!(store.consumer("b").open().unwrap().committed(), Position::new(3));
    assert_error!(store.consumer("a").open(), Error::CorruptFile { .. });
    assert_error!(store.consumers(), Error::CorruptFile { .. });
    assert!(store.delete_consumer("a").unwrap());
    assert_eq!(store.consumers().unwrap().len(), 1);
    assert_eq!(store.consumer("a").open().unwrap().committed(), Position::START);
}

#[test]
fn how_far_a_consumer_is_behind_is_told_in_events_bytes_and_time() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new().segment_len_max(4 << 10)).unwrap();
    append(&store, 0..100);
    let mut consumer = store.consumer("c").open().unwrap();
    let lag = consumer.lag().unwrap();
    let files = disk.files();
    let segments = files.iter().filter(|(name, _)| name.starts_with("log/"));
    let len: usize = segments.map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(lag.event_count, 100);
    let len = u64::try_from(len).unwrap();
    assert!(lag.len <= len && lag.len + 4_096 > len, "{} of {len}", lag.len);
    thread::sleep(Duration::from_millis(2));
    assert!(consumer.lag().unwrap().time >= Duration::from_millis(2));
    assert_eq!(consumer.by_ref().take(99).count(), 99);
    consumer.commit(99).unwrap();
    let lag = consumer.lag().unwrap();
    assert!(lag.event_count == 1 && lag.len < 200, "{lag:?}");
    assert_eq!(consumer.by_ref().count(), 1);
    consumer.commit(100).unwrap();
    assert_eq!(consumer.lag().unwrap(), annals::Lag::default());
}

/// Who listed consumers was told of the damage alone.
#[test]
fn a_consumer_that_damage_holds_up_is_seen_to_be_behind() {
    let options = Options::new().segment_len_max(4 << 10);
    // The last event of a segment, and one in the middle.
    for (count, bad) in [(7, 2), (7, 4)] {
        let disk = Simulation::new();
        let store = disk.open(&options).unwrap();
        for n in 0..count {
            let event = NewEvent::text("t", format!("event {n}.{}", "x".repeat(1_000)));
            store.append("s", Expected::Any, [event]).unwrap();
        }
        let mut consumer = store.consumer("c").open().unwrap();
        assert_eq!(consumer.by_ref().take(bad).count(), bad);
        consumer.commit(u64::try_from(bad).unwrap()).unwrap();
        drop(consumer);
        store.close().unwrap();
        let needle = format!("event {bad}.").into_bytes();
        let found = |(_, bytes): &(String, Vec<u8>)| bytes.windows(8).position(|at| at == needle);
        let (name, mut bytes) =
            disk.files().into_iter().find(|file| found(file).is_some()).unwrap();
        let at = found(&(name.clone(), bytes.clone())).unwrap();
        bytes[at] ^= 1;
        disk.put(&name, bytes);
        let store = disk.open(&options).unwrap();
        thread::sleep(Duration::from_millis(2));
        let lag = store.consumers().unwrap()[0].lag;
        assert_eq!(lag.event_count, u64::try_from(count - bad).unwrap());
        assert!(lag.time >= Duration::from_millis(2), "{lag:?}");
    }
}

#[test]
fn a_consumer_waits_for_what_is_appended_and_no_longer_than_it_is_told() {
    let (_, store) = store_of(1);
    let mut consumer = store.consumer("c").open().unwrap();
    assert_eq!(consumer.replay_end(), Position::new(1));
    assert!(consumer.next_timeout(NOW).unwrap().is_some());
    assert!(consumer.next_timeout(NOW).unwrap().is_none());
    assert!(consumer.next_timeout(Duration::from_millis(5)).unwrap().is_none());
    let other = store.clone();
    let appending = thread::spawn(move || append(&other, 1..2));
    let event = consumer.next_timeout(Duration::from_secs(60)).unwrap().unwrap();
    assert_eq!(event.payload(), b"1");
    appending.join().unwrap();
    store.close().unwrap();
    assert_error!(consumer.next_timeout(Duration::from_secs(60)), Error::Closed);
    assert_error!(consumer.commit(1), Error::Closed);
    assert_error!(store.consumer("c").open(), Error::Closed);
    assert_error!(store.consumers(), Error::Closed);
}

#[test]
fn following_gives_what_is_there_says_so_and_goes_on() {
    let (_, store) = store_of(2);
    let mut follow = store.read_all().follow();
    let mut next = || match follow.next_timeout(Duration::from_secs(60)).unwrap() {
        Some(Followed::Event(event)) => Some(event.position().get()),
        Some(Followed::CaughtUp) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!([next(), next(), next()], [Some(0), Some(1), None]);
    append(&store, 2..3);
    assert_eq!([next(), next()], [Some(2), None]);
    assert!(follow.next_timeout(Duration::from_millis(2)).unwrap().is_none());
    assert!(!follow.is_over());
    assert_eq!(follow.into_inner().next_position(), Position::new(3));
}

#[test]
fn following_a_stream_waits_for_that_stream() {
    let (_, store) = store_of(3);
    let mut follow = store.read_stream("s-1").follow();
    assert!(follow.next().unwrap().unwrap().event().is_some());
    assert!(follow.next().unwrap().unwrap().event().is_none());
    append(&store, 3..4);
    assert!(follow.next_timeout(Duration::from_millis(2)).unwrap().is_none());
    append(&store, 4..5);
    let event = follow.next().unwrap().unwrap().event().unwrap();
    assert_eq!((event.position(), event.revision().get()), (Position::new(4), 1));
}

#[test]
fn following_ends_where_nothing_can_come_any_more() {
    let (_, store) = store_of(5);
    let third = store.read_all().from(3).next().unwrap().unwrap().recorded_at();
    let events = |follow: &mut dyn Iterator<Item = annals::Result<Followed>>| {
        numbers(follow.filter_map(|item| item.map(Followed::event).transpose()))
    };
    assert_eq!(events(&mut store.read_all().recorded(..third).follow()), [0, 1, 2]);
    assert_eq!(events(&mut store.read_all().backwards().follow()), [4, 3, 2, 1, 0]);
    assert_eq!(events(&mut store.read_stream("s-0").recorded(..third).follow()), [0]);
    assert_eq!(events(&mut store.read_stream("s-0").backwards().follow()), [3, 0]);
    assert_eq!(events(&mut store.read_stream("none").backwards().follow()), [0; 0]);
}

#[test]
fn closing_the_store_ends_following() {
    let (_, store) = store_of(1);
    let follows = [0, 1].map(|n| {
        let store = store.clone();
        thread::spawn(move || match n {
            0 => store.read_all().follow().map(Result::unwrap).count(),
            _ => store.read_stream("s-0").follow().map(Result::unwrap).count(),
        })
    });
    thread::sleep(Duration::from_millis(20));
    store.close().unwrap();
    for follow in follows {
        assert_eq!(follow.join().unwrap(), 2, "the event, and that it has caught up");
    }
}

/// Answers the questions of a store, one for each event of the stream `questions`, each exactly once.
fn answer(store: &Store, consumer: &mut annals::Consumer) -> annals::Result<()> {
    while let Some(event) = consumer.next().transpose()? {
        let batch = Batch::new().append(
            "answers",
            Expected::Any,
            [NewEvent::bytes("answer", event.payload().to_vec())],
        );
        store.append_and_commit(batch, consumer, event.position().next())?;
    }
    Ok(())
}

fn questions(disk: &Simulation, count: u64) -> Store {
    let store = open(disk);
    for n in 0..count {
        store
            .append("questions", Expected::Any, [NewEvent::text("question", n.to_string())])
            .unwrap();
    }
    store
}

#[test]
fn what_a_handler_produces_and_its_progress_are_appended_as_one() {
    let disk = Simulation::new();
    let store = questions(&disk, 5);
    let mut asked = store.consumer("c").stream("questions").open().unwrap();
    answer(&store, &mut asked).unwrap();
    assert_eq!(asked.committed(), Position::new(5));
    assert_eq!(numbers(store.read_stream("answers")), [0, 1, 2, 3, 4]);
    for seed in 0..50 {
        // Nothing but the log has the progress.
        let store = open(&disk.crash(seed));
        let consumer = store.consumer("c").stream("questions").open().unwrap();
        assert_eq!(consumer.committed(), Position::new(5), "{seed}");
    }
    // Once it is settled, the log need not be looked through.
    drop(asked);
    assert_eq!(open(&disk.crash(1)).consumers().unwrap()[0].committed, Position::new(5));
}

#[test]
fn no_crash_parts_an_answer_from_the_progress_it_carries() {
    let mut seen = std::collections::BTreeSet::new();
    for calls in 0.. {
        let disk = Simulation::new();
        let store = questions(&disk, 4);
        disk.die_after(disk.call_count() + calls);
        let answered = store.consumer("c").stream("questions").open().and_then(|mut consumer| {
            answer(&store, &mut consumer)?;
            consumer.reset_to(2)?;
            consumer.reset_to(4)
        });
        for seed in 0..20 {
            let store = open(&disk.crash(seed));
            let mut consumer = store.consumer("c").stream("questions").open().unwrap();
            let there = store.stream_end("answers").unwrap().get();
            seen.insert(there);
            let place = consumer.committed().get();
            assert!(place == there || (there == 4 && place == 2), "{calls}, {seed}: {place}");
            if there == 4 {
                continue;
            }
            answer(&store, &mut consumer).unwrap();
            assert_eq!(numbers(store.read_stream("answers")), [0, 1, 2, 3], "{calls}, {seed}");
        }
        if answered.is_ok() {
            break;
        }
    }
    assert!(seen.into_iter().eq(0..=4));
}

#[test]
fn a_failed_call_parts_no_answer_from_its_progress() {
    for call in [annals::simulation::Call::Write, annals::simulation::Call::Sync] {
        for after in 0..12 {
            let disk = Simulation::new();
            let store = questions(&disk, 4);
            let mut consumer = store.consumer("c").stream("questions").open().unwrap();
            let fault = annals::simulation::Fault::next(call, std::io::ErrorKind::Other);
            disk.inject(fault.after(after));
            let _ = answer(&store, &mut consumer);
            disk.heal();
            // Whatever it says when it is dropped, or the store closed.
            drop((consumer, store));
            for state in (0..10).map(|seed| disk.crash(seed)).chain([disk.restart()]) {
                let store = open(&state);
                let mut consumer = store.consumer("c").stream("questions").open().unwrap();
                let there = store.stream_end("answers").unwrap().get();
                assert_eq!(consumer.committed().get(), there, "{call:?} after {after}");
                answer(&store, &mut consumer).unwrap();
                assert_eq!(numbers(store.read_stream("answers")), [0, 1, 2, 3]);
            }
        }
    }
}

#[test]
fn a_batch_that_is_refused_moves_no_consumer() {
    let (_, store) = store_of(3);
    let mut consumer = store.consumer("c").open().unwrap();
    assert_eq!(consumer.by_ref().take(2).count(), 2);
    let conflict = Batch::new().append("s-0", Expected::NoStream, [NewEvent::text("t", "")]);
    assert_error!(store.append_and_commit(conflict, &mut consumer, 1), Error::Conflict { .. });
    let batch = Batch::new().append("out", Expected::Any, [NewEvent::text("t", "")]);
    assert_error!(store.append_and_commit(Batch::new(), &mut consumer, 1), Error::EmptyBatch);
    let refused = store.append_and_commit(&batch, &mut consumer, 3);
    assert_error!(refused, Error::CommitRefused { .. });
    assert_error!(store.append_and_commit(&batch, &mut consumer, 4), Error::BeyondEnd { .. });
    let (_, other) = store_of(3);
    let foreign = other.append_and_commit(&batch, &mut consumer, 1);
    assert_error!(foreign, Error::ForeignConsumer { .. });
    assert_eq!((consumer.committed(), store.end()), (Position::START, Position::new(3)));
    store.append_and_commit(&batch, &mut consumer, 2).unwrap();
    assert_eq!((consumer.committed(), store.end()), (Position::new(2), Position::new(4)));
}

#[test]
fn commits_and_answers_can_be_mixed() {
    let disk = Simulation::new();
    let store = questions(&disk, 6);
    // The log is looked through for another one, and says of the first one what counts no more.
    let mut other = store.consumer("other").open().unwrap();
    assert_eq!(other.by_ref().take(1).count(), 1);
    let batch = Batch::new().append("others", Expected::Any, [NewEvent::text("t", "")]);
    store.append_and_commit(batch, &mut other, 1).unwrap();
    let mut consumer = store.consumer("c").stream("questions").open().unwrap();
    for (n, event) in (1..=6).zip(consumer.by_ref().collect::<Vec<_>>()) {
        let event = event.unwrap();
        if n % 3 == 0 {
            consumer.commit(event.position().next()).unwrap();
        } else {
            let answer = NewEvent::bytes("answer", event.payload().to_vec());
            let batch = Batch::new().append("answers", Expected::Any, [answer]);
            store.append_and_commit(batch, &mut consumer, event.position().next()).unwrap();
        }
        for seed in 0..5 {
            let store = open(&disk.crash(seed));
            let place = store.consumers().unwrap()[0].committed;
            assert_eq!(place, event.position().next(), "{n}, {seed}");
        }
    }
    consumer.reset_to(1).unwrap();
    for seed in 0..5 {
        let consumers = open(&disk.crash(seed)).consumers().unwrap();
        let places: Vec<_> = consumers.iter().map(|info| info.committed.get()).collect();
        assert_eq!(places, [1, 1], "what was in the log before a reset counts no more");
    }
}

/// A consumer whose progress only the log has is looked for from a place in it. What is not durable
/// there may be gone after a crash, and the log go another way.
#[test]
fn progress_is_found_though_a_crash_has_taken_back_what_was_before_it() {
    for seed in 0..50 {
        let disk = Simulation::new();
        let store = questions(&disk, 3);
        let buffered = |stream: &str, count: u64| {
            let events = (0..count).map(|n| NewEvent::text("noise", n.to_string()));
            Batch::new()
                .append(stream, Expected::Any, events)
                .durability(annals::Durability::Buffered)
        };
        (0..20).for_each(|_| _ = store.append_batch(buffered("noise", 1)).unwrap());
        let mut consumer = store.consumer("c").stream("questions").open().unwrap();
        let event = consumer.next().unwrap().unwrap();
        store
            .append_and_commit(buffered("answers", 1), &mut consumer, event.position().next())
            .unwrap();
        if seed % 2 == 0 {
            // It is kept what the batch has said, and the batch is durable by then.
            drop(consumer);
        }
        let disk = disk.crash(seed);
        let store = open(&disk);
        let there = store.stream_end("answers").unwrap().get();
        assert!(there == 1 || seed % 2 == 1);
        let mut consumer = store.consumer("c").stream("questions").open().unwrap();
        assert_eq!(consumer.committed().get(), there);
        answer(&store, &mut consumer).unwrap();
        let store = open(&disk.crash(seed));
        let consumer = store.consumer("c").stream("questions").open().unwrap();
        assert_eq!(consumer.committed(), Position::new(3), "{seed}");
    }
}

#[test]
fn a_commit_first_makes_durable_what_is_before_it() {
    let disk = Simulation::new();
    let options = Options::new().durability(annals::Durability::Buffered);
    let store = disk.open(&options).unwrap();
    let mut consumer = store.consumer("c").from_position(0).open().unwrap();
    append(&store, 0..9);
    assert_eq!(numbers(consumer.by_ref().take(6)), [0, 1, 2, 3, 4, 5]);
    consumer.commit(6).unwrap();
    append(&store, 9..12);
    for seed in 0..100 {
        // A place after the end would be damage.
        let store = disk.crash(seed).open(&options).unwrap();
        assert!(store.end().get() >= 6, "{seed}");
        assert_eq!(store.consumers().unwrap()[0].committed, Position::new(6));
    }
}

/// Far behind, a consumer of a stream with few events looks them up, and must give the same.
#[test]
fn a_consumer_of_a_rare_stream_gives_all_of_it_and_passes_the_rest() {
    let disk = Simulation::new();
    let store = open(&disk);
    let append = |range: std::ops::Range<u64>| {
        let buffered = Batch::new().durability(annals::Durability::Buffered);
        let batch = range.fold(buffered, |batch, n| {
            let stream = if n % 700 == 3 { "rare" } else { "noise" };
            let event_type = if n % 1_400 == 3 { "even" } else { "odd" };
            batch.append(stream, Expected::Any, [NewEvent::text(event_type, n.to_string())])
        });
        store.append_batch(batch).unwrap();
    };
    (0..40).for_each(|n| append(n * 500..(n + 1) * 500));
    let rare = |range: std::ops::Range<u64>| range.filter(|n| n % 700 == 3).collect::<Vec<_>>();
    let mut consumer = store.consumer("c").stream("rare").open().unwrap();
    assert_eq!(numbers(consumer.by_ref().take(5)), rare(0..3_000));
    let fifth = consumer.next_position();
    assert_eq!(fifth.get(), 700 * 4 + 4, "it has passed no more than what it gave");
    consumer.commit(fifth).unwrap();
    append(20_000..20_500);
    assert_eq!(numbers(consumer.by_ref()), rare(3_000..20_500));
    assert_eq!(consumer.next_position(), store.end());
    append(20_500..22_000);
    assert_eq!(numbers(consumer.by_ref()), rare(20_500..22_000));
    consumer.commit_delivered().unwrap();
    assert_eq!(consumer.lag().unwrap().event_count, 0);
    for place in [0, 3, 4, 1_000, 2_803, 2_804, 5_000] {
        consumer.reset_to(place).unwrap();
        assert_eq!(numbers(consumer.by_ref()), rare(place..22_000), "from {place}");
        assert_eq!(consumer.next_position(), store.end());
    }
    drop(consumer);
    let types = store.consumer("d").stream("rare").event_types(["even"]).open().unwrap();
    assert_eq!(numbers(types), (3..22_000).step_by(1_400).collect::<Vec<_>>());
    // Without an index as well.
    let store = disk.restart().without_index().open(&Options::new()).unwrap();
    assert_eq!(numbers(store.consumer("e").stream("rare").open().unwrap()), rare(0..22_000));
    let none = store.consumer("f").stream("none").open().unwrap();
    assert_eq!(numbers(none), [0; 0]);
}

/// The process ends between write and sync: the place that is found is in the page cache only, until it
/// is committed, though that moves nothing.
#[test]
fn a_commit_of_the_place_that_was_found_makes_it_durable() {
    let (disk, store) = store_of(3);
    let mut consumer = store.consumer("c").open().unwrap();
    for position in 1..3 {
        assert_eq!(consumer.by_ref().take(1).count(), 1);
        if position == 2 {
            disk.die_after(disk.call_count() + 1);
        }
        assert_eq!(consumer.commit(position).is_ok(), position == 1);
    }
    let restarted = disk.restart();
    let store = open(&restarted);
    let mut consumer = store.consumer("c").open().unwrap();
    assert_eq!(consumer.committed(), Position::new(2));
    let places = || (0..50).map(|seed| open(&restarted.crash(seed)).consumers().unwrap());
    assert!(places().any(|infos| infos[0].committed == Position::new(1)), "it may be lost");
    consumer.commit(2).unwrap();
    assert!(places().all(|infos| infos[0].committed == Position::new(2)));
}

/// From where on the log must be looked through for a consumer, as its file says.
fn log_from(disk: &Simulation) -> u64 {
    let files = disk.files();
    let (_, bytes) = files.iter().find(|(name, _)| name == "consumers/c").unwrap();
    let slot = &bytes[newest(bytes)];
    u64::from_le_bytes(slot[56..64].try_into().unwrap())
}

#[test]
fn how_much_of_the_log_is_looked_through_for_progress_is_bounded() {
    let disk = Simulation::new();
    let store = questions(&disk, 2);
    let mut consumer = store.consumer("c").stream("questions").open().unwrap();
    let noise = || {
        for _ in 0..14 {
            let events = (0..5_000).map(|_| NewEvent::text("noise", ""));
            let batch = Batch::new().durability(annals::Durability::Buffered);
            store.append_batch(batch.append("noise", Expected::Any, events)).unwrap();
        }
    };
    let mut answer_one = || {
        let event = consumer.next().unwrap().unwrap();
        let answer = NewEvent::bytes("answer", event.payload().to_vec());
        let batch = Batch::new().append("answers", Expected::Any, [answer]);
        store.append_and_commit(batch, &mut consumer, event.position().next()).unwrap()
    };
    answer_one();
    assert_eq!(log_from(&disk), 2);
    noise();
    // A consumer that goes on says from time to time how far it is.
    let answered = answer_one();
    assert_eq!(log_from(&disk), answered.end().get());
    // Of one that does not, the next process does.
    noise();
    store.sync().unwrap();
    let disk = disk.restart();
    let store = open(&disk);
    assert_eq!(store.consumers().unwrap()[0].committed, Position::new(2));
    assert_eq!(log_from(&disk), u64::MAX);
}
