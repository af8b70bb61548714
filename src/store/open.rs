//! Opening: from a path to a store that may be used.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::consumer::Consumers;
use crate::cursor::{LaterIndex, Source};
use crate::directory::{Directory, DiskDirectory, Lock, TEMPORARY_PREFIX, is_absence, read_small};
use crate::error::{Error, Result};
use crate::format::StoreMeta;
use crate::log::{LOCK, META, UnrecoveredLog, read_meta};
use crate::options::Options;
use crate::segment::{FOLDER as LOG_FOLDER, parse_name};
use crate::store::maintenance::Tasks;
use crate::store::open_index::{IndexPlace, random_from_system};
use crate::store::opening::Opening;
use crate::store::renewal::Renewal;
use crate::store::repair::REPAIRING;
use crate::store::{Indexer, Inner, Store};
use crate::sync::{AtomicBool, Mutex};
use crate::trace::{span, tell};
use crate::types::{NameHasher, StoreId, StoreKey};

/// What a creation that was interrupted may have left, besides temporary files.
const OF_CREATION: [&str; 2] = [LOCK, LOG_FOLDER];

impl Options {
    /// Opens the store at `path`, and first creates it, and the directories above it, if nothing
    /// is there.
    ///
    /// What a crash has left is put right before this returns; [`Store::recovery`] says what was
    /// found and done. That takes as long as what was written in the last moments is long, whatever
    /// the store holds.
    ///
    /// The index may still be opened, by a thread of the store's own, when this returns. Meanwhile
    /// the log can be read from any position and any time, a segment being read where the index
    /// would say more; appends, reading by stream, [`Store::recovery`], [`Store::verify`] and
    /// [`Store::close`] wait for the index.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if it is open already, [`Error::RepairUnfinished`], [`Error::NotAStore`]
    /// if something else is at `path`, [`Error::NewerFormat`], [`Error::InvalidOption`], and
    /// [`Error::Corrupt`] or [`Error::CorruptFile`] if something is damaged or missing that was
    /// durable; then no file has been changed.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        self.check()?;
        let path = path.as_ref();
        span!(INFO, "open", path = %path.display());
        if path.as_os_str().is_empty() {
            return Err(Error::NotAStore { path: path.to_owned() });
        }
        let disk = DiskDirectory::new(path);
        let is_there = match path.try_exists() {
            Err(error) if is_absence(&error) => false,
            looked => looked.map_err(Error::io("look for", path))?,
        };
        if is_there {
            refuse_what_is_no_store(&disk)?;
        } else if self.create {
            disk.create().map_err(Error::io("create", path))?;
        }
        self.open_in(Arc::new(disk), &IndexPlace::Sled)
    }

    /// Opens the store in `directory`, with its index in `place`.
    pub(crate) fn open_in(
        &self,
        directory: Arc<dyn Directory>,
        place: &IndexPlace,
    ) -> Result<Store> {
        if !self.create && read_meta(&*directory)?.is_none() {
            return Err(Error::NotAStore { path: directory.path().to_owned() });
        }
        let lock = take_lock(&*directory)?;
        refuse_unfinished_repair(&*directory)?;
        let (meta, created) = match read_meta(&*directory)? {
            Some(meta) => (meta, false),
            None => (self.create_in(&*directory)?, true),
        };
        let mut store = self.open_locked(directory, place, meta, lock)?;
        if let Some(inner) = Arc::get_mut(&mut store.inner) {
            inner.recovery.created = created;
        }
        tell!(
            INFO,
            end = store.inner.recovery.end.get(),
            created,
            was_closed = store.inner.recovery.was_closed,
            scanned_count = store.inner.recovery.scanned_count,
            torn_len = store.inner.recovery.torn_tail.as_ref().map_or(0, |torn| torn.len),
            "opened"
        );
        Ok(store)
    }

    fn open_locked(
        &self,
        directory: Arc<dyn Directory>,
        place: &IndexPlace,
        meta: StoreMeta,
        lock: Box<dyn Lock>,
    ) -> Result<Store> {
        let mut unrecovered = UnrecoveredLog::scan(Arc::clone(&directory), meta.key)?;
        // A durable note is never behind the index, which otherwise must be asked first.
        let opened = unrecovered
            .noted_end()
            .is_none()
            .then(|| self.open_index(&*directory, place, meta.key.id));
        if let Some(checkpoint) = opened.as_ref().and_then(|opened| opened.checkpoint) {
            unrecovered.add_index_checkpoint(checkpoint.position);
        }
        let (begin, recovery) = unrecovered.recover(self.segment_len_max)?;
        let segments = Arc::clone(&begin.segments);
        segments.share_blocks(self.read_cache_len);
        let index = Arc::new(LaterIndex::default());
        let log = begin.start(self, Arc::new(Indexer(Arc::clone(&index))));
        let log = Arc::new(log);
        let opening = Opening {
            options: self.clone(),
            directory: Arc::clone(&directory),
            place: place.clone(),
            segments: Arc::clone(&segments),
            log: Arc::clone(&log),
            is_durable: recovery.is_durable,
            index: Arc::clone(&index),
            is_cancelled: AtomicBool::new(false),
            was_made: AtomicBool::new(false),
            is_aside: AtomicBool::new(false),
        };
        let how = Arc::new(opening);
        let opening = match opened {
            // It was asked how far the log was durable, whatever becomes of it.
            Some(opened) if self.rebuilds_index => how.finish(opened.discarded()),
            Some(opened) => how.finish(opened),
            None => Arc::clone(&how).begin(),
        };
        let tasks = Tasks {
            log: Arc::clone(&log),
            index: Arc::clone(&index),
            sync_interval: self.sync_interval,
            was_closed: recovery.was_closed,
            syncer: None,
        };
        let source = Arc::new(Source::new(segments, index));
        let consumers =
            Consumers::new(Arc::clone(&source), Arc::clone(&log), Arc::clone(&self.clock));
        let inner = Inner {
            id: meta.key.id,
            seed: meta.key.seed,
            hasher: NameHasher::of(meta.key.id),
            created_at: meta.created_at,
            directory,
            options: self.clone(),
            log,
            maintenance: place.maintenance(tasks),
            source,
            consumers: Arc::new(consumers),
            renewal: Renewal::new(how, opening.later_found()),
            opening,
            recovery,
            random: Mutex::new(place.random()),
            ends: Mutex::default(),
            #[cfg(feature = "async")]
            queue: Arc::default(),
            place: place.clone(),
            lock: Mutex::new(Some(lock)),
        };
        Ok(Store { inner: Arc::new(inner) })
    }

    /// Makes an empty store. `store.meta` comes last: with it, the store exists.
    fn create_in(&self, directory: &dyn Directory) -> Result<StoreMeta> {
        let path = directory.path().to_owned();
        crate::log::refuse_segments(directory)?;
        // The directory may have been there, and its entry not be durable.
        directory.create_folder("").map_err(Error::io("create", &path))?;
        directory.create_folder(LOG_FOLDER).map_err(Error::io("create", &path))?;
        let created_at = self.clock.now();
        let mut random = random_from_system();
        let id = StoreId::random(created_at, &mut random);
        let key = StoreKey { id, seed: random.u32(..) };
        crate::log::create(directory, key)?;
        let meta = StoreMeta { key, created_at };
        directory.replace(META, &meta.encode()).map_err(Error::io("create", &path))?;
        Ok(meta)
    }
}

