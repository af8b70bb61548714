//! A record as JSON: the event, and what frames it.

use crate::inspect::notation::{Object, Quoted};
use crate::inspect::{ShownRecord, json_line, segment_file};
use crate::types::Position;

impl ShownRecord {
    /// The record as one line of JSON, without a line feed: all fields of
    /// [`json_line`], then `segment_file`, `offset`, `record_len`, `checksum`, `chain` and
    /// `checksum_before` in eight hexadecimal digits, `durable_end`, `batch_start` and `batch_end`;
    /// what is not known is `null`.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut line = json_line(&self.event);
        // What frames the record goes on where the event ends.
        line.pop();
        let mut object = Object::going_on(&mut line);
        let sum = |sum: u32| Quoted(format!("{sum:08x}"));
        object.string("segment_file", &segment_file(self.segment));
        object.value("offset", self.offset);
        object.value("record_len", self.bytes.len());
        object.value("checksum", sum(self.checksum));
        object.value("chain", sum(self.chain));
        let before = self.checksum_before;
        object.value("checksum_before", before.map_or(null(), |before| sum(before).to_string()));
        let place = |place: Option<Position>| place.map_or(null(), |place| place.to_string());
        object.value("durable_end", place(self.durable_end));
        object.value("batch_start", place(self.batch.as_ref().map(|batch| batch.start)));
        object.value("batch_end", place(self.batch.as_ref().map(|batch| batch.end)));
        object.finish();
        line
    }
}

fn null() -> String {
    "null".to_owned()
}
