//! `consumers`: where each consumer is.

use std::io::Write as _;

use annals::inspect::{Inspection, consumer_table};
use clap::Args;

use crate::commands::{Format, Input};
use crate::findings::{Finding, Stop, of_reading};
use crate::output::Out;

/// Lists the consumers: how far each has committed, how far that is behind, what it has parked
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  annals-dump consumers shop.annals")]
pub(crate) struct Consumers {
    #[command(flatten)]
    input: Input,
}

impl Consumers {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let store = Inspection::open(&self.input.store)?;
        let (consumers, errors) = store.consumers()?;
        match self.input.format {
            Format::Text => out.write_all(consumer_table(&consumers).as_bytes())?,
            Format::Jsonl => {
                for consumer in &consumers {
                    out.line(&consumer.json_line())?;
                }
            }
        }
        Ok(of_reading(&store, &errors))
    }
}
