//! Opening a consumer.

use std::fmt::Debug;
use std::sync::Arc;

use crate::consumer::{Consumer, Consumers};
use crate::cursor::{Cursor, Filter};
use crate::error::Result;
use crate::types::{Position, Timestamp};

/// Where a consumer begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    Beginning,
    End,
    Position(Position),
    Time(Timestamp),
}

/// How a consumer is opened. From [`Store::consumer`](crate::Store::consumer).
///
/// Where it begins counts only if there is no consumer of this name yet. What it is given is said
/// anew each time: its place is one of the whole log, and passes what it is not given.
#[derive(Debug)]
#[must_use]
pub struct ConsumerBuilder {
    consumers: Arc<Consumers>,
    anchor: Arc<dyn Debug + Send + Sync>,
    name: String,
    start: Start,
    filter: Filter,
}

impl ConsumerBuilder {
    pub(crate) fn new(
        consumers: Arc<Consumers>,
        anchor: Arc<dyn Debug + Send + Sync>,
        name: String,
    ) -> Self {
        Self { consumers, anchor, name, start: Start::Beginning, filter: Filter::default() }
    }

    /// A new consumer begins with what is appended after it is opened. Default: with the first
    /// event of the store.
    pub fn from_end(mut self) -> Self {
        self.start = Start::End;
        self
    }

    /// A new consumer begins with the event at `position`, at most the end of the log.
    pub fn from_position(mut self, position: impl Into<Position>) -> Self {
        self.start = Start::Position(position.into());
        self
    }

    /// A new consumer begins with the first event that was recorded at `time` or later, or at the end
    /// if there is none.
    pub fn from_time(mut self, time: Timestamp) -> Self {
        self.start = Start::Time(time);
        self
    }

    /// It is given events of this stream only. Default: of all. Takes the place of
    /// [`ConsumerBuilder::stream_prefix`].
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.filter = self.filter.with_stream(stream.into().into());
        self
    }

    /// It is given events of streams only whose names begin with `prefix`. Takes the place of
    /// [`ConsumerBuilder::stream`].
    pub fn stream_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.filter = self.filter.with_prefix(prefix.into().into());
        self
    }

    /// It is given events of these types only; none, if there are none.
    pub fn event_types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let types = types.into_iter().map(|name| name.into().into_boxed_str()).collect();
        self.filter = self.filter.with_types(types);
        self
    }

    /// Opens the consumer, and first creates it, durably, if there is none of this name.
    ///
    /// One that is open already is taken over: whoever has opened it before cannot move it any more,
    /// and fails with [`Error::TakenOver`]. A refusal would leave nobody to go on where a handler
    /// hangs; and two that believe to be the one consumer learn of it, for the first of them fails
    /// with its next commit.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], if the name is empty, longer than
    /// [`CONSUMER_NAME_LEN_MAX`](crate::CONSUMER_NAME_LEN_MAX) bytes, or has control characters;
    /// [`Error::BeyondEnd`] if it is to begin after the end; [`Error::CorruptFile`] if its file is
    /// damaged ([`Store::delete_consumer`](crate::Store::delete_consumer) removes it);
    /// [`Error::OutcomeUnknown`] and [`Error::Poisoned`] if the log cannot be made durable;
    /// [`Error::Corrupt`], [`Error::Io`], [`Error::Closed`].
    ///
    /// [`Error::TakenOver`]: crate::Error::TakenOver
    /// [`Error::InvalidName`]: crate::Error::InvalidName
    /// [`Error::BeyondEnd`]: crate::Error::BeyondEnd
    /// [`Error::CorruptFile`]: crate::Error::CorruptFile
    /// [`Error::OutcomeUnknown`]: crate::Error::OutcomeUnknown
    /// [`Error::Poisoned`]: crate::Error::Poisoned
    /// [`Error::Corrupt`]: crate::Error::Corrupt
    /// [`Error::Io`]: crate::Error::Io
    /// [`Error::Closed`]: crate::Error::Closed
    pub fn open(self) -> Result<Consumer> {
        let entry = self.consumers.open(&self.name, self.start)?;
        let cursor = Cursor::new(Arc::clone(&self.consumers.source), self.anchor);
        Consumer::open(self.consumers, entry, cursor, self.filter)
    }
}
