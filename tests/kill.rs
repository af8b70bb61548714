//! A process that is killed at any moment: what it has acknowledged is there, whole, and stays.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::Duration;

use annals::{Batch, Durability, Expected, NewEvent, Options, Result, Store};
use common::{Seen, child, count, in_child};

const TEST: &str = "what_a_killed_process_has_acknowledged_is_there";
const KILLS: u64 = 30;
const THREADS: u64 = 4;

fn options(round: u64) -> Options {
    let durability = if round.is_multiple_of(3) { Durability::Buffered } else { Durability::Sync };
    Options::new().segment_len_max(32 << 10).checkpoint_event_count(60).durability(durability)
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
        let line = format!("ACK {} {} {own} {end}\n", receipt.first(), receipt.end());
        // In one piece: the pipe takes a short line whole.
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        std::io::stdout().flush().unwrap();
    }
}

/// What was acknowledged: by the first position of a batch, its end, its own stream, and the
/// revision there.
type Acknowledged = BTreeMap<u64, (u64, String, u64)>;

fn start(path: &Path, round: u64) -> (Child, BufReader<ChildStdout>) {
    fs::write(path.with_extension("round"), round.to_string()).unwrap();
    let mut process =
        child(TEST, path).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap());
    (process, lines)
}

/// Runs the process for a while, kills it, and adds what it has acknowledged until then.
fn run_and_kill(path: &Path, round: u64, random: &mut fastrand::Rng, known: &mut Acknowledged) {
    let (mut process, mut lines) = start(path, round);
    let mut begun = String::new();
    // Every third one is killed about when it opens the store, the others when they append.
    while round % 3 != 1 && !begun.contains("ACK") && lines.read_line(&mut begun).unwrap() > 0 {}
    let reader = thread::spawn(move || lines.lines().map(|line| line.unwrap()).collect::<Vec<_>>());
    thread::sleep(Duration::from_micros(random.u64(..40_000)));
    process.kill().unwrap();
    let status = process.wait().unwrap();
    assert!(!status.success() && status.code().is_none(), "it ended by itself: {status}");
    let lines = reader.join().unwrap();
    for line in begun.lines().chain(lines.iter().map(|line| &**line)) {
        let Some((_, line)) = line.split_once("ACK ") else { continue };
        let fields: Vec<_> = line.split(' ').collect();
        let number = |at: usize| fields[at].parse::<u64>().unwrap();
        let before = known.insert(number(0), (number(1), fields[2].to_owned(), number(3)));
        assert!(before.is_none(), "a position was given twice");
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
    if let Some(path) = in_child() {
        return append_for_ever(&path);
    }
    // On a disk, not in memory: the syncs are meant.
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let mut random = fastrand::Rng::with_seed(42);
    let (mut known, mut all) = (Acknowledged::new(), Vec::new());
    for round in 0..KILLS {
        run_and_kill(&path, round, &mut random, &mut known);
        if round % 7 == 5 {
            fs::remove_dir_all(path.join("index")).unwrap();
        }
        all = check(&path, &all, &known);
    }
    assert!(count(&all) > 3 * KILLS, "the processes have done next to nothing: {}", known.len());
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
