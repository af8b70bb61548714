//! The store against a model that cannot be wrong: a list of events. Once with random operations one
//! after the other, once with many threads at the same time.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};

use annals::{
    Cursor, Durability, Error, Event, Expected, IndexRecovery, NewEvent, Options, Receipt, Result,
    Revision, Store, StreamCursor, Timestamp,
};
use common::{Book, Seen, assert_agrees, cases, copy, count, crash, place, read_main_ways, small};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;
use tempfile::TempDir;

const STREAMS: [&str; 6] = ["a", "ab", "ab c", "b", "购物车", "购物车-1"];

/// What to do next. Places are in thousandths of what there is, and a little beyond.
#[derive(Clone, Debug)]
enum Step {
    Append { parts: Vec<(usize, Expectation, usize)>, sync: bool, time_gap_ns: Option<i64> },
    AppendBig { stream: usize, len: usize },
    Sync,
    ReadAll { from: Option<usize>, times: Times, backwards: bool },
    ReadStream { stream: usize, from: Option<usize>, times: Times, backwards: bool },
    PositionAt { place: usize, add_ns: i64 },
    List { prefix: &'static str },
    Follow { stream: Option<usize> },
    Reopen { how: Reopen, options: usize },
}

/// What an append expects, going by what is true.
#[derive(Clone, Copy, Debug)]
enum Expectation {
    Any,
    NoStream,
    Exists,
    Off(i64),
}

type Times = (Bound<(usize, i64)>, Bound<(usize, i64)>);

#[derive(Clone, Copy, Debug)]
enum Reopen {
    Close,
    Drop,
    WithoutIndex,
    /// A copy, taken while the store was open, goes on in its place.
    Copy,
    CopyWithoutIndex,
}

fn step() -> impl Strategy<Value = Step> {
    let part = (0..STREAMS.len(), expectation(), 0..4_usize);
    let append = (vec(part, 1..4), any::<bool>(), option::weighted(0.3, -2..5_i64));
    let stream = 0..STREAMS.len();
    let from = || option::of(0..1_200_usize);
    prop_oneof![
        12 => append.prop_map(|(parts, sync, time_gap_ns)| Step::Append { parts, sync, time_gap_ns }),
        1 => (stream.clone(), 1_000..3_700_usize).prop_map(|(stream, len)| Step::AppendBig { stream, len }),
        1 => Just(Step::Sync),
        3 => (from(), times(), any::<bool>())
            .prop_map(|(from, times, backwards)| Step::ReadAll { from, times, backwards }),
        3 => (stream.clone(), from(), times(), any::<bool>()).prop_map(
            |(stream, from, times, backwards)| Step::ReadStream { stream, from, times, backwards }
        ),
        2 => (0..1_200_usize, -1..2_i64).prop_map(|(place, add_ns)| Step::PositionAt { place, add_ns }),
        1 => (0..5_usize).prop_map(|n| Step::List { prefix: ["", "a", "ab", "购物", "c"][n] }),
        3 => option::of(stream).prop_map(|stream| Step::Follow { stream }),
        2 => (0..5_usize, 0..4_usize).prop_map(|(how, options)| Step::Reopen {
            how: [Reopen::Close, Reopen::Drop, Reopen::WithoutIndex, Reopen::Copy, Reopen::CopyWithoutIndex][how],
            options,
        }),
    ]
}

fn expectation() -> impl Strategy<Value = Expectation> {
    prop_oneof![
        6 => Just(Expectation::Any),
        1 => Just(Expectation::NoStream),
        1 => Just(Expectation::Exists),
        6 => Just(Expectation::Off(0)),
        1 => (-2..3_i64).prop_map(Expectation::Off),
    ]
}

fn times() -> impl Strategy<Value = Times> {
    let bound = || {
        prop_oneof![
            2 => Just(Bound::Unbounded),
            1 => (0..1_200_usize, -1..2_i64).prop_map(Bound::Included),
            1 => (0..1_200_usize, -1..2_i64).prop_map(Bound::Excluded),
        ]
    };
    (bound(), bound())
}

/// Options that differ in what makes files small and checkpoints frequent.
fn options(n: usize) -> Options {
    let (segment_len_max, events) = [(4_096, 1), (4_096, 7), (6_000, 30), (20_000, 1_000)][n];
    small().segment_len_max(segment_len_max).checkpoint_event_count(events)
}

/// A store and its model.
struct Twins {
    place: TempDir,
    path: PathBuf,
    copies: usize,
    store: Option<Store>,
    book: Book,
    /// Cursors that go on where they were, with what they have given so far.
    followers: BTreeMap<Option<usize>, Follower>,
}

struct Follower {
    events: Box<dyn Iterator<Item = Result<Event>>>,
    given: usize,
}

impl Twins {
    fn new() -> Self {
        let place = place();
        let path = place.path().join("store");
        let store = Some(options(0).open(&path).unwrap());
        Self { place, path, copies: 0, store, book: Book::new(9), followers: BTreeMap::new() }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append { parts, sync, time_gap_ns } => self.append(parts, *sync, *time_gap_ns),
            Step::AppendBig { stream, len } => {
                let store = self.store.clone().unwrap();
                self.book.append_big(&store, STREAMS[*stream], *len);
            }
            Step::Sync => self.store().sync().unwrap(),
            Step::ReadAll { from, times, backwards } => {
                let events: Vec<_> = self.book.events.iter().collect();
                let from = from.map(|place| scale(place, events.len()));
                self.check_read(
                    Ways::all(self.store().read_all()),
                    &events,
                    from,
                    times,
                    *backwards,
                );
            }
            Step::ReadStream { stream, from, times, backwards } => {
                let name = STREAMS[*stream];
                let events = self.stream(name);
                let from = from.map(|place| scale(place, events.len()));
                let cursor = Ways::stream(self.store().read_stream(name));
                self.check_read(cursor, &events, from, times, *backwards);
            }
            Step::PositionAt { place, add_ns } => {
                let time = self.time(*place, *add_ns);
                let first = self.book.events.partition_point(|event| event.recorded_at < time);
                let position = self.store().position_at(time).unwrap().get();
                assert_eq!(position, count(&self.book.events[..first]));
            }
            Step::List { prefix } => self.check_list(prefix),
            Step::Follow { stream } => self.follow(*stream),
            Step::Reopen { how, options: n } => self.reopen(*how, &options(*n)),
        }
    }

