//! Where a benchmark leaves its figures, and where its stores go.
#![expect(clippy::disallowed_types, reason = "a folder is opened to be synced")]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::Result;

/// What `st_blocks` counts in, whatever the file system's blocks are.
const BLOCK_UNIT: u64 = 512;

/// `target/annals-bench`. The target directory is the one that this program was built into.
pub(super) fn results_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let deps = exe.parent().filter(|folder| folder.ends_with("deps"));
    let target = deps.and_then(|deps| deps.ancestors().nth(2)).unwrap_or(Path::new("target"));
    let results = target.join("annals-bench");
    fs::create_dir_all(&results)?;
    Ok(results)
}

/// A folder for stores, removed when it is dropped. By default it is not where temporary files
/// are, because that may be in memory.
pub(super) fn scratch_in(dir: &Path) -> Result<TempDir> {
    fs::create_dir_all(dir)?;
    Ok(tempfile::Builder::new().prefix("stores-").tempdir_in(dir)?)
}

/// Waits until the file system has done what earlier runs have left it to do in `dir`, so that
/// the next run does not pay for it.
pub(crate) fn settle(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Bytes in some files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// How many files there are.
    pub(crate) file_count: u64,
    /// What their blocks take up on the disk.
    pub(crate) allocated: u64,
    /// How long they are.
    pub(crate) len: u64,
}

/// What the files in `dir` and in the folders in it take up.
pub(crate) fn usage(dir: &Path) -> io::Result<Usage> {
    let mut sum = Usage::default();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                sum.file_count += 1;
                sum.allocated += metadata.blocks() * BLOCK_UNIT;
                sum.len += metadata.len();
            }
        }
    }
    Ok(sum)
}
