//! Lists of numbers that grow side by side in one piece of memory.
//!
//! Owns where their numbers are. A list is a chain of pieces, each twice as long as the one before
//! it, up to a length; behind the first, each begins with where the one before it is. So a number
//! is added without taking memory for its list alone, most lists are in few places, and all of them
//! go at once.

use std::ops::Range;

/// Numbers in the longest pieces.
const PIECE_COUNT_MAX: usize = 128;
/// The first piece that is as long, and how many numbers are before it.
const LONG_PIECE: u32 = PIECE_COUNT_MAX.trailing_zeros();
const BEFORE_LONG: usize = PIECE_COUNT_MAX - 1;

/// A list in some [`Lists`]. The empty one is the same in all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct List {
    count: u32,
    /// Where its last piece begins.
    last: u32,
}

impl List {
    pub(super) fn count(self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }
}

/// In which piece of a list the number `n` is, and as which number of it.
#[inline]
fn piece_of(n: usize) -> (u32, usize) {
    match n.checked_sub(BEFORE_LONG) {
        None => {
            let piece = (n + 1).ilog2();
            (piece, n + 1 - (1 << piece))
        }
        Some(beyond) => {
            let piece = u32::try_from(beyond / PIECE_COUNT_MAX).unwrap_or(u32::MAX);
            (piece.saturating_add(LONG_PIECE), beyond % PIECE_COUNT_MAX)
        }
    }
}

/// How many numbers a piece has room for.
fn room_of(piece: u32) -> usize {
    1 << piece.min(LONG_PIECE)
}

/// Numbers that a piece begins with: where the one before it is.
fn link_len(piece: u32) -> usize {
    usize::from(piece > 0)
}

/// Where the numbers of lists are.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pieces: Vec<u64>,
}

impl Lists {
    /// Adds a number to a list; `None` if there is no room for more.
    #[inline]
    pub(super) fn push(&mut self, list: &mut List, number: u64) -> Option<()> {
        let (piece, at) = piece_of(list.count());
        let count = list.count.checked_add(1)?;
        if at == 0 {
            let start = u32::try_from(self.pieces.len()).ok()?;
            if piece > 0 {
                self.pieces.push(u64::from(list.last));
            }
            self.pieces.push(number);
            self.pieces.resize(self.pieces.len() + room_of(piece) - 1, 0);
            list.last = start;
        } else {
            *self.pieces.get_mut(place(list.last, piece, at))? = number;
        }
        list.count = count;
        Some(())
    }

    /// The last number of a list.
    #[inline]
    pub(super) fn last(&self, list: List) -> Option<u64> {
        let (piece, at) = piece_of(list.count().checked_sub(1)?);
        self.pieces.get(place(list.last, piece, at)).copied()
    }

    /// Those numbers of a list that stand in `range`, from the last to the first.
    pub(super) fn descending(
        &self,
        list: List,
        range: Range<usize>,
    ) -> impl Iterator<Item = u64> + '_ {
        let (mut start, mut piece) = (list.last, piece_of(list.count().saturating_sub(1)).0);
        let range = range.start..range.end.min(list.count());
        range.rev().map_while(move |n| {
            let (wanted, at) = piece_of(n);
            while piece > wanted {
                start = self.pieces.get(place(start, 0, 0)).copied()?.try_into().ok()?;
                piece -= 1;
            }
            self.pieces.get(place(start, piece, at)).copied()
        })
    }
}

/// Where the number `at` of a piece is that begins at `start`.
#[inline]
fn place(start: u32, piece: u32, at: usize) -> usize {
    usize::try_from(start).unwrap_or(usize::MAX).saturating_add(link_len(piece) + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_each_other_without_a_gap() {
        let mut expected = (0, 0);
        for n in 0..2_000 {
            assert_eq!(piece_of(n), expected, "{n}");
            expected.1 += 1;
            if expected.1 == room_of(expected.0) {
                expected = (expected.0 + 1, 0);
            }
        }
    }

    #[test]
    fn lists_that_grow_side_by_side_hold_what_was_added_to_each() {
        let (mut lists, mut expected) = (Lists::default(), vec![Vec::new(); 9]);
        let mut known = [List::default(); 9];
        let mut random = fastrand::Rng::with_seed(11);
        for number in 0..6_000_u64 {
            // Some grow much longer than others.
            let at = random.usize(..9).min(random.usize(..9));
            lists.push(&mut known[at], number).unwrap();
            expected[at].push(number);
            assert_eq!(lists.last(known[at]), Some(number));
        }
        for (list, expected) in known.iter().zip(&expected) {
            assert_eq!(list.count(), expected.len());
            for _ in 0..50 {
                let start = random.usize(..=expected.len());
                let end = random.usize(start..=expected.len());
                let mut found: Vec<_> = lists.descending(*list, start..end).collect();
                found.reverse();
                assert_eq!(found, expected[start..end], "{start}..{end}");
            }
            assert_eq!(lists.descending(*list, 0..usize::MAX).count(), expected.len());
        }
        assert_eq!(lists.last(List::default()), None);
        assert_eq!(lists.descending(List::default(), 0..3).count(), 0);
    }
}
