//! `report`: a store on one page of HTML.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use annals::inspect::{Inspection, report_page};
use annals::{Clock as _, SystemClock};
use clap::Args;
use tempfile::NamedTempFile;

use crate::findings::{Finding, REFUSED, Stop, of_reading};
use crate::output::Out;
use crate::progress::Bar;

/// Writes a page of HTML about the store: charts, segments, consumers, findings
///
/// The page is one file that loads nothing. It is written whole or not at all, takes the place of a
/// file that is there, and can be read by its owner alone, as the store can.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  annals-dump report quakes.annals quakes.html")]
pub(crate) struct Report {
    /// The directory of the store
    store: PathBuf,
    /// Where the page goes: a file, or - for standard output
    #[arg(value_name = "OUT.html")]
    out: PathBuf,
}

impl Report {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let is_file = self.out != Path::new("-");
        if is_file {
            self.check_out()?;
        }
        let store = Inspection::open(&self.store)?;
        let bar = Bar::new("counting", store.end().get());
        let (statistics, stopped_by) = store.statistics_watched(bar.watch());
        bar.finish();
        let made_at = SystemClock.now();
        let path = self.store.canonicalize().unwrap_or_else(|_| self.store.clone());
        let (page, errors) = report_page(&store, &path, made_at, &statistics, stopped_by);
        if is_file {
            self.write(&page).map_err(|error| self.refused(&error))?;
        } else {
            out.write_all(page.as_bytes())?;
        }
        Ok(of_reading(&store, &errors))
    }

    /// Refuses to take the place of what is no file, or is part of the store, before anything is read.
    fn check_out(&self) -> Result<(), Finding> {
        let wrong = |what: &str| {
            Finding::usage(&format!("the page cannot go to {}: {what}", self.out.display()))
        };
        // A link would be replaced, and not what it leads to.
        let is_other = self.out.symlink_metadata().is_ok_and(|found| !found.is_file());
        if self.out.file_name().is_none() || is_other {
            return Err(wrong("that is no file"));
        }
        let folder = self.folder().canonicalize().map_err(|error| self.refused(&error))?;
        if self.store.canonicalize().is_ok_and(|store| folder.starts_with(store)) {
            return Err(wrong("that is in the store"));
        }
        Ok(())
    }

    fn folder(&self) -> &Path {
        let folder = self.out.parent().unwrap_or(Path::new(""));
        if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
    }

    fn refused(&self, error: &io::Error) -> Finding {
        let text = format!("cannot write {}: {error}", self.out.display());
        Finding { text, exit_code: REFUSED }
    }

    fn write(&self, page: &str) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(self.folder())?;
        file.write_all(page.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.out)?;
        Ok(())
    }
}
