//! Readers: many at once, over blocks that they share, beside whoever appends; and what they are told
//! of damage. Each is compared with a plain list of what was appended.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use annals::{
    Cursor, Durability, Error, Event, EventView, Expected, IndexRecovery, NewEvent, Options,
    Position, Result, Store, Timestamp,
};
use common::{base_of, place, segments, small};
use fastrand::Rng;

const STREAMS: [&str; 5] = ["cart-1", "cart-2", "order-1", "order-购", "o"];
const TYPES: [&str; 3] = ["placed", "paid", "pläced"];
/// Longer than any wait in these tests should take.
const LONG: Duration = Duration::from_secs(60);

/// So little room that a store of some hundred KiB does not fit, and cells of 4 KiB.
fn options() -> Options {
    Options::new()
        .durability(Durability::Buffered)
        .segment_len_max(256 << 10)
        .checkpoint_event_count(100)
        .read_cache_len(64 << 10)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    position: u64,
    stream: String,
    revision: u64,
    event_type: String,
    payload: Vec<u8>,
}

impl Fact {
    fn of(event: EventView<'_>) -> Self {
        Self {
            position: event.position().get(),
            stream: event.stream().to_owned(),
            revision: event.revision().get(),
            event_type: event.event_type().to_owned(),
            payload: event.payload().to_vec(),
        }
    }
}

/// Appends `count` events of random lengths, some longer than a cell, and lists them.
fn fill(store: &Store, count: u64) -> Vec<Fact> {
    let mut random = Rng::with_seed(count);
    let mut facts: Vec<Fact> = Vec::new();
    for position in 0..count {
        let stream = random.choice(STREAMS).unwrap();
        let event_type = random.choice(TYPES).unwrap();
        let len = if random.u8(..20) == 0 { random.usize(..9_000) } else { random.usize(..300) };
        let payload: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
        let event = NewEvent::bytes(event_type, payload.clone());
        store.append(stream, Expected::Any, [event]).unwrap();
        let revision = facts.iter().filter(|fact| fact.stream == stream).count();
        facts.push(Fact {
            position,
            stream: stream.to_owned(),
            revision: u64::try_from(revision).unwrap(),
            event_type: event_type.to_owned(),
            payload,
        });
    }
    facts
}

fn facts_of(events: impl Iterator<Item = Result<Event>>) -> Vec<Fact> {
    events.map(|event| Fact::of(event.unwrap().view())).collect()
}

