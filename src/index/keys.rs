//! The keys of the tree.
//!
//! Owns their layout, in which byte order is the order of names, numbers and times. Knows nothing
//! of values.
//!
//! | key | of what |
//! | --- | --- |
//! | `c` | the manifest: the checkpoint, and which runs there are |
//! | `r` run | the first chunk of a run |
//! | `r` run, name `00` first revision | a later chunk, which begins with that block |
//! | `f` run, part | a part of the filter of a run |
//! | `k` run | the sketch of a run |
//! | `m` position | marks, the first of which is of that position |
//! | `t` recorded time, position | the same, by time: which marks to look in |
//!
//! Numbers are big-endian, so that their order is that of bytes. Names hold no control character,
//! so `00` ends a name, and a name stands before every longer one that begins with it.

#![expect(clippy::big_endian_bytes, reason = "byte order must be number order in keys")]

use std::ops::Range;

use crate::types::{Position, Revision, Timestamp};

/// Key of the manifest.
pub(super) const MANIFEST: &[u8] = b"c";

const CHUNK: u8 = b'r';
const FILTER: u8 = b'f';
const SKETCH: u8 = b'k';
const MARKS: u8 = b'm';
const TIME: u8 = b't';
const NAME_END: u8 = 0;
const NUMBER_LEN: usize = size_of::<u64>();
/// Bytes before the place in a run: what it is, and which run.
const RUN_PREFIX_LEN: usize = 1 + NUMBER_LEN;

