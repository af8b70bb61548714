//! The two slots that say how far the log was durable.
//!
//! Owns the byte layout of `docs/format.md`, section 8.

use crate::format::CleanNote;
use crate::format::fields::{BlockWriter, Fault, Fields};
use crate::types::{Address, Position, StoreId};

/// Bytes of the file.
pub(crate) const DURABLE_LEN: usize = 1_024;
const SLOT_LEN: usize = 512;
const SECOND_AT: u64 = 512;
const BLOCK_LEN: usize = 72;
const MAGIC: [u8; 8] = *b"annaldur";
const _: () = assert!(2 * SLOT_LEN == DURABLE_LEN, "docs/format.md, section 8");

/// A place that the log was durable up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DurableNote {
    pub(crate) generation: u64,
    /// What the note of a clean close would say there.
    pub(crate) place: CleanNote,
}

impl DurableNote {
    /// The note that counts, of the two in a file, if there is one that is valid.
    pub(crate) fn latest(file: &[u8]) -> Option<Self> {
        let (first, second) = file.split_at_checked(SLOT_LEN)?;
        let slots = [Self::decode(first, 0), Self::decode(second, 1)];
        slots.into_iter().filter_map(Result::ok).max_by_key(|note| note.generation)
    }

    /// Where in the file the note stands.
    pub(crate) fn offset(&self) -> u64 {
        if self.generation.is_multiple_of(2) { 0 } else { SECOND_AT }
    }

    /// The bytes of its slot.
    pub(crate) fn slot(&self) -> Vec<u8> {
        let CleanNote { store, end, address, last_offset, checksum } = self.place;
        let mut slot = BlockWriter::new(MAGIC)
            .bytes(store.as_bytes())
            .u64(self.generation)
            .u64(end.get())
            .u64(address.segment.get())
            .u64(address.offset)
            .u64(last_offset)
            .u32(checksum)
            .finish(BLOCK_LEN);
        slot.resize(SLOT_LEN, 0);
        slot
    }

    /// A file that holds this note, and in the other slot nothing.
    pub(crate) fn file(&self) -> Vec<u8> {
        let (slot, empty) = (self.slot(), vec![0; SLOT_LEN]);
        if self.offset() == 0 { [slot, empty].concat() } else { [empty, slot].concat() }
    }

    fn decode(slot: &[u8], parity: u64) -> Result<Self, Fault> {
        let mut fields = Fields::of_block(slot, BLOCK_LEN, MAGIC)?;
        let store = StoreId::from_bytes(fields.array()?);
        let generation = fields.u64()?;
        let place = CleanNote {
            store,
            end: Position::new(fields.u64()?),
            address: Address { segment: Position::new(fields.u64()?), offset: fields.u64()? },
            last_offset: fields.u64()?,
            checksum: fields.u32()?,
        };
        if generation == 0 || generation % 2 != parity {
            return Err(Fault("a generation that belongs into this slot"));
        }
        Ok(Self { generation, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fields::tests::every_damage_is_a_fault;

    fn note(generation: u64) -> DurableNote {
        let place = CleanNote {
            store: StoreId::from_bytes([3; 16]),
            end: Position::new(generation * 10),
            address: Address { segment: Position::new(10), offset: 640 },
            last_offset: 568,
            checksum: 5,
        };
        DurableNote { generation, place }
    }

    #[test]
    fn every_damage_to_a_durable_note_is_a_fault() {
        let slot = note(6).slot();
        every_damage_is_a_fault(&slot[..BLOCK_LEN], |bytes| DurableNote::decode(bytes, 0));
        assert!(DurableNote::decode(&slot, 1).is_err(), "it belongs into the other slot");
    }

    #[test]
    fn the_valid_note_of_the_higher_generation_counts() {
        let file = |even: &[u8], odd: &[u8]| DurableNote::latest(&[even, odd].concat());
        let (even, odd, torn) = (note(4).slot(), note(5).slot(), vec![7; SLOT_LEN]);
        assert_eq!(file(&even, &odd), Some(note(5)));
        assert_eq!(file(&note(6).slot(), &odd), Some(note(6)));
        assert_eq!(file(&even, &torn), Some(note(4)));
        assert_eq!(file(&torn, &odd), Some(note(5)));
        assert_eq!(file(&odd, &even), None, "neither is in its place");
        assert_eq!(DurableNote::latest(&even), Some(note(4)), "the other slot is cut off");
        for bad in [vec![0; DURABLE_LEN], vec![], vec![0; 700], vec![7; 5_000]] {
            assert_eq!(DurableNote::latest(&bad), None);
        }
    }

    #[test]
    fn a_file_of_one_note_gives_it_back() {
        for note in [note(6), note(7)] {
            assert_eq!(note.file().len(), DURABLE_LEN);
            assert_eq!(DurableNote::latest(&note.file()), Some(note));
        }
    }
}
