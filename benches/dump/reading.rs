//! The rows of commands that read.

use std::ffi::OsStr;

use crate::Bench;
use crate::common::{Result, Row, Run, Spread, interleave};
use crate::disk::forget_all;
use crate::loaded::{Loaded, loaded};
use crate::pass::read_and_check;
use crate::program::{Ran, program, run};

pub(crate) const LIST: &str = "list-2m";
pub(crate) const EXPORT: &str = "export-2m";
pub(crate) const VERIFY: &str = "verify-2m";
pub(crate) const VERIFY_COLD: &str = "verify-cold-2m";

const ROUNDS: usize = 5;

/// All events as JSON Lines.
pub(crate) fn list(bench: &Bench) -> Result<Option<Row>> {
    measured(bench, LIST, &["events", "--format", "jsonl"], |_| Ok(()))
}

/// All events as exact JSON Lines.
pub(crate) fn export(bench: &Bench) -> Result<Option<Row>> {
    measured(bench, EXPORT, &["export"], |_| Ok(()))
}

/// Every byte checked.
pub(crate) fn verify(bench: &Bench) -> Result<Option<Row>> {
    measured(bench, VERIFY, &["verify"], |_| Ok(()))
}

/// The same after the system was told to forget all files.
pub(crate) fn verify_cold(bench: &Bench) -> Result<Option<Row>> {
    if forget_all(&loaded(bench)?.path).is_err() {
        return Ok(None);
    }
    measured(bench, VERIFY_COLD, &["verify"], |loaded| forget_all(&loaded.path))
}

/// A command over all events, beside a bare pass over the segment files; `before` each.
fn measured(
    bench: &Bench,
    work: &'static str,
    args: &[&str],
    before: fn(&Loaded) -> Result<()>,
) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    let segments = loaded.segments()?;
    let mut memory = Vec::new();
    let mut annals = || {
        before(loaded)?;
        let mut all: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        all.push(loaded.path.as_os_str());
        let Ran { run, memory_mb } = run(program(&all), loaded.event_count)?;
        memory.push(memory_mb);
        Ok(run)
    };
    let mut bare = || {
        before(loaded)?;
        Ok(Run::new(loaded.event_count, read_and_check(&segments)?))
    };
    let [annals, bare] = interleave(bench.rounds(ROUNDS), [&mut annals, &mut bare])?;
    let (rates, bare_rates) = (Run::rates(&annals), Run::rates(&bare));
    let row = Row::new(work, "events/s", &rates)
        .bare(&bare_rates)
        .ratio(Spread::of_ratios(&rates, &bare_rates))
        .field("events", loaded.event_count)
        .figure("memory_mb", Spread::of(&memory).max);
    Ok(Some(row))
}
