//! The bare side: files read from their first byte to their last, and a checksum.
#![expect(clippy::disallowed_types, reason = "files are read and written")]

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crc32fast::Hasher;

use crate::common::Result;

/// Bytes that are read at once.
const BLOCK_LEN: usize = 256 << 10;
/// Bytes after which all that was written is synced, as an import does.
const SYNC_LEN: usize = 16 << 20;

/// Reads files one after the other, and computes one checksum of all bytes.
pub(crate) fn read_and_check(paths: &[PathBuf]) -> Result<Duration> {
    let started = Instant::now();
    let mut checksum = Hasher::new();
    let mut block = vec![0; BLOCK_LEN];
    for path in paths {
        let mut file = File::open(path)?;
        loop {
            let len = file.read(&mut block)?;
            let Some(bytes) = block.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
            checksum.update(bytes);
        }
    }
    // A checksum that nobody looks at need not be computed.
    std::hint::black_box(checksum.finalize());
    Ok(started.elapsed())
}

/// Reads one file and writes `len` bytes to another, synced every 16 MiB and at the end.
pub(crate) fn read_and_write(from: &Path, to: &Path, len: u64) -> Result<Duration> {
    let started = Instant::now();
    read_and_check(&[from.to_owned()])?;
    let mut file = File::create(to)?;
    let block = vec![7; BLOCK_LEN];
    let (mut left, mut unsynced) = (usize::try_from(len)?, 0);
    while let Some(bytes) = block.get(..left.min(BLOCK_LEN)).filter(|bytes| !bytes.is_empty()) {
        file.write_all(bytes)?;
        left -= bytes.len();
        unsynced += bytes.len();
        if unsynced >= SYNC_LEN || left == 0 {
            unsynced = 0;
            file.sync_data()?;
        }
    }
    Ok(started.elapsed())
}
