//! The two slots of a named consumer.
//!
//! Owns the byte layout of `docs/format.md`, section 7.

use crate::format::fields::{BlockWriter, Fault, Fields};
use crate::types::{Position, StoreId, Timestamp};

/// Bytes of the file.
pub(crate) const SLOTS_LEN: usize = 1_024;
const SLOT_LEN: usize = 512;
const BLOCK_LEN: usize = 64;
const MAGIC: [u8; 8] = *b"annalcon";

/// The durable place of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) store: StoreId,
    pub(crate) generation: u64,
    /// Every event before it is done.
    pub(crate) position: Position,
    pub(crate) committed_at: Timestamp,
    /// The number of the opening that may commit.
    pub(crate) owner: u64,
}

impl Slot {
    /// The slot that counts, of the two in a file.
    pub(crate) fn latest(file: &[u8]) -> Result<Self, Fault> {
        let (first, second) =
            file.split_at_checked(SLOT_LEN).ok_or(Fault("a file of 1,024 bytes"))?;
        match (Self::decode(first, 0), Self::decode(second, 1)) {
            (Ok(a), Ok(b)) => Ok(if a.generation > b.generation { a } else { b }),
            (one, other) => one.or(other),
        }
    }

    /// A file that holds this slot, and in the other place nothing.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut slot = BlockWriter::new(MAGIC)
            .bytes(self.store.as_bytes())
            .u64(self.generation)
            .u64(self.position.get())
            .i64(self.committed_at.as_nanos())
            .u64(self.owner)
            .finish(BLOCK_LEN);
        slot.resize(SLOT_LEN, 0);
        let empty = vec![0; SLOT_LEN];
        if self.generation.is_multiple_of(2) {
            [slot, empty].concat()
        } else {
            [empty, slot].concat()
        }
    }

    fn decode(bytes: &[u8], parity: u64) -> Result<Self, Fault> {
        if bytes.len() != SLOT_LEN {
            return Err(Fault("a file of 1,024 bytes"));
        }
        let mut fields = Fields::of_block(bytes, BLOCK_LEN, MAGIC)?;
        let slot = Self {
            store: StoreId::from_bytes(fields.array()?),
            generation: fields.u64()?,
            position: Position::new(fields.u64()?),
            committed_at: Timestamp::from_nanos(fields.i64()?),
            owner: fields.u64()?,
        };
        fields.zeroes(4)?;
        if slot.generation == 0 || slot.generation % 2 != parity {
            return Err(Fault("a generation that belongs into this slot"));
        }
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(generation: u64, position: u64) -> Slot {
        Slot {
            store: StoreId::from_bytes([3; 16]),
            generation,
            position: Position::new(position),
            committed_at: Timestamp::from_nanos(-5),
            owner: 9,
        }
    }

    fn slot_bytes(generation: u64, position: u64) -> Vec<u8> {
        let file = slot(generation, position).file();
        let (even, odd) = file.split_at(SLOT_LEN);
        if generation.is_multiple_of(2) { even.to_vec() } else { odd.to_vec() }
    }

    #[test]
    fn the_valid_slot_of_the_higher_generation_counts() {
        let (even, odd) = (slot_bytes(4, 40), slot_bytes(5, 50));
        let file = [even.clone(), odd.clone()].concat();
        assert_eq!(Slot::latest(&file).unwrap().position, Position::new(50));

        let torn = [even, vec![0; SLOT_LEN]].concat();
        assert_eq!(Slot::latest(&torn).unwrap().position, Position::new(40));

        let exchanged = [odd.clone(), odd].concat();
        assert_eq!(Slot::latest(&exchanged).unwrap().generation, 5);
        for bad in [vec![0; SLOTS_LEN], vec![], vec![0; 700]] {
            assert!(Slot::latest(&bad).is_err());
        }
    }

    #[test]
    fn a_file_of_one_slot_gives_it_back() {
        for slot in [slot(6, 60), slot(7, 70)] {
            assert_eq!(slot.file().len(), SLOTS_LEN);
            assert_eq!(Slot::latest(&slot.file()), Ok(slot));
        }
    }
}
