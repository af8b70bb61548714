//! A tree in memory, for everything that cannot or need not have sled.
//!
//! Owns the twin that behaves as [`super::sled`] does, without files.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

use super::IndexFault;
use super::tree::{Change, Pair, Tree};
use crate::sync::RwLock;

pub(super) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A tree in memory. A clone is another handle on the same one, so that it can be opened again.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryTree(Arc<RwLock<Map>>);

impl MemoryTree {
    /// Whether it holds nothing.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// Empties it.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn clear(&self) {
        self.0.write().clear();
    }

    /// Another tree that holds the same now.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(RwLock::new(self.0.read().clone())))
    }

    #[cfg(test)]
    pub(super) fn map(&self) -> &RwLock<Map> {
        &self.0
    }
}

/// `keys` as `BTreeMap` takes them, who panics on a range that ends before it starts.
fn bounds<'k>(keys: &Range<&'k [u8]>) -> (Bound<&'k [u8]>, Bound<&'k [u8]>) {
    (Bound::Included(keys.start), Bound::Excluded(keys.end.max(keys.start)))
}

fn owned((key, value): (&Vec<u8>, &Vec<u8>)) -> Pair {
    (key.clone(), value.clone())
}

impl Tree for MemoryTree {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        Ok(self.0.read().get(key).cloned())
    }

    fn last_in(&self, keys: Range<&[u8]>) -> Result<Option<Pair>, IndexFault> {
        Ok(self.0.read().range::<[u8], _>(bounds(&keys)).next_back().map(owned))
    }

    fn scan(&self, keys: Range<&[u8]>, count_max: usize) -> Result<Vec<Pair>, IndexFault> {
        let map = self.0.read();
        Ok(map.range::<[u8], _>(bounds(&keys)).take(count_max).map(owned).collect())
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        let mut map = self.0.write();
        for change in changes {
            match change {
                Change::Put((key, value)) => _ = map.insert(key, value),
                Change::Remove(key) => _ = map.remove(&key),
            }
        }
        Ok(())
    }
}
