//! A process that is killed while its workers handle events, and its process manager answers them:
//! nothing is skipped, what is repeated is bounded, and each question is answered once.
//!
//! `ANNALS_KILL_ROUNDS` is how often one is killed, 12 unless it is set.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "how much was done is worth telling")]
#![expect(clippy::disallowed_types, reason = "what is told goes to a file of the system")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;
#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, reason = "what a file uses of it differs")]
mod real;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals::{Batch, Delivery, Error, Expected, NewEvent, Options, Store, Workers};
use common::count;
use real::{Running, command, number_from, tell};

const STREAM_COUNT: u64 = 7;
/// How many events there are at least for each process to handle.
const EVENTS_PER_ROUND: u64 = 400;
const IN_FLIGHT_COUNT_MAX: usize = 16;
/// How long a process may take to do what is left.
const TIME: Duration = Duration::from_secs(60);

/// Not a test of its own: the processes that tests have started run it.
#[test]
fn a_process_that_a_test_has_started_plays_its_part() {
    let Some((part, place)) = real::part() else { return };
    assert_eq!(part, "work");
    work(&place);
}

fn options() -> Options {
    Options::new().segment_len_max(64 << 10).checkpoint_event_count(500)
}

/// Where handlers write down what they have handled.
fn list(store: &Path) -> PathBuf {
    store.with_extension("handled")
}

/// Handles and answers until nothing is left.
fn work(path: &Path) {
    let store = Arc::new(options().open(path).unwrap());
    // Each line is one write at the end of the file: the processes of all rounds share it.
    let list = OpenOptions::new().append(true).create(true).open(list(path)).unwrap();
    let handler = move |delivery: &Delivery| {
        let position = delivery.event().position().get();
        // It takes a while, so that some are under way at any time.
        thread::sleep(Duration::from_micros(position * 7_919 % 1_000));
        let line = format!("{position}\n");
        (&list).write_all(line.as_bytes())
    };
    let workers = Workers::new(4).in_flight_max(IN_FLIGHT_COUNT_MAX);
    let consumer = store.consumer("workers").stream_prefix("s-").open().unwrap();
    let group = consumer.run(workers, handler).unwrap();
    let answering = {
        let store = Arc::clone(&store);
        thread::spawn(move || answer(&store))
    };
    tell("WORKING");
    answering.join().unwrap();
    while group.stats().committed < store.end() {
        assert!(group.is_running(), "{:?}", group.wait());
        thread::sleep(Duration::from_millis(1));
    }
    group.stop(TIME).unwrap();
    tell("DONE");
}

/// Answers each question, and sometimes two at once.
fn answer(store: &Store) {
    let mut manager = store.consumer("manager").event_types(["question"]).open().unwrap();
    loop {
        let take = if manager.next_position().get().is_multiple_of(3) { 2 } else { 1 };
        let questions: Result<Vec<_>, Error> = manager.by_ref().take(take).collect();
        let questions = questions.unwrap();
        let Some(last) = questions.last() else { return };
        let answers = questions.iter().map(|q| NewEvent::text("answer", q.position().to_string()));
        let batch = Batch::new().append("answers", Expected::Any, answers);
        store.append_and_commit(batch, &mut manager, last.position().next()).unwrap();
    }
}

/// Appends so many more events, of which every second is a question.
fn append(path: &Path, round: u64) {
    let store = options().open(path).unwrap();
    for n in 0..EVENTS_PER_ROUND / 10 {
        let event = |k: u64| {
            let kind = if k.is_multiple_of(2) { "question" } else { "plain" };
            let stream = format!("s-{}", (round + 3 * n + k) % STREAM_COUNT);
            (stream, NewEvent::text(kind, n.to_string()))
        };
        let add = |batch: Batch, (stream, event)| batch.append(stream, Expected::Any, [event]);
        store.append_batch((0..10).map(event).fold(Batch::new(), add)).unwrap();
    }
    store.close().unwrap();
}

/// The positions that were handled, in the order in which that was written down.
fn handled(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(list(path)).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Checks what was written down since the last round; gives how many events were repeated.
fn check_round(all: &[u64], before: usize, streams: &BTreeMap<u64, String>) -> usize {
    let (known, new) = all.split_at(before);
    let known: BTreeSet<_> = known.iter().collect();
    let mut last = BTreeMap::new();
    for position in new {
        let before = last.insert(&*streams[position], position);
        assert!(before < Some(position), "{before:?}, then {position}: not in order");
    }
    let repeated = new.iter().filter(|position| known.contains(position)).count();
    assert!(repeated <= IN_FLIGHT_COUNT_MAX, "{repeated} events were repeated after one kill");
    repeated
}

/// Checks that all was handled, each stream in its order, and answered once.
fn check_all(store: &Store, all: &[u64], streams: &BTreeMap<u64, String>) {
    let mut first = BTreeMap::<_, Vec<_>>::new();
    let mut known = BTreeSet::new();
    for position in all.iter().filter(|position| known.insert(**position)) {
        first.entry(&*streams[position]).or_default().push(*position);
    }
    assert!(known.iter().eq(streams.keys()), "something was skipped");
    assert!(first.values().all(|positions| positions.is_sorted()), "something was overtaken");
    let events: Vec<_> = store.read_all().map(Result::unwrap).collect();
    let questions = events.iter().filter(|event| event.event_type() == "question");
    let answers = store
        .read_stream("answers")
        .map(|event| String::from_utf8(event.unwrap().payload().to_vec()).unwrap());
    assert!(questions.map(|event| event.position().to_string()).eq(answers), "answered once");
}

/// The streams of the events that are to be handled, by position.
fn streams(store: &Store) -> BTreeMap<u64, String> {
    let events = store.read_all().stream_prefix("s-").map(Result::unwrap);
    events.map(|event| (event.position().get(), event.stream().to_owned())).collect()
}

#[test]
fn a_killed_process_repeats_what_was_in_flight_skips_nothing_and_answers_once() {
    // On a disk, not in memory: the syncs are meant.
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let mut random = fastrand::Rng::with_seed(44);
    let rounds = number_from("ANNALS_KILL_ROUNDS", 12);
    let (mut before, mut repeated, mut repeated_max, mut kill_count) = (0, 0, 0, 0);
    for round in 0..rounds {
        append(&path, round);
        let mut process = Running::start(command("work", &path, &[]), |_| {});
        // Every fourth one is killed about when it opens the store.
        if round % 4 != 1 {
            assert!(process.wait_for("WORKING", TIME));
        }
        thread::sleep(Duration::from_micros(random.u64(..150_000)));
        process.kill();
        let ended = process.end(TIME);
        assert!(ended.status.code().is_none_or(|code| code == 0), "{ended:#?}");
        kill_count += u64::from(ended.status.code().is_none());
        let all = handled(&path);
        let store = options().open(&path).unwrap();
        let now = check_round(&all, before, &streams(&store));
        store.close().unwrap();
        (before, repeated, repeated_max) = (all.len(), repeated + now, repeated_max.max(now));
    }
    let ended = Running::start(command("work", &path, &[]), |_| {}).end(TIME);
    assert!(ended.status.success() && ended.has_told("DONE") && !ended.is_late, "{ended:#?}");
    let (store, all) = (options().open(&path).unwrap(), handled(&path));
    let streams = streams(&store);
    repeated += check_round(&all, before, &streams);
    check_all(&store, &all, &streams);
    let (events, end) = (count(&all) - u64::try_from(repeated).unwrap(), store.end());
    eprintln!(
        "{kill_count} kills of {rounds}, {events} events handled of {end}, {repeated} repeated, \
         {repeated_max} at most after one kill"
    );
}
