//! The one seam to the file system: a store's directory and the files in it.
//!
//! Owns what the rest of the crate may ask of a file system. Knows nothing of what is in the
//! files. Names are relative to the store's directory, with `/` between parts.

#[cfg(test)]
mod contract;
mod disk;
#[cfg(any(test, feature = "simulation"))]
mod simulated;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use disk::DiskDirectory;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use simulated::SimulatedDirectory;
#[cfg(any(test, feature = "simulation"))]
pub use simulated::{Call, Fault};

/// How the names of files begin that are to take the place of another.
pub(crate) const TEMPORARY_PREFIX: &str = ".new-";

/// Bytes that are copied at once.
const COPY_LEN: usize = 1 << 20;

/// An open file with positional reads and writes.
pub(crate) trait RandomFile: Debug + Send + Sync {
    /// Reads into `buffer` from `offset` on, until it is full or the file ends; returns how many
    /// bytes were read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Says that these bytes will be read soon, so that the system may fetch them meanwhile. May do
    /// nothing.
    fn will_read(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// Says that nothing of the file will be read soon, so that the system need not keep in memory what
    /// is on the medium. May do nothing.
    fn will_not_read(&self) {}

    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file's bytes and its length durable.
    fn sync(&self) -> io::Result<()>;

    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// A held lock. Dropping it lets go.
pub(crate) trait Lock: Debug + Send + Sync {}

/// A store's directory.
pub(crate) trait Directory: Debug + Send + Sync {
    /// Where it is, for messages and for sled.
    fn path(&self) -> &Path;

    /// Names of the files and folders in `folder`, in no order. No `folder` is an error of kind
    /// [`io::ErrorKind::NotFound`].
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Creates `folder`, and its parents, unless they exist, and makes their entries durable.
    fn create_folder(&self, folder: &str) -> io::Result<()>;

    /// Makes the entries of a folder durable: which files are in it, under which names. The
    /// directory itself is "".
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Opens a file that exists, for reading.
    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn RandomFile>>;

    /// Opens a file that exists, for reading and writing.
    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn RandomFile>>;

    /// Puts a file with these bytes in the place of `name`, which may exist: a crash leaves
    /// either the old one or the new one, whole. Durable when it returns.
    ///
    /// The handle that is returned is the one the bytes were written with.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<Arc<dyn RandomFile>>;

    /// Puts a copy of the first `len` bytes of `name` in its place, read as a process sees them and
    /// written to other places of the medium. A crash leaves either file, whole. Durable when it
    /// returns, and the handle is the one the copy was written with.
    ///
    /// An error of kind [`io::ErrorKind::StorageFull`] or `QuotaExceeded` says that there was no
    /// room for the copy, and that nothing has changed.
    fn renew(&self, name: &str, len: u64) -> io::Result<Arc<dyn RandomFile>>;

    /// Makes `name` another name of the file at `path`, in the place of whatever had it: a crash leaves
    /// either. Durable when it returns, as far as the file's bytes are.
    ///
    /// Fails where that cannot be done, as between two file systems; `name` stands for one of the two
    /// then.
    fn link(&self, path: &Path, name: &str) -> io::Result<()>;

    /// Makes sure, durably, that there is no file `name`.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Moves a file to a name in a folder that exists, durably. What had that name is gone then: a
    /// crash leaves either, whole.
    fn rename_file(&self, from: &str, to: &str) -> io::Result<()>;

    /// Moves a folder, or whatever else is there, to another name that is not taken, durably.
    fn rename_folder(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a folder with all that is in it, or whatever else is there.
    fn remove_folder(&self, folder: &str) -> io::Result<()>;

    /// Takes the lock on `name` without waiting, creating the file if there is none; `None` if
    /// someone else holds it.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>>;

    /// Where `name` is, for messages.
    fn path_of(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

/// Whether an error says that there is nothing of that name, nor could be.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Reads a small file whole; `None` if there is none. Stops at one byte more than `len_max`.
pub(crate) fn read_small(
    directory: &dyn Directory,
    name: &str,
    len_max: usize,
) -> io::Result<Option<Vec<u8>>> {
    let file = match directory.open_to_read(name) {
        Ok(file) => file,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; len_max + 1];
    let len = file.read_at(&mut bytes, 0)?;
    bytes.truncate(len);
    Ok(Some(bytes))
}

/// Copies a file to a name that is not taken, in a folder that exists, durably.
pub(crate) fn copy_file(directory: &dyn Directory, from: &str, to: &str) -> io::Result<()> {
    let from = directory.open_to_read(from)?;
    let to = directory.replace(to, b"")?;
    let mut block = vec![0; COPY_LEN];
    let mut offset = 0;
    loop {
        let len = from.read_at(&mut block, offset)?;
        let Some(bytes) = block.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
        to.write_all_at(bytes, offset)?;
        offset = offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
    to.sync()
}
