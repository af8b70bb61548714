//! A folder in which one process after the other uses a new store.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::book::Book;
use super::process::{Ended, Running, command};
use super::strace::Strace;
use crate::common;

/// How long a process may take to which something happens. Closing sled may take ten seconds.
const TIME: Duration = Duration::from_secs(45);

/// What stands where the store will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Nothing,
    /// A store that was not closed, with a torn tail.
    Crashed,
}

/// A folder in which one process after the other uses a new store.
pub(crate) struct Scene {
    place: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let place = common::place();
        let crashed = place.path().join("crashed/store");
        fs::create_dir_all(crashed.parent().unwrap()).unwrap();
        let ended = Running::start(command("leave open", &crashed, &[]), |_| {}).end(TIME);
        assert!(ended.status.success(), "{ended:?}");
        let mut book = Book::default();
        book.hear_all(&ended.lines);
        book.save(&crashed);
        let last = common::segments(&crashed).pop().unwrap();
        let mut last = fs::OpenOptions::new().append(true).open(last).unwrap();
        last.write_all(&[1; 100]).unwrap();
        Self { place }
    }

    /// Where the store is that processes use.
    pub(crate) fn store(&self) -> PathBuf {
        self.place.path().join("scene/store")
    }

    /// strace with its logs here.
    pub(crate) fn strace(&self) -> Strace {
        Strace::new(self.place.path())
    }

    /// Puts what a process is to find into its place, and gives what is known of it.
    pub(crate) fn set(&self, start: Start) -> Book {
        let store = self.store();
        let folder = store.parent().unwrap();
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
        match start {
            Start::Nothing => fs::create_dir_all(folder).unwrap(),
            Start::Crashed => common::copy(&self.place.path().join("crashed"), folder),
        }
        Book::load(&store)
    }

    /// Lets a process use the store.
    pub(crate) fn play(&self, around: &[String]) -> Ended {
        Running::start(command("play", &self.store(), around), |_| {}).end(TIME)
    }

    /// Lets a process use the store that makes its calls as ever, and watches it; `None` with a
    /// message if that cannot be done here.
    pub(crate) fn watch(&self, strace: &Strace, start: Start, calls: &[&str]) -> Option<()> {
        self.set(start);
        self.play_under("strace", &strace.watching(calls))
    }

    /// Lets a process use the store to which nothing happens; `None` with a message if the program
    /// that it runs under cannot be used here.
    pub(crate) fn play_under(&self, program: &str, around: &[String]) -> Option<()> {
        if !super::run(program, &["-V"]) {
            eprintln!("skipped: there is no {program} here");
            return None;
        }
        let ended = self.play(around);
        if ended.lines.is_empty() && !ended.has_panicked() {
            eprintln!("skipped: {program} cannot be used here: {}", ended.errors);
            return None;
        }
        assert!(ended.has_told("DONE"), "{ended:#?}");
        Some(())
    }
}
