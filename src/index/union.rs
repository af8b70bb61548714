//! One filter over many runs: which streams *none* of them has, told by one look at memory.
//!
//! Owns its bits, and which runs it speaks of. It is in memory only, of runs that were written while
//! the index was open, and says of all streams of those that they may be there.
//!
//! A Bloom filter as those of runs are. Whoever appends to a new stream would look into the filter of
//! each run, at a place far from all others, and read a chunk where one of them is mistaken.

use std::fmt;
use std::iter;
use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering, RwLock};
use crate::types::NameHash;

/// It takes about as many streams as leave each so many bits: then it is mistaken about three new
/// streams in ten, and spares the rest.
const BITS_PER_STREAM_MIN: u64 = 3;
/// It is worth its memory once a run has one in so many of the streams that it can take: the filters
/// of fewer are near the processor.
const WORTHWHILE_PART: u64 = 256;

const WORD_COUNT: usize = 8;
const BITS_PER_LINE: u64 = 512;
const _: () = assert!(WORD_COUNT * 64 == 512, "a line is what a processor fetches at once");
/// Bits that are set for a name, each said by nine bits of its second hash.
const PROBE_COUNT: u32 = 4;
const PROBE_BITS: u32 = 9;
/// An odd number without a pattern, other than the one that the filters of runs spread by: where one
/// is mistaken the other should not be.
const SPREAD: u64 = 0xD6E8_FEB8_6659_FD93;

/// As many bits as a processor fetches at once, and where it does.
#[repr(align(64))]
struct Line([AtomicU64; WORD_COUNT]);

impl Line {
    fn empty() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// The words of a line and their bits that are set for a name.
fn probes(hash: NameHash) -> impl Iterator<Item = (usize, u64)> {
    let hash = hash.get();
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(SPREAD);
    (0..PROBE_COUNT).map(move |n| {
        let bit = mixed >> (u64::BITS - (n + 1) * PROBE_BITS);
        (usize::try_from(bit >> 6 & 7).unwrap_or(0), 1 << (bit & 63))
    })
}

/// The bits of the filter, once there are some.
#[derive(Default)]
enum Bits {
    #[default]
    None,
    Some(Arc<[Line]>),
    /// Let go of. It never has any again, for runs may be taken to be in it.
    Gone,
}

/// Whether a run is in the filter, and how it comes to be.
#[derive(Clone, Debug)]
pub(super) enum Membership {
    /// The names of its streams are added.
    Adding(Members),
    /// It has no other streams than runs that are in the filter.
    Member,
    /// It is not in the filter.
    Apart,
}

/// The filter, for who adds to it or asks it for several streams.
#[derive(Clone)]
pub(super) struct Members {
    lines: Arc<[Line]>,
}

impl Members {
    fn line(&self, hash: NameHash) -> Option<&Line> {
        let count = u64::try_from(self.lines.len()).unwrap_or(0);
        let at = (hash.get() & 0xFFFF_FFFF).saturating_mul(count) >> 32;
        self.lines.get(usize::try_from(at).unwrap_or(0))
    }

    /// Whether a stream may be in one of the runs.
    pub(super) fn may_have(&self, hash: NameHash) -> bool {
        self.line(hash).is_none_or(|Line(words)| {
            let is_set = |(at, bit)| {
                words
                    .get(at)
                    .is_some_and(|word: &AtomicU64| word.load(Ordering::Relaxed) & bit != 0)
            };
            // All of them, for which one is missing cannot be foreseen.
            probes(hash).fold(true, |all, probe| all & is_set(probe))
        })
    }

    /// Adds a stream, and says whether it was not there. Whoever is to see it learns of the run after
    /// this, by a lock. Nobody else adds anything meanwhile.
    fn add(&self, hash: NameHash) -> bool {
        let Some(Line(words)) = self.line(hash) else { return false };
        let set = |(at, bit)| {
            let Some(word): Option<&AtomicU64> = words.get(at) else { return false };
            let known = word.load(Ordering::Relaxed);
            word.store(known | bit, Ordering::Relaxed);
            known & bit == 0
        };
        probes(hash).fold(false, |any, probe| set(probe) | any)
    }
}

impl fmt::Debug for Members {
    /// Not the bits, which are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").finish_non_exhaustive()
    }
}

/// The filter over the runs that are in it.
pub(super) struct Union {
    bits: RwLock<Bits>,
    line_count: u64,
    /// Streams that were added.
    stream_count: AtomicU64,
}

impl Union {
    /// Takes at most `len_max` bytes, all of them once they are worth it.
    pub(super) fn new(len_max: u64) -> Self {
        let line_count = len_max / (BITS_PER_LINE / 8);
        Self { bits: RwLock::default(), line_count, stream_count: AtomicU64::new(0) }
    }

    /// Streams that it can take.
    fn count_max(&self) -> u64 {
        self.line_count.saturating_mul(BITS_PER_LINE / BITS_PER_STREAM_MIN)
    }

