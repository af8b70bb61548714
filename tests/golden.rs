//! Holds the format still: today's code reads the stores of every version of the format, and
//! writes the same bytes for the same events and the same clock.
//!
//! The page `docs/format.md` is held to the same: its worked example is a store.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "the worked example is printed to be put on the page")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use annals::inspect::{Inspection, json_line, text_line};
use annals::{
    Batch, Clock, ContentType, Event, EventId, Expected, NewEvent, Options, Position, Store,
    Timestamp,
};

/// A clock that is one second later each time.
#[derive(Debug, Default)]
struct Steps(AtomicI64);

impl Clock for Steps {
    fn now(&self) -> Timestamp {
        let seconds = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp::from_millis(1_517_443_200_000 + 1_000 * seconds)
    }
}

/// A clock that stands still: how often it is asked says nothing.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_517_443_200_000)
    }
}

fn options() -> Options {
    let steps = Steps::default();
    // The creation of the store took the first one.
    steps.now();
    Options::new().segment_len_max(4 << 10).clock(steps)
}

fn id(n: u8) -> EventId {
    EventId::from_bytes([n; 16])
}

/// A part of a batch: stream, what is expected of it, events.
type Part = (String, Expected, Vec<NewEvent>);

fn part(stream: &str, expected: Expected, events: impl IntoIterator<Item = NewEvent>) -> Part {
    (stream.to_owned(), expected, events.into_iter().collect())
}

/// The batches of the golden store: every part that a record can have, and the limits of each.
fn batches() -> Vec<Vec<Part>> {
    let long = "n".repeat(255);
    let many_tags = (0..40)
        .fold(NewEvent::bytes("tagged", []).id(id(9)), |event, n| event.tag(format!("tag-{n}")));
    let full = NewEvent::new("item-added", ContentType::Json, r#"{"item":"a teapot","n":1}"#)
        .id(id(1))
        .metadata("user=7")
        .tag("kitchen")
        .tag("küche")
        .idempotency_key("request-1");
    let longest = NewEvent::new(long.as_str(), ContentType::Other(200), vec![7; 255])
        .id(id(6))
        .tag(long.as_str())
        .idempotency_key(vec![1; 255]);
    let big = |n: u8, len| NewEvent::bytes("big", vec![n; len]).id(id(n));
    vec![
        vec![part("cart-42", Expected::NoStream, [full])],
        vec![part("购物车-42", Expected::NoStream, [NewEvent::text("已添加", "茶壶").id(id(2))])],
        vec![
            part("cart-42", Expected::Exact(1), [NewEvent::bytes("paid", []).id(id(3))]),
            part("ledger", Expected::Any, [NewEvent::bytes("entry", [0, 1, 2, 255]).id(id(4))]),
            part("cart-42", Expected::Exists, [NewEvent::text("closed", "x").id(id(5))]),
        ],
        vec![part(&long, Expected::Any, [longest])],
        vec![part("ledger", Expected::Exact(1), [big(7, 2_000)])],
        vec![part("ledger", Expected::Exact(2), [big(8, 3_000)])],
        vec![part("labels", Expected::Any, [many_tags])],
        vec![part("s", Expected::Any, (10..15).map(|n| NewEvent::bytes("t", [n]).id(id(n))))],
    ]
}

/// The batch that comes with a time of its own.
const TIMED: usize = 4;

fn append_all(store: &Store) {
    for (n, parts) in batches().into_iter().enumerate() {
        let mut batch = Batch::new();
        for (stream, expected, events) in parts {
            batch = batch.append(stream, expected, events);
        }
        if n == TIMED {
            batch = batch.recorded_at(Timestamp::from_nanos(1_600_000_000_123_456_789));
        }
        store.append_batch(batch).unwrap();
    }
    store.close().unwrap();
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// The files of a store that are part of the format, with their bytes.
fn files(store: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = ["store.meta", "clean"]
        .iter()
        .map(|name| ((*name).to_owned(), fs::read(store.join(name)).unwrap()))
        .collect();
    for entry in fs::read_dir(store.join("log")).unwrap() {
        let entry = entry.unwrap();
        let name = format!("log/{}", entry.file_name().to_str().unwrap());
        files.push((name, fs::read(entry.path()).unwrap()));
    }
    files.sort();
    files
}

/// Copies what makes a store exist, but no event: `store.meta` and the header of the first segment.
fn copy_empty(from: &Path, to: &Path) {
    const FIRST: &str = "log/00000000000000000000.seg";
    fs::create_dir_all(to.join("log")).unwrap();
    fs::copy(from.join("store.meta"), to.join("store.meta")).unwrap();
    fs::write(to.join(FIRST), &fs::read(from.join(FIRST)).unwrap()[..64]).unwrap();
}

fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("log")).unwrap();
    for (name, bytes) in files(from) {
        fs::write(to.join(name), bytes).unwrap();
    }
}