fn visited(
    visit: impl FnOnce(&mut dyn FnMut(EventView<'_>) -> ControlFlow<()>) -> Result<()>,
) -> Vec<Fact> {
    let mut facts = Vec::new();
    visit(&mut |event| {
        facts.push(Fact::of(event));
        ControlFlow::Continue(())
    })
    .unwrap();
    facts
}

fn only<'a>(facts: &'a [Fact], takes: impl Fn(&Fact) -> bool + 'a) -> Vec<Fact> {
    facts.iter().filter(|fact| takes(fact)).cloned().collect()
}

/// Reads in a way that `random` chooses, and checks what comes.
fn read_somehow(store: &Store, facts: &[Fact], random: &mut Rng) {
    let from = random.usize(..=facts.len());
    let place = Position::new(u64::try_from(from).unwrap());
    let stream = random.choice(STREAMS).unwrap();
    let mut expected;
    let found = match random.u8(..6) {
        0 => {
            expected = facts[from..].to_vec();
            visited(|visit| store.read_all().from(place).visit(visit))
        }
        1 => {
            expected = facts[from..].to_vec();
            facts_of(store.read_all().from(place))
        }
        2 => {
            expected = facts[..from].to_vec();
            expected.reverse();
            visited(|visit| store.read_all().from(place).backwards().visit(visit))
        }
        3 => {
            expected = only(facts, |fact| fact.stream == stream);
            visited(|visit| store.read_stream(stream).visit(visit))
        }
        4 => {
            expected = only(facts, |fact| fact.stream == stream);
            expected.reverse();
            facts_of(store.read_stream(stream).backwards())
        }
        _ => {
            let count = random.usize(..40).min(facts.len() - from);
            expected = facts[from..from + count].to_vec();
            facts_of(store.read_all().from(place).take(count))
        }
    };
    assert!(found == expected, "{} events, not {}", found.len(), expected.len());
}

#[test]
fn readers_that_share_blocks_read_what_was_appended() {
    for cache_len in [0, 16 << 10, 64 << 10, 32 << 20] {
        let place = place();
        let store = options().read_cache_len(cache_len).open(place.path().join("s")).unwrap();
        let facts = fill(&store, 1_500);
        thread::scope(|scope| {
            for seed in 0..4 {
                let (store, facts) = (&store, &facts);
                scope.spawn(move || {
                    let mut random = Rng::with_seed(seed);
                    (0..30).for_each(|_| read_somehow(store, facts, &mut random));
                });
            }
        });
    }
}

/// Several cursors in one thread, each a little at a time, so that all come to each block.
#[test]
fn cursors_side_by_side_read_the_same_from_blocks_that_are_kept() {
    let place = place();
    let store = options().open(place.path().join("s")).unwrap();
    let facts = fill(&store, 1_000);
    let mut cursors: Vec<Cursor> = (0..10).map(|_| store.read_all()).collect();
    for fact in &facts {
        for cursor in &mut cursors {
            assert_eq!(Fact::of(cursor.next().unwrap().unwrap().view()), *fact);
        }
    }
    assert!(cursors.iter_mut().all(|cursor| cursor.next().is_none()));
}

#[test]
fn events_outlive_the_block_that_they_were_read_in() {
    let place = place();
    let store = options().open(place.path().join("s")).unwrap();
    let facts = fill(&store, 800);
    let all: Vec<Event> = store.read_all().chain(store.read_all()).map(Result::unwrap).collect();
    store.close().unwrap();
    let twice = facts.iter().chain(&facts);
    assert!(all.iter().map(|event| Fact::of(event.view())).eq(twice.cloned()));
}

#[test]
fn a_cursor_never_passes_the_visible_end_and_misses_nothing_before_it() {
    for durability in [Durability::Buffered, Durability::Sync] {
        let place = place();
        let store = options().durability(durability).open(place.path().join("s")).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                let (store, done) = (&store, &done);
                scope.spawn(move || {
                    let (mut cursor, mut next) = (store.read_all(), 0);
                    loop {
                        let was_done = done.load(Ordering::Acquire);
                        cursor
                            .visit(|event| {
                                assert_eq!(event.position().get(), next);
                                assert!(event.position() < store.end());
                                next += 1;
                                ControlFlow::Continue(())
                            })
                            .unwrap();
                        if was_done {
                            break assert_eq!(next, store.end().get());
                        }
                        cursor.wait(Duration::from_millis(50)).unwrap();
                    }
                });
            }
            fill(&store, 600);
            done.store(true, Ordering::Release);
        });
    }
}

#[test]
fn a_filtered_cursor_gives_what_fits_and_tells_how_far_it_has_come() {
    let place = place();
    let store = options().open(place.path().join("s")).unwrap();
    let facts = fill(&store, 700);
    let prefixed = || store.read_all().stream_prefix("order-");
    let is_order = |fact: &Fact| fact.stream.starts_with("order-");
    assert_eq!(facts_of(prefixed()), only(&facts, is_order));
    let paid_orders = only(&facts, |fact| is_order(fact) && fact.event_type == "paid");
    assert_eq!(facts_of(prefixed().event_types(["paid"])), paid_orders);
    let mut backwards = facts_of(prefixed().event_types(["paid"]).backwards());
    backwards.reverse();
    assert_eq!(backwards, paid_orders);
    let of_stream = store.read_stream("cart-1").event_types(["paid", "pläced"]);
    let expected = only(&facts, |fact| fact.stream == "cart-1" && fact.event_type != "placed");
    assert_eq!(facts_of(of_stream), expected);
    for none in [store.read_all().event_types(["plac"]), store.read_all().stream_prefix("x")] {
        let mut none = none;
        assert!(none.next().is_none());
        assert_eq!(none.next_position(), store.end());
    }
    assert_eq!(store.read_all().event_types(Vec::<String>::new()).count(), 0);
    assert_eq!(store.read_all().stream_prefix("").count(), facts.len());
}

