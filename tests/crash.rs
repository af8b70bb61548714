//! Crash enumeration: scripts of operations are cut off after every call that changes something,
//! and what a crash may leave then is opened and checked, many states for each.
//!
//! `ANNALS_CRASH_SEEDS` is the number of states for each cut, 24 if it is not set; there are more
//! long scripts, too, if it is larger. The number of states checked is printed (`--nocapture`).
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "how many states were checked is worth telling")]

use annals::simulation::Simulation;
use annals::{Batch, Durability, Expected, NewEvent, Options, Position, Store};

/// One step of a script.
#[derive(Clone, Debug)]
enum Step {
    /// Appends this many events to this many streams, as one batch.
    Append {
        event_count: usize,
        stream_count: usize,
        len: usize,
        durability: Durability,
    },
    Sync,
    /// Closes the store and opens it again.
    Reopen,
    /// Drops the store and opens it again as if the process had been killed.
    Kill,
}

/// What was done, and what was promised of it.
#[derive(Clone, Debug, Default)]
struct Book {
    /// The batches in the order in which they were handed in, each as stream and payload.
    batches: Vec<Vec<(String, Vec<u8>)>>,
    /// How many batches no crash may take back.
    durable_count: usize,
    /// How many batches were acknowledged, durable or not.
    accepted_count: usize,
}

fn options() -> Options {
    Options::new().segment_len_max(4 << 10).page_cache_len(0).checkpoint_event_count(8)
}

fn batch(number: usize, step: &Step) -> (Batch, Vec<(String, Vec<u8>)>) {
    let Step::Append { event_count, stream_count, len, durability } = step else {
        unreachable!("only appends have a batch");
    };
    let mut batch = Batch::new().durability(*durability);
    let mut events = Vec::new();
    for n in 0..*event_count {
        let stream = format!("stream-{}", (number + n) % stream_count);
        let mut payload = format!("{number}/{n} ").into_bytes();
        payload.resize(payload.len().max(*len), b'.');
        let event = NewEvent::bytes("step", payload.clone()).tag("tag");
        batch = batch.append(stream.as_str(), Expected::Any, [event]);
        events.push((stream, payload));
    }
    (batch, events)
}

/// Runs a script until it ends or the process dies.
fn run(disk: &Simulation, script: &[Step]) -> Book {
    let mut book = Book::default();
    let mut disk = disk.clone();
    let Ok(mut store) = disk.open(&options()) else { return book };
    for step in script {
        match step {
            Step::Append { durability, .. } => {
                let (batch, events) = batch(book.batches.len(), step);
                book.batches.push(events);
                if store.append_batch(batch).is_err() {
                    return book;
                }
                book.accepted_count = book.batches.len();
                if *durability == Durability::Sync {
                    book.durable_count = book.accepted_count;
                }
            }
            Step::Sync => {
                if store.sync().is_err() {
                    return book;
                }
                book.durable_count = book.accepted_count;
            }
            Step::Reopen => {
                if store.close().is_err() {
                    return book;
                }
                book.durable_count = book.accepted_count;
                let Ok(opened) = disk.open(&options()) else { return book };
                store = opened;
            }
            Step::Kill => {
                let restarted = disk.restart();
                drop(store);
                disk = restarted;
                let Ok(opened) = disk.open(&options()) else { return book };
                store = opened;
                // What recovery keeps it has made durable.
                book.durable_count = book.accepted_count;
            }
        }
    }
    book
}

