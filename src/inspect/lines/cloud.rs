//! Events as `CloudEvents`.
//!
//! Owns which attribute says what. `docs/dump.md` has the table.

use crate::event::{Event, EventView};
use crate::inspect::lines::json::{Json, push_data};
use crate::inspect::notation::{Object, Quoted};
use crate::types::{EventId, StoreId};

/// An event of the store with the id `store` as one line of JSON, without a line feed: a `CloudEvent`
/// 1.0 in the JSON event format.
///
/// The attributes, in this order: `specversion`, `id`, `source` (`urn:uuid:` and the store's id),
/// `type`, `subject` (the stream), `time`, `datacontenttype`; as extensions `sequence` (the position
/// in twenty digits, so that it sorts as text) and `revision` (in digits); then `data` (JSON as it is,
/// text as a string) or `data_base64` (anything else, and what is no valid JSON or UTF-8).
///
/// Tags, metadata and idempotency key are left out. `source` and `id` together are unique if the
/// producers' ids are.
#[must_use]
pub fn cloud_event(event: &Event, store: StoreId) -> String {
    let mut line = String::new();
    push_cloud_event(&mut line, event.view(), store);
    line
}

/// Adds to `line` what [`cloud_event`] returns.
pub fn push_cloud_event(line: &mut String, event: EventView<'_>, store: StoreId) {
    let mut object = Object::new(line);
    object.plain("specversion", "1.0");
    object.plain("id", event.id().hyphenated(&mut [0; EventId::TEXT_LEN]));
    object.value("source", Quoted(format_args!("urn:uuid:{store}")));
    object.string("type", event.event_type());
    object.string("subject", event.stream());
    object.time("time", Some(event.recorded_at()));
    object.plain("datacontenttype", &event.content_type().media_type());
    object.value("sequence", Quoted(format_args!("{:020}", event.position().get())));
    object.value("revision", Quoted(event.revision()));
    push_data(&mut object, event, Json::Equivalent);
    object.finish();
}
