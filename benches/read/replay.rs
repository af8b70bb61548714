//! Rows of reading everything, with all of it in memory.

use std::ops::ControlFlow;
use std::thread;
use std::time::Instant;

use annals::{Options, Store};

use crate::Bench;
use crate::common::{Result, Row, Run, Spread, interleave, median};
use crate::loaded::{Loaded, loaded};
use crate::sum::{Sum, timed};

pub(crate) const VISITING: &str = "replay-visit";
pub(crate) const OWNED: &str = "replay-owned";
pub(crate) const FOUR: &str = "replay-4";

const ROUNDS: usize = 5;
const CONSUMER_COUNT: u64 = 4;

/// Visits all events.
pub(crate) fn visit_all(store: &Store) -> Result<Sum> {
    let mut sum = Sum::default();
    store.read_all().visit(|event| {
        sum.add(event.payload());
        ControlFlow::Continue(())
    })?;
    Ok(sum)
}

/// Takes all events, one after the other.
fn take_all(store: &Store) -> Result<Sum> {
    let mut sum = Sum::default();
    for event in store.read_all() {
        sum.add(event?.payload());
    }
    Ok(sum)
}

/// One thread that visits each event.
pub(crate) fn visiting(bench: &Bench) -> Result<Option<Row>> {
    against_bare(bench, VISITING, visit_all)
}

/// One thread that takes each event.
pub(crate) fn owned(bench: &Bench) -> Result<Option<Row>> {
    against_bare(bench, OWNED, take_all)
}

fn against_bare(
    bench: &Bench,
    name: &'static str,
    read: fn(&Store) -> Result<Sum>,
) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    let [annals, bare] = loaded.warm(&Options::new(), |store| {
        interleave(
            bench.rounds(ROUNDS),
            [&mut || run(loaded, || read(store)), &mut || run(loaded, || loaded.plain.read_all())],
        )
    })?;
    let (rates, bare_rates) = (Run::rates(&annals), Run::rates(&bare));
    let row = Row::new(name, "events/s", &rates)
        .bare(&bare_rates)
        .ratio(Spread::of_ratios(&rates, &bare_rates))
        .field("events", loaded.all.event_count);
    Ok(Some(row))
}

/// One reading of everything.
fn run(loaded: &Loaded, read: impl FnOnce() -> Result<Sum>) -> Result<Run> {
    Ok(Run::new(loaded.all.event_count, timed(loaded.all, read)?))
}

/// Several threads, each of which visits each event, and beside them a single one.
pub(crate) fn four(bench: &Bench) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    let [four, bare, one] = loaded.warm(&Options::new(), |store| {
        let (annals, bare) = (|| visit_all(store), || loaded.plain.read_all());
        interleave(
            bench.rounds(ROUNDS),
            [&mut || at_once(loaded, annals), &mut || at_once(loaded, bare), &mut || {
                run(loaded, annals)
            }],
        )
    })?;
    let (rates, bare_rates, one_rates) = (Run::rates(&four), Run::rates(&bare), Run::rates(&one));
    let row = Row::new(FOUR, "events/s", &rates)
        .bare(&bare_rates)
        .ratio_against(VISITING, Spread::of_ratios(&rates, &one_rates))
        .figure("against_value", median(&one_rates))
        .spread("bare_ratio", Spread::of_ratios(&rates, &bare_rates))
        .field("events", Run::usual_count(&four));
    Ok(Some(row))
}

/// Several readings of everything at the same time.
fn at_once(loaded: &Loaded, read: impl Fn() -> Result<Sum> + Sync) -> Result<Run> {
    let started = Instant::now();
    let sums: Result<Vec<_>> = thread::scope(|scope| {
        let consumers: Vec<_> = (0..CONSUMER_COUNT).map(|_| scope.spawn(&read)).collect();
        let join = |consumer: thread::ScopedJoinHandle<'_, Result<Sum>>| {
            consumer.join().unwrap_or_else(|_| Err("a consumer panicked".into()))
        };
        consumers.into_iter().map(join).collect()
    });
    let elapsed = started.elapsed();
    sums?.into_iter().try_for_each(|sum| sum.check(loaded.all))?;
    Ok(Run::new(CONSUMER_COUNT * loaded.all.event_count, elapsed))
}
