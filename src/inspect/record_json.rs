//! A record as JSON: the event, and what frames it.

use crate::inspect::json::{Object, Quoted};
use crate::inspect::{ShownRecord, json_line, segment_file};
use crate::types::Position;

impl ShownRecord {
    /// The record as one line of JSON, without a line feed: all fields of
    /// [`json_line`], then `segment_file`, `offset`, `record_len`, `checksum`, `chain` and
    /// `checksum_before` in eight hexadecimal digits, `durable_end`, `batch_start` and `batch_end`;
    /// what is not known is `null`.
    #[must_use]
    pub fn json_line(&self) -> String {
        let sum = |sum: u32| Quoted(format!("{sum:08x}"));
        let mut framing = Object::new();
        framing.string("segment_file", &segment_file(self.segment));
        framing.value("offset", self.offset);
        framing.value("record_len", self.bytes.len());
        framing.value("checksum", sum(self.checksum));
        framing.value("chain", sum(self.chain));
        let before = self.checksum_before;
        framing.value("checksum_before", before.map_or(null(), |before| sum(before).to_string()));
        let place = |place: Option<Position>| place.map_or(null(), |place| place.to_string());
        framing.value("durable_end", place(self.durable_end));
        framing.value("batch_start", place(self.batch.as_ref().map(|batch| batch.start)));
        framing.value("batch_end", place(self.batch.as_ref().map(|batch| batch.end)));
        // Two objects, one after the other, made into one.
        let mut line = json_line(&self.event);
        line.pop();
        line.push(',');
        line.push_str(framing.finish().trim_start_matches('{'));
        line
    }
}

fn null() -> String {
    "null".to_owned()
}
