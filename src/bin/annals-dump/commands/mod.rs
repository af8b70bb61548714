//! The commands, each with its arguments.

mod backup;
mod consumers;
mod events;
mod segments;
mod streams;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(crate) use backup::Backup;
pub(crate) use consumers::Consumers;
pub(crate) use events::Events;
pub(crate) use segments::Segments;
pub(crate) use streams::Streams;

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
