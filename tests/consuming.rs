//! Consumers of all kinds, compared with a list of what was appended, while the store is closed, killed and
//! crashed; and every call after which a crash could part a batch from what it says of its consumer.
//!
//! `ANNALS_CONSUMING_SEEDS` is how many histories are played, 80 unless it is set, and
//! `ANNALS_CONSUMING_FIRST` the seed of the first one. Those of every third seed have no workers: they
//! are the same each time. `ANNALS_CONSUMING_SCRIPT` is how many acts the scripts have that are cut off
//! after every call, and in which every call fails, 2 unless it is set.
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "how much was done is worth telling")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;
mod consume;

use std::env;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use annals::simulation::{Call, Fault, Simulation};
use annals::{
    Batch, Consumer, Durability, Error, Expected, NewEvent, OnFailure, Options, Result, Store,
    WorkerGroup, Workers,
};
use consume::{Crew, Given, Ledger, Manager, Places, Reader, TellingClock, size};

const LONG: Duration = Duration::from_secs(60);
const LIVES: usize = 6;
const STREAMS: [&str; 5] = ["a", "a-1", "a-2", "b", "购物车"];
const KINDS: [&str; 5] = ["plain", "question", "question", "poison", "late"];

fn number_from(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How often what has happened.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    steps: u64,
    closes: u64,
    kills: u64,
    crashes: u64,
    cut_off: u64,
}

