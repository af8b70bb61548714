//! Whether a durable commit is durable: how often each store syncs, as the kernel sees it.
//!
//! A store may call its commit durable and leave out the one call that makes a disk keep what it
//! has in its cache. What it does is counted under strace, for commits of one event each.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Result;
use crate::arguments::Plan;
use crate::child::Task;
use crate::disk;
use crate::store::Peer;
use crate::work::Work;

/// How many commits are counted.
pub const COMMIT_COUNT: usize = 200;
/// Files that are made before and after the commits, so that opening and closing do not count.
pub const BEGIN: &str = "commits-begin";
pub const END: &str = "commits-end";

/// The calls that are counted. The first two make a disk keep what it was given; the third only
/// hands it over.
const CALLS: [&str; 4] = ["fsync", "fdatasync", "sync_file_range", "msync"];
const TRACE: &str = "trace=fsync,fdatasync,sync_file_range,msync,pwritev2,openat";

/// Calls in the trace of one store.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// As in [`CALLS`].
    calls: [usize; 4],
    /// Whether it has ever opened a file of which each write is a sync.
    writes_through: bool,
}

impl Counts {
    /// Counts in what strace has written: a line per call, or two if another thread's came
    /// between its begin and its end, of which the second names it after `<...`.
    fn of(trace: &str) -> Self {
        let mut counts = Self::default();
        let mut counting = false;
        for line in trace.lines() {
            let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            let Some((name, rest)) = call.split_once('(') else { continue };
            if name == "openat" {
                counting = (counting || rest.contains(BEGIN)) && !rest.contains(END);
                counts.writes_through |= rest.contains("O_DSYNC") || rest.contains("O_SYNC");
            } else if counting && let Some(call) = CALLS.iter().position(|of| *of == name) {
                counts.calls[call] += 1;
            }
        }
        counts
    }

    /// Calls of one commit that made the disk keep it.
    fn syncs_per_commit(&self) -> f64 {
        let [fsync, fdatasync, ..] = self.calls;
        (fsync + fdatasync) as f64 / COMMIT_COUNT as f64
    }
}

/// Counts the syncs of every store of a plan, and prints a table.
pub fn check(plan: &Plan) -> Result<()> {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        println!("syncs were not checked: there is no strace");
        return Ok(());
    }
    fs::create_dir_all(&plan.dir)?;
    println!("calls per durable commit of one event, over {COMMIT_COUNT} commits of one thread");
    println!("  {:<18} {:>7} {:>10} {:>16} {:>6}", "store", CALLS[0], CALLS[1], CALLS[2], CALLS[3]);
    for &peer in plan.peers.iter().filter(|peer| !peer.only_reads) {
        print(peer, &count(plan, peer)?);
    }
    Ok(())
}

fn count(plan: &Plan, peer: &'static Peer) -> Result<Counts> {
    let dir = plan.dir.join(format!("syncs-{}", peer.name));
    let trace = plan.dir.join(format!("syncs-{}.strace", peer.name));
    let counted = trace_child(peer, &dir, &trace);
    disk::remove(&dir)?;
    counted
}

fn trace_child(peer: &'static Peer, dir: &Path, trace: &Path) -> Result<Counts> {
    let path = trace.to_str().ok_or("the directory's name must be UTF-8")?;
    let task = Task { work: Work::Syncs, peer, dir: dir.to_owned(), scale: 1.0 };
    task.run_in_child(&["strace", "-f", "-qq", "-o", path, "-e", TRACE])?;
    let counts = Counts::of(&fs::read_to_string(trace)?);
    fs::remove_file(trace)?;
    Ok(counts)
}

fn print(peer: &Peer, counts: &Counts) {
    let store = format!("{} {}", peer.name, peer.version());
    let [fsync, fdatasync, range, msync] =
        counts.calls.map(|count| format!("{:.2}", count as f64 / COMMIT_COUNT as f64));
    let verdict = match (counts.syncs_per_commit() < 1.0, counts.writes_through) {
        (false, false) => "",
        (false, true) => "  and has files open whose every write is a sync",
        (true, true) => "  NOT shown to be durable: look which writes go to its synced files",
        (true, false) => "  NOT durable: fewer than one sync per commit",
    };
    println!("  {store:<18} {fsync:>7} {fdatasync:>10} {range:>16} {msync:>6}{verdict}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_between_the_two_files_count_and_others_do_not() {
        let trace = "\
            7  fsync(3) = 0\n\
            7  openat(AT_FDCWD, \"/x/commits-begin\", O_WRONLY|O_CREAT, 0666) = 4\n\
            7  fdatasync(3 <unfinished ...>\n\
            8  fsync(5) = 0\n\
            7  <... fdatasync resumed>) = 0\n\
            7  openat(AT_FDCWD, \"/x/commits-end\", O_WRONLY|O_CREAT, 0666) = 4\n\
            7  msync(0x1, 2, MS_SYNC) = 0\n";
        let expected = Counts { calls: [1, 1, 0, 0], writes_through: false };
        assert_eq!(Counts::of(trace), expected);
    }
}
