//! `verify`: every byte of a store.

use std::io::Write as _;
use std::ops::ControlFlow;

use annals::inspect::{Inspection, report_text};
use clap::Args;

use crate::commands::{Format, Input};
use crate::findings::{Finding, Stop, of_trailing};
use crate::output::Out;
use crate::progress::Bar;

/// Reads every byte of the log and of the files beside it, and says what is not as it was written
///
/// The index is not looked at: it is checked, and built anew if need be, when an application opens the
/// store.
#[derive(Args, Debug)]
#[command(after_help = "Example, where the damage is, for a program:\n  \
    annals-dump verify shop.annals --format jsonl | jq 'select(.finding == \"damage\") | .file'")]
pub(crate) struct Verify {
    #[command(flatten)]
    input: Input,
}

impl Verify {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let store = Inspection::open(&self.input.store)?;
        let bar = Bar::new("verifying", store.end().get());
        let report = store.verify_watched(|progress| {
            bar.set(progress.done);
            ControlFlow::Continue(())
        });
        bar.finish();
        match self.input.format {
            Format::Text => out.write_all(report_text(&report).as_bytes())?,
            Format::Jsonl => {
                for damage in &report.damages {
                    out.line(&damage.json_line())?;
                }
                out.line(&report.json_line())?;
            }
        }
        if report.is_sound() {
            return Ok(of_trailing(&store));
        }
        Ok(vec![Finding::found(
            "the store is damaged: what can be read is shown by events --keep-going, \
                                and repair --dry-run says what a repair would do",
        )])
    }
}
