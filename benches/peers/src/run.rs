//! The interleaved run: every store in turn, then all of them again.
//!
//! Owns the order. Each round begins with another store, so that none always runs behind the
//! same one, and slow spells of a machine fall on all of them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Result;
use crate::arguments::Plan;
use crate::child::Task;
use crate::disk;
use crate::report::{Report, Row};
use crate::store::Peer;
use crate::work::{Outcome, Work};

/// Runs all workloads of a plan, and prints a table after each.
pub fn run(plan: &Plan) -> Result<()> {
    std::fs::create_dir_all(&plan.dir)?;
    disk::check_is_disk(&plan.dir)?;
    let mut report = Report::create(plan)?;
    let mut failures = 0;
    let (reading, writing): (Vec<Work>, Vec<Work>) =
        plan.works.iter().partition(|work| work.reads());
    for work in writing {
        failures += run_work(plan, work, &plan.peers, &mut report)?;
    }
    if !reading.is_empty() {
        let loaded = load(plan, &reading, &mut failures);
        for work in reading {
            failures += run_work(plan, work, &loaded, &mut report)?;
        }
    }
    for peer in &plan.peers {
        disk::remove(&loaded_dir(plan, peer))?;
    }
    println!("every run of these is in {}", report.path().display());
    if failures > 0 { Err(format!("{failures} runs have failed").into()) } else { Ok(()) }
}

/// Runs one workload on the stores that can do it. Returns how many runs have failed.
fn run_work(
    plan: &Plan,
    work: Work,
    peers: &[&'static Peer],
    report: &mut Report,
) -> Result<usize> {
    let mut peers: Vec<_> = peers.iter().copied().filter(|peer| work.suits(peer)).collect();
    let mut rows = Vec::new();
    let mut failures = 0;
    for round in 1..=plan.rounds {
        for &peer in &peers {
            match run_once(plan, work, peer)? {
                Some(outcome) => {
                    let row = Row { work, peer, round, outcome };
                    report.record(&row)?;
                    rows.push(row);
                }
                None => failures += 1,
            }
        }
        let first_goes_last = peers.len().min(1);
        peers.rotate_left(first_goes_last);
    }
    report.print(work, &rows);
    Ok(failures)
}

/// Runs one workload on one store, and leaves nothing of what it wrote. None if that failed.
fn run_once(plan: &Plan, work: Work, peer: &'static Peer) -> Result<Option<Outcome>> {
    if work.reads() {
        return Ok(try_task(plan, work, peer, &loaded_dir(plan, peer)));
    }
    let dir = plan.dir.join(format!("{}-{}", work.name(), peer.name));
    let outcome = try_task(plan, work, peer, &dir);
    disk::remove(&dir)?;
    Ok(outcome)
}

/// Writes the stores that are read, and returns those that could be written.
fn load(plan: &Plan, works: &[Work], failures: &mut usize) -> Vec<&'static Peer> {
    let mut loaded = Vec::new();
    let is_read = |peer: &Peer| works.iter().any(|work| work.suits(peer));
    for &peer in plan.peers.iter().filter(|peer| is_read(peer)) {
        match try_task(plan, Work::Load, peer, &loaded_dir(plan, peer)) {
            Some(_) => loaded.push(peer),
            None => *failures += 1,
        }
    }
    loaded
}

fn loaded_dir(plan: &Plan, peer: &Peer) -> PathBuf {
    plan.dir.join(format!("loaded-{}", peer.name))
}

/// Has a child do one run, and tells of it on stderr, since all of them take long. None if that
/// failed.
fn try_task(plan: &Plan, work: Work, peer: &'static Peer, dir: &Path) -> Option<Outcome> {
    let begin = Instant::now();
    let task = Task { work, peer, dir: dir.to_owned(), scale: plan.scale };
    match task.run_in_child(&[]) {
        Ok(outcome) => {
            let (rate, unit) = (outcome.per_second, work.unit());
            let seconds = begin.elapsed().as_secs_f64();
            eprintln!("{} on {}: {rate:.0} {unit} ({seconds:.1} s in all)", work.name(), peer.name);
            Some(outcome)
        }
        Err(fault) => {
            eprintln!("{fault}");
            None
        }
    }
}
