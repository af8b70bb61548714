//! Every damage of a kind to small stores of several shapes: every bit of every file turned over,
//! every file cut at every length, taken away, or put back as it was earlier, and every pair of
//! segments exchanged. Whoever opens, reads or dumps what is left gets the right events, or an
//! error that names the place; who verifies it finds whatever those have met.
//!
//! Some of it by default; all of it with `ANNALS_SWEEP=all` (in a release build). Where `prlimit`
//! is there, all of it runs in a process that may take [`MEMORY_LEN_MAX`] and no more.
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "how many damages were tried is worth telling")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, thread};

use annals::inspect::{Inspection, json_line, segment_table, stream_table, text_line};
use annals::simulation::Simulation;
use annals::{Error, Event, Result, Store};
use common::{
    Book, Seen, all_files, copy, count, in_child, place, read_all_ways, read_main_ways, small,
};

/// Address space of the process that goes through damaged stores, its code and stacks included.
const MEMORY_LEN_MAX: u64 = 192 << 20;
/// What no single look at a damaged store may take, on a slow machine that is busy.
const TIME_MAX: Duration = Duration::from_secs(20);
/// How many damages of each kind to each shape are tried by default.
const SAMPLE_COUNT: usize = 200;

fn is_whole() -> bool {
    env::var("ANNALS_SWEEP").is_ok_and(|what| what == "all")
}

/// A store to be damaged.
struct Shape {
    name: &'static str,
    disk: Simulation,
    book: Book,
    /// Earlier states of each file: name and bytes.
    earlier: BTreeSet<(String, Vec<u8>)>,
    /// Where the last batch begins. Nothing vouches for it if the store was not closed.
    last_batch: u64,
    /// Whether something vouches for all events: a note, an index, or a consumer.
    is_vouched_for: bool,
}

impl Shape {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            disk: Simulation::new(),
            book: Book::new(3),
            earlier: BTreeSet::new(),
            last_batch: 0,
            is_vouched_for: true,
        }
    }

    fn open(&self) -> Store {
        self.disk.open(&small().durability(annals::Durability::Sync)).unwrap()
    }

    /// Appends a batch, and remembers the files as they were before.
    fn append(&mut self, store: &Store, parts: &[(&str, usize)]) {
        self.remember();
        self.last_batch = self.book.end();
        self.book.append(store, parts);
    }

    fn append_big(&mut self, store: &Store, len: usize) {
        self.remember();
        self.last_batch = self.book.end();
        self.book.append_big(store, "big", len);
    }

    fn remember(&mut self) {
        self.earlier.extend(self.disk.files());
    }

    /// A few batches over several streams, in one segment.
    fn fill_one_segment(&mut self, store: &Store) {
        self.append(store, &[("cart", 1), ("user", 1)]);
        self.append(store, &[("cart", 2)]);
        self.append(store, &[("user", 1), ("cart", 1)]);
    }

    /// Two sealed segments and an active one.
    fn fill_three_segments(&mut self, store: &Store) {
        self.fill_one_segment(store);
        self.append_big(store, 3_700);
        self.append(store, &[("new", 1), ("user", 1)]);
        self.append(store, &[("cart", 1), ("new", 1), ("cart", 1)]);
    }

    fn close(&mut self, store: &Store) {
        self.remember();
        store.close().unwrap();
    }

    /// The process is killed, and the index gone: nothing vouches for the last batch.
    fn kill(&mut self, store: Store) {
        let killed = self.disk.restart().without_index();
        drop(store);
        self.disk = killed;
        self.is_vouched_for = false;
    }

    /// A consumer has committed that it has read everything.
    fn commit(&mut self) {
        let id = self.disk.inspect().unwrap().id();
        self.disk.put("consumers/mailer", slots(*id.as_bytes(), self.book.end()));
    }
}

/// The file of a consumer that has committed once: `docs/format.md`, section 7.
fn slots(store: [u8; 16], position: u64) -> Vec<u8> {
    let fields = [1, position, 0, 1, u64::MAX, 0].map(u64::to_le_bytes).concat();
    let mut slot = [&b"annalcon"[..], &store, &fields].concat();
    slot.extend(crc32fast::hash(&slot).to_le_bytes());
    let mut file = vec![0; 8_192];
    file.extend(slot);
    file.resize(16_384, 0);
    file
}

fn empty() -> Shape {
    let mut shape = Shape::new("empty, closed");
    let store = shape.open();
    shape.close(&store);
    shape
}

fn one_segment() -> Shape {
    let mut shape = Shape::new("one segment, closed");
    let store = shape.open();
    shape.fill_one_segment(&store);
    shape.close(&store);
    shape
}

