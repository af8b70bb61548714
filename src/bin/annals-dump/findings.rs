//! What is said on stderr, and the exit code that goes with it.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use annals::Error;
use annals::inspect::{Inspection, error_text, escaped_text};

/// Damage, or something else that is not as it should be, was found.
pub(crate) const FOUND: u8 = 1;
/// The operating system refused.
pub(crate) const REFUSED: u8 = 4;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The store cannot be read, or written to.
    Store(Error),
    /// Standard output takes no more.
    Output(io::Error),
    /// Anything else.
    Said(Finding),
}

impl Stop {
    /// What is to be said of it; nothing if whoever reads has had enough, as `head` does.
    pub(crate) fn finding(self) -> Option<Finding> {
        match self {
            Self::Store(error) => Some(Finding::from(&error)),
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => None,
            Self::Output(error) => {
                let text = format!("cannot write to standard output: {error}");
                Some(Finding { text, exit_code: REFUSED })
            }
            Self::Said(finding) => Some(finding),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Self {
        Self::Said(finding)
    }
}

/// What is to be said on stderr once all that is sound has been printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) text: String,
    pub(crate) exit_code: u8,
}

impl Finding {
    /// What was said already.
    pub(crate) fn told(exit_code: u8) -> Self {
        Self { text: String::new(), exit_code }
    }

    /// Something that is not as it should be.
    pub(crate) fn found(text: &str) -> Self {
        Self { text: text.to_owned(), exit_code: FOUND }
    }

    /// Arguments that do not go together.
    pub(crate) fn usage(text: &str) -> Self {
        Self { text: text.to_owned(), exit_code: 2 }
    }
}

impl From<&Error> for Finding {
    /// Says what went wrong, where, and why.
    fn from(error: &Error) -> Self {
        Self { text: error_text(error), exit_code: exit_code(error) }
    }
}

fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Corrupt { .. } | Error::CorruptFile { .. } | Error::InvalidLine { .. } => FOUND,
        Error::NotAStore { .. } | Error::NewerFormat { .. } | Error::BackupRefused { .. } => 3,
        Error::Locked { .. } => 5,
        _ => REFUSED,
    }
}

/// What is to be said of what reading `store` has come upon, and of what was found before at the end
/// of its log.
pub(crate) fn of_reading(store: &Inspection, errors: &[Error]) -> Vec<Finding> {
    of_errors(errors, store.damage(), store.trailing_len())
}

/// What is to be said of the end of the log of `store`, which is not damaged.
pub(crate) fn of_trailing(store: &Inspection) -> Vec<Finding> {
    of_errors(&[], None, store.trailing_len())
}

fn of_errors(errors: &[Error], damage: Option<&Error>, trailing_len: u64) -> Vec<Finding> {
    let mut findings: Vec<_> = errors.iter().chain(damage).map(Finding::from).collect();
    findings.dedup();
    if findings.is_empty() && trailing_len > 0 {
        let text = format!(
            "note: the last {trailing_len} bytes are no whole batch: left by a crash, and cut when \
             the store is next opened, or just being written"
        );
        findings.push(Finding { text, exit_code: 0 });
    }
    findings
}

/// Says all of `findings`, and returns the highest of their exit codes.
pub(crate) fn say(findings: &[Finding]) -> ExitCode {
    for finding in findings.iter().filter(|finding| !finding.text.is_empty()) {
        tell(&finding.text);
    }
    ExitCode::from(findings.iter().map(|finding| finding.exit_code).max().unwrap_or(0))
}

/// Says something on stderr.
pub(crate) fn tell(text: &str) {
    // If stderr cannot be written to there is no one left to tell.
    let _ = writeln!(io::stderr().lock(), "annals-dump: {}", escaped_text(text));
}

#[cfg(test)]
mod tests {
    use annals::Position;

    use super::*;

    fn corrupt(offset: u64) -> Error {
        Error::Corrupt { segment: Position::new(7), offset, expected: "a whole record" }
    }

    #[test]
    fn damage_is_said_once_with_its_file() {
        let found = of_errors(&[corrupt(64)], Some(&corrupt(64)), 40);
        let text = "segment 7 is corrupt at byte 64: expected a whole record \
                    (log/00000000000000000007.seg)";
        assert_eq!(found, [Finding { text: text.to_owned(), exit_code: 1 }]);
        assert_eq!(of_errors(&[corrupt(64)], Some(&corrupt(80)), 0).len(), 2);
    }

    #[test]
    fn a_cause_is_named() {
        let source = io::Error::other("the cable is out");
        let error = Error::Io { operation: "read", path: "a/b".into(), source };
        let text = "cannot read a/b: the cable is out".to_owned();
        assert_eq!(Finding::from(&error), Finding { text, exit_code: 4 });
    }

    #[test]
    fn bytes_after_the_end_are_a_note_and_no_damage() {
        let [note] = &of_errors(&[], None, 40)[..] else { panic!("one note") };
        assert!(note.text.starts_with("note: the last 40 bytes are no whole batch"));
        assert_eq!(note.exit_code, 0);
        assert_eq!(of_errors(&[], None, 0), []);
    }
}
