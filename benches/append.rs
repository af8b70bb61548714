//! Appends, and beside them a bare disk: the same bytes with the same syncs, in one file that was
//! filled with zeroes beforehand, without an index.
//!
//! Prints a line for each row and writes `target/annals-bench/append.jsonl`. Fails if a store or
//! a bare file does not hold afterwards what was appended to it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its figures go to stdout")]

#[expect(clippy::allow_attributes, reason = "what a benchmark uses of it differs")]
#[allow(dead_code, unused_imports, reason = "what a benchmark uses of it differs")]
#[path = "common/mod.rs"]
mod common;

#[path = "append/bare.rs"]
mod bare;
#[path = "append/batches.rs"]
mod batches;
#[path = "append/bulk.rs"]
mod bulk;
#[path = "append/disk.rs"]
mod disk;
#[path = "append/durable.rs"]
mod durable;
#[path = "append/gathered.rs"]
mod gathered;
#[path = "append/memory.rs"]
mod memory;
#[path = "append/rigs.rs"]
mod rigs;
#[path = "append/threads.rs"]
mod threads;

use std::process::ExitCode;

use common::Measure;

const ROWS: [Measure; 11] = [
    (durable::ALONE, durable::alone),
    (durable::SIXTEEN, durable::sixteen),
    (durable::MANY, durable::many),
    (bulk::BATCHES, bulk::batches),
    (bulk::BULK, bulk::bulk),
    (bulk::LARGE_BULK, bulk::large_bulk),
    (bulk::NEW_STREAMS, bulk::new_streams),
    (disk::TEN_THOUSAND, disk::ten_thousand_streams),
    (disk::PAIRS, disk::two_per_stream),
    (memory::MEMORY, memory::memory),
    (durable::ROLLS, durable::rolls),
];

fn main() -> ExitCode {
    common::run("append", &ROWS, memory::child)
}
