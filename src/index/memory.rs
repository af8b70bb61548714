//! Trees in memory, for everything that cannot or need not have sled.
//!
//! Owns the twin that behaves as [`super::sled`] does, without files.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

use super::IndexFault;
use super::trees::{Pair, Tree, Trees};
use crate::sync::RwLock;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Two trees in memory. A clone is another handle on the same trees, so that they can be
/// opened again.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryTrees {
    postings: Arc<RwLock<Map>>,
    ends: Arc<RwLock<Map>>,
}

impl MemoryTrees {
    /// Whether both trees are empty.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.postings.read().is_empty() && self.ends.read().is_empty()
    }

    /// Empties both trees.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn clear(&self) {
        self.postings.write().clear();
        self.ends.write().clear();
    }

    /// Other trees that hold the same now.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn copy(&self) -> Self {
        let copy = |map: &RwLock<Map>| Arc::new(RwLock::new(map.read().clone()));
        Self { postings: copy(&self.postings), ends: copy(&self.ends) }
    }

    pub(super) fn map(&self, tree: Tree) -> &RwLock<Map> {
        match tree {
            Tree::Postings => &self.postings,
            Tree::Ends => &self.ends,
        }
    }
}

/// `keys` as `BTreeMap` takes them, who panics on a range that ends before it starts.
fn bounds<'k>(keys: &Range<&'k [u8]>) -> (Bound<&'k [u8]>, Bound<&'k [u8]>) {
    (Bound::Included(keys.start), Bound::Excluded(keys.end.max(keys.start)))
}

fn owned((key, value): (&Vec<u8>, &Vec<u8>)) -> Pair {
    (key.clone(), value.clone())
}

impl Trees for MemoryTrees {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        Ok(self.map(tree).read().get(key).cloned())
    }

    fn last_in(&self, tree: Tree, keys: Range<&[u8]>) -> Result<Option<Pair>, IndexFault> {
        Ok(self.map(tree).read().range::<[u8], _>(bounds(&keys)).next_back().map(owned))
    }

    fn scan(
        &self,
        tree: Tree,
        keys: Range<&[u8]>,
        count_max: usize,
    ) -> Result<Vec<Pair>, IndexFault> {
        Ok(self
            .map(tree)
            .read()
            .range::<[u8], _>(bounds(&keys))
            .take(count_max)
            .map(owned)
            .collect())
    }

    fn apply(&self, tree: Tree, puts: Vec<Pair>) -> Result<(), IndexFault> {
        self.map(tree).write().extend(puts);
        Ok(())
    }
}
