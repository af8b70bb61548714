//! Maps by name, for the path of every append.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A map by name.
pub(crate) type NameMap<V> = HashMap<Arc<str>, V, NameHashes>;

/// A set of names.
pub(crate) type NameSet = HashSet<Arc<str>, NameHashes>;

/// How a map hashes names: faster than the standard library does, and in a way of its own, which
/// whoever makes names up does not know.
#[derive(Clone, Debug)]
pub(crate) struct NameHashes {
    seed: u64,
}

impl Default for NameHashes {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one(0) }
    }
}

impl BuildHasher for NameHashes {
    type Hasher = NameHasher;

    fn build_hasher(&self) -> NameHasher {
        NameHasher(self.seed)
    }
}

/// Hashes one name.
#[derive(Debug)]
pub(crate) struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The mark after a string, which tells nothing where there is only one.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_under_what_they_are_and_hashed_otherwise_in_each_map() {
        let mut map = NameMap::default();
        for n in 0..1_000 {
            map.insert(Arc::from(format!("cart-{n}")), n);
        }
        assert!((0..1_000).all(|n| map.get(format!("cart-{n}").as_str()) == Some(&n)));
        assert_eq!(map.get("cart"), None);
        assert_ne!(map.hasher().hash_one("a"), NameHashes::default().hash_one("a"));
        assert_ne!(map.hasher().hash_one("a"), map.hasher().hash_one("b"));
    }
}