/// Checks that a store holds whole batches from the first on, all that was promised among them,
/// and that every way to read agrees. Returns how many batches it holds.
fn check(store: &Store, book: &Book, what: &str) -> usize {
    let events: Vec<_> = store
        .read_all()
        .map(|event| event.unwrap_or_else(|error| panic!("{what}: {error:?}")))
        .collect();
    let mut expected = book.batches.iter();
    let mut found = events.iter().peekable();
    let mut count = 0;
    while found.peek().is_some() {
        let batch = expected.next().unwrap_or_else(|| panic!("{what}: events nobody appended"));
        for (n, (stream, payload)) in batch.iter().enumerate() {
            let event = found.next().unwrap_or_else(|| panic!("{what}: half a batch"));
            assert_eq!(event.stream(), stream, "{what}");
            assert_eq!(event.payload(), payload, "{what}");
            assert_eq!(event.ends_batch(), n + 1 == batch.len(), "{what}");
        }
        count += 1;
    }
    assert!(count >= book.durable_count, "{what}: {count} of {} durable", book.durable_count);
    for (n, event) in (0..).zip(&events) {
        assert_eq!(event.position(), Position::new(n), "{what}");
    }
    let streams: Vec<_> = store.streams().map(Result::unwrap).collect();
    let mut indexed_count = 0;
    for stream in &streams {
        let of_log: Vec<_> =
            events.iter().filter(|event| event.stream() == stream.name()).collect();
        let of_index: Vec<_> = store.read_stream(stream.name()).map(Result::unwrap).collect();
        assert_eq!(of_index.len(), of_log.len(), "{what}: {stream:?}");
        for (n, (a, b)) in (0..).zip(of_log.iter().zip(&of_index)) {
            assert_eq!((a.position(), a.id()), (b.position(), b.id()), "{what}");
            assert_eq!(a.revision().get(), n, "{what}");
        }
        indexed_count += of_index.len();
    }
    assert_eq!(indexed_count, events.len(), "{what}");
    if let Some(event) = events.get(events.len() / 2) {
        let first = events.iter().find(|other| other.recorded_at() == event.recorded_at());
        let at = store.position_at(event.recorded_at()).unwrap();
        assert_eq!(Some(at), first.map(annals::Event::position), "{what}");
    }
    count
}

/// Opens a state, checks it, appends to it, and checks that this is durable as well.
fn check_state(disk: &Simulation, book: &Book, what: &str) -> u64 {
    let open = |disk: &Simulation| {
        disk.open(&options()).unwrap_or_else(|error| panic!("{what}: {error:?}"))
    };
    let mut states = 1;
    // A crash during recovery must leave what was there before it.
    let before = disk.restart();
    let calls = {
        let once = disk.restart();
        let store = open(&once);
        let calls = once.call_count();
        drop(store);
        calls
    };
    for call in 0..calls.min(12) {
        let dying = before.restart();
        dying.die_after(call);
        drop(dying.open(&options()));
        let store = open(&dying.crash(call + 1));
        check(&store, book, &format!("{what}, and after call {call} of recovery"));
        states += 1;
    }
    let store = open(disk);
    let count = check(&store, book, what);
    let mut book = Book { durable_count: count, ..book.clone() };
    book.batches.truncate(count);
    let step =
        Step::Append { event_count: 2, stream_count: 3, len: 20, durability: Durability::Sync };
    let (batch, events) = batch(1_000, &step);
    store.append_batch(batch).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    book.batches.push(events);
    book.durable_count += 1;
    let after = disk.crash(7);
    check(&open(&after), &book, &format!("{what}, and after an append"));
    states + 1
}

