//! The note that a clean close leaves.
//!
//! Owns the byte layout of `docs/format.md`, section 6.

use crate::format::fields::{BlockWriter, Fault, Fields};
use crate::types::{Address, LogEnd, Position, StoreId, Timestamp};

const NOTE_LEN: usize = 64;
const MAGIC: [u8; 8] = *b"annalcln";

/// Where the log of a store ended when it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CleanNote {
    pub(crate) store: StoreId,
    pub(crate) end: LogEnd,
}

impl CleanNote {
    pub(crate) fn encode(&self) -> Vec<u8> {
        BlockWriter::new(MAGIC)
            .bytes(self.store.as_bytes())
            .u64(self.end.position.get())
            .u64(self.end.address.segment.get())
            .u64(self.end.address.offset)
            .i64(self.end.recorded_at.as_nanos())
            .u32(self.end.checksum)
            .finish(NOTE_LEN)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() != NOTE_LEN {
            return Err(Fault("a file of 64 bytes"));
        }
        let mut fields = Fields::of_block(bytes, NOTE_LEN, MAGIC)?;
        let store = StoreId::from_bytes(fields.array()?);
        let position = Position::new(fields.u64()?);
        let segment = Position::new(fields.u64()?);
        let address = Address { segment, offset: fields.u64()? };
        let recorded_at = Timestamp::from_nanos(fields.i64()?);
        let checksum = fields.u32()?;
        Ok(Self { store, end: LogEnd { position, address, checksum, recorded_at } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fields::tests::every_damage_is_a_fault;

    #[test]
    fn every_damage_to_a_clean_note_is_a_fault() {
        let note = CleanNote {
            store: StoreId::from_bytes([3; 16]),
            end: LogEnd {
                position: Position::new(12),
                address: Address { segment: Position::new(10), offset: 640 },
                checksum: 5,
                recorded_at: Timestamp::from_nanos(1_000),
            },
        };
        assert_eq!(CleanNote::decode(&note.encode()), Ok(note));
        every_damage_is_a_fault(&note.encode(), CleanNote::decode);
    }
}
