//! Values of the tree that were read, verified and parsed, within a bound.
//!
//! Owns under what they are kept, and what they count. Nothing in it is ever wrong: a value of the
//! tree that is looked for here never changes, and one that is gone from the tree is looked for no
//! more.

use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, OnceLock, Weak};

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Mark;
use super::parsed::Chunk;
use super::run::Run;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::types::{NameHash, Revision};

/// About as many bytes as a chunk takes when it is parsed: from it follows how many there may be.
const VALUE_LEN: u64 = 2 << 10;
/// Bytes that a value takes besides its own: its key, twice, and its place in the cache.
const FRAME_LEN: u64 = 128;
/// The most values that are remembered as asked for, and among how many each has its place.
const ASKED_COUNT_MAX: usize = 64 << 10;
const ASKED_WAYS: usize = 4;
/// An odd number without a pattern, which spreads what is multiplied by it over all bits.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a value is kept under. Slots of one run, or of the lists of marks, are given once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Chunk {
        run: u64,
        slot: u32,
    },
    Marks {
        slot: u32,
    },
    /// By the hash of the name of a stream.
    Spans {
        hash: NameHash,
    },
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(match self {
            Self::Chunk { run, slot } => run.wrapping_mul(SPREAD) ^ u64::from(*slot),
            Self::Marks { slot } => !u64::from(*slot),
            Self::Spans { hash } => hash.get(),
        });
    }
}

#[derive(Clone, Debug)]
enum Value {
    Chunk(Arc<Chunk>),
    Marks(Arc<[Mark]>),
    Spans(Arc<[Span]>),
}

/// Revisions of a stream that one run has. Taken for a hint: a name with the same hash may have
/// given it.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) revisions: Range<Revision>,
    /// It may be merged into another by now.
    pub(super) run: Weak<Run>,
}

/// Which values were asked for last, about as many as are kept.
struct Asked {
    /// Hashes of their keys, the last one first, each among those that the hash says.
    hashes: Box<[[AtomicU64; ASKED_WAYS]]>,
}

impl Asked {
    fn of(count: usize) -> Self {
        let sets = count.min(ASKED_COUNT_MAX).div_ceil(ASKED_WAYS);
        Self { hashes: (0..sets).map(|_| Default::default()).collect() }
    }

    /// Remembers a key; says whether it was remembered.
    fn again(&self, key: &[u8]) -> bool {
        let hash = xxh3_64(key);
        let count = u64::try_from(self.hashes.len()).unwrap_or(u64::MAX);
        let at = hash.checked_rem(count).and_then(|at| usize::try_from(at).ok());
        let Some(set) = at.and_then(|at| self.hashes.get(at)) else { return false };
        let mut moved = hash;
        set.iter().any(|slot| {
            moved = slot.swap(moved, Ordering::Relaxed);
            moved == hash
        })
    }
}

/// Counts what a value takes.
#[derive(Clone, Debug)]
struct Weights;

impl Weighter<Key, Value> for Weights {
    fn weight(&self, _: &Key, value: &Value) -> u64 {
        let len = match value {
            Value::Chunk(chunk) => chunk.memory_len(),
            Value::Marks(marks) => size_of_val::<[Mark]>(marks),
            Value::Spans(spans) => size_of_val::<[Span]>(spans),
        };
        FRAME_LEN + u64::try_from(len).unwrap_or(u64::MAX / 2)
    }
}

/// Hashes a key, which is one number: nobody outside chooses it.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(SPREAD);
        self.0 = (mixed ^ (mixed >> 32)).wrapping_mul(SPREAD);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The values that are in memory.
pub(super) struct Values {
    kept: Cache<Key, Value, Weights, BuildHasherDefault<KeyHasher>>,
    /// The most bytes of them.
    len_max: Mutex<u64>,
    /// Made when the tree is first asked for a value: a store that is only appended to needs none.
    asked: OnceLock<Asked>,
    count: usize,
}

