//! The commands, each with its arguments.

mod backup;
mod choosing;
mod completions;
mod consumers;
mod events;
mod export;
mod import;
mod printer;
mod rebuild_index;
mod repair;
mod report;
mod segments;
mod show;
mod stats;
mod streams;
mod tail;
mod verify;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(crate) use backup::Backup;
pub(crate) use completions::{Completions, Man};
pub(crate) use consumers::Consumers;
pub(crate) use events::Events;
pub(crate) use export::Export;
pub(crate) use import::Import;
pub(crate) use rebuild_index::RebuildIndex;
pub(crate) use repair::Repair;
pub(crate) use report::Report;
pub(crate) use segments::Segments;
pub(crate) use show::Show;
pub(crate) use stats::Stats;
pub(crate) use streams::Streams;
pub(crate) use tail::Tail;
pub(crate) use verify::Verify;

/// The store that a table is made of, and how it is printed.
#[derive(Args, Debug)]
struct Input {
    /// The directory of the store
    store: PathBuf,
    /// How to print: for people, or as one JSON object a line
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Jsonl,
}
