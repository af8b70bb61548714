//! Records as the bare sides of the benchmarks write and read them.
//!
//! Owns their bytes. They have the parts and the checksums of annals' records, and are made in the
//! same way; they need not be equal.

use annals::{Clock, SystemClock};
use fastrand::Rng;

use crate::common::{EVENT_TYPE, PAYLOAD_LEN, Result, STREAM_LEN, Sample};

pub(crate) const CHECKSUM_LEN: usize = size_of::<u32>();
const HEADER_LEN: usize = 64;
/// A multiple of 8, as it must be: annals needs no padding for these events either.
pub(crate) const RECORD_LEN: usize = HEADER_LEN + STREAM_LEN + EVENT_TYPE.len() + PAYLOAD_LEN;
const _: () = assert!(RECORD_LEN == 352 && RECORD_LEN.is_multiple_of(8));
const _: () = assert!(STREAM_LEN == 20 && EVENT_TYPE.len() == 12);
pub(crate) const POSITION_AT: usize = 16;
const LEN_AT: usize = 8;
const NAME_LENS_AT: usize = 14;

/// How many bytes the records of so many events have.
pub(crate) fn records_len(event_count: u64) -> u64 {
    event_count * u64::try_from(RECORD_LEN).unwrap_or(u64::MAX)
}

/// The payload of the record that `bytes` begin with, and the bytes after that record; `None` if
/// it is not whole. Goes by the record's own lengths.
///
/// # Errors
///
/// If its bytes do not have its checksum, or its parts are longer than it is.
pub(crate) fn split_record(bytes: &[u8]) -> Result<Option<(&[u8], &[u8])>> {
    let Some(len) = bytes.get(LEN_AT..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
    let len = usize::try_from(u32::from_le_bytes(*len))?;
    let Some((record, after)) = bytes.split_at_checked(len) else { return Ok(None) };
    let (checksum, rest) = record.split_first_chunk().ok_or("a record without a checksum")?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*checksum) {
        return Err("a record is not as it was written".into());
    }
    let names = record.get(NAME_LENS_AT..).and_then(<[u8]>::first_chunk);
    let [stream_len, type_len] = *names.ok_or("a record without names")?;
    let payload_at = HEADER_LEN + usize::from(stream_len) + usize::from(type_len);
    Ok(Some((record.get(payload_at..).ok_or("a record without a payload")?, after)))
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
