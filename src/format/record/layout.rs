//! The parts of a record by name, for whoever wants to see them.
//!
//! Takes bytes that may be anything, and names as many parts as there are.

use crate::event::ContentType;
use crate::format::fields::Fields;
use crate::format::record::read::Header;
use crate::format::record::{
    FLAG_BATCH_END, FLAG_KEY, FLAG_PROGRESS, FLAG_TAGS, FLAGS_PADDING, FLAGS_UNUSED, HEADER_LEN,
    PADDING_SHIFT, PROGRESS_POSITION_LEN, UNKNOWN,
};
use crate::types::Timestamp;

/// A part of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// What `docs/format.md`, section 3, calls it.
    pub(crate) name: &'static str,
    /// Where in the record it begins.
    pub(crate) start: usize,
    /// Where in the record it ends.
    pub(crate) end: usize,
    /// What it says; empty where the bytes say it themselves.
    pub(crate) value: String,
}

/// The parts of a record that begins with `bytes`, up to the first one that is not all there.
pub(crate) fn parts_of(bytes: &[u8]) -> Vec<Part> {
    let mut parts = Parts { bytes, at: 0, found: Vec::new() };
    let header = bytes.first_chunk::<HEADER_LEN>().and_then(|bytes| Header::decode(bytes).ok());
    if let Some(header) = header {
        for (name, len, value) in fields(&header) {
            parts.add(name, len, value);
        }
        let _ = parts.body(&header);
    }
    parts.found
}

/// The fields of the header in their order, with their lengths.
fn fields(header: &Header) -> [(&'static str, usize, String); 13] {
    let witness = match header.undurable_count {
        UNKNOWN => "unknown".to_owned(),
        count => count.to_string(),
    };
    [
        ("checksum", 4, format!("{:#010x}", header.checksum)),
        ("checksum of the record before", 4, format!("{:#010x}", header.previous)),
        ("length", 4, header.len.to_string()),
        ("flags", 1, flags(header.flags)),
        ("content type", 1, ContentType::from_code(header.content_type).to_string()),
        ("length of the stream name", 1, header.stream_len.to_string()),
        ("length of the event type", 1, header.type_len.to_string()),
        ("position", 8, header.position.to_string()),
        ("revision", 8, header.revision.to_string()),
        ("recorded time", 8, Timestamp::from_nanos(header.recorded_at).to_string()),
        ("event id", 16, header.id().to_string()),
        ("undurable count", 4, witness),
        ("length of the metadata", 4, header.metadata_len.to_string()),
    ]
}

/// What flags say.
fn flags(flags: u8) -> String {
    let names = [
        (FLAG_BATCH_END, "batch end"),
        (FLAG_KEY, "idempotency key"),
        (FLAG_TAGS, "tags"),
        (FLAG_PROGRESS, "a consumer's progress"),
        (FLAGS_UNUSED, "unknown"),
    ];
    let set = names.iter().filter(|(flag, _)| flags & flag != 0);
    let mut words: Vec<_> = set.map(|(_, name)| (*name).to_owned()).collect();
    words.push(format!("{} bytes of padding", padding(flags)));
    format!("{flags:#04x}: {}", words.join(", "))
}

fn padding(flags: u8) -> usize {
    usize::from((flags & FLAGS_PADDING) >> PADDING_SHIFT)
}

struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
    found: Vec<Part>,
}

