//! Reads, and beside them a plain file of the same records, which is read at places that are known
//! beforehand, without an index.
//!
//! Prints a line for each row and writes `target/annals-bench/read.jsonl`. Fails if anything that
//! was read, on either side, is not what was appended.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its figures go to stdout")]

#[expect(clippy::allow_attributes, reason = "what a benchmark uses of it differs")]
#[allow(dead_code, unused_imports, reason = "what a benchmark uses of it differs")]
#[path = "common/mod.rs"]
mod common;

#[path = "read/cold.rs"]
mod cold;
#[path = "read/disk.rs"]
mod disk;
#[path = "read/killed.rs"]
mod killed;
#[path = "read/loaded.rs"]
mod loaded;
#[path = "read/memory.rs"]
mod memory;
#[path = "read/opening.rs"]
mod opening;
#[path = "read/plain.rs"]
mod plain;
#[path = "read/queries.rs"]
mod queries;
#[path = "read/rebuild.rs"]
mod rebuild;
#[path = "read/replay.rs"]
mod replay;
#[path = "read/sum.rs"]
mod sum;
#[path = "read/tail.rs"]
mod tail;

use std::cell::OnceCell;
use std::process::ExitCode;

use common::{Measure, Result};
use killed::Victim;
use loaded::Loaded;

/// What the rows of a run share, each made by the first row that asks for it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    loaded: OnceCell<Loaded>,
    large: OnceCell<Victim>,
}

pub(crate) type Bench = common::Bench<Shared>;

const ROWS: [Measure<Shared>; 13] = [
    (replay::VISITING, replay::visiting),
    (replay::OWNED, replay::owned),
    (replay::FOUR, replay::four),
    (queries::STREAM, queries::stream),
    (queries::TIME, queries::time),
    (queries::LAST, queries::last),
    (cold::COLD, cold::cold),
    (rebuild::REBUILD, rebuild::rebuild),
    (memory::CURSORS, memory::cursors),
    (tail::TAIL, tail::tail),
    (opening::OPEN, opening::open),
    (opening::OPEN_LARGE, opening::open_large),
    (opening::FIRST_APPEND, opening::first_append),
];

fn main() -> ExitCode {
    common::run("read", &ROWS, child)
}

/// What the processes do that rows have started.
fn child(job: &str, bench: &Bench) -> Result<()> {
    killed::append_for_ever(job, &bench.dir).unwrap_or_else(|| memory::child(job, bench))
}

/// What is in `cell`, made by `make` if nothing is.
fn made<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(there) = cell.get() {
        return Ok(there);
    }
    let new = make()?;
    Ok(cell.get_or_init(|| new))
}
