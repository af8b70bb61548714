//! Names by their hashes, for the path of every append.
//!
//! Owns how a name is hashed. Whoever has a name hashes it once, however many maps and filters are
//! asked for it.

use std::hash::{BuildHasher, RandomState};
use std::ptr;
use std::sync::Arc;

use hashbrown::HashTable;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::StoreId;

/// The hash of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameHash(u64);

impl NameHash {
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// A hash that a test makes up.
    #[cfg(test)]
    pub(crate) const fn of_number(number: u64) -> Self {
        Self(number)
    }
}

/// How names are hashed: fast, and in a way that whoever makes names up does not know, so that they
/// cannot be made up to have the same hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameHasher {
    seed: u64,
}

impl NameHasher {
    /// The way of a store, which stays the same: what its index has on disk goes by it.
    pub(crate) fn of(store: StoreId) -> Self {
        Self { seed: xxh3_64(store.as_bytes()) }
    }

    /// A way that nobody else has.
    pub(crate) fn random() -> Self {
        Self { seed: RandomState::new().hash_one(0) }
    }

    #[inline]
    pub(crate) fn hash(self, name: &str) -> NameHash {
        NameHash(xxh3_64_with_seed(name.as_bytes(), self.seed))
    }
}

/// A map by name, all of whose names were hashed in the same way.
#[derive(Debug)]
pub(crate) struct NameMap<V> {
    table: HashTable<Named<V>>,
}

/// A value, and what it is found by. With the hash beside it, neither a look-up nor a map that grows
/// needs to look at other names, which are all over memory.
#[derive(Debug)]
struct Named<V> {
    hash: NameHash,
    name: Arc<str>,
    value: V,
}

impl<V> Default for NameMap<V> {
    fn default() -> Self {
        Self { table: HashTable::new() }
    }
}

impl<V> NameMap<V> {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    #[inline]
    pub(crate) fn get(&self, hash: NameHash, name: &str) -> Option<&V> {
        self.get_named(hash, name).map(|(_, value)| value)
    }

    /// The value of a name, and the name as it is kept here, to be shared.
    #[inline]
    pub(crate) fn get_named(&self, hash: NameHash, name: &str) -> Option<(&Arc<str>, &V)> {
        let found = self.table.find(hash.get(), |named| named.is(hash, name))?;
        Some((&found.name, &found.value))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, hash: NameHash, name: &str) -> Option<&mut V> {
        let found = self.table.find_mut(hash.get(), |named| named.is(hash, name))?;
        Some(&mut found.value)
    }

    /// Adds a name that is not there.
    pub(crate) fn insert_new(&mut self, hash: NameHash, name: Arc<str>, value: V) {
        debug_assert!(self.get(hash, &name).is_none(), "{name} is there");
        let named = Named { hash, name, value };
        self.table.insert_unique(hash.get(), named, |named| named.hash.get());
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.table.iter().map(|named| (&named.name, &named.value))
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (Arc<str>, V)> {
        self.table.into_iter().map(|named| (named.name, named.value))
    }

    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(&V) -> bool) {
        self.table.retain(|named| keeps(&named.value));
    }

    pub(crate) fn clear(&mut self) {
        self.table.clear();
    }
}

impl<V> Named<V> {
    /// Whether this is the name. One that is shared is known by where it is.
    #[inline]
    fn is(&self, hash: NameHash, name: &str) -> bool {
        self.hash == hash && (ptr::eq(Arc::as_ptr(&self.name), name) || *self.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_under_what_they_are() {
        let (hasher, mut map) = (NameHasher::random(), NameMap::default());
        for n in 0..1_000 {
            let name = format!("cart-{n}");
            map.insert_new(hasher.hash(&name), Arc::from(name), n);
        }
        let get = |map: &NameMap<i32>, name: &str| map.get(hasher.hash(name), name).copied();
        assert!((0..1_000).all(|n| get(&map, &format!("cart-{n}")) == Some(n)));
        assert_eq!((get(&map, "cart"), map.len()), (None, 1_000));
        *map.get_mut(hasher.hash("cart-7"), "cart-7").unwrap() = -7;
        map.retain(|n| *n < 10);
        assert_eq!((get(&map, "cart-7"), get(&map, "cart-10"), map.len()), (Some(-7), None, 10));
        assert_eq!(map.iter().count(), 10);
    }

    #[test]
    fn names_with_the_same_hash_are_two() {
        let (same, mut map) = (NameHash::of_number(7), NameMap::default());
        map.insert_new(same, "a".into(), 1);
        map.insert_new(same, "b".into(), 2);
        assert_eq!((map.get(same, "a"), map.get(same, "b")), (Some(&1), Some(&2)));
        assert_eq!(map.get(same, "c"), None);
    }

    #[test]
    fn each_store_hashes_in_its_own_way_and_always_in_the_same() {
        let of = |byte| NameHasher::of(StoreId::from_bytes([byte; 16]));
        assert_eq!(of(1).hash("a"), of(1).hash("a"));
        assert_ne!(of(1).hash("a"), of(2).hash("a"));
        assert_ne!(of(1).hash("a"), of(1).hash("b"));
        assert_ne!(NameHasher::random().hash("a"), NameHasher::random().hash("a"));
    }
}