impl<'a> Parts<'a> {
    /// Adds the next part, if all of it is there, and returns its bytes.
    fn add(&mut self, name: &'static str, len: usize, value: String) -> Option<&'a [u8]> {
        let (start, end) = (self.at, self.at.checked_add(len)?);
        let bytes = self.bytes.get(start..end)?;
        self.at = end;
        if len > 0 {
            self.found.push(Part { name, start, end, value });
        }
        Some(bytes)
    }

    /// Adds a length of one byte, and returns it.
    fn len(&mut self, name: &'static str) -> Option<usize> {
        let len = usize::from(*self.bytes.get(self.at)?);
        self.add(name, 1, len.to_string())?;
        Some(len)
    }

    /// Adds the parts of the body; `None` if they are not all there.
    fn body(&mut self, header: &Header) -> Option<()> {
        let plain = String::new;
        let len = usize::try_from(header.len).ok()?;
        self.add("stream name", usize::from(header.stream_len), plain())?;
        self.add("event type", usize::from(header.type_len), plain())?;
        if header.flags & FLAG_PROGRESS != 0 {
            let len = self.len("length of the consumer's name")?;
            self.add("consumer's name", len, plain())?;
            let position = self.bytes.get(self.at..).and_then(|rest| Fields::new(rest).u64().ok());
            self.add("consumer's position", PROGRESS_POSITION_LEN, position?.to_string())?;
        }
        if header.flags & FLAG_KEY != 0 {
            let len = self.len("length of the idempotency key")?;
            self.add("idempotency key", len, plain())?;
        }
        if header.flags & FLAG_TAGS != 0 {
            self.tags()?;
        }
        self.add("metadata", usize::try_from(header.metadata_len).ok()?, plain())?;
        let padding = padding(header.flags);
        let payload_len = len.checked_sub(self.at)?.checked_sub(padding)?;
        self.add("payload", payload_len, plain())?;
        self.add("padding", padding, plain())?;
        Some(())
    }

    fn tags(&mut self) -> Option<()> {
        let len = self.bytes.get(self.at..).and_then(|rest| Fields::new(rest).u16().ok());
        let len = usize::from(len?);
        self.add("length of the tags", size_of::<u16>(), len.to_string())?;
        let end = self.at.checked_add(len)?;
        while self.at < end {
            let len = self.len("length of a tag")?;
            self.add("tag", len, String::new())?;
        }
        (self.at == end).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NewEvent;
    use crate::format::record::{ToRecord, encode};
    use crate::types::{EventId, Position, Revision};

    fn record() -> Vec<u8> {
        let event = NewEvent::text("said", "hello").tag("a").tag("bc").metadata("m");
        let event = event.idempotency_key("key");
        let mut bytes = Vec::new();
        let record = ToRecord {
            stream: "talk",
            event: &event,
            id: EventId::from_bytes([7; 16]),
            position: Position::new(3),
            revision: Revision::START,
            recorded_at: Timestamp::from_nanos(0),
            previous: 1,
            durable_end: Position::new(1),
            ends_batch: true,
            progress: None,
            seed: 9,
        };
        encode(&record, &mut bytes);
        bytes
    }

    #[test]
    fn every_byte_of_a_record_has_a_name() {
        let bytes = record();
        let parts = parts_of(&bytes);
        let mut at = 0;
        for part in &parts {
            assert_eq!(part.start, at, "{}", part.name);
            at = part.end;
        }
        assert_eq!(at, bytes.len());
        let body: Vec<_> = parts[13..].iter().map(|part| &bytes[part.start..part.end]).collect();
        let expected: [&[u8]; 12] = [
            b"talk",
            b"said",
            b"\x03",
            b"key",
            b"\x05\0",
            b"\x01",
            b"a",
            b"\x02",
            b"bc",
            b"m",
            b"hello",
            b"\0\0\0\0\0\0\0",
        ];
        assert_eq!(body, expected);
        let value = |name| &parts.iter().find(|part| part.name == name).unwrap().value;
        assert_eq!(value("flags"), "0x3f: batch end, idempotency key, tags, 7 bytes of padding");
        assert_eq!((value("position").as_str(), value("undurable count").as_str()), ("3", "2"));
    }

    #[test]
    fn bytes_that_may_be_anything_have_parts_within_them() {
        let bytes = record();
        for len in 0..bytes.len() {
            assert!(parts_of(&bytes[..len]).iter().all(|part| part.end <= len));
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let parts = parts_of(&bytes);
                assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
                assert!(parts.iter().all(|part| part.end <= bytes.len()), "byte {at}");
            }
        }
    }
}
