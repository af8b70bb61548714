//! The directory on a real file system.
//!
//! Owns all file I/O of the crate but sled's own. Files are created for their owner alone.
#![expect(clippy::disallowed_types, reason = "this is the file that does file I/O")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use crate::directory::{Directory, Lock, RandomFile, TEMPORARY_PREFIX};

/// Bytes that are copied at once.
const COPY_LEN: usize = 1 << 20;
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// A directory on a real file system.
#[derive(Debug)]
pub(crate) struct DiskDirectory {
    path: PathBuf,
}

impl DiskDirectory {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where a path leads, all links resolved, though nothing may be there yet.
    pub(crate) fn real_path(path: &Path) -> io::Result<PathBuf> {
        match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let above = parent(path);
                let name = path.file_name().filter(|_| above != path).ok_or(error)?;
                Ok(Self::real_path(above)?.join(name))
            }
            found => found,
        }
    }

    /// Creates the directory and its missing parents, and makes their entries durable.
    pub(crate) fn create(&self) -> io::Result<()> {
        create_all(&self.path)
    }

    fn open(&self, name: &str, options: &OpenOptions) -> io::Result<Arc<dyn RandomFile>> {
        Ok(Arc::new(options.open(self.path_of(name))?))
    }

    /// A file that is to take the place of `name`, for its owner alone, and removed if it is
    /// dropped.
    fn temporary(&self, name: &str) -> io::Result<NamedTempFile> {
        let path = self.path_of(name);
        tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(parent(&path))
    }

    /// Lets a file that is durable take the place of `name`, durably.
    fn place(&self, file: NamedTempFile, name: &str) -> io::Result<Arc<dyn RandomFile>> {
        let file = file.persist(self.path_of(name))?;
        self.sync_entry(name)?;
        Ok(Arc::new(file))
    }

    /// Makes the entry of `name` in its folder durable.
    fn sync_entry(&self, name: &str) -> io::Result<()> {
        sync_folder(parent(&self.path_of(name)))
    }
}

/// The directory that a path stands in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Creates `path` and its missing parents, each entry synced. One that exists already may be
/// left from a crash before its entry was synced, so the last one's is synced in any case.
fn create_all(path: &Path) -> io::Result<()> {
    let above = parent(path);
    let create = || match fs::DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    };
    match create() {
        // What is missing is the one above, unless there is none.
        Err(error) if error.kind() == io::ErrorKind::NotFound && above != path => {
            create_all(above)?;
            create()?;
        }
        created => created?,
    }
    sync_folder(above)
}

impl Directory for DiskDirectory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path_of(folder))? {
            // A name that is no UTF-8 is none of ours, and must not look like one either.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        create_all(&self.path_of(folder))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        sync_folder(&self.path_of(folder))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn RandomFile>> {
        self.open(name, OpenOptions::new().read(true))
    }

    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn RandomFile>> {
        self.open(name, OpenOptions::new().read(true).write(true))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<Arc<dyn RandomFile>> {
        let mut file = self.temporary(name)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        self.place(file, name)
    }

    fn renew(&self, name: &str, len: u64) -> io::Result<Arc<dyn RandomFile>> {
        let old = File::open(self.path_of(name))?;
        let mut file = self.temporary(name)?;
        // Not by `io::copy`, which lets the file system share the old places if it can.
        let mut block = vec![0; COPY_LEN];
        let mut offset = 0;
        while offset < len {
            let left = usize::try_from(len - offset).unwrap_or(usize::MAX).min(block.len());
            let bytes = block.get_mut(..left).unwrap_or_default();
            FileExt::read_exact_at(&old, bytes, offset)?;
            file.write_all(bytes)?;
            offset += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        }
        // From here on a lack of room leaves more behind than a file too few.
        file.as_file().sync_all().map_err(io::Error::other)?;
        self.place(file, name).map_err(io::Error::other)
    }

    fn link(&self, path: &Path, name: &str) -> io::Result<()> {
        let place = self.path_of(name);
        // A link is not made in the place of another file, but may be moved there.
        let linked = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .make_in(parent(&place), |temporary| fs::hard_link(path, temporary))?;
        fs::rename(linked.path(), &place)?;
        // Nothing was moved if both were names of the same file: the temporary one goes by itself.
        drop(linked);
        self.sync_entry(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path_of(name)) {
            // It may have been removed before, and that not been made durable.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync_entry(name),
        }
    }

    fn rename_file(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path_of(from), self.path_of(to))?;
        self.sync_entry(to)?;
        self.sync_entry(from)
    }

    fn rename_folder(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path_of(from), self.path_of(to))?;
        self.sync_entry(to)
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        let path = self.path_of(folder);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.path_of(name))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(FileLock(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// A lock that is let go when it is dropped, even if a process that was just started still has a
/// copy of the descriptor: the lock is on what all copies share.
#[derive(Debug)]
struct FileLock(File);

impl Lock for FileLock {}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A failure here has nobody to go to; closing the file lets go as well.
        let _ = self.0.unlock();
    }
}

