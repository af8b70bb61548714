//! `events`: the events, one a line.

use annals::inspect::Inspection;
use clap::Args;

use crate::commands::choosing::Chosen;
use crate::findings::{Finding, Stop};
use crate::output::Out;

/// Prints events, one a line, in the order of their positions
#[derive(Args, Debug)]
#[command(
    after_help = "Examples, the last three events of a stream, for jq, and all that comes from \
    now on:\n  \
    annals-dump events quakes.annals --stream us --reverse --limit 3 --format jsonl | jq .data\n  \
    annals-dump events quakes.annals --since now --follow"
)]
pub(crate) struct Events {
    #[command(flatten)]
    chosen: Chosen,
    /// Print at most so many events
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Print the newest events first
    #[arg(long, conflicts_with = "follow")]
    reverse: bool,
}

impl Events {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let mut selection = self.chosen.selection();
        if let Some(count) = self.limit {
            selection = selection.limit(count);
        }
        if self.reverse {
            selection = selection.backwards();
        }
        if self.chosen.follow {
            return self.chosen.follow(&self.chosen.open_to_follow()?, &selection, out);
        }
        let store = Inspection::open(&self.chosen.store)?;
        self.chosen.print(&store, &selection, out)
    }
}
