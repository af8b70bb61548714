//! What the bytes of a payload are.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Cause;

/// The encoding of a payload. Kept with each event as one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContentType {
    /// Bytes that only the application understands.
    Bytes,
    /// JSON in UTF-8.
    Json,
    /// Text in UTF-8.
    Text,
    /// bincode 1, with integers of fixed width, little-endian.
    Bincode,
    /// CBOR.
    Cbor,
    /// `MessagePack`.
    MessagePack,
    /// Protocol Buffers.
    Protobuf,
    /// Avro.
    Avro,
    /// Another encoding. Numbers from 128 up are the application's. Lower ones are kept for
    /// encodings that a later release may name: they are read, and refused in appends.
    Other(u8),
}

/// The number of each named encoding, as `docs/format.md`, section 4, has it.
const CODES: [(ContentType, u8, &str); 8] = [
    (ContentType::Bytes, 0, "application/octet-stream"),
    (ContentType::Json, 1, "application/json"),
    (ContentType::Text, 2, "text/plain; charset=utf-8"),
    (ContentType::Bincode, 3, "application/x-bincode"),
    (ContentType::Cbor, 4, "application/cbor"),
    (ContentType::MessagePack, 5, "application/vnd.msgpack"),
    (ContentType::Protobuf, 6, "application/protobuf"),
    (ContentType::Avro, 7, "application/avro"),
];

/// How the media type begins of an encoding that has none; its number follows.
const OTHER_PREFIX: &str = "application/x-annals-";

impl ContentType {
    /// How this encoding is written, such as `application/json`.
    #[must_use]
    pub fn media_type(self) -> Cow<'static, str> {
        match CODES.iter().find(|(of, _, _)| *of == self) {
            Some((_, _, media_type)) => Cow::Borrowed(media_type),
            None => Cow::Owned(format!("{OTHER_PREFIX}{}", self.code())),
        }
    }

    /// The encoding that a media type names, as [`ContentType`] is written: `application/json` for
    /// instance. `None` if it names none that annals knows.
    #[must_use]
    pub fn from_media_type(text: &str) -> Option<Self> {
        let named = CODES.iter().find(|(_, _, media_type)| *media_type == text);
        named.map(|(named, _, _)| *named).or_else(|| {
            let code = text.strip_prefix(OTHER_PREFIX)?.parse().ok().map(Self::from_code)?;
            // Others are written by their names.
            (matches!(code, Self::Other(_)) && code.to_string() == text).then_some(code)
        })
    }

    /// The first code that is the application's to give a meaning.
    const APPLICATION_START: u8 = 128;

    /// Whether an event of this encoding may be appended.
    pub(crate) fn is_assigned(self) -> bool {
        !matches!(self, Self::Other(code) if code < Self::APPLICATION_START)
    }

    /// The number that stands for this encoding on disk.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Other(code) => code,
            named => CODES.iter().find(|(of, _, _)| *of == named).map_or(0, |(_, code, _)| *code),
        }
    }

    /// The encoding with this number.
    #[must_use]
    #[inline]
    pub fn from_code(code: u8) -> Self {
        // Codes are numbered from 0 on, in the order of the table.
        match CODES.get(usize::from(code)) {
            Some((named, _, _)) => *named,
            None => Self::Other(code),
        }
    }

    /// Makes `value` into a payload of this encoding.
    pub(crate) fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, Cause> {
        match self {
            #[cfg(feature = "json")]
            Self::Json => serde_json::to_vec(value).map_err(Into::into),
            Self::Bincode => bincode::serialize(value).map_err(Into::into),
            _ => Err(self.unsupported()),
        }
    }

    /// Makes a payload of this encoding into a value. Bytes left over are an error.
    pub(crate) fn decode<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, Cause> {
        match self {
            #[cfg(feature = "json")]
            Self::Json => serde_json::from_slice(payload).map_err(Into::into),
            Self::Bincode => decode_bincode(payload),
            _ => Err(self.unsupported()),
        }
    }

    fn unsupported(self) -> Cause {
        let hint = if self == Self::Json { " without the feature `json`" } else { "" };
        format!("annals does not convert {self}{hint}: use the payload's bytes").into()
    }
}

/// Reads what [`bincode::serialize`] wrote, and refuses bytes left over, which
/// [`bincode::deserialize`] does not.
fn decode_bincode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Cause> {
    use bincode::Options;
    let limit = u64::try_from(payload.len()).unwrap_or(u64::MAX);
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(limit)
        .reject_trailing_bytes()
        .deserialize(payload)
        .map_err(Into::into)
}

impl fmt::Display for ContentType {
    /// Writes the media type, such as `application/json`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.media_type())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_for_one_encoding() {
        for code in 0..=u8::MAX {
            let content_type = ContentType::from_code(code);
            assert_eq!(content_type.code(), code);
            let media_type = content_type.to_string();
            assert_eq!(ContentType::from_media_type(&media_type), Some(content_type));
        }
    }

    #[test]
    fn what_no_encoding_is_written_as_names_none() {
        for text in ["", "application/x-annals-1", "application/x-annals-0200", "text/html"] {
            assert_eq!(ContentType::from_media_type(text), None, "{text}");
        }
    }

    #[test]
    fn bytes_left_over_are_no_bincode_value() {
        let payload = ContentType::Bincode.encode(&7_u32).unwrap();
        assert_eq!(ContentType::Bincode.decode::<u32>(&payload).unwrap(), 7);
        assert!(ContentType::Bincode.decode::<u16>(&payload).is_err());
        assert!(ContentType::Bincode.decode::<u64>(&payload).is_err());
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let huge = ContentType::Bincode.encode(&u64::MAX).unwrap();
        assert!(ContentType::Bincode.decode::<String>(&huge).is_err());
    }
}
