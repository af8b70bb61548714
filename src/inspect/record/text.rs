//! A record as text, for people: what it says, and its bytes by their fields.

use std::fmt::Write as _;
use std::ops::Range;

use crate::event::{ContentType, Event};
use crate::inspect::notation::{escaped, push_columns, push_lines, push_text};
use crate::inspect::{DamagedRecord, RecordField, ShownRecord, push_hex_dump, segment_file};
use crate::segment::wide;

/// Columns of the names.
const NAME_LEN: usize = 20;
/// Bytes of a line.
const LINE_LEN: usize = 16;

impl DamagedRecord {
    /// For people, over several lines: where it is and what was expected, and the bytes by their
    /// fields as they claim to be.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let Range { start, end } = self.positions;
        push(&mut text, "damaged", &self.error);
        push(&mut text, "events that are lost", &format_args!("{start}..{end}"));
        push(&mut text, "segment file", &segment_file(self.segment));
        push(&mut text, "offset", &self.offset);
        push(&mut text, "bytes", &self.len);
        if !self.bytes.is_empty() {
            text.push_str("\nbytes, and what they would be\n");
            push_fields(&mut text, &self.bytes, &self.fields());
        }
        if wide(self.bytes.len()) < self.len {
            let _ = writeln!(text, "… ({} bytes)", self.len);
        }
        text
    }
}

impl ShownRecord {
    /// For people, over several lines: the event, its payload, its place and framing, and all bytes of
    /// the record by their fields.
    ///
    /// What could do something to a terminal is escaped. JSON and text keep their lines; what is no
    /// text is shown in hexadecimal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.push_event(&mut text);
        text.push_str("\npayload\n");
        push_payload(&mut text, &self.event);
        text.push('\n');
        self.push_framing(&mut text);
        text.push_str("\nbytes of the record\n");
        push_fields(&mut text, &self.bytes, &self.fields());
        text
    }

    fn push_event(&self, text: &mut String) {
        let event = &self.event;
        push(text, "position", &event.position());
        push(text, "stream", &escaped(event.stream()));
        push(text, "revision", &event.revision());
        push(text, "type", &escaped(event.event_type()));
        push(text, "recorded at", &event.recorded_at());
        push(text, "id", &event.id());
        push(text, "content type", &event.content_type());
        for tag in event.tags() {
            push(text, "tag", &escaped(tag));
        }
        if let Some(key) = event.idempotency_key() {
            push(text, "idempotency key", &bytes_or_text(key));
        }
        if !event.metadata().is_empty() {
            push(text, "metadata", &bytes_or_text(event.metadata()));
        }
        push(text, "payload bytes", &event.payload().len());
    }

    fn push_framing(&self, text: &mut String) {
        push(text, "segment file", &segment_file(self.segment));
        push(text, "offset", &self.offset);
        push(text, "record bytes", &self.bytes.len());
        if let Some(flags) = self.fields().iter().find(|field| field.name == "flags") {
            push(text, "flags", &flags.value);
        }
        let Self { checksum, computed_checksum, chain, .. } = self;
        push(
            text,
            "checksum",
            &format_args!("{checksum:#010x}, computed {computed_checksum:#010x}"),
        );
        let before = match self.checksum_before {
            Some(before) => format!("{before:#010x}"),
            None => "not known: it is damaged".to_owned(),
        };
        push(
            text,
            "checksum before",
            &format_args!("{chain:#010x}, that of the record before {before}"),
        );
        match self.durable_end {
            Some(end) => push(text, "durability witness", &format_args!("all before {end}")),
            None => push(text, "durability witness", &"unknown"),
        }
        match &self.batch {
            Some(batch) => {
                let number = self.event.position().since(batch.start) + 1;
                let count = batch.end.since(batch.start);
                push(text, "place in its batch", &format_args!("{number} of {count}"));
            }
            None => push(text, "place in its batch", &"not known: it is damaged"),
        }
        if let Some((consumer, position)) = &self.progress {
            let said = format!("{} has done all before {position}", escaped(consumer));
            push(text, "consumer", &said);
        }
    }
}

/// Adds a line of a name and what is said of it.
fn push(text: &mut String, name: &str, value: &dyn std::fmt::Display) {
    let _ = writeln!(text, "{name:<NAME_LEN$}  {value}");
}

/// Text as it is, if it is all printable but for line breaks; hexadecimal if not.
fn bytes_or_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => escaped(text),
        Err(_) => bytes.iter().fold("0x".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
    }
}

fn push_payload(text: &mut String, event: &Event) {
    let is_text = matches!(event.content_type(), ContentType::Json | ContentType::Text);
    match std::str::from_utf8(event.payload()) {
        Ok(payload) if is_text => push_lines(text, payload),
        _ => push_hex_dump(text, event.payload()),
    }
}

/// Adds all bytes, each part on lines of its own with its name; what is no part at the end.
fn push_fields(text: &mut String, bytes: &[u8], fields: &[RecordField]) {
    for field in fields {
        let part = bytes.get(field.bytes.clone()).unwrap_or_default();
        push_part(text, field.bytes.start, part, (field.name, &field.value));
    }
    let end = fields.last().map_or(0, |field| field.bytes.end);
    push_part(text, end, bytes.get(end..).unwrap_or_default(), ("", ""));
}

fn push_part(text: &mut String, start: usize, bytes: &[u8], (name, value): (&str, &str)) {
    for (n, line) in bytes.chunks(LINE_LEN).enumerate() {
        let _ = write!(text, "{:08x}  ", start + n * LINE_LEN);
        push_columns(text, line);
        if n == 0 && !name.is_empty() {
            text.extend(std::iter::repeat_n(' ', LINE_LEN.saturating_sub(line.len()) + 2));
            text.push_str(name);
            if !value.is_empty() {
                text.push_str(": ");
                push_text(text, value);
            }
        }
        text.push('\n');
    }
}
