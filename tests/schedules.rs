//! Group commit under a scheduler that tries out the orders in which threads may run, on a
//! simulated directory: nobody waits for ever, and whatever the order, the promises hold.
//!
//! Built only with `RUSTFLAGS="--cfg shuttle"`. `ANNALS_SCHEDULES` is the number of schedules for
//! each test, 300 if it is not set: two thirds chosen at random, the others by PCT. A schedule
//! that fails is printed, and `shuttle::replay` runs it again.
#![cfg(all(shuttle, feature = "simulation"))]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::env;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use annals::simulation::{Call, Fault, Simulation};
use annals::{
    Batch, Clock, Durability, Error, Event, Expected, NewEvent, Options, Receipt, Result, Store,
    Timestamp,
};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};

/// How many threads of a schedule PCT holds back for a while.
const PCT_DEPTH: usize = 3;
/// Streams that all writers append to.
const SHARED: [&str; 2] = ["a", "b"];
const SYNC: Durability = Durability::Sync;
const BUFFERED: Durability = Durability::Buffered;

fn explore(test: impl Fn() + Send + Sync + 'static) {
    explore_share(1, test);
}

/// As [`explore`], with one of so many shares of the schedules.
fn explore_share(shares: usize, test: impl Fn() + Send + Sync + 'static) {
    let schedules = env::var("ANNALS_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let share = schedules / shares;
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    let test = Arc::new(test);
    let again = Arc::clone(&test);
    let random = RandomScheduler::new((share - share / 3).max(1));
    Runner::new(random, config.clone()).run(move || test());
    let pct = PctScheduler::new(PCT_DEPTH, (share / 3).max(1));
    Runner::new(pct, config).run(move || again());
}

/// Ticks at every question, so that a schedule can be run again.
#[derive(Debug, Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Small segments, so that two or three batches fill one, and small checkpoints.
fn options() -> Options {
    Options::new()
        .segment_len_max(4 << 10)
        .read_cache_len(64 << 10)
        .checkpoint_event_count(3)
        .clock(Ticks::default())
}

/// What was said to those who appended a batch.
#[derive(Clone, Debug)]
enum Answer {
    Acknowledged(Receipt, Durability),
    /// It is not there, and never will be.
    Undone,
    Unknown,
}

/// What all threads were told, by the name of the batch.
type Answers = BTreeMap<String, Answer>;

fn answer(result: Result<Receipt>, durability: Durability) -> Answer {
    match result {
        Ok(receipt) => Answer::Acknowledged(receipt, durability),
        Err(Error::OutcomeUnknown { .. }) => Answer::Unknown,
        Err(Error::Poisoned | Error::Closed | Error::Io { .. } | Error::Conflict { .. }) => {
            Answer::Undone
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// A batch of two events, one for each shared stream, that say which batch they are of.
fn batch(name: &str, durability: Durability) -> Batch {
    let event = || {
        let mut payload = format!("{name} ").into_bytes();
        payload.resize(700, b'.');
        NewEvent::bytes("t", payload)
    };
    SHARED.iter().fold(Batch::new().durability(durability), |batch, stream| {
        batch.append(*stream, Expected::Any, [event()])
    })
}

fn name_of(event: &Event) -> String {
    let text = String::from_utf8(event.payload().to_vec()).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

/// Appends a batch for each of these, one after the other.
fn write(store: &Store, writer: &str, durabilities: &[Durability]) -> Answers {
    let append = |(n, durability): (usize, &Durability)| {
        let name = format!("{writer}-{n}");
        let answer = answer(store.append_batch(batch(&name, *durability)), *durability);
        (name, answer)
    };
    durabilities.iter().enumerate().map(append).collect()
}

/// Runs one writer in a thread for each of these rows, and gives what they were told.
fn write_at_once(store: &Store, rows: &[&'static [Durability]]) -> Answers {
    let threads: Vec<_> = (0..)
        .zip(rows)
        .map(|(n, row)| {
            let (store, row, writer) = (store.clone(), *row, format!("w{n}"));
            thread::spawn(move || write(&store, &writer, row))
        })
        .collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

/// Fails unless these are whole batches at dense positions and revisions; gives their names with
/// the position of their first event.
fn whole_batches(events: &[Event]) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    for (n, pair) in (0..).zip(events.chunks(SHARED.len())) {
        assert_eq!(pair.len(), SHARED.len(), "half a batch");
        for (event, stream) in pair.iter().zip(SHARED) {
            assert_eq!((event.stream(), event.revision().get()), (stream, n));
            assert_eq!(name_of(event), name_of(&pair[0]));
        }
        assert_eq!([false, true], [pair[0].ends_batch(), pair[1].ends_batch()]);
        assert_eq!((pair[0].position().get(), pair[1].position().get()), (2 * n, 2 * n + 1));
        found.push((2 * n, name_of(&pair[0])));
    }
    found
}

fn read(store: &Store) -> Vec<Event> {
    store.read_all().map(Result::unwrap).collect()
}

/// Fails unless the store holds what it must, and nothing that it must not.
fn check(store: &Store, answers: &Answers, is_after_crash: bool) {
    let events = read(store);
    let found = whole_batches(&events);
    assert_eq!(store.end().get(), 2 * u64::try_from(found.len()).unwrap());
    for (position, name) in &found {
        match &answers[name] {
            Answer::Acknowledged(receipt, _) => assert_eq!(receipt.first().get(), *position),
            Answer::Undone => panic!("{name} came back"),
            Answer::Unknown => {}
        }
    }
    // A batch that is durable makes all before it durable.
    let durable_end = answers.values().filter_map(|answer| match answer {
        Answer::Acknowledged(receipt, SYNC) => Some(receipt.end()),
        _ => None,
    });
    let kept = if is_after_crash { durable_end.max().unwrap_or_default() } else { store.end() };
    for (name, answer) in answers {
        if let Answer::Acknowledged(receipt, _) = answer
            && receipt.end() <= kept
        {
            assert!(found.iter().any(|(_, other)| other == name), "{name} is lost");
        }
    }
    for stream in SHARED {
        let of_stream: Vec<_> =
            store.read_stream(stream).map(|event| event.unwrap().position()).collect();
        let of_log: Vec<_> =
            events.iter().filter(|e| e.stream() == stream).map(Event::position).collect();
        assert_eq!(of_stream, of_log);
        assert_eq!(store.stream_end(stream).unwrap().get(), u64::try_from(of_log.len()).unwrap());
    }
}

/// Checks the store as it is, and what a crash now and the end of the process leave of it.
fn check_all(disk: &Simulation, store: &Store, answers: &Answers) {
    check(store, answers, false);
    let acknowledged = answers.values().filter(|a| matches!(a, Answer::Acknowledged(..))).count();
    let unknown = answers.values().filter(|a| matches!(a, Answer::Unknown)).count();
    let end = usize::try_from(store.end().get()).unwrap() / SHARED.len();
    assert!((acknowledged..=acknowledged + unknown).contains(&end), "acknowledged is visible");
    for seed in 0..3 {
        check(&disk.crash(seed).open(&options()).unwrap(), answers, true);
    }
    check(&disk.restart().open(&options()).unwrap(), answers, true);
}

#[test]
fn whatever_the_order_every_append_is_answered_and_kept() {
    explore(|| {
        let disk = Simulation::new();
        let store = disk.open(&options()).unwrap();
        let syncing = store.clone();
        let syncer = thread::spawn(move || syncing.sync().unwrap());
        let answers = write_at_once(&store, &[&[SYNC, BUFFERED], &[BUFFERED, SYNC], &[SYNC]]);
        syncer.join().unwrap();
        assert!(answers.values().all(|answer| matches!(answer, Answer::Acknowledged(..))));
        check_all(&disk, &store, &answers);
        // What is synced now no crash takes back, buffered or not.
        store.sync().unwrap();
        let all = store.end();
        for seed in 0..3 {
            assert_eq!(disk.crash(seed).open(&options()).unwrap().end(), all);
        }
        drop(store);
        let store = disk.open(&options()).unwrap();
        assert!(store.recovery().was_closed);
        check(&store, &answers, true);
    });
}

/// Reads to the visible end while others append, and crashes where it stands.
fn follow(store: &Store, disk: &Simulation, is_done: &AtomicBool) {
    let mut cursor = store.read_all();
    let mut of_stream = store.read_stream("a");
    let mut seen = Vec::new();
    loop {
        let is_last = is_done.load(Ordering::Acquire);
        let seen_before = seen.len();
        seen.extend(cursor.by_ref().map(Result::unwrap));
        whole_batches(&seen);
        for event in of_stream.by_ref().map(Result::unwrap) {
            assert_eq!(event.revision().get() * 2, event.position().get());
            assert!(event.position() < store.end());
        }
        if seen.len() > seen_before {
            let end =
                disk.crash(u64::try_from(seen.len()).unwrap()).open(&options()).unwrap().end();
            assert!(end >= seen.last().unwrap().position(), "a crash took back what was seen");
        }
        if is_last {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn whatever_the_order_readers_see_whole_batches_and_only_durable_ones() {
    explore(|| {
        let disk = Simulation::new();
        let store = disk.open(&options()).unwrap();
        let is_done = Arc::new(AtomicBool::new(false));
        let reader = {
            let (store, disk, is_done) = (store.clone(), disk.clone(), Arc::clone(&is_done));
            thread::spawn(move || follow(&store, &disk, &is_done))
        };
        let answers = write_at_once(&store, &[&[SYNC, SYNC], &[SYNC, SYNC]]);
        is_done.store(true, Ordering::Release);
        reader.join().unwrap();
        check_all(&disk, &store, &answers);
    });
}

/// Appends to one stream on what it has read there, until this many are accepted; gives the
/// revisions that it won.
fn compete(store: &Store, wins: u64) -> Vec<u64> {
    let mut won = Vec::new();
    while u64::try_from(won.len()).unwrap() < wins {
        let end = store.stream_end("account").unwrap();
        match store.append("account", end.into(), [NewEvent::bytes("t", vec![b'.'; 900])]) {
            Ok(receipt) => {
                assert_eq!(receipt.revisions(), end..end.next());
                won.push(end.get());
            }
            Err(Error::Conflict { actual, .. }) => {
                assert!(actual > end, "a conflict that is none");
                // The one who has won may be waiting for its turn to write.
                thread::yield_now();
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    won
}

#[test]
fn whatever_the_order_exactly_one_of_those_who_expect_the_same_wins() {
    explore(|| {
        let disk = Simulation::new();
        let store = disk.open(&options()).unwrap();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || compete(&store, 2))
            })
            .collect();
        let mut won: Vec<_> =
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        won.sort_unstable();
        assert_eq!(won, [0, 1, 2, 3, 4, 5]);
        for seed in 0..3 {
            let store = disk.crash(seed).open(&options()).unwrap();
            assert_eq!(store.stream_end("account").unwrap().get(), 6);
        }
    });
}

/// Appends from three threads while a call fails, at each of the first calls of its kind in turn.
fn fail_each(fault: Fault, calls: usize, is_final: bool) {
    for after in 0..calls {
        explore_share(calls, move || {
            let disk = Simulation::new();
            let store = disk.open(&options()).unwrap();
            disk.inject(fault.after(u64::try_from(after).unwrap()));
            let answers = write_at_once(&store, &[&[SYNC, BUFFERED], &[BUFFERED, SYNC], &[SYNC]]);
            disk.heal();
            check_all(&disk, &store, &answers);
            let is_refused = matches!(store.sync(), Err(Error::Poisoned));
            let was_unknown = answers.values().any(|answer| matches!(answer, Answer::Unknown));
            assert!(is_final || !is_refused, "a failed write ends nothing");
            assert!(is_refused || !was_unknown, "what is unknown ends appending");
            let next = store.append_batch(batch("next", SYNC));
            assert_eq!(matches!(next, Err(Error::Poisoned)), is_refused, "{next:?}");
        });
    }
}

#[test]
fn whatever_the_order_a_failed_write_leaves_nothing_and_ends_nothing() {
    fail_each(Fault::next(Call::Write, ErrorKind::StorageFull), 5, false);
    fail_each(Fault::next(Call::Create, ErrorKind::StorageFull), 2, false);
}

#[test]
fn whatever_the_order_a_failed_sync_ends_appending() {
    fail_each(Fault::next(Call::Sync, ErrorKind::Other), 5, true);
    fail_each(Fault::next(Call::Sync, ErrorKind::Other).forever(), 3, true);
}

/// As [`write`], telling all threads once one of them was told that the outcome is unknown.
fn write_until_poisoned(store: &Store, writer: usize, is_poisoned: &AtomicBool) -> Answers {
    let mut answers = Answers::new();
    for n in 0..3 {
        let was_poisoned = is_poisoned.load(Ordering::Acquire);
        let name = format!("w{writer}-{n}");
        let result = store.append_batch(batch(&name, SYNC));
        assert!(!was_poisoned || matches!(result, Err(Error::Poisoned)), "{result:?}");
        // The sync of a segment that is being created ends nothing: it is taken away again.
        if let Err(Error::OutcomeUnknown { .. } | Error::Poisoned) = result {
            is_poisoned.store(true, Ordering::Release);
        }
        answers.insert(name, answer(result, SYNC));
    }
    answers
}

#[test]
fn whatever_the_order_nobody_is_acknowledged_after_a_failed_sync() {
    explore(|| {
        let disk = Simulation::new();
        let store = disk.open(&options()).unwrap();
        disk.inject(Fault::next(Call::Sync, ErrorKind::Other).after(2));
        let is_poisoned = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..3)
            .map(|writer| {
                let (store, is_poisoned) = (store.clone(), Arc::clone(&is_poisoned));
                thread::spawn(move || write_until_poisoned(&store, writer, &is_poisoned))
            })
            .collect();
        let answers = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        check_all(&disk, &store, &answers);
    });
}

/// As [`write`], going on after panics.
fn write_through_panics(store: &Store, writer: usize) -> (Answers, usize) {
    let (mut answers, mut panics) = (Answers::new(), 0);
    for n in 0..2 {
        let name = format!("w{writer}-{n}");
        let append = || store.append_batch(batch(&name, SYNC));
        let answer = if let Ok(result) = catch_unwind(AssertUnwindSafe(append)) {
            answer(result, SYNC)
        } else {
            panics += 1;
            Answer::Unknown
        };
        answers.insert(name, answer);
    }
    (answers, panics)
}

#[test]
fn whatever_the_order_a_leader_that_panics_wakes_those_who_wait() {
    for (call, after) in [(Call::Write, 0), (Call::Write, 1), (Call::Sync, 0), (Call::Sync, 1)] {
        explore_share(4, move || {
            let disk = Simulation::new();
            let store = disk.open(&options()).unwrap();
            disk.inject(Fault::next(call, ErrorKind::Other).after(after).panicking());
            let threads: Vec<_> = (0..3)
                .map(|writer| {
                    let store = store.clone();
                    thread::spawn(move || write_through_panics(&store, writer))
                })
                .collect();
            let told: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            let panics = told.iter().map(|(_, panics)| panics).sum::<usize>();
            let answers = told.into_iter().flat_map(|(answers, _)| answers).collect();
            check_all(&disk, &store, &answers);
            let next = store.append_batch(batch("next", SYNC));
            if panics == 0 && after > 0 {
                // It was the one who noted what is durable, which costs nobody anything.
                next.unwrap();
            } else {
                assert_eq!(panics, 1, "one panics");
                assert!(matches!(next, Err(Error::Poisoned)), "{next:?}");
            }
        });
    }
}

/// Panics at one of its first questions.
#[derive(Debug)]
struct BrokenClock(AtomicI64);

impl Clock for BrokenClock {
    fn now(&self) -> Timestamp {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        assert!(asked != 3, "the clock is broken");
        Timestamp::from_nanos(asked)
    }
}

#[test]
fn whatever_the_order_a_clock_that_panics_costs_only_the_append_that_asked_it() {
    explore(|| {
        let disk = Simulation::new();
        let store = disk.open(&options().clock(BrokenClock(AtomicI64::new(0)))).unwrap();
        let threads: Vec<_> = (0..3)
            .map(|writer| {
                let store = store.clone();
                thread::spawn(move || write_through_panics(&store, writer))
            })
            .collect();
        let told: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(told.iter().map(|(_, panics)| panics).sum::<usize>(), 1, "one panics");
        let answers: Answers = told.into_iter().flat_map(|(answers, _)| answers).collect();
        let failed: Vec<_> =
            answers.iter().filter(|(_, a)| !matches!(a, Answer::Acknowledged(..))).collect();
        assert_eq!(failed.len(), 1, "{failed:?}");
        check_all(&disk, &store, &answers);
        assert_eq!(store.end().get(), 2 * 5);
        store.append_batch(batch("next", SYNC)).unwrap();
    });
}

#[test]
fn whatever_the_order_a_close_finishes_what_it_acknowledges() {
    explore(|| {
        let disk = Simulation::new();
        let store = disk.open(&options()).unwrap();
        let closers: Vec<_> = (0..2)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || store.close().unwrap())
            })
            .collect();
        let answers = write_at_once(&store, &[&[SYNC, BUFFERED], &[BUFFERED, SYNC]]);
        for closer in closers {
            closer.join().unwrap();
        }
        let opened = disk.open(&options()).unwrap();
        assert!(opened.recovery().was_closed);
        let none_unknown = answers.values().all(|answer| !matches!(answer, Answer::Unknown));
        assert!(none_unknown, "{answers:?}");
        let acknowledged = answers.values().filter(|a| matches!(a, Answer::Acknowledged(..)));
        assert_eq!(opened.end().get(), 2 * u64::try_from(acknowledged.count()).unwrap());
        check_all(&disk, &opened, &answers);
    });
}

/// Found by reading: who had appended, and then was held up, wrote its note after others had closed the
/// store; and who only synced was not waited for. Another process may have it open by then.
#[test]
fn whatever_the_order_nobody_touches_a_closed_store() {
    explore(|| {
        let disk = Simulation::new();
        let store = disk.open(&options()).unwrap();
        let (closing, closed_disk) = (store.clone(), disk.clone());
        let closer = thread::spawn(move || {
            closing.close().unwrap();
            closed_disk.call_count()
        });
        let syncers: Vec<_> = (0..2)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || (0..3).for_each(|_| _ = store.sync()))
            })
            .collect();
        write_at_once(&store, &[&[SYNC, BUFFERED], &[BUFFERED, SYNC]]);
        for syncer in syncers {
            syncer.join().unwrap();
        }
        let calls = closer.join().unwrap();
        assert_eq!(disk.call_count(), calls, "someone came late");
    });
}

/// Commits whatever it sees, and sees to it that a crash right then leaves it and what is before it.
fn commit_all(store: &Store, disk: &Simulation, is_done: &AtomicBool) {
    let mut consumer = store.consumer("c").open().unwrap();
    loop {
        let was_done = is_done.load(Ordering::SeqCst);
        let count = consumer.by_ref().map(Result::unwrap).count();
        if count > 0 {
            consumer.commit_delivered().unwrap();
            for seed in 0..3 {
                // A place after the end of the log would be damage.
                let crashed = disk.crash(seed).open(&options()).unwrap();
                let place = crashed.consumers().unwrap()[0].committed;
                assert_eq!(place, consumer.committed());
                assert!(place <= crashed.end());
            }
        } else if was_done {
            break;
        }
        thread::yield_now();
    }
}

/// Found by reading: a group was visible, and its leader had not taken note of it yet, when a consumer
/// committed it; the sync before that took the segment before for the whole log.
#[test]
fn whatever_the_order_a_commit_names_only_what_is_durable() {
    explore_share(3, || {
        let disk = Simulation::new();
        let store = disk.open(&options()).unwrap();
        let is_done = Arc::new(AtomicBool::new(false));
        let consumer = {
            let (store, disk, is_done) = (store.clone(), disk.clone(), Arc::clone(&is_done));
            thread::spawn(move || commit_all(&store, &disk, &is_done))
        };
        write_at_once(&store, &[&[BUFFERED, BUFFERED, BUFFERED], &[BUFFERED, BUFFERED]]);
        is_done.store(true, Ordering::SeqCst);
        consumer.join().unwrap();
        assert_eq!(store.consumers().unwrap()[0].committed, store.end());
    });
}
