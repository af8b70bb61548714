//! Where the copy goes.
//!
//! Owns what may be there before, and what is written first and last.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::directory::{Directory, Lock, TEMPORARY_PREFIX, is_absence};
use crate::error::{Error, Result};
use crate::format::{CleanNote, StoreMeta};
use crate::inspect::Inspection;
use crate::log::{CLEAN_NOTE, CONSUMERS, COPYING, DURABLE_NOTE, LOCK, META, list_bases, read_meta};
use crate::segment::{FOLDER, SegmentFile};
use crate::store::refuse_unfinished_repair;
use crate::transfer::backup::{list, remove, replace};
use crate::types::{LogEnd, Position};

/// The directory of the copy, locked.
#[derive(Debug)]
pub(super) struct Destination {
    directory: Arc<dyn Directory>,
    meta: StoreMeta,
    _lock: Box<dyn Lock>,
}

/// What was found there.
#[derive(Debug)]
pub(super) struct Found {
    /// Where the log of the copy ends; `None` if there is no store yet.
    pub(super) end: Option<LogEnd>,
    /// First positions of its segments.
    pub(super) bases: Vec<Position>,
}

impl Found {
    /// Whether the copy has segments that the original has not, but for one without events at its end,
    /// which may have been taken back.
    pub(super) fn has_others_than(&self, bases: &[Position]) -> bool {
        let Some(end) = &self.end else { return false };
        let is_other = |base: &&Position| bases.binary_search(base).is_err();
        self.bases.iter().filter(is_other).any(|base| *base != end.position)
    }
}

/// The error that says why a backup cannot go to `path`.
pub(super) fn refuse(path: &Path, reason: &'static str) -> Error {
    Error::BackupRefused { path: path.to_owned(), reason, source: None }
}

impl Destination {
    pub(super) fn directory(&self) -> &dyn Directory {
        &*self.directory
    }

    /// Takes the directory, which is created if it is not there.
    pub(super) fn take(directory: Arc<dyn Directory>, meta: StoreMeta) -> Result<Self> {
        let path = directory.path().to_owned();
        // Nothing is to be written where something else is, not even a lock.
        check_names(&*directory)?;
        directory.create_folder("").map_err(Error::io("create", &path))?;
        let lock = directory.lock(LOCK).map_err(Error::io("lock", &directory.path_of(LOCK)))?;
        let lock = lock.ok_or(Error::Locked { path })?;
        Ok(Self { directory, meta, _lock: lock })
    }

    /// Looks at what is there.
    pub(super) fn examine(&self) -> Result<Found> {
        let directory = &*self.directory;
        check_names(directory)?;
        let Some(meta) = read_meta(directory)? else {
            let bases = list_bases(directory)?;
            for base in &bases {
                self.check_segment(*base)?;
            }
            return Ok(Found { end: None, bases });
        };
        if meta.key != self.meta.key {
            return Err(refuse(directory.path(), "it holds another store"));
        }
        refuse_unfinished_repair(directory)?;
        let copy = Inspection::of(&self.directory, Duration::ZERO)?;
        let (bases, end, _) = copy.into_sound().map_err(|error| Error::BackupRefused {
            path: directory.path().to_owned(),
            reason: "what it holds is damaged",
            source: Some(Box::new(error)),
        })?;
        Ok(Found { end: Some(end), bases })
    }

    /// Makes sure that what a first backup has left is of this store.
    fn check_segment(&self, base: Position) -> Result<()> {
        let file = SegmentFile::open_to_read(&*self.directory, self.meta.key, base)?;
        match file.header() {
            Err(Error::Corrupt { .. }) => {
                let reason = "it holds the beginning of another copy";
                Err(refuse(self.directory.path(), reason))
            }
            header => header.map(|_| ()),
        }
    }

    /// Lets the copy grow from here on.
    pub(super) fn begin(&self, found: &Found) -> Result<()> {
        let directory = &*self.directory;
        if found.end.is_none() {
            replace(directory, COPYING, b"")?;
        }
        for folder in [FOLDER, CONSUMERS] {
            let path = directory.path_of(folder);
            directory.create_folder(folder).map_err(Error::io("create", &path))?;
        }
        for note in [CLEAN_NOTE, DURABLE_NOTE] {
            remove(directory, note)?;
        }
        for folder in ["", FOLDER, CONSUMERS] {
            for name in list(directory, folder)? {
                if name.starts_with(TEMPORARY_PREFIX) {
                    let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                    remove(directory, &name)?;
                }
            }
        }
        Ok(())
    }

    /// Leaves a store that was closed at `note`. With `store.meta`, which comes last, it exists.
    pub(super) fn finish(&self, note: &CleanNote) -> Result<()> {
        let directory = &*self.directory;
        replace(directory, CLEAN_NOTE, &note.encode())?;
        if read_meta(directory)?.is_none() {
            replace(directory, META, &self.meta.encode())?;
        }
        remove(directory, COPYING)
    }
}

/// Refuses a directory that is neither a store, nor the beginning of a copy, nor empty.
fn check_names(directory: &dyn Directory) -> Result<()> {
    let path = directory.path();
    let names = match directory.list("") {
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(refuse(path, "it is no directory"));
        }
        Err(error) if is_absence(&error) => return Ok(()),
        listed => listed.map_err(Error::io("list", path))?,
    };
    if names.iter().any(|name| name == META || name == COPYING) {
        return Ok(());
    }
    let ours = |name: &String| name == LOCK || name.starts_with(TEMPORARY_PREFIX);
    if names.iter().all(ours) {
        return Ok(());
    }
    Err(refuse(path, "it is not empty, and holds no copy"))
}
