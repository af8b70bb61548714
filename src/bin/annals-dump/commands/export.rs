//! `export`: everything that a store has, as lines that make the same store again.

use std::ops::ControlFlow;
use std::path::PathBuf;

use annals::Position;
use annals::inspect::{Inspection, push_exact_json_line};
use clap::Args;

use crate::findings::{Finding, Stop, of_reading};
use crate::output::Out;

/// Prints all events as JSON Lines from which import makes the same store: no byte of an event, no
/// time and no boundary of a batch is lost
#[derive(Args, Debug)]
#[command(after_help = "Example, a copy of a store by way of a compressed file:\n  \
    annals-dump export shop.annals | gzip > shop.jsonl.gz\n  \
    gunzip < shop.jsonl.gz | annals-dump import copy.annals")]
pub(crate) struct Export {
    /// The directory of the store
    store: PathBuf,
    /// Begin at this position: what a copy that ends there lacks
    #[arg(long, value_name = "POSITION", default_value_t)]
    from: Position,
    /// Print only events of streams whose names begin so; import --renumber takes them
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
}

impl Export {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let store = Inspection::open(&self.store)?;
        let mut cursor = store.events().from(self.from).stream_prefix(self.prefix.as_str());
        let (mut line, mut written) = (String::new(), Ok(()));
        let read = cursor.visit(|event| {
            line.clear();
            push_exact_json_line(&mut line, event);
            written = out.line(&line);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        written?;
        Ok(of_reading(&store, read.err().as_slice()))
    }
}
