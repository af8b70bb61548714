//! Workers, and what they have been handed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use annals::{Consumer, Delivery, Error, OnFailure, Result, Store, WorkerGroup, Workers};

use super::{Given, Ledger, Noted, size};

const LONG: Duration = Duration::from_secs(60);

/// Workers of one consumer, and their model.
#[derive(Debug)]
pub(crate) struct Crew {
    name: String,
    given: Given,
    on_failure: OnFailure,
    worker_count: usize,
    in_flight_count_max: usize,
    book: Arc<Mutex<Book>>,
    group: Option<WorkerGroup>,
    /// How often it was cut off since all that was done was committed. After the end of a process a
    /// crash may take back what that one had committed and not heard of.
    cut_off_count: usize,
}

/// What handlers have written down.
#[derive(Debug, Default)]
struct Book {
    /// What was done, by stream, each when it was done first: its number, and whether that was when
    /// it had been put aside.
    done: BTreeMap<String, Vec<(u64, bool)>>,
    /// The numbers of what was done.
    known: BTreeSet<u64>,
    /// What was done and may not be committed.
    at_risk: BTreeSet<u64>,
    /// What this group has done.
    done_now: BTreeSet<u64>,
    /// What this group has done that another had done.
    repeated: BTreeSet<u64>,
    /// How often this group has tried what.
    attempts: BTreeMap<u64, u32>,
    /// Streams of which an event is being handled.
    running: BTreeSet<String>,
    /// Whether what fails always does not any more.
    is_mended: bool,
    /// What went wrong.
    faults: Vec<String>,
}

impl Book {
    fn check(&mut self, is_right: bool, what: &str, delivery: &Delivery) {
        if !is_right {
            self.faults.push(format!("{what}: {:?}", Noted::of(delivery.event())));
        }
    }

    fn begin(&mut self, delivery: &Delivery) -> Result<(), &'static str> {
        let event = Noted::of(delivery.event());
        let is_alone = self.running.insert(event.stream);
        self.check(is_alone, "two of a stream at a time", delivery);
        let attempt = *self.attempts.entry(event.number).and_modify(|n| *n += 1).or_insert(1);
        self.check(attempt == delivery.attempt(), "attempts are counted", delivery);
        match &*event.kind {
            "poison" if !self.is_mended => Err("it always fails"),
            "late" if attempt == 1 => Err("it fails once"),
            _ => Ok(()),
        }
    }

    fn end(&mut self, delivery: &Delivery) {
        self.running.remove(delivery.event().stream());
    }

    fn note_done(&mut self, delivery: &Delivery, was_aside: bool) {
        let event = Noted::of(delivery.event());
        if self.known.insert(event.number) {
            self.done.entry(event.stream).or_default().push((event.number, was_aside));
        } else {
            let may = self.at_risk.contains(&event.number);
            self.check(may, "what was committed is repeated", delivery);
            self.repeated.insert(event.number);
        }
        let is_first = self.done_now.insert(event.number);
        self.check(is_first, "repeated without a crash", delivery);
        self.at_risk.insert(event.number);
    }

    /// Takes note that what was done since the last time is committed.
    fn committed(&mut self) {
        let done = std::mem::take(&mut self.done_now);
        self.at_risk.retain(|number| !done.contains(number));
    }

    fn begin_life(&mut self) {
        self.done_now.clear();
        self.repeated.clear();
        self.attempts.clear();
        self.running.clear();
    }
}

impl Crew {
    pub(crate) fn new(name: &str, given: Given, random: &mut fastrand::Rng) -> Self {
        let worker_count = random.usize(1..5);
        Self {
            name: name.to_owned(),
            given,
            on_failure: if random.bool() { OnFailure::Park } else { OnFailure::HoldBack },
            worker_count,
            in_flight_count_max: random.usize(worker_count..worker_count + 6),
            book: Arc::default(),
            group: None,
            cut_off_count: 0,
        }
    }

    /// Begins or stops to work, waits, or handles again what was put aside.
    pub(crate) fn step(&mut self, store: &Store, random: &mut fastrand::Rng) -> Result<()> {
        if self.group.is_none() {
            return if random.u32(..4) == 0 { self.retry(store) } else { self.start(store) };
        }
        match random.u32(..6) {
            0 => self.stop(),
            1 => {
                self.settle(store, Duration::from_millis(5));
                Ok(())
            }
            _ => {
                thread::sleep(Duration::from_micros(random.u64(..300)));
                Ok(())
            }
        }
    }

    fn open(&self, store: &Store) -> Result<Consumer> {
        self.given.tell(store.consumer(&*self.name)).open()
    }

