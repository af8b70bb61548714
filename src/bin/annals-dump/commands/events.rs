//! `events`: the events, one a line.

use annals::inspect::{Inspection, json_line, text_line};
use annals::{Event, Position};
use clap::Args;

use crate::commands::{Format, Input};
use crate::findings::{Finding, Stop, of_reading};
use crate::output::Out;

/// Prints events, one a line, in the order of their positions
#[derive(Args, Debug)]
#[command(after_help = "Example, the last three events of a stream, for jq:\n  \
    annals-dump events quakes.annals --stream us --reverse --limit 3 --format jsonl | jq .data")]
pub(crate) struct Events {
    #[command(flatten)]
    input: Input,
    /// Print only events of this stream
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Begin before the event at this position; with --reverse, go back from there
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,
    /// Print at most so many events
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Print the newest events first
    #[arg(long)]
    reverse: bool,
}

impl Events {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let store = Inspection::open(&self.input.store)?;
        let mut cursor = store.events();
        if let Some(position) = self.from {
            cursor = cursor.from(position);
        }
        if self.reverse {
            cursor = cursor.backwards();
        }
        let is_wanted = |event: &Event| self.stream.as_ref().is_none_or(|of| event.stream() == of);
        let wanted = cursor.filter(|event| event.as_ref().map_or(true, is_wanted));
        for event in wanted.take(self.limit.unwrap_or(usize::MAX)) {
            match (event, self.input.format) {
                (Err(error), _) => return Ok(of_reading(&store, &[error])),
                (Ok(event), Format::Text) => out.line(&text_line(&event))?,
                (Ok(event), Format::Jsonl) => out.line(&json_line(&event))?,
            }
        }
        Ok(of_reading(&store, &[]))
    }
}
