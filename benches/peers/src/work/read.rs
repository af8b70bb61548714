//! The workloads that read.
//!
//! Owns the clocks around reads, and the check that each read gave what it should. Everything is
//! read once before the clock runs, so it is in memory as far as it fits.

use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::Result;
use crate::event::{Pool, STREAM_COUNT};
use crate::store::{Mode, Peer, Store};
use crate::sum::Sum;
use crate::work::{LOAD_BATCH_COUNT, Outcome, Query, SEED, time_of};

/// How many events `time-100` reads.
const SINCE_COUNT: usize = 100;

/// What a store was loaded with.
struct Loaded {
    pool: Pool,
    sum: Sum,
    /// The stream of each event, by position.
    streams: Vec<usize>,
    /// How many events each stream has.
    stream_counts: Vec<u64>,
}

impl Loaded {
    fn new(event_count: usize) -> Self {
        let pool = Pool::new();
        let mut sum = Sum::default();
        let mut streams = Vec::with_capacity(event_count);
        let mut stream_counts = vec![0; STREAM_COUNT];
        let whole_batches = event_count / LOAD_BATCH_COUNT * LOAD_BATCH_COUNT;
        for event in pool.events(SEED).take(whole_batches) {
            sum.add(event.payload);
            streams.push(event.stream_number);
            stream_counts[event.stream_number] += 1;
        }
        Self { pool, sum, streams, stream_counts }
    }

    /// A random stream that has events, the more likely the more it has.
    fn random_stream(&self, random: &mut Rng) -> usize {
        self.streams[random.usize(..self.streams.len())]
    }

    /// A random time that so many events follow.
    fn random_time(&self, random: &mut Rng) -> u64 {
        let last_batch = (self.streams.len() - SINCE_COUNT) / LOAD_BATCH_COUNT;
        time_of(random.usize(..=last_batch))
    }

    /// Asks once. Returns how long the answer took, and checks it.
    fn ask(&self, store: &dyn Store, query: Query, random: &mut Rng) -> Result<Duration> {
        let stream = self.random_stream(random);
        let name = self.pool.stream(stream);
        let time_ns = self.random_time(random);
        let before = Instant::now();
        let (found, expected) = match query {
            Query::Stream => (store.read_stream(name)?, self.stream_counts[stream]),
            Query::Since => (store.read_since(time_ns, SINCE_COUNT)?, SINCE_COUNT as u64),
            Query::Last => (store.read_last(name)?, 1),
        };
        let latency = before.elapsed();
        if found.events == expected {
            return Ok(latency);
        }
        Err(format!("{query:?} {name} {time_ns}: {} events, not {expected}", found.events).into())
    }
}

/// Reads everything again and again, for at least `time`.
pub fn replay(peer: &Peer, dir: &Path, event_count: usize, time: Duration) -> Result<Outcome> {
    let loaded = Loaded::new(event_count);
    let mut outcome = Outcome::default();
    (peer.open)(dir, Mode::Read, &mut |store| {
        read_all(store, &loaded)?;
        let begin = Instant::now();
        let mut count = 0;
        while begin.elapsed() < time {
            read_all(store, &loaded)?;
            count += loaded.sum.events;
        }
        outcome = Outcome::new(count, begin.elapsed(), Vec::new());
        Ok(())
    })?;
    Ok(outcome)
}

fn read_all(store: &dyn Store, loaded: &Loaded) -> Result<()> {
    let found = store.replay()?;
    if found == loaded.sum {
        return Ok(());
    }
    Err(format!("replay gave {found:?}, not {:?}", loaded.sum).into())
}

/// Asks for `time`, after a warm-up of a fifth of it.
pub fn query(
    peer: &Peer,
    dir: &Path,
    query: Query,
    (event_count, time): (usize, Duration),
) -> Result<Outcome> {
    let loaded = Loaded::new(event_count);
    let mut latencies = Vec::new();
    (peer.open)(dir, Mode::Read, &mut |store| {
        read_all(store, &loaded)?;
        let mut random = Rng::with_seed(SEED);
        let begin = Instant::now();
        while begin.elapsed() < time / 5 {
            loaded.ask(store, query, &mut random)?;
        }
        let begin = Instant::now();
        while begin.elapsed() < time {
            latencies.push(loaded.ask(store, query, &mut random)?);
        }
        Ok(())
    })?;
    let count = u64::try_from(latencies.len())?;
    Ok(Outcome::new(count, latencies.iter().sum(), latencies))
}
