//! Statistics as one line of JSON, as `docs/dump.md` describes it.

use crate::inspect::notation::{Object, Quoted};
use crate::inspect::{NameCounts, Statistics};

impl Statistics {
    /// The statistics as one line of JSON, without a line feed, with the `top` types and streams that
    /// have most events.
    ///
    /// The fields, in this order: `v` (1), `event_count`, `batch_count`, `payload_len`,
    /// `segment_count`, `log_len`, `first_recorded_at`, `last_recorded_at`, `is_complete`,
    /// `type_count`, `types_are_exact`, `types`, `stream_count`, `streams_are_exact`, `streams`,
    /// `over_time` and `payload_sizes`. The times of a store without events are `null`.
    #[must_use]
    pub fn json_line(&self, top: usize) -> String {
        let mut line = String::new();
        let mut object = Object::versioned(&mut line);
        object.value("event_count", self.event_count);
        object.value("batch_count", self.batch_count);
        object.value("payload_len", self.payload_len);
        object.value("segment_count", self.segment_count);
        object.value("log_len", self.log_len);
        object.time("first_recorded_at", self.first_recorded_at);
        object.time("last_recorded_at", self.last_recorded_at);
        object.value("is_complete", self.is_complete);
        object.value("type_count", self.types.name_count);
        object.value("types_are_exact", self.types.is_exact);
        object.value("types", names("type", &self.types, top));
        object.value("stream_count", self.streams.name_count);
        object.value("streams_are_exact", self.streams.is_exact);
        object.value("streams", names("stream", &self.streams, top));
        let steps = self.over_time.iter().map(|step| {
            let mut line = String::new();
            let mut object = Object::new(&mut line);
            object.value("from", Quoted(step.from));
            object.value("until", Quoted(step.until));
            object.value("event_count", step.event_count);
            object.value("payload_len", step.payload_len);
            object.finish();
            line
        });
        object.value("over_time", list(steps));
        let sizes = self.payload_sizes.iter().map(|step| {
            let mut line = String::new();
            let mut object = Object::new(&mut line);
            object.value("from_len", step.from_len);
            object.value("until_len", step.until_len);
            object.value("event_count", step.event_count);
            object.value("payload_len", step.payload_len);
            object.finish();
            line
        });
        object.value("payload_sizes", list(sizes));
        object.finish();
        line
    }
}

fn names(key: &str, counts: &NameCounts, top: usize) -> String {
    list(counts.names.iter().take(top).map(|name| {
        let mut line = String::new();
        let mut object = Object::new(&mut line);
        object.string(key, &name.name);
        object.value("event_count", name.event_count);
        object.value("event_count_max", name.event_count_max);
        object.value("payload_len", name.payload_len);
        object.finish();
        line
    }))
}

fn list(objects: impl Iterator<Item = String>) -> String {
    let objects: Vec<_> = objects.collect();
    format!("[{}]", objects.join(","))
}
