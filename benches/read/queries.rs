//! Rows of questions at random, each asked again and again, with everything in memory.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use annals::{Options, Store, Timestamp};
use fastrand::Rng;

use crate::Bench;
use crate::common::{Latencies, Result, Row, Run, Spread, interleave, median, records_len};
use crate::loaded::{Loaded, Stream, loaded};
use crate::sum::Sum;

pub(crate) const STREAM: &str = "stream-200";
pub(crate) const TIME: &str = "time-100";
pub(crate) const LAST: &str = "last-of-stream";

const ROUNDS: usize = 5;
/// How many events are read from a time on.
const SINCE_COUNT: u64 = 100;
/// Holds all events of a full run.
const CACHE_LEN: u64 = 1 << 30;
/// Streams that are read again and again.
const HOT_COUNT: u64 = 100;

/// What was found by one question, how long that took, and what there was to be found.
type Answer = (Sum, Duration, Sum);

/// Which stream is asked for.
type Pick = for<'l> fn(&'l Loaded, &mut Rng) -> Result<Stream<'l>>;

/// Asks `query_count` questions, the same ones each time. `counted` says what of an answer counts.
fn ask(
    query_count: u64,
    counted: fn(Sum) -> u64,
    mut question: impl FnMut(&mut Rng) -> Result<Answer>,
) -> Result<Run> {
    let mut random = Rng::with_seed(4);
    let mut times_ns = Vec::new();
    let mut run = Run::new(0, Duration::ZERO);
    for _ in 0..query_count {
        let (found, time, expected) = question(&mut random)?;
        found.check(expected)?;
        run.event_count += counted(found);
        run.elapsed += time;
        times_ns.push(u64::try_from(time.as_nanos())?);
    }
    run.latencies = Some(Latencies::of(times_ns)?);
    Ok(run)
}

fn queries(_: Sum) -> u64 {
    1
}

fn events(found: Sum) -> u64 {
    found.event_count
}

/// Times one question.
fn answer(expected: Sum, question: impl FnOnce() -> Result<Sum>) -> Result<Answer> {
    let started = Instant::now();
    let found = question()?;
    Ok((found, started.elapsed(), expected))
}

fn read_stream(store: &Store, name: &str) -> Result<Sum> {
    let mut sum = Sum::default();
    store.read_stream(name).visit(|event| {
        sum.add(event.payload());
        ControlFlow::Continue(())
    })?;
    Ok(sum)
}

