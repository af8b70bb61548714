//! Names by their hashes, for the path of every append.
//!
//! Owns how a name is hashed, and where the names of a map are: one after the other in one string, so
//! that very many of them take no piece of memory each. Whoever has a name hashes it once, however
//! many maps and filters are asked for it.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

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

/// How names are hashed: fast, and in a way that whoever makes names up does not know unless they know
/// the id of the store. Who knows it could make up names with the same hash, which are slow to find.
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
#[derive(Clone, Debug)]
pub(crate) struct Names<V> {
    text: String,
    table: HashTable<Named<V>>,
}

/// A value, and what it is found by. With the hash beside it, neither a look-up nor a map that grows
/// needs to look at other names.
#[derive(Clone, Debug)]
struct Named<V> {
    hash: NameHash,
    /// Where its name ends in the text, and how long it is.
    end: u32,
    len: u8,
    value: V,
}

/// A value that was found by a hash alone. It counts until the map is cleared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guess<V> {
    end: u32,
    len: u8,
    value: V,
}

#[inline]
fn range_of(end: u32, len: u8) -> Range<usize> {
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    end.saturating_sub(usize::from(len))..end
}

impl<V> Named<V> {
    fn range(&self) -> Range<usize> {
        range_of(self.end, self.len)
    }

    #[inline]
    fn is(&self, hash: NameHash, name: &str, text: &str) -> bool {
        self.hash == hash && text.as_bytes().get(self.range()) == Some(name.as_bytes())
    }
}

impl<V> Default for Names<V> {
    fn default() -> Self {
        Self { text: String::new(), table: HashTable::new() }
    }
}

impl<V> Names<V> {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes of the names.
    pub(crate) fn text_len(&self) -> u64 {
        u64::try_from(self.text.len()).unwrap_or(u64::MAX)
    }

    #[inline]
    pub(crate) fn get(&self, hash: NameHash, name: &str) -> Option<&V> {
        let found = self.table.find(hash.get(), |named| named.is(hash, name, &self.text))?;
        Some(&found.value)
    }

    /// What is nearly always the value of the one name with this hash. Nothing but the table is looked
    /// at: whoever looks for many names asks for all of them, and then waits for memory once.
    #[inline]
    pub(crate) fn guess(&self, hash: NameHash) -> Option<Guess<V>>
    where
        V: Copy,
    {
        let Named { end, len, value, .. } =
            self.table.find(hash.get(), |named| named.hash == hash)?;
        Some(Guess { end: *end, len: *len, value: *value })
    }

    /// The value that was guessed, if it is that of `name`. If it is not, another one may be.
    #[inline]
    pub(crate) fn confirm(&self, guess: Guess<V>, name: &str) -> Option<V> {
        let range = range_of(guess.end, guess.len);
        (self.text.as_bytes().get(range) == Some(name.as_bytes())).then_some(guess.value)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, hash: NameHash, name: &str) -> Option<&mut V> {
        let text = &self.text;
        let found = self.table.find_mut(hash.get(), |named| named.is(hash, name, text))?;
        Some(&mut found.value)
    }

    /// Adds a name that is not there; `None` if it is longer than names may be, or there is no room
    /// for more.
    pub(crate) fn insert_new(&mut self, hash: NameHash, name: &str, value: V) -> Option<()> {
        let len = u8::try_from(name.len()).ok()?;
        let end = u32::try_from(self.text.len().checked_add(name.len())?).ok()?;
        self.text.push_str(name);
        let named = Named { hash, end, len, value };
        self.table.insert_unique(hash.get(), named, |named| named.hash.get());
        Some(())
    }

    /// Keeps nothing but room.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.table.clear();
    }

    /// All names, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        let name = |named: &Named<V>| self.text.get(named.range()).unwrap_or_default();
        self.table.iter().map(move |named| (name(named), &named.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_under_what_they_are() {
        let (hasher, mut names) = (NameHasher::random(), Names::default());
        let name = |n| format!("购物车-{n}");
        for n in 0..1_000 {
            names.insert_new(hasher.hash(&name(n)), &name(n), n).unwrap();
        }
        for n in 0..1_000 {
            *names.get_mut(hasher.hash(&name(n)), &name(n)).unwrap() += 1;
        }
        assert!((0..1_000).all(|n| names.get(hasher.hash(&name(n)), &name(n)) == Some(&(n + 1))));
        assert_eq!(names.get(hasher.hash("x"), "x"), None);
        assert_eq!((names.len(), names.iter().count()), (1_000, 1_000));
        assert!(names.iter().all(|(found, n)| found == name(n - 1)));
        names.clear();
        assert_eq!((names.get(hasher.hash(&name(7)), &name(7)), names.text_len()), (None, 0));
    }

    #[test]
    fn names_with_the_same_hash_are_two_and_longer_ones_than_names_are_none() {
        let (same, mut names) = (NameHash::of_number(7), Names::default());
        names.insert_new(same, "a", 1).unwrap();
        names.insert_new(same, "b", 2).unwrap();
        assert_eq!((names.get(same, "a"), names.get(same, "b")), (Some(&1), Some(&2)));
        assert_eq!(names.get(same, "c"), None);
        assert_eq!(names.insert_new(same, &"x".repeat(256), 3), None);
        assert_eq!((names.len(), names.text_len()), (2, 2));
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
