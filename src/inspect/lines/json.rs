//! Events as JSON Lines, as `docs/dump.md` describes them.
//!
//! Owns the names of the fields and their order.

use serde_json::value::RawValue;

use crate::event::{ContentType, Event, EventView};
use crate::inspect::notation::{Object, is_hidden};
use crate::types::EventId;

/// What becomes of a JSON payload that cannot stand in a line as it is, because there are line
/// breaks between its parts, white space around it, or control characters in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// It stands there all the same, and means the same.
    Equivalent,
    /// It is written in base64, so that no byte of it is lost.
    Exact,
}

/// An event as one line of JSON, without a line feed. See [`push_json_line`].
#[must_use]
pub fn json_line(event: &Event) -> String {
    let mut line = String::new();
    push_json_line(&mut line, event.view());
    line
}

/// Adds to `line` an event as one line of JSON, without a line feed.
///
/// The fields, in this order: `v` (1), `position`, `stream`, `revision`, `recorded_at` (RFC 3339, UTC,
/// with nanoseconds), `ends_batch`, `id`, `type`, `content_type`, `tags`, `metadata` (a string, or
/// `null` if there is none), `idempotency_key` only if there is one, and `data`: a JSON payload as it
/// is, a text as a string. What is no valid JSON or UTF-8, and every other payload, is
/// `data_base64` instead; likewise `metadata_base64` and `idempotency_key_base64`.
///
/// A JSON payload keeps every character, but that line breaks between its parts become spaces,
/// white space around it goes, and control characters in its strings are escaped.
pub fn push_json_line(line: &mut String, event: EventView<'_>) {
    push_event(line, event, Json::Equivalent);
}

/// As [`push_json_line`], but no byte of the event is lost: a JSON payload that could not stand in the
/// line as it is becomes `data_base64`. What [`Import`](crate::transfer::Import) reads.
pub fn push_exact_json_line(line: &mut String, event: EventView<'_>) {
    push_event(line, event, Json::Exact);
}

fn push_event(line: &mut String, event: EventView<'_>, json: Json) {
    let mut object = Object::versioned(line);
    object.number("position", event.position().get());
    object.string("stream", event.stream());
    object.number("revision", event.revision().get());
    object.time("recorded_at", Some(event.recorded_at()));
    object.raw("ends_batch", if event.ends_batch() { "true" } else { "false" });
    object.plain("id", event.id().hyphenated(&mut [0; EventId::TEXT_LEN]));
    object.string("type", event.event_type());
    object.plain("content_type", &event.content_type().media_type());
    object.strings("tags", event.tags());
    match event.metadata() {
        [] => object.raw("metadata", "null"),
        metadata => object.string_or_base64("metadata", metadata),
    }
    if let Some(key) = event.idempotency_key() {
        object.string_or_base64("idempotency_key", key);
    }
    push_data(&mut object, event, json);
    object.finish();
}

pub(super) fn push_data(object: &mut Object<'_>, event: EventView<'_>, json: Json) {
    let payload = event.payload();
    match event.content_type() {
        ContentType::Json => match serde_json::from_slice::<&RawValue>(payload) {
            Ok(value) if json == Json::Equivalent && !is_plain(value.get()) => {
                object.json("data", value.get());
            }
            Ok(value) if json == Json::Equivalent || is_exact(value.get(), payload) => {
                object.raw("data", value.get());
            }
            _ => object.base64("data", payload),
        },
        ContentType::Text => object.string_or_base64("data", payload),
        _ => object.base64("data", payload),
    }
}

/// Whether the JSON in a payload is all of it, and can stand in a line as it is.
fn is_exact(json: &str, payload: &[u8]) -> bool {
    json.len() == payload.len() && (is_plain(json) || !json.contains(is_hidden))
}

/// Whether a text is of printable ASCII alone.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
}
