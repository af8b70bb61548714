//! Posting lists: where the records of one block of a stream stand.
//!
//! Owns the bytes of a list. Knows nothing of keys and checksums.
//!
//! A list is a group per segment: segment (less the one before, the first less one that is known
//! otherwise), count, offsets (each less the one before), all as numbers of variable length.

use std::ops::Range;

use super::IndexFault;
use super::numbers::{put_len, put_number, take_number};
use crate::types::{Address, Position};

/// The most revisions in a block.
pub(super) const BLOCK_COUNT: usize = 256;

/// Records stand at multiples of 8. Turning an offset by these bits makes it small, and would
/// also keep one that is none.
const ALIGNMENT_BITS: u32 = 3;

const MALFORMED: IndexFault = IndexFault::damaged("a posting list is malformed");

/// Adds `addresses`, which ascend and are not before the segment at `base`, to `bytes`.
pub(super) fn encode(addresses: &[Address], base: Position, bytes: &mut Vec<u8>) {
    let mut last_segment = base.get();
    for group in addresses.chunk_by(|a, b| a.segment == b.segment) {
        let segment = group.first().map_or(last_segment, |first| first.segment.get());
        put_number(bytes, segment.wrapping_sub(last_segment));
        put_len(bytes, group.len());
        let mut last_offset = 0;
        for address in group {
            let delta = address.offset.wrapping_sub(last_offset);
            put_number(bytes, delta.rotate_right(ALIGNMENT_BITS));
            last_offset = address.offset;
        }
        last_segment = segment;
    }
}

/// Reads a list of 1 to 256 ascending addresses, and nothing after them.
pub(super) fn decode(bytes: &[u8], base: Position) -> Result<Vec<Address>, IndexFault> {
    let mut addresses = Vec::new();
    walk(bytes, base, |address| addresses.push(address))?;
    Ok(addresses)
}

/// How many addresses a list has, which is as [`decode`] demands.
pub(super) fn count(bytes: &[u8], base: Position) -> Result<usize, IndexFault> {
    walk(bytes, base, |_| ())
}

/// Gives `visit` each address of a list; says how many there are.
fn walk(
    mut bytes: &[u8],
    base: Position,
    mut visit: impl FnMut(Address),
) -> Result<usize, IndexFault> {
    let (mut count, mut last) = (0, None);
    let mut segment = base.get();
    while !bytes.is_empty() {
        segment = segment.checked_add(take_number(&mut bytes)?).ok_or(MALFORMED)?;
        let mut group = Group::take(&mut bytes, Position::new(segment))?;
        count += group.left;
        if count > BLOCK_COUNT {
            return Err(MALFORMED);
        }
        while let Some(address) = group.next(&mut bytes)? {
            if last.is_some_and(|last| last >= address) {
                return Err(MALFORMED);
            }
            last = Some(address);
            visit(address);
        }
    }
    if count == 0 { Err(MALFORMED) } else { Ok(count) }
}

/// Adds those addresses of a list, which [`count`] has checked, that stand at `wanted` in it.
pub(super) fn decode_part(
    mut bytes: &[u8],
    base: Position,
    wanted: Range<usize>,
    addresses: &mut Vec<Address>,
) -> Result<(), IndexFault> {
    let mut at = 0;
    let mut segment = base.get();
    while at < wanted.end {
        segment = segment.checked_add(take_number(&mut bytes)?).ok_or(MALFORMED)?;
        let mut group = Group::take(&mut bytes, Position::new(segment))?;
        while at < wanted.end
            && let Some(address) = group.next(&mut bytes)?
        {
            if at >= wanted.start {
                addresses.push(address);
            }
            at += 1;
        }
    }
    Ok(())
}

/// Addresses in one segment, as they are read.
struct Group {
    segment: Position,
    offset: u64,
    left: usize,
}

impl Group {
    fn take(bytes: &mut &[u8], segment: Position) -> Result<Self, IndexFault> {
        let left = usize::try_from(take_number(bytes)?).map_err(|_| MALFORMED)?;
        if left == 0 || left > BLOCK_COUNT {
            Err(MALFORMED)
        } else {
            Ok(Self { segment, offset: 0, left })
        }
    }

