//! The row of building the index anew.

use std::fs;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use annals::{IndexRecovery, IndexTrouble, Options, Store};

use crate::Bench;
use crate::common::{Result, Row, Spread, float, interleave};
use crate::loaded::{Loaded, loaded};
use crate::replay::visit_all;
use crate::sum::timed;

pub(crate) const REBUILD: &str = "rebuild-2m";

const ROUNDS: usize = 5;
/// Longer than it can take.
const TIME_MAX: Duration = Duration::from_secs(600);

/// Opens a store that has no index, until it has one, and beside that reads everything.
pub(crate) fn rebuild(bench: &Bench) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    let mut replay = || {
        let read = |store: &Store| timed(loaded.all, || visit_all(store));
        Ok(ms(loaded.warm(&Options::new(), read)?))
    };
    let [rebuilds, replays] =
        interleave(bench.rounds(ROUNDS), [&mut || Ok(ms(rebuild_once(loaded)?)), &mut replay])?;
    let event_count = loaded.all.event_count;
    let row = Row::new(REBUILD, "ms", &rebuilds)
        .ratio_against("replay", Spread::of_ratios(&rebuilds, &replays))
        .figure("against_value", Spread::of(&replays).median)
        .figure("events_per_s", float(event_count) * 1e3 / Spread::of(&rebuilds).median)
        .field("events", event_count);
    Ok(Some(row))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Removes the index, and returns how long it takes to open the store until the index knows all
/// events.
fn rebuild_once(loaded: &Loaded) -> Result<Duration> {
    fs::remove_dir_all(loaded.path.join("index"))?;
    let stream = loaded.streams().last().ok_or("there are no streams")?;
    let (sender, reports) = mpsc::channel();
    let options = Options::new().create(false).on_index_progress(move |done, total| {
        // Nobody listens any more when all is done.
        let _ = sender.send((done, total));
    });
    let started = Instant::now();
    let store = options.open(&loaded.path)?;
    loop {
        let (done, total) = reports.recv_timeout(TIME_MAX)?;
        if done == total {
            break;
        }
    }
    let end = store.stream_end(&stream.name)?.get();
    let elapsed = started.elapsed();
    check(&store, end, stream.positions.len())?;
    store.close()?;
    Ok(elapsed)
}

fn check(store: &Store, stream_end: u64, expected: usize) -> Result<()> {
    if usize::try_from(stream_end)? != expected {
        return Err(format!("a stream of {expected} events has {stream_end}").into());
    }
    match &store.recovery().index {
        IndexRecovery::Rebuilt { event_count, reason: IndexTrouble::Missing }
            if *event_count == store.end().get() =>
        {
            Ok(())
        }
        other => Err(format!("the index was not built anew: {other:?}").into()),
    }
}
