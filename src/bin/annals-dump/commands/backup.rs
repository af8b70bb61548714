//! `backup`: a copy of a store that may be in use.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;

use annals::inspect::Inspection;
use annals::transfer::{Backup as Copying, Link};
use clap::Args;

use crate::commands::{Format, Input};
use crate::findings::{Finding, Stop};
use crate::output::Out;
use crate::progress::Bar;

/// Copies a store, which may be in use, or brings such a copy up to date
#[derive(Args, Debug)]
#[command(after_help = "Examples, every hour and with all bytes read again:\n  \
    annals-dump backup shop.annals /backup/shop.annals\n  \
    annals-dump backup shop.annals /backup/shop.annals --copy --verify\n\n\
    The copy is a store: to restore it, copy it to where the store was.")]
pub(crate) struct Backup {
    #[command(flatten)]
    input: Input,
    /// Where the copy is, or is to be: nothing, an empty directory, or an earlier copy
    dest: PathBuf,
    /// Copy sealed segments, rather than link them where the file system can do that
    #[arg(long)]
    copy: bool,
    /// Read every byte of the copy when it is there
    #[arg(long)]
    verify: bool,
}

impl Backup {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let link = if self.copy { Link::Never } else { Link::WherePossible };
        let mut bar = None;
        let done = Copying::of(&self.input.store).link(link).to_watched(&self.dest, |progress| {
            bar.get_or_insert_with(|| Bar::new("copying", progress.total_len))
                .set(progress.done_len);
            ControlFlow::Continue(())
        });
        drop(bar);
        let report = done?;
        match self.input.format {
            Format::Text => out.write_all(report.to_string().as_bytes())?,
            Format::Jsonl => out.line(&report.json_line())?,
        }
        let mut findings: Vec<_> = report.damages.iter().map(Finding::from).collect();
        if report.left_out_count > 0 {
            let text = "a sync of the store has failed: what is not known to be durable was left out, \
                        until an application opens the store";
            findings.push(Finding::found(text));
        }
        if self.verify {
            findings.extend(self.check()?);
        }
        Ok(findings)
    }

    /// Reads the copy, and says what is wrong with it.
    fn check(&self) -> Result<Vec<Finding>, Stop> {
        let copy = Inspection::open(&self.dest)?;
        let mut bar = None;
        let report = copy.verify_watched(|progress| {
            bar.get_or_insert_with(|| Bar::new("verifying", progress.total)).set(progress.done);
            ControlFlow::Continue(())
        });
        drop(bar);
        let of_copy = |finding: Finding| {
            let text = format!("in the copy, {}", finding.text);
            Finding { text, ..finding }
        };
        let damages = report.damages.iter().map(|damage| Finding::from(&damage.error));
        let mut findings: Vec<_> = damages.map(of_copy).collect();
        let told = u64::try_from(findings.len()).unwrap_or(u64::MAX);
        if report.damage_count > told {
            let text = format!("in the copy, {} more damages", report.damage_count - told);
            findings.push(Finding { text, exit_code: crate::findings::FOUND });
        }
        Ok(findings)
    }
}
