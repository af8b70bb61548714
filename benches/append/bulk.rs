//! Rows of batches of 1,000 events, timed until the index is complete as well.

use annals::Batch;

use crate::bare::BareFile;
use crate::common::{
    Bench, Pool, Result, Row, Run, STREAM_COUNT, Sample, Spread, batch_of, interleave, median,
    stream_name,
};
use crate::rigs::{Syncs, bare_bulk, bulk as bulk_into, in_a_store};

pub(crate) const BATCHES: &str = "batch-1000";
pub(crate) const BULK: &str = "bulk-2m";
pub(crate) const NEW_STREAMS: &str = "bulk-new-streams";

const ROUNDS: usize = 5;
const BATCH_LEN: usize = 1000;
const POOL_LEN: usize = 64 * BATCH_LEN;

/// Both sides of rows whose batches are made beforehand.
struct Sides<'a> {
    bench: &'a Bench,
    syncs: Syncs,
    pool: Pool,
    batches: Vec<Batch>,
    file: BareFile,
}

impl<'a> Sides<'a> {
    fn new(bench: &'a Bench, syncs: Syncs, batch_count: usize) -> Result<Self> {
        let pool = Pool::new(POOL_LEN);
        let batches = pool.batches(BATCH_LEN);
        let file = BareFile::create(&bench.dir, event_count(batch_count)?)?;
        Ok(Self { bench, syncs, pool, batches, file })
    }

    fn annals(&self, batch_count: usize) -> Result<Run> {
        let batches = self.batches.iter().cycle().take(batch_count);
        in_a_store(&self.bench.dir, &self.syncs.options(), |store| bulk_into(store, batches))
    }

    fn bare(&self, batch_count: usize) -> Result<Run> {
        let samples = self.pool.samples().chunks(BATCH_LEN).cycle().take(batch_count);
        bare_bulk(&self.file, self.syncs, samples)
    }
}

fn event_count(batch_count: usize) -> Result<u64> {
    Ok(u64::try_from(batch_count * BATCH_LEN)?)
}

fn against_bare(
    name: &'static str,
    bench: &Bench,
    syncs: Syncs,
    batch_count: usize,
) -> Result<Option<Row>> {
    let sides = Sides::new(bench, syncs, batch_count)?;
    let [annals, bare] = interleave(
        bench.rounds(ROUNDS),
        [&mut || sides.annals(batch_count), &mut || sides.bare(batch_count)],
    )?;
    Ok(Some(row(name, &annals, &bare)))
}

fn row(name: &'static str, annals: &[Run], bare: &[Run]) -> Row {
    let (rates, bare_rates) = (Run::rates(annals), Run::rates(bare));
    Row::new(name, "events/s", &rates)
        .bare(&bare_rates)
        .ratio(Spread::of_ratios(&rates, &bare_rates))
        .figure("events", Spread::of(&Run::each_count(annals)).median)
}

/// Each batch durable before the next one.
pub(crate) fn batches(bench: &Bench) -> Result<Option<Row>> {
    against_bare(BATCHES, bench, Syncs::EachBatch, bench.size.pick(2_000, 20))
}

/// One sync at the end.
pub(crate) fn bulk(bench: &Bench) -> Result<Option<Row>> {
    against_bare(BULK, bench, Syncs::AtTheEnd, bench.size.pick(2_000, 100))
}

/// Every event in a stream of its own, compared with events in [`STREAM_COUNT`] streams. Batches
/// are made while time is measured, on all sides, because new names cannot be made beforehand.
pub(crate) fn new_streams(bench: &Bench) -> Result<Option<Row>> {
    let (new_count, few_count) = bench.size.pick((5_000, 2_000), (100, 100));
    let pool = Pool::new(8 * BATCH_LEN);
    let file = BareFile::create(&bench.dir, event_count(new_count)?)?;
    let options = Syncs::AtTheEnd.options();
    let annals = |streams, count| {
        let batches = samples(streams, &pool, count).map(batch_of);
        in_a_store(&bench.dir, &options, |store| bulk_into(store, batches))
    };
    let [new, few, bare] = interleave(
        bench.rounds(ROUNDS),
        [&mut || annals(Names::New, new_count), &mut || annals(Names::Few, few_count), &mut || {
            bare_bulk(&file, Syncs::AtTheEnd, samples(Names::New, &pool, new_count))
        }],
    )?;
    let (new_rates, few_rates) = (Run::rates(&new), Run::rates(&few));
    let bare_rates = Run::rates(&bare);
    let row = Row::new(NEW_STREAMS, "events/s", &new_rates)
        .bare(&bare_rates)
        .ratio_against(BULK, Spread::of_ratios(&new_rates, &few_rates))
        .figure("against_value", median(&few_rates))
        .spread("bare_ratio", Spread::of_ratios(&new_rates, &bare_rates))
        .figure("events", Spread::of(&Run::each_count(&new)).median)
        .field("batches", "made in the timed part, on all sides");
    Ok(Some(row))
}

/// Which streams events go to.
#[derive(Clone, Copy, Debug)]
enum Names {
    /// Each to a new one.
    New,
    /// To [`STREAM_COUNT`] streams at random.
    Few,
}

/// Batches with names that are made when they are asked for, and payloads of the pool.
fn samples(
    names: Names,
    pool: &Pool,
    batch_count: usize,
) -> impl Iterator<Item = Vec<Sample>> + '_ {
    let mut random = fastrand::Rng::with_seed(3);
    let mut numbers = 0..;
    let mut payloads = pool.samples().iter().cycle();
    (0..batch_count).map(move |_| {
        let payloads = payloads.by_ref().take(BATCH_LEN);
        let sample = |like: &Sample| {
            let new = numbers.next().unwrap_or_default();
            let n = match names {
                Names::New => new,
                Names::Few => random.u64(..STREAM_COUNT),
            };
            Sample { stream: stream_name(n), payload: like.payload.clone() }
        };
        payloads.map(sample).collect()
    })
}