    fn stream(&self, name: &str) -> Vec<&Seen> {
        self.book.events.iter().filter(|event| event.stream == name).collect()
    }

    fn time(&self, place: usize, add_ns: i64) -> Timestamp {
        let at = scale(place, self.book.events.len());
        let event = self.book.events.get(at).or(self.book.events.last());
        let time = event.map_or(0, |event| event.recorded_at.as_nanos());
        Timestamp::from_nanos(time.saturating_add(add_ns))
    }

    fn append(&mut self, parts: &[(usize, Expectation, usize)], sync: bool, gap: Option<i64>) {
        let store = self.store.clone().unwrap();
        let parts: Vec<_> = parts
            .iter()
            .map(|(n, expectation, count)| {
                let end = self.book.stream_end(STREAMS[*n]);
                (STREAMS[*n], expectation.of(end), *count)
            })
            .collect();
        let last = self.book.events.last().map(|event| event.recorded_at);
        let time = gap.map(|ns| Timestamp::from_nanos(last.map_or(0, Timestamp::as_nanos) + ns));
        let durability = if sync { Durability::Sync } else { Durability::Buffered };
        let conflict = parts
            .iter()
            .find(|(stream, expected, _)| !holds(*expected, self.book.stream_end(stream)));
        let conflict = conflict.map(|(s, e, _)| (*s, *e, Revision::new(self.book.stream_end(s))));
        let is_empty = parts.iter().all(|(_, _, count)| *count == 0);
        let result = self.book.try_append(&store, &parts, |batch| {
            let batch = batch.durability(durability);
            match time {
                Some(time) => batch.recorded_at(time),
                None => batch,
            }
        });
        match (result, conflict) {
            (Err(Error::EmptyBatch), _) if is_empty => {}
            (Err(Error::Conflict { stream, expected, actual }), Some(conflict)) => {
                assert_eq!((&*stream, expected, actual), conflict);
            }
            (Err(Error::TimeWentBack { given, last: before }), None) => {
                assert_eq!((Some(given), Some(before)), (time, last));
                assert!(given <= before);
            }
            (Ok(receipt), None) => {
                assert!(last.is_none_or(|last| receipt.recorded_at() > last));
                assert!(time.is_none_or(|time| receipt.recorded_at() == time));
                assert!(!is_empty);
            }
            (other, conflict) => panic!("{other:?}, {conflict:?}"),
        }
    }

