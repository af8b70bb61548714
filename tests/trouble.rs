//! The store against a list of events, while calls fail, the process is killed and power is lost:
//! random operations one after the other, and rounds of several threads.
//!
//! `PROPTEST_CASES` is the number of cases of each test. What a failing case did is printed, down
//! to the seeds of its crashes, after it was made as short as it could be.
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::io::ErrorKind;
use std::thread;

use annals::simulation::{Call, Fault, Simulation};
use annals::{
    Batch, Cursor, Durability, Error, Event, Expected, NewEvent, Options, Receipt, Result, Store,
};
use common::{Seen, cases, count, read_main_ways, small};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

const STREAMS: [&str; 4] = ["a", "ab", "b", "购物车"];
const CALLS: [Call; 8] = [
    Call::Open,
    Call::Create,
    Call::Read,
    Call::Write,
    Call::Sync,
    Call::SetLen,
    Call::Rename,
    Call::SyncFolder,
];

fn options() -> Options {
    small().checkpoint_event_count(6)
}

/// What an append expects, going by what is true.
#[derive(Clone, Copy, Debug)]
enum Expectation {
    Any,
    NoStream,
    Exists,
    Off(i64),
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

fn holds(expected: Expected, end: u64) -> bool {
    match expected {
        Expected::Any => true,
        Expected::NoStream => end == 0,
        Expected::Exists => end > 0,
        Expected::Exact(count) => end == count,
    }
}

#[derive(Clone, Debug)]
struct Part {
    stream: usize,
    expectation: Expectation,
    event_count: usize,
    len: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Part>, Durability),
    Sync,
    Read,
    Follow,
    Fail(Trouble),
    Heal,
    Restart(Restart),
}

/// A kind of call, by its place in [`CALLS`], that fails.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    call: usize,
    after: u64,
    forever: bool,
}

impl Trouble {
    fn inject(self, disk: &Simulation) {
        let fault = Fault::next(CALLS[self.call], ErrorKind::StorageFull).after(self.after);
        disk.inject(if self.forever { fault.forever() } else { fault });
    }
}

/// How a store comes to be opened again.
#[derive(Clone, Copy, Debug)]
enum Restart {
    Close,
    Drop,
    Kill,
    KillAndLoseIndex,
    Crash(u64),
}

fn part() -> impl Strategy<Value = Part> {
    let expectation = prop_oneof![
        6 => Just(Expectation::Any),
        1 => Just(Expectation::NoStream),
        1 => Just(Expectation::Exists),
        4 => Just(Expectation::Off(0)),
        1 => (-1..2_i64).prop_map(Expectation::Off),
    ];
    let len = prop_oneof![4 => 0..40_usize, 2 => 300..900_usize];
    (0..STREAMS.len(), expectation, 1..4_usize, len).prop_map(
        |(stream, expectation, event_count, len)| Part { stream, expectation, event_count, len },
    )
}

fn durability() -> impl Strategy<Value = Durability> {
    any::<bool>().prop_map(|sync| if sync { Durability::Sync } else { Durability::Buffered })
}

fn trouble() -> impl Strategy<Value = Trouble> {
    (0..CALLS.len(), 0..6_u64, any::<bool>()).prop_map(|(call, after, forever)| Trouble {
        call,
        after,
        forever,
    })
}

fn restart() -> impl Strategy<Value = Restart> {
    prop_oneof![
        Just(Restart::Close),
        Just(Restart::Drop),
        Just(Restart::Kill),
        Just(Restart::KillAndLoseIndex),
        any::<u64>().prop_map(Restart::Crash),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (vec(part(), 1..4), durability()).prop_map(|(parts, d)| Step::Append(parts, d)),
        1 => Just(Step::Sync),
        2 => Just(Step::Read),
        2 => Just(Step::Follow),
        3 => trouble().prop_map(Step::Fail),
        2 => Just(Step::Heal),
        3 => restart().prop_map(Step::Restart),
    ]
}

/// What the model knows of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    stream: String,
    revision: u64,
    payload: Vec<u8>,
    ends_batch: bool,
}

impl Known {
    fn of(event: &Event) -> Self {
        Self {
            stream: event.stream().to_owned(),
            revision: event.revision().get(),
            payload: event.payload().to_vec(),
            ends_batch: event.ends_batch(),
        }
    }
}

