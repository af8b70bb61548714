//! Summaries as JSON Lines, as `docs/dump.md` describes them.
//!
//! Owns the names of the fields and their order.

use crate::inspect::notation::{Object, Quoted};
use crate::inspect::{ConsumerSummary, SegmentSummary, StreamSummary, segment_file};

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