    fn check_read(
        &self,
        mut cursor: Ways,
        events: &[&Seen],
        from: Option<usize>,
        times: &Times,
        backwards: bool,
    ) {
        let time = |bound: &Bound<(usize, i64)>| bound.map(|(place, ns)| self.time(place, ns));
        let range = (time(&times.0), time(&times.1));
        if let Some(from) = from {
            cursor = cursor.from(u64::try_from(from).unwrap());
        }
        let is_timed = *times != (Bound::Unbounded, Bound::Unbounded);
        if is_timed {
            cursor = cursor.recorded(range);
        }
        if backwards {
            cursor = cursor.backwards();
        }
        // Half of it, then the rest with another cursor that is put where the first one stands.
        let half = events.len() / 2;
        let mut read: Vec<_> =
            cursor.by_ref().take(half).map(|event| Seen::of(&event.unwrap())).collect();
        if !read.is_empty() {
            let next = cursor.next_place();
            cursor = cursor.from(next);
        }
        read.extend(cursor.map(|event| Seen::of(&event.unwrap())));
        let end = events.len();
        let places = if backwards {
            0..from.unwrap_or(end).min(end)
        } else {
            from.unwrap_or(0).min(end)..end
        };
        let mut expected: Vec<_> = events[places]
            .iter()
            .filter(|event| std::ops::RangeBounds::contains(&range, &event.recorded_at))
            .map(|event| (*event).clone())
            .collect();
        if backwards {
            expected.reverse();
        }
        assert_eq!(read, expected, "{from:?} {range:?}");
    }

    fn check_list(&self, prefix: &str) {
        let listed: Vec<_> = self
            .store()
            .streams()
            .prefix(prefix)
            .map(|info| info.map(|info| (info.name().to_owned(), info.end().get())).unwrap())
            .collect();
        let mut expected = BTreeMap::new();
        for event in self.book.events.iter().filter(|event| event.stream.starts_with(prefix)) {
            expected.insert(event.stream.clone(), event.revision + 1);
        }
        assert_eq!(listed, expected.into_iter().collect::<Vec<_>>());
    }

    /// Lets a cursor that was begun earlier go on to the end.
    fn follow(&mut self, stream: Option<usize>) {
        let store = self.store.clone().unwrap();
        let follower = self.followers.entry(stream).or_insert_with(|| Follower {
            events: match stream {
                None => Box::new(store.read_all()),
                Some(n) => Box::new(store.read_stream(STREAMS[n])),
            },
            given: 0,
        });
        let wanted = |event: &&Seen| stream.is_none_or(|n| event.stream == STREAMS[n]);
        let expected: Vec<_> = self.book.events.iter().filter(wanted).collect();
        for event in follower.events.by_ref() {
            assert_eq!(&Seen::of(&event.unwrap()), expected[follower.given]);
            follower.given += 1;
        }
        assert_eq!(follower.given, expected.len());
    }

    fn reopen(&mut self, how: Reopen, options: &Options) {
        if matches!(how, Reopen::Copy | Reopen::CopyWithoutIndex) {
            self.copies += 1;
            let copied = self.place.path().join(format!("copy-{}", self.copies));
            copy(&self.path, &copied);
            self.path = copied;
        }
        self.followers.clear();
        let store = self.store.take().unwrap();
        if matches!(how, Reopen::Close) {
            store.close().unwrap();
        }
        drop(store);
        match how {
            Reopen::WithoutIndex => fs::remove_dir_all(self.path.join("index")).unwrap(),
            Reopen::CopyWithoutIndex => crash(&self.path),
            Reopen::Close | Reopen::Drop | Reopen::Copy => {}
        }
        let store = options.open(&self.path).unwrap();
        self.check_report(how, &store);
        assert_eq!(read_main_ways(&store, &self.book.events).len(), 0);
        self.store = Some(store);
    }

