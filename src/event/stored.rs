//! An event as a consumer gets it: a view into the block of bytes it was read in.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::event::{Buffer, ContentType, EventView};
use crate::types::{EventId, Position, Revision, Timestamp};

/// Bytes read from a segment at once, for the events in them.
#[derive(Debug)]
pub(crate) enum Block {
    /// Of one reader alone, who may use the memory again.
    Own(Buffer),
    /// Of several readers. Each has a `Block` of its own, so that their events do not count
    /// references in the same place.
    Shared(Arc<Vec<u8>>),
}

impl From<Vec<u8>> for Block {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Own(bytes.into())
    }
}

impl Deref for Block {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// A fact that was appended, as it was appended, with its place and its recorded time.
///
/// Cloning one copies no payload. An event keeps alive the block of bytes that it was read in
/// (some hundred KiB when many are read in order), so copy out what is to be kept for long.
#[derive(Clone)]
pub struct Event {
    parts: EventParts,
    block: Arc<Block>,
}

/// The fixed fields of an event, and the byte offsets in its block between which its parts lie.
///
/// A part that has no start here begins where the one before it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventParts {
    pub(crate) position: Position,
    pub(crate) revision: Revision,
    pub(crate) recorded_at: Timestamp,
    pub(crate) id: EventId,
    pub(crate) content_type: ContentType,
    pub(crate) ends_batch: bool,
    pub(crate) stream_start: u32,
    pub(crate) stream_end: u32,
    pub(crate) type_end: u32,
    pub(crate) key_start: u32,
    pub(crate) key_end: u32,
    pub(crate) tags_start: u32,
    pub(crate) tags_end: u32,
    pub(crate) metadata_end: u32,
    pub(crate) payload_end: u32,
}

impl EventParts {
    /// The parts of nothing.
    pub(crate) fn none() -> Self {
        Self {
            position: Position::START,
            revision: Revision::START,
            recorded_at: Timestamp::MIN,
            id: EventId::from_bytes([0; 16]),
            content_type: ContentType::Bytes,
            ends_batch: false,
            stream_start: 0,
            stream_end: 0,
            type_end: 0,
            key_start: 0,
            key_end: 0,
            tags_start: 0,
            tags_end: 0,
            metadata_end: 0,
            payload_end: 0,
        }
    }
}

impl Event {
    /// An event whose parts lie in `block`. Names among them must have been found to be UTF-8.
    #[inline]
    pub(crate) fn new(parts: EventParts, block: Arc<Block>) -> Self {
        Self { parts, block }
    }

    /// The event as a view.
    #[must_use]
    pub fn view(&self) -> EventView<'_> {
        EventView::new(&self.parts, &self.block)
    }

    /// The stream it was appended to.
    #[must_use]
    pub fn stream(&self) -> &str {
        self.view().stream()
    }

    /// Its place among all events.
    #[must_use]
    pub fn position(&self) -> Position {
        self.view().position()
    }

    /// Its place in its stream.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.view().revision()
    }

    /// When the store recorded it. Later batches have later times; the events of one batch
    /// have the same.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        self.view().recorded_at()
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.view().id()
    }

    /// Its type, such as `item-added`.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.view().event_type()
    }

    /// The encoding of its payload.
    #[must_use]
    pub fn content_type(&self) -> ContentType {
        self.view().content_type()
    }

    /// The bytes of its payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.view().payload()
    }

    /// What its producer kept with it; empty if nothing.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        self.view().metadata()
    }

    /// The key that its producer gave it to tell repeated requests by.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&[u8]> {
        self.view().idempotency_key()
    }

    /// Its tags, in the order they were given.
    #[must_use]
    pub fn tags(&self) -> Tags<'_> {
        self.view().tags()
    }

    /// Whether it is the last event of its batch.
    #[must_use]
    pub fn ends_batch(&self) -> bool {
        self.view().ends_batch()
    }

    /// Makes its payload into a value, by its content type: JSON (feature `json`) or bincode.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`](crate::Error::Decode) if the payload is no such value, or of an encoding that annals does
    /// not know how to read.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        self.view().decode()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().describe(f, "Event")
    }
}

/// The tags of an event, one after the other. From [`Event::tags`].
#[derive(Clone, Debug)]
pub struct Tags<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (len, rest) = self.0.split_first()?;
        let (tag, rest) = rest.split_at_checked(usize::from(*len))?;
        self.0 = rest;
        std::str::from_utf8(tag).ok()
    }
}