/// Opens what a killed process has left, part of it in memory only, and checks that what was seen
/// then is still there after a crash.
fn check_kill(disk: &Simulation, book: &Book, seeds: u64, what: &str) -> u64 {
    let killed = disk.restart();
    let store = killed.open(&options()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let seen = check(&store, book, what);
    let book = Book { durable_count: seen, ..book.clone() };
    for seed in 0..seeds.min(4) {
        let what = format!("{what}, killed, then crash {seed}");
        let store = killed.crash(seed).open(&options());
        let store = store.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        check(&store, &book, &what);
    }
    1 + seeds.min(4)
}

fn seeds() -> u64 {
    std::env::var("ANNALS_CRASH_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(24)
}

/// Cuts a script off after every call, and checks so many states that a crash may leave then.
fn enumerate(name: &str, script: &[Step], seeds: u64) {
    let disk = Simulation::new();
    let book = run(&disk, script);
    let appends = script.iter().filter(|step| matches!(step, Step::Append { .. })).count();
    assert_eq!(book.accepted_count, appends, "{name} runs to its end when nothing fails");
    // A script that restarts goes on in another directory, so its calls are counted on the way.
    let call_count = disk.call_count().max(40) + 40;
    let mut states = 0;
    for call in 0..call_count {
        let disk = Simulation::new();
        disk.die_after(call);
        let book = run(&disk, script);
        states += check_kill(&disk, &book, seeds, &format!("{name}, call {call}"));
        let distinct = if disk.is_settled() { 2 } else { seeds };
        for seed in 0..distinct {
            let what = format!("{name}, call {call}, seed {seed}");
            states += check_state(&disk.crash(seed), &book, &what);
        }
    }
    println!("{name}: {states} states after {call_count} calls");
}

fn append(event_count: usize, stream_count: usize, len: usize) -> Step {
    Step::Append { event_count, stream_count, len, durability: Durability::Sync }
}

fn buffered(event_count: usize, stream_count: usize, len: usize) -> Step {
    Step::Append { event_count, stream_count, len, durability: Durability::Buffered }
}

#[test]
fn no_crash_takes_back_what_was_acknowledged() {
    enumerate(
        "durable appends",
        &[
            append(1, 1, 10),
            append(3, 2, 200),
            append(1, 3, 900),
            append(5, 5, 60),
            append(2, 1, 0),
        ],
        seeds(),
    );
}

#[test]
fn no_crash_while_segments_roll_takes_back_what_was_acknowledged() {
    enumerate(
        "rolling",
        &[
            append(2, 2, 1_200),
            append(1, 1, 1_500),
            append(3, 2, 700),
            append(1, 2, 3_000),
            append(9, 4, 40),
        ],
        seeds(),
    );
}

#[test]
fn a_crash_takes_back_whole_batches_from_the_end_of_what_was_buffered() {
    enumerate(
        "buffered",
        &[
            buffered(2, 2, 100),
            buffered(4, 3, 300),
            Step::Sync,
            buffered(1, 1, 600),
            buffered(3, 2, 900),
            buffered(2, 2, 1_000),
            append(1, 1, 10),
            buffered(6, 3, 10),
        ],
        seeds(),
    );
}

#[test]
fn no_crash_around_a_clean_close_takes_back_what_was_acknowledged() {
    enumerate(
        "closing",
        &[
            append(2, 2, 50),
            Step::Reopen,
            append(3, 2, 800),
            Step::Reopen,
            buffered(1, 1, 10),
            Step::Reopen,
        ],
        seeds(),
    );
}

/// Thirty steps over several streams and segments, with checkpoints of the index in between.
fn long_script(seed: u64) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut step = || match random.u8(..10) {
        0 => Step::Sync,
        1 => Step::Reopen,
        kind => Step::Append {
            event_count: random.usize(1..5),
            stream_count: random.usize(1..5),
            len: [0, 20, 300, 700][random.usize(..4)],
            durability: if kind < 7 { Durability::Sync } else { Durability::Buffered },
        },
    };
    (0..30).map(|_| step()).collect()
}

#[test]
fn no_crash_in_a_long_script_takes_back_what_was_acknowledged() {
    // A long script has so many calls that fewer states of each are as many in sum.
    for n in 0..seeds().div_ceil(100) {
        enumerate(&format!("long script {n}"), &long_script(n), seeds().div_ceil(24));
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_accepted() {
    let disk = Simulation::new();
    let script = [
        buffered(2, 2, 100),
        Step::Kill,
        append(3, 2, 700),
        buffered(9, 3, 300),
        Step::Kill,
        buffered(1, 1, 5),
        Step::Kill,
    ];
    let book = run(&disk, &script);
    assert_eq!((book.accepted_count, book.durable_count), (4, 4));
}

#[test]
fn what_is_reported_as_damage_is_never_what_a_crash_leaves() {
    // The same as above with other seeds and the index gone, so that the log is all there is.
    let script = [buffered(3, 2, 500), append(1, 1, 500), buffered(2, 2, 900), buffered(2, 1, 100)];
    for call in 0..120 {
        let disk = Simulation::new();
        disk.die_after(call);
        let book = run(&disk, &script);
        for seed in 1_000..1_008 {
            let state = disk.crash(seed).without_index();
            match state.open(&options()) {
                Ok(store) => {
                    check(&store, &book, &format!("call {call}, seed {seed}"));
                }
                Err(error) => panic!("call {call}, seed {seed}: {error:?}"),
            }
        }
    }
}
