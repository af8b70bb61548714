//! The program `annals-dump`, run as its users run it, and beside it a plain pass over the same
//! bytes.
//!
//! Prints a line for each row and writes `target/annals-bench/dump.jsonl`. Fails if the program
//! fails, or if a store that was imported is not the one that was exported.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its figures go to stdout")]

#[expect(clippy::allow_attributes, reason = "what a benchmark uses of it differs")]
#[allow(dead_code, unused_imports, reason = "what a benchmark uses of it differs")]
#[path = "common/mod.rs"]
mod common;

#[expect(clippy::allow_attributes, reason = "what a benchmark uses of it differs")]
#[allow(dead_code, reason = "what a benchmark uses of it differs")]
#[path = "read/disk.rs"]
mod disk;
#[path = "dump/importing.rs"]
mod importing;
#[path = "dump/loaded.rs"]
mod loaded;
#[path = "dump/pass.rs"]
mod pass;
#[path = "dump/program.rs"]
mod program;
#[path = "dump/reading.rs"]
mod reading;

use std::cell::OnceCell;
use std::process::ExitCode;

use common::Measure;
use loaded::Loaded;

/// What the rows of a run share, made by the first row that asks for it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    loaded: OnceCell<Loaded>,
}

pub(crate) type Bench = common::Bench<Shared>;

const ROWS: [Measure<Shared>; 6] = [
    (reading::LIST, reading::list),
    (reading::EXPORT, reading::export),
    (reading::VERIFY, reading::verify),
    (reading::VERIFY_COLD, reading::verify_cold),
    (importing::BATCHES, importing::batches),
    (importing::SINGLE, importing::single),
];

fn main() -> ExitCode {
    common::run("dump", &ROWS, |job, _| Err(format!("there is no job {job}").into()))
}
