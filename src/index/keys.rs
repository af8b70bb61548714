//! The keys of the trees.
//!
//! Owns their layout, in which byte order is the order of names, numbers and times. Knows nothing
//! of values.
//!
//! | tree | key | of what |
//! | --- | --- | --- |
//! | postings | `s` name `00` first revision | a block of a stream's addresses |
//! | postings | `p` position | a mark |
//! | postings | `t` recorded time, position | the same mark |
//! | ends | `s` name | the end of a stream |
//! | both | `c` | the checkpoint |
//!
//! Names hold no control character, so `00` ends a name, a name stands before every longer one
//! that begins with it, and `01` after `00` is past all blocks of a stream. `ff` is in no UTF-8,
//! so it is past all names that begin with what stands before it.

#![expect(clippy::big_endian_bytes, reason = "byte order must be number order in keys")]

use std::ops::Range;

use crate::types::{Position, Revision, Timestamp};

/// Key of the checkpoint of a tree.
pub(super) const CHECKPOINT: &[u8] = b"c";

const STREAM: u8 = b's';
const POSITION: u8 = b'p';
const TIME: u8 = b't';
const NAME_END: u8 = 0;
const BLOCKS_END: u8 = 1;
const NAMES_END: u8 = 0xff;
const REVISION_LEN: usize = size_of::<u64>();

fn stream_key(name: &str, suffix: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len() + suffix.len());
    key.push(STREAM);
    key.extend_from_slice(name.as_bytes());
    key.extend_from_slice(suffix);
    key
}

/// Key of the block of `stream` that begins with revision `first`.
pub(super) fn block(stream: &str, first: Revision) -> Vec<u8> {
    let mut suffix = [NAME_END; 1 + REVISION_LEN];
    let (_, revision) = suffix.split_at_mut(1);
    revision.copy_from_slice(&first.get().to_be_bytes());
    stream_key(stream, &suffix)
}

/// Keys of all blocks of `stream`.
pub(super) fn blocks(stream: &str) -> Range<Vec<u8>> {
    stream_key(stream, &[NAME_END])..blocks_end(stream)
}

/// What stands after all blocks of `stream` and before those of any other after it.
pub(super) fn blocks_end(stream: &str) -> Vec<u8> {
    stream_key(stream, &[BLOCKS_END])
}

/// The stream and first revision of the block with this key, if it is one.
pub(super) fn parse_block(key: &[u8]) -> Option<(&str, Revision)> {
    let (rest, revision) = key.split_last_chunk::<REVISION_LEN>()?;
    let name = parse_name(rest.strip_suffix(&[NAME_END])?)?;
    Some((name, Revision::new(u64::from_be_bytes(*revision))))
}

/// Key of the end of `stream`.
pub(super) fn end(stream: &str) -> Vec<u8> {
    stream_key(stream, &[])
}

/// The stream whose end has this key, if it is one.
pub(super) fn parse_end(key: &[u8]) -> Option<&str> {
    parse_name(key)
}

fn parse_name(key: &[u8]) -> Option<&str> {
    let (_, name) = key.split_first().filter(|(first, _)| **first == STREAM)?;
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && !name.contains(char::from(NAME_END))).then_some(name)
}

/// Keys of the streams that begin with `prefix` and stand after `after`, in either tree.
pub(super) fn names(prefix: &str, after: Option<&str>) -> Range<Vec<u8>> {
    let first = stream_key(prefix, &[]);
    let start = after.map_or(first.clone(), |name| first.max(blocks_end(name)));
    start..stream_key(prefix, &[NAMES_END])
}

/// Key of the mark at `position`, in the order of positions.
pub(super) fn position(position: Position) -> Vec<u8> {
    let mut key = vec![POSITION];
    key.extend_from_slice(&position.get().to_be_bytes());
    key
}

/// Keys of the marks up to and with `last`.
pub(super) fn positions_to(last: Position) -> Range<Vec<u8>> {
    let mut end = position(last);
    end.push(0);
    vec![POSITION]..end
}

/// Key of the mark at `position`, in the order of times.
pub(super) fn time(recorded_at: Timestamp, position: Position) -> Vec<u8> {
    let mut key = time_start(recorded_at);
    key.extend_from_slice(&position.get().to_be_bytes());
    key
}

/// Keys of the marks before `end`.
pub(super) fn times_before(end: Timestamp) -> Range<Vec<u8>> {
    vec![TIME]..time_start(end)
}

fn time_start(time: Timestamp) -> Vec<u8> {
    // With its sign bit turned over, a time before 1970 stands before one after it.
    let biased = time.as_nanos().cast_unsigned() ^ (1 << 63);
    let mut key = vec![TIME];
    key.extend_from_slice(&biased.to_be_bytes());
    key
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
    fn keys_of_blocks_are_in_the_order_of_names_then_revisions() {
        let names = [" ", "a", "a b", "a0", "b", "购", "购物", "🛒"];
        let keys: Vec<_> = names
            .iter()
            .flat_map(|name| [0, 255, 256, u64::MAX].map(|n| block(name, Revision::new(n))))
            .collect();
        assert!(keys.is_sorted());
        assert!(
            names
                .iter()
                .all(|name| keys.iter().filter(|key| blocks(name).contains(*key)).count() == 4)
        );
    }

    #[test]
    fn a_key_tells_the_stream_it_is_of() {
        for name in ["a", "购物车-42"] {
            assert_eq!(parse_end(&end(name)), Some(name));
            let revision = Revision::new(0x0001_0203_0405_0600);
            assert_eq!(parse_block(&block(name, revision)), Some((name, revision)));
        }
        for key in
            [&b""[..], b"s", b"c", b"sab", b"s\0\0\0\0\0\0\0\0\0", b"s\xff\0\0\0\0\0\0\0\0\0"]
        {
            assert_eq!(parse_block(key), None, "{key:?}");
        }
    }

    #[test]
    fn names_after_another_exclude_it_in_both_trees() {
        let keys = names("a", Some("ab"));
        assert!(
            !keys.contains(&end("ab")) && !keys.contains(&block("ab", Revision::new(u64::MAX)))
        );
        assert!(keys.contains(&end("ab ")) && keys.contains(&block("ab ", Revision::START)));
        assert!(keys.contains(&end("a🛒")) && !keys.contains(&end("b")));
        assert!(names("b", Some("a")).contains(&end("b")));
        assert!(names("a", Some("b")).is_empty());
    }
}
