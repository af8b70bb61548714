//! Consuming, and beside it what it costs without annals: handing over, syncing, and sharing out
//! work, each by itself.
//!
//! Prints a line for each row and writes `target/annals-bench/consume.jsonl`. Fails if an event
//! was not given as it was appended, not handled exactly once, or not committed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its figures go to stdout")]

#[expect(clippy::allow_attributes, reason = "what a benchmark uses of it differs")]
#[allow(dead_code, unused_imports, reason = "what a benchmark uses of it differs")]
#[path = "common/mod.rs"]
mod common;

#[path = "consume/commits.rs"]
mod commits;
#[path = "consume/follow.rs"]
mod follow;
#[path = "consume/loaded.rs"]
mod loaded;
#[path = "consume/places.rs"]
mod places;
#[path = "consume/tally.rs"]
mod tally;
#[path = "consume/work.rs"]
mod work;
#[path = "consume/workers.rs"]
mod workers;

use std::cell::OnceCell;
use std::process::ExitCode;

use common::{Measure, Result};
use loaded::Loaded;
use work::Burn;

/// What the rows of a run share, each made by the first row that asks for it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    loaded: OnceCell<Loaded>,
    burn: OnceCell<Burn>,
}

pub(crate) type Bench = common::Bench<Shared>;

const ROWS: [Measure<Shared>; 6] = [
    (follow::LATENCY, follow::latency),
    (commits::COMMITS, commits::commits),
    (workers::ONE, workers::one),
    (workers::TWO, workers::two),
    (workers::FOUR, workers::four),
    (workers::MANY, workers::many),
];

fn main() -> ExitCode {
    common::run("consume", &ROWS, child)
}

/// No row starts a process.
fn child(job: &str, _bench: &Bench) -> Result<()> {
    Err(format!("there is no job {job}").into())
}