/// A store, its consumers, and what they must be.
struct World {
    random: fastrand::Rng,
    clock: TellingClock,
    disk: Simulation,
    store: Option<Store>,
    ledger: Ledger,
    readers: Vec<Reader>,
    manager: Manager,
    crews: Vec<Crew>,
    is_dying: bool,
    counts: Counts,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let readers = [
            Reader::new("all", Given::All),
            Reader::new("prefixed", Given::Prefix("a-")),
            Reader::new("one", Given::Stream("a")),
            Reader::new("typed", Given::Types(&["answer", "plain"])),
            Reader::new("both", Given::PrefixAndTypes("a", &["question", "late"])),
        ];
        let crews = [
            Crew::new("crew", Given::Types(&KINDS), &mut random),
            Crew::new("crew-a", Given::Prefix("a"), &mut random),
        ];
        let crew_count = usize::try_from(seed % 3).unwrap();
        Self {
            random,
            clock: TellingClock::default(),
            disk: Simulation::new(),
            store: None,
            ledger: Ledger::default(),
            readers: readers.into(),
            manager: Manager::default(),
            crews: crews.into_iter().take(crew_count).collect(),
            is_dying: false,
            counts: Counts::default(),
        }
    }

    fn options(&mut self) -> Options {
        let events = [3, 10, 100][self.random.usize(..3)];
        let len = [4 << 10, 16 << 10][self.random.usize(..2)];
        Options::new().segment_len_max(len).checkpoint_event_count(events).clock(self.clock.clone())
    }

    fn play(&mut self) {
        self.open(false);
        for _ in 0..LIVES {
            self.live();
            self.end_life();
        }
        let store = self.store.clone().unwrap();
        self.manager.finish(&store, &mut self.ledger, &mut self.random);
        // One that all workers are given: they take their time to commit what they only pass.
        let last = self.ledger.draft("a", "plain", "");
        let append = |batch: &_| store.append_batch(batch);
        self.ledger.append(&[last], Durability::Sync, append).unwrap();
        for crew in &mut self.crews {
            crew.finish(&store, &self.ledger);
        }
        for reader in &mut self.readers {
            reader.finish(&store, &mut self.ledger, &mut self.random);
        }
    }

    /// Lets the store and its consumers do things, until a call fails because the process has died.
    fn live(&mut self) {
        let step_count = self.random.usize(5..40);
        let dies_at = self.random.usize(..30);
        for step in 0..step_count {
            self.counts.steps += 1;
            let stepped = if step == dies_at { self.begin_to_die() } else { self.step() };
            if let Err(error) = stepped {
                assert!(self.is_dying, "{error:?}");
                self.counts.cut_off += 1;
                return;
            }
        }
    }

    /// Lets the process die soon, often while it is said in the file of a consumer that batches move
    /// it from now on.
    fn begin_to_die(&mut self) -> Result<()> {
        let call_count = [8, 40][self.random.usize(..2)];
        let call_count = self.random.u64(..call_count);
        self.disk.die_after(self.disk.call_count() + call_count);
        self.is_dying = true;
        let store = self.store.clone().unwrap();
        for _ in 0..self.random.u32(..3) {
            self.manager.step(&store, &mut self.ledger, &mut self.random)?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        let store = self.store.clone().unwrap();
        let random = &mut self.random;
        // Back and forth.
        self.clock.set(1_000_000 + random.i64(-300..300));
        match random.u32(..20) {
            0..6 => self.append(&store),
            6 => {
                store.sync()?;
                self.ledger.made_durable(self.ledger.end());
                Ok(())
            }
            7..12 => {
                let n = random.usize(..self.readers.len());
                self.readers[n].step(&store, &mut self.ledger, random)
            }
            12..16 => self.manager.step(&store, &mut self.ledger, random),
            _ => match self.crews.len() {
                0 => self.append(&store),
                count => {
                    let n = random.usize(..count);
                    self.crews[n].step(&store, random)
                }
            },
        }
    }

    fn append(&mut self, store: &Store) -> Result<()> {
        let count = self.random.usize(1..5);
        let drafts: Vec<_> = (0..count)
            .map(|_| {
                let kind = KINDS[self.random.usize(..KINDS.len())];
                let stream = STREAMS[self.random.usize(..STREAMS.len())];
                self.ledger.draft(stream, kind, "")
            })
            .collect();
        let durability = if self.random.bool() { Durability::Sync } else { Durability::Buffered };
        self.ledger.append(&drafts, durability, |batch| store.append_batch(batch))
    }

    fn end_life(&mut self) {
        let store = self.store.take().unwrap();
        if !self.is_dying && self.random.u32(..3) == 0 {
            self.close(&store);
            let after_crash = self.random.bool();
            if after_crash {
                self.disk = self.disk.crash(self.random.u64(..));
            }
            self.counts.closes += 1;
            drop(store);
            self.open(after_crash);
            return;
        }
        // From now on nothing reaches the disk. What handlers do still was done before.
        if !self.is_dying || self.random.bool() {
            self.disk.die_after(self.disk.call_count());
        }
        for crew in &mut self.crews {
            let _ = crew.stop();
        }
        self.let_go();
        drop(store);
        let after_crash = self.lose();
        self.open(after_crash);
    }

    /// Closes the store, with its consumers open or not.
    fn close(&mut self, store: &Store) {
        if self.random.bool() {
            for crew in &mut self.crews {
                crew.stop().unwrap();
            }
        }
        if self.random.bool() {
            self.let_go();
        }
        store.close().unwrap();
        self.ledger.made_durable(self.ledger.end());
        for crew in &mut self.crews {
            crew.wait();
        }
        self.let_go();
    }

    fn let_go(&mut self) {
        self.manager.drop_it();
        for reader in &mut self.readers {
            reader.drop_it();
        }
    }

    /// Goes on with what the end of the process leaves, or a crash; says whether it was one. Another
    /// one may come while the store is opened.
    fn lose(&mut self) -> bool {
        self.is_dying = false;
        let mut after_crash = self.random.bool();
        if after_crash {
            self.counts.crashes += 1;
            self.disk = self.disk.crash(self.random.u64(..));
        } else {
            self.counts.kills += 1;
            self.disk = self.disk.restart();
        }
        if self.random.u32(..4) == 0 {
            self.disk.die_after(self.random.u64(..20));
            let options = self.options();
            drop(self.disk.open(&options));
            after_crash = true;
            self.disk = self.disk.crash(self.random.u64(..));
        }
        after_crash
    }

    fn open(&mut self, after_crash: bool) {
        let options = self.options();
        let store = self.disk.open(&options).unwrap();
        self.ledger.reopened(&store, after_crash);
        let infos = store.consumers().unwrap();
        for reader in &mut self.readers {
            reader.reopened(&infos, &self.ledger);
        }
        Manager::reopened(&infos, &self.ledger);
        assert!(infos.iter().all(|info| info.committed <= store.end()));
        self.store = Some(store);
    }
}

