//! An event that is lent to whoever looks at it.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::event::stored::{Block, EventParts};
use crate::event::{ContentType, Event, Tags};
use crate::types::{EventId, Position, Revision, Timestamp};

/// An event that is lent for as long as it is looked at: what [`Cursor::visit`] hands out.
///
/// It has all that an [`Event`] has and costs less, for it takes no part in keeping its bytes
/// alive. [`EventView::to_event`] makes it one that may be kept.
///
/// [`Cursor::visit`]: crate::Cursor::visit
#[derive(Clone, Copy)]
pub struct EventView<'a> {
    parts: &'a EventParts,
    block: &'a Arc<Block>,
    /// Those of the block, so that they are not looked for at each access.
    bytes: &'a [u8],
}

impl<'a> EventView<'a> {
    /// A view of an event whose parts lie in `block`, as for [`Event::new`].
    pub(crate) fn new(parts: &'a EventParts, block: &'a Arc<Block>) -> Self {
        Self { parts, block, bytes: block }
    }

    /// The event, to be kept. Copies no payload.
    #[must_use]
    #[inline]
    pub fn to_event(&self) -> Event {
        // Before the parts are copied, which then go to where the event is wanted, and nowhere before.
        let block = Arc::clone(self.block);
        Event::new(*self.parts, block)
    }

    /// The stream it was appended to.
    #[must_use]
    pub fn stream(&self) -> &'a str {
        self.name(self.parts.stream_start, self.parts.stream_end)
    }

    /// Its place among all events.
    #[must_use]
    pub fn position(&self) -> Position {
        self.parts.position
    }

    /// Its place in its stream.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.parts.revision
    }

    /// When the store recorded it. Later batches have later times; the events of one batch
    /// have the same.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        self.parts.recorded_at
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.parts.id
    }

    /// Its type, such as `item-added`.
    #[must_use]
    pub fn event_type(&self) -> &'a str {
        self.name(self.parts.stream_end, self.parts.type_end)
    }

    /// The encoding of its payload.
    #[must_use]
    pub fn content_type(&self) -> ContentType {
        self.parts.content_type
    }

    /// The bytes of its payload.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes(self.parts.metadata_end, self.parts.payload_end)
    }

    /// What its producer kept with it; empty if nothing.
    #[must_use]
    pub fn metadata(&self) -> &'a [u8] {
        self.bytes(self.parts.tags_end, self.parts.metadata_end)
    }

    /// The key that its producer gave it to tell repeated requests by.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&'a [u8]> {
        Some(self.bytes(self.parts.key_start, self.parts.key_end)).filter(|key| !key.is_empty())
    }

    /// Its tags, in the order they were given.
    #[must_use]
    pub fn tags(&self) -> Tags<'a> {
        Tags(self.bytes(self.parts.tags_start, self.parts.tags_end))
    }

    /// Whether it is the last event of its batch.
    #[must_use]
    pub fn ends_batch(&self) -> bool {
        self.parts.ends_batch
    }

    /// Makes its payload into a value, by its content type: JSON (feature `json`) or bincode.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if the payload is no such value, or of an encoding that annals does
    /// not know how to read.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        let (position, content_type) = (self.position(), self.content_type());
        content_type.decode(self.payload()).map_err(|source| Error::Decode {
            position,
            content_type,
            source,
        })
    }

    /// The bytes of [`Self::stream`].
    pub(crate) fn stream_bytes(&self) -> &'a [u8] {
        self.bytes(self.parts.stream_start, self.parts.stream_end)
    }

    /// The bytes of [`Self::event_type`].
    pub(crate) fn type_bytes(&self) -> &'a [u8] {
        self.bytes(self.parts.stream_end, self.parts.type_end)
    }

    fn bytes(&self, start: u32, end: u32) -> &'a [u8] {
        let wide = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        self.bytes.get(wide(start)..wide(end)).unwrap_or_default()
    }

    /// The text between two offsets, which was found to be UTF-8 when the event was made.
    fn name(&self, start: u32, end: u32) -> &'a str {
        std::str::from_utf8(self.bytes(start, end)).unwrap_or_default()
    }

    pub(super) fn describe(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        f.debug_struct(name)
            .field("position", &self.position().get())
            .field("stream", &self.stream())
            .field("revision", &self.revision().get())
            .field("event_type", &self.event_type())
            .field("recorded_at", &self.recorded_at())
            .field("id", &self.id())
            .field("content_type", &self.content_type())
            .field("payload_len", &self.payload().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EventView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f, "EventView")
    }
}

impl From<EventView<'_>> for Event {
    fn from(view: EventView<'_>) -> Self {
        view.to_event()
    }
}