#[test]
fn a_visit_that_breaks_goes_on_behind_the_event_it_broke_at() {
    let place = place();
    let store = options().open(place.path().join("s")).unwrap();
    fill(&store, 50);
    let mut cursor = store.read_all();
    for expected in 0..50 {
        let mut seen = Vec::new();
        cursor
            .visit(|event| {
                seen.push(event.position().get());
                ControlFlow::Break(())
            })
            .unwrap();
        assert_eq!(seen, [expected]);
        assert_eq!(cursor.next_position().get(), expected + 1);
    }
    cursor.visit(|_| unreachable!("there is no more")).unwrap();
    store.append("o", Expected::Any, [NewEvent::text("paid", "")]).unwrap();
    assert_eq!(visited(|visit| cursor.visit(visit)).len(), 1);
}

/// Turns over a bit in the payload of an event that says `needle`.
fn damage(path: &Path, needle: &[u8]) {
    for segment in segments(path) {
        let mut bytes = fs::read(&segment).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            bytes[at] ^= 4;
            return fs::write(&segment, bytes).unwrap();
        }
    }
    panic!("it is not there");
}

#[test]
fn damage_is_reported_by_every_reader_that_touches_it_and_by_none_that_does_not() {
    const BAD: u64 = 300;
    let place = place();
    let path = place.path().join("s");
    let store = options().open(&path).unwrap();
    for n in 0..600 {
        let text = format!("event number {n} of a stream");
        store.append(STREAMS[n % 5], Expected::Any, [NewEvent::text("t", text)]).unwrap();
    }
    store.close().unwrap();
    damage(&path, format!("event number {BAD} of").as_bytes());
    let store = options().open(&path).unwrap();
    // All of them side by side, so that they share blocks.
    let mut cursors: Vec<Cursor> = (0..6).map(|_| store.read_all()).collect();
    for n in 0..BAD {
        for cursor in &mut cursors {
            assert_eq!(cursor.next().unwrap().unwrap().position().get(), n);
        }
    }
    for cursor in &mut cursors {
        let error = cursor.next().unwrap().unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert_eq!(cursor.next_position().get(), BAD);
        assert!(cursor.next().is_none());
    }
    for _ in 0..6 {
        assert_eq!(store.read_all().from(BAD + 1).map(Result::unwrap).count(), 299);
        let error = store.read_all().from(BAD).next().unwrap().unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }));
    }
    let bad = usize::try_from(BAD).unwrap() % 5;
    for (n, stream) in STREAMS.iter().enumerate() {
        let read = store.read_stream(stream).filter(Result::is_err).count();
        assert_eq!(read, usize::from(n == bad), "{stream}");
    }
}

