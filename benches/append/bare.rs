//! The bare side: the bytes of records in one file that was filled with zeroes beforehand, so
//! that neither its length nor its blocks change when it is written.
//!
//! Owns the encoding. What it encodes has the parts and the checksums of annals' records, and is
//! made in the same way; it need not be equal.
#![expect(clippy::disallowed_types, reason = "the bare side writes a file of its own")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use annals::{Clock, SystemClock};
use fastrand::Rng;

use crate::common::{EVENT_TYPE, PAYLOAD_LEN, Result, STREAM_LEN, Sample};

const CHECKSUM_LEN: usize = size_of::<u32>();
const HEADER_LEN: usize = 64;
/// A multiple of 8, as it must be: annals needs no padding for these events either.
pub(crate) const RECORD_LEN: usize = HEADER_LEN + STREAM_LEN + EVENT_TYPE.len() + PAYLOAD_LEN;
const _: () = assert!(RECORD_LEN == 352 && RECORD_LEN.is_multiple_of(8));
const _: () = assert!(STREAM_LEN == 20 && EVENT_TYPE.len() == 12);
const POSITION_AT: usize = 16;

/// What is written at once when a file is filled with zeroes.
const ZEROES_LEN: usize = 1 << 20;

/// How many bytes the records of so many events have.
pub(crate) fn records_len(event_count: u64) -> u64 {
    event_count * u64::try_from(RECORD_LEN).unwrap_or(u64::MAX)
}

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

/// Makes records, each of which has the checksum of the one before.
#[derive(Debug)]
pub(crate) struct Encoder {
    position: u64,
    previous: u32,
    random: Rng,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { position: 0, previous: 0, random: Rng::with_seed(2) }
    }

    /// How many events it has encoded.
    pub(crate) fn event_count(&self) -> u64 {
        self.position
    }

    /// Adds the records of events that are appended together, and so have one time.
    pub(crate) fn encode(&mut self, samples: &[Sample], out: &mut Vec<u8>) {
        let time_ns = SystemClock.now().as_nanos();
        for sample in samples {
            self.add(sample, time_ns, out);
        }
    }

    fn add(&mut self, sample: &Sample, time_ns: i64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; CHECKSUM_LEN]);
        out.extend_from_slice(&self.previous.to_le_bytes());
        // The length and, after flags and content type, those of the names, as asserted above.
        out.extend_from_slice(&352_u32.to_le_bytes());
        out.extend_from_slice(&[1, 1, 20, 12]);
        out.extend_from_slice(&self.position.to_le_bytes());
        // In the place of the revision, which takes an index to know.
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&time_ns.to_le_bytes());
        out.extend_from_slice(&self.random.u128(..).to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(sample.stream.as_bytes());
        out.extend_from_slice(EVENT_TYPE.as_bytes());
        out.extend_from_slice(&sample.payload);
        if let Some((checksum, rest)) = out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut)
        {
            self.previous = crc32fast::hash(rest);
            *checksum = self.previous.to_le_bytes();
        }
        debug_assert_eq!(out.len() - start, RECORD_LEN);
        self.position += 1;
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
