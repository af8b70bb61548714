//! What the tests on the real operating system share: processes that may be killed, what they
//! have told before, what they append, faults in system calls, and file systems that fail.
//!
//! Whatever may see an error of a real medium runs in a process of its own: after one, sled 0.34.7
//! now and then waits for ever, in every database of the process. The process that tests holds what
//! was acknowledged, and another one compares.

mod book;
mod file_system;
mod process;
mod scene;
mod script;
mod strace;

use std::env;
use std::path::Path;
use std::time::Duration;

pub(crate) use book::{Book, Fate, compare};
pub(crate) use file_system::{FileSystem, Kind, Log, Memory, run, unmount};
pub(crate) use process::{Ended, Running, command, part, tell};
pub(crate) use scene::{Scene, Start};
pub(crate) use script::{Session, append, batch_of, check, leave_open, open, options, play};
pub(crate) use strace::{Calls, Fault, Strace};

/// How long a process may take that nothing happens to.
const CHECK_TIME: Duration = Duration::from_secs(60);

/// A number that can be set from outside.
pub(crate) fn number_from(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Whether the n-th of all is chosen, if every `step`-th one is.
pub(crate) fn is_chosen(n: &mut u64, step: u64) -> bool {
    *n += 1;
    n.is_multiple_of(step)
}

/// Plays one of the parts that several tests know; `false` if it is another one.
pub(crate) fn play_common(part: &str, place: &Path) -> bool {
    match part {
        "play" => play(place),
        "check" => check(place),
        "leave open" => leave_open(place),
        _ => return false,
    }
    true
}

/// Lets another process compare the store at `path` with `book`, and append to it.
pub(crate) fn assert_unharmed(path: &Path, book: &mut Book, what: &str) -> Ended {
    book.save(path);
    let ended = Running::start(command("check", path, &[]), |_| {}).end(CHECK_TIME);
    let is_fine = ended.status.success() && ended.has_told("DONE") && !ended.is_late;
    assert!(is_fine, "{what}\n{book:?}\n{ended:#?}");
    book.hear_all(&ended.lines);
    ended
}
