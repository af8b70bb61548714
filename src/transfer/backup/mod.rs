//! Copying a store that may be in use, and bringing such a copy up to date.
//!
//! Owns the order in which things are read and written: the places of consumers are read before the
//! end of the log, so that none is above it, and written after the log has come that far. Works on
//! files alone: opens no store and no index, and holds the lock of the copy only.

mod consumers;
mod destination;
mod growing;
mod original;
mod report;

pub use report::{BackupProgress, BackupReport, SegmentTally};

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::directory::{Directory, DiskDirectory, is_absence};
use crate::error::{Error, Result};
use crate::format::StoreMeta;
use crate::transfer::backup::consumers::Consumers;
use crate::transfer::backup::destination::{Destination, refuse};
use crate::transfer::backup::growing::{Growing, Halt};
use crate::transfer::backup::original::Original;
use crate::verify::is_damage;

/// How often a backup is begun if the original looks damaged: an opening of it may have moved what was
/// being copied.
const TRIES_MAX: usize = 3;
/// How long to wait before what looks wrong is looked at again, and for a writer to take back what
/// it could not write.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes a copy of a store, and brings it up to date when it is there.
///
/// The store may be open, in this process or another, and be appended to meanwhile: the copy has all
/// that was durable when the backup began, up to the end of a batch, and all consumers, none of which
/// is ahead of it. It is a store like any other: it can be opened, verified, inspected. Nothing of the
/// original is changed, and its lock is left alone.
///
/// A second backup to the same place brings the copy up to date, and copies only what is new. Whenever
/// it ends early, also with the process or the power, the copy is a store with what it had, or more;
/// one that was being made for the first time is none yet. The next backup goes on from there.
///
/// The index is not copied: it is built when the copy is opened, which reads all of the log once.
///
/// ```
/// use annals::transfer::Backup;
/// use annals::{Expected, NewEvent, Options, Store};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("shop.annals");
/// # let copy = dir.path().join("copy.annals");
/// let store = Store::open(&path)?;
/// store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
///
/// let report = Backup::of(&path).to(&copy)?;
/// assert_eq!(report.end, store.end());
/// assert_eq!(Options::new().open_read_only(&copy)?.end()?, store.end());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Backup {
    store: PathBuf,
    link: Link,
}

/// Whether the copy may share files with the original.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// Sealed segments, which never change, are hard links where the file system can do that: they
    /// take no room and no time. Damage to the medium there is damage to both.
    #[default]
    WherePossible,
    /// Every byte is copied, and the digest of each sealed segment is compared on the way.
    Never,
}