    fn check_report(&self, how: Reopen, store: &Store) {
        let report = store.recovery();
        assert_eq!(report.end.get(), self.book.end());
        assert_eq!(report.torn_tail, None);
        match (how, &report.index) {
            (Reopen::Close | Reopen::Drop, IndexRecovery::Current) => assert!(report.was_closed),
            (Reopen::WithoutIndex, IndexRecovery::Rebuilt { event_count, .. }) => {
                assert!(report.was_closed);
                assert_eq!(*event_count, self.book.end());
            }
            (Reopen::CopyWithoutIndex, IndexRecovery::Rebuilt { event_count, .. }) => {
                assert_eq!(*event_count, self.book.end());
            }
            (Reopen::Copy, IndexRecovery::Unavailable { .. }) => panic!("{report:?}"),
            // sled's files were copied while they were written to; and an index without a
            // checkpoint, for want of events, is as good as none.
            (Reopen::Copy, _)
            | (Reopen::Close | Reopen::Drop, IndexRecovery::Rebuilt { event_count: 0, .. }) => {}
            (how, _) => panic!("{how:?}: {report:?}"),
        }
    }
}

impl Expectation {
    fn of(self, end: u64) -> Expected {
        match self {
            Self::Any => Expected::Any,
            Self::NoStream => Expected::NoStream,
            Self::Exists => Expected::Exists,
            Self::Off(by) => Expected::Exact(end.saturating_add_signed(by)),
        }
    }
}

fn scale(place: usize, len: usize) -> usize {
    place * len / 1_000
}

fn holds(expected: Expected, end: u64) -> bool {
    match expected {
        Expected::Any => true,
        Expected::NoStream => end == 0,
        Expected::Exists => end > 0,
        Expected::Exact(count) => end == count,
    }
}

/// Either kind of cursor.
enum Ways {
    All(Cursor),
    Stream(StreamCursor),
}

impl Ways {
    fn all(cursor: Cursor) -> Self {
        Self::All(cursor)
    }

    fn stream(cursor: StreamCursor) -> Self {
        Self::Stream(cursor)
    }

    fn from(self, place: u64) -> Self {
        match self {
            Self::All(cursor) => Self::All(cursor.from(place)),
            Self::Stream(cursor) => Self::Stream(cursor.from(place)),
        }
    }

    fn recorded(self, times: (Bound<Timestamp>, Bound<Timestamp>)) -> Self {
        match self {
            Self::All(cursor) => Self::All(cursor.recorded(times)),
            Self::Stream(cursor) => Self::Stream(cursor.recorded(times)),
        }
    }

    fn backwards(self) -> Self {
        match self {
            Self::All(cursor) => Self::All(cursor.backwards()),
            Self::Stream(cursor) => Self::Stream(cursor.backwards()),
        }
    }

    fn next_place(&self) -> u64 {
        match self {
            Self::All(cursor) => cursor.next_position().get(),
            Self::Stream(cursor) => cursor.next_revision().get(),
        }
    }
}

impl Iterator for Ways {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::All(cursor) => cursor.next(),
            Self::Stream(cursor) => cursor.next(),
        }
    }
}

proptest! {
    #![proptest_config(Config { max_shrink_iters: 400, ..cases(40) })]

    #[test]
    fn the_store_does_what_a_list_of_events_does(steps in vec(step(), 1..50)) {
        let mut twins = Twins::new();
        for step in &steps {
            twins.take(step);
        }
        assert_agrees(twins.store(), &twins.book.events);
        twins.reopen(Reopen::Close, &options(1));
    }
}

const WRITERS: u64 = 8;
const BATCHES: u64 = 250;
const SHARED: [&str; 3] = ["shared-a", "shared-b", "shared-c"];

/// Appends batches, each to one or two shared streams that must not have changed since they were
/// looked at, and gives the receipts with what was appended.
fn write(store: &Store, writer: u64) -> Vec<(Receipt, Vec<(String, String)>)> {
    let mut random = fastrand::Rng::with_seed(writer);
    let mut acknowledged = Vec::new();
    while count(&acknowledged) < BATCHES {
        let mut batch = annals::Batch::new();
        let mut written = Vec::new();
        let mut streams = SHARED;
        random.shuffle(&mut streams);
        for stream in &streams[..random.usize(1..=2)] {
            let end = store.stream_end(stream).unwrap().get();
            let texts: Vec<_> =
                (0..random.u64(1..4)).map(|at| format!("{writer} saw {end}, {at}")).collect();
            let events = texts.iter().map(|text| NewEvent::text("t", text));
            batch = batch.append(*stream, Expected::Exact(end), events);
            written.extend(texts.into_iter().map(|text| ((*stream).to_owned(), text)));
        }
        if random.u8(..) < 20 {
            batch = batch.durability(Durability::Sync);
        }
        match store.append_batch(&batch) {
            Ok(receipt) => acknowledged.push((receipt, written)),
            Err(Error::Conflict { expected: Expected::Exact(expected), actual, .. }) => {
                assert!(actual.get() >= expected, "streams do not shrink");
            }
            Err(error) => panic!("{error}"),
        }
    }
    acknowledged
}