fn one_segment_killed() -> Shape {
    let mut shape = Shape::new("one segment, killed");
    let store = shape.open();
    shape.fill_one_segment(&store);
    shape.kill(store);
    shape
}

fn three_segments() -> Shape {
    let mut shape = Shape::new("three segments, closed");
    let store = shape.open();
    shape.fill_three_segments(&store);
    shape.close(&store);
    shape
}

fn three_segments_killed() -> Shape {
    let mut shape = Shape::new("three segments, killed");
    let store = shape.open();
    shape.fill_three_segments(&store);
    shape.kill(store);
    shape
}

fn with_a_consumer() -> Shape {
    let mut shape = Shape::new("with a consumer, killed");
    let store = shape.open();
    shape.fill_one_segment(&store);
    shape.kill(store);
    shape.commit();
    shape.is_vouched_for = true;
    shape
}

/// What is done to a store, with the file that it is done to.
#[derive(Clone, Debug)]
enum Damage {
    Flip(String, usize),
    Cut(String, usize),
    Take(String),
    PutBack(String, Vec<u8>),
    Exchange(String, String),
}

impl Damage {
    /// All damages of one kind in a row.
    fn all(shape: &Shape) -> [Vec<Self>; 4] {
        let files = shape.disk.files();
        let each = |of: &dyn Fn(&str, &[u8]) -> Vec<Self>| -> Vec<Self> {
            files.iter().flat_map(|(name, bytes)| of(name, bytes)).collect()
        };
        let flips = each(&|name, bytes| {
            (0..8 * bytes.len()).map(|bit| Self::Flip(name.to_owned(), bit)).collect()
        });
        let cuts = each(&|name, bytes| {
            (0..bytes.len()).map(|len| Self::Cut(name.to_owned(), len)).collect()
        });
        let takes = each(&|name, _| vec![Self::Take(name.to_owned())]);
        let segments: Vec<_> = files.iter().filter(|(name, _)| is_segment(name)).collect();
        let mut moves = takes;
        for (n, (a, _)) in segments.iter().enumerate() {
            for (b, _) in &segments[n + 1..] {
                moves.push(Self::Exchange(a.clone(), b.clone()));
            }
        }
        let earlier = shape.earlier.iter().filter(|file| !files.contains(file));
        let put_back = earlier.map(|(name, bytes)| Self::PutBack(name.clone(), bytes.clone()));
        [flips, cuts, moves, put_back.collect()]
    }

    fn apply(&self, disk: &Simulation) {
        let bytes = |name: &String| {
            let found = disk.files().into_iter().find(|(other, _)| other == name);
            found.unwrap().1
        };
        match self {
            Self::Flip(name, bit) => {
                let mut flipped = bytes(name);
                flipped[bit / 8] ^= 1 << (bit % 8);
                disk.put(name, flipped);
            }
            Self::Cut(name, len) => disk.put(name, &bytes(name)[..*len]),
            Self::Take(name) => disk.take(name),
            Self::PutBack(name, earlier) => disk.put(name, earlier.clone()),
            Self::Exchange(a, b) => {
                let (of_a, of_b) = (bytes(a), bytes(b));
                disk.put(a, of_b);
                disk.put(b, of_a);
            }
        }
    }

    fn files(&self) -> Vec<&str> {
        match self {
            Self::Exchange(a, b) => vec![a, b],
            Self::Flip(name, _)
            | Self::Cut(name, _)
            | Self::Take(name)
            | Self::PutBack(name, _) => vec![name],
        }
    }

    /// The end that the store may have after this at the least, if it opens.
    fn end_min(&self, shape: &Shape) -> u64 {
        let last = shape.disk.files().into_iter().map(|(name, _)| name).filter(|n| is_segment(n));
        let last = last.max().unwrap_or_default();
        if shape.is_vouched_for || !self.files().contains(&&*last) {
            return shape.book.end();
        }
        match self {
            // The last batch may be torn, for all that anyone knows. Its bits may be anywhere.
            Self::Flip(..) => shape.last_batch,
            // What is gone without a trace nobody can miss, but the segment before knows that
            // another has followed.
            _ => base_of(&last),
        }
    }
}

fn is_segment(name: &str) -> bool {
    name.starts_with("log/")
}

fn base_of(segment: &str) -> u64 {
    common::base_of(Path::new(segment))
}

/// Tells what was looked at when something is wrong with it.
struct Told<'a>(&'a str, &'a Damage, Instant);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{}: {:?}", self.0, self.1);
        }
    }
}