/// What was read with the damage was not given either, and without an index nothing in its segment.
#[test]
fn who_reads_backwards_is_given_all_that_is_behind_damage() {
    let place = place();
    let path = place.path().join("s");
    let store = Options::new().open(&path).unwrap();
    let text = |n: u64| format!("event number {n} of a stream");
    for n in 0..600 {
        store.append("a", Expected::Any, [NewEvent::text("t", text(n))]).unwrap();
    }
    store.close().unwrap();
    let bad = [3, 5, 300, 303, 590];
    for n in bad {
        damage(&path, text(n).as_bytes());
    }
    let store = Options::new().open(&path).unwrap();
    let reader = Options::new().open_read_only(&path).unwrap();
    for end in [600, 597, 595, 590, 500, 304, 303, 302, 300, 299, 6, 5, 4, 3, 2] {
        let last_bad = bad.iter().rev().find(|n| **n < end);
        for mut cursor in [store.read_all(), reader.read_all()].map(|all| all.backwards().from(end))
        {
            let mut given = 0;
            while let Some(Ok(event)) = cursor.next() {
                given += 1;
                assert_eq!(event.position().get(), end - given);
            }
            assert_eq!(given, end - last_bad.map_or(0, |n| n + 1), "from {end}");
            assert_eq!(cursor.next_position().get(), end - given);
            assert!(cursor.next().is_none());
        }
        let of_stream = store.read_stream("a").backwards().from(end).take_while(Result::is_ok);
        let given = u64::try_from(of_stream.count()).unwrap();
        assert_eq!(given, end - last_bad.map_or(0, |n| n + 1), "of the stream, from {end}");
    }
}

#[test]
fn who_waits_is_woken_by_the_event_it_waits_for() {
    let place = place();
    let store = options().open(place.path().join("s")).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut all = store.read_all();
            assert!(all.wait(LONG).unwrap());
            assert_eq!(all.next().unwrap().unwrap().stream(), "other");
            let mut own = store.read_stream("own");
            assert!(own.wait(LONG).unwrap());
            assert_eq!(own.next().unwrap().unwrap().stream(), "own");
        });
        for stream in ["other", "other", "own"] {
            thread::sleep(Duration::from_millis(20));
            store.append(stream, Expected::Any, [NewEvent::text("t", "")]).unwrap();
        }
        waiting.join().unwrap();
    });
    assert!(store.read_all().wait(LONG).unwrap(), "there are events already");
    assert!(store.read_all().backwards().wait(LONG).unwrap());
    assert!(store.read_stream("own").backwards().wait(LONG).unwrap());
}

#[test]
fn a_wait_ends_with_its_time_or_with_the_store() {
    let place = place();
    let store = Arc::new(options().open(place.path().join("s")).unwrap());
    let short = Duration::from_millis(5);
    assert!(!store.read_all().wait(short).unwrap());
    assert!(!store.read_all().wait(Duration::ZERO).unwrap());
    assert!(!store.read_stream("a").wait(short).unwrap());
    assert!(!store.read_all().backwards().wait(LONG).unwrap(), "nothing can come before the start");
    assert!(!store.read_stream("a").backwards().wait(LONG).unwrap());
    let begun = Instant::now();
    thread::scope(|scope| {
        let waits = [0, 1].map(|n| {
            let store = &store;
            scope.spawn(move || match n {
                0 => store.read_all().wait(Duration::MAX),
                _ => store.read_stream("a").wait(LONG),
            })
        });
        thread::sleep(Duration::from_millis(50));
        store.close().unwrap();
        for wait in waits {
            assert!(matches!(wait.join().unwrap(), Err(Error::Closed)));
        }
    });
    assert!(begun.elapsed() < LONG);
}

/// A closed store of segments with two events each, of these streams; and when those were recorded.
fn store_of_segments<const N: usize>(
    place: &Path,
    streams: [&str; N],
) -> (PathBuf, Vec<Timestamp>) {
    let path = place.join("s");
    let store = small().open(&path).unwrap();
    let mut times = Vec::new();
    for stream in streams {
        for _ in 0..2 {
            let event = NewEvent::bytes("t", [7; 1_500]);
            times.push(store.append(stream, Expected::Any, [event]).unwrap().recorded_at());
        }
    }
    store.close().unwrap();
    let bases = segments(&path).into_iter().map(|file| base_of(&file));
    assert!(bases.eq((0..).step_by(2).take(N)));
    (path, times)
}

/// Positions of the events, and what they end with if that is an error.
fn read(cursor: impl Iterator<Item = Result<Event>>) -> (Vec<u64>, Option<String>) {
    let (mut positions, mut error) = (Vec::new(), None);
    for event in cursor {
        match event {
            Ok(event) => positions.push(event.position().get()),
            Err(told) => error = Some(told.to_string()),
        }
    }
    (positions, error)
}