fn read_since(store: &Store, time: Timestamp) -> Result<Sum> {
    let mut sum = Sum::default();
    store.read_all().recorded(time..).visit(|event| {
        sum.add(event.payload());
        if sum.event_count < SINCE_COUNT {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(sum)
}

fn read_last(store: &Store, name: &str) -> Result<Sum> {
    let event = store.read_stream(name).backwards().next().transpose()?;
    Ok(Sum::of(event.ok_or("the stream is empty")?.payload()))
}

/// All events of a random stream; with a cache that holds everything as well; and, with the default one,
/// of one of a few streams.
pub(crate) fn stream(bench: &Bench) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    let query_count = bench.size.pick(2_000, 200);
    let any: Pick = Loaded::random_stream;
    let one_of_few: Pick = |loaded, random| loaded.random_stream_of(HOT_COUNT, random);
    let ask_each = |pick: Pick, read: &dyn Fn(&Stream<'_>) -> Result<Sum>| {
        ask(query_count, events, |random| {
            let stream = pick(loaded, random)?;
            let expected = loaded.sum(stream.positions.iter().copied())?;
            answer(expected, || read(&stream))
        })
    };
    let annals = |options: &Options, pick| {
        warm_by_stream(loaded, options, |store| {
            ask_each(pick, &|stream| read_stream(store, &stream.name))
        })
    };
    let bare = |pick| ask_each(pick, &|stream| loaded.plain.read_each(stream.positions));
    let (defaults, cached) = (Options::new(), Options::new().read_cache_len(CACHE_LEN));
    let [annals, cached, bare, hot, bare_hot] = interleave(
        bench.rounds(ROUNDS),
        [
            &mut || annals(&defaults, any),
            &mut || annals(&cached, any),
            &mut || bare(any),
            &mut || annals(&defaults, one_of_few),
            &mut || bare(one_of_few),
        ],
    )?;
    let [cached_rates, hot_rates, bare_hot_rates] =
        [&cached, &hot, &bare_hot].map(|runs| Run::rates(runs));
    let row = row(STREAM, "events/s", query_count, &annals, &bare)
        .figure("cached_value", median(&cached_rates))
        .spread("cached_ratio", Spread::of_ratios(&cached_rates, &Run::rates(&bare)))
        .latencies("cached_", &Run::latencies(&cached))
        .figure("hot_value", median(&hot_rates))
        .figure("hot_bare", median(&bare_hot_rates))
        .spread("hot_ratio", Spread::of_ratios(&hot_rates, &bare_hot_rates))
        .latencies("hot_", &Run::latencies(&hot));
    Ok(Some(row))
}

/// As [`Loaded::warm`], and reads every stream once, so that what a cache can hold is in it.
fn warm_by_stream<T>(
    loaded: &Loaded,
    options: &Options,
    work: impl FnOnce(&Store) -> Result<T>,
) -> Result<T> {
    loaded.warm(options, |store| {
        let mut sum = Sum::default();
        for stream in loaded.streams() {
            sum = sum.plus(read_stream(store, &stream.name)?);
        }
        sum.check(loaded.all)?;
        work(store)
    })
}

/// The first events from a random time on.
pub(crate) fn time(bench: &Bench) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    let query_count = bench.size.pick(5_000, 200);
    let mut buffer = vec![0; usize::try_from(records_len(SINCE_COUNT))?];
    let mut bare = || {
        ask(query_count, queries, |random| {
            let (_, positions) = loaded.random_time(SINCE_COUNT, random)?;
            let first = positions.start;
            answer(loaded.sum(positions)?, || loaded.plain.read_from(first, &mut buffer))
        })
    };
    let [annals, bare] = loaded.warm(&Options::new(), |store| {
        let mut annals = || {
            ask(query_count, queries, |random| {
                let (time, positions) = loaded.random_time(SINCE_COUNT, random)?;
                answer(loaded.sum(positions)?, || read_since(store, time))
            })
        };
        interleave(bench.rounds(ROUNDS), [&mut annals, &mut bare])
    })?;
    Ok(Some(row(TIME, "queries/s", query_count, &annals, &bare)))
}

/// The last event of a random stream.
pub(crate) fn last(bench: &Bench) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    let query_count = bench.size.pick(20_000, 500);
    let ask_each = |read: &dyn Fn(&Stream<'_>) -> Result<Sum>| {
        ask(query_count, queries, |random| {
            let stream = loaded.random_stream(random)?;
            let expected = loaded.sum(stream.last().iter().copied())?;
            answer(expected, || read(&stream))
        })
    };
    let mut bare = || ask_each(&|stream| loaded.plain.read_each(stream.last()));
    let [annals, bare] = warm_by_stream(loaded, &Options::new(), |store| {
        let mut annals = || ask_each(&|stream| read_last(store, &stream.name));
        interleave(bench.rounds(ROUNDS), [&mut annals, &mut bare])
    })?;
    Ok(Some(row(LAST, "queries/s", query_count, &annals, &bare)))
}

/// The figures that these rows have in common.
fn row(
    name: &'static str,
    unit: &'static str,
    query_count: u64,
    annals: &[Run],
    bare: &[Run],
) -> Row {
    let (rates, bare_rates) = (Run::rates(annals), Run::rates(bare));
    Row::new(name, unit, &rates)
        .bare(&bare_rates)
        .ratio(Spread::of_ratios(&rates, &bare_rates))
        .field("queries", query_count)
        .latencies("", &Run::latencies(annals))
        .latencies("bare_", &Run::latencies(bare))
}
