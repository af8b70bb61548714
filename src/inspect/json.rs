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
use crate::types::{EventId, Timestamp};

/// The version of the lines: the first field, `v`, of each. A later version may mean something else
/// by a field, or lack one.
pub(crate) const LINE_VERSION: u64 = 1;

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

impl StreamSummary {
    /// The summary as one line of JSON, without a line feed, with the fields `v`, `stream`,
    /// `event_count`, `first_position`, `last_position`, `first_recorded_at`, `last_recorded_at`
    /// and `payload_len`.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut line = String::new();
        let mut object = Object::versioned(&mut line);
        object.string("stream", &self.name);
        object.value("event_count", self.event_count);
        object.value("first_position", self.first);
        object.value("last_position", self.last);
        object.value("first_recorded_at", Quoted(self.first_recorded_at));
        object.value("last_recorded_at", Quoted(self.last_recorded_at));
        object.value("payload_len", self.payload_len);
        object.finish();
        line
    }
}

impl ConsumerSummary {
    /// The summary as one line of JSON, without a line feed, with the fields `v`, `consumer`,
    /// `committed`, `lag_event_count`, `pending_count`, `parked_count` and `committed_at`.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut line = String::new();
        let mut object = Object::versioned(&mut line);
        object.string("consumer", &self.name);
        object.value("committed", self.committed);
        object.value("lag_event_count", self.lag_event_count);
        object.value("pending_count", self.pending_count);
        object.value("parked_count", self.parked_count);
        object.value("committed_at", Quoted(self.committed_at));
        object.finish();
        line
    }
}

impl SegmentSummary {
    /// The summary as one line of JSON, without a line feed, with the fields `v`, `file`, `state`,
    /// `first_position`, `end_position`, `event_count`, `file_len`, `first_recorded_at`,
    /// `last_recorded_at` and `digest` (32 hexadecimal digits). The times of a segment without events
    /// are `null`, and so is the digest of one that is not sealed.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut line = String::new();
        let mut object = Object::versioned(&mut line);
        object.string("file", &segment_file(self.first));
        object.value("state", Quoted(self.state));
        object.value("first_position", self.first);
        object.value("end_position", self.end);
        object.value("event_count", self.event_count());
        object.value("file_len", self.file_len);
        object.time("first_recorded_at", self.first_recorded_at);
        object.time("last_recorded_at", self.last_recorded_at);
        match self.digest_text() {
            Some(digest) => object.plain("digest", &digest),
            None => object.raw("digest", "null"),
        }
        object.finish();
        line
    }
}

/// A value in quotes. It must be written without quotes, backslashes and control characters.
pub(crate) struct Quoted<T>(pub(crate) T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// An object that is being written at the end of a line.
pub(crate) struct Object<'a> {
    line: &'a mut String,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Begins an object.
    pub(crate) fn new(line: &'a mut String) -> Self {
        line.push('{');
        Self { line, is_empty: true }
    }

    /// Begins an object whose first field says by which version of `docs/dump.md` it is written.
    pub(crate) fn versioned(line: &'a mut String) -> Self {
        let mut object = Self::new(line);
        object.number("v", LINE_VERSION);
        object
    }

    /// Goes on with an object that is not empty and not ended.
    pub(super) fn going_on(line: &'a mut String) -> Self {
        Self { line, is_empty: false }
    }

    #[inline]
    fn key(&mut self, key: &str) {
        if !self.is_empty {
            self.line.push(',');
        }
        self.is_empty = false;
        self.line.push('"');
        self.line.push_str(key);
        self.line.push_str("\":");
    }

    /// Adds a value that is written as JSON.
    pub(crate) fn value(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.line, "{value}");
    }

    /// Adds text that is JSON.
    pub(crate) fn raw(&mut self, key: &str, json: &str) {
        self.key(key);
        self.line.push_str(json);
    }

    /// The same for a key that may have anything in it.
    pub(crate) fn named_raw(&mut self, key: &str, json: &str) {
        if !self.is_empty {
            self.line.push(',');
        }
        self.is_empty = false;
        push_string(self.line, key);
        self.line.push(':');
        self.line.push_str(json);
    }

    /// Adds JSON that may have line breaks and control characters.
    pub(crate) fn json(&mut self, key: &str, json: &str) {
        self.key(key);
        // Outside of strings there are no others.
        push_escaped(self.line, json, is_hidden, |line, c| match c {
            '\n' | '\r' | '\t' => line.push(' '),
            other => push_escape(line, other),
        });
    }

    pub(crate) fn number(&mut self, key: &str, number: u64) {
        self.raw(key, itoa::Buffer::new().format(number));
    }

    /// Adds text without quotes, backslashes and control characters.
    pub(crate) fn plain(&mut self, key: &str, text: &str) {
        self.key(key);
        self.line.push('"');
        self.line.push_str(text);
        self.line.push('"');
    }

    pub(crate) fn string(&mut self, key: &str, text: &str) {
        self.key(key);
        push_string(self.line, text);
    }

    pub(crate) fn strings<'t>(&mut self, key: &str, texts: impl Iterator<Item = &'t str>) {
        self.key(key);
        self.line.push('[');
        for (n, text) in texts.enumerate() {
            if n > 0 {
                self.line.push(',');
            }
            push_string(self.line, text);
        }
        self.line.push(']');
    }

    pub(crate) fn time(&mut self, key: &str, time: Option<Timestamp>) {
        match time {
            Some(time) => {
                self.key(key);
                self.line.push('"');
                time.push_to(self.line);
                self.line.push('"');
            }
            None => self.raw(key, "null"),
        }
    }

    /// Adds bytes as the field `<key>_base64`.
    pub(crate) fn base64(&mut self, key: &str, bytes: &[u8]) {
        self.key(&format!("{key}_base64"));
        self.line.push('"');
        STANDARD.encode_string(bytes, self.line);
        self.line.push('"');
    }

    pub(crate) fn string_or_base64(&mut self, key: &str, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.string(key, text),
            Err(_) => self.base64(key, bytes),
        }
    }

    pub(crate) fn finish(self) {
        self.line.push('}');
    }
}

fn push_string(line: &mut String, text: &str) {
    line.push('"');
    push_escaped(line, text, |c| is_hidden(c) || matches!(c, '"' | '\\'), push_escape);
    line.push('"');
}

/// What some take for the end of a line or a command to a terminal.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
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
