//! What most rows read: a store and a plain file with the same events, and what is known of them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use annals::{Durability, IndexRecovery, Options, Store, Timestamp};
use fastrand::Rng;

use crate::common::{BATCH_LEN, Pool, Result, STREAM_COUNT, Sample, batch_of, settle, stream_name};
use crate::plain::PlainFile;
use crate::replay::visit_all;
use crate::sum::Sum;
use crate::{Bench, made};

/// How many events are appended at once, which have one time: few, so that there are many times.
const LOAD_BATCH_LEN: usize = 100;
/// How many events have their payloads from a pool, over and over.
const POOL_LEN: usize = 8 * BATCH_LEN;

/// A closed store and a plain file of its events.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) path: PathBuf,
    pub(crate) plain: PlainFile,
    pub(crate) all: Sum,
    /// Of the event at each position.
    sums: Vec<Sum>,
    /// The stream of the event at each position, by number.
    streams: Vec<u64>,
    /// Of each stream, by number, the positions of its events.
    positions: Vec<Vec<u64>>,
    /// When each batch was recorded, and the time before that.
    times: Vec<(Timestamp, Timestamp)>,
}

/// A stream that has events.
#[derive(Clone, Debug)]
pub(crate) struct Stream<'a> {
    pub(crate) name: String,
    pub(crate) positions: &'a [u64],
}

impl<'a> Stream<'a> {
    /// The position of its last event, by itself.
    pub(crate) fn last(&self) -> &'a [u64] {
        self.positions.last().map_or(&[], std::slice::from_ref)
    }
}

/// What the rows of this run share, which the first of them loads.
pub(crate) fn loaded(bench: &Bench) -> Result<&Loaded> {
    let batch_count = bench.size.pick(20_000, 200);
    made(&bench.shared.loaded, || Loaded::new(&bench.dir, batch_count))
}

impl Loaded {
    fn new(dir: &Path, batch_count: usize) -> Result<Self> {
        let pool = Pool::new(POOL_LEN);
        let path = dir.join("loaded");
        let plain = PlainFile::create(&dir.join("plain"), batches(&pool, batch_count))?;
        let times = load(&path, batches(&pool, batch_count))?;
        let mut loaded = Self {
            path,
            plain,
            all: Sum::default(),
            sums: Vec::new(),
            streams: Vec::new(),
            positions: vec![Vec::new(); usize::try_from(STREAM_COUNT)?],
            times,
        };
        let mut random = stream_numbers();
        let samples = pool.samples().iter().cycle().take(batch_count * LOAD_BATCH_LEN);
        for (position, sample) in (0..).zip(samples) {
            loaded.note(position, random(), &sample.payload)?;
        }
        settle(dir)?;
        Ok(loaded)
    }

    fn note(&mut self, position: u64, stream: u64, payload: &[u8]) -> Result<()> {
        let sum = Sum::of(payload);
        self.all = self.all.plus(sum);
        self.sums.push(sum);
        self.streams.push(stream);
        let positions = self.positions.get_mut(usize::try_from(stream)?);
        positions.ok_or("there is no such stream")?.push(position);
        Ok(())
    }

    /// Opens the store and waits for its index.
    pub(crate) fn open(&self, options: &Options) -> Result<Store> {
        let store = options.clone().create(false).open(&self.path)?;
        match &store.recovery().index {
            IndexRecovery::Current => Ok(store),
            other => Err(format!("the index was not complete: {other:?}").into()),
        }
    }

    /// Opens the store, reads all of it and of the plain file, so that they are in memory, lets
    /// `work` use it, and closes it.
    pub(crate) fn warm<T>(
        &self,
        options: &Options,
        work: impl FnOnce(&Store) -> Result<T>,
    ) -> Result<T> {
        let store = self.open(options)?;
        visit_all(&store)?.check(self.all)?;
        self.plain.read_all()?.check(self.all)?;
        let done = work(&store)?;
        store.close()?;
        Ok(done)
    }

    /// Of the events at these positions.
    pub(crate) fn sum(&self, positions: impl IntoIterator<Item = u64>) -> Result<Sum> {
        let mut sum = Sum::default();
        for position in positions {
            let of_event = self.sums.get(usize::try_from(position)?);
            sum = sum.plus(*of_event.ok_or("there is no such position")?);
        }
        Ok(sum)
    }

    /// A random stream, the more likely the more events it has.
    pub(crate) fn random_stream(&self, random: &mut Rng) -> Result<Stream<'_>> {
        self.stream(*self.streams.get(random.usize(..self.streams.len())).ok_or("no events")?)
    }

    /// One of the first `count` streams, at random.
    pub(crate) fn random_stream_of(&self, count: u64, random: &mut Rng) -> Result<Stream<'_>> {
        self.stream(random.u64(..count))
    }

    fn stream(&self, number: u64) -> Result<Stream<'_>> {
        let positions = self.positions.get(usize::try_from(number)?).ok_or("no such stream")?;
        Ok(Stream { name: stream_name(number), positions })
    }

    /// All streams that have events.
    pub(crate) fn streams(&self) -> impl Iterator<Item = Stream<'_>> {
        let all = (0..).zip(&self.positions).filter(|(_, positions)| !positions.is_empty());
        all.map(|(number, positions)| Stream { name: stream_name(number), positions })
    }

    /// A random time later than all batches before a random one, and not later than that, with the
    /// positions of the `count` events from then on.
    pub(crate) fn random_time(
        &self,
        count: u64,
        random: &mut Rng,
    ) -> Result<(Timestamp, Range<u64>)> {
        let first_max = self.all.event_count.saturating_sub(count);
        let batch = random.usize(..=usize::try_from(first_max)? / LOAD_BATCH_LEN);
        let (before, time) = *self.times.get(batch).ok_or("there is no such batch")?;
        let since = random.i64(before.as_nanos() + 1..=time.as_nanos());
        let first = u64::try_from(batch * LOAD_BATCH_LEN)?;
        Ok((Timestamp::from_nanos(since), first..first + count))
    }
}

/// The same numbers each time.
fn stream_numbers() -> impl FnMut() -> u64 {
    let mut random = Rng::with_seed(3);
    move || random.u64(..STREAM_COUNT)
}

/// The events, each in a random stream. The same ones each time.
fn batches(pool: &Pool, batch_count: usize) -> impl Iterator<Item = Vec<Sample>> + '_ {
    let mut random = stream_numbers();
    let mut payloads = pool.samples().iter().cycle();
    (0..batch_count).map(move |_| {
        let payloads = payloads.by_ref().take(LOAD_BATCH_LEN);
        let sample =
            |like: &Sample| Sample { stream: stream_name(random()), payload: like.payload.clone() };
        payloads.map(sample).collect()
    })
}

/// Appends the events to a new store, closes it, and returns when each batch was recorded, and
/// the time before that.
fn load(
    path: &Path,
    batches: impl Iterator<Item = Vec<Sample>>,
) -> Result<Vec<(Timestamp, Timestamp)>> {
    let store = Options::new().durability(Durability::Buffered).open(path)?;
    let mut before = store.created_at();
    let mut times = Vec::new();
    for batch in batches {
        let time = store.append_batch(batch_of(batch))?.recorded_at();
        times.push((before, time));
        before = time;
    }
    store.close()?;
    Ok(times)
}
