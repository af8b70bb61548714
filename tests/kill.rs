//! A process that is killed at any moment: what it has acknowledged is there, whole, and stays.
//!
//! `ANNALS_KILL_ROUNDS` is how often one is killed that appends from several threads, 30 unless it
//! is set; every other time at its n-th sync, where there is `strace`. `ANNALS_SYSCALL_STEP=1` kills
//! another one at each of its calls, not only at some.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]
#![expect(clippy::disallowed_types, reason = "what is told goes to a file of the system")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;
#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, reason = "what a file uses of it differs")]
mod real;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use annals::{Batch, Durability, Expected, NewEvent, Options, Result, Store};
use common::{Seen, child, count, in_child};
use real::{
    Ended, Fault, Running, Scene, Start, Strace, assert_unharmed, command, is_chosen, number_from,
    tell,
};

const THREADS: u64 = 4;
/// How long a process may take to come to the call at which it is killed.
const TIME: Duration = Duration::from_secs(5);
/// Kinds of calls that change something.
const CALLS: [&str; 10] = [
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "unlink",
    "unlinkat",
    "mkdir",
];

/// Not a test of its own: the processes that tests have started run it.
#[test]
fn a_process_that_a_test_has_started_plays_its_part() {
    let Some((part, place)) = real::part() else { return };
    if part == "append for ever" {
        append_for_ever(&place);
    } else {
        assert!(real::play_common(&part, &place), "{part}");
    }
}

fn options(round: u64) -> Options {
    let durability = if round.is_multiple_of(6) { Durability::Buffered } else { Durability::Sync };
    Options::new()
        .segment_len_max(32 << 10)
        .page_cache_len(64 << 10)
        .checkpoint_event_count(60)
        .durability(durability)
}

/// Appends without end: each thread batches of events to its own stream and to one that all share,
/// and says of each what it was told.
fn append_for_ever(path: &Path) {
    let round = path.with_extension("round");
    let store = options(fs::read_to_string(round).unwrap().parse().unwrap()).open(path).unwrap();
    thread::scope(|scope| {
        for n in 0..THREADS {
            let store = &store;
            scope.spawn(move || append_from(store, n));
        }
    });
}

fn append_from(store: &Store, thread: u64) {
    let own = format!("own-{thread}");
    for n in 0_u64.. {
        let end = store.stream_end(&own).unwrap().get();
        let len = usize::try_from(n * 37 % 300).unwrap();
        let event = |at| NewEvent::bytes("t", vec![b'x'; len + at]).tag(format!("{own}@{end}"));
        let batch = Batch::new()
            .append(&own, Expected::Exact(end), (0..usize::try_from(n % 3 + 1).unwrap()).map(event))
            .append("shared", Expected::Any, [event(7)]);
        let receipt = store.append_batch(&batch).unwrap();
        assert_eq!(receipt.revisions().start.get(), end);
        tell(&format!("ACK {} {} {own} {end}", receipt.first(), receipt.end()));
    }
}

/// What was acknowledged: by the first position of a batch, its end, its own stream, and the
/// revision there.
type Acknowledged = BTreeMap<u64, (u64, String, u64)>;

/// Runs the process for a while, and kills it.
fn run_and_kill(path: &Path, round: u64, random: &mut fastrand::Rng) -> Ended {
    let mut process = Running::start(command("append for ever", path, &[]), |_| {});
    // Every third one is killed about when it opens the store, the others when they append.
    if round % 3 != 1 {
        process.wait_for("ACK", TIME);
    }
    thread::sleep(Duration::from_micros(random.u64(..40_000)));
    process.kill();
    process.end(TIME)
}

/// Runs the process until one of its threads has come to its n-th sync.
fn run_until_sync(path: &Path, strace: &Strace, n: u64) -> Ended {
    let fault = Fault { call: "fdatasync", what: "signal=SIGKILL", when: n.to_string() };
    let process =
        Running::start(command("append for ever", path, &strace.striking(&fault)), |_| {});
    process.end(TIME)
}

impl Ended {
    /// Adds what was acknowledged.
    fn tell_of(&self, known: &mut Acknowledged) {
        assert!(self.status.code().is_none(), "it ended by itself: {self:#?}");
        for line in self.told("ACK") {
            let fields: Vec<_> = line.split(' ').collect();
            let number = |at: usize| fields[at].parse::<u64>().unwrap();
            let before = known.insert(number(0), (number(1), fields[2].to_owned(), number(3)));
            assert!(before.is_none(), "a position was given twice");
        }
    }
}

