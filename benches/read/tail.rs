//! The row of how soon a consumer that waits has what is appended.

use std::thread;
use std::time::{Duration, Instant};

use annals::{Batch, Durability, Options, Position, Store};

use crate::Bench;
use crate::common::{Pool, Result, Row, interleave, median, percentile};
use crate::sum::Sum;

pub(crate) const TAIL: &str = "tail-latency";

const ROUNDS: usize = 5;
const POOL_LEN: usize = 2_000;
/// How long the producer waits after each event.
const PAUSE: Duration = Duration::from_millis(1);
/// Longer than an event can be on its way.
const TIME_MAX: Duration = Duration::from_secs(10);

/// When one event was where, in microseconds from when its append returned.
#[derive(Debug)]
struct Way {
    /// When its append was called: less than nothing.
    called_us: f64,
    /// When the consumer had it: less than nothing if that was before its append returned.
    seen_us: f64,
}

/// One thread appends an event at a time, and another waits for each.
pub(crate) fn tail(bench: &Bench) -> Result<Option<Row>> {
    let pool = Pool::new(bench.size.pick(POOL_LEN, 100));
    let batches = pool.batches(1);
    let expected = pool.samples().iter().map(|sample| Sum::of(&sample.payload));
    let expected = expected.fold(Sum::default(), Sum::plus);
    let run = |durability| {
        let scratch = tempfile::tempdir_in(&bench.dir)?;
        let store = Options::new().durability(durability).open(scratch.path().join("store"))?;
        let ways = ways(&store, &batches, expected)?;
        store.close()?;
        scratch.close()?;
        Ok(ways)
    };
    let [durable, buffered] = interleave(
        bench.rounds(ROUNDS),
        [&mut || run(Durability::Sync), &mut || run(Durability::Buffered)],
    )?;
    let seen = |way: &Way| way.seen_us;
    let since_call = |way: &Way| way.seen_us - way.called_us;
    let medians = figures(&durable, seen, 500);
    let row = Row::new(TAIL, "us", &medians)
        .field("events", batches.len())
        .field("value_is", "from the append's return to the event seen; negative if seen before")
        .figure("p99_us", median(&figures(&durable, seen, 990)))
        .figure("from_call_p50_us", median(&figures(&durable, since_call, 500)))
        .figure("buffered_p50_us", median(&figures(&buffered, seen, 500)))
        .figure("buffered_p99_us", median(&figures(&buffered, seen, 990)))
        .figure("buffered_from_call_p50_us", median(&figures(&buffered, since_call, 500)));
    Ok(Some(row))
}

/// One percentile of each round.
fn figures(rounds: &[Vec<Way>], figure: fn(&Way) -> f64, permille: usize) -> Vec<f64> {
    let of_round =
        |ways: &Vec<Way>| percentile(&ways.iter().map(figure).collect::<Vec<_>>(), permille);
    rounds.iter().map(of_round).collect()
}

fn ways(store: &Store, batches: &[Batch], expected: Sum) -> Result<Vec<Way>> {
    let (seen, appended) = thread::scope(|scope| {
        let consumer = scope.spawn(|| consume(store, batches.len(), expected));
        let appended = produce(store, batches);
        let seen = consumer.join().unwrap_or_else(|_| Err("the consumer panicked".into()));
        (seen, appended)
    });
    let way = |(seen, (called, returned)): (&Instant, &(Instant, Instant))| Way {
        called_us: us_from(*returned, *called),
        seen_us: us_from(*returned, *seen),
    };
    Ok(seen?.iter().zip(&appended?).map(way).collect())
}

/// Appends each batch, and returns when its append was called and when it returned.
fn produce(store: &Store, batches: &[Batch]) -> Result<Vec<(Instant, Instant)>> {
    let mut times = Vec::with_capacity(batches.len());
    for batch in batches {
        thread::sleep(PAUSE);
        let called = Instant::now();
        store.append_batch(batch)?;
        times.push((called, Instant::now()));
    }
    Ok(times)
}

/// Waits for each event, and returns when it was there.
fn consume(store: &Store, event_count: usize, expected: Sum) -> Result<Vec<Instant>> {
    let mut cursor = store.read_all().from(Position::START);
    let mut times = Vec::with_capacity(event_count);
    let mut sum = Sum::default();
    let started = Instant::now();
    while times.len() < event_count {
        cursor.wait(TIME_MAX)?;
        match cursor.next().transpose()? {
            Some(event) => {
                times.push(Instant::now());
                sum.add(event.payload());
            }
            // Woken for nothing, or for no event in so long a time.
            None if started.elapsed() > TIME_MAX * 6 => return Err("an event never came".into()),
            None => {}
        }
    }
    sum.check(expected)?;
    Ok(times)
}

/// How much later than `start` is `end`, in microseconds; less than nothing if it is before.
fn us_from(start: Instant, end: Instant) -> f64 {
    let before = start.saturating_duration_since(end);
    let after = end.saturating_duration_since(start);
    (after.as_secs_f64() - before.as_secs_f64()) * 1e6
}
