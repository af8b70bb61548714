//! `repair`: what is damaged, cut off and kept aside.

use std::io::Write as _;
use std::path::PathBuf;

use annals::RepairPlan;
use clap::Args;

use crate::findings::{Finding, Stop};
use crate::output::Out;

/// Makes a damaged store one that opens: cuts the log before the first damage to an event, and keeps
/// all that comes after in a folder that can be inspected as a store
///
/// What costs no event is mended: a lost store.meta, footers, places of consumers after the end.
#[derive(Args, Debug)]
#[command(after_help = "Example, what would be lost, then doing it:\n  \
    annals-dump repair shop.annals --dry-run\n  \
    annals-dump repair shop.annals --accept-loss")]
pub(crate) struct Repair {
    /// The directory of the store
    store: PathBuf,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on also if events are lost to the store by it
    #[arg(long, conflicts_with = "dry_run")]
    accept_loss: bool,
}

impl Repair {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let plan = RepairPlan::make(&self.store)?;
        if !plan.is_needed() {
            write!(out, "nothing to repair\n{}", plan.report())?;
            return Ok(Vec::new());
        }
        let loses = !plan.report().removed.is_empty();
        if self.dry_run || (loses && !self.accept_loss) {
            write!(out, "would be done\n{}", plan.report())?;
            let text = if self.dry_run {
                "the store needs a repair; nothing was changed"
            } else {
                "events would be lost to the store: nothing was changed. With --accept-loss it is \
                 done"
            };
            return Ok(vec![Finding::found(text)]);
        }
        let report = plan.carry_out()?;
        write!(out, "repaired\n{report}")?;
        Ok(Vec::new())
    }
}
