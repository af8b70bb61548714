//! The note that a clean close leaves.
//!
//! Owns the byte layout of `docs/format.md`, section 6.

use crate::format::fields::{BlockWriter, Fault, Fields};
use crate::types::{Address, Position, StoreId};

const NOTE_LEN: usize = 64;
const MAGIC: [u8; 8] = *b"annalcln";

/// Where the log of a store ended when it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CleanNote {
    pub(crate) store: StoreId,
    /// The position that the next record gets.
    pub(crate) end: Position,
    /// Where the next record goes.
    pub(crate) address: Address,
    /// Offset of the last record in the same segment; 0 if there is none.
    pub(crate) last_offset: u64,
    /// Checksum of the last record.
    pub(crate) checksum: u32,
}

impl CleanNote {
    pub(crate) fn encode(&self) -> Vec<u8> {
        BlockWriter::new(MAGIC)
            .bytes(self.store.as_bytes())
            .u64(self.end.get())
            .u64(self.address.segment.get())
            .u64(self.address.offset)
            .u64(self.last_offset)
            .u32(self.checksum)
            .finish(NOTE_LEN)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() != NOTE_LEN {
            return Err(Fault("a file of 64 bytes"));
        }
        let mut fields = Fields::of_block(bytes, NOTE_LEN, MAGIC)?;
        Ok(Self {
            store: StoreId::from_bytes(fields.array()?),
            end: Position::new(fields.u64()?),
            address: Address { segment: Position::new(fields.u64()?), offset: fields.u64()? },
            last_offset: fields.u64()?,
            checksum: fields.u32()?,
        })
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
            end: Position::new(12),
            address: Address { segment: Position::new(10), offset: 640 },
            last_offset: 568,
            checksum: 5,
        };
        assert_eq!(CleanNote::decode(&note.encode()), Ok(note));
        every_damage_is_a_fault(&note.encode(), CleanNote::decode);
    }
}
