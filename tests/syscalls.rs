//! Calls to the real operating system that fail, one by one: what was acknowledged is there
//! afterwards, and nothing that was undone.
//!
//! Every n-th fault is let strike, with another n for each kind, so that a run takes seconds;
//! `ANNALS_SYSCALL_STEP=1` lets all of them strike. Needs `strace` and `prlimit`, and says that it
//! was skipped where they are missing.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]
#![expect(clippy::disallowed_types, reason = "what is told goes to a file of the system")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;
#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, reason = "what a file uses of it differs")]
mod real;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use real::{Book, Ended, Fault, Scene, Start, Strace, assert_unharmed, is_chosen, number_from};

/// Kinds of calls that a store makes, or its index.
const CALLS: [&str; 17] = [
    "openat",
    "read",
    "pread64",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "rename",
    "unlink",
    "unlinkat",
    "mkdir",
    "flock",
    "getdents64",
    "statx",
    "sync_file_range",
];

/// After this time closing a store goes on without sled.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// What may happen to a call.
fn errors_of(call: &str) -> &'static [&'static str] {
    match call {
        "read" | "pread64" | "flock" | "getdents64" | "statx" => &["error=EIO", "error=EINTR"],
        "openat" => &["error=EIO", "error=ENOSPC", "error=EMFILE", "error=EINTR"],
        _ => &["error=EIO", "error=ENOSPC", "error=EDQUOT", "error=EINTR"],
    }
}

/// Not a test of its own: the processes that tests have started run it.
#[test]
fn a_process_that_a_test_has_started_plays_its_part() {
    if let Some((part, place)) = real::part() {
        assert!(real::play_common(&part, &place), "{part}");
    }
}

/// What has become of the processes.
struct Counts {
    counts: BTreeMap<&'static str, u64>,
    begun: Instant,
}

impl Counts {
    fn new() -> Self {
        Self { counts: BTreeMap::new(), begun: Instant::now() }
    }

    fn add(&mut self, what: &'static str, count: bool) {
        *self.counts.entry(what).or_default() += u64::from(count);
    }

    /// Compares what a process has told with what it left, and checks that it ended as it should.
    fn judge(
        &mut self,
        scene: &Scene,
        mut book: Book,
        ended: &Ended,
        struck: Option<&str>,
        what: &str,
    ) {
        let is_index = struck.is_some_and(|line| line.contains("/index"));
        book.hear_all(&ended.lines);
        let is_done = ended.status.success() && ended.has_told("DONE");
        let is_fine = is_done || (is_index && ended.is_late);
        assert!(is_fine && !ended.has_panicked(), "{what} {struck:?}\n{ended:#?}");
        self.add("runs", true);
        self.add("struck", struck.is_some());
        self.add("struck a call of the index", is_index);
        self.add("sled panicked", ended.has_sled_panicked());
        self.add("hung in sled", ended.is_late);
        self.add("closing sled took ten seconds", ended.took >= CLOSE_WAIT);
        self.add("batches undone", ended.has_told("UNDONE"));
        self.add("outcomes unknown", ended.has_told("UNKNOWN"));
        self.add("opening refused", ended.has_told("REFUSED"));
        if ended.is_late {
            eprintln!("late: {what}: {struck:?}, after {:?}", ended.lines.last());
        }
        let checked = assert_unharmed(&scene.store(), &mut book, what);
        self.add("tails cut on reopening", checked.lines.iter().any(|l| l.contains("TornTail")));
    }

    fn report(&self, test: &str) {
        eprintln!("{test}: {:?} in {:?}", self.counts, self.begun.elapsed());
    }
}

/// Which calls are struck: the n-th, and more from there on.
fn times(error: &str, n: u64) -> [String; 2] {
    // A call that is interrupted is made again, so that one interrupted for ever never ends.
    let more = if error.ends_with("EINTR") { format!("{n}..{}", n + 2) } else { format!("{n}+") };
    [n.to_string(), more]
}

#[test]
fn no_failed_system_call_of_a_new_store_loses_or_bends_anything() {
    strike_each_call(Start::Nothing);
}

#[test]
fn no_failed_system_call_after_a_crash_loses_or_bends_anything() {
    strike_each_call(Start::Crashed);
}