/// What a reader may see of a log that grows: positions and revisions without a gap, times in order,
/// and whenever it comes to the end, whole batches.
#[derive(Default)]
struct Watcher {
    position: u64,
    revisions: BTreeMap<String, u64>,
    time: Option<Timestamp>,
    ends_batch: bool,
}

impl Watcher {
    fn see(&mut self, event: &Event) {
        assert_eq!(event.position().get(), self.position);
        self.position += 1;
        let revision = self.revisions.entry(event.stream().to_owned()).or_default();
        assert_eq!(event.revision().get(), *revision, "{}", event.stream());
        *revision += 1;
        let in_order = match self.time {
            None => true,
            Some(time) if self.ends_batch => event.recorded_at() > time,
            Some(time) => event.recorded_at() == time,
        };
        assert!(in_order, "{event:?}");
        self.time = Some(event.recorded_at());
        self.ends_batch = event.ends_batch();
    }
}

/// Follows all events to the end, again and again.
fn watch_all(store: &Store, done: &AtomicBool) {
    let mut watcher = Watcher::default();
    let mut cursor = store.read_all();
    loop {
        let is_last = done.load(Ordering::Acquire);
        let end = store.end().get();
        for event in cursor.by_ref() {
            watcher.see(&event.unwrap());
        }
        assert!(watcher.position >= end, "what was visible stays so");
        assert!(watcher.position == 0 || watcher.ends_batch, "only whole batches are visible");
        if is_last {
            return;
        }
    }
}

/// Reads from the end to the start, again and again.
fn watch_backwards(store: &Store, done: &AtomicBool) {
    let mut end_before = 0;
    while !done.load(Ordering::Acquire) {
        let events: Vec<_> = store.read_all().backwards().map(Result::unwrap).collect();
        let mut watcher = Watcher::default();
        events.iter().rev().for_each(|event| watcher.see(event));
        assert!(watcher.position >= end_before && (events.is_empty() || watcher.ends_batch));
        end_before = watcher.position;
    }
}

/// Follows one stream and does nothing else, so that it is there when an event is just coming.
fn watch_end_of_stream(store: &Store, stream: &str, done: &AtomicBool) {
    let mut cursor = store.read_stream(stream);
    let mut next = 0;
    while !done.load(Ordering::Acquire) {
        if let Some(event) = cursor.next() {
            assert_eq!(event.unwrap().revision().get(), next);
            next += 1;
        }
    }
}

/// Follows one stream to its end, again and again, and asks everything else in between.
fn watch_stream(store: &Store, stream: &str, done: &AtomicBool) {
    let mut cursor = store.read_stream(stream);
    let mut next = 0;
    while !done.load(Ordering::Acquire) {
        for event in cursor.by_ref() {
            let event = event.unwrap();
            assert_eq!((event.stream(), event.revision().get()), (stream, next));
            next += 1;
        }
        let end = store.stream_end(stream).unwrap().get();
        assert!(end >= next);
        if let Some(last) = store.read_stream(stream).backwards().next() {
            let last = last.unwrap();
            assert!(last.revision().get() + 1 >= next);
            let first_of_batch = store.position_at(last.recorded_at()).unwrap();
            assert!(first_of_batch <= last.position());
            let since = store.read_stream(stream).recorded(last.recorded_at()..).next();
            assert_eq!(since.unwrap().unwrap().recorded_at(), last.recorded_at());
        }
        for info in store.streams().prefix("shared-") {
            let info = info.unwrap();
            assert!(SHARED.contains(&info.name()) && info.end() > Revision::START);
        }
    }
}