#[test]
fn whatever_crashes_consumers_are_given_each_event_and_what_they_commit_stays() {
    let (first, count) =
        (number_from("ANNALS_CONSUMING_FIRST", 0), number_from("ANNALS_CONSUMING_SEEDS", 80));
    let (mut all, mut events) = (Counts::default(), 0);
    for seed in first..first + count {
        let mut world = World::new(seed);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.play())) {
            eprintln!("seed {seed} failed, after {:?}", world.counts);
            resume_unwind(panic);
        }
        let counts = world.counts;
        all.steps += counts.steps;
        all.closes += counts.closes;
        all.kills += counts.kills;
        all.crashes += counts.crashes;
        all.cut_off += counts.cut_off;
        events += size(&world.ledger.events);
    }
    eprintln!("{count} histories, {events} events, {all:?}");
}

/// What a short script does with its one consumer.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Answers the next event, and commits it with the answer.
    Answer(Durability),
    /// Passes the next event, and commits that.
    Commit,
    /// Goes back by this many events.
    Reset(u64),
    /// Drops the consumer and opens it again.
    Drop,
    /// Closes the store and opens it again.
    Reopen,
}

const ACTS: [Act; 6] = [
    Act::Answer(Durability::Sync),
    Act::Answer(Durability::Buffered),
    Act::Commit,
    Act::Reset(2),
    Act::Drop,
    Act::Reopen,
];

/// A store with one consumer of its questions, and where that may be.
struct Scene {
    disk: Simulation,
    open: Option<(Store, Consumer)>,
    ledger: Ledger,
    places: Places,
}

impl Scene {
    fn options() -> Options {
        Options::new().segment_len_max(4 << 10).checkpoint_event_count(5)
    }

    /// A consumer that was created, and one event that is not durable.
    fn new() -> Self {
        let disk = Simulation::new();
        let store = disk.open(&Self::options()).unwrap();
        let (mut ledger, mut places) = (Ledger::default(), Places::none("c"));
        let append = |ledger: &mut Ledger, count, durability| {
            let drafts: Vec<_> = (0..count).map(|_| ledger.draft("q", "question", "")).collect();
            ledger.append(&drafts, durability, |batch| store.append_batch(batch)).unwrap();
        };
        append(&mut ledger, 8, Durability::Sync);
        let consumer = store.consumer("c").stream("q").open().unwrap();
        places.put(Some(0), &ledger, &Ok(()));
        append(&mut ledger, 1, Durability::Buffered);
        Self { disk, open: Some((store, consumer)), ledger, places }
    }

    fn act(&mut self, act: Act) -> Result<()> {
        let (store, consumer) = self.open.as_mut().unwrap();
        let ledger = &mut self.ledger;
        match act {
            Act::Answer(durability) => {
                let place = next_place(consumer)?;
                let answer = ledger.draft("answers", "note", &self.places.note(place));
                ledger.append(&[answer], durability, |batch| {
                    store.append_and_commit(batch, consumer, place)
                })
            }
            Act::Commit => {
                let place = next_place(consumer)?;
                let committed = consumer.commit(place);
                self.places.put(Some(place), ledger, &committed);
                committed.inspect(|()| ledger.made_durable(place))
            }
            Act::Reset(count) => {
                let place = Consumer::committed(consumer).get().saturating_sub(count);
                let reset = consumer.reset_to(place);
                self.places.put(Some(place), ledger, &reset);
                reset
            }
            Act::Drop => {
                let (store, consumer) = self.open.take().unwrap();
                let place = consumer.committed();
                drop(consumer);
                let consumer = store.consumer("c").stream("q").open()?;
                assert_eq!(Consumer::committed(&consumer), place);
                self.open = Some((store, consumer));
                Ok(())
            }
            Act::Reopen => {
                let (store, consumer) = self.open.take().unwrap();
                let closed = store.close();
                drop((store, consumer));
                closed?;
                self.reopen(false)
            }
        }
    }

    /// Opens the store again, and checks what is there and where the consumer is.
    fn reopen(&mut self, after_crash: bool) -> Result<()> {
        let store = self.disk.open(&Self::options())?;
        let infos = store.consumers()?;
        self.ledger.reopened(&store, after_crash);
        self.places.reopened(&infos, &self.ledger);
        let consumer = store.consumer("c").stream("q").open()?;
        self.open = Some((store, consumer));
        Ok(())
    }

