//! The store: the public face, and the only place where log and index meet for writing.
//!
//! Owns the life of an open store, from the lock to the note of a clean close.

mod append;
#[cfg(feature = "async")]
mod append_async;
mod catch_up;
mod consuming;
mod ends;
mod maintenance;
mod open;
mod open_index;
mod opening;
mod read_only;
mod rebuild;
mod renewal;
mod repair;
mod stats;
mod syncer;
mod timer;
#[cfg(feature = "async")]
pub use append_async::Appending;
pub(crate) use open::refuse_unfinished_repair;
pub(crate) use open_index::IndexPlace;
pub use read_only::ReadOnlyStore;
pub use repair::{RepairPlan, RepairReport};
pub use stats::Stats;

use std::borrow::Borrow;
use std::fmt::{self, Debug};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::consumer::Consumers;
use crate::cursor::{Cursor, LaterIndex, Source, StreamCursor, Streams};
use crate::directory::{Directory, Lock};
use crate::error::Result;
use crate::event::{Batch, Expected, NewEvent, Receipt};
use crate::log::{Follow, Log};
use crate::options::Options;
use crate::report::RecoveryReport;
use crate::store::ends::StreamEnds;
use crate::store::maintenance::Maintenance;
use crate::store::opening::OpeningIndex;
use crate::store::renewal::Renewal;
use crate::sync::Mutex;
use crate::trace::tell;
use crate::types::{Entries, LogEnd, NameHasher, Position, Revision, StoreId, Timestamp};
use crate::verify::{MayBeUnsealed, Progress, Report, verify};

/// An open event store.
///
/// A handle: cloning one is cheap, and all clones are the same store. It may be used from any
/// number of threads. The store is closed with [`Store::close`], or when the last handle and the
/// last cursor are dropped.
///
/// ```
/// use annals::{Expected, NewEvent, Store};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("shop.annals");
/// let store = Store::open(path)?;
/// store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
/// store.append("cart-42", Expected::Exact(1), [NewEvent::text("cart-paid", "EUR 12")])?;
///
/// for event in store.read_stream("cart-42") {
///     let event = event?;
///     println!("{} {} {}", event.position(), event.event_type(), event.recorded_at());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl Debug for Store {
    /// Not all that it holds, which is much.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path())
            .field("id", &self.id())
            .field("end", &self.end().get())
            .finish_non_exhaustive()
    }
}

/// What all handles and cursors of a store share.
#[derive(Debug)]
struct Inner {
    id: StoreId,
    /// What the checksums of records begin with.
    seed: u32,
    hasher: NameHasher,
    created_at: Timestamp,
    directory: Arc<dyn Directory>,
    options: Options,
    log: Arc<Log>,
    maintenance: Maintenance,
    source: Arc<Source>,
    consumers: Arc<Consumers>,
    opening: OpeningIndex,
    renewal: Arc<Renewal>,
    /// What was found of the log.
    recovery: RecoveryReport,
    random: Mutex<fastrand::Rng>,
    /// Locked only within the log's own lock.
    ends: Mutex<StreamEnds>,
    /// Batches that were handed over.
    #[cfg(feature = "async")]
    queue: Arc<append_async::Queue>,
    /// Where the index is.
    place: IndexPlace,
    /// Held as long as the store is open.
    lock: Mutex<Option<Box<dyn Lock>>>,
}

/// Tells the index what the log has published.
#[derive(Debug)]
struct Indexer(Arc<LaterIndex>);

impl Follow for Indexer {
    fn published(&self, entries: &Entries, end: LogEnd) {
        // Whoever appends has waited for it.
        self.0.published(entries, end);
    }
}

