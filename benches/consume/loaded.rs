//! What most rows consume: a store of events in many streams, and what is known of them.

use std::path::{Path, PathBuf};

use annals::{Durability, Options, Store};
use fastrand::Rng;

use crate::Bench;
use crate::common::{BATCH_LEN, Pool, Result, Sample, batch_of, settle, stream_name};

/// How many events have their payloads from a pool, over and over.
const POOL_LEN: usize = 4 * BATCH_LEN;
pub(crate) const STREAM_COUNT: u64 = 1_000;

/// A closed store.
#[derive(Debug)]
pub(crate) struct Loaded {
    path: PathBuf,
    pool: Pool,
    pub(crate) event_count: u64,
}

/// What the rows of this run share, which the first of them loads.
pub(crate) fn loaded(bench: &Bench) -> Result<&Loaded> {
    if let Some(there) = bench.shared.loaded.get() {
        return Ok(there);
    }
    let new = Loaded::new(&bench.dir, bench.size.pick(200, 4))?;
    Ok(bench.shared.loaded.get_or_init(|| new))
}

impl Loaded {
    /// Appends the events, each to a random stream, and closes the store. The same ones each time.
    fn new(dir: &Path, batch_count: usize) -> Result<Self> {
        let pool = Pool::new(POOL_LEN);
        let path = dir.join("loaded");
        let store = Options::new().durability(Durability::Buffered).open(&path)?;
        let mut random = Rng::with_seed(3);
        for payloads in pool.samples().chunks(BATCH_LEN).cycle().take(batch_count) {
            let sample = |like: &Sample| Sample {
                stream: stream_name(random.u64(..STREAM_COUNT)),
                payload: like.payload.clone(),
            };
            store.append_batch(batch_of(payloads.iter().map(sample)))?;
        }
        let event_count = store.end().get();
        store.close()?;
        settle(dir)?;
        Ok(Self { path, pool, event_count })
    }

    /// The payload of the event at `position`.
    pub(crate) fn payload(&self, position: u64) -> Result<&[u8]> {
        let samples = self.pool.samples();
        let sample = samples.get(usize::try_from(position)? % samples.len());
        Ok(&sample.ok_or("the pool is empty")?.payload)
    }

    /// Opens the store, reads all of it, so that it is in memory, lets `work` use it, and closes
    /// it.
    pub(crate) fn warm<T>(&self, work: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        let store = Options::new().create(false).open(&self.path)?;
        let mut event_count = 0;
        for event in store.read_all() {
            let event = event?;
            if event.payload() != self.payload(event_count)? {
                return Err(format!("event {event_count} is not as it was appended").into());
            }
            event_count += 1;
        }
        if event_count != self.event_count {
            return Err(format!("{event_count} events are there of {}", self.event_count).into());
        }
        let done = work(&store)?;
        store.close()?;
        Ok(done)
    }
}

/// Checks that the consumer `name` has committed every event before `end`, and leaves none out.
pub(crate) fn check_committed(store: &Store, name: &str, end: u64) -> Result<()> {
    let consumers = store.consumers()?;
    let found = consumers.iter().find(|found| found.name == name).ok_or("it is not there")?;
    if (found.committed.get(), found.pending_count, found.parked_count) == (end, 0, 0) {
        return Ok(());
    }
    Err(format!("{found:?}, where all before {end} should be committed").into())
}
