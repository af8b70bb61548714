//! An event as a producer hands it in.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::event::{ContentType, Event};
use crate::types::EventId;

/// An event to append: a type, a payload, and what a producer wants to keep with it.
///
/// The store adds stream, position, revision and recorded time. What may be wrong with an event
/// is said when it is appended.
///
/// ```
/// use annals::NewEvent;
///
/// let event = NewEvent::text("item-added", "a teapot").tag("kitchen").metadata("user=7");
/// assert_eq!(event.payload(), b"a teapot");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    pub(crate) event_type: String,
    pub(crate) content_type: ContentType,
    pub(crate) payload: Vec<u8>,
    pub(crate) metadata: Vec<u8>,
    pub(crate) tags: Vec<String>,
    pub(crate) id: Option<EventId>,
    pub(crate) idempotency_key: Vec<u8>,
}

impl NewEvent {
    /// An event whose payload is encoded already.
    ///
    /// A type is 1 to 255 bytes of UTF-8 without control characters, such as `item-added`.
    #[must_use]
    pub fn new(
        event_type: impl Into<String>,
        content_type: ContentType,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            event_type: event_type.into(),
            content_type,
            payload: payload.into(),
            metadata: Vec::new(),
            tags: Vec::new(),
            id: None,
            idempotency_key: Vec::new(),
        }
    }

    /// An event with any bytes as its payload, possibly none.
    #[must_use]
    pub fn bytes(event_type: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self::new(event_type, ContentType::Bytes, payload)
    }

    /// An event with a text as its payload.
    #[must_use]
    pub fn text(event_type: impl Into<String>, payload: impl Into<String>) -> Self {
        Self::new(event_type, ContentType::Text, payload.into())
    }

    /// An event with `value` as its payload, in JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the value has no form in JSON, such as a map whose keys are lists.
    #[cfg(feature = "json")]
    pub fn json<T: Serialize + ?Sized>(event_type: impl Into<String>, value: &T) -> Result<Self> {
        Self::encoded(event_type, ContentType::Json, value)
    }

    /// An event with `value` as its payload, in bincode 1 with integers of fixed width.
    ///
    /// bincode does not describe itself: a value can be read only as the very type that was
    /// written. For events that are to be read for years, prefer an encoding that can evolve.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the value has no form in bincode, such as a sequence of unknown length.
    pub fn bincode<T: Serialize + ?Sized>(
        event_type: impl Into<String>,
        value: &T,
    ) -> Result<Self> {
        Self::encoded(event_type, ContentType::Bincode, value)
    }

    fn encoded<T: Serialize + ?Sized>(
        event_type: impl Into<String>,
        content_type: ContentType,
        value: &T,
    ) -> Result<Self> {
        let payload =
            content_type.encode(value).map_err(|source| Error::Encode { content_type, source })?;
        Ok(Self::new(event_type, content_type, payload))
    }

    /// Keeps `metadata` with the event: any bytes, such as who caused it.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<Vec<u8>>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Adds a tag: a short label, 1 to 255 bytes of UTF-8 without control characters.
    ///
    /// All tags of an event may have 65,535 bytes, counting one more byte for each.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Gives the event an id. Without it, the store makes a UUID of version 7.
    #[must_use]
    pub fn id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// Keeps a key with the event, by which its consumers can tell a repeated request: at most
    /// 255 bytes, where none is the same as no key.
    ///
    /// The store keeps the key and hands it back. It does not look for earlier events with it.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.idempotency_key = key.into();
        self
    }

    /// The type of the event.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The encoding of the payload.
    #[must_use]
    pub fn content_type(&self) -> ContentType {
        self.content_type
    }

    /// The bytes of the payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

impl From<&Event> for NewEvent {
    /// What a producer would hand in for the same event, id included: for copying it to another
    /// stream or store.
    fn from(event: &Event) -> Self {
        Self {
            event_type: event.event_type().to_owned(),
            content_type: event.content_type(),
            payload: event.payload().to_vec(),
            metadata: event.metadata().to_vec(),
            tags: event.tags().map(str::to_owned).collect(),
            id: Some(event.id()),
            idempotency_key: event.idempotency_key().unwrap_or_default().to_vec(),
        }
    }
}