    #[inline]
    fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Address>, IndexFault> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let delta = take_number(bytes)?.rotate_left(ALIGNMENT_BITS);
        self.offset = self.offset.checked_add(delta).ok_or(MALFORMED)?;
        self.left = left;
        Ok(Some(Address { segment: self.segment, offset: self.offset }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(segment: u64, offset: u64) -> Address {
        Address { segment: Position::new(segment), offset }
    }

    fn encode(addresses: &[Address]) -> Vec<u8> {
        let mut bytes = Vec::new();
        super::encode(addresses, Position::START, &mut bytes);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Address>, IndexFault> {
        super::decode(bytes, Position::START)
    }

    #[test]
    fn a_list_of_near_records_takes_two_bytes_a_record() {
        let addresses: Vec<_> = (0..256).map(|n| address(7, 4096 + n * 4_000)).collect();
        assert!(encode(&addresses).len() < 2 * 256 + 8);
        assert_eq!(decode(&encode(&addresses)).unwrap(), addresses);
    }

    #[test]
    fn the_bytes_of_a_list_stay_as_they_are() {
        let addresses = [address(3, 64), address(3, 64 + 8 * 300), address(1003, 64)];
        assert_eq!(encode(&addresses), [3, 2, 8, 0xac, 2, 0xe8, 7, 1, 8]);
    }

    #[test]
    fn a_list_is_read_with_the_base_that_it_was_written_with() {
        let addresses = [address(1_000_000, 64), address(1_000_007, 64)];
        let mut bytes = Vec::new();
        super::encode(&addresses, Position::new(1_000_000), &mut bytes);
        assert_eq!(bytes, [0, 1, 8, 7, 1, 8]);
        assert_eq!(super::decode(&bytes, Position::new(1_000_000)).unwrap(), addresses);
        assert!(super::decode(&bytes, Position::new(u64::MAX)).is_err());
    }

    #[test]
    fn lists_that_are_empty_too_long_or_out_of_order_are_refused() {
        let long: Vec<_> = (0..257).map(|n| address(0, n * 8)).collect();
        let hostile: [&[u8]; 8] = [
            b"",
            &encode(&long),
            &encode(&[address(1, 8), address(1, 8)]),
            &encode(&[address(1, 16), address(1, 8)]),
            &encode(&[address(2, 8), address(1, 8)]),
            &[0, 0],
            &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 8],
            &[0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ];
        for bytes in hostile {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_list_that_is_cut_off_is_never_a_longer_or_other_one() {
        let addresses: Vec<_> = (0..200).map(|n| address(n / 50, 64 + n * n * 8)).collect();
        let bytes = encode(&addresses);
        for len in 0..bytes.len() {
            if let Ok(read) = decode(&bytes[..len]) {
                assert!(addresses.starts_with(&read), "{len}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_ascending_addresses_read_back(
            set in prop::collection::btree_set((any::<u64>(), any::<u64>()), 1..=256),
            near in prop::collection::btree_set((0..9_u64, 0..9_999_u64), 1..=256),
            (from, to) in (0..256_usize, 0..256_usize),
        ) {
            for set in [set, near] {
                let addresses: Vec<_> = set.into_iter().map(|(s, o)| address(s, o)).collect();
                let bytes = encode(&addresses);
                prop_assert_eq!(&decode(&bytes).unwrap(), &addresses);
                prop_assert_eq!(count(&bytes, Position::START).unwrap(), addresses.len());
                let (start, end) = (from % addresses.len(), to % addresses.len() + 1);
                let mut part = Vec::new();
                decode_part(&bytes, Position::START, start..end, &mut part).unwrap();
                prop_assert_eq!(&part, addresses.get(start..end).unwrap_or_default());
            }
        }

        #[test]
        fn hostile_bytes_give_a_fault_or_a_list_that_is_in_order(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let _ = decode_part(&bytes, Position::START, 3..300, &mut Vec::new());
            if let Ok(addresses) = decode(&bytes) {
                prop_assert!(addresses.len() <= BLOCK_COUNT);
                prop_assert_eq!(decode(&encode(&addresses)).unwrap(), addresses);
            }
        }
    }
}
