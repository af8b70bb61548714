//! The bytes of every file that annals writes itself.
//!
//! Owns every offset and length of `docs/format.md`, and nothing else does. Does no I/O: takes
//! bytes and gives values that could not exist if the bytes were bad, and the other way round.

mod clean;
mod durable;
mod fields;
mod footer;
#[cfg(feature = "fuzzing")]
mod mend;
mod parked;
mod record;
mod segment_header;
mod slots;
mod store_meta;

pub(crate) use clean::CleanNote;
pub(crate) use durable::{DURABLE_LEN, DurableNote};
pub(crate) use fields::Fault;
pub(crate) use footer::{FOOTER_LEN, Footer};
#[cfg(feature = "fuzzing")]
pub(crate) use mend::{mend_block, mend_checksums, mend_links, mend_record};
pub(crate) use parked::{
    PARKED_COUNT_MAX, PARKED_FILE_LEN_MAX, PARKED_SUFFIX, ParkedEntry, ParkedFile, REASON_LEN_MAX,
};
pub(crate) use record::{
    ALIGNMENT as RECORD_ALIGNMENT, Claim, HEADER_LEN as RECORD_HEADER_LEN,
    LEN_MIN as RECORD_LEN_MIN, Part as RecordPart, Record, RecordFault, ToRecord, Trust,
    encode as encode_record, encoded_len as record_len, parts_of as record_parts, progress_len_max,
    tags_len,
};
pub(crate) use segment_header::{HEADER_LEN as SEGMENT_HEADER_LEN, SegmentHeader};
#[cfg(feature = "fuzzing")]
pub(crate) use slots::SLOT_LEN_MIN;
pub(crate) use slots::{PENDING_COUNT_MAX, SLOTS_LEN, Slot, consumer_file, consumer_of_file};
pub(crate) use store_meta::{META_LEN, StoreMeta};

/// The format version that is written, and the newest that is read.
pub(crate) const VERSION: u32 = 1;

/// CRC-32 as zlib computes it.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}