#[test]
fn the_same_events_and_clock_give_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    copy_empty(&golden().join("store"), place.path());
    append_all(&options().open(place.path()).unwrap());
    let (written, golden) = (files(place.path()), files(&golden().join("store")));
    let names =
        |files: &[(String, _)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&written), names(&golden));
    assert_eq!(written.len(), 4, "the golden store has a sealed segment");
    for ((name, written), (_, golden)) in written.iter().zip(&golden) {
        assert!(written == golden, "{name} differs");
    }
}

#[test]
fn the_golden_store_is_read_as_it_was_written() {
    let place = tempfile::tempdir().unwrap();
    copy_store(&golden().join("store"), place.path());
    let store = Options::new().create(false).open(place.path()).unwrap();
    assert!(store.recovery().was_closed);
    let events: Vec<_> = store.read_all().map(|event| event.unwrap()).collect();
    let appended: Vec<_> = batches()
        .into_iter()
        .flatten()
        .flat_map(|(stream, _, events)| {
            events.into_iter().map(move |event| (stream.clone(), event))
        })
        .collect();
    assert_eq!(events.len(), appended.len());
    for (event, (stream, new)) in events.iter().zip(&appended) {
        assert_eq!(event.stream(), stream);
        assert_eq!(NewEvent::from(event), *new);
    }
    assert_eq!(store.stream_end("ledger").unwrap().get(), 3);
    let times: Vec<_> = events.iter().map(|event| event.recorded_at().as_nanos()).collect();
    assert_eq!(times[0], 1_517_443_201_000_000_000);
    assert_eq!(times[6], 1_600_000_000_123_456_789);
    assert_eq!(times[7], 1_600_000_000_123_456_790);
}

#[test]
fn the_dump_of_the_golden_store_is_what_it_was() {
    let inspection = Inspection::open(golden().join("store")).unwrap();
    assert!(inspection.damage().is_none());
    let dump_of = |line: fn(&Event) -> String| -> String {
        inspection.events().map(|event| line(&event.unwrap()) + "\n").collect()
    };
    let golden_text = |name| fs::read_to_string(golden().join(name)).unwrap();
    assert_eq!(dump_of(json_line), golden_text("events.jsonl"));
    assert_eq!(dump_of(text_line), golden_text("events.txt"));
}

const CONSUMERS: [&str; 2] = ["Billing/结算", "mailer"];

/// Appends to an empty store with a clock that stands still, and lets two consumers commit: one by
/// itself, the other with a batch.
fn consume_all(store: &Store) {
    for n in 0..4 {
        let event = NewEvent::text("asked", n.to_string()).id(id(n));
        store.append("questions", Expected::Any, [event]).unwrap();
    }
    let [mut billing, mut mailer] = CONSUMERS.map(|name| store.consumer(name).open().unwrap());
    for _ in 0..3 {
        billing.next().unwrap().unwrap();
        mailer.next().unwrap().unwrap();
    }
    mailer.commit(1).unwrap();
    mailer.commit(2).unwrap();
    let answer = NewEvent::text("answered", "2").id(id(9)).tag("kitchen").idempotency_key("once");
    let batch = Batch::new().append("answers", Expected::NoStream, [answer]);
    store.append_and_commit(batch, &mut billing, 3).unwrap();
    // What only the log says is kept when the store is closed.
    store.close().unwrap();
}

/// The files of a store and of its consumers.
fn files_with_consumers(store: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = files(store);
    for entry in fs::read_dir(store.join("consumers")).unwrap() {
        let entry = entry.unwrap();
        let name = format!("consumers/{}", entry.file_name().to_str().unwrap());
        files.push((name, fs::read(entry.path()).unwrap()));
    }
    files
}

#[test]
fn the_same_commits_and_clock_give_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    copy_empty(&golden().join("consumed"), place.path());
    consume_all(&options().clock(Stopped).open(place.path()).unwrap());
    let sorted = |path: &Path| {
        let mut files = files_with_consumers(path);
        files.sort();
        files
    };
    let (written, golden) = (sorted(place.path()), sorted(&golden().join("consumed")));
    assert_eq!((written.len(), golden.len()), (5, 5));
    for ((name, written), (golden_name, golden)) in written.iter().zip(&golden) {
        assert_eq!(name, golden_name);
        assert!(written == golden, "{name} differs");
    }
}