    /// What the end of the process leaves, or a crash.
    fn left(&self, crash: Option<u64>) -> Self {
        let disk = crash.map_or_else(|| self.disk.restart(), |seed| self.disk.crash(seed));
        Self { disk, open: None, ledger: self.ledger.clone(), places: self.places.clone() }
    }

    /// Checks what is left, and what a crash leaves once the consumer has gone on.
    fn check(&self, seeds: u64) -> u64 {
        let crashes = (0..seeds).map(Some).chain([None]);
        for crash in crashes {
            let mut scene = self.left(crash);
            scene.reopen(crash.is_some()).unwrap();
            scene.act(Act::Answer(Durability::Sync)).unwrap();
            for seed in 0..2 {
                scene.left(Some(seed)).reopen(true).unwrap();
            }
        }
        3 * (seeds + 1)
    }
}

/// The place after the next event that is given.
fn next_place(consumer: &mut Consumer) -> Result<u64> {
    if let Some(event) = consumer.next() {
        event?;
    }
    Ok(consumer.next_position().get())
}

/// Every script of so many acts.
fn scripts(len: u32) -> impl Iterator<Item = Vec<Act>> {
    let digits = move |n: usize| (0..len).map(move |at| ACTS[n / ACTS.len().pow(at) % ACTS.len()]);
    (0..ACTS.len().pow(len)).map(move |n| digits(n).collect())
}

/// Runs `work`, and says what it was about if it fails.
fn about<T>(what: impl std::fmt::Debug, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        eprintln!("failed: {what:?}");
        resume_unwind(panic)
    })
}

#[test]
fn no_crash_parts_a_batch_from_the_progress_it_carries() {
    let (mut states, mut cuts) = (0, 0);
    let script_len = u32::try_from(number_from("ANNALS_CONSUMING_SCRIPT", 2)).unwrap();
    for script in scripts(script_len) {
        for calls in 0.. {
            let mut scene = Scene::new();
            scene.disk.die_after(scene.disk.call_count() + calls);
            let ended = script.iter().try_for_each(|act| scene.act(*act));
            scene.open = None;
            states += about((&script, calls), || scene.check(2));
            cuts += 1;
            if ended.is_ok() {
                break;
            }
        }
    }
    eprintln!("{cuts} cuts, {states} states");
}

#[test]
fn a_failed_sync_parts_no_batch_from_its_progress() {
    let (mut states, mut faults) = (0, 0);
    let script_len = u32::try_from(number_from("ANNALS_CONSUMING_SCRIPT", 2)).unwrap();
    for script in scripts(script_len) {
        for call in [Call::Sync, Call::Write, Call::SyncFolder] {
            for after in 0.. {
                let mut scene = Scene::new();
                scene.disk.inject(Fault::next(call, ErrorKind::StorageFull).after(after));
                let has_failed = about((&script, call, after), || {
                    let results: Vec<_> =
                        script.iter().map_while(|act| scene.try_on(*act)).collect();
                    scene.disk.heal();
                    scene.open = None;
                    states += scene.check(2);
                    results.contains(&false)
                });
                faults += 1;
                if !has_failed {
                    break;
                }
            }
        }
    }
    eprintln!("{faults} faults, {states} states");
}

impl Scene {
    /// Does something that may fail, and says whether it did not; `None` if nothing is open now.
    fn try_on(&mut self, act: Act) -> Option<bool> {
        self.open.as_ref()?;
        let acted = self.act(act);
        if let Err(Error::Io { .. }) = acted {
            // From an append it says that nothing is there, now or later.
            self.ledger.forget_doubtful();
        }
        Some(acted.is_ok())
    }
}

#[test]
fn workers_that_are_busy_when_their_store_is_closed_end_without_an_error() {
    for round in 0..200 {
        let store = Simulation::new().open(&Options::new()).unwrap();
        for n in 0..20 {
            store.append(&format!("s-{n}"), Expected::Any, [NewEvent::text("t", "")]).unwrap();
        }
        let consumer = store.consumer("c").open().unwrap();
        let group = consumer.run(Workers::new(2), |_| Ok::<_, Error>(())).unwrap();
        thread::sleep(Duration::from_micros(round * 5));
        store.close().unwrap();
        let ended = group.wait();
        assert!(ended.is_ok(), "round {round}: {ended:?}");
    }
}

