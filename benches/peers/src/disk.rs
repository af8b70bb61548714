//! The disk under the stores: what they take of it, and whether it is one.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::Result;

/// Bytes that are allocated on disk for a directory and all that is in it.
pub fn allocated(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            bytes += allocated(&entry.path())?;
        }
    }
    Ok(bytes)
}

/// Makes an empty directory, whatever was there.
pub fn make_empty(dir: &Path) -> io::Result<()> {
    remove(dir)?;
    std::fs::create_dir_all(dir)
}

/// Removes a directory, if it is there.
pub fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Waits until the file system has nothing left to write, so that what a store, or the one before
/// it, has left in the page cache is not counted against what is measured next.
pub fn settle(dir: &Path) {
    // Where there is no such program, the figures are less quiet, and no less true.
    let _ = Command::new("sync").arg("-f").arg(dir).status();
}

/// Refuses a directory in memory, where a sync costs nothing.
pub fn check_is_disk(dir: &Path) -> Result<()> {
    let dir = dir.canonicalize()?;
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mounts") else { return Ok(()) };
    let below = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        dir.starts_with(at).then_some((at.len(), kind))
    });
    match below.max_by_key(|(len, _)| *len) {
        Some((_, kind @ ("tmpfs" | "ramfs"))) => {
            Err(format!("{} is in memory ({kind}): see --dir", dir.display()).into())
        }
        _ => Ok(()),
    }
}
