//! Rows of single events, each durable before the next one of its thread.

use std::time::Duration;

use annals::{Batch, Options};

use crate::bare::BareFile;
use crate::common::{Bench, Pool, Result, Row, Run, Spread, interleave};
use crate::rigs::{bare_single, in_a_store, single};
use crate::threads::Span;

pub(crate) const ALONE: &str = "durable-1";
pub(crate) const SIXTEEN: &str = "durable-16";

const ROUNDS: usize = 5;
/// Several events of every stream, and some hundred for each of 256 threads.
const POOL_LEN: usize = 64 << 10;
/// Room in the bare file of runs that end by the clock. Those that need more begin again at its
/// start, which costs nothing.
const BARE_EVENTS: u64 = 700_000;
const QUICK_BARE_EVENTS: u64 = 70_000;

/// Both sides of rows in which threads append.
struct Sides<'a> {
    bench: &'a Bench,
    pool: Pool,
    batches: Vec<Batch>,
    file: BareFile,
}

impl<'a> Sides<'a> {
    fn new(bench: &'a Bench, bare_events: u64) -> Result<Self> {
        let pool = Pool::new(POOL_LEN);
        let batches = pool.batches(1);
        let file = BareFile::create(&bench.dir, bare_events)?;
        Ok(Self { bench, pool, batches, file })
    }

    fn annals(&self, thread_count: usize, span: Span) -> Result<Run> {
        in_a_store(&self.bench.dir, &Options::new(), |store| {
            single(store, thread_count, span, &self.batches)
        })
    }

    fn bare(&self, thread_count: usize, span: Span) -> Result<Run> {
        bare_single(&self.file, thread_count, span, self.pool.samples())
    }
}

/// The figures that rows of single events have in common.
fn row(name: &'static str, annals: &[Run], bare: &[Run]) -> Row {
    let (rates, bare_rates) = (Run::rates(annals), Run::rates(bare));
    Row::new(name, "events/s", &rates)
        .bare(&bare_rates)
        .ratio(Spread::of_ratios(&rates, &bare_rates))
        .figure("events", Spread::of(&Run::each_count(annals)).median)
        .latencies("", &Run::latencies(annals))
        .latencies("bare_", &Run::latencies(bare))
}

/// One thread.
pub(crate) fn alone(bench: &Bench) -> Result<Option<Row>> {
    let count = bench.size.pick(20_000, 300);
    let sides = Sides::new(bench, count)?;
    let span = Span::Appends(count);
    let [annals, bare] = interleave(
        bench.rounds(ROUNDS),
        [&mut || sides.annals(1, span), &mut || sides.bare(1, span)],
    )?;
    let p99 = |runs: &[Run]| Run::each_latency(runs, |run| run.p99_us);
    let p99_ratio = Spread::of_ratios(&p99(&annals), &p99(&bare));
    let row = row(ALONE, &annals, &bare);
    Ok(Some(row.spread("p99_ratio", p99_ratio)))
}

/// Sixteen threads.
pub(crate) fn sixteen(bench: &Bench) -> Result<Option<Row>> {
    let sides = Sides::new(bench, bench.size.pick(BARE_EVENTS, QUICK_BARE_EVENTS))?;
    let span = Span::Time(bench.size.pick(Duration::from_secs(4), Duration::from_millis(200)));
    let [annals, bare] = interleave(
        bench.rounds(ROUNDS),
        [&mut || sides.annals(16, span), &mut || sides.bare(16, span)],
    )?;
    let fairness = fairness(&annals).ok_or("no thread was counted")?;
    let row = row(SIXTEEN, &annals, &bare);
    Ok(Some(row.field("thread_min", fairness.0).field("thread_max", fairness.1)))
}

/// The least and the most appends of any one thread, in the run in which they differ most.
fn fairness(runs: &[Run]) -> Option<(u64, u64)> {
    let ends = runs
        .iter()
        .filter_map(|run| Some((*run.by_thread.iter().min()?, *run.by_thread.iter().max()?)));
    ends.min_by(|(a_min, a_max), (b_min, b_max)| (a_min * b_max).cmp(&(b_min * a_max)))
}