    fn start(&mut self, store: &Store) -> Result<()> {
        let consumer = self.open(store)?;
        let us = Duration::from_micros;
        let workers = Workers::new(self.worker_count)
            .in_flight_max(self.in_flight_count_max)
            .retries(1, us(20)..=us(200))
            .on_failure(self.on_failure);
        let book = Arc::clone(&self.book);
        book.lock().unwrap().begin_life();
        let group = consumer.run(workers, move |delivery| {
            let begun = book.lock().unwrap().begin(delivery);
            thread::yield_now();
            let mut book = book.lock().unwrap();
            if begun.is_ok() {
                book.note_done(delivery, false);
            }
            book.end(delivery);
            begun
        })?;
        self.group = Some(group);
        Ok(())
    }

    /// Stops it: what was done is committed then.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(group) = self.group.take() else { return Ok(()) };
        let stopped = group.stop(LONG);
        self.check();
        let mut book = self.book.lock().unwrap();
        if stopped.is_ok() {
            book.committed();
        }
        self.cut_off_count += usize::from(stopped.is_err());
        if book.at_risk.is_empty() {
            self.cut_off_count = 0;
        }
        drop(book);
        stopped
    }

    /// Waits until its store has ended it.
    pub(crate) fn wait(&mut self) {
        if let Some(group) = self.group.take() {
            // How it ends when its store is closed is the subject of another test.
            let ended = group.wait();
            assert!(matches!(ended, Ok(()) | Err(Error::Closed)), "{ended:?}");
            self.cut_off_count += 1;
        }
        self.check();
    }

    fn check(&self) {
        let book = self.book.lock().unwrap();
        assert!(book.faults.is_empty(), "{}: {:#?}", self.name, book.faults);
        let max = self.in_flight_count_max * self.cut_off_count.max(1);
        let repeated = book.repeated.len();
        assert!(repeated <= max, "{}: {repeated} repeated, {max} in flight", self.name);
    }

    /// Handles again what was put aside.
    fn retry(&mut self, store: &Store) -> Result<()> {
        let mut consumer = self.open(store)?;
        let mut book = self.book.lock().unwrap();
        book.begin_life();
        book.is_mended = true;
        let place = consumer.committed();
        let retried = consumer.retry_parked(|delivery| {
            book.note_done(delivery, true);
            if delivery.event().position() >= place {
                // It was put aside when a crash came, and its place is not passed: it comes again.
                book.done_now.remove(&Noted::of(delivery.event()).number);
            }
            Ok::<_, Error>(())
        });
        book.is_mended = false;
        if retried.is_ok() {
            // Each was let go of, durably.
            book.committed();
        }
        drop(book);
        self.check();
        assert_eq!(retried?.left_count, 0);
        assert!(consumer.parked().is_empty());
        Ok(())
    }

    /// Waits until all that is there is done or put aside, and committed, or it has ended, or for so
    /// long; says whether it was not that.
    fn settle(&self, store: &Store, time: Duration) -> bool {
        let begun = Instant::now();
        let group = self.group.as_ref().unwrap();
        while group.is_running() && group.stats().committed < store.end() {
            if begun.elapsed() > time {
                return false;
            }
            thread::sleep(Duration::from_micros(100));
        }
        true
    }

    /// Works until everything is done, and checks that it was done in order, and nothing skipped.
    pub(crate) fn finish(&mut self, store: &Store, ledger: &Ledger) {
        if self.group.is_none() {
            self.start(store).unwrap();
        }
        assert!(self.settle(store, LONG), "{:?}", self.group);
        self.stop().unwrap();
        self.retry(store).unwrap();
        let book = self.book.lock().unwrap();
        for (stream, wanted) in self.wanted(ledger) {
            // What a crash took back was handled, but is no more.
            let mut done: Vec<_> = book.done.get(stream).cloned().unwrap_or_default();
            done.retain(|(number, _)| wanted.contains(number));
            let numbers = |done: &[(u64, bool)]| done.iter().map(|done| done.0).collect::<Vec<_>>();
            if self.on_failure == OnFailure::HoldBack {
                assert_eq!(numbers(&done), wanted, "{} {stream}", self.name);
            } else {
                assert_eq!(size(&done), size(&wanted), "{} {stream}", self.name);
                done.retain(|(_, was_aside)| !was_aside);
                assert!(numbers(&done).is_sorted(), "{} {stream}: {done:?}", self.name);
            }
        }
    }

    fn wanted<'a>(&self, ledger: &'a Ledger) -> BTreeMap<&'a str, Vec<u64>> {
        let mut streams = BTreeMap::<_, Vec<_>>::new();
        for event in ledger.events.iter().filter(|event| self.given.takes(event)) {
            streams.entry(&*event.stream).or_default().push(event.number);
        }
        streams
    }
}
