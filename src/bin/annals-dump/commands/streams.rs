//! `streams`: what there is of each stream.

use std::io::Write as _;

use annals::inspect::{Inspection, stream_table};
use clap::Args;

use crate::commands::{Format, Input};
use crate::findings::{Finding, Stop, of_reading};
use crate::output::Out;

/// Lists the streams with their counts, places, times and bytes, by reading all events
#[derive(Args, Debug)]
#[command(after_help = "Example, the streams with most events first:\n  \
    annals-dump streams quakes.annals | sort --reverse --numeric-sort")]
pub(crate) struct Streams {
    #[command(flatten)]
    input: Input,
}

impl Streams {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let store = Inspection::open(&self.input.store)?;
        let (streams, stopped_by) = store.streams();
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