/// A store and what is known of it.
struct Model {
    disk: Simulation,
    store: Store,
    /// What is visible, in order.
    events: Vec<Known>,
    /// How many of them no crash may take back.
    durable_count: usize,
    /// A batch of which it was said that nobody knows.
    unknown: Option<Vec<Known>>,
    is_poisoned: bool,
    is_troubled: bool,
    /// Whether calls may have failed since the store was opened: a sync for a checkpoint, after an
    /// append that was acknowledged, poisons the store as any other, and the next append tells.
    was_troubled: bool,
    /// Makes every payload another.
    next_number: u64,
    follower: Option<(Cursor, usize)>,
}

impl Model {
    fn new() -> Self {
        let disk = Simulation::new();
        let store = disk.open(&options()).unwrap();
        Self {
            disk,
            store,
            events: Vec::new(),
            durable_count: 0,
            unknown: None,
            is_poisoned: false,
            is_troubled: false,
            was_troubled: false,
            next_number: 0,
            follower: None,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append(parts, durability) => self.append(parts, *durability),
            Step::Sync => self.sync(),
            Step::Read => {
                let (read, error) = read(self.store.read_all());
                self.assert_is_trouble(error);
                assert_eq!(read, self.events[..read.len()]);
                assert!(self.is_troubled || read.len() == self.events.len());
            }
            Step::Follow => self.follow(),
            Step::Fail(trouble) => {
                trouble.inject(&self.disk);
                self.is_troubled = true;
                self.was_troubled = true;
            }
            Step::Heal => self.heal(),
            Step::Restart(how) => self.restart(*how),
        }
    }

    fn heal(&mut self) {
        self.disk.heal();
        self.is_troubled = false;
    }

    fn assert_is_trouble(&self, error: Option<Error>) {
        match error {
            None => {}
            Some(Error::Io { .. }) if self.is_troubled => {}
            Some(error) => panic!("{error:?}"),
        }
    }

    fn assert_poisoned(&mut self) {
        assert!(self.is_poisoned || self.was_troubled);
        self.is_poisoned = true;
    }

    fn stream_end(&self, stream: &str) -> u64 {
        let last = self.events.iter().rev().find(|event| event.stream == stream);
        last.map_or(0, |event| event.revision + 1)
    }

    /// A batch, and what it adds to the model.
    fn draft(&mut self, parts: &[Part], durability: Durability) -> (Batch, Vec<Known>) {
        let mut batch = Batch::new().durability(durability);
        let mut drafts: Vec<Known> = Vec::new();
        for part in parts {
            let stream = STREAMS[part.stream];
            let mut new = Vec::new();
            for _ in 0..part.event_count {
                let mut payload = format!("{} ", self.next_number).into_bytes();
                payload.resize(payload.len() + part.len, b'.');
                self.next_number += 1;
                new.push(NewEvent::bytes("t", payload.clone()));
                let before = drafts.iter().filter(|draft| draft.stream == stream).count();
                let revision = self.stream_end(stream) + u64::try_from(before).unwrap();
                let stream = stream.to_owned();
                drafts.push(Known { stream, revision, payload, ends_batch: false });
            }
            let expected = part.expectation.of(self.stream_end(stream));
            batch = batch.append(stream, expected, new);
        }
        drafts.last_mut().unwrap().ends_batch = true;
        (batch, drafts)
    }

