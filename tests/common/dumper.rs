//! `annals-dump`, run on a store whose clock stands still.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use annals::inspect::segment_file;
use annals::{Clock, EventId, Options, Position, Store, Timestamp};
use tempfile::TempDir;

/// 2018-02-07T01:26:13.84Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_517_966_773_840);

/// A clock that stands still, so that recorded times are one nanosecond apart.
#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A place for a store that goes when it is dropped.
pub(crate) struct Place {
    _dir: TempDir,
    pub(crate) path: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { path: dir.path().join("shop.annals"), _dir: dir }
    }

    pub(crate) fn open(&self) -> Store {
        Options::new().clock(StoppedClock).segment_len_max(4 << 10).open(&self.path).unwrap()
    }

    /// `annals-dump` with `args`, in which `STORE` stands for the store.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = dumper();
        for arg in args {
            match *arg {
                "STORE" => command.arg(&self.path),
                arg => command.arg(arg),
            };
        }
        command
    }

    /// Runs `annals-dump` with `args`, in which `STORE` stands for the store.
    pub(crate) fn run(&self, args: &[&str]) -> Dumped {
        Dumped::of(self.command(args).output().unwrap())
    }

    /// Runs `annals-dump COMMAND <store> ARGS`.
    pub(crate) fn dump(&self, command: &str, args: &[&str]) -> Dumped {
        self.run(&[&[command, "STORE"], args].concat())
    }

    pub(crate) fn segment(&self, first: u64) -> PathBuf {
        self.path.join(segment_file(Position::new(first)))
    }

    /// Takes away the notes of how far the log was durable.
    pub(crate) fn forget_end(&self) {
        for note in ["clean", "durable"] {
            fs::remove_file(self.path.join(note)).unwrap();
        }
    }

    /// Flips the lowest bit of the byte in the middle of `text`, where it first stands.
    pub(crate) fn damage(&self, segment: u64, text: &str) {
        let mut bytes = fs::read(self.segment(segment)).unwrap();
        let at = bytes.windows(text.len()).position(|bytes| bytes == text.as_bytes()).unwrap();
        bytes[at + text.len() / 2] ^= 1;
        fs::write(self.segment(segment), bytes).unwrap();
    }
}

/// `annals-dump`, to which nobody has said anything of colours.
pub(crate) fn dumper() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annals-dump"));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command
}

/// What a run of the program gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dumped {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Dumped {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What was printed, if all was well.
    #[track_caller]
    pub(crate) fn sound(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The positions that were printed as text, if all was well.
    #[track_caller]
    pub(crate) fn positions(self) -> String {
        let position = |line: &str| line.split(' ').next().unwrap().to_owned();
        self.sound().lines().map(position).collect::<Vec<_>>().join(" ")
    }

    /// What was printed before the program ended with `code` and said `err`.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, err: &str) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.starts_with("annals-dump: ") && self.err.contains(err), "{self:?}");
        self.out
    }

    /// What was said of wrong arguments.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.err);
        self.err
    }
}

pub(crate) fn id(n: u8) -> EventId {
    EventId::from_bytes([n; 16])
}