/// A stream of which the log lacks events was put down to the index, which answered nothing more then:
/// other streams were looked for from the first event on, and not found behind what is missing.
#[test]
fn what_a_missing_segment_had_is_an_error_and_all_else_is_found_by_the_index() {
    for is_open in [false, true] {
        let place = place();
        let (path, times) = store_of_segments(place.path(), ["z", "a", "b", "z"]);
        let opened = is_open.then(|| small().open(&path).unwrap());
        fs::remove_file(segments(&path).remove(1)).unwrap();
        let store = opened.unwrap_or_else(|| small().open(&path).unwrap());
        assert_found_around_what_is_missing(&store, &times);
        store.append("new", Expected::NoStream, [NewEvent::text("t", "x")]).unwrap();
        store.close().unwrap();
        let store = small().open(&path).unwrap();
        assert_eq!(store.recovery().index, IndexRecovery::Current);
        assert!(!path.join("index.broken").exists());
        assert_found_around_what_is_missing(&store, &times);
        assert_eq!(read(store.read_stream("new")), (vec![8], None));
    }
}

fn assert_found_around_what_is_missing(store: &Store, times: &[Timestamp]) {
    let (before, error) = read(store.read_all());
    assert_eq!(before, [0, 1]);
    assert!(error.is_some());
    let missing = (Vec::new(), error);
    assert_eq!(read(store.read_stream("a")), missing);
    assert_eq!(read(store.read_stream("a").backwards()), missing);
    // The mark before each of these times is in the missing segment.
    let since = |at: usize| read(store.read_all().recorded(times[at]..=times[5]));
    assert_eq!(since(4), (vec![4, 5], None));
    assert!(since(3).1.is_some());
    assert!(store.stats().is_index_usable);
    assert_eq!(read(store.read_stream("b")), (vec![4, 5], None));
}

/// A time before the first event was looked for in the headers of all segments, though the index had
/// said that there is nothing before it, and one that could not be read ended the search.
#[test]
fn a_bad_header_is_met_by_who_comes_there_and_not_by_who_looks_for_an_earlier_time() {
    let flip: fn(&Path) = |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[20] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let make_unreadable: fn(&Path) = |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    };
    for damage in [flip, make_unreadable] {
        let place = place();
        let (path, times) = store_of_segments(place.path(), ["a", "b", "a", "b", "a"]);
        damage(&segments(&path)[2]);
        let store = small().open(&path).unwrap();
        assert_eq!(store.recovery().index, IndexRecovery::Current);
        // Waits until the index answers.
        assert_eq!(store.stream_end("b").unwrap().get(), 4);
        assert_found_around_bad_header(&times, || store.read_all(), |time| store.position_at(time));
        assert!(store.stats().is_index_usable);
        drop(store);
        let reader = Options::new().open_read_only(&path).unwrap();
        assert_found_around_bad_header(
            &times,
            || reader.read_all(),
            |time| reader.position_at(time),
        );
    }
}

fn assert_found_around_bad_header(
    times: &[Timestamp],
    all: impl Fn() -> Cursor,
    position_at: impl Fn(Timestamp) -> Result<Position>,
) {
    let (before, error) = read(all());
    assert_eq!(before, [0, 1, 2, 3]);
    assert!(error.is_some());
    let early = Timestamp::from_nanos(0);
    assert_eq!(read(all().recorded(early..)), (before, error.clone()));
    assert_eq!(read(all().recorded(times[2]..)), (vec![2, 3], error));
    assert_eq!(read(all().recorded(times[7]..)), (vec![7, 8, 9], None));
    for (time, position) in [(early, 0), (times[1], 1), (times[7], 7)] {
        assert_eq!(position_at(time).unwrap(), Position::new(position));
    }
}
