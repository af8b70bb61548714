//! `segments`: what there is of each segment file.

use std::io::Write as _;

use annals::inspect::{Inspection, segment_table};
use clap::Args;

use crate::commands::{Format, Input};
use crate::findings::{Finding, Stop, of_reading};
use crate::output::Out;

/// Lists the segment files, by reading their headers and footers
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  annals-dump segments quakes.annals")]
pub(crate) struct Segments {
    #[command(flatten)]
    input: Input,
}

impl Segments {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let store = Inspection::open(&self.input.store)?;
        let (mut segments, mut errors) = (Vec::new(), Vec::new());
        for segment in store.segments() {
            match segment {
                Ok(segment) => segments.push(segment),
                Err(error) => errors.push(error),
            }
        }
        match self.input.format {
            Format::Text => out.write_all(segment_table(&segments).as_bytes())?,
            Format::Jsonl => {
                for segment in &segments {
                    out.line(&segment.json_line())?;
                }
            }
        }
        Ok(of_reading(&store, &errors))
    }
}
