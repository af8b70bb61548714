//! `stats`: how many events there are, of what kind, and when.

use std::io::Write as _;

use annals::inspect::{Inspection, Paint, statistics_text};
use clap::Args;

use crate::commands::{Format, Input};
use crate::findings::{Finding, Stop, of_reading};
use crate::output::Out;
use crate::progress::Bar;

/// Counts the events: in all, over time, by size, by type, by stream
#[derive(Args, Debug)]
#[command(after_help = "Example, the five heaviest streams, for jq:\n  \
    annals-dump stats quakes.annals --top 5 --format jsonl | jq .streams")]
pub(crate) struct Stats {
    #[command(flatten)]
    input: Input,
    /// Print at most so many types, and so many streams
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    top: usize,
}

impl Stats {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let store = Inspection::open(&self.input.store)?;
        let bar = Bar::new("counting", store.end().get());
        let (statistics, stopped_by) = store.statistics_watched(bar.watch());
        bar.finish();
        match self.input.format {
            Format::Text => {
                let paint = if out.is_colored { Paint::Colored } else { Paint::Plain };
                out.write_all(statistics_text(&statistics, self.top, paint).as_bytes())?;
            }
            Format::Jsonl => out.line(&statistics.json_line(self.top))?,
        }
        Ok(of_reading(&store, stopped_by.as_slice()))
    }
}
