//! A store that another process may be writing, opened for reading alone.

use std::path::Path;
use std::sync::Arc;

use crate::cursor::{Cursor, Source, StreamCursor, Streams};
use crate::directory::{Directory, DiskDirectory};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::log::{Tracker, read_meta};
use crate::options::Options;
use crate::store::refuse_unfinished_repair;
use crate::types::{Position, Revision, StoreId, Timestamp};

/// A store that is only read, and that follows what another process appends to it.
///
/// From [`Options::open_read_only`]. A handle: cloning one is cheap. Takes no lock, writes nothing and
/// does not use the index, so it may be opened while an application has the store open, any number of
/// times, and where nothing can be written. What is looked for by stream is found by reading the log
/// from its start, some million events a second; places and times by reading one segment.
///
/// ```
/// use annals::{Expected, NewEvent, Options, Store};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("shop.annals");
/// let store = Store::open(&path)?;
/// store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
///
/// // In another process, usually.
/// let reader = Options::new().open_read_only(&path)?;
/// let mut cursor = reader.read_all();
/// cursor.wait(std::time::Duration::from_secs(10))?;
/// assert_eq!(cursor.next().unwrap()?.payload(), b"a teapot");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReadOnlyStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: StoreId,
    created_at: Timestamp,
    directory: Arc<dyn Directory>,
    source: Arc<Source>,
}

impl Options {
    /// Opens the store at `path` for reading alone, beside whoever has it open.
    ///
    /// With [`Durability::Sync`](crate::Durability::Sync), the default, events are seen some ten
    /// milliseconds after they are durable, and none that a crash takes back. If the writer is killed in
    /// these milliseconds, they are seen once the next one has opened the store. With
    /// [`Durability::Buffered`](crate::Durability::Buffered) all whole batches are seen that are in the
    /// files, at once; if the writer takes one back, because its disk is full or after a crash,
    /// whoever has seen it gets [`Error::Corrupt`]. Of the other options
    /// [`Options::read_cache_len`] counts.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] if there is none at `path`, [`Error::NewerFormat`],
    /// [`Error::CorruptFile`] if `store.meta` is damaged, [`Error::Corrupt`] if the end of the log is,
    /// [`Error::RepairUnfinished`], [`Error::Io`].
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<ReadOnlyStore> {
        self.check()?;
        self.open_read_only_in(Arc::new(DiskDirectory::new(path.as_ref())))
    }

    pub(crate) fn open_read_only_in(&self, directory: Arc<dyn Directory>) -> Result<ReadOnlyStore> {
        let meta = match read_meta(&*directory) {
            Err(Error::Io { source, .. }) if crate::directory::is_absence(&source) => None,
            other => other?,
        };
        let meta = meta.ok_or_else(|| Error::NotAStore { path: directory.path().to_owned() })?;
        refuse_unfinished_repair(&*directory)?;
        let tracker = Tracker::open(Arc::clone(&directory), meta.key, self.durability)?;
        tracker.segments().share_blocks(self.read_cache_len);
        let no_index = Index::unavailable(meta.key.id, self.index_options());
        let source = Arc::new(Source::tracking(tracker, no_index));
        let (id, created_at) = (meta.key.id, meta.created_at);
        Ok(ReadOnlyStore { inner: Arc::new(Inner { id, created_at, directory, source }) })
    }
}

impl ReadOnlyStore {
    /// A cursor over all events, from the first one forwards.
    ///
    /// It goes on with what is appended later, and [`Cursor::wait`] waits for that.
    #[must_use]
    pub fn read_all(&self) -> Cursor {
        Cursor::new(Arc::clone(&self.inner.source), self.inner.clone())
    }

    /// A cursor over the events of `stream`, from the first one forwards.
    ///
    /// It reads the whole log for that. To follow many streams,
    /// [`read_all`](Self::read_all) with a filter costs as much as one of them.
    #[must_use]
    pub fn read_stream(&self, stream: &str) -> StreamCursor {
        StreamCursor::new(Arc::clone(&self.inner.source), self.inner.clone(), stream)
    }

    /// The streams that have events, in the byte order of their names. Reads the whole log for each
    /// few hundred of them.
    #[must_use]
    pub fn streams(&self) -> Streams {
        Streams::new(Arc::clone(&self.inner.source), self.inner.clone())
    }

    /// As [`Store::position_at`](crate::Store::position_at).
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] or [`Error::Io`] from reading.
    pub fn position_at(&self, time: Timestamp) -> Result<Position> {
        self.inner.source.position_at(time)
    }

    /// The position after that of the last event that is seen now.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] or [`Error::Io`] from looking.
    pub fn end(&self) -> Result<Position> {
        self.inner.source.visible().map(|end| end.position)
    }

    /// As [`Store::stream_end`](crate::Store::stream_end), by reading segments from the last one on
    /// until the stream is found.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] or [`Error::Io`] from reading.
    pub fn stream_end(&self, stream: &str) -> Result<Revision> {
        self.inner.source.visible()?;
        self.inner.source.stream_end(stream)
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
}