fn numbered(kind: u8, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(32);
    key.push(kind);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Key of the first chunk of `run`.
pub(super) fn first_chunk(run: u64) -> Vec<u8> {
    numbered(CHUNK, run)
}

/// Key of the chunk of `run` that begins at this place of the order of all blocks.
pub(super) fn chunk(run: u64, place: &[u8]) -> Vec<u8> {
    let mut key = numbered(CHUNK, run);
    key.extend_from_slice(place);
    key
}

/// The place of a block in the order of all blocks: by name, then by revision.
pub(super) fn place(name: &str, first: Revision) -> Vec<u8> {
    let mut place = Vec::with_capacity(name.len() + 1 + NUMBER_LEN);
    put_place(name, first, &mut place);
    place
}

/// Makes `place` the place of a block.
pub(super) fn put_place(name: &str, first: Revision, place: &mut Vec<u8>) {
    place.clear();
    place.extend_from_slice(name.as_bytes());
    place.push(NAME_END);
    place.extend_from_slice(&first.get().to_be_bytes());
}

/// Whether `place` is before that of a block.
pub(super) fn is_before(place: &[u8], name: &str, first: Revision) -> bool {
    let Some((named, revision)) = place.split_last_chunk::<NUMBER_LEN>() else { return true };
    let named = named.strip_suffix(&[NAME_END]).unwrap_or(named);
    (named, u64::from_be_bytes(*revision)) < (name.as_bytes(), first.get())
}

/// A number that is in the order of the bytes, as far as their first eight tell it.
pub(super) fn head(bytes: &[u8]) -> u64 {
    if let Some(head) = bytes.first_chunk() {
        return u64::from_be_bytes(*head);
    }
    let mut head = [0; NUMBER_LEN];
    head.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
    u64::from_be_bytes(head)
}

/// Keys of the chunks of `run` that begin at `place` or before.
pub(super) fn chunks_to(run: u64, place: &[u8]) -> Range<Vec<u8>> {
    let mut end = chunk(run, place);
    end.push(0);
    first_chunk(run)..end
}

/// Keys of all chunks of `run`.
pub(super) fn chunks(run: u64) -> Range<Vec<u8>> {
    first_chunk(run)..after(CHUNK, run)
}

/// Keys of the chunks of `run` and of all later ones.
pub(super) fn chunks_from(run: u64) -> Range<Vec<u8>> {
    first_chunk(run)..vec![CHUNK + 1]
}

/// The run that a chunk with this key is of, and the place at which it begins: none, if it is the
/// first.
pub(super) fn parse_chunk(key: &[u8]) -> Option<(u64, &[u8])> {
    let (prefix, place) = key.split_first_chunk::<RUN_PREFIX_LEN>()?;
    let (kind, run) = prefix.split_first()?;
    let run = u64::from_be_bytes(run.try_into().ok()?);
    (*kind == CHUNK).then_some((run, place))
}

/// Key of a part of the filter of `run`.
pub(super) fn filter(run: u64, part: u32) -> Vec<u8> {
    let mut key = numbered(FILTER, run);
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// Keys of all parts of the filter of `run`.
pub(super) fn filters(run: u64) -> Range<Vec<u8>> {
    numbered(FILTER, run)..after(FILTER, run)
}

/// Key of the sketch of `run`.
pub(super) fn sketch(run: u64) -> Vec<u8> {
    numbered(SKETCH, run)
}

/// What stands after all keys of a kind that are of `run`.
fn after(kind: u8, run: u64) -> Vec<u8> {
    run.checked_add(1).map_or_else(|| vec![kind + 1], |next| numbered(kind, next))
}

/// Key of the marks that begin at `position`.
pub(super) fn marks(position: Position) -> Vec<u8> {
    numbered(MARKS, position.get())
}

/// Keys of the marks that begin at `last` or before.
pub(super) fn marks_to(last: Position) -> Range<Vec<u8>> {
    let mut end = marks(last);
    end.push(0);
    vec![MARKS]..end
}

/// Keys of the marks that begin at `first` or after it.
pub(super) fn marks_from(first: Position) -> Range<Vec<u8>> {
    marks(first)..vec![MARKS + 1]
}

/// Key by which the marks that begin at `position` are found by time.
pub(super) fn time(recorded_at: Timestamp, position: Position) -> Vec<u8> {
    let mut key = time_start(recorded_at);
    key.extend_from_slice(&position.get().to_be_bytes());
    key
}

/// Keys by which the marks are found by time that begin at this time, at `first` or after it, or later.
pub(super) fn times_from(recorded_at: Timestamp, first: Position) -> Range<Vec<u8>> {
    time(recorded_at, first)..vec![TIME + 1]
}

/// Keys of the marks that begin before `end`.
pub(super) fn times_before(end: Timestamp) -> Range<Vec<u8>> {
    vec![TIME]..time_start(end)
}

fn time_start(time: Timestamp) -> Vec<u8> {
    // With its sign bit turned over, a time before 1970 stands before one after it.
    numbered(TIME, time.as_nanos().cast_unsigned() ^ (1 << 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_times_are_in_the_order_of_times() {
        let times = [i64::MIN, -2, -1, 0, 1, 255, 256, i64::MAX];
        let keys: Vec<_> = times
            .iter()
            .flat_map(|ns| [0, 1, u64::MAX].map(|n| (Timestamp::from_nanos(*ns), Position::new(n))))
            .map(|(at, position)| time(at, position))
            .collect();
        assert!(keys.is_sorted());
        assert!(times_before(Timestamp::from_nanos(-1)).contains(&keys[5]));
        assert!(!times_before(Timestamp::from_nanos(-1)).contains(&keys[6]));
    }

    #[test]
    fn keys_of_chunks_are_in_the_order_of_runs_then_names_then_revisions() {
        let names = [" ", "a", "a b", "a0", "b", "购", "购物", "🛒"];
        let in_run = |run| {
            let keys = names.iter().flat_map(move |name| {
                [0, 255, 256, u64::MAX].map(|n| chunk(run, &place(name, Revision::new(n))))
            });
            std::iter::once(first_chunk(run)).chain(keys).collect::<Vec<_>>()
        };
        let keys = [in_run(0), in_run(1), in_run(256), in_run(u64::MAX)].concat();
        assert!(keys.is_sorted());
        for run in [0, 1, 256, u64::MAX] {
            assert_eq!(keys.iter().filter(|key| chunks(run).contains(*key)).count(), 33);
        }
        assert_eq!(keys.iter().filter(|key| chunks_from(256).contains(*key)).count(), 66);
    }

    #[test]
    fn a_place_is_before_another_as_its_bytes_are() {
        let all = [("a", 0), ("a", 256), ("a b", 3), ("ab", 0), ("b", u64::MAX), ("购", 7)];
        let all = all.map(|(name, n)| (name, Revision::new(n)));
        for (name, first) in all {
            for (other, revision) in all {
                let (place, other_place) = (place(name, first), place(other, revision));
                assert_eq!(is_before(&place, other, revision), place < other_place);
            }
        }
    }

    #[test]
    fn heads_are_in_the_order_of_bytes() {
        let all = ["", "a", "a0", "ab", "abcdefgh", "abcdefghi", "abcdefgi", "b", "购物车"];
        assert!(all.map(|bytes| head(bytes.as_bytes())).is_sorted());
        assert_eq!(head(b"abcdefgh"), head(b"abcdefghi"));
        assert_eq!(head(b"ab"), 0x6162_0000_0000_0000);
    }

    #[test]
    fn the_key_of_a_chunk_tells_its_run_and_place() {
        let place = place("购物车-42", Revision::new(0x0001_0203_0405_0600));
        assert_eq!(parse_chunk(&chunk(7, &place)), Some((7, &place[..])));
        assert_eq!(parse_chunk(&first_chunk(7)), Some((7, &[][..])));
        for key in [&b""[..], b"r", b"c", b"r1234567", b"f12345678"] {
            assert_eq!(parse_chunk(key), None, "{key:?}");
        }
        let keys = chunks_to(7, &place);
        assert!(keys.contains(&chunk(7, &place)) && keys.contains(&first_chunk(7)));
        assert!(!keys.contains(&chunk(7, &[&place[..], b"\0"].concat())));
    }
}
