//! The row of reading everything from the disk.

use std::time::{Duration, Instant};

use annals::Options;

use crate::Bench;
use crate::common::{
    Result, Row, Run, Spread, bytes_fetched, float, interleave, records_len, settle,
};
use crate::disk::{forget, forget_all};
use crate::loaded::{Loaded, loaded};
use crate::replay::visit_all;
use crate::sum::timed;

pub(crate) const COLD: &str = "replay-cold";

const ROUNDS: usize = 5;
/// The least share of the bytes that must have come from the disk.
const FETCHED_SHARE_MIN: f64 = 0.9;

/// One reading of everything, and the share of it that was fetched from the disk.
#[derive(Debug)]
struct Cold {
    run: Run,
    fetched_share: f64,
}

/// One thread that visits each event, after the system was told to forget all files of the store.
/// The bare side reads as many bytes, and looks at none of them.
pub(crate) fn cold(bench: &Bench) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    settle(&bench.dir)?;
    if bytes_fetched().is_none() || forget(loaded.plain.file()).is_err() {
        return Ok(None);
    }
    let [annals, bare] =
        interleave(bench.rounds(ROUNDS), [&mut || annals(loaded), &mut || bare(loaded)])?;
    let share = shares(&annals).min.min(shares(&bare).min);
    if share < FETCHED_SHARE_MIN {
        eprintln!("{COLD}: only {share:.3} of the bytes came from the disk, the rest from memory");
        return Ok(None);
    }
    let (rates, bare_rates) = (rates(&annals), rates(&bare));
    let row = Row::new(COLD, "events/s", &rates)
        .bare(&bare_rates)
        .ratio(Spread::of_ratios(&rates, &bare_rates))
        .field("events", loaded.all.event_count)
        .figure("fetched_share", shares(&annals).median)
        .figure("bare_fetched_share", shares(&bare).median);
    Ok(Some(row))
}

/// In a store that was just opened, so that it has no blocks in memory either.
fn annals(loaded: &Loaded) -> Result<Cold> {
    let store = loaded.open(&Options::new())?;
    forget_all(&loaded.path)?;
    let cold = measured(loaded, || timed(loaded.all, || visit_all(&store)))?;
    store.close()?;
    Ok(cold)
}

fn bare(loaded: &Loaded) -> Result<Cold> {
    forget(loaded.plain.file())?;
    measured(loaded, || {
        let started = Instant::now();
        let read_len = loaded.plain.read_bytes()?;
        let elapsed = started.elapsed();
        if read_len == loaded.plain.len() {
            Ok(elapsed)
        } else {
            Err(format!("{read_len} bytes are in the plain file").into())
        }
    })
}

fn measured(loaded: &Loaded, read: impl FnOnce() -> Result<Duration>) -> Result<Cold> {
    let fetched = || bytes_fetched().ok_or("what was fetched cannot be read");
    let before = fetched()?;
    let elapsed = read()?;
    let event_count = loaded.all.event_count;
    let fetched_share = float(fetched()? - before) / float(records_len(event_count));
    Ok(Cold { run: Run::new(event_count, elapsed), fetched_share })
}

fn rates(runs: &[Cold]) -> Vec<f64> {
    runs.iter().map(|cold| cold.run.rate()).collect()
}

fn shares(runs: &[Cold]) -> Spread {
    let shares: Vec<_> = runs.iter().map(|cold| cold.fetched_share).collect();
    Spread::of(&shares)
}
