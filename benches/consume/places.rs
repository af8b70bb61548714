//! The bare side of commits: a file with room for two short texts, written in turn.
#![expect(clippy::disallowed_types, reason = "the bare side writes a file of its own")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::common::Result;

/// As many bytes as the file of a consumer has.
const FILE_LEN: usize = 2 * 8_192;
const SECOND_AT: u64 = 8_192;
/// As many bytes as annals writes for a commit.
const PLACE_LEN: usize = 76;
const NUMBER_LEN: usize = size_of::<u64>();
const CHECKSUM_AT: usize = PLACE_LEN - size_of::<u32>();

/// A file that was filled with zeroes, on the medium.
#[derive(Debug)]
pub(crate) struct Places(File);

impl Places {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.write_all_at(&[0; FILE_LEN], 0)?;
        file.sync_all()?;
        Ok(Self(file))
    }

    /// Writes a number in the place that was not written last, and syncs it.
    pub(crate) fn write(&self, number: u64) -> Result<()> {
        self.0.write_all_at(&bytes(number), offset(number))?;
        Ok(self.0.sync_data()?)
    }

    /// Checks that `number` stands in its place.
    pub(crate) fn check(&self, number: u64) -> Result<()> {
        let mut found = [0; PLACE_LEN];
        self.0.read_exact_at(&mut found, offset(number))?;
        if found == bytes(number) {
            return Ok(());
        }
        Err(format!("{number} was not written").into())
    }
}

fn offset(number: u64) -> u64 {
    if number.is_multiple_of(2) { 0 } else { SECOND_AT }
}

fn bytes(number: u64) -> [u8; PLACE_LEN] {
    let mut bytes = [0; PLACE_LEN];
    let (rest, checksum) = bytes.split_at_mut(CHECKSUM_AT);
    let (number_bytes, _) = rest.split_at_mut(NUMBER_LEN);
    number_bytes.copy_from_slice(&number.to_le_bytes());
    checksum.copy_from_slice(&crc32fast::hash(rest).to_le_bytes());
    bytes
}