impl Values {
    /// Keeps nothing yet, and never more than `len_max` bytes; but it takes a 256th of that, at most
    /// 512 KiB, to remember what was asked for, once something is.
    pub(super) fn new(len_max: u64) -> Self {
        let count = usize::try_from(len_max / VALUE_LEN).unwrap_or(usize::MAX);
        let (hashes, lifecycle) = (BuildHasherDefault::default(), DefaultLifecycle::default());
        let kept = Cache::with(count, len_max, Weights, hashes, lifecycle);
        Self { kept, len_max: Mutex::new(len_max), asked: OnceLock::new(), count }
    }

    /// Keeps no more than `len_max` says from now on: it is asked by one at a time.
    pub(super) fn limit(&self, len_max: impl FnOnce() -> u64) {
        let mut now = self.len_max.lock();
        let len_max = len_max();
        if *now != len_max {
            *now = len_max;
            self.kept.set_capacity(len_max);
        }
    }

    /// Whether it is worth to keep the value with this key of the tree, which is asked for now: only
    /// if it was asked for before, not long ago.
    pub(super) fn is_wanted(&self, key: &[u8]) -> bool {
        self.asked.get_or_init(|| Asked::of(self.count)).again(key)
    }

    pub(super) fn chunk(&self, run: u64, slot: u32) -> Option<Arc<Chunk>> {
        match self.kept.get(&Key::Chunk { run, slot })? {
            Value::Chunk(chunk) => Some(chunk),
            _ => None,
        }
    }

    pub(super) fn keep_chunk(&self, (run, slot): (u64, u32), chunk: &Arc<Chunk>) {
        self.kept.insert(Key::Chunk { run, slot }, Value::Chunk(Arc::clone(chunk)));
    }

    pub(super) fn marks(&self, slot: u32) -> Option<Arc<[Mark]>> {
        match self.kept.get(&Key::Marks { slot })? {
            Value::Marks(marks) => Some(marks),
            _ => None,
        }
    }

    pub(super) fn keep_marks(&self, slot: u32, marks: &Arc<[Mark]>) {
        self.kept.insert(Key::Marks { slot }, Value::Marks(Arc::clone(marks)));
    }

    /// What may be known of where the revisions of a stream are, by the hash of its name.
    pub(super) fn spans(&self, hash: NameHash) -> Option<Arc<[Span]>> {
        match self.kept.get(&Key::Spans { hash })? {
            Value::Spans(spans) => Some(spans),
            _ => None,
        }
    }

    pub(super) fn keep_spans(&self, hash: NameHash, spans: Vec<Span>) {
        self.kept.insert(Key::Spans { hash }, Value::Spans(spans.into()));
    }

    /// Lets go of the chunks of those runs of which `is_gone` says so.
    pub(super) fn forget_runs(&self, is_gone: impl Fn(u64) -> bool) {
        self.kept.retain(|key, _| !matches!(key, Key::Chunk { run, .. } if is_gone(*run)));
    }

    pub(super) fn clear(&self) {
        self.kept.clear();
    }

    /// The most bytes in memory.
    #[cfg(test)]
    pub(super) fn len_max(&self) -> u64 {
        assert!(self.kept.capacity() >= *self.len_max.lock());
        *self.len_max.lock()
    }

    /// Bytes in memory.
    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.kept.weight()
    }
}

impl fmt::Debug for Values {
    /// Not what it holds, which may be much.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_are_kept_are_remembered_and_the_oldest_is_forgotten() {
        let asked = Asked::of(ASKED_WAYS);
        assert!(["a", "b", "c", "d"].iter().all(|key| !asked.again(key.as_bytes())));
        assert!(asked.again(b"a") && !asked.again(b"e"));
        assert!(["a", "c", "d", "e"].iter().all(|key| asked.again(key.as_bytes())));
        assert!(!asked.again(b"b"));
        let nothing = Asked::of(0);
        assert!(!nothing.again(b"a") && !nothing.again(b"a"));
        assert_eq!(Asked::of(usize::MAX).hashes.len(), ASKED_COUNT_MAX / ASKED_WAYS);
    }
}
