//! Runs of the program, each a process of its own.

use std::ffi::OsStr;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Result, Run};

/// How often it is looked how much memory a process has.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) run: Run,
    /// The most memory that the process was seen to have had at once, in MB; NaN if that cannot be
    /// told.
    pub(crate) memory_mb: f64,
}

/// The program, with these arguments; what it prints goes nowhere.
pub(crate) fn program(args: &[&OsStr]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annals-dump"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs the program over so many events, from its start to its end.
pub(crate) fn run(mut command: Command, event_count: u64) -> Result<Ran> {
    let started = Instant::now();
    let mut child = command.spawn()?;
    let watch = watch(&child);
    let status = child.wait()?;
    let elapsed = started.elapsed();
    let memory_mb = watch.join().map_err(|_| "watching has failed")?;
    if !status.success() {
        return Err(format!("{command:?} ended with {status}").into());
    }
    Ok(Ran { run: Run::new(event_count, elapsed), memory_mb })
}

/// Looks at the memory of a process until it has ended.
fn watch(child: &Child) -> thread::JoinHandle<f64> {
    let path = format!("/proc/{}/status", child.id());
    thread::spawn(move || {
        let mut most = f64::NAN;
        while let Some(memory) = peak_of(&path) {
            most = memory.max(most);
            thread::sleep(LOOK_INTERVAL);
        }
        most
    })
}

/// The most memory that a process has had so far, in MB. A process that has ended has none.
fn peak_of(status: &str) -> Option<f64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
