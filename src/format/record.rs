//! A record: one event with its place, its time, and what proves that it is the next one.
//!
//! Owns the byte layout of `docs/format.md`, section 3. Encodes here, and decodes in `read`.

mod layout;
mod read;

pub(crate) use layout::{Part, parts_of};
pub(crate) use read::{Claim, Record, RecordFault, Trust};

use crate::event::{NewEvent, Progress};
use crate::types::{EventId, Position, Revision, Timestamp};

/// Bytes before the body.
pub(crate) const HEADER_LEN: usize = 64;
/// Bytes of the shortest record: a name and a type of one byte each, padded.
pub(crate) const LEN_MIN: usize = 72;
/// Every record begins and ends at a multiple of this.
pub(crate) const ALIGNMENT: usize = 8;
const CHECKSUM_LEN: usize = size_of::<u32>();

const FLAG_BATCH_END: u8 = 1;
const FLAG_KEY: u8 = 2;
const FLAG_TAGS: u8 = 4;
const PADDING_SHIFT: u32 = 3;
const FLAGS_PADDING: u8 = 7 << PADDING_SHIFT;
const FLAG_PROGRESS: u8 = 64;
const FLAGS_UNUSED: u8 = 128;
/// Bytes of the position that a consumer's progress names.
const PROGRESS_POSITION_LEN: usize = size_of::<u64>();

/// An undurable count that says nothing.
const UNKNOWN: u32 = u32::MAX;

/// What to write as a record.
#[derive(Debug)]
pub(crate) struct ToRecord<'a> {
    pub(crate) stream: &'a str,
    pub(crate) event: &'a NewEvent,
    pub(crate) id: EventId,
    pub(crate) position: Position,
    pub(crate) revision: Revision,
    pub(crate) recorded_at: Timestamp,
    /// Checksum of the record before.
    pub(crate) previous: u32,
    /// The durable end of the log, as it is known now.
    pub(crate) durable_end: Position,
    pub(crate) ends_batch: bool,
    /// What the batch says of a consumer; only where it ends.
    pub(crate) progress: Option<&'a Progress>,
    /// What the checksum begins with.
    pub(crate) seed: u32,
}

/// Bytes of the body, of which the names must have been checked.
fn body_len(stream: &str, event: &NewEvent, progress: Option<&Progress>) -> usize {
    let key_len = match event.idempotency_key.len() {
        0 => 0,
        len => 1 + len,
    };
    let tags_len = match tags_len(event) {
        0 => 0,
        len => 2 + len,
    };
    stream.len()
        + event.event_type.len()
        + progress.map_or(0, |progress| 1 + progress.consumer.len() + PROGRESS_POSITION_LEN)
        + key_len
        + tags_len
        + event.metadata.len()
        + event.payload.len()
}

/// The most bytes that what a batch says of a consumer adds to a record.
pub(crate) fn progress_len_max(progress: &Progress) -> usize {
    (1 + progress.consumer.len() + PROGRESS_POSITION_LEN).next_multiple_of(ALIGNMENT)
}

/// Bytes of all tags with their lengths.
pub(crate) fn tags_len(event: &NewEvent) -> usize {
    event.tags.iter().map(|tag| 1 + tag.len()).sum()
}

/// Bytes of the record of `event` in `stream`, with what it says of a consumer.
pub(crate) fn encoded_len(stream: &str, event: &NewEvent, progress: Option<&Progress>) -> usize {
    (HEADER_LEN + body_len(stream, event, progress)).next_multiple_of(ALIGNMENT)
}

/// Adds the record to `bytes` and returns its checksum.
///
/// The lengths of all parts must have been checked: what does not fit into its field is a bug.
pub(crate) fn encode(record: &ToRecord<'_>, bytes: &mut Vec<u8>) -> u32 {
    let ToRecord { stream, event, progress, .. } = record;
    let start = bytes.len();
    let len = encoded_len(stream, event, *progress);
    let padding = len - HEADER_LEN - body_len(stream, event, *progress);
    let undurable = record.position.since(record.durable_end);

    bytes.reserve(len);
    bytes.extend_from_slice(&[0; CHECKSUM_LEN]);
    bytes.extend_from_slice(&record.previous.to_le_bytes());
    bytes.extend_from_slice(&field::<u32>(len).to_le_bytes());
    bytes.push(flags(record, padding));
    bytes.push(event.content_type.code());
    bytes.push(field(stream.len()));
    bytes.push(field(event.event_type.len()));
    bytes.extend_from_slice(&record.position.get().to_le_bytes());
    bytes.extend_from_slice(&record.revision.get().to_le_bytes());
    bytes.extend_from_slice(&record.recorded_at.as_nanos().to_le_bytes());
    bytes.extend_from_slice(record.id.as_bytes());
    bytes.extend_from_slice(&u32::try_from(undurable).unwrap_or(UNKNOWN).to_le_bytes());
    bytes.extend_from_slice(&field::<u32>(event.metadata.len()).to_le_bytes());
    encode_body(record, bytes);
    bytes.resize(start + len, 0);

    let sum = checksum_from(record.seed, bytes.get(start + CHECKSUM_LEN..).unwrap_or_default());
    if let Some(place) = bytes.get_mut(start..start + CHECKSUM_LEN) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    sum
}

/// The checksum of `bytes` after those that `seed` is the checksum of.
#[inline]
pub(super) fn checksum_from(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// A length as wide as its field.
#[expect(clippy::expect_used, reason = "lengths are checked before anything is encoded")]
fn field<T: TryFrom<usize>>(len: usize) -> T
where
    T::Error: std::fmt::Debug,
{
    T::try_from(len).expect("a length that was checked fits into its field")
}

fn flags(record: &ToRecord<'_>, padding: usize) -> u8 {
    let mut flags = field::<u8>(padding) << PADDING_SHIFT;
    if record.ends_batch {
        flags |= FLAG_BATCH_END;
    }
    if !record.event.idempotency_key.is_empty() {
        flags |= FLAG_KEY;
    }
    if !record.event.tags.is_empty() {
        flags |= FLAG_TAGS;
    }
    if record.progress.is_some() {
        flags |= FLAG_PROGRESS;
    }
    flags
}

fn encode_body(record: &ToRecord<'_>, bytes: &mut Vec<u8>) {
    let ToRecord { stream, event, progress, .. } = record;
    bytes.extend_from_slice(stream.as_bytes());
    bytes.extend_from_slice(event.event_type.as_bytes());
    if let Some(progress) = progress {
        bytes.push(field(progress.consumer.len()));
        bytes.extend_from_slice(progress.consumer.as_bytes());
        bytes.extend_from_slice(&progress.position.get().to_le_bytes());
    }
    if !event.idempotency_key.is_empty() {
        bytes.push(field(event.idempotency_key.len()));
        bytes.extend_from_slice(&event.idempotency_key);
    }
    if !event.tags.is_empty() {
        bytes.extend_from_slice(&field::<u16>(tags_len(event)).to_le_bytes());
        for tag in &event.tags {
            bytes.push(field(tag.len()));
            bytes.extend_from_slice(tag.as_bytes());
        }
    }
    bytes.extend_from_slice(&event.metadata);
    bytes.extend_from_slice(&event.payload);
}

#[cfg(test)]
mod tests;
