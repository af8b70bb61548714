//! What the system can be asked about files and their disk, where it is Linux.
#![expect(clippy::disallowed_types, reason = "files are opened to be forgotten")]

use std::fs::{self, File};
use std::path::Path;

use crate::common::Result;

/// Makes the system forget what it has in memory of the files in `dir` and in the folders in it.
/// What was not synced it keeps.
pub(crate) fn forget_all(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_all(&path)?;
        } else {
            forget(&File::open(path)?)?;
        }
    }
    Ok(())
}

/// Makes the system forget what it has in memory of a file.
#[cfg(target_os = "linux")]
pub(crate) fn forget(file: &File) -> Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn forget(_file: &File) -> Result<()> {
    Err("the system cannot be asked to forget a file".into())
}

/// How many bytes there is room for where `dir` is; `None` if that cannot be told.
#[cfg(target_os = "linux")]
pub(crate) fn free_len(dir: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(dir).ok()?;
    Some(system.f_bavail * system.f_frsize)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn free_len(_dir: &Path) -> Option<u64> {
    None
}