impl Store {
    /// Opens the store at `path` with the default [`Options`], and first creates it if nothing
    /// is there.
    ///
    /// # Errors
    ///
    /// Those of [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(path)
    }

    /// Appends events to one stream, as one batch.
    ///
    /// The events become visible together or not at all. When this returns `Ok` they are as
    /// durable as the store's [`Durability`](crate::Durability) promises.
    ///
    /// # Errors
    ///
    /// Those of [`Store::append_batch`].
    pub fn append(
        &self,
        stream: &str,
        expected: Expected,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Result<Receipt> {
        self.append_batch(Batch::new().append(stream, expected, events))
    }

    /// Appends a batch, to one stream or to several.
    ///
    /// The events become visible together or not at all. When this returns `Ok` they are as durable
    /// as the [`Durability`](crate::Durability) of the batch, or else of the store, promises. Any
    /// thread may call it; batches that are appended at the same time share a sync. Takes a
    /// [`Batch`] or a reference to one, which may then be tried again.
    ///
    /// # Errors
    ///
    /// Having appended nothing: [`Error::Conflict`](crate::Error::Conflict) if a stream is not as
    /// expected, [`InvalidName`](crate::Error::InvalidName),
    /// [`TooLarge`](crate::Error::TooLarge), [`EmptyBatch`](crate::Error::EmptyBatch),
    /// [`TimeWentBack`](crate::Error::TimeWentBack), [`Poisoned`](crate::Error::Poisoned),
    /// [`Closed`](crate::Error::Closed), and [`Error::Io`](crate::Error::Io), after which it may be
    /// tried again. Only [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) leaves open what
    /// was appended, until the store is reopened.
    pub fn append_batch(&self, batch: impl Borrow<Batch>) -> Result<Receipt> {
        self.inner.append(batch.borrow(), None)
    }

    /// Makes durable all that is visible.
    ///
    /// # Errors
    ///
    /// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) if the sync fails: no later append is
    /// taken then until the store is reopened. [`Error::Io`](crate::Error::Io) if it could not even
    /// be begun, over and over; [`Error::Poisoned`](crate::Error::Poisoned),
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn sync(&self) -> Result<()> {
        self.inner.log.sync()?;
        self.inner.maintenance.after_sync();
        Ok(())
    }

    /// A cursor over all events, from the first one forwards.
    #[must_use]
    pub fn read_all(&self) -> Cursor {
        Cursor::new(Arc::clone(&self.inner.source), self.anchor())
    }

    /// A cursor over the events of `stream`, from the first one forwards. A stream without
    /// events has none to give.
    #[must_use]
    pub fn read_stream(&self, stream: &str) -> StreamCursor {
        StreamCursor::new(Arc::clone(&self.inner.source), self.anchor(), stream)
    }

    /// The streams that have events, in the byte order of their names.
    #[must_use]
    pub fn streams(&self) -> Streams {
        Streams::new(Arc::clone(&self.inner.source), self.anchor())
    }

    /// The position of the first event that was recorded at `time` or later; the end if there is
    /// none.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) or [`Error::Io`](crate::Error::Io) from reading.
    pub fn position_at(&self, time: Timestamp) -> Result<Position> {
        self.inner.source.position_at(time)
    }

    /// The position after that of the last visible event, which is how many there are.
    #[must_use]
    pub fn end(&self) -> Position {
        self.inner.source.segments().visible().position
    }

    /// The revision after that of a stream's last event, which is how many it has; 0 if it has
    /// none.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) or [`Error::Io`](crate::Error::Io) from reading,
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn stream_end(&self, stream: &str) -> Result<Revision> {
        self.inner.source.visible()?;
        self.inner.source.stream_end(stream)
    }

    /// Reads every byte of every segment, and says what is not as it was written: records, how
    /// they follow from each other, footers, digests, `store.meta`, the places of consumers, and
    /// whether the index agrees with the log.
    ///
    /// Changes nothing, and disturbs neither appends nor reads but by the time it takes. What is
    /// appended meanwhile is not checked. Takes a few megabytes of memory.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed). Damage is no error here: the [report](Report)
    /// tells of it.
    pub fn verify(&self) -> Result<Report> {
        self.verify_watched(|_| ControlFlow::Continue(()))
    }

    /// As [`Store::verify`], and calls `watch` now and then, which may end it by returning
    /// [`ControlFlow::Break`]: then the report tells what was found so far, and that it is not
    /// complete.
    ///
    /// # Errors
    ///
    /// Those of [`Store::verify`].
    pub fn verify_watched(
        &self,
        mut watch: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Report> {
        let source = &self.inner.source;
        let end = source.visible()?;
        let is_unsealed = |base| self.inner.log.is_unsealed(base);
        let may_be_unsealed = MayBeUnsealed::Told(&is_unsealed);
        Ok(verify(source.segments(), &end, may_be_unsealed, Some(source.index()), &mut watch))
    }

    /// What opening the store has found and done. Waits until the index is open.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        self.inner.opening.report(&self.inner.recovery)
    }

    /// Checks all of an event that does not depend on what is in the store.
    #[cfg(feature = "json")]
    pub(crate) fn check_event(&self, stream: &str, event: &NewEvent) -> Result<()> {
        self.inner.check_one(stream, event)
    }

    /// The most bytes that the records of one batch may have.
    #[cfg(feature = "json")]
    pub(crate) fn batch_len_max(&self) -> u64 {
        self.inner.log.batch_len_max()
    }

    /// The identity that the store got when it was created.
    #[must_use]
    pub fn id(&self) -> StoreId {
        self.inner.id
    }

    /// When the store was created.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.inner.created_at
    }

    /// The directory that the store is in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.inner.directory.path()
    }

    /// Closes the store, also for all other handles and for cursors, which fail with
    /// [`Error::Closed`](crate::Error::Closed) from then on.
    ///
    /// Appends in flight are finished first, and everything visible is made durable. Dropping
    /// the last handle and cursor does the same, but cannot report what goes wrong. Closing a
    /// closed store does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) or [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) if
    /// something could not be written or synced, [`Error::Poisoned`](crate::Error::Poisoned) if
    /// that was so before and something visible is not durable. The store is closed all the same,
    /// and nothing is lost that was acknowledged as durable.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }

    fn anchor(&self) -> Arc<dyn Debug + Send + Sync> {
        self.inner.clone()
    }
}

impl Inner {
    /// Lets go of the index, and moves one aside that has failed or was caught in a wrong
    /// answer: it would be again.
    fn close_index(&self) {
        self.opening.join();
        self.renewal.stop();
        let has_left_failed = self.renewal.has_left_failed();
        self.source.index().close();
        if has_left_failed {
            // What stays is caught again.
            let _ = self.place.move_aside(&*self.directory);
        }
    }

    fn close(&self) -> Result<()> {
        // Held to the end, so that a second caller returns when the store is closed.
        let mut held = self.lock.lock();
        if held.is_none() {
            return Ok(());
        }
        self.source.close();
        self.consumers.close();
        // Nobody uses the directory any more once this returns, and what was appended is indexed.
        self.opening.join();
        self.renewal.stop();
        self.maintenance.stop();
        let closed = self.log.close();
        self.maintenance.finish();
        self.close_index();
        *held = None;
        tell!(INFO, is_well = closed.is_ok(), "closed");
        closed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Unwinding is no clean close: whatever broke may have broken the log as well.
        if std::thread::panicking() {
            self.maintenance.stop();
            self.close_index();
        } else {
            let _ = self.close();
        }
    }
}
