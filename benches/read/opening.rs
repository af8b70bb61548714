//! Rows of opening a store whose process was killed while it appended.

use std::cell::RefCell;
use std::fs;
use std::time::Instant;

use annals::{Durability, Event, IndexRecovery, RecoveryReport, Store};
use fastrand::Rng;

use crate::common::{Result, Row, Size, Spread, float, interleave, median};
use crate::disk::free_len;
use crate::killed::Victim;
use crate::sum::Sum;
use crate::{Bench, made};

pub(crate) const OPEN: &str = "open-2m";
pub(crate) const OPEN_LARGE: &str = "open-50m";
pub(crate) const FIRST_APPEND: &str = "first-append-50m";

const ROUNDS: usize = 5;
/// The least room for the large store, with what is appended to it later.
const FREE_LEN_MIN: u64 = 40_000_000_000;

/// What came of opening a store once.
#[derive(Debug)]
struct Opening {
    /// Until the first answer.
    ms: f64,
    /// Until the store was open.
    open_ms: f64,
    report: RecoveryReport,
}

/// Until the first event of a replay.
pub(crate) fn open(bench: &Bench) -> Result<Option<Row>> {
    let batch_count = bench.size.pick(2_000, 20);
    let victim = Victim::load(&bench.dir.join("killed"), batch_count)?;
    let row = until_first_event(bench, OPEN, &victim)?;
    fs::remove_dir_all(victim.path())?;
    Ok(Some(row))
}

/// The same with many events.
pub(crate) fn open_large(bench: &Bench) -> Result<Option<Row>> {
    let Some(victim) = large(bench, OPEN_LARGE)? else { return Ok(None) };
    Ok(Some(until_first_event(bench, OPEN_LARGE, victim)?))
}

/// A store of many events, which the first row that needs it loads; `None` if there is no room.
fn large<'a>(bench: &'a Bench, row: &str) -> Result<Option<&'a Victim>> {
    let cell = &bench.shared.large;
    if cell.get().is_none() && !has_room(bench) {
        eprintln!("{row}: it takes {FREE_LEN_MIN} bytes of disk");
        return Ok(None);
    }
    let batch_count = bench.size.pick(50_000, 50);
    made(cell, || Victim::load(&bench.dir.join("large"), batch_count)).map(Some)
}

fn has_room(bench: &Bench) -> bool {
    bench.size == Size::Quick || free_len(&bench.dir).is_some_and(|len| len >= FREE_LEN_MIN)
}

fn until_first_event(bench: &Bench, name: &'static str, victim: &Victim) -> Result<Row> {
    let random = RefCell::new(Rng::with_seed(5));
    let open = |durability| {
        victim.kill_one(bench, durability, &mut random.borrow_mut())?;
        let (opening, event) = opened(victim, |store| first(store.read_all()))?;
        Sum::of(event.payload()).check(victim.first()?)?;
        Ok(opening)
    };
    let (mut durably, mut loading) = (|| open(Durability::Sync), || open(Durability::Buffered));
    let [openings, loads] = interleave(bench.rounds(ROUNDS), [&mut durably, &mut loading])?;
    let row = row(name, &times(&openings), &openings, victim);
    Ok(row.spread("load_ms", Spread::of(&times(&loads))))
}

/// Until the first durable append, and until the first event of a random stream, each after a kill
/// of its own.
pub(crate) fn first_append(bench: &Bench) -> Result<Option<Row>> {
    let Some(victim) = large(bench, FIRST_APPEND)? else { return Ok(None) };
    let random = RefCell::new(Rng::with_seed(6));
    let mut append = || {
        let random = &mut *random.borrow_mut();
        victim.kill_one(bench, Durability::Sync, random)?;
        let batch = victim.random_batch(random)?;
        let (opening, receipt) = opened(victim, |store| Ok(store.append_batch(&batch)?))?;
        victim.add(receipt.positions())?;
        Ok(opening)
    };
    let mut read = || {
        let random = &mut *random.borrow_mut();
        victim.kill_one(bench, Durability::Sync, random)?;
        let (stream, expected) = victim.random_stream(random)?;
        let (opening, event) = opened(victim, |store| first(store.read_stream(stream)))?;
        Sum::of(event.payload()).check(expected)?;
        Ok(opening)
    };
    let [appends, reads] = interleave(bench.rounds(ROUNDS), [&mut append, &mut read])?;
    let (append_ms, read_ms) = (times(&appends), times(&reads));
    let larger: Vec<_> = append_ms.iter().zip(&read_ms).map(|(a, b)| a.max(*b)).collect();
    let row = row(FIRST_APPEND, &larger, &appends, victim)
        .figure("append_ms", median(&append_ms))
        .figure("stream_event_ms", median(&read_ms));
    Ok(Some(row))
}

fn first(mut events: impl Iterator<Item = annals::Result<Event>>) -> Result<Event> {
    Ok(events.next().transpose()?.ok_or("there is no event")?)
}

/// Opens the store as its process has left it, timed until `work` is done, and closes it.
fn opened<T>(victim: &Victim, work: impl FnOnce(&Store) -> Result<T>) -> Result<(Opening, T)> {
    let started = Instant::now();
    let store = Store::open(victim.path())?;
    let open_ms = started.elapsed().as_secs_f64() * 1e3;
    let done = work(&store)?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    let report = store.recovery().clone();
    store.close()?;
    victim.check(report.end)?;
    Ok((Opening { ms, open_ms, report }, done))
}

fn times(openings: &[Opening]) -> Vec<f64> {
    openings.iter().map(|opening| opening.ms).collect()
}

/// The figures that these rows have in common.
fn row(name: &'static str, ms: &[f64], openings: &[Opening], victim: &Victim) -> Row {
    let usual =
        |figure: fn(&Opening) -> f64| median(&openings.iter().map(figure).collect::<Vec<_>>());
    let torn = openings.iter().filter(|opening| opening.report.torn_tail.is_some());
    Row::new(name, "ms", ms)
        .field("events", victim.event_count())
        .figure("open_ms", usual(|opening| opening.open_ms))
        .figure("scanned_events", usual(|opening| float(opening.report.scanned_count)))
        .figure("indexed_events", usual(|opening| float(indexed(&opening.report))))
        .field("torn_tails", torn.count())
}

/// How many events the index was given.
fn indexed(report: &RecoveryReport) -> u64 {
    match &report.index {
        IndexRecovery::CaughtUp { event_count } | IndexRecovery::Rebuilt { event_count, .. } => {
            *event_count
        }
        _ => 0,
    }
}
