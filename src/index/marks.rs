//! Marks in the tree: places from which a scan of the log can begin, many in one value.
//!
//! Owns the bytes of a list of marks, and how one is found in them.

use super::numbers::{put_number, take_number};
use super::{IndexFault, Mark, Seek};
use crate::types::{Address, Position, Timestamp};

/// The most marks in one value.
pub(super) const MARKS_COUNT_MAX: usize = 256;

/// How many marks a search in a list passes at once, which is about as many times as it does.
const STRIDE: usize = 16;

const MALFORMED: IndexFault = IndexFault::damaged("a list of marks is malformed");

/// Encodes `marks`, which ascend: each as its distance from the one before.
pub(super) fn encode(marks: &[Mark]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + 10 * marks.len());
    let (mut position, mut nanos, mut segment) = (0_u64, 0_i64, 0_u64);
    for mark in marks {
        put_number(&mut bytes, mark.position.get().wrapping_sub(position));
        put_number(&mut bytes, mark.recorded_at.as_nanos().wrapping_sub(nanos).cast_unsigned());
        put_number(&mut bytes, mark.address.segment.get().wrapping_sub(segment));
        put_number(&mut bytes, mark.address.offset);
        position = mark.position.get();
        nanos = mark.recorded_at.as_nanos();
        segment = mark.address.segment.get();
    }
    bytes
}

/// Reads a list of marks, and nothing after them.
pub(super) fn decode(mut bytes: &[u8]) -> Result<Vec<Mark>, IndexFault> {
    let mut marks = Vec::new();
    let (mut position, mut nanos, mut segment) = (0_u64, 0_i64, 0_u64);
    while !bytes.is_empty() {
        position = position.wrapping_add(take_number(&mut bytes)?);
        nanos = nanos.wrapping_add(take_number(&mut bytes)?.cast_signed());
        segment = segment.wrapping_add(take_number(&mut bytes)?);
        let address = Address { segment: Position::new(segment), offset: take_number(&mut bytes)? };
        let recorded_at = Timestamp::from_nanos(nanos);
        marks.push(Mark { position: Position::new(position), recorded_at, address });
        if marks.len() > MARKS_COUNT_MAX {
            return Err(MALFORMED);
        }
    }
    let ascends = marks.is_sorted_by(|a, b| a.position < b.position && a.address < b.address);
    if ascends && !marks.is_empty() { Ok(marks) } else { Err(MALFORMED) }
}

/// The last of `marks`, of which there may be any number, before `seek`.
pub(super) fn last_before(marks: &[Mark], seek: Seek) -> Option<Mark> {
    // Halves until what is left is a list.
    let mut rest = marks;
    while rest.len() > MARKS_COUNT_MAX {
        let (early, late) = rest.split_at(rest.len() / 2);
        let is_late = late.first().is_some_and(|mark| seek.is_after(mark));
        rest = if is_late { late } else { early };
    }
    last_of_list_before(rest, seek)
}

/// The last mark of a list before `seek`.
///
/// Each step of a binary search waits for memory. What is looked at here one after the other, the
/// processor fetches all at once.
fn last_of_list_before(marks: &[Mark], seek: Seek) -> Option<Mark> {
    let is_after = |mark: &&Mark| seek.is_after(mark);
    let begun = marks.iter().step_by(STRIDE).take_while(is_after).count();
    let near = marks.chunks(STRIDE).nth(begun.checked_sub(1)?)?;
    near.iter().take_while(is_after).last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(position: u64, nanos: i64, segment: u64, offset: u64) -> Mark {
        Mark {
            position: Position::new(position),
            recorded_at: Timestamp::from_nanos(nanos),
            address: Address { segment: Position::new(segment), offset },
        }
    }

    #[test]
    fn marks_read_back() {
        let marks = [
            mark(7, i64::MIN, 0, 64),
            mark(90, -5, 0, 9_000),
            mark(91, -5, 91, 64),
            mark(u64::MAX, i64::MAX, 91, u64::MAX),
        ];
        assert_eq!(decode(&encode(&marks)).unwrap(), marks);
        let near: Vec<_> = (0..256).map(|n| mark(n * 46, 0, 0, 64 + n * 16_400)).collect();
        assert_eq!(decode(&encode(&near)).unwrap(), near);
    }

    #[test]
    fn lists_that_are_empty_too_long_or_out_of_order_are_faults() {
        let long: Vec<_> = (0..257).map(|n| mark(n, 0, 0, 64 + n)).collect();
        for marks in [&[][..], &long, &[mark(2, 0, 0, 64), mark(1, 0, 0, 72)]] {
            assert!(decode(&encode(marks)).is_err());
        }
        let bytes = encode(&[mark(1, 2, 3, 4), mark(500, 2, 3, 400)]);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err() || len == 4, "{len}");
        }
    }

    #[test]
    fn the_last_of_any_number_of_marks_before_a_place_is_found() {
        for count in [0, 1, 15, 16, 17, 255, 256, 257, 1_000] {
            let marks: Vec<_> = (0..count).map(|n| mark(2 * n + 1, 0, 0, 64 + n)).collect();
            for n in 0..=2 * count {
                let found = last_before(&marks, Seek::Position(Position::new(n)));
                let right = marks.iter().rev().find(|mark| mark.position.get() <= n);
                assert_eq!(found.as_ref(), right, "{n} of {count}");
            }
        }
    }

    #[test]
    fn the_last_mark_before_a_place_or_time_is_found() {
        let marks = [mark(5, 10, 0, 64), mark(9, 20, 0, 700), mark(12, 20, 0, 1_400)];
        let by_position = |n| last_before(&marks, Seek::Position(Position::new(n)));
        let by_time = |n| last_before(&marks, Seek::Time(Timestamp::from_nanos(n)));
        assert_eq!(
            [4, 5, 8, 9, 99].map(by_position).map(|mark| mark.map(|mark| mark.position.get())),
            [None, Some(5), Some(5), Some(9), Some(12)]
        );
        assert_eq!(
            [10, 11, 20, 21].map(by_time).map(|mark| mark.map(|mark| mark.position.get())),
            [None, Some(5), Some(5), Some(12)]
        );
    }
}
