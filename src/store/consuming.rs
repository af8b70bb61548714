//! Consumers of a store, and batches that move them.

use std::borrow::Borrow;
use std::sync::Arc;

use crate::consumer::{Consumer, ConsumerBuilder, ConsumerInfo};
use crate::error::{Error, Result};
use crate::event::{Batch, Receipt};
use crate::store::Store;
use crate::types::Position;

impl Store {
    /// A named consumer: a reader whose place is kept. [`ConsumerBuilder::open`] opens it.
    ///
    /// Names are 1 to 80 bytes of UTF-8 without control characters.
    pub fn consumer(&self, name: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder::new(Arc::clone(&self.inner.consumers), self.anchor(), name.into())
    }

    /// All consumers, in the byte order of their names, with how far each is behind.
    ///
    /// # Errors
    ///
    /// [`Error::CorruptFile`] if the file of one is damaged, [`Error::Corrupt`], [`Error::Io`],
    /// [`Error::Closed`].
    pub fn consumers(&self) -> Result<Vec<ConsumerInfo>> {
        self.inner.consumers.list()
    }

    /// Deletes a consumer, durably, with the list of what it has put aside; says whether there was
    /// one. Whoever has it open cannot move it any more.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], [`Error::Closed`], [`Error::Corrupt`] from reading the log for what batches
    /// say of consumers; after [`Error::Io`] a restart finds it or does not.
    pub fn delete_consumer(&self, name: &str) -> Result<bool> {
        self.inner.consumers.delete(name)
    }

    /// Appends a batch and commits `position` for `consumer`, as one: no crash leaves one without the
    /// other. What a handler produces from an event is appended exactly once this way.
    ///
    /// `position` is what [`Consumer::commit`] takes: for the event that was just handled,
    /// `event.position().next()`. The batch must have an event: to commit alone, that call is there.
    ///
    /// ```
    /// # use annals::{Batch, Expected, NewEvent, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path().join("shop.annals"))?;
    /// # store.append("cart-42", Expected::Any, [NewEvent::text("paid", "EUR 12")])?;
    /// let mut ledger = store.consumer("ledger").event_types(["paid"]).open()?;
    /// while let Some(event) = ledger.next().transpose()? {
    ///     let entry = NewEvent::text("entry-made", event.stream());
    ///     let batch = Batch::new().append("ledger", Expected::Any, [entry]);
    ///     store.append_and_commit(batch, &mut ledger, event.position().next())?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Costs what the append
    /// costs; the first one after the consumer was opened, and each after some 64,000 events, one more
    /// write and sync. With [`Durability::Buffered`](crate::Durability::Buffered) a crash may take back
    /// both.
    ///
    /// # Errors
    ///
    /// Those of [`Store::append_batch`] and of [`Consumer::commit`], having changed nothing; but for
    /// [`Error::OutcomeUnknown`], after which the store must be reopened to find out.
    pub fn append_and_commit(
        &self,
        batch: impl Borrow<Batch>,
        consumer: &mut Consumer,
        position: impl Into<Position>,
    ) -> Result<Receipt> {
        let batch = batch.borrow();
        if !consumer.belongs_to(&self.inner.consumers) {
            return Err(Error::ForeignConsumer { consumer: consumer.name().to_owned() });
        }
        consumer.append(position.into(), |progress| self.inner.append(batch, Some(&progress)))
    }
}
