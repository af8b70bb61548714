//! Rows of handling events on several threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use annals::{Store, WorkerGroup, Workers};

use crate::Bench;
use crate::common::{Result, Row, Run, Spread, float, interleave, median};
use crate::loaded::{Loaded, STREAM_COUNT, check_committed, loaded};
use crate::tally::Tally;
use crate::work::{Burn, Work};

pub(crate) const ONE: &str = "workers-1-20us";
pub(crate) const TWO: &str = "workers-2-20us";
pub(crate) const FOUR: &str = "workers-4-20us";
pub(crate) const MANY: &str = "workers-64-1ms";

const ROUNDS: usize = 5;
const IN_FLIGHT_COUNT_MAX: usize = 256;
const SLEEP: Duration = Duration::from_millis(1);
const CONSUMER: &str = "worker";
/// How often it is looked whether all is committed.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// Longer than a run can take.
const TIME_MAX: Duration = Duration::from_secs(600);

/// Both sides of a row: so many threads, each of which does this for one event after the other.
#[derive(Debug)]
struct Sides<'a> {
    loaded: &'a Loaded,
    worker_count: usize,
    work: Work,
}

/// One worker.
pub(crate) fn one(bench: &Bench) -> Result<Option<Row>> {
    let burn = burn(bench)?;
    let sides = Sides { loaded: loaded(bench)?, worker_count: 1, work: Work::Burn(burn) };
    Ok(Some(sides.against_bare(bench, ONE)?.figure("work_us", burn.time_us)))
}

/// Two workers, and beside them a single one. The same on the bare side, which shows how much two
/// threads gain on this machine.
pub(crate) fn two(bench: &Bench) -> Result<Option<Row>> {
    against_one(bench, TWO, 2)
}

/// As [`two`], with four workers.
pub(crate) fn four(bench: &Bench) -> Result<Option<Row>> {
    against_one(bench, FOUR, 4)
}

/// Many workers that wait for something else than the processor.
pub(crate) fn many(bench: &Bench) -> Result<Option<Row>> {
    let sides = Sides { loaded: loaded(bench)?, worker_count: 64, work: Work::Sleep(SLEEP) };
    Ok(Some(sides.against_bare(bench, MANY)?))
}

/// What the rows of this run burn, calibrated by the first of them.
fn burn(bench: &Bench) -> Result<Burn> {
    if let Some(there) = bench.shared.burn.get() {
        return Ok(*there);
    }
    let new = Burn::calibrated()?;
    Ok(*bench.shared.burn.get_or_init(|| new))
}

fn against_one(bench: &Bench, name: &'static str, worker_count: usize) -> Result<Option<Row>> {
    let (loaded, burn) = (loaded(bench)?, burn(bench)?);
    let sides = Sides { loaded, worker_count, work: Work::Burn(burn) };
    let single = Sides { worker_count: 1, ..sides };
    let mut commit_counts = Vec::new();
    let [annals, bare, one, bare_one] = loaded.warm(|store| {
        let (mut annals, mut bare) = (|| sides.annals(store, &mut commit_counts), || sides.bare());
        let (mut one, mut bare_one) = (|| single.annals(store, &mut Vec::new()), || single.bare());
        let turns: [&mut dyn FnMut() -> Result<Run>; 4] =
            [&mut annals, &mut bare, &mut one, &mut bare_one];
        interleave(bench.rounds(ROUNDS), turns)
    })?;
    let against = Spread::of_ratios(&Run::rates(&annals), &Run::rates(&one));
    let bare_against = Spread::of_ratios(&Run::rates(&bare), &Run::rates(&bare_one));
    let row = sides
        .row(name, &annals, &bare)
        .figure("commits", median(&commit_counts))
        .figure("work_us", burn.time_us)
        .figure("workers_1_value", median(&Run::rates(&one)))
        .spread("against_workers_1", against)
        .spread("bare_against_thread_1", bare_against);
    Ok(Some(row))
}

impl Sides<'_> {
    fn against_bare(&self, bench: &Bench, name: &'static str) -> Result<Row> {
        let mut commit_counts = Vec::new();
        let [annals, bare] = self.loaded.warm(|store| {
            interleave(
                bench.rounds(ROUNDS),
                [&mut || self.annals(store, &mut commit_counts), &mut || self.bare()],
            )
        })?;
        Ok(self.row(name, &annals, &bare).figure("commits", median(&commit_counts)))
    }

    fn row(&self, name: &'static str, annals: &[Run], bare: &[Run]) -> Row {
        let (rates, bare_rates) = (Run::rates(annals), Run::rates(bare));
        Row::new(name, "events/s", &rates)
            .bare(&bare_rates)
            .ratio(Spread::of_ratios(&rates, &bare_rates))
            .field("events", Run::usual_count(annals))
            .field("streams", STREAM_COUNT)
            .field("workers", self.worker_count)
    }

    /// A new consumer, timed until all is committed, and removed. Adds how often it has committed
    /// to `commit_counts`.
    fn annals(&self, store: &Store, commit_counts: &mut Vec<f64>) -> Result<Run> {
        let (end, work) = (self.loaded.event_count, self.work);
        let tally = Arc::new(Tally::new(end)?);
        let consumer = store.consumer(CONSUMER).open()?;
        let workers = Workers::new(self.worker_count).in_flight_max(IN_FLIGHT_COUNT_MAX);
        let notes = Arc::clone(&tally);
        let started = Instant::now();
        let group = consumer.run(workers, move |delivery| {
            work.run();
            notes.add(delivery.event().position().get(), delivery.event().payload())
        })?;
        let group = all_committed(group, end)?;
        let run = Run::new(end, started.elapsed());
        group.stop(TIME_MAX)?;
        tally.check(self.loaded)?;
        check_committed(store, CONSUMER, end)?;
        let commit_count = store.consumer(CONSUMER).open()?.commit_count();
        commit_counts.push(float(commit_count));
        store.delete_consumer(CONSUMER)?;
        Ok(run)
    }

    /// Plain threads that take one number of an event after the other, in any order of streams.
    /// Nothing is read, and nothing committed.
    fn bare(&self) -> Result<Run> {
        let end = self.loaded.event_count;
        let (tally, next) = (Tally::new(end)?, AtomicU64::new(0));
        let handle_all = || {
            loop {
                let position = next.fetch_add(1, Ordering::Relaxed);
                if position >= end {
                    return Ok(());
                }
                self.work.run();
                tally.add(position, self.loaded.payload(position)?)?;
            }
        };
        let started = Instant::now();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.worker_count).map(|_| scope.spawn(handle_all)).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, Result<()>>| {
                thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))
            };
            threads.into_iter().try_for_each(join)
        })?;
        let run = Run::new(end, started.elapsed());
        tally.check(self.loaded)?;
        Ok(run)
    }
}

/// Waits until every event before `end` is committed.
fn all_committed(group: WorkerGroup, end: u64) -> Result<WorkerGroup> {
    let started = Instant::now();
    while group.stats().committed.get() < end {
        if !group.is_running() {
            group.wait()?;
            return Err("the workers have ended by themselves".into());
        }
        if started.elapsed() > TIME_MAX {
            return Err(format!("not all was committed: {:?}", group.stats()).into());
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(group)
}
