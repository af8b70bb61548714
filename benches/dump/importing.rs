//! The rows of importing.

use std::fs;
use std::path::Path;

use crate::Bench;
use crate::common::{Result, Row, Run, Spread, interleave, settle, usage};
use crate::loaded::{exported, loaded};
use crate::pass::read_and_write;
use crate::program::{Ran, program, run};

pub(crate) const BATCHES: &str = "import-2m";
pub(crate) const SINGLE: &str = "import-single-2m";

const ROUNDS: usize = 3;

/// Lines of a store with batches of a thousand events.
pub(crate) fn batches(bench: &Bench) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    measured(bench, BATCHES, &loaded.lines)
}

/// Lines of a store where each event is a batch.
pub(crate) fn single(bench: &Bench) -> Result<Option<Row>> {
    let loaded = loaded(bench)?;
    measured(bench, SINGLE, &loaded.single_lines)
}

/// The bare side reads the same lines and writes as many bytes as the log has, as durably.
fn measured(bench: &Bench, work: &'static str, lines: &Path) -> Result<Option<Row>> {
    let event_count = loaded(bench)?.event_count;
    let (store, file) = (bench.dir.join("imported"), bench.dir.join("written"));
    let log_len = usage(&loaded(bench)?.path.join("log"))?.len;
    let mut memory = Vec::new();
    let mut annals = || {
        fs::remove_dir_all(&store).or_else(|_| settle(&bench.dir))?;
        settle(&bench.dir)?;
        let args = ["import".as_ref(), store.as_os_str(), lines.as_os_str()];
        let Ran { run, memory_mb } = run(program(&args), event_count)?;
        memory.push(memory_mb);
        Ok(run)
    };
    let mut bare = || {
        settle(&bench.dir)?;
        let run = Run::new(event_count, read_and_write(lines, &file, log_len)?);
        fs::remove_file(&file)?;
        Ok(run)
    };
    let [annals, bare] = interleave(bench.rounds(ROUNDS), [&mut annals, &mut bare])?;
    let again = exported(&store, bench.dir.join("again"))?;
    if fs::read(&again)? != fs::read(lines)? {
        return Err("what was imported is not what was exported".into());
    }
    fs::remove_file(again)?;
    fs::remove_dir_all(&store)?;
    let (rates, bare_rates) = (Run::rates(&annals), Run::rates(&bare));
    let row = Row::new(work, "events/s", &rates)
        .bare(&bare_rates)
        .ratio(Spread::of_ratios(&rates, &bare_rates))
        .field("events", event_count)
        .figure("memory_mb", Spread::of(&memory).max);
    Ok(Some(row))
}
