//! `export`: everything that a store has, as lines that make the same store again.

use std::path::PathBuf;

use annals::Position;
use annals::inspect::{Inspection, Selection};
use clap::Args;

use crate::commands::choosing::{EventFormat, salvage};
use crate::commands::printer::Printer;
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
    /// Go on behind damage, and name what is lost on stderr; import --renumber takes what is left
    #[arg(long)]
    keep_going: bool,
}

impl Export {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let store = Inspection::open(&self.store)?;
        let selection = Selection::new().from(self.from).stream_prefix(&self.prefix);
        let mut printer = Printer::new(EventFormat::Exact, store.id(), out);
        if self.keep_going {
            return salvage(&store, &selection, &mut printer);
        }
        let stopped_by = printer.all(&mut store.select(&selection))?;
        Ok(of_reading(&store, stopped_by.as_slice()))
    }
}