fn strike_each_call(start: Start) {
    let (scene, mut counts) = (Scene::new(), Counts::new());
    let strace = scene.strace();
    let step = number_from("ANNALS_SYSCALL_STEP", 151);
    let mut number = 0;
    if scene.watch(&strace, start, &CALLS).is_none() {
        return;
    }
    let calls = strace.calls(&CALLS);
    eprintln!("{start:?}: {calls:?}");
    for (call, (before, all)) in calls {
        for n in before + 1..=all {
            for what in errors_of(call) {
                for when in times(what, n) {
                    if is_chosen(&mut number, step) {
                        let fault = Fault { call, what, when };
                        strike((&scene, &mut counts), &strace, start, &fault);
                    }
                }
            }
        }
    }
    counts.report("system calls");
    assert!(counts.counts["struck"] > 0);
}

/// Lets a fault strike while a process uses a store.
fn strike((scene, counts): (&Scene, &mut Counts), strace: &Strace, start: Start, fault: &Fault) {
    let book = scene.set(start);
    let ended = scene.play(&strace.striking(fault));
    let struck = strace.struck();
    let what = format!("{start:?} {fault:?}");
    counts.judge(scene, book, &ended, struck.as_deref(), &what);
    // A store opens again once a call that failed does not any more.
    let is_once = fault.when.parse::<u64>().is_ok();
    assert!(!(is_once && ended.has_told("REFUSED")), "{what} {struck:?}\n{ended:#?}");
}

#[test]
fn no_failed_system_call_of_the_index_fails_an_append() {
    let (scene, mut counts) = (Scene::new(), Counts::new());
    let index = scene.store().join("index");
    let files = ["", "db", "conf", "blobs"].map(|name| index.join(name));
    let strace = scene.strace().only(&files);
    let step = number_from("ANNALS_SYSCALL_STEP", 61);
    let mut number = 0;
    for start in [Start::Nothing, Start::Crashed] {
        if scene.watch(&strace, start, &CALLS).is_none() {
            return;
        }
        let calls = strace.most_calls(&CALLS);
        eprintln!("{start:?}: {calls:?}");
        for (call, all) in calls {
            for n in 1..=all {
                for what in errors_of(call) {
                    for when in times(what, n) {
                        if is_chosen(&mut number, step) {
                            strike_index(
                                (&scene, &mut counts),
                                &strace,
                                start,
                                &Fault { call, what, when },
                            );
                        }
                    }
                }
            }
        }
    }
    counts.report("system calls of the index");
}

/// The same for a call of the index: nothing else may fail for it.
fn strike_index(
    (scene, counts): (&Scene, &mut Counts),
    strace: &Strace,
    start: Start,
    fault: &Fault,
) {
    let book = scene.set(start);
    let ended = scene.play(&strace.striking(fault));
    let struck = strace.struck();
    let what = format!("{start:?} {fault:?}");
    counts.judge(scene, book, &ended, struck.as_deref(), &what);
    for failure in ["UNDONE", "UNKNOWN", "REFUSED", "UNREAD", "UNSYNCED"] {
        assert!(!ended.has_told(failure), "{what} {struck:?}\n{ended:#?}");
    }
}

/// A limit on the length of files cuts a write short at any byte, and then fails it.
#[test]
fn no_short_write_loses_or_bends_anything() {
    let (scene, mut counts) = (Scene::new(), Counts::new());
    let step = number_from("ANNALS_SYSCALL_STEP", 151);
    let limited = |len: u64| {
        let script = "trap '' XFSZ; exec prlimit --fsize=\"$0\" \"$@\"";
        ["sh", "-c", script, &format!("{len}:unlimited")].map(str::to_owned)
    };
    scene.set(Start::Nothing);
    if scene.play_under("prlimit", &limited(1 << 30)).is_none() {
        return;
    }
    let mut number = 0;
    for start in [Start::Nothing, Start::Crashed] {
        for len in (0..4_200).step_by(3) {
            if is_chosen(&mut number, step) {
                let book = scene.set(start);
                let ended = scene.play(&limited(len));
                let what = format!("{start:?}, files of at most {len} bytes");
                // All files of the index are cut short as well.
                counts.judge(&scene, book, &ended, Some("/index"), &what);
            }
        }
    }
    counts.report("short writes");
}