    fn append(&mut self, parts: &[Part], durability: Durability) {
        let (batch, drafts) = self.draft(parts, durability);
        let is_met = parts.iter().all(|part| {
            let end = self.stream_end(STREAMS[part.stream]);
            holds(part.expectation.of(end), end)
        });
        match self.store.append_batch(batch) {
            Ok(receipt) => {
                assert!(is_met && !self.is_poisoned);
                assert_eq!(receipt.first().get(), count(&self.events));
                self.events.extend(drafts);
                assert_eq!(receipt.end().get(), count(&self.events));
                if durability == Durability::Sync {
                    self.durable_count = self.events.len();
                }
            }
            Err(Error::Conflict { .. }) => assert!(!is_met && !self.is_poisoned),
            Err(Error::TooLarge { .. }) => {}
            Err(Error::Io { .. }) => assert!(self.is_troubled && !self.is_poisoned),
            Err(Error::OutcomeUnknown { .. }) => {
                assert!(self.is_troubled && !self.is_poisoned && is_met);
                self.is_poisoned = true;
                self.unknown = Some(drafts);
            }
            Err(Error::Poisoned) => self.assert_poisoned(),
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(self.store.end().get(), count(&self.events));
    }

    fn sync(&mut self) {
        match self.store.sync() {
            Ok(()) => {
                assert!(!self.is_poisoned);
                self.durable_count = self.events.len();
            }
            Err(Error::Io { .. }) => assert!(self.is_troubled),
            Err(Error::OutcomeUnknown { .. }) => {
                assert!(self.is_troubled);
                self.is_poisoned = true;
            }
            Err(Error::Poisoned) => self.assert_poisoned(),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Lets a cursor that was begun earlier go on.
    fn follow(&mut self) {
        let begin = || (self.store.read_all(), 0);
        let (mut cursor, given) = self.follower.take().unwrap_or_else(begin);
        let (read, error) = read(cursor.by_ref());
        let goes_on = error.is_none();
        self.assert_is_trouble(error);
        let end = given + read.len();
        assert_eq!(read, self.events[given..end]);
        if goes_on {
            assert_eq!(end, self.events.len());
            self.follower = Some((cursor, end));
        }
    }

    fn restart(&mut self, how: Restart) {
        self.follower = None;
        match how {
            Restart::Close => match self.store.close() {
                Ok(()) => self.durable_count = self.events.len(),
                Err(Error::Poisoned) => self.assert_poisoned(),
                Err(Error::Io { .. } | Error::OutcomeUnknown { .. }) => assert!(self.is_troubled),
                Err(error) => panic!("{error:?}"),
            },
            Restart::Drop => {}
            Restart::Kill => self.disk = self.disk.restart(),
            Restart::KillAndLoseIndex => self.disk = self.disk.restart().without_index(),
            Restart::Crash(seed) => self.disk = self.disk.crash(seed),
        }
        // The store of before ends only now: its process was killed with nothing written any more.
        let elsewhere = Simulation::new().open(&options()).unwrap();
        drop(std::mem::replace(&mut self.store, elsewhere));
        if !matches!(how, Restart::Close | Restart::Drop) {
            self.is_troubled = false;
        }
        self.store = self.open();
        let is_crash = matches!(how, Restart::Crash(_));
        self.take_over(if is_crash { self.durable_count } else { self.events.len() });
    }

    /// Opens the store; if a call fails, then again when none does any more.
    fn open(&mut self) -> Store {
        match self.disk.open(&options()) {
            Ok(store) => return store,
            Err(error) => self.assert_is_trouble(Some(error)),
        }
        self.heal();
        self.disk.open(&options()).unwrap()
    }

    /// Checks what a store holds that was opened: at least so many of the events, and maybe the batch
    /// of which nobody knew. From now on it is all there is, and it is durable, unless recovery had no
    /// room to make it so after a failed sync: then no append is taken.
    fn take_over(&mut self, count_min: usize) {
        self.heal();
        let (found, error) = read(self.store.read_all());
        assert!(error.is_none(), "{error:?}");
        let mut possible = std::mem::take(&mut self.events);
        possible.extend(self.unknown.take().unwrap_or_default());
        assert!(found.len() >= count_min, "{} of {count_min} are there", found.len());
        assert_eq!(found, possible[..found.len()]);
        assert!(found.last().is_none_or(|event| event.ends_batch), "half a batch");
        let is_durable = self.store.recovery().is_durable;
        if is_durable {
            self.durable_count = found.len();
        }
        self.events = found;
        self.is_poisoned = !is_durable;
        self.was_troubled = false;
        let seen: Vec<_> = self.store.read_all().map(|event| Seen::of(&event.unwrap())).collect();
        assert_eq!(read_main_ways(&self.store, &seen).len(), 0);
    }
}

/// Reads until the end or an error.
fn read(cursor: impl Iterator<Item = Result<Event>>) -> (Vec<Known>, Option<Error>) {
    let mut events = Vec::new();
    for event in cursor {
        match event {
            Ok(event) => events.push(Known::of(&event)),
            Err(error) => return (events, Some(error)),
        }
    }
    (events, None)
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn in_any_trouble_the_store_does_what_a_list_of_events_does(steps in vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in &steps {
            model.take(step);
        }
        model.restart(Restart::Close);
    }
}

/// What several threads do at the same time, and how that ends.
#[derive(Clone, Debug)]
struct Round {
    /// The batches of each thread: how many events, of what length, and how durable.
    threads: Vec<Vec<(usize, usize, Durability)>>,
    troubles: Vec<Trouble>,
    end: Restart,
}

fn round() -> impl Strategy<Value = Round> {
    let batch = (1..4_usize, prop_oneof![0..40_usize, 300..900_usize], durability());
    (vec(vec(batch, 1..8), 2..5), vec(trouble(), 0..3), restart())
        .prop_map(|(threads, troubles, end)| Round { threads, troubles, end })
}

/// A batch by its name, and what was said to the one who appended it.
type Answer = (String, Durability, Result<Receipt>);

fn append_all(store: &Store, writer: &str, batches: &[(usize, usize, Durability)]) -> Vec<Answer> {
    let append = |(n, (event_count, len, durability)): (usize, &(usize, usize, Durability))| {
        let name = format!("{writer}-{n}");
        let events = (0..*event_count).map(|_| {
            let mut payload = format!("{name} ").into_bytes();
            payload.resize(payload.len() + len, b'.');
            NewEvent::bytes("t", payload)
        });
        let stream = STREAMS[n % STREAMS.len()];
        let batch = Batch::new().durability(*durability).append(stream, Expected::Any, events);
        (name.clone(), *durability, store.append_batch(batch))
    };
    batches.iter().enumerate().map(append).collect()
}

/// Runs a round, and gives the directory that it leaves with what was said.
fn run(disk: &Simulation, n: usize, round: &Round) -> (Simulation, Vec<Answer>) {
    let store = disk.open(&options()).unwrap();
    for trouble in &round.troubles {
        trouble.inject(disk);
    }
    let answers = thread::scope(|scope| {
        let threads: Vec<_> = round
            .threads
            .iter()
            .enumerate()
            .map(|(writer, batches)| {
                let (store, writer) = (&store, format!("{n}-{writer}"));
                scope.spawn(move || append_all(store, &writer, batches))
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    disk.heal();
    let left = match round.end {
        Restart::Close => {
            let _ = store.close();
            disk.clone()
        }
        Restart::Drop => disk.clone(),
        Restart::Kill => disk.restart(),
        Restart::KillAndLoseIndex => disk.restart().without_index(),
        Restart::Crash(seed) => disk.crash(seed),
    };
    (left, answers)
}

/// The batches in a log, by name, with the position of the first event and of the end.
fn batches(events: &[Event]) -> Vec<(String, u64, u64)> {
    let mut batches: Vec<(String, u64, u64)> = Vec::new();
    let mut begins = true;
    for (position, event) in (0..).zip(events) {
        assert_eq!(event.position().get(), position);
        let text = String::from_utf8(event.payload().to_vec()).unwrap();
        let name = text.split(' ').next().unwrap();
        if begins {
            batches.push((name.to_owned(), position, position));
        }
        let batch = batches.last_mut().unwrap();
        assert_eq!(batch.0, name, "batches do not mix");
        batch.2 = position + 1;
        begins = event.ends_batch();
    }
    assert!(begins, "half a batch");
    batches
}

/// Checks what a round has left against what was said, and against what was there before.
fn check_round(events: &[Event], before: &[Seen], answers: &[Answer], is_crash: bool) {
    assert!(events.len() >= before.len());
    assert!(events.iter().zip(before).all(|(event, seen)| Seen::of(event) == *seen));
    let found = batches(events);
    let acknowledged = |durability: &Durability| *durability == Durability::Sync || !is_crash;
    let kept = answers.iter().filter_map(|(_, durability, result)| {
        result.as_ref().ok().filter(|_| acknowledged(durability)).map(|receipt| receipt.end().get())
    });
    let kept = kept.max().unwrap_or(0);
    for (name, _, result) in answers {
        let place = found.iter().find(|(other, ..)| other == name);
        match result {
            Ok(receipt) => {
                let told = (receipt.first().get(), receipt.end().get());
                assert!(told.1 > kept || place.is_some(), "{name} is lost");
                assert!(place.is_none_or(|(_, first, end)| (*first, *end) == told), "{name}");
            }
            Err(Error::OutcomeUnknown { .. }) => {}
            Err(Error::Io { .. } | Error::Poisoned) => {
                assert!(place.is_none(), "{name} came back");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn in_any_trouble_several_threads_are_told_the_truth(rounds in vec(round(), 1..5)) {
        let mut disk = Simulation::new();
        let mut before = Vec::new();
        for (n, round) in rounds.iter().enumerate() {
            let (left, answers) = run(&disk, n, round);
            disk = left;
            let store = disk.open(&options()).unwrap();
            let events: Vec<_> = store.read_all().map(Result::unwrap).collect();
            check_round(&events, &before, &answers, matches!(round.end, Restart::Crash(_)));
            before = events.iter().map(Seen::of).collect();
            assert_eq!(read_main_ways(&store, &before).len(), 0);
            store.close().unwrap();
        }
    }
}
