//! annals and other embedded stores under the same workloads, in one interleaved run.
//!
//! Owns what the program does with its arguments. `README.md` says what is compared and how.

mod arguments;
mod child;
mod disk;
mod event;
mod places;
mod report;
mod run;
mod store;
mod sum;
mod syncs;
mod work;

use std::process::ExitCode;

use crate::arguments::Command;

/// What went wrong, in words: nothing here tells errors apart.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let done = match arguments::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", arguments::HELP);
            Ok(())
        }
        Ok(Command::Run(plan)) => run::run(&plan),
        Ok(Command::CheckSyncs(plan)) => syncs::check(&plan),
        Ok(Command::Child(task)) => child::run(&task),
        Err(fault) => Err(fault),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("annals-peers: {fault}");
            ExitCode::FAILURE
        }
    }
}
