//! Rows of single events, each durable before the next one of its thread.

use std::time::Duration;

use annals::{Batch, Options};

use crate::bare::BareFile;
use crate::common::{Bench, Pool, Result, Row, Run, Spread, interleave, median, usage};
use crate::rigs::{bare_single, in_a_store, single};
use crate::threads::Span;

pub(crate) const ALONE: &str = "durable-1";
pub(crate) const SIXTEEN: &str = "durable-16";
pub(crate) const MANY: &str = "durable-256";
pub(crate) const ROLLS: &str = "roll-latency";

const ROUNDS: usize = 5;
/// Fewer, because each goes on for more than a minute.
const ROLL_ROUNDS: usize = 3;
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
        .field("events", Run::usual_count(annals))
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
    let p99 = |runs: &[Run]| Run::each_latency(runs, |run| run.p99);
    let p99_ratio = Spread::of_ratios(&p99(&annals), &p99(&bare));
    let row = row(ALONE, &annals, &bare);
    Ok(Some(row.spread("p99_ratio", p99_ratio)))
}

/// Sixteen threads.
pub(crate) fn sixteen(bench: &Bench) -> Result<Option<Row>> {
    let (sides, span) = (Sides::new(bench, bare_events(bench))?, by_the_clock(bench));
    let [annals, bare] = interleave(
        bench.rounds(ROUNDS),
        [&mut || sides.annals(16, span), &mut || sides.bare(16, span)],
    )?;
    Ok(Some(with_fairness(row(SIXTEEN, &annals, &bare), &annals)))
}

/// As many threads as make a sync cost little, and beside them as many as in [`sixteen`].
pub(crate) fn many(bench: &Bench) -> Result<Option<Row>> {
    let (sides, span) = (Sides::new(bench, bare_events(bench))?, by_the_clock(bench));
    let (mut annals, mut bare) = (|| sides.annals(256, span), || sides.bare(256, span));
    let mut sixteen = || sides.annals(16, span);
    let [annals, bare, sixteen] =
        interleave(bench.rounds(ROUNDS), [&mut annals, &mut bare, &mut sixteen])?;
    let against = Spread::of_ratios(&Run::rates(&annals), &Run::rates(&sixteen));
    let row = row(MANY, &annals, &bare)
        .figure("durable_16_value", median(&Run::rates(&sixteen)))
        .spread("against_durable_16", against);
    Ok(Some(with_fairness(row, &annals)))
}

/// Sixteen threads for as long as it takes to fill several segments and to write several
/// checkpoints: what single appends have to wait for then.
pub(crate) fn rolls(bench: &Bench) -> Result<Option<Row>> {
    let sides = Sides::new(bench, bare_events(bench))?;
    let span = Span::Appends(bench.size.pick(100_000, 1_000));
    let small = Options::new().segment_len_max(1 << 20).checkpoint_event_count(4 << 10);
    let options = bench.size.pick(Options::new(), small);
    let mut segment_count = 0;
    let mut annals = || {
        in_a_store(&bench.dir, &options, |store| {
            let run = single(store, 16, span, &sides.batches)?;
            segment_count = usage(&store.path().join("log"))?.file_count;
            Ok(run)
        })
    };
    let mut bare = || sides.bare(16, span);
    let [annals, bare] = interleave(bench.rounds(ROLL_ROUNDS), [&mut annals, &mut bare])?;
    let p99_9_ms = |runs: &[Run]| Run::each_latency(runs, |run| run.p99_9 / 1e3);
    let (value, bare_value) = (p99_9_ms(&annals), p99_9_ms(&bare));
    let usual = Run::latencies(&annals);
    let row = Row::new(ROLLS, "ms", &value)
        .bare(&bare_value)
        .ratio(Spread::of_ratios(&value, &bare_value))
        .field("events", Run::usual_count(&annals))
        .field("segments_rolled", segment_count.saturating_sub(1))
        .figure("p50_ms", usual.p50 / 1e3)
        .figure("p99_ms", usual.p99 / 1e3)
        .figure("p99_9_ms", usual.p99_9 / 1e3)
        .figure("max_ms", usual.max / 1e3)
        .latencies("bare_", &Run::latencies(&bare));
    Ok(Some(row))
}

fn bare_events(bench: &Bench) -> u64 {
    bench.size.pick(BARE_EVENTS, QUICK_BARE_EVENTS)
}

/// Threads that go on for the same time show whether one of them was left behind.
fn by_the_clock(bench: &Bench) -> Span {
    Span::Time(bench.size.pick(Duration::from_secs(4), Duration::from_millis(200)))
}

fn with_fairness(row: Row, annals: &[Run]) -> Row {
    let ends = fairness(annals);
    row.field("thread_min", ends.map(|(min, _)| min)).field("thread_max", ends.map(|(_, max)| max))
}

/// The least and the most appends of any one thread, in the run in which they differ most.
fn fairness(runs: &[Run]) -> Option<(u64, u64)> {
    let ends = runs
        .iter()
        .filter_map(|run| Some((*run.by_thread.iter().min()?, *run.by_thread.iter().max()?)));
    ends.min_by(|(a_min, a_max), (b_min, b_max)| (a_min * b_max).cmp(&(b_min * a_max)))
}
