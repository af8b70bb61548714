//! The two slots of a named consumer.
//!
//! Owns the byte layout of `docs/format.md`, section 7, the name of the file included.

use std::fmt::Write;

use crate::format::fields::{BlockWriter, Fault, Fields};
use crate::types::{NameKind, Position, StoreId, Timestamp, check_name};

/// Bytes of the file.
pub(crate) const SLOTS_LEN: usize = 16_384;
/// How many positions a slot has room for.
pub(crate) const PENDING_COUNT_MAX: usize = 1_000;
/// Bytes of a slot of which no position is pending.
pub(crate) const SLOT_LEN_MIN: usize = 76;
const SLOT_LEN: usize = 8_192;
const SECOND_AT: u64 = 8_192;
const COUNT_AT: usize = 64;
const PENDING_LEN: usize = size_of::<u64>();
const MAGIC: [u8; 8] = *b"annalcon";
/// What stands for no position.
const NONE: u64 = u64::MAX;
const _: () = assert!(2 * SLOT_LEN == SLOTS_LEN, "docs/format.md, section 7");
const _: () = assert!(SLOT_LEN_MIN + PENDING_COUNT_MAX * PENDING_LEN <= SLOT_LEN);

/// The durable place of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) store: StoreId,
    pub(crate) generation: u64,
    /// Every event before it is done, but for those that are pending.
    pub(crate) position: Position,
    pub(crate) committed_at: Timestamp,
    /// The number of the opening that may commit.
    pub(crate) owner: u64,
    /// From where on batches in the log may have moved the place further.
    pub(crate) log_from: Option<Position>,
    /// What is not done before `position`, ascending.
    pub(crate) pending: Vec<Position>,
}

impl Slot {
    /// The slot that counts, of the two in a file.
    pub(crate) fn latest(file: &[u8]) -> Result<Self, Fault> {
        let (first, second) =
            file.split_at_checked(SLOT_LEN).ok_or(Fault("a file of 16,384 bytes"))?;
        match (Self::decode(first, 0), Self::decode(second, 1)) {
            (Ok(a), Ok(b)) => Ok(if a.generation > b.generation { a } else { b }),
            (one, other) => one.or(other),
        }
    }

    /// Where in the file the slot stands.
    pub(crate) fn offset(&self) -> u64 {
        if self.generation.is_multiple_of(2) { 0 } else { SECOND_AT }
    }

    /// The bytes of the slot that say something: the first of those that it has room for.
    ///
    /// Of what is pending there must not be more than [`PENDING_COUNT_MAX`].
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
        let block = BlockWriter::new(MAGIC)
            .bytes(self.store.as_bytes())
            .u64(self.generation)
            .u64(self.position.get())
            .i64(self.committed_at.as_nanos())
            .u64(self.owner)
            .u64(self.log_from.map_or(NONE, Position::get))
            .u32(count)
            .u32(0);
        let pending = self.pending.iter().map(|position| position.get());
        let len = SLOT_LEN_MIN + self.pending.len() * PENDING_LEN;
        pending.fold(block, BlockWriter::u64).finish(len)
    }

    /// A file that holds this slot, and in the other place nothing.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut slot = self.bytes();
        slot.resize(SLOT_LEN, 0);
        let empty = vec![0; SLOT_LEN];
        if self.offset() == 0 { [slot, empty].concat() } else { [empty, slot].concat() }
    }

    fn decode(bytes: &[u8], parity: u64) -> Result<Self, Fault> {
        if bytes.len() != SLOT_LEN {
            return Err(Fault("a file of 16,384 bytes"));
        }
        let count = Fields::new(bytes.get(COUNT_AT..).unwrap_or_default()).u32()?;
        let count = usize::try_from(count).ok().filter(|count| *count <= PENDING_COUNT_MAX);
        let count = count.ok_or(Fault("at most 1,000 pending positions"))?;
        let len = SLOT_LEN_MIN + count * PENDING_LEN;
        let mut fields = Fields::of_block(bytes, len, MAGIC)?;
        let mut slot = Self {
            store: StoreId::from_bytes(fields.array()?),
            generation: fields.u64()?,
            position: Position::new(fields.u64()?),
            committed_at: Timestamp::from_nanos(fields.i64()?),
            owner: fields.u64()?,
            log_from: Some(fields.u64()?).filter(|from| *from != NONE).map(Position::new),
            pending: Vec::with_capacity(count),
        };
        fields.u32()?;
        fields.zeroes(4)?;
        for _ in 0..count {
            slot.pending.push(Position::new(fields.u64()?));
        }
        if slot.generation == 0 || slot.generation % 2 != parity {
            return Err(Fault("a generation that belongs into this slot"));
        }
        let ascends = slot.pending.is_sorted_by(|a, b| a < b);
        if !ascends || slot.pending.last().is_some_and(|last| *last >= slot.position) {
            return Err(Fault("ascending pending positions before the place"));
        }
        Ok(slot)
    }
}

