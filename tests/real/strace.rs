//! Faults in real system calls, by strace.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Calls of other kinds cost nothing then.
const FILTER: &str = "--seccomp-bpf";

/// A fault in one kind of call.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The name of the call.
    pub(crate) call: &'static str,
    /// What happens to it, as strace takes it: `error=EIO`, `signal=SIGKILL`.
    pub(crate) what: &'static str,
    /// Which calls of a thread are struck, as strace takes it: `3`, `3+`, `3..5`.
    pub(crate) when: String,
}

/// How often a thread has made each kind of call: before it told anything, and in all.
pub(crate) type Calls = BTreeMap<&'static str, (u64, u64)>;

/// Runs of processes under strace, which counts the calls of each thread for itself.
pub(crate) struct Strace {
    /// Where it writes what it has seen, one file for each thread.
    logs: PathBuf,
    arguments: Vec<String>,
}

impl Strace {
    /// Keeps its logs in a folder, which it makes.
    pub(crate) fn new(place: &Path) -> Self {
        let logs = place.join("strace");
        fs::create_dir(&logs).unwrap();
        Self { logs, arguments: Vec::new() }
    }

    /// Leaves alone calls that are not about these files.
    pub(crate) fn only(mut self, files: &[PathBuf]) -> Self {
        for file in files {
            self.arguments.extend(["-P".to_owned(), file.display().to_string()]);
        }
        self
    }

    /// What runs a process and writes down its calls of these kinds.
    pub(crate) fn watching(&self, calls: &[&str]) -> Vec<String> {
        self.around(&format!("trace={},writev", calls.join(",")))
    }

    /// What runs a process and lets a fault strike.
    pub(crate) fn striking(&self, fault: &Fault) -> Vec<String> {
        let Fault { call, what, when } = fault;
        let mut around = self.around(&format!("trace={call}"));
        if what.starts_with("signal") {
            // strace 6.1 sends none to calls that it lets a filter of the kernel pick out.
            around.retain(|argument| argument != FILTER);
        }
        around.extend(["-e".to_owned(), format!("inject={call}:{what}:when={when}")]);
        around
    }

    fn around(&self, traced: &str) -> Vec<String> {
        for entry in fs::read_dir(&self.logs).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let log = self.logs.join("thread").display().to_string();
        let fixed = ["strace", "-ff", FILTER, "-qq", "-y", "-o", &log, "-e", traced];
        fixed.into_iter().map(str::to_owned).chain(self.arguments.iter().cloned()).collect()
    }

    fn logs(&self) -> Vec<String> {
        let files = fs::read_dir(&self.logs).unwrap();
        files.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    }

    /// The calls in the last run of the thread that has told something.
    pub(crate) fn calls(&self, names: &[&'static str]) -> Calls {
        let logs = self.logs();
        let teller = logs.iter().find(|log| log.lines().any(|line| line.starts_with("writev(")));
        teller.map(|log| calls_in(log, names)).unwrap_or_default()
    }

    /// The most calls of each kind that a thread has made in the last run.
    pub(crate) fn most_calls(&self, names: &[&'static str]) -> BTreeMap<&'static str, u64> {
        let mut most = BTreeMap::new();
        for log in self.logs() {
            for (call, (_, all)) in calls_in(&log, names) {
                let count = most.entry(call).or_default();
                *count = all.max(*count);
            }
        }
        most
    }

    /// The first call of the last run that was struck.
    pub(crate) fn struck(&self) -> Option<String> {
        let logs = self.logs();
        let mut lines = logs.iter().flat_map(|log| log.lines());
        lines.find(|line| line.contains("(INJECTED)")).map(str::to_owned)
    }
}

fn calls_in(log: &str, names: &[&'static str]) -> Calls {
    let mut calls = Calls::new();
    let mut has_told = false;
    for line in log.lines() {
        has_told |= line.starts_with("writev(");
        for name in names {
            if line.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')) {
                let (before, all) = calls.entry(*name).or_default();
                *before += u64::from(!has_told);
                *all += 1;
            }
        }
    }
    calls
}
