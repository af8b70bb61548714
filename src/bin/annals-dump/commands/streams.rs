//! `streams`: what there is of each stream.

use std::io::Write as _;

use annals::inspect::{Inspection, StreamOrder, stream_table};
use clap::{Args, ValueEnum};

use crate::commands::{Format, Input};
use crate::findings::{Finding, Stop, of_reading};
use crate::output::Out;
use crate::progress::Bar;

/// Lists the streams with their counts, places, times and bytes, by reading all events
#[derive(Args, Debug)]
#[command(after_help = "Example, the three streams with most events:\n  \
    annals-dump streams quakes.annals --sort events --limit 3")]
pub(crate) struct Streams {
    #[command(flatten)]
    input: Input,
    /// List only streams whose names begin with this
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// In which order: all but names begin with the most, or the newest
    #[arg(long, value_enum, value_name = "ORDER", default_value_t)]
    sort: Sort,
    /// Turn the order round
    #[arg(long)]
    reverse: bool,
    /// List at most so many
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// By the bytes of their names
    #[default]
    Name,
    /// By how many events they have
    Events,
    /// By the bytes of their payloads
    Bytes,
    /// By when their first event was appended
    First,
    /// By when their last event was appended
    Last,
}

impl From<Sort> for StreamOrder {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Name => Self::Name,
            Sort::Events => Self::Events,
            Sort::Bytes => Self::Bytes,
            Sort::First => Self::First,
            Sort::Last => Self::Last,
        }
    }
}

impl Streams {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let store = Inspection::open(&self.input.store)?;
        let bar = Bar::new("counting", store.end().get());
        let (mut streams, stopped_by) = store.streams_watched(&self.prefix, bar.watch());
        bar.finish();
        StreamOrder::from(self.sort).sort(&mut streams);
        if self.reverse {
            streams.reverse();
        }
        streams.truncate(self.limit.unwrap_or(usize::MAX));
        match self.input.format {
            Format::Text => out.write_all(stream_table(&streams).as_bytes())?,
            Format::Jsonl => {
                for stream in &streams {
                    out.line(&stream.json_line())?;
                }
            }
        }
        Ok(of_reading(&store, stopped_by.as_slice()))
    }
}
