//! What the index needs of an ordered key-value storage.
//!
//! Owns the seam between the index and sled. Keys and values are bytes without a meaning here.

use std::fmt::Debug;
use std::ops::Range;

use super::IndexFault;

/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// The trees, each with a key space of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// Where the records of each stream stand, and the sparse marks.
    Postings,
    /// Where each stream ends.
    Ends,
}

/// Two ordered trees, read and written from any thread.
///
/// Ranges are half-open; one that ends where it starts, or before, holds nothing.
pub(crate) trait Trees: Send + Sync + Debug {
    /// The value of `key`.
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault>;

    /// The greatest key in `keys`, with its value.
    fn last_in(&self, tree: Tree, keys: Range<&[u8]>) -> Result<Option<Pair>, IndexFault>;

    /// The first keys in `keys`, ascending, at most `count_max`, with their values.
    fn scan(
        &self,
        tree: Tree,
        keys: Range<&[u8]>,
        count_max: usize,
    ) -> Result<Vec<Pair>, IndexFault>;

    /// Puts all of `puts`, or none if the process ends meanwhile. Says nothing of durability.
    fn apply(&self, tree: Tree, puts: Vec<Pair>) -> Result<(), IndexFault>;
}
