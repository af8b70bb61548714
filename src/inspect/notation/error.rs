//! Errors as text.

use std::error::Error as _;
use std::fmt::Write as _;

use crate::error::Error;
use crate::segment::name_of;

/// An error as text: what it says, the file of the segment that it is about if it is damage to the log,
/// and its causes.
///
/// Nothing is escaped; an error may hold names from the store, or from the system. See
/// [`escaped_text`](crate::inspect::escaped_text).
#[must_use]
pub fn error_text(error: &Error) -> String {
    let mut text = error.to_string();
    if let Error::Corrupt { segment, .. } = error {
        let _ = write!(text, " ({})", name_of(*segment));
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::types::Position;

    #[test]
    fn an_error_is_told_with_its_file_and_its_causes() {
        let expected = "a whole record";
        let damage = Error::Corrupt { segment: Position::new(7), offset: 64, expected };
        let text = "segment 7 is corrupt at byte 64: expected a whole record \
                    (log/00000000000000000007.seg)";
        assert_eq!(error_text(&damage), text);
        let source = io::Error::other("the cable is out");
        let refused = Error::Io { operation: "read", path: "a/b".into(), source };
        assert_eq!(error_text(&refused), "cannot read a/b: the cable is out");
    }
}