#[test]
fn the_golden_consumers_are_where_they_were() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.path().join("consumers")).unwrap();
    copy_store(&golden().join("consumed"), place.path());
    for (name, bytes) in files_with_consumers(&golden().join("consumed")) {
        fs::write(place.path().join(name), bytes).unwrap();
    }
    let store = Options::new().create(false).open(place.path()).unwrap();
    let places: Vec<_> = store.consumers().unwrap();
    let places: Vec<_> = places.iter().map(|info| (&*info.name, info.committed.get())).collect();
    assert_eq!(places, [(CONSUMERS[0], 3), (CONSUMERS[1], 2)]);
    let answer = store.read_stream("answers").next().unwrap().unwrap();
    assert_eq!(answer.idempotency_key(), Some(&b"once"[..]));
    assert!(answer.tags().eq(["kitchen"]));
}

/// Reads the hexadecimal dump that follows the line with `title` on the page.
fn hex_after(page: &str, title: &str) -> Vec<u8> {
    let from = page.find(title).unwrap_or_else(|| panic!("{title} is not on the page"));
    let block = page[from..].split("```").nth(1).unwrap();
    let lines = block.lines().skip(1).map(|line| line.split("  ").nth(1).unwrap_or_default());
    let digits: String = lines.flat_map(|line| line.split_whitespace()).collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn example() -> NewEvent {
    NewEvent::text("item-added", "a teapot").id(id(0xab)).tag("kitchen")
}

#[test]
fn the_worked_example_on_the_page_is_a_store() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    let page = fs::read_to_string(page).unwrap();
    let meta = hex_after(&page, "`store.meta` of the example");
    let segment = hex_after(&page, "Its only segment");
    assert_eq!((meta.len(), segment.len()), (64, 64 + 104));

    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("log")).unwrap();
    fs::write(place.path().join("store.meta"), meta).unwrap();
    let file = place.path().join("log/00000000000000000000.seg");
    fs::write(&file, &segment).unwrap();
    let store = Options::new().create(false).open(place.path()).unwrap();
    let event = store.read_all().next().unwrap().unwrap();
    assert_eq!(NewEvent::from(&event), example());
    assert_eq!((event.stream(), event.position()), ("cart-42", Position::START));
    assert!(event.ends_batch());
    store.close().unwrap();

    // The same event and the same time give the bytes of the page.
    fs::remove_dir_all(place.path().join("index")).unwrap();
    for note in ["clean", "durable"] {
        fs::remove_file(place.path().join(note)).unwrap();
    }
    fs::write(&file, &segment[..64]).unwrap();
    let store = options().open(place.path()).unwrap();
    store.append("cart-42", Expected::NoStream, [example()]).unwrap();
    store.close().unwrap();
    assert!(fs::read(&file).unwrap() == segment, "the page shows other bytes than are written");
    let durable = fs::read(place.path().join("durable")).unwrap();
    let slot = hex_after(&page, "`durable` of the example");
    assert_eq!((durable.len(), slot.len()), (1_024, 72));
    let zeroes = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    assert!(zeroes(&durable[..512]) && zeroes(&durable[584..]));
    assert!(durable[512..584] == slot, "the page shows another note than is written");
}

/// Writes the golden consumers of this version, once and for all.
#[test]
#[ignore = "the golden files are written once for each version of the format"]
fn write_the_golden_consumers() {
    let golden = golden().join("consumed");
    assert!(!golden.exists(), "golden files never change");
    let place = tempfile::tempdir().unwrap();
    let store = Options::new().clock(Stopped).open(place.path()).unwrap();
    consume_all(&store);
    for (name, bytes) in files_with_consumers(place.path()) {
        let path = golden.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Writes the golden store of this version, once and for all, and prints the worked example.
#[test]
#[ignore = "the golden files are written once for each version of the format"]
fn write_the_golden_files() {
    let golden = golden().join("store");
    assert!(!golden.exists(), "golden files never change");
    let place = tempfile::tempdir().unwrap();
    let clock = Steps::default();
    let store = Options::new().segment_len_max(4 << 10).clock(clock).open(place.path()).unwrap();
    append_all(&store);
    for (name, bytes) in files(place.path()) {
        let path = golden.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    let place = tempfile::tempdir().unwrap();
    let store = Options::new().clock(Steps::default()).open(place.path()).unwrap();
    store.append("cart-42", Expected::NoStream, [example()]).unwrap();
    store.close().unwrap();
    for (name, bytes) in files(place.path()) {
        eprintln!("{name}");
        for (line, bytes) in bytes.chunks(16).enumerate() {
            let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            eprintln!("{:04X}  {}", line * 16, hex.join(" "));
        }
    }
}
