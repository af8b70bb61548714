//! The arguments of a benchmark.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// As much as figures need to mean something.
    Full,
    /// As little as shows that every row still runs.
    Quick,
}

impl Size {
    /// What fits this size.
    pub(crate) fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

#[derive(Debug)]
pub(super) struct Args {
    pub(super) size: Size,
    /// The rows to run; all if there are none.
    pub(super) only: Vec<String>,
    pub(super) rounds: Option<NonZeroUsize>,
    pub(super) dir: Option<PathBuf>,
    /// What to do as a process that a row has started.
    pub(super) child: Option<String>,
}

impl Args {
    /// Reads the arguments, or says what is wrong with them.
    pub(super) fn parse(
        args: impl IntoIterator<Item = OsString>,
        rows: &[&str],
    ) -> Result<Self, String> {
        let mut parsed =
            Self { size: Size::Full, only: Vec::new(), rounds: None, dir: None, child: None };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let name = arg.to_string_lossy();
            let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
            match &*name {
                // Cargo's own word to a benchmark.
                "--bench" => {}
                "--quick" => parsed.size = Size::Quick,
                "--only" => parsed.only.push(row(&text(&value()?), rows)?),
                "--rounds" => parsed.rounds = Some(count(&text(&value()?))?),
                "--dir" => parsed.dir = Some(value()?.into()),
                "--child" => parsed.child = Some(text(&value()?)),
                other => return Err(format!("unknown argument {other}")),
            }
        }
        Ok(parsed)
    }
}

fn text(value: &OsStr) -> String {
    value.to_string_lossy().into_owned()
}

fn row(name: &str, rows: &[&str]) -> Result<String, String> {
    if rows.contains(&name) { Ok(name.to_owned()) } else { Err(format!("there is no row {name}")) }
}

fn count(digits: &str) -> Result<NonZeroUsize, String> {
    digits.parse().map_err(|_| format!("{digits} is no number of rounds"))
}

pub(super) fn usage(name: &str, rows: &[&str]) -> String {
    format!(
        "usage: cargo bench --bench {name} -- [--quick] [--only ROW]... [--rounds N] [--dir PATH]\n\
         --quick   measure little, to see that every row runs\n\
         --only    measure this row and no others but those named likewise\n\
         --rounds  how often each side of a row is run\n\
         --dir     where stores go while they are measured; they are removed\n\
         rows: {}",
        rows.join(" ")
    )
}