/// Fails unless an error says where the damage is: in one of these files, or next to it.
fn assert_names(error: &Error, damage: &Damage, shape: &Shape) {
    let files = damage.files();
    match error {
        Error::Corrupt { segment, .. } => {
            let is_named = |name: &str| is_segment(name) && base_of(name) == segment.get();
            // What follows from a damaged segment does not follow any more, and what vouches for
            // something may be missing it elsewhere.
            let is_exact = matches!(damage, Damage::Flip(..));
            let is_somewhere = shape.disk.files().iter().any(|(name, _)| is_named(name));
            let is_right = files.iter().any(|name| is_named(name)) || !is_exact && is_somewhere;
            assert!(is_right, "{error}");
        }
        Error::CorruptFile { path, .. } | Error::NewerFormat { path, .. } => {
            assert!(files.iter().any(|name| path.ends_with(name)), "{error}");
        }
        Error::NotAStore { .. } => assert_eq!(files, ["store.meta"], "{error}"),
        other => panic!("{other:?}"),
    }
}

/// Opens, reads and dumps a damaged store; fails if anything is wrong with what that gives. Says
/// whether anyone was told of the damage.
fn look(disk: &Simulation, shape: &Shape, damage: &Damage) -> bool {
    let told = Told(shape.name, damage, Instant::now());
    let mut errors = inspect(disk, shape);
    errors.extend(open(disk, shape, damage));
    for error in &errors {
        assert_names(error, damage, shape);
    }
    assert!(told.2.elapsed() < TIME_MAX, "this took long");
    !errors.is_empty()
}

/// Opens a store and reads it in all ways. What is given must be right; what is wrong is returned.
fn open(disk: &Simulation, shape: &Shape, damage: &Damage) -> Vec<Error> {
    let before = disk.files();
    let store = match disk.open(&small().create(false)) {
        Ok(store) => store,
        Err(error) => {
            assert!(disk.files() == before, "a refused store was changed");
            return vec![error];
        }
    };
    let end = store.end().get();
    let events = &shape.book.events;
    assert!((damage.end_min(shape)..=count(events)).contains(&end), "it ends at {end}");
    let events = &events[..usize::try_from(end).unwrap()];
    assert!(events.last().is_none_or(|event| event.ends_batch), "half a batch");
    let mut errors = read_all_ways(&store, events);
    let report = store.verify().unwrap();
    assert!(errors.is_empty() || !report.is_sound(), "nobody who verifies finds {errors:?}");
    errors.extend(report.damages.into_iter().map(|damage| damage.error));
    errors
}

