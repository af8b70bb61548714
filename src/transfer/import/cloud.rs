//! Lines that are CloudEvents in their JSON format.

use serde_json::value::RawValue;

use crate::event::{ContentType, NewEvent};
use crate::inspect::Object;
use crate::transfer::import::exact::decode;
use crate::transfer::import::fields::{Fields, text_of};
use crate::transfer::import::incoming::{Incoming, LineFault};
use crate::transfer::import::plain::id_of;
use crate::types::EventId;

/// How CloudEvents 1.0 become events, one JSON object a line.
///
/// `type`, `time` and the data go where they belong; `subject` is the stream, or `source` if there is
/// none. An `id` that is a UUID is the event's id; of any other, together with its `source`, one is
/// made that is always the same. What has no place of its own (`source`, an `id` that is no UUID,
/// a content type that annals does not know, `dataschema`, extensions), and the time as it was
/// written, is kept as a JSON object in the metadata.
#[derive(Clone, Debug, Default)]
pub struct CloudEvents {
    stream: Option<String>,
}

/// Attributes that have a place of their own in an event.
const PLACED: [&str; 4] = ["specversion", "type", "data", "data_base64"];

impl CloudEvents {
    /// As they are usually.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The stream stands in the field at `path`, `data.cart` for instance.
    #[must_use]
    pub fn stream_field(mut self, path: impl Into<String>) -> Self {
        self.stream = Some(path.into());
        self
    }

    pub(super) fn read(&self, line: &[u8]) -> Result<Incoming, LineFault> {
        let fields: Fields<'_> = serde_json::from_slice(line)
            .map_err(|error| LineFault::of_json("it is not a JSON object", &error))?;
        let text = |name| fields.get(name).and_then(text_of);
        if text("specversion").as_deref() != Some("1.0") {
            return Err(LineFault::new("it is no CloudEvent with specversion 1.0"));
        }
        let event_type = text("type").ok_or_else(|| LineFault::new("it has no type"))?;
        let source = text("source").ok_or_else(|| LineFault::new("it has no source"))?;
        let own_id = text("id").ok_or_else(|| LineFault::new("it has no id"))?;
        let (stream_from, stream) = match &self.stream {
            Some(path) => (path.as_str(), fields.at(path).and_then(text_of)),
            None if text("subject").is_some() => ("subject", text("subject")),
            None => ("source", text("source")),
        };
        let stream = stream.ok_or_else(|| LineFault::new("it has no field for its stream"))?;
        let time = text("time").map(|time| time.parse()).transpose();
        let time = time.map_err(|error| LineFault::because("its time is none", error))?;
        let id = own_id.parse::<EventId>().ok().filter(|id| id.to_string() == own_id);
        let is_id_kept = id.is_some();
        let id = id.unwrap_or_else(|| id_of(&[source.as_bytes(), own_id.as_bytes()]));
        let media_type = text("datacontenttype");
        let (content_type, is_type_kept) = content_type_of(media_type.as_deref(), &fields);
        let payload = payload(content_type, &fields)?;
        let is_rest = |name: &str| match name {
            "id" => !is_id_kept,
            "datacontenttype" => !is_type_kept,
            // Where a stream's name is the same for all its events, it need not be kept twice.
            "subject" => stream_from != "subject",
            other => !PLACED.contains(&other),
        };
        let metadata = rest(&fields, is_rest);
        let event = NewEvent::new(event_type, content_type, payload).id(id).metadata(metadata);
        Ok(Incoming { stream: stream.into_owned(), id, event, time, place: None })
    }
}

/// The encoding of the data, and whether it is told by nothing but the media type.
fn content_type_of(media_type: Option<&str>, fields: &Fields<'_>) -> (ContentType, bool) {
    let Some(media_type) = media_type else {
        let is_bytes = fields.get("data").is_none();
        return (if is_bytes { ContentType::Bytes } else { ContentType::Json }, true);
    };
    if let Some(known) = ContentType::from_media_type(media_type) {
        return (known, true);
    }
    let essence = media_type.split(';').next().unwrap_or(media_type).trim().to_ascii_lowercase();
    let of_kind = if essence == "application/json" || essence.ends_with("+json") {
        ContentType::Json
    } else if essence.starts_with("text/") {
        ContentType::Text
    } else {
        ContentType::Bytes
    };
    (of_kind, false)
}

/// The data, as the JSON format of CloudEvents, section 3.1, says.
fn payload(content_type: ContentType, fields: &Fields<'_>) -> Result<Vec<u8>, LineFault> {
    match (fields.get("data"), fields.get("data_base64")) {
        (Some(_), Some(_)) => Err(LineFault::new("it has both data and data_base64")),
        (None, None) => Ok(Vec::new()),
        (None, Some(base64)) => {
            let text = text_of(base64).ok_or_else(|| LineFault::new("its data_base64 is none"))?;
            decode(&text)
        }
        (Some(data), None) if content_type == ContentType::Json => Ok(data.get().into()),
        (Some(data), None) => string_or_json(data),
    }
}

/// Data that is not JSON stands there as a string; if it does not, what stands there.
fn string_or_json(data: &RawValue) -> Result<Vec<u8>, LineFault> {
    if !data.get().starts_with('"') {
        return Ok(data.get().into());
    }
    let text = text_of(data).ok_or_else(|| LineFault::new("its data is no text"))?;
    Ok(text.into_owned().into_bytes())
}

/// The fields that `is_rest` takes, as an object; nothing if there are none.
fn rest(fields: &Fields<'_>, is_rest: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut text = String::new();
    let mut object = Object::new(&mut text);
    let mut is_empty = true;
    for (name, value) in fields.0.iter().filter(|(name, _)| is_rest(name)) {
        object.named_raw(name, value.get());
        is_empty = false;
    }
    object.finish();
    if is_empty { Vec::new() } else { text.into_bytes() }
}