impl Backup {
    /// A backup of the store at `path`.
    #[must_use]
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self { store: path.as_ref().to_owned(), link: Link::default() }
    }

    /// Whether the copy may share files with the original. Default: [`Link::WherePossible`].
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// Makes a copy at `path`, where nothing is or an empty directory; or brings the one up to date
    /// that is there.
    ///
    /// # Errors
    ///
    /// [`Error::BackupRefused`] if something else is at `path`, another store for instance, or a copy
    /// whose log has gone another way because something was appended to it; [`Error::Locked`] if the
    /// copy is open. Then nothing there was changed. The same of the original:
    /// [`Error::NotAStore`], [`Error::NewerFormat`], [`Error::RepairUnfinished`], and
    /// [`Error::CorruptFile`] and [`Error::Corrupt`] if it is damaged where its end is looked for.
    ///
    /// [`Error::Corrupt`] of the original also if damage shows while a segment is copied, and
    /// [`Error::Io`]: then the copy has what is before it, or is no store yet. Of segments that are
    /// linked only header and footer are looked at.
    pub fn to(&self, path: impl AsRef<Path>) -> Result<BackupReport> {
        self.to_watched(path, |_| ControlFlow::Continue(()))
    }

    /// As [`Backup::to`], and calls `watch` now and then, which may end it by returning
    /// [`ControlFlow::Break`].
    ///
    /// # Errors
    ///
    /// Those of [`Backup::to`].
    pub fn to_watched(
        &self,
        path: impl AsRef<Path>,
        mut watch: impl FnMut(&BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupReport> {
        let path = path.as_ref();
        if path.as_os_str().is_empty() {
            return Err(refuse(path, "it has no name"));
        }
        let real = |path: &Path| DiskDirectory::real_path(path).map_err(Error::io("find", path));
        if real(path)?.starts_with(real(&self.store)?) {
            return Err(refuse(path, "it is the store itself, or inside of it"));
        }
        let original: Arc<dyn Directory> = Arc::new(DiskDirectory::new(&self.store));
        let copy: Arc<dyn Directory> = Arc::new(DiskDirectory::new(path));
        back_up(&original, &copy, self.link, PAUSE, &mut watch)
    }
}

/// Is told how far a backup has come, and may end it.
type Watch<'a> = &'a mut dyn FnMut(&BackupProgress) -> ControlFlow<()>;

fn back_up(
    original: &Arc<dyn Directory>,
    copy: &Arc<dyn Directory>,
    link: Link,
    pause: Duration,
    watch: Watch<'_>,
) -> Result<BackupReport> {
    let meta = original::meta(&**original)?;
    let destination = Destination::take(Arc::clone(copy), meta)?;
    for _ in 1..TRIES_MAX {
        match try_once(original, &meta, &destination, link, pause, watch) {
            Err(error) if is_damage(&error) => thread::sleep(pause),
            done => return done,
        }
    }
    try_once(original, &meta, &destination, link, pause, watch)
}

/// Brings the copy up to the original as it is now.
fn try_once(
    original: &Arc<dyn Directory>,
    meta: &StoreMeta,
    destination: &Destination,
    link: Link,
    pause: Duration,
    watch: Watch<'_>,
) -> Result<BackupReport> {
    let copy = destination.directory();
    let found = destination.examine()?;
    let consumers = Consumers::read(Arc::clone(original), meta.key.id, pause)?;
    let at_least = consumers.highest();
    let copied_end = found.end.map(|end| end.position);
    let original = Original::look(original, meta.key, at_least, copied_end, pause)?;
    if let Some(end) = &found.end
        && !original.has(end)?
    {
        let reason = "it has events that the store has not: something was appended to it, or the \
                      store has lost what it had";
        return Err(refuse(copy.path(), reason));
    }
    if found.has_others_than(original.bases()) {
        return Err(refuse(copy.path(), "its segments are others than those of the store"));
    }
    let mut report = BackupReport::nothing(original.end().position, copied_end);
    destination.begin(&found)?;
    let growing = Growing::new(&original, copy, link, &found, &mut report, watch)?;
    match growing.grow() {
        Ok(()) => {}
        Err(Halt::Broken) => {
            report.is_complete = false;
            return Ok(report);
        }
        Err(Halt::Failed(error)) => return Err(error),
    }
    report.left_out_count = original.left_out_count();
    consumers.write(copy, original.end().position, &mut report)?;
    destination.finish(&original.note())?;
    Ok(report)
}

/// The names in a folder; none, if there is no such folder.
fn list(directory: &dyn Directory, folder: &str) -> Result<Vec<String>> {
    match directory.list(folder) {
        Err(error) if is_absence(&error) => Ok(Vec::new()),
        listed => listed.map_err(Error::io("list", &directory.path_of(folder))),
    }
}

fn remove(directory: &dyn Directory, name: &str) -> Result<()> {
    directory.remove(name).map_err(Error::io("remove", &directory.path_of(name)))
}

fn replace(directory: &dyn Directory, name: &str, bytes: &[u8]) -> Result<()> {
    let path = directory.path_of(name);
    directory.replace(name, bytes).map_err(Error::io("write", &path)).map(|_| ())
}

#[cfg(test)]
mod tests;