/// Looks into a store without opening it, as `annals-dump` does.
fn inspect(disk: &Simulation, shape: &Shape) -> Vec<Error> {
    let before = disk.files();
    let inspection = match disk.inspect() {
        Ok(inspection) => inspection,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    let events = read_prefix(inspection.events(), &shape.book.events, &mut errors);
    for event in &events {
        assert!(!text_line(event).is_empty() && !json_line(event).is_empty());
    }
    for stream in ["cart", "user", "new", "big", "none"] {
        let expected: Vec<_> =
            shape.book.events.iter().filter(|event| event.stream == stream).cloned().collect();
        read_prefix(inspection.stream_events(stream), &expected, &mut errors);
    }
    errors.extend(tables(&inspection));
    let report = inspection.verify();
    assert!(errors.is_empty() || !report.is_sound(), "nobody who verifies finds {errors:?}");
    errors.extend(report.damages.into_iter().map(|damage| damage.error));
    assert!(disk.files() == before, "a store that was only looked at was changed");
    errors
}

/// Reads until the end or an error. What is given must be right.
fn read_prefix(
    cursor: impl Iterator<Item = Result<Event>>,
    expected: &[Seen],
    errors: &mut Vec<Error>,
) -> Vec<Event> {
    let mut events = Vec::new();
    for event in cursor {
        match event {
            Ok(event) => {
                assert_eq!(Some(&Seen::of(&event)), expected.get(events.len()));
                events.push(event);
            }
            Err(error) => errors.push(error),
        }
    }
    events
}

/// Shows the tables of streams and segments, and gives the errors of that.
fn tables(inspection: &Inspection) -> Vec<Error> {
    let (streams, error) = inspection.streams();
    assert!(!stream_table(&streams).is_empty());
    let (segments, errors): (Vec<_>, Vec<_>) = inspection.segments().partition(Result::is_ok);
    let segments: Vec<_> = segments.into_iter().map(Result::unwrap).collect();
    assert!(!segment_table(&segments).is_empty());
    errors.into_iter().filter_map(Result::err).chain(error).collect()
}

/// Goes through the damages to a shape, in a process of little memory.
fn sweep(test: &str, shape: fn() -> Shape) {
    if in_child().is_none() && has_prlimit() {
        let mut child = Command::new("prlimit");
        let of_test = common::child(test, Path::new("."));
        child.arg(format!("--as={MEMORY_LEN_MAX}")).arg(of_test.get_program());
        child.args(of_test.get_args());
        for (key, value) in of_test.get_envs() {
            child.env(key, value.unwrap());
        }
        let output = child.output().unwrap();
        print!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let shape = shape();
    // What is not damaged is right.
    let whole = shape.disk.restart();
    assert_eq!(inspect(&whole, &shape).len(), 0);
    assert_eq!(read_all_ways(&whole.open(&small()).unwrap(), &shape.book.events).len(), 0);
    let (mut tried, mut told_of) = (0_u64, 0_u64);
    for damages in Damage::all(&shape) {
        // Odd, so that every bit of a byte has its turn.
        let step = if is_whole() { 1 } else { (damages.len() / SAMPLE_COUNT) | 1 };
        for damage in damages.iter().step_by(step) {
            let disk = shape.disk.restart();
            damage.apply(&disk);
            told_of += u64::from(look(&disk, &shape, damage));
            tried += 1;
        }
    }
    println!("{}: {tried} damages, {told_of} of them told", shape.name);
}

fn has_prlimit() -> bool {
    Command::new("prlimit").arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn whatever_is_damaged_in_an_empty_store_is_told_or_harmless() {
    sweep("whatever_is_damaged_in_an_empty_store_is_told_or_harmless", empty);
}

#[test]
fn whatever_is_damaged_in_a_closed_segment_is_told_or_harmless() {
    sweep("whatever_is_damaged_in_a_closed_segment_is_told_or_harmless", one_segment);
}

#[test]
fn whatever_is_damaged_in_a_segment_after_a_kill_is_told_or_in_the_last_batch() {
    sweep(
        "whatever_is_damaged_in_a_segment_after_a_kill_is_told_or_in_the_last_batch",
        one_segment_killed,
    );
}

#[test]
fn whatever_is_damaged_in_closed_segments_is_told_or_harmless() {
    sweep("whatever_is_damaged_in_closed_segments_is_told_or_harmless", three_segments);
}

#[test]
fn whatever_is_damaged_in_segments_after_a_kill_is_told_or_in_the_last_batch() {
    sweep(
        "whatever_is_damaged_in_segments_after_a_kill_is_told_or_in_the_last_batch",
        three_segments_killed,
    );
}

#[test]
fn whatever_is_damaged_beside_the_place_of_a_consumer_is_told_or_harmless() {
    sweep(
        "whatever_is_damaged_beside_the_place_of_a_consumer_is_told_or_harmless",
        with_a_consumer,
    );
}

/// The same on a real directory, with a real index: some damages to each file.
#[test]
fn whatever_is_damaged_on_a_disk_is_told_or_harmless() {
    let place = place();
    let (template, damaged) = (place.path().join("template"), place.path().join("damaged"));
    let mut book = Book::new(3);
    let store = small().checkpoint_event_count(4).open(&template).unwrap();
    for _ in 0..12 {
        book.append(&store, &[("cart", 2), ("user", 1)]);
    }
    store.close().unwrap();
    for file in all_files(&template).into_keys() {
        let name = file.strip_prefix(&template).unwrap();
        for damage in [flip_middle, halve, remove] {
            if damaged.exists() {
                fs::remove_dir_all(&damaged).unwrap();
            }
            copy(&template, &damaged);
            damage(&damaged.join(name)).unwrap();
            let is_told = is_told(&damaged, &book);
            assert!(!is_told || !name.starts_with("index"), "the index decides nothing");
            let is_needed = name.starts_with("log") || name == Path::new("store.meta");
            assert_eq!(is_told, is_needed, "{}", name.display());
        }
    }
}

fn flip_middle(path: &Path) -> std::io::Result<()> {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x10;
    }
    fs::write(path, bytes)
}

fn remove(path: &Path) -> std::io::Result<()> {
    fs::remove_file(path)
}

fn halve(path: &Path) -> std::io::Result<()> {
    let bytes = fs::read(path)?;
    fs::write(path, &bytes[..bytes.len() / 2])
}

/// Looks at a damaged store on a disk; says whether anyone was told.
fn is_told(path: &Path, book: &Book) -> bool {
    let mut errors = Vec::new();
    match Inspection::open(path) {
        Ok(inspection) => {
            read_prefix(inspection.events(), &book.events, &mut errors);
        }
        Err(error) => errors.push(error),
    }
    match small().create(false).open(path) {
        Ok(store) => errors.extend(read_main_ways(&store, &book.events)),
        Err(error) => errors.push(error),
    }
    for error in &errors {
        let is_placed = matches!(
            error,
            Error::Corrupt { .. } | Error::CorruptFile { .. } | Error::NotAStore { .. }
        );
        assert!(is_placed, "{error:?}");
    }
    !errors.is_empty()
}
