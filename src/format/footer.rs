//! The segment footer: the last bytes of a sealed segment.
//!
//! Owns the byte layout of `docs/format.md`, section 5.

use crate::format::fields::{BlockWriter, Fault, Fields};
use crate::types::{Position, StoreId, Timestamp};

/// Bytes of the footer.
pub(crate) const FOOTER_LEN: usize = 96;
const MAGIC: [u8; 8] = *b"annalend";

/// What a sealed segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) store: StoreId,
    /// Position of the first record.
    pub(crate) base: Position,
    /// Records in the segment, at least 1.
    pub(crate) record_count: u64,
    pub(crate) first_recorded_at: Timestamp,
    pub(crate) last_recorded_at: Timestamp,
    /// Where the records end and this footer begins.
    pub(crate) offset: u64,
    /// Checksum of the last record.
    pub(crate) checksum: u32,
    /// XXH3 (128 bits) of all bytes before the footer.
    pub(crate) digest: u128,
}

impl Footer {
    /// The position after that of the last record.
    pub(crate) fn end(&self) -> Position {
        self.base.plus(self.record_count)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        BlockWriter::new(MAGIC)
            .bytes(self.store.as_bytes())
            .u64(self.base.get())
            .u64(self.record_count)
            .i64(self.first_recorded_at.as_nanos())
            .i64(self.last_recorded_at.as_nanos())
            .u64(self.offset)
            .u32(self.checksum)
            .u32(0)
            .bytes(&self.digest.to_le_bytes())
            .finish(FOOTER_LEN)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut fields = Fields::of_block(bytes, FOOTER_LEN, MAGIC)?;
        let footer = Self {
            store: StoreId::from_bytes(fields.array()?),
            base: Position::new(fields.u64()?),
            record_count: fields.u64()?,
            first_recorded_at: Timestamp::from_nanos(fields.i64()?),
            last_recorded_at: Timestamp::from_nanos(fields.i64()?),
            offset: fields.u64()?,
            checksum: fields.u32()?,
            digest: {
                fields.zeroes(4)?;
                u128::from_le_bytes(fields.array()?)
            },
        };
        fields.zeroes(4)?;
        if footer.record_count == 0 || footer.base.get().checked_add(footer.record_count).is_none()
        {
            return Err(Fault("a count of records that a segment can have"));
        }
        Ok(footer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fields::tests::every_damage_is_a_fault;

    #[test]
    fn every_damage_to_a_footer_is_a_fault() {
        let footer = Footer {
            store: StoreId::from_bytes([3; 16]),
            base: Position::new(10),
            record_count: 5,
            first_recorded_at: Timestamp::from_nanos(1),
            last_recorded_at: Timestamp::from_nanos(2),
            offset: 4_096,
            checksum: 77,
            digest: u128::MAX / 3,
        };
        assert_eq!(Footer::decode(&footer.encode()), Ok(footer));
        assert_eq!(footer.end(), Position::new(15));
        every_damage_is_a_fault(&footer.encode(), Footer::decode);
    }

    #[test]
    fn a_footer_without_records_is_a_fault() {
        let store = StoreId::from_bytes([3; 16]);
        let (base, record_count) = (Position::new(u64::MAX), 0);
        let time = Timestamp::MIN;
        let footer = Footer {
            store,
            base,
            record_count,
            first_recorded_at: time,
            last_recorded_at: time,
            offset: 64,
            checksum: 0,
            digest: 0,
        };
        assert!(Footer::decode(&footer.encode()).is_err());
        assert!(Footer::decode(&Footer { record_count: 1, ..footer }.encode()).is_err());
    }
}
