//! A store's files, read without opening the store.
//!
//! Owns what is known of them before any event is read: segments, ends, damage. Which events are wanted,
//! and what they are shown as, is for the rooms beside.

mod look;
mod pieces;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cursor::{Cursor, Source, StreamCursor};
use crate::directory::{Directory, DiskDirectory, is_absence, read_small};
use crate::error::{Error, Result};
use crate::index::{Index, IndexOptions, MARK_INTERVAL_LEN};
use crate::inspect::inspection::look::{PAUSE, look};
use crate::log::{COPYING, Segments, read_meta};
use crate::types::{LogEnd, Position, StoreId, Timestamp};
use crate::verify::{Damage, FoundMeta, MayBeUnsealed, Progress, Report, find_meta, verify};

pub(in crate::inspect) use pieces::Piece;

/// Read-only access to the files of a store, as they were when it was begun.
///
/// Takes no lock, uses no index and writes nothing. Everything is found by reading the log from
/// its start, except for [`Inspection::segments`], which reads headers and footers only.
///
/// Beside a running application, the events end at the last whole batch that was in the files:
/// what is appended later is not seen, and the last batches may not be durable yet, or never
/// become so.
#[derive(Debug)]
pub struct Inspection {
    id: StoreId,
    created_at: Timestamp,
    source: Arc<Source>,
    /// First positions of all segments, also of those after damage.
    pub(in crate::inspect) bases: Vec<Position>,
    damage: Option<Error>,
    /// What is wrong with `store.meta`.
    lost_meta: Option<Error>,
    trailing_len: u64,
    known_end: LogEnd,
    /// Whether the store was closed, and not opened for appending since.
    was_closed: bool,
}

