//! `rebuild-index`: another index, from the log.

use std::path::PathBuf;
use std::sync::OnceLock;

use annals::{IndexRecovery, IndexTrouble, Options};
use clap::Args;

use crate::findings::{Finding, REFUSED, Stop};
use crate::output::Out;
use crate::progress::Bar;

/// Builds the index anew from the log; the old one is left in index.broken
///
/// Never needed for a store to be right. The log must be sound.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  annals-dump rebuild-index shop.annals")]
pub(crate) struct RebuildIndex {
    /// The directory of the store
    store: PathBuf,
}

impl RebuildIndex {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let bar = OnceLock::new();
        let options = Options::new().on_index_progress(move |done, total| {
            bar.get_or_init(|| Bar::new("indexing", total)).set(done);
        });
        let report = options.rebuild_index(&self.store)?;
        drop(options);
        match report.index {
            IndexRecovery::Rebuilt { event_count, .. } => {
                out.line(&format!("built the index of {event_count} events"))?;
                Ok(Vec::new())
            }
            IndexRecovery::Unavailable { reason: IndexTrouble::LogUnreadable { detail } } => {
                Ok(vec![Finding::found(&format!("the index could not be built: {detail}"))])
            }
            IndexRecovery::Unavailable { reason: IndexTrouble::Failed { detail } } => {
                let text = format!("the index could not be built: {detail}");
                Ok(vec![Finding { text, exit_code: REFUSED }])
            }
            _ => {
                let text =
                    "the index could not be built: not all of the log is known to be durable";
                Ok(vec![Finding { text: text.to_owned(), exit_code: REFUSED }])
            }
        }
    }
}
