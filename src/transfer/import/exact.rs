//! Lines as stores are exported: `docs/dump.md` describes them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::event::{ContentType, NewEvent};
use crate::inspect::LINE_VERSION;
use crate::transfer::import::incoming::{Incoming, LineFault, Place};
use crate::types::{Position, Revision};

/// The version of a line, whatever else there is.
#[derive(Deserialize)]
struct Versioned {
    v: Option<u64>,
}

/// A line, field by field. One that is not known would be lost, so it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    v: u64,
    position: u64,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    revision: u64,
    #[serde(borrow)]
    recorded_at: Cow<'a, str>,
    ends_batch: bool,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    content_type: Cow<'a, str>,
    tags: Vec<String>,
    #[serde(borrow)]
    metadata: Option<Cow<'a, str>>,
    #[serde(borrow)]
    metadata_base64: Option<Cow<'a, str>>,
    #[serde(borrow)]
    idempotency_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    idempotency_key_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_base64: Option<Cow<'a, str>>,
}

/// A value that is there, also if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a line.
pub(super) fn read(line: &[u8]) -> Result<Incoming, LineFault> {
    // A list of the right values would do as well for the parser.
    if !line.starts_with(b"{") {
        return Err(LineFault::new("it is not a JSON object"));
    }
    let parsed = serde_json::from_slice::<Line<'_>>(line).map_err(|error| refuse(line, &error))?;
    if parsed.v != LINE_VERSION {
        return Err(LineFault::new(NEWER));
    }
    let content_type = ContentType::from_media_type(&parsed.content_type)
        .ok_or_else(|| LineFault::new("its content_type is not one that annals writes"))?;
    let data = payload(content_type, parsed.data, parsed.data_base64.as_deref())?;
    let id = parsed.id.parse().map_err(|error| LineFault::because("its id is none", error))?;
    let metadata = bytes(parsed.metadata, parsed.metadata_base64.as_deref())?;
    let key = bytes(parsed.idempotency_key, parsed.idempotency_key_base64.as_deref())?;
    let time = parsed.recorded_at.parse();
    let time = time.map_err(|error| LineFault::because("its recorded_at is no time", error))?;
    let event = NewEvent::new(parsed.event_type, content_type, data)
        .id(id)
        .metadata(metadata)
        .idempotency_key(key);
    Ok(Incoming {
        stream: parsed.stream.into_owned(),
        id,
        event: parsed.tags.into_iter().fold(event, NewEvent::tag),
        time: Some(time),
        place: Some(Place {
            position: Position::new(parsed.position),
            revision: Revision::new(parsed.revision),
            ends_batch: parsed.ends_batch,
        }),
    })
}

const NEWER: &str = "it is written by another version of annals-dump than 1";

/// What is wrong with a line that has not what lines of this version have.
fn refuse(line: &[u8], error: &serde_json::Error) -> LineFault {
    match serde_json::from_slice::<Versioned>(line) {
        Ok(Versioned { v: Some(LINE_VERSION) }) => {
            LineFault::of_json("it has not the fields of an exported event", error)
        }
        Ok(Versioned { v: Some(_) }) => LineFault::new(NEWER),
        Ok(Versioned { v: None }) => LineFault::new("it is not a line of an export: no field v"),
        Err(_) => LineFault::of_json("it is no line of an export", error),
    }
}

/// The bytes of a field that is either text or base64, or neither.
fn bytes(text: Option<Cow<'_, str>>, base64: Option<&str>) -> Result<Vec<u8>, LineFault> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into_owned().into_bytes()),
        (None, Some(base64)) => decode(base64),
        (None, None) => Ok(Vec::new()),
        (Some(_), Some(_)) => Err(LineFault::new("a field stands there in base64 as well")),
    }
}

fn payload(
    content_type: ContentType,
    data: Option<&RawValue>,
    base64: Option<&str>,
) -> Result<Vec<u8>, LineFault> {
    match (data, base64, content_type) {
        (None, Some(base64), _) => decode(base64),
        (Some(json), None, ContentType::Json) => Ok(json.get().as_bytes().to_vec()),
        (Some(json), None, ContentType::Text) => serde_json::from_str(json.get())
            .map(String::into_bytes)
            .map_err(|error| LineFault::because("its data is no string", error)),
        (Some(_), None, _) => {
            Err(LineFault::new("it has data, where its content_type wants data_base64"))
        }
        (None, None, _) => Err(LineFault::new("it has no data")),
        (Some(_), Some(_), _) => Err(LineFault::new("it has both data and data_base64")),
    }
}

pub(super) fn decode(base64: &str) -> Result<Vec<u8>, LineFault> {
    STANDARD.decode(base64).map_err(|error| LineFault::because("a field is not base64", error))
}