/// Makes sure that nothing is written into a directory that is something else.
fn refuse_what_is_no_store(disk: &DiskDirectory) -> Result<()> {
    let path = disk.path();
    let not_a_store = || Error::NotAStore { path: path.to_owned() };
    let list = |folder| match disk.list(folder) {
        Err(error) if is_absence(&error) && !folder.is_empty() => Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(not_a_store()),
        listed => listed.map_err(Error::io("list", &disk.path_of(folder))),
    };
    let names = list("")?;
    if names.iter().any(|name| name == META) {
        return Ok(());
    }
    let is_temporary = |name: &String| name.starts_with(TEMPORARY_PREFIX);
    let ours = |name: &String| OF_CREATION.contains(&name.as_str()) || is_temporary(name);
    let in_log = |name: &String| parse_name(name).is_some() || is_temporary(name);
    if names.iter().all(ours) && list(LOG_FOLDER)?.iter().all(in_log) {
        return Ok(());
    }
    Err(not_a_store())
}

pub(super) fn take_lock(directory: &dyn Directory) -> Result<Box<dyn Lock>> {
    let path = directory.path();
    let lock = directory.lock(LOCK).map_err(Error::io("lock", &directory.path_of(LOCK)))?;
    lock.ok_or_else(|| Error::Locked { path: path.to_owned() })
}

/// What a repair has not finished may lack what bears witness to what it has lost.
pub(crate) fn refuse_unfinished_repair(directory: &dyn Directory) -> Result<()> {
    let path = directory.path_of(REPAIRING);
    match read_small(directory, REPAIRING, 0).map_err(Error::io("read", &path))? {
        Some(_) => Err(Error::RepairUnfinished { path: directory.path().to_owned() }),
        None => Ok(()),
    }
}
