//! The names of a tail, each with something.
//!
//! Owns where they are: one after the other in one string. So a store of very many streams takes no
//! piece of memory for each, and all of them go at once, whoever lets go of them.

use std::ops::Range;

use hashbrown::HashTable;

use crate::types::NameHash;

/// Names, and what each is the name of.
#[derive(Debug)]
pub(super) struct Names<V> {
    text: String,
    table: HashTable<Named<V>>,
}

#[derive(Debug)]
struct Named<V> {
    hash: NameHash,
    /// Where its name ends in the text, and how long it is.
    end: u32,
    len: u8,
    value: V,
}

impl<V> Named<V> {
    fn range(&self) -> Range<usize> {
        let end = usize::try_from(self.end).unwrap_or(usize::MAX);
        end.saturating_sub(usize::from(self.len))..end
    }

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
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes of the names.
    pub(super) fn text_len(&self) -> u64 {
        u64::try_from(self.text.len()).unwrap_or(u64::MAX)
    }

    #[inline]
    pub(super) fn get(&self, hash: NameHash, name: &str) -> Option<&V> {
        let found = self.table.find(hash.get(), |named| named.is(hash, name, &self.text))?;
        Some(&found.value)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, hash: NameHash, name: &str) -> Option<&mut V> {
        let text = &self.text;
        let found = self.table.find_mut(hash.get(), |named| named.is(hash, name, text))?;
        Some(&mut found.value)
    }

    /// Adds a name that is not there; `None` if it is longer than names may be, or there is no room
    /// for more.
    pub(super) fn insert_new(&mut self, hash: NameHash, name: &str, value: V) -> Option<()> {
        let len = u8::try_from(name.len()).ok()?;
        let end = u32::try_from(self.text.len().checked_add(name.len())?).ok()?;
        self.text.push_str(name);
        let named = Named { hash, end, len, value };
        self.table.insert_unique(hash.get(), named, |named| named.hash.get());
        Some(())
    }

    /// All names, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        let name = |named: &Named<V>| self.text.get(named.range()).unwrap_or_default();
        self.table.iter().map(move |named| (name(named), &named.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NameHasher;

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
}
