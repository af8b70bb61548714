//! Ends of streams that were read from the trees.
//!
//! Owns the bound: as many streams as it was told, whatever the store holds. Knows nothing of
//! where ends come from.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sync::Mutex;
use crate::types::Revision;

type Ends = HashMap<Arc<str>, Revision>;

/// The ends of the streams that were asked for last.
///
/// Two maps of half the size: what is used goes to the young one, and when that is full it takes
/// the place of the old one, which is forgotten.
#[derive(Debug)]
pub(super) struct EndsCache {
    half_count_max: usize,
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    young: Ends,
    old: Ends,
}

impl EndsCache {
    pub(super) fn new(count_max: usize) -> Self {
        Self { half_count_max: count_max / 2, halves: Mutex::default() }
    }

    pub(super) fn get(&self, stream: &str) -> Option<Revision> {
        let mut halves = self.halves.lock();
        if let Some(end) = halves.young.get(stream) {
            return Some(*end);
        }
        let (name, end) = halves.old.remove_entry(stream)?;
        self.keep(&mut halves, name, end);
        Some(end)
    }

    pub(super) fn put(&self, stream: Arc<str>, end: Revision) {
        let mut halves = self.halves.lock();
        halves.old.remove(&stream);
        self.keep(&mut halves, stream, end);
    }

    /// Puts `end` if `is_current` says so once no other end can be put any more.
    pub(super) fn put_if(&self, stream: &str, end: Revision, is_current: impl FnOnce() -> bool) {
        let mut halves = self.halves.lock();
        if is_current() {
            halves.old.remove(stream);
            self.keep(&mut halves, Arc::from(stream), end);
        }
    }

    pub(super) fn clear(&self) {
        *self.halves.lock() = Halves::default();
    }

    fn keep(&self, halves: &mut Halves, stream: Arc<str>, end: Revision) {
        if self.half_count_max == 0 {
            return;
        }
        if halves.young.len() >= self.half_count_max {
            halves.old = std::mem::take(&mut halves.young);
            halves.old.remove(&stream);
        }
        halves.young.insert(stream, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(cache: &EndsCache) -> usize {
        let halves = cache.halves.lock();
        halves.young.len() + halves.old.len()
    }

    #[test]
    fn the_cache_holds_no_more_than_it_may() {
        for count_max in [0, 1, 2, 7, 100] {
            let cache = EndsCache::new(count_max);
            for n in 0..1_000_u64 {
                cache.put(Arc::from(n.to_string()), Revision::new(n));
                cache.get(&(n / 2).to_string());
                assert!(count(&cache) <= count_max);
            }
        }
    }

    #[test]
    fn an_end_that_is_asked_for_stays() {
        let cache = EndsCache::new(10);
        cache.put(Arc::from("hot"), Revision::new(1));
        for n in 0..100_u64 {
            cache.put(Arc::from(n.to_string()), Revision::new(n));
            assert_eq!(cache.get("hot"), Some(Revision::new(1)));
        }
    }

    #[test]
    fn the_newest_end_is_the_one_that_is_kept() {
        let cache = EndsCache::new(4);
        for n in 0..50_u64 {
            cache.put(Arc::from("a"), Revision::new(n));
            cache.put(Arc::from((n % 3).to_string()), Revision::new(n));
            assert!(cache.get("a").is_none_or(|end| end == Revision::new(n)));
        }
        cache.put_if("a", Revision::new(1), || false);
        assert_ne!(cache.get("a"), Some(Revision::new(1)));
    }
}
