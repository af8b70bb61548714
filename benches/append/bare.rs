//! The bare side: the bytes of records in one file that was filled with zeroes beforehand, so
//! that neither its length nor its blocks change when it is written, and all of it is in memory. Or
//! in a new file, which grows, as every log must: the least that a store can cost.
//!
//! Owns that file. Its records are those of [`Encoder`].
#![expect(clippy::disallowed_types, reason = "the bare side writes a file of its own")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::common::{
    CHECKSUM_LEN, Encoder, POSITION_AT, RECORD_LEN, Result, Sample, records_len, settle,
};

/// What is written at once when a file is filled with zeroes.
const ZEROES_LEN: usize = 1 << 20;

/// A file full of zeroes, on the medium. Runs after the first write over the records of those
/// before, which costs the same. Removed when it is dropped.
#[derive(Debug)]
pub(crate) struct BareFile {
    file: File,
    len: u64,
    path: PathBuf,
}

impl BareFile {
    /// Creates the file with room for the records of `event_count` events.
    pub(crate) fn create(dir: &Path, event_count: u64) -> Result<Self> {
        let path = dir.join("bare");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let len = records_len(event_count);
        let created = Self { file, len, path };
        let zeroes = vec![0; ZEROES_LEN];
        let mut offset = 0;
        while offset < len {
            created.file.write_all_at(&zeroes, offset)?;
            offset += u64::try_from(zeroes.len())?;
        }
        created.file.sync_all()?;
        Ok(created)
    }

    /// Creates an empty file, which grows.
    pub(crate) fn growing(dir: &Path) -> Result<Self> {
        let path = dir.join("growing");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        settle(dir)?;
        Ok(Self { file, len: u64::MAX, path })
    }

    /// Writes at `offset`, or at the start if there is no more room, and returns where that ends.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<u64> {
        let len = u64::try_from(bytes.len())?;
        let offset = if offset + len > self.len { 0 } else { offset };
        self.file.write_all_at(bytes, offset)?;
        Ok(offset + len)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }

    /// Checks that the record that ends at `end` is sound and the last of `event_count`.
    pub(crate) fn check(&self, end: u64, event_count: u64) -> Result<()> {
        let mut record = [0; RECORD_LEN];
        self.file.read_exact_at(&mut record, end.saturating_sub(records_len(1)))?;
        let (checksum, rest) = record.split_at(CHECKSUM_LEN);
        let position = record.get(POSITION_AT..POSITION_AT + size_of::<u64>());
        let is_sound = checksum == crc32fast::hash(rest).to_le_bytes();
        let last = event_count.checked_sub(1).map(u64::to_le_bytes);
        if is_sound && position == last.as_ref().map(<[u8; 8]>::as_slice) {
            Ok(())
        } else {
            Err("the bare file does not end with the last event".into())
        }
    }
}

impl Drop for BareFile {
    fn drop(&mut self) {
        // The folder it is in is removed in the end.
        let _ = fs::remove_file(&self.path);
    }
}

/// One thread that appends to a file from its start.
#[derive(Debug)]
pub(crate) struct BareLog<'a> {
    file: &'a BareFile,
    encoder: Encoder,
    buffer: Vec<u8>,
    end: u64,
}

impl<'a> BareLog<'a> {
    pub(crate) fn new(file: &'a BareFile) -> Self {
        Self { file, encoder: Encoder::new(), buffer: Vec::new(), end: 0 }
    }

    /// Writes the records of these events at once.
    pub(crate) fn append(&mut self, samples: &[Sample]) -> Result<()> {
        self.buffer.clear();
        self.encoder.encode(samples, &mut self.buffer);
        self.end = self.file.write(&self.buffer, self.end)?;
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync()
    }

    pub(crate) fn event_count(&self) -> u64 {
        self.encoder.event_count()
    }

    /// Checks that the file holds what was appended.
    pub(crate) fn check(&self) -> Result<()> {
        self.file.check(self.end, self.event_count())
    }
}