impl Inspection {
    /// Begins to inspect the store at `path`.
    ///
    /// Reads `store.meta` and the end of the log. Damage to the log, and to `store.meta` where the
    /// first segment tells the same, is no error here: [`Inspection::damage`] and the cursors tell of
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] if there is none at `path`, [`Error::NewerFormat`],
    /// [`Error::CorruptFile`] if `store.meta` is lost and the first segment is damaged as well,
    /// [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let directory: Arc<dyn Directory> = Arc::new(DiskDirectory::new(path.as_ref()));
        Self::of(&directory, PAUSE)
    }

    /// Begins to inspect the store in `directory`, and waits for `pause` before damage is looked
    /// at again.
    pub(crate) fn of(directory: &Arc<dyn Directory>, pause: Duration) -> Result<Self> {
        let FoundMeta { meta, lost } = meta_of(&**directory)?;
        let seen = look(directory, meta.key, pause)?;
        let index = Arc::new(Index::unavailable(meta.key.id, NO_INDEX));
        Ok(Self {
            id: meta.key.id,
            created_at: meta.created_at,
            source: Arc::new(Source::new(Arc::new(seen.segments), Arc::new(index.into()))),
            bases: seen.bases,
            damage: seen.damage,
            lost_meta: lost,
            trailing_len: seen.trailing_len,
            known_end: seen.known_end,
            was_closed: seen.was_closed,
        })
    }

    /// The identity that the store got when it was created.
    #[must_use]
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// When the store was created.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The position after that of the last event that can be read from the end of the log, which
    /// is how many events there are if nothing before is damaged.
    #[must_use]
    pub fn end(&self) -> Position {
        self.segments_seen().visible().position
    }

    /// What is damaged or missing at the end of the log, so that
    /// [`Store::open`](crate::Store::open) would refuse it: [`Error::Corrupt`]. If nothing is, what is
    /// wrong with `store.meta`: [`Error::CorruptFile`].
    ///
    /// A repair that was not finished does not show here, and is refused as well.
    /// Damage further ahead is found by the cursors, which give what is sound before it.
    #[must_use]
    pub fn damage(&self) -> Option<&Error> {
        self.damage.as_ref().or(self.lost_meta.as_ref())
    }

    /// How many bytes stand after the end of the log in its last segment, and are no whole batch:
    /// a torn tail, which the next opening of the store cuts, or a batch that is just being
    /// written. Usually 0.
    #[must_use]
    pub fn trailing_len(&self) -> u64 {
        self.trailing_len
    }

    /// A cursor over all events, from the first one forwards.
    #[must_use]
    pub fn events(&self) -> Cursor {
        Cursor::new(Arc::clone(&self.source), Arc::new(()))
    }

    /// A cursor over the events of `stream`, from the first one forwards.
    ///
    /// It reads the whole log for that, up to damage if there is any.
    #[must_use]
    pub fn stream_events(&self, stream: &str) -> StreamCursor {
        StreamCursor::new(Arc::clone(&self.source), Arc::new(()), stream)
    }

    /// Reads every byte of every segment, and says what is not as it was written, as
    /// [`Store::verify`](crate::Store::verify) does. The index is not looked at; that the
    /// revisions of each stream skip none is checked from the log alone.
    ///
    /// Takes some 60 MB of memory at most, whatever the number of streams. Beside an application
    /// whose disk is full, a batch that was seen may have been undone since, and is reported then.
    #[must_use]
    pub fn verify(&self) -> Report {
        self.verify_watched(|_| ControlFlow::Continue(()))
    }

    /// As [`Inspection::verify`], and calls `watch` now and then, which may end it by returning
    /// [`ControlFlow::Break`].
    pub fn verify_watched(&self, mut watch: impl FnMut(&Progress) -> ControlFlow<()>) -> Report {
        let segments = self.segments_seen();
        let end = self.known_end;
        let none = |_| false;
        // What was closed had all sealed that could be.
        let may_be_unsealed =
            if self.was_closed { MayBeUnsealed::Told(&none) } else { MayBeUnsealed::Last };
        let mut report = verify(segments, &end, may_be_unsealed, None, &mut watch);
        // What is missing after the end does not show on the way there.
        if let Some(Error::Corrupt { segment, offset, expected }) = &self.damage {
            let (segment, offset, expected) = (*segment, *offset, *expected);
            let error = Error::Corrupt { segment, offset, expected };
            report.add(Damage { error, positions: end.position..end.position });
        }
        report
    }

    /// Where the log is known to have ended, though it may not be readable up to there.
    pub(in crate::inspect) fn known_end(&self) -> LogEnd {
        self.known_end
    }

    /// First positions of the segments, the end of the log, and whether the store was closed there.
    ///
    /// # Errors
    ///
    /// [`Inspection::damage`], if there is any.
    pub(crate) fn into_sound(self) -> Result<(Vec<Position>, LogEnd, bool)> {
        match self.damage.or(self.lost_meta) {
            Some(damage) => Err(damage),
            None => Ok((self.bases, self.source.segments().visible(), self.was_closed)),
        }
    }

    pub(in crate::inspect) fn source(&self) -> &Source {
        &self.source
    }

    pub(in crate::inspect) fn segments_seen(&self) -> &Segments {
        self.source.segments()
    }
}

/// What the store in `directory` says of itself.
fn meta_of(directory: &dyn Directory) -> Result<FoundMeta> {
    let not_a_store = || Error::NotAStore { path: directory.path().to_owned() };
    let is_no_folder =
        |error: &Error| matches!(error, Error::Io { source, .. } if is_absence(source));
    match read_meta(directory) {
        Ok(Some(meta)) => return Ok(FoundMeta { meta, lost: None }),
        // A backup that is not finished is no store yet.
        Ok(None) if matches!(read_small(directory, COPYING, 0), Ok(Some(_))) => {
            return Err(not_a_store());
        }
        Ok(None) | Err(Error::CorruptFile { .. }) => {}
        Err(error) if is_no_folder(&error) => return Err(not_a_store()),
        Err(error) => return Err(error),
    }
    // The first segment may tell the same.
    find_meta(directory).map_err(|error| if is_no_folder(&error) { not_a_store() } else { error })
}

/// The options of an index that is not there.
const NO_INDEX: IndexOptions = IndexOptions {
    checkpoint_event_count: u64::MAX,
    mark_interval_len: MARK_INTERVAL_LEN,
    cache_len_max: 0,
};