/// Events of four streams of which the second was appended without a sync, and workers that fail on
/// that and put it aside, on a disk that stops after so many more calls.
fn put_aside_and_cut_off(calls: u64, on_failure: OnFailure) -> Simulation {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    let batch =
        |n: u64| Batch::new().append(format!("s-{n}"), Expected::Any, [NewEvent::text("t", "")]);
    store.append_batch(batch(0)).unwrap();
    let consumer = store.consumer("c").open().unwrap();
    for n in 1..4 {
        store.append_batch(batch(n).durability(Durability::Buffered)).unwrap();
    }
    disk.die_after(disk.call_count() + calls);
    let group = consumer.run(Workers::new(1).on_failure(on_failure), |delivery| {
        if delivery.event().position().get() == 1 { Err("not now") } else { Ok(()) }
    });
    let group = group.unwrap();
    wait_for(&group, &store);
    let _ = group.stop(LONG);
    disk
}

/// Waits until workers have committed all that there is, or have ended.
fn wait_for(group: &WorkerGroup, store: &Store) {
    let begun = Instant::now();
    while group.is_running() && group.stats().committed < store.end() {
        assert!(begun.elapsed() < LONG, "{group:?}");
        thread::sleep(Duration::from_micros(50));
    }
}

/// Which events are put aside.
fn aside(consumer: &Consumer) -> Vec<u64> {
    consumer.parked().iter().map(|event| event.position.get()).collect()
}

#[test]
fn what_a_crash_takes_back_is_not_put_aside() {
    for calls in 0..30 {
        let disk = put_aside_and_cut_off(calls, OnFailure::Park);
        for seed in 0..20 {
            let disk = disk.crash(seed);
            let store = disk.open(&Options::new()).unwrap();
            let end = store.end().get();
            // Other events are where those were that it took back.
            for n in 0..4 {
                let event = NewEvent::text("t", n.to_string());
                store.append("others", Expected::Any, [event]).unwrap();
            }
            store.close().unwrap();
            let store = disk.open(&Options::new()).unwrap();
            if store.consumers().unwrap().is_empty() {
                continue;
            }
            let aside = aside(&store.consumer("c").open().unwrap());
            assert!(
                aside.iter().all(|at| *at < end),
                "calls {calls}, seed {seed}: {aside:?} of {end}"
            );
        }
    }
}

#[test]
fn after_a_crash_an_event_is_handled_or_put_aside_and_not_both() {
    for on_failure in [OnFailure::Park, OnFailure::HoldBack] {
        for calls in 0..30 {
            let disk = put_aside_and_cut_off(calls, on_failure);
            let store = disk.restart().open(&Options::new()).unwrap();
            let consumer = store.consumer("c").open().unwrap();
            let (tell, told) = channel();
            let tell = Mutex::new(tell);
            let workers = Workers::new(1).on_failure(on_failure);
            let group = consumer.run(workers, move |delivery| {
                tell.lock().unwrap().send(delivery.event().position().get())
            });
            let group = group.unwrap();
            wait_for(&group, &store);
            group.stop(LONG).unwrap();
            let consumer = store.consumer("c").open().unwrap();
            let (handled, aside) = (told.into_iter().collect::<Vec<_>>(), aside(&consumer));
            let both = aside.iter().any(|position| handled.contains(position));
            assert!(!both, "{on_failure:?}, calls {calls}: {handled:?}, and {aside:?} put aside");
            // What is known of it is kept.
            for event in consumer.parked() {
                assert_eq!((&*event.reason, event.attempt_count), ("not now", 1), "calls {calls}");
            }
        }
    }
}

#[test]
fn a_consumer_whose_deletion_has_failed_can_be_opened_and_moved() {
    for call in [Call::Remove, Call::SyncFolder] {
        for after in 0..4 {
            let disk = Simulation::new();
            let store = disk.open(&Options::new()).unwrap();
            store.append("s", Expected::Any, [NewEvent::text("t", "")]).unwrap();
            drop(store.consumer("c").open().unwrap());
            disk.inject(Fault::next(call, ErrorKind::PermissionDenied).after(after));
            let deleted = store.delete_consumer("c");
            disk.heal();
            let mut consumer = store.consumer("c").open().unwrap();
            assert_eq!(consumer.by_ref().count(), 1);
            let committed = consumer.commit(1);
            assert!(committed.is_ok(), "{call:?} {after}: {committed:?} after {deleted:?}");
        }
    }
}