/// The name of the file of a consumer.
pub(crate) fn consumer_file(name: &str) -> String {
    let mut file = String::new();
    for byte in name.bytes() {
        if matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') {
            file.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(file, "%{byte:02X}");
        }
    }
    file
}

/// The consumer that has a file of this name; `None` if none can have.
pub(crate) fn consumer_of_file(file: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = file.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        if *byte == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    let is_one = check_name(NameKind::Consumer, &name).is_ok() && consumer_file(&name) == file;
    is_one.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fields::tests::every_damage_is_a_fault;

    fn slot(generation: u64, position: u64) -> Slot {
        Slot {
            store: StoreId::from_bytes([3; 16]),
            generation,
            position: Position::new(position),
            committed_at: Timestamp::from_nanos(-5),
            owner: 9,
            log_from: None,
            pending: Vec::new(),
        }
    }

    fn slot_bytes(generation: u64, position: u64) -> Vec<u8> {
        let mut bytes = slot(generation, position).bytes();
        bytes.resize(SLOT_LEN, 0);
        bytes
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
        for bad in [vec![0; SLOTS_LEN], vec![], vec![0; 700], vec![0xff; SLOTS_LEN]] {
            assert!(Slot::latest(&bad).is_err());
        }
    }

    #[test]
    fn a_file_of_one_slot_gives_it_back() {
        let pending = |count: u64| (0..count).map(|n| Position::new(3 * n)).collect::<Vec<_>>();
        let full = Slot { pending: pending(1_000), ..slot(8, 3_000) };
        let in_log = Slot { log_from: Some(Position::new(66)), pending: pending(3), ..slot(9, 70) };
        for slot in [slot(6, 60), slot(7, 70), full, in_log] {
            assert_eq!(slot.file().len(), SLOTS_LEN);
            assert_eq!(Slot::latest(&slot.file()), Ok(slot));
        }
    }

    #[test]
    fn every_damage_to_a_slot_is_a_fault() {
        let slot = Slot { pending: [3, 9].map(Position::new).to_vec(), ..slot(6, 60) };
        every_damage_is_a_fault(&slot.bytes(), |bytes| {
            let mut bytes = bytes.to_vec();
            bytes.resize(SLOT_LEN, 0);
            Slot::decode(&bytes, 0)
        });
    }

    #[test]
    fn pending_positions_out_of_order_are_a_fault() {
        for pending in [vec![9, 3], vec![3, 3], vec![60], vec![3, 61]] {
            let pending = pending.into_iter().map(Position::new).collect();
            assert!(Slot::latest(&Slot { pending, ..slot(6, 60) }.file()).is_err());
        }
    }

    #[test]
    fn the_name_of_a_consumer_and_of_its_file_tell_each_other() {
        for (name, file) in [
            ("billing-2_a", "billing-2_a"),
            ("Billing", "%42illing"),
            ("..", "%2E%2E"),
            ("a/b", "a%2Fb"),
            ("购", "%E8%B4%AD"),
        ] {
            assert_eq!(consumer_file(name), file);
            assert_eq!(consumer_of_file(file).as_deref(), Some(name));
        }
        for file in ["", "Billing", "a.parked", "%2e", "%", "%4", "%+1", "%61", ".new-x", "%00"] {
            assert_eq!(consumer_of_file(file), None, "{file}");
        }
    }
}
