//! Rows of batches of 1,000 events, timed until the index is complete as well.

use annals::Batch;

use crate::bare::BareFile;
use crate::batches::{Names, batches as batches_of, payloads};
use crate::common::{
    BATCH_LEN, Bench, Pool, Result, Row, Run, Spread, batch_of, interleave, median,
};
use crate::rigs::{Syncs, bare_bulk, bulk as bulk_into, in_a_store};

pub(crate) const BATCHES: &str = "batch-1000";
pub(crate) const BULK: &str = "bulk-2m";
pub(crate) const LARGE_BULK: &str = "bulk-20m";
pub(crate) const NEW_STREAMS: &str = "bulk-new-streams";

const ROUNDS: usize = 5;
/// Fewer, because each writes and removes many gigabytes.
const LARGE_ROUNDS: usize = 3;
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
        self.bare_in(&self.file, batch_count)
    }

    /// As [`Self::bare`], in a new file.
    fn growing(&self, batch_count: usize) -> Result<Run> {
        self.bare_in(&BareFile::growing(&self.bench.dir)?, batch_count)
    }

    fn bare_in(&self, file: &BareFile, batch_count: usize) -> Result<Run> {
        let samples = self.pool.samples().chunks(BATCH_LEN).cycle().take(batch_count);
        bare_bulk(file, self.syncs, samples)
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
    let [annals, bare, growing] = interleave(
        bench.rounds(ROUNDS),
        [&mut || sides.annals(batch_count), &mut || sides.bare(batch_count), &mut || {
            sides.growing(batch_count)
        }],
    )?;
    Ok(Some(row(name, &annals, &bare, &growing)))
}

fn row(name: &'static str, annals: &[Run], bare: &[Run], growing: &[Run]) -> Row {
    let [rates, bare_rates, growing_rates] = [annals, bare, growing].map(Run::rates);
    Row::new(name, "events/s", &rates)
        .bare(&bare_rates)
        .ratio(Spread::of_ratios(&rates, &bare_rates))
        .figure("growing_value", median(&growing_rates))
        .spread("growing_ratio", Spread::of_ratios(&rates, &growing_rates))
        .field("events", Run::usual_count(annals))
}

/// Each batch durable before the next one.
pub(crate) fn batches(bench: &Bench) -> Result<Option<Row>> {
    against_bare(BATCHES, bench, Syncs::EachBatch, bench.size.pick(2_000, 20))
}

/// One sync at the end.
pub(crate) fn bulk(bench: &Bench) -> Result<Option<Row>> {
    against_bare(BULK, bench, Syncs::AtTheEnd, bench.size.pick(2_000, 50))
}

/// Ten times as much, and beside it as much as in [`bulk`]: how much slower that is, and how much
/// slower a file becomes that does nothing but grow.
pub(crate) fn large_bulk(bench: &Bench) -> Result<Option<Row>> {
    let (large, small) = bench.size.pick((20_000, 2_000), (150, 50));
    let sides = Sides::new(bench, Syncs::AtTheEnd, large)?;
    let [annals, annals_small, bare, growing, growing_small] = interleave(
        bench.rounds(LARGE_ROUNDS),
        [
            &mut || sides.annals(large),
            &mut || sides.annals(small),
            &mut || sides.bare(large),
            &mut || sides.growing(large),
            &mut || sides.growing(small),
        ],
    )?;
    let against =
        |large: &[Run], small: &[Run]| Spread::of_ratios(&Run::rates(large), &Run::rates(small));
    let row = row(LARGE_BULK, &annals, &bare, &growing)
        .figure("bulk_2m_value", median(&Run::rates(&annals_small)))
        .spread("against_bulk_2m", against(&annals, &annals_small))
        .spread("growing_against_2m", against(&growing, &growing_small));
    Ok(Some(row))
}

/// Every event in a stream of its own, compared with events in [`STREAM_COUNT`] streams. Batches
/// are made while time is measured, on all sides, because new names cannot be made beforehand.
pub(crate) fn new_streams(bench: &Bench) -> Result<Option<Row>> {
    let (new_count, few_count) = bench.size.pick((5_000, 2_000), (40, 40));
    let payloads = payloads();
    let file = BareFile::create(&bench.dir, event_count(new_count)?)?;
    let options = Syncs::AtTheEnd.options();
    let annals = |names, count| {
        let batches = batches_of(names, &payloads, count).map(batch_of);
        in_a_store(&bench.dir, &options, |store| bulk_into(store, batches))
    };
    let mut new = || annals(Names::New, new_count);
    let mut few = || annals(Names::Few, few_count);
    let in_file = |file: &BareFile| {
        bare_bulk(file, Syncs::AtTheEnd, batches_of(Names::New, &payloads, new_count))
    };
    let mut bare = || in_file(&file);
    let mut growing = || in_file(&BareFile::growing(&bench.dir)?);
    let [new, few, bare, growing] =
        interleave(bench.rounds(ROUNDS), [&mut new, &mut few, &mut bare, &mut growing])?;
    let [new_rates, few_rates, bare_rates, growing_rates] =
        [&new, &few, &bare, &growing].map(|runs| Run::rates(runs));
    let row = Row::new(NEW_STREAMS, "events/s", &new_rates)
        .bare(&bare_rates)
        .ratio_against(BULK, Spread::of_ratios(&new_rates, &few_rates))
        .figure("against_value", median(&few_rates))
        .spread("bare_ratio", Spread::of_ratios(&new_rates, &bare_rates))
        .figure("growing_value", median(&growing_rates))
        .spread("growing_ratio", Spread::of_ratios(&new_rates, &growing_rates))
        .field("events", Run::usual_count(&new))
        .field("batches", "made in the timed part, on all sides");
    Ok(Some(row))
}
