//! The arguments of the program.
//!
//! Owns their names, their defaults, and what is wrong with them.

use std::path::PathBuf;

use crate::Result;
use crate::child::Task;
use crate::store::{self, Peer};
use crate::work::Work;

pub const HELP: &str = "\
annals and other embedded stores under the same workloads, in one interleaved run

usage: annals-peers [--only WORK]... [--store NAME]... [--rounds N] [--scale F] [--dir PATH]
       annals-peers --check-syncs [--store NAME]... [--dir PATH]

  --only WORK    runs this workload only: durable-1, durable-16, durable-256, batch-1000, bulk,
                 replay, stream-200, time-100, last-of-stream
  --store NAME   runs this store only: annals, annals-1gib, rocksdb, sqlite, lmdb, redb, fjall,
                 sled, okaywal
  --rounds N     how often each store runs each workload (default 3)
  --scale F      the fraction of the events and seconds of a full run (default 1)
  --dir PATH     where the stores are put, on a real disk (default below the target directory)
  --check-syncs  runs no workload, but counts under strace how often each store syncs";

/// What is asked of the program.
pub enum Command {
    Help,
    Run(Plan),
    CheckSyncs(Plan),
    Child(Task),
}

/// What a run is made of.
pub struct Plan {
    pub works: Vec<Work>,
    pub peers: Vec<&'static Peer>,
    pub rounds: usize,
    /// Fraction of the events and seconds of a full run.
    pub scale: f64,
    /// Directory that the stores are put in.
    pub dir: PathBuf,
}

/// Reads the arguments after the program's name.
pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command> {
    let mut plan =
        Plan { works: Vec::new(), peers: Vec::new(), rounds: 3, scale: 1.0, dir: default_dir()? };
    let mut checks_syncs = false;
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{name} takes a value"));
        match name.as_str() {
            "--only" => plan.works.push(Work::named(&value()?)?),
            "--store" => plan.peers.push(store::named(&value()?)?),
            "--rounds" => plan.rounds = value()?.parse()?,
            "--scale" => plan.scale = value()?.parse()?,
            "--dir" => plan.dir = value()?.into(),
            "--check-syncs" => checks_syncs = true,
            "--help" | "-h" => return Ok(Command::Help),
            Task::ARGUMENT => return Ok(Command::Child(Task::parse(arguments)?)),
            _ => return Err(format!("there is no argument {name}; --help names them").into()),
        }
    }
    if plan.works.is_empty() {
        plan.works = Work::ALL.to_vec();
    }
    if plan.peers.is_empty() {
        plan.peers = store::PEERS.iter().collect();
    }
    if plan.rounds == 0 || !(plan.scale > 0.0 && plan.scale.is_finite()) {
        return Err("--rounds and --scale must be more than nothing".into());
    }
    Ok(if checks_syncs { Command::CheckSyncs(plan) } else { Command::Run(plan) })
}

/// `annals-bench` in the target directory, found from where this program is.
pub fn output_dir() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(|profile| profile.parent());
    Ok(target.ok_or("the program is in no target directory")?.join("annals-bench"))
}

fn default_dir() -> Result<PathBuf> {
    Ok(output_dir()?.join("stores"))
}
