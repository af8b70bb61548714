//! Events and summaries as JSON Lines, as `docs/dump.md` describes them.
//!
//! Owns the names of the fields and their order.

use std::fmt::{Display, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::event::{ContentType, Event, EventView};
use crate::inspect::escape::push_escaped;
use crate::inspect::{ConsumerSummary, SegmentSummary, StreamSummary, segment_file};
use crate::types::Timestamp;

/// An event as one line of JSON, without a line feed.
///
/// The fields, in this order: `position`, `stream`, `revision`, `recorded_at` (RFC 3339, UTC, with
/// nanoseconds), `id`, `type`, `content_type`, `tags`, `metadata` (a string, or `null` if there is
/// none), `idempotency_key` only if there is one, and `data`: a JSON payload as it is, a text as a
/// string. What is no valid JSON or UTF-8, and every other payload, is `data_base64` instead;
/// likewise `metadata_base64` and `idempotency_key_base64`.
///
/// A JSON payload keeps every character, but that line breaks between its parts become spaces and
/// white space around it goes.
#[must_use]
pub fn json_line(event: &Event) -> String {
    let mut line = String::new();
    push_json_line(&mut line, event.view());
    line
}

/// Adds to `line` what [`json_line`] returns.
pub fn push_json_line(line: &mut String, event: EventView<'_>) {
    let mut object = Object::new();
    object.value("position", event.position());
    object.string("stream", event.stream());
    object.value("revision", event.revision());
    object.value("recorded_at", Quoted(event.recorded_at()));
    object.value("id", Quoted(event.id()));
    object.string("type", event.event_type());
    object.value("content_type", Quoted(event.content_type()));
    object.strings("tags", event.tags());
    match event.metadata() {
        [] => object.value("metadata", "null"),
        metadata => object.string_or_base64("metadata", metadata),
    }
    if let Some(key) = event.idempotency_key() {
        object.string_or_base64("idempotency_key", key);
    }
    push_data(&mut object, event);
    line.push_str(&object.finish());
}

pub(super) fn push_data(object: &mut Object, event: EventView<'_>) {
    let payload = event.payload();
    match event.content_type() {
        ContentType::Json => match serde_json::from_slice::<&RawValue>(payload) {
            Ok(json) => object.value("data", json.get().replace(['\n', '\r'], " ")),
            Err(_) => object.base64("data", payload),
        },
        ContentType::Text => object.string_or_base64("data", payload),
        _ => object.base64("data", payload),
    }
}

impl StreamSummary {
    /// The summary as one line of JSON, without a line feed, with the fields `stream`,
    /// `event_count`, `first_position`, `last_position`, `first_recorded_at`, `last_recorded_at`
    /// and `payload_len`.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut object = Object::new();
        object.string("stream", &self.name);
        object.value("event_count", self.event_count);
        object.value("first_position", self.first);
        object.value("last_position", self.last);
        object.value("first_recorded_at", Quoted(self.first_recorded_at));
        object.value("last_recorded_at", Quoted(self.last_recorded_at));
        object.value("payload_len", self.payload_len);
        object.finish()
    }
}

impl ConsumerSummary {
    /// The summary as one line of JSON, without a line feed, with the fields `consumer`,
    /// `committed`, `lag_event_count`, `pending_count`, `parked_count` and `committed_at`.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut object = Object::new();
        object.string("consumer", &self.name);
        object.value("committed", self.committed);
        object.value("lag_event_count", self.lag_event_count);
        object.value("pending_count", self.pending_count);
        object.value("parked_count", self.parked_count);
        object.value("committed_at", Quoted(self.committed_at));
        object.finish()
    }
}

impl SegmentSummary {
    /// The summary as one line of JSON, without a line feed, with the fields `file`, `state`,
    /// `first_position`, `end_position`, `event_count`, `file_len`, `first_recorded_at` and
    /// `last_recorded_at`. The times of a segment without events are `null`.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut object = Object::new();
        object.string("file", &segment_file(self.first));
        object.value("state", Quoted(self.state));
        object.value("first_position", self.first);
        object.value("end_position", self.end);
        object.value("event_count", self.event_count());
        object.value("file_len", self.file_len);
        object.time("first_recorded_at", self.first_recorded_at);
        object.time("last_recorded_at", self.last_recorded_at);
        object.finish()
    }
}

/// A value in quotes. It must be written without quotes, backslashes and control characters.
pub(super) struct Quoted<T>(pub(super) T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// An object that is being written.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        Self(String::from("{"))
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{key}\":");
    }

    /// Adds a value that is written as JSON.
    pub(super) fn value(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    pub(super) fn string(&mut self, key: &str, text: &str) {
        self.key(key);
        push_string(&mut self.0, text);
    }

    fn strings<'a>(&mut self, key: &str, texts: impl Iterator<Item = &'a str>) {
        self.key(key);
        self.0.push('[');
        for (n, text) in texts.enumerate() {
            if n > 0 {
                self.0.push(',');
            }
            push_string(&mut self.0, text);
        }
        self.0.push(']');
    }

    fn time(&mut self, key: &str, time: Option<Timestamp>) {
        match time {
            Some(time) => self.value(key, Quoted(time)),
            None => self.value(key, "null"),
        }
    }

    pub(super) fn base64(&mut self, key: &str, bytes: &[u8]) {
        self.key(&format!("{key}_base64"));
        self.0.push('"');
        STANDARD.encode_string(bytes, &mut self.0);
        self.0.push('"');
    }

    fn string_or_base64(&mut self, key: &str, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.string(key, text),
            Err(_) => self.base64(key, bytes),
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn push_string(line: &mut String, text: &str) {
    line.push('"');
    push_escaped(line, text, is_escaped, push_escape);
    line.push('"');
}

/// What JSON wants escaped, and what some take for the end of a line or a command to a terminal.
fn is_escaped(c: char) -> bool {
    c.is_control() || matches!(c, '"' | '\\' | '\u{2028}' | '\u{2029}')
}

fn push_escape(line: &mut String, c: char) {
    match c {
        '"' => line.push_str("\\\""),
        '\\' => line.push_str("\\\\"),
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        other => {
            let _ = write!(line, "\\u{:04x}", u32::from(other));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &str) -> String {
        let mut line = String::new();
        push_string(&mut line, text);
        line
    }

    #[test]
    fn what_could_end_a_line_or_a_string_is_escaped() {
        let text = "a\"\\\n\r\t\u{8}\u{1b}\u{7f}\u{9b}\u{2028}購é";
        let expected = r#""a\"\\\n\r\t\u0008\u001b\u007f\u009b\u2028購é""#;
        assert_eq!(string(text), expected);
    }

    proptest! {
        #[test]
        fn every_string_reads_back_as_it_was(text in any::<String>()) {
            let line = string(&text);
            prop_assert!(!line.contains(char::is_control));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }
}