    /// Bytes that it takes in memory.
    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        if self.members().is_some() { self.line_count * (BITS_PER_LINE / 8) } else { 0 }
    }

    /// Whether a run of about `stream_count` streams, which is written next, is to be in the filter.
    /// Only for the writer of the tree, of which there is one.
    pub(super) fn membership(&self, stream_count: u64) -> Membership {
        let known_count = self.stream_count.load(Ordering::Relaxed);
        if self.line_count == 0 || known_count.saturating_add(stream_count) > self.count_max() {
            return Membership::Apart;
        }
        let is_none = matches!(*self.bits.read(), Bits::None);
        if is_none && stream_count.saturating_mul(WORTHWHILE_PART) >= self.count_max() {
            self.begin();
        }
        self.members().map_or(Membership::Apart, Membership::Adding)
    }

    fn begin(&self) {
        let line_count = usize::try_from(self.line_count).unwrap_or(0);
        // Before the lock is taken, for which whoever appends would wait.
        let lines = iter::repeat_with(Line::empty).take(line_count).collect();
        let mut bits = self.bits.write();
        if matches!(*bits, Bits::None) {
            *bits = Bits::Some(lines);
        }
    }

    /// Adds streams of a run. Only for the writer of the tree.
    ///
    /// Many at once: where they go is far apart, and the processor need not wait for one place to
    /// begin with the next.
    pub(super) fn add(&self, membership: &Membership, hashes: &[NameHash]) {
        if let Membership::Adding(members) = membership {
            let new_count = hashes.iter().map(|hash| u64::from(members.add(*hash))).sum();
            self.stream_count.fetch_add(new_count, Ordering::Relaxed);
        }
    }

    /// The names of all runs that are in it; `None` if there are none, or no more.
    pub(super) fn members(&self) -> Option<Members> {
        match &*self.bits.read() {
            Bits::Some(lines) => Some(Members { lines: Arc::clone(lines) }),
            _ => None,
        }
    }

    /// Lets go of its memory. Whoever asks for a stream must ask all runs from then on.
    pub(super) fn forget(&self) {
        *self.bits.write() = Bits::Gone;
    }

    /// The same, if it has any: for when no run is in it, because it is full.
    pub(super) fn forget_unused(&self) {
        if self.members().is_some() {
            self.forget();
        }
    }
}

impl fmt::Debug for Union {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Union").field("stream_count", &self.stream_count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NameHasher, StoreId};

    fn hash(n: u64) -> NameHash {
        NameHasher::of(StoreId::from_bytes([3; 16])).hash(&format!("stream-{n}"))
    }

    /// One that can take 17,000 streams.
    fn union() -> Union {
        Union::new(6_400)
    }

    fn add(union: &Union, streams: std::ops::Range<u64>) -> bool {
        let membership = union.membership(streams.end - streams.start);
        union.add(&membership, &streams.map(hash).collect::<Vec<_>>());
        matches!(membership, Membership::Adding(_))
    }

    #[test]
    fn all_that_was_added_may_be_there_and_little_else() {
        let union = union();
        let mistaken_in = |streams: std::ops::Range<u64>| {
            let members = union.members().unwrap();
            streams.filter(|n| members.may_have(hash(*n))).count()
        };
        assert!(add(&union, 0..5_000));
        assert_eq!(mistaken_in(0..5_000), 5_000);
        assert!(mistaken_in(20_000..40_000) < 20_000 / 40);
        assert!(add(&union, 5_000..10_000));
        assert_eq!(mistaken_in(0..10_000), 10_000);
        assert!(mistaken_in(20_000..40_000) < 20_000 / 8);
    }

    #[test]
    fn a_run_stays_apart_if_there_is_no_room_for_its_streams() {
        let union = union();
        assert!(add(&union, 0..12_000));
        assert!(!add(&union, 12_000..18_000));
        // The same streams again take no room, but nobody knows that beforehand.
        assert!(add(&union, 0..200) && add(&union, 0..200) && add(&union, 0..200));
    }

    #[test]
    fn a_few_streams_are_not_worth_its_memory() {
        let union = union();
        assert!(!add(&union, 0..66));
        assert_eq!(union.len(), 0);
        assert!(add(&union, 0..67));
        assert_eq!(union.len(), 6_400);
        assert!(add(&union, 67..68), "now it is there");
    }

    /// Runs would be taken to be in it whose names it has forgotten.
    #[test]
    fn what_was_let_go_of_never_comes_back() {
        let union = union();
        // Only if it has any.
        union.forget_unused();
        assert!(add(&union, 0..100));
        union.forget_unused();
        assert!(union.members().is_none());
        assert!(!add(&union, 100..200) && union.members().is_none());
    }

    #[test]
    fn without_room_for_a_line_there_is_none() {
        let union = Union::new(63);
        for count in [0, 1, 1_000] {
            assert!(!add(&union, 0..count) && union.members().is_none());
        }
    }
}