#[test]
fn writers_and_readers_at_the_same_time_agree_on_one_order() {
    let place = place();
    let options = small().segment_len_max(16 << 10).checkpoint_event_count(100);
    let store = options.open(place.path()).unwrap();
    let done = AtomicBool::new(false);
    let acknowledged: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| watch_all(&store, &done));
        scope.spawn(|| watch_backwards(&store, &done));
        for stream in SHARED {
            let (store, done) = (&store, &done);
            scope.spawn(move || watch_stream(store, stream, done));
            scope.spawn(move || watch_end_of_stream(store, stream, done));
        }
        let store = &store;
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(store, writer))).collect();
        let written: Vec<_> = writers.into_iter().map(ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Release);
        written.into_iter().flat_map(Result::unwrap).collect()
    });
    let mut watcher = Watcher::default();
    let all: Vec<_> = store.read_all().map(Result::unwrap).collect();
    for event in &all {
        watcher.see(event);
    }
    assert_eq!(count(&acknowledged), WRITERS * BATCHES);
    let mut end = 0;
    for (receipt, written) in &acknowledged {
        let places = receipt.first().get()..receipt.end().get();
        end = end.max(places.end);
        for (place, (stream, text)) in places.zip(written) {
            let event = &all[usize::try_from(place).unwrap()];
            assert_eq!((event.stream(), event.payload()), (&**stream, text.as_bytes()));
            assert_eq!(event.recorded_at(), receipt.recorded_at());
            let saw = text.split([' ', ',']).nth(2).unwrap().parse::<u64>().unwrap();
            assert!(event.revision().get() >= saw && event.revision().get() < saw + 3);
        }
    }
    assert_eq!(end, count(&all));
    store.close().unwrap();
    let book: Vec<_> = all.iter().map(Seen::of).collect();
    let store = options.open(place.path()).unwrap();
    assert_eq!(store.recovery().index, IndexRecovery::Current, "no reader put the index in doubt");
    assert_eq!(read_main_ways(&store, &book).len(), 0);
}

/// A cursor once asked the index for an event that was not visible yet, and called the store or the
/// index damaged.
#[test]
fn a_cursor_at_the_end_of_its_stream_is_there_when_an_event_comes() {
    for _ in 0..8 {
        let place = place();
        let store = small().segment_len_max(1 << 20).open(place.path()).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| watch_end_of_stream(&store, "busy", &done));
            for _ in 0..4_000 {
                store.append("busy", Expected::Any, [NewEvent::bytes("t", [])]).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        store.close().unwrap();
        let store = small().open(place.path()).unwrap();
        assert_eq!(store.recovery().index, IndexRecovery::Current, "the index was put in doubt");
    }
}

/// What is acknowledged while another thread closes the store is there; what is not, is not.
#[test]
fn appends_during_a_close_are_acknowledged_and_kept_or_neither() {
    for round in 0..12 {
        // On a disk, where syncs take their time.
        let place = tempfile::tempdir().unwrap();
        let options = small().checkpoint_event_count(20);
        let store = options.open(place.path()).unwrap();
        let acknowledged: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let store = store.clone();
                    scope.spawn(move || append_until_closed(&store, writer))
                })
                .collect();
            while store.end().get() < 1 + 100 * (round % 4) {
                thread::yield_now();
            }
            store.close().unwrap();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        let store = options.open(place.path()).unwrap();
        assert!(store.recovery().was_closed);
        // What was appended while the index was closed must be caught up with.
        let index = &store.recovery().index;
        assert!(!matches!(index, IndexRecovery::Rebuilt { .. }), "{index:?}");
        assert_eq!(store.end().get(), 2 * count(&acknowledged));
        let events: Vec<_> = store.read_all().map(Result::unwrap).collect();
        for (position, writer) in acknowledged {
            let batch = &events[usize::try_from(position).unwrap()..][..2];
            assert!(batch.iter().all(|event| event.payload() == [writer]));
        }
    }
}

/// Appends batches of two until the store is closed, and gives their positions.
fn append_until_closed(store: &Store, writer: u8) -> Vec<(u64, u8)> {
    let mut acknowledged = Vec::new();
    loop {
        let events = [(); 2].map(|()| NewEvent::bytes("t", [writer]));
        match store.append("shared", Expected::Any, events) {
            Ok(receipt) => acknowledged.push((receipt.first().get(), writer)),
            Err(Error::Closed) => return acknowledged,
            Err(error) => panic!("{error}"),
        }
    }
}
