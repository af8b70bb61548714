//! A store whose writers are killed.
#![expect(clippy::print_stdout, reason = "the process that is killed tells how far it has come so")]

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use annals::{Batch, Durability, Options, Position};
use fastrand::Rng;

use crate::Bench;
use crate::common::{BATCH_LEN, Pool, Result, Sample, batch_of};
use crate::sum::Sum;

/// The job of a process that appends until it is killed, each batch durably.
const APPEND: &str = "append";
/// The same without a sync for each batch.
const LOAD: &str = "load";

/// How many events there are that are appended over and over.
const POOL_LEN: usize = 64 * BATCH_LEN;
/// How long a process goes on at most after it has appended as much as it should.
const TIME_MAX_US: u64 = 20_000;

/// A closed store, to which processes append until they are killed.
#[derive(Debug)]
pub(crate) struct Victim {
    path: PathBuf,
    pool: Pool,
    /// How many events are known to be in it.
    event_count: Cell<u64>,
}

impl Victim {
    /// Creates the store with so many events.
    pub(crate) fn load(path: &Path, batch_count: usize) -> Result<Self> {
        let pool = Pool::new(POOL_LEN);
        let store = options().open(path)?;
        for batch in batches(&pool).iter().cycle().take(batch_count) {
            store.append_batch(batch)?;
        }
        let event_count = Cell::new(store.end().get());
        store.close()?;
        Ok(Self { path: path.to_owned(), pool, event_count })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many events are known to be in the store.
    pub(crate) fn event_count(&self) -> u64 {
        self.event_count.get()
    }

    /// Lets a process append some events more, and kills it when it appends the next ones: after a
    /// random number of batches, so that the last checkpoint of the index is any time ago.
    pub(crate) fn kill_one(
        &self,
        bench: &Bench,
        durability: Durability,
        random: &mut Rng,
    ) -> Result<()> {
        let batch_count = bench.size.pick(100..232, 2..6);
        let goal = self.event_count.get() + random.u64(batch_count) * u64::try_from(BATCH_LEN)?;
        let job = if durability == Durability::Sync { APPEND } else { LOAD };
        let mut process = bench.child(job, &self.path)?.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or("the process has no output")?;
        let mut lines = BufReader::new(output).lines();
        let mut end = 0;
        while end < goal {
            let line = lines.next().ok_or("the process has ended by itself")?;
            end = line?.parse()?;
        }
        thread::sleep(Duration::from_micros(random.u64(..TIME_MAX_US)));
        process.kill()?;
        process.wait()?;
        for line in lines {
            // The last one may be torn.
            end = line?.parse().unwrap_or(end).max(end);
        }
        self.event_count.set(end);
        Ok(())
    }

    /// Checks that the end which was found is that of what the processes were told, and of whole
    /// batches.
    pub(crate) fn check(&self, end: Position) -> Result<()> {
        let (end, known) = (end.get(), self.event_count.get());
        let unknown = end.checked_sub(known);
        let batch_len = u64::try_from(BATCH_LEN)?;
        if unknown.is_none_or(|unknown| !unknown.is_multiple_of(batch_len)) {
            return Err(format!("{end} events are there, where {known} were appended").into());
        }
        self.event_count.set(end);
        Ok(())
    }

    /// Notes that what was appended last has these positions.
    pub(crate) fn add(&self, positions: Range<Position>) -> Result<()> {
        if positions.start.get() != self.event_count.get() {
            return Err(format!("an event was appended at {}", positions.start).into());
        }
        self.event_count.set(positions.end.get());
        Ok(())
    }

    /// One event for a random stream.
    pub(crate) fn random_batch(&self, random: &mut Rng) -> Result<Batch> {
        Ok(batch_of([self.random_sample(random)?.clone()]).durability(Durability::Sync))
    }

    fn random_sample(&self, random: &mut Rng) -> Result<&Sample> {
        let samples = self.pool.samples();
        Ok(samples.get(random.usize(..BATCH_LEN)).ok_or("the pool is empty")?)
    }

    /// The first event of the store.
    pub(crate) fn first(&self) -> Result<Sum> {
        self.pool.samples().first().map(sum_of).ok_or_else(|| "the pool is empty".into())
    }

    /// A random stream, and the first of its events.
    pub(crate) fn random_stream(&self, random: &mut Rng) -> Result<(&str, Sum)> {
        let stream = &self.random_sample(random)?.stream;
        let first = self.pool.samples().iter().find(|sample| sample.stream == *stream);
        Ok((stream, first.map(sum_of).ok_or("the stream is empty")?))
    }
}

fn sum_of(sample: &Sample) -> Sum {
    Sum::of(&sample.payload)
}

fn options() -> Options {
    Options::new().durability(Durability::Buffered)
}

fn batches(pool: &Pool) -> Vec<Batch> {
    pool.batches(BATCH_LEN)
}

/// What the process with this job does: appends, and prints how many events there are after each
/// batch. `None` if that is the job of another.
pub(crate) fn append_for_ever(job: &str, path: &Path) -> Option<Result<()>> {
    let durability = match job {
        APPEND => Durability::Sync,
        LOAD => Durability::Buffered,
        _ => return None,
    };
    Some(append(durability, path))
}

fn append(durability: Durability, path: &Path) -> Result<()> {
    let pool = Pool::new(POOL_LEN);
    let store = Options::new().durability(durability).create(false).open(path)?;
    for batch in batches(&pool).iter().cycle() {
        println!("{}", store.append_batch(batch)?.end());
    }
    Ok(())
}
