//! `annals-dump`: shows what is in a store, checks, copies and moves it.
//!
//! Owns the list of the commands and the exit codes. What a command does is in
//! [`annals::inspect`] and [`annals::transfer`]: here arguments are parsed and results printed.
//! `docs/dump.md` is the page for its users.

mod commands;
mod findings;
mod output;
mod progress;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{ColorChoice, Parser, Subcommand};

use crate::findings::{Finding, Stop};
use crate::output::{Color, Out};

const COLOR: &str =
    "Whether text for people has colours; auto: on a terminal, unless NO_COLOR says otherwise";
const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  something was found: damage, or lines that cannot be imported. What is sound was printed or
     done, and what is not is named on stderr
  2  wrong arguments
  3  not a store, or one of a newer format; or a place that cannot take a backup of the store
  4  the operating system refused to read or to write
  5  the store is open elsewhere, for a command that writes";

/// Shows what is in an annals store, also beside a running application and if it is damaged;
/// checks, repairs, copies and moves it.
#[derive(Debug, Parser)]
#[command(name = "annals-dump", version, after_help = EXIT_CODES, color = ColorChoice::Never)]
struct Arguments {
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true, help = COLOR)]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Events(commands::Events),
    Tail(commands::Tail),
    Show(commands::Show),
    Streams(commands::Streams),
    Segments(commands::Segments),
    Consumers(commands::Consumers),
    Stats(commands::Stats),
    Report(commands::Report),
    Verify(commands::Verify),
    Repair(commands::Repair),
    RebuildIndex(commands::RebuildIndex),
    Export(commands::Export),
    Import(commands::Import),
    Backup(commands::Backup),
    Completions(commands::Completions),
    Man(commands::Man),
}

impl Command {
    /// Prints to `out`, and returns what is to be said on stderr once all that is sound is printed.
    fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        match self {
            Self::Events(command) => command.run(out),
            Self::Tail(command) => command.run(out),
            Self::Show(command) => command.run(out),
            Self::Streams(command) => command.run(out),
            Self::Segments(command) => command.run(out),
            Self::Consumers(command) => command.run(out),
            Self::Stats(command) => command.run(out),
            Self::Report(command) => command.run(out),
            Self::Verify(command) => command.run(out),
            Self::Repair(command) => command.run(out),
            Self::RebuildIndex(command) => command.run(out),
            Self::Export(command) => command.run(out),
            Self::Import(command) => command.run(out),
            Self::Backup(command) => command.run(out),
            Self::Completions(command) => command.run::<Arguments>(out),
            Self::Man(_) => commands::Man::run::<Arguments>(out),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = Out::stdout(arguments.color);
    let printed = arguments.command.run(&mut out);
    let flushed = out.flush();
    let mut findings = match printed {
        Ok(findings) => findings,
        Err(stop) => stop.finding().into_iter().collect(),
    };
    // Whoever has read enough of what was printed may still hear what was found.
    findings.extend(flushed.err().and_then(|error| Stop::Output(error).finding()));
    findings::say(&findings)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_hang_together() {
        Arguments::command().debug_assert();
    }
}