impl RandomFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            match FileExt::read_at(self, rest, at) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    #[cfg(target_os = "linux")]
    fn will_read(&self, offset: u64, len: u64) {
        use rustix::fs::{Advice, fadvise};
        // Where the system will not hear of it, it fetches what is read when it is read.
        let _ = fadvise(self, offset, std::num::NonZeroU64::new(len), Advice::WillNeed);
    }

    #[cfg(target_os = "linux")]
    fn will_not_read(&self) {
        use rustix::fs::{Advice, fadvise};
        // Where the system will not hear of it, it keeps what it would have kept.
        let _ = fadvise(self, 0, None, Advice::DontNeed);
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn directory() -> (tempfile::TempDir, DiskDirectory) {
        let place = tempfile::tempdir().unwrap();
        let directory = DiskDirectory::new(&place.path().join("a/b"));
        directory.create().unwrap();
        directory.create_folder("log").unwrap();
        (place, directory)
    }

    #[test]
    fn files_and_folders_are_for_their_owner_alone() {
        let (_place, directory) = directory();
        directory.replace("log/x", b"x").unwrap();
        let _lock = directory.lock("LOCK").unwrap().unwrap();
        let mode = |name| fs::metadata(directory.path_of(name)).unwrap().permissions().mode();
        assert_eq!(mode("log/x") & 0o777, 0o600);
        assert_eq!(mode("LOCK") & 0o777, 0o600);
        assert_eq!(mode("log") & 0o777, 0o700);
        assert_eq!(mode(".") & 0o777, 0o700);
    }

    #[test]
    fn a_replaced_file_is_the_new_one_and_leaves_nothing_else() {
        let (_place, directory) = directory();
        directory.replace("log/x", b"old and long").unwrap();
        directory.replace("log/x", b"new").unwrap();
        assert_eq!(read_all(&directory, "log/x"), b"new");
        assert_eq!(directory.list("log").unwrap(), ["x"]);
    }

    #[test]
    fn a_link_is_the_same_file_and_takes_the_place_of_another() {
        let (place, directory) = directory();
        let other = place.path().join("other");
        fs::write(&other, b"0123").unwrap();
        for _ in 0..2 {
            directory.link(&other, "log/x").unwrap();
            assert_eq!(read_all(&directory, "log/x"), b"0123");
            assert_eq!(directory.list("log").unwrap(), ["x"]);
        }
        fs::write(&other, b"4567").unwrap();
        assert_eq!(read_all(&directory, "log/x"), b"4567");
        directory.replace("log/x", b"of its own").unwrap();
        directory.link(&other, "log/x").unwrap();
        assert_eq!(read_all(&directory, "log/x"), b"4567");
    }

    #[test]
    fn a_link_to_nothing_changes_nothing() {
        let (place, directory) = directory();
        directory.replace("log/x", b"0123").unwrap();
        let missing = directory.link(&place.path().join("other"), "log/x").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(read_all(&directory, "log/x"), b"0123");
        assert_eq!(directory.list("log").unwrap(), ["x"]);
    }

    #[test]
    fn where_a_path_leads_is_known_before_anything_is_there() {
        let (place, directory) = directory();
        let there = place.path().join("there");
        std::os::unix::fs::symlink(directory.path(), &there).unwrap();
        let real = DiskDirectory::real_path(&there.join("new/store")).unwrap();
        let expected = fs::canonicalize(directory.path()).unwrap().join("new/store");
        assert_eq!(real, expected);
    }

    fn read_all(directory: &DiskDirectory, name: &str) -> Vec<u8> {
        crate::directory::read_small(directory, name, 100).unwrap().unwrap()
    }
}
