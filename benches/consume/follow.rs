//! The row of how soon a thread that follows has what is appended.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use annals::{Batch, Cursor, Durability, Event, Follow, Followed, Options};
use parking_lot::{Condvar, Mutex};

use crate::Bench;
use crate::common::{Pool, Result, Row, Sample, Spread, interleave, median, percentile};

pub(crate) const LATENCY: &str = "follow-latency";

const ROUNDS: usize = 5;
const POOL_LEN: usize = 2_000;
/// How long the producer waits before each event, so that the other side waits by then.
const PAUSE: Duration = Duration::from_millis(1);
/// Longer than an event can be on its way.
const TIME_MAX: Duration = Duration::from_secs(60);

/// When one event was where, in microseconds from when it was appended or handed over.
#[derive(Debug)]
struct Way {
    /// When that was called: less than nothing.
    called_us: f64,
    /// When the other thread had it: less than nothing if that was before the call returned.
    seen_us: f64,
}

impl Way {
    fn seen_us(&self) -> f64 {
        self.seen_us
    }

    fn since_call_us(&self) -> f64 {
        self.seen_us - self.called_us
    }
}

/// One thread appends an event at a time, without a sync, and another follows. On the bare side
/// payloads go the same way through a queue that both threads lock.
///
/// The ratio is that of the times from the call: who is woken there has the payload before the call
/// returns, and so less than nothing after it.
pub(crate) fn latency(bench: &Bench) -> Result<Option<Row>> {
    let pool = Pool::new(bench.size.pick(POOL_LEN, 100));
    let batches = pool.batches(1);
    let [annals, bare] = interleave(
        bench.rounds(ROUNDS),
        [&mut || annals(bench, &pool, &batches), &mut || bare(&pool)],
    )?;
    let seen = |rounds, permille| figures(rounds, Way::seen_us, permille);
    let from_call = |rounds, permille| figures(rounds, Way::since_call_us, permille);
    let ratio = Spread::of_ratios(&from_call(&annals, 500), &from_call(&bare, 500));
    let row = Row::new(LATENCY, "us", &seen(&annals, 500))
        .bare(&seen(&bare, 500))
        .ratio_against("bare from the call", ratio)
        .field("events", batches.len())
        .field("value_is", "from the append's return to the event seen; negative if seen before")
        .figure("p99_us", median(&seen(&annals, 990)))
        .figure("from_call_p50_us", median(&from_call(&annals, 500)))
        .figure("from_call_p99_us", median(&from_call(&annals, 990)))
        .figure("bare_p99_us", median(&seen(&bare, 990)))
        .figure("bare_from_call_p50_us", median(&from_call(&bare, 500)))
        .figure("bare_from_call_p99_us", median(&from_call(&bare, 990)));
    Ok(Some(row))
}

/// One percentile of each round.
fn figures(rounds: &[Vec<Way>], figure: fn(&Way) -> f64, permille: usize) -> Vec<f64> {
    let of_round =
        |ways: &Vec<Way>| percentile(&ways.iter().map(figure).collect::<Vec<_>>(), permille);
    rounds.iter().map(of_round).collect()
}

/// One thread appends to a new store, which is removed again.
fn annals(bench: &Bench, pool: &Pool, batches: &[Batch]) -> Result<Vec<Way>> {
    let scratch = tempfile::tempdir_in(&bench.dir)?;
    let options = Options::new().durability(Durability::Buffered);
    let store = options.open(scratch.path().join("store"))?;
    let mut follow = store.read_all().follow();
    let append = |nth: usize| {
        store.append_batch(batches.get(nth).ok_or("there are no more batches")?)?;
        Ok(())
    };
    let ways = ways(pool.samples(), append, |sample| {
        let event = next(&mut follow)?;
        let seen = Instant::now();
        check(event.payload(), sample)?;
        Ok(seen)
    })?;
    store.close()?;
    scratch.close()?;
    Ok(ways)
}

/// The next event, for which it waits.
fn next(follow: &mut Follow<Cursor>) -> Result<Event> {
    loop {
        match follow.next_timeout(TIME_MAX)? {
            Some(Followed::Event(event)) => return Ok(event),
            Some(_) => {}
            None => return Err("an event never came".into()),
        }
    }
}

fn bare(pool: &Pool) -> Result<Vec<Way>> {
    let queue = Queue::default();
    let put = |nth: usize| {
        let sample = pool.samples().get(nth).ok_or("there are no more events")?;
        queue.put(sample.payload.clone());
        Ok(())
    };
    ways(pool.samples(), put, |sample| {
        let payload = queue.take()?;
        let seen = Instant::now();
        check(&payload, sample)?;
        Ok(seen)
    })
}

/// Payloads on their way from one thread to another.
#[derive(Debug, Default)]
struct Queue {
    payloads: Mutex<VecDeque<Vec<u8>>>,
    /// Told when there is one more.
    put: Condvar,
}

impl Queue {
    fn put(&self, payload: Vec<u8>) {
        self.payloads.lock().push_back(payload);
        self.put.notify_one();
    }

    /// The next payload, for which it waits.
    fn take(&self) -> Result<Vec<u8>> {
        let mut payloads = self.payloads.lock();
        loop {
            if let Some(payload) = payloads.pop_front() {
                return Ok(payload);
            }
            if self.put.wait_for(&mut payloads, TIME_MAX).timed_out() {
                return Err("a payload never came".into());
            }
        }
    }
}

/// Lets one thread call `produce` for each event, with how often it was called before, and another
/// `consume`, which waits for the event and returns when it was there.
fn ways(
    samples: &[Sample],
    produce: impl Fn(usize) -> Result<()>,
    mut consume: impl FnMut(&Sample) -> Result<Instant> + Send,
) -> Result<Vec<Way>> {
    let (seen, produced) = thread::scope(|scope| {
        let consumer =
            scope.spawn(move || samples.iter().map(&mut consume).collect::<Result<Vec<_>>>());
        let produced = (0..samples.len()).map(|nth| timed(|| produce(nth)));
        let produced: Result<Vec<_>> = produced.collect();
        let seen = consumer.join().unwrap_or_else(|_| Err("the consumer panicked".into()));
        (seen, produced)
    });
    let way = |((called, returned), seen): ((Instant, Instant), Instant)| Way {
        called_us: us_from(returned, called),
        seen_us: us_from(returned, seen),
    };
    // First why nothing was produced, and then that nothing came.
    Ok(produced?.into_iter().zip(seen?).map(way).collect())
}

/// When `produce` was called and when it returned, after a pause.
fn timed(produce: impl FnOnce() -> Result<()>) -> Result<(Instant, Instant)> {
    thread::sleep(PAUSE);
    let called = Instant::now();
    produce()?;
    Ok((called, Instant::now()))
}

fn check(payload: &[u8], sample: &Sample) -> Result<()> {
    if payload == sample.payload {
        return Ok(());
    }
    Err("an event was not given as it was appended".into())
}

/// How much later than `start` is `end`, in microseconds; less than nothing if it is before.
fn us_from(start: Instant, end: Instant) -> f64 {
    let before = start.saturating_duration_since(end);
    let after = end.saturating_duration_since(start);
    (after.as_secs_f64() - before.as_secs_f64()) * 1e6
}
