//! The bare side: records in one file, one after the other, and nothing that says where.
#![expect(clippy::disallowed_types, reason = "the bare side reads a file of its own")]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::common::{Encoder, RECORD_LEN, Result, Sample, records_len, split_record};
use crate::sum::Sum;

/// What is read at once when all is read.
const BLOCK_LEN: usize = 128 << 10;

/// A file of records, all of one length. Open for reading.
#[derive(Debug)]
pub(crate) struct PlainFile {
    file: File,
    len: u64,
}

impl PlainFile {
    /// Creates a file with the records of these batches.
    pub(crate) fn create(
        path: &Path,
        batches: impl IntoIterator<Item = Vec<Sample>>,
    ) -> Result<Self> {
        let mut file = File::create_new(path)?;
        let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
        for batch in batches {
            bytes.clear();
            encoder.encode(&batch, &mut bytes);
            file.write_all(&bytes)?;
        }
        file.sync_all()?;
        Ok(Self { file: File::open(path)?, len: records_len(encoder.event_count()) })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads all records.
    pub(crate) fn read_all(&self) -> Result<Sum> {
        let mut block = vec![0; BLOCK_LEN];
        let mut sum = Sum::default();
        let mut offset = 0;
        while offset < self.len {
            let read_len = self.file.read_at(&mut block, offset)?;
            let bytes = block.get(..read_len).unwrap_or_default();
            let rest = add_records(bytes, &mut sum)?;
            let used = read_len - rest.len();
            if used == 0 {
                return Err("the plain file ends within a record".into());
            }
            offset += u64::try_from(used)?;
        }
        Ok(sum)
    }

    /// Reads all bytes without looking at them, and returns how many there were.
    pub(crate) fn read_bytes(&self) -> Result<u64> {
        let mut block = vec![0; BLOCK_LEN];
        let mut offset = 0;
        loop {
            let read_len = self.file.read_at(&mut block, offset)?;
            if read_len == 0 {
                return Ok(offset);
            }
            offset += u64::try_from(read_len)?;
        }
    }

    /// Reads `buffer.len()` bytes of whole records from that of `position` on, at once.
    pub(crate) fn read_from(&self, position: u64, buffer: &mut [u8]) -> Result<Sum> {
        self.file.read_exact_at(buffer, records_len(position))?;
        let mut sum = Sum::default();
        let rest = add_records(buffer, &mut sum)?;
        if rest.is_empty() { Ok(sum) } else { Err("a record is not whole".into()) }
    }

    /// Reads the records of these positions, one after the other.
    pub(crate) fn read_each(&self, positions: &[u64]) -> Result<Sum> {
        let mut record = [0; RECORD_LEN];
        let mut sum = Sum::default();
        for position in positions {
            sum = sum.plus(self.read_from(*position, &mut record)?);
        }
        Ok(sum)
    }
}

/// Adds the whole records that `bytes` begin with, and returns what is left.
fn add_records<'a>(mut bytes: &'a [u8], sum: &mut Sum) -> Result<&'a [u8]> {
    while let Some((payload, rest)) = split_record(bytes)? {
        sum.add(payload);
        bytes = rest;
    }
    Ok(bytes)
}
