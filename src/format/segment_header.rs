//! The segment header: the first bytes of every segment file.
//!
//! Owns the byte layout of `docs/format.md`, section 2.

use crate::format::VERSION;
use crate::format::fields::{BlockWriter, Fault, Fields};
use crate::types::{Position, StoreId, StoreKey, Timestamp};

/// Bytes of the header; the first record stands right after it.
pub(crate) const HEADER_LEN: usize = 64;
const MAGIC: [u8; 8] = *b"annalseg";

/// What a segment says of itself and of the log before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store: StoreId,
    /// Position of the first record.
    pub(crate) base: Position,
    /// Recorded time of the record before that.
    pub(crate) recorded_before: Timestamp,
    /// Checksum of the record before that, which the first record must carry.
    pub(crate) chain: u32,
}

impl SegmentHeader {
    /// The header of a store's first segment.
    pub(crate) fn first(key: StoreKey) -> Self {
        Self {
            store: key.id,
            base: Position::START,
            recorded_before: Timestamp::MIN,
            chain: key.seed,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        BlockWriter::new(MAGIC)
            .u32(VERSION)
            .u32(0)
            .bytes(self.store.as_bytes())
            .u64(self.base.get())
            .i64(self.recorded_before.as_nanos())
            .u32(self.chain)
            .finish(HEADER_LEN)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut fields = Fields::of_block(bytes, HEADER_LEN, MAGIC)?;
        if fields.u32()? != VERSION {
            return Err(Fault("a segment version that this release knows"));
        }
        fields.no_flags()?;
        let header = Self {
            store: StoreId::from_bytes(fields.array()?),
            base: Position::new(fields.u64()?),
            recorded_before: Timestamp::from_nanos(fields.i64()?),
            chain: fields.u32()?,
        };
        fields.zeroes(8)?;
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fields::tests::every_damage_is_a_fault;

    #[test]
    fn every_damage_to_a_segment_header_is_a_fault() {
        let header = SegmentHeader {
            base: Position::new(1_000),
            recorded_before: Timestamp::from_nanos(9),
            ..SegmentHeader::first(StoreKey { id: StoreId::from_bytes([3; 16]), seed: 5 })
        };
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        every_damage_is_a_fault(&header.encode(), SegmentHeader::decode);
    }
}
