//! Names: of streams, of event types, of tags.

use std::fmt;

use crate::error::{Error, Result};

/// The most bytes that a name may have, in UTF-8; but for that of a consumer, which has
/// [`CONSUMER_NAME_LEN_MAX`].
pub const NAME_LEN_MAX: usize = 255;
/// The most bytes that the name of a consumer may have, in UTF-8: so many that the name of its file,
/// in which most bytes but letters and digits take three, is one on every file system.
pub const CONSUMER_NAME_LEN_MAX: usize = 80;

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameKind {
    /// A stream.
    Stream,
    /// The type of an event.
    EventType,
    /// A tag of an event.
    Tag,
    /// A named consumer.
    Consumer,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "stream name",
            Self::EventType => "event type",
            Self::Tag => "tag",
            Self::Consumer => "consumer name",
        })
    }
}

/// Why a name cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameFault {
    /// It has no bytes.
    Empty,
    /// It has `len` bytes, which is more than `max`.
    TooLong {
        /// Bytes of the name.
        len: usize,
        /// The most bytes that it may have.
        max: usize,
    },
    /// It holds a control character, such as a line feed, from byte `offset` on.
    ControlCharacter {
        /// Byte offset in the name.
        offset: usize,
    },
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong { len, max } => write!(f, "has {len} bytes, more than {max}"),
            Self::ControlCharacter { offset } => {
                write!(f, "has a control character at byte {offset}")
            }
        }
    }
}

/// Finds what is wrong with `name`, of at most `max` bytes, if anything is.
fn fault_of(name: &str, max: usize) -> Option<NameFault> {
    if name.is_empty() {
        return Some(NameFault::Empty);
    }
    if name.len() > max {
        return Some(NameFault::TooLong { len: name.len(), max });
    }
    let control = if name.is_ascii() {
        name.bytes().position(|byte| byte.is_ascii_control())
    } else {
        name.char_indices().find(|(_, c)| c.is_control()).map(|(offset, _)| offset)
    };
    control.map(|offset| NameFault::ControlCharacter { offset })
}

/// Whether all of `bytes` are printable ASCII, as those of nearly all names are. A name of them has
/// nothing wrong but perhaps its length; one that has others may be right as well.
#[inline]
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    // Pieces of a fixed length, of which the last two may overlap, are looked at all at once.
    match (bytes.last_chunk::<WIDE>(), bytes.first_chunk::<HALF>(), bytes.last_chunk::<HALF>()) {
        (Some(last), _, _) => {
            let (pieces, _) = bytes.as_chunks::<WIDE>();
            pieces.iter().all(is_printable) && is_printable(last)
        }
        (None, Some(first), Some(last)) => is_printable(first) & is_printable(last),
        _ => bytes.iter().all(|byte| matches!(byte, b' '..=b'~')),
    }
}

const WIDE: usize = 16;
const HALF: usize = WIDE / 2;

#[inline]
fn is_printable<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'))
}

/// Checks that `name` is 1 to 255 bytes without control characters, or to 80 for that of a consumer.
pub(crate) fn check_name(kind: NameKind, name: &str) -> Result<()> {
    let max = match kind {
        NameKind::Consumer => CONSUMER_NAME_LEN_MAX,
        NameKind::Stream | NameKind::EventType | NameKind::Tag => NAME_LEN_MAX,
    };
    if is_plain(name.as_bytes()) && (1..=max).contains(&name.len()) {
        return Ok(());
    }
    fault_of(name, max).map_or(Ok(()), |fault| Err(Error::InvalidName { kind, fault }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_script_are_names() {
        for name in ["a", "cart-42", "购物车-42", "naïve café", "🛒", "../x", &"x".repeat(255)]
        {
            assert_eq!(fault_of(name, NAME_LEN_MAX), None, "{name}");
        }
    }

    #[test]
    fn names_of_plain_bytes_are_names() {
        for byte in 0..=u8::MAX {
            let name = [b'a', byte, b'z'];
            let text = std::str::from_utf8(&name).ok();
            let is_right = text.is_some_and(|text| fault_of(text, NAME_LEN_MAX).is_none());
            assert_eq!(is_plain(&name), is_right, "{byte}");
        }
        for len in 1..=64 {
            for at in 0..len {
                let mut name = vec![b'a'; len];
                assert!(is_plain(&name));
                name[at] = 0x7f;
                assert!(!is_plain(&name), "{len} {at}");
            }
        }
    }

    #[test]
    fn empty_long_and_controlling_names_are_refused() {
        assert_eq!(fault_of("", NAME_LEN_MAX), Some(NameFault::Empty));
        assert_eq!(
            fault_of(&"x".repeat(256), NAME_LEN_MAX),
            Some(NameFault::TooLong { len: 256, max: 255 })
        );
        assert_eq!(fault_of("a\nb", NAME_LEN_MAX), Some(NameFault::ControlCharacter { offset: 1 }));
        assert_eq!(fault_of("\0", NAME_LEN_MAX), Some(NameFault::ControlCharacter { offset: 0 }));
        assert_eq!(
            fault_of("é\u{85}", NAME_LEN_MAX),
            Some(NameFault::ControlCharacter { offset: 2 })
        );
    }
}
