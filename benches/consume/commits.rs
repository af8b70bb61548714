//! The row of a consumer that commits each event by itself.

use std::time::Instant;

use annals::Store;

use crate::Bench;
use crate::common::{Latencies, Result, Row, Run, Spread, interleave, settle};
use crate::loaded::{Loaded, check_committed, loaded};
use crate::places::Places;

pub(crate) const COMMITS: &str = "commits";

const ROUNDS: usize = 5;
const CONSUMER: &str = "committer";

/// One consumer that takes one event after the other, and commits it.
pub(crate) fn commits(bench: &Bench) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    let count = bench.size.pick(5_000, 200);
    let places = Places::create(&bench.dir.join("places"))?;
    let [annals, bare] = loaded.warm(|store| {
        interleave(
            bench.rounds(ROUNDS),
            [
                &mut || {
                    settle(&bench.dir)?;
                    annals(loaded, store, count)
                },
                &mut || {
                    settle(&bench.dir)?;
                    bare(&places, count)
                },
            ],
        )
    })?;
    let (rates, bare_rates) = (Run::rates(&annals), Run::rates(&bare));
    let row = Row::new(COMMITS, "commits/s", &rates)
        .bare(&bare_rates)
        .ratio(Spread::of_ratios(&rates, &bare_rates))
        .field("commits", count)
        .latencies("", &Run::latencies(&annals))
        .latencies("bare_", &Run::latencies(&bare));
    Ok(Some(row))
}

/// A new consumer, which is removed again.
fn annals(loaded: &Loaded, store: &Store, count: u64) -> Result<Run> {
    let mut consumer = store.consumer(CONSUMER).open()?;
    let run = timed(count, |nth| {
        let event = consumer.next().transpose()?.ok_or("there are no more events")?;
        if event.position().get() != nth || event.payload() != loaded.payload(nth)? {
            return Err(format!("event {nth} was not given as it was appended").into());
        }
        Ok(consumer.commit(event.position().next())?)
    })?;
    if consumer.commit_count() != count {
        return Err(format!("{} commits were made", consumer.commit_count()).into());
    }
    drop(consumer);
    check_committed(store, CONSUMER, count)?;
    store.delete_consumer(CONSUMER)?;
    Ok(run)
}

fn bare(places: &Places, count: u64) -> Result<Run> {
    let run = timed(count, |nth| places.write(nth))?;
    places.check(count - 1)?;
    Ok(run)
}

/// Calls `commit` so often, each call timed, with how often it was called before.
fn timed(count: u64, mut commit: impl FnMut(u64) -> Result<()>) -> Result<Run> {
    let mut times_ns = Vec::with_capacity(usize::try_from(count)?);
    let started = Instant::now();
    let mut before = started;
    for nth in 0..count {
        commit(nth)?;
        let after = Instant::now();
        times_ns.push(u64::try_from(after.duration_since(before).as_nanos())?);
        before = after;
    }
    let mut run = Run::new(count, before.duration_since(started));
    run.latencies = Some(Latencies::of(times_ns)?);
    Ok(run)
}