/// Reopens the store and checks that it holds what it held before, and all that was acknowledged.
/// Gives what it holds.
fn check(path: &Path, before: &[Seen], known: &Acknowledged) -> Vec<Seen> {
    let store = options(1).open(path).unwrap();
    let all: Vec<_> = store.read_all().map(|event| Seen::of(&event.unwrap())).collect();
    assert_eq!(all.len(), usize::try_from(store.end().get()).unwrap());
    assert!(all.starts_with(before), "what was there before has changed");
    let mut streams = BTreeMap::<_, Vec<_>>::new();
    for (position, event) in (0_u64..).zip(&all) {
        let stream = streams.entry(&*event.stream).or_default();
        assert_eq!((event.position, event.revision), (position, count(stream)));
        stream.push(event.clone());
    }
    assert!(all.last().is_none_or(|event| event.ends_batch), "half a batch");
    for (name, events) in &streams {
        assert!(read(store.read_stream(name)) == *events, "{name}");
        let mut backwards = read(store.read_stream(name).backwards());
        backwards.reverse();
        assert!(backwards == *events, "{name} backwards");
        assert_eq!(store.stream_end(name).unwrap().get(), count(events));
    }
    for (first, (end, own, revision)) in known {
        let places = usize::try_from(*first).unwrap()..usize::try_from(*end).unwrap();
        assert!(places.end <= all.len(), "what was acknowledged is there");
        let batch = &all[places];
        assert!(batch.iter().all(|event| event.tags == [format!("{own}@{revision}")]));
        assert_eq!((&*batch[0].stream, batch[0].revision), (&**own, *revision));
        assert!(batch.last().unwrap().ends_batch && batch.last().unwrap().stream == "shared");
    }
    all
}

fn read(events: impl Iterator<Item = Result<annals::Event>>) -> Vec<Seen> {
    events.map(|event| Seen::of(&event.unwrap())).collect()
}

#[test]
fn what_a_killed_process_has_acknowledged_is_there() {
    // On a disk, not in memory: the syncs are meant.
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let mut random = fastrand::Rng::with_seed(42);
    let strace = real::run("strace", &["-V"]).then(|| Strace::new(place.path()));
    let rounds = number_from("ANNALS_KILL_ROUNDS", 30);
    let (mut known, mut all, mut at_sync) = (Acknowledged::new(), Vec::new(), 0);
    for round in 0..rounds {
        fs::write(path.with_extension("round"), round.to_string()).unwrap();
        let ended = match &strace {
            Some(strace) if round % 2 == 1 => {
                at_sync += 1;
                run_until_sync(&path, strace, random.u64(1..30))
            }
            _ => run_and_kill(&path, round, &mut random),
        };
        ended.tell_of(&mut known);
        if round % 7 == 5 && path.join("index").exists() {
            fs::remove_dir_all(path.join("index")).unwrap();
        }
        all = check(&path, &all, &known);
        // Begins again now and then, so that comparing does not take ever longer.
        if round % 40 == 39 {
            assert!(count(&all) > 40, "the processes have done next to nothing: {}", known.len());
            fs::remove_dir_all(&path).unwrap();
            (known, all) = (Acknowledged::new(), Vec::new());
        }
    }
    eprintln!("{rounds} kills, {at_sync} of them at a sync");
}

#[test]
fn a_process_that_is_killed_at_any_of_its_calls_loses_nothing() {
    let scene = Scene::new();
    let strace = scene.strace();
    let step = number_from("ANNALS_SYSCALL_STEP", 23);
    let (mut number, mut kills) = (0, 0);
    for start in [Start::Nothing, Start::Crashed] {
        if scene.watch(&strace, start, &CALLS).is_none() {
            return;
        }
        for (call, (before, all)) in strace.calls(&CALLS) {
            for n in (before + 1..=all).filter(|_| is_chosen(&mut number, step)) {
                let mut book = scene.set(start);
                let fault = Fault { call, what: "signal=SIGKILL", when: n.to_string() };
                let ended = scene.play(&strace.striking(&fault));
                assert!(!ended.is_late && !ended.has_panicked(), "{fault:?} {ended:#?}");
                book.hear_all(&ended.lines);
                kills += u64::from(ended.status.code().is_none());
                assert_unharmed(&scene.store(), &mut book, &format!("{start:?} {fault:?}"));
            }
        }
    }
    eprintln!("{kills} kills at a call, of {number} calls");
}

/// Creates a store and appends one event, unless it is killed before.
#[test]
fn a_creation_that_is_killed_is_a_store_or_can_be_begun_again() {
    if let Some(path) = in_child() {
        let store = Store::open(path).unwrap();
        store.append("cart", Expected::NoStream, [NewEvent::text("t", "x")]).unwrap();
        std::io::stdout().write_all(b"ACK\n").unwrap();
        thread::sleep(Duration::from_secs(60));
    }
    let place = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(43);
    for n in 0..40 {
        let path = place.path().join(format!("parent-{n}/store"));
        let mut process =
            child("a_creation_that_is_killed_is_a_store_or_can_be_begun_again", &path)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
        thread::sleep(Duration::from_micros(random.u64(1_000..25_000)));
        process.kill().unwrap();
        let output = process.wait_with_output().unwrap();
        let is_acknowledged = String::from_utf8_lossy(&output.stdout).contains("ACK");
        let store = Store::open(&path).unwrap();
        assert!(!(is_acknowledged && store.end().get() == 0), "it was acknowledged");
        let expected = Expected::Exact(store.end().get());
        store.append("cart", expected, [NewEvent::text("t", "y")]).unwrap();
    }
}
