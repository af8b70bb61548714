//! Mending checksums, so that a fuzzer gets past them to what is behind.
//!
//! Changes bytes so that a reader believes them. For tests alone: nothing that a store does may
//! come here.

use crate::format::checksum;
use crate::format::fields::Fields;
use crate::format::record::{LEN_MIN, checksum_from};
use crate::format::{FOOTER_LEN, Footer, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::types::{StoreKey, Timestamp};

const CHECKSUM_LEN: usize = size_of::<u32>();
const CHAIN_AT: usize = CHECKSUM_LEN;
const LEN_AT: usize = CHAIN_AT + size_of::<u32>();
const POSITION_AT: usize = 16;
const RECORDED_AT: usize = 32;
const _: () = assert!(LEN_AT == 8, "docs/format.md, section 3");

/// Gives a block the checksum of its bytes, where there is room for one.
pub(crate) fn mend_block(block: &mut [u8]) {
    if let Some((covered, stored)) = block.split_last_chunk_mut::<CHECKSUM_LEN>() {
        *stored = checksum(covered).to_le_bytes();
    }
}

/// Gives what may be a record, at the start of `bytes`, the checksum of its bytes.
pub(crate) fn mend_record(bytes: &mut [u8], seed: u32) {
    if let Some(record) = record_at(bytes, 0) {
        seal_record(record, seed);
    }
}

/// Makes every checksum of a segment that of its bytes: of the header, of each record as far as
/// lengths lead from one to the next, and of the footer.
///
/// Says nothing new of what follows from what, so a record that was changed breaks the chain.
pub(crate) fn mend_checksums(segment: &mut [u8], seed: u32) {
    if let Some(header) = segment.get_mut(..SEGMENT_HEADER_LEN) {
        mend_block(header);
    }
    let mut at = SEGMENT_HEADER_LEN;
    while let Some(record) = record_at(segment, at) {
        at += record.len();
        seal_record(record, seed);
    }
    mend_footer(segment, |footer| footer);
}

/// Makes a segment follow from `before`, which becomes its header, and its records from each
/// other, as far as lengths lead from one to the next. Recorded times stay as they are.
///
/// Returns what the next segment would have to follow from.
pub(crate) fn mend_links(
    segment: &mut [u8],
    key: StoreKey,
    before: &SegmentHeader,
) -> SegmentHeader {
    let mut link = SegmentHeader { store: key.id, ..*before };
    if let Some(header) = segment.get_mut(..SEGMENT_HEADER_LEN) {
        header.copy_from_slice(&link.encode());
    }
    let mut at = SEGMENT_HEADER_LEN;
    while let Some(record) = record_at(segment, at) {
        at += record.len();
        put(record, CHAIN_AT, &link.chain.to_le_bytes());
        put(record, POSITION_AT, &link.base.get().to_le_bytes());
        link.recorded_before = Timestamp::from_nanos(recorded_at(record));
        link.chain = seal_record(record, key.seed);
        link.base = link.base.next();
    }
    mend_footer(segment, |footer| Footer {
        store: key.id,
        base: before.base,
        record_count: footer.record_count.min(u64::MAX - before.base.get()),
        checksum: link.chain,
        last_recorded_at: link.recorded_before,
        offset: u64::try_from(at).unwrap_or(u64::MAX),
        ..footer
    });
    link
}

/// The bytes at `at` that are as many as a record there would say it has.
fn record_at(segment: &mut [u8], at: usize) -> Option<&mut [u8]> {
    let rest = segment.get_mut(at..)?;
    let len = usize::try_from(Fields::new(rest.get(LEN_AT..)?).u32().ok()?).ok()?;
    rest.get_mut(..len).filter(|_| len >= LEN_MIN && len.is_multiple_of(8))
}

fn recorded_at(record: &[u8]) -> i64 {
    Fields::new(record.get(RECORDED_AT..).unwrap_or_default()).i64().unwrap_or_default()
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

/// Gives a record the checksum of its bytes, and returns it.
fn seal_record(record: &mut [u8], seed: u32) -> u32 {
    let sum = checksum_from(seed, record.get(CHECKSUM_LEN..).unwrap_or_default());
    put(record, 0, &sum.to_le_bytes());
    sum
}

/// Changes the footer at the end of a segment, if its bytes are one but for their checksum.
fn mend_footer(segment: &mut [u8], change: impl FnOnce(Footer) -> Footer) {
    let Some(start) = segment.len().checked_sub(FOOTER_LEN) else { return };
    let Some(bytes) = segment.get_mut(start..) else { return };
    let mut mended = bytes.to_vec();
    mend_block(&mut mended);
    if let Ok(footer) = Footer::decode(&mended) {
        bytes.copy_from_slice(&change(footer).encode());
    }
}
