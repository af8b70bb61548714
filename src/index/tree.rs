//! What the index needs of an ordered key-value storage.
//!
//! Owns the seam between the index and sled. Keys and values are bytes without a meaning here.

use std::fmt::Debug;
use std::ops::Range;

use super::IndexFault;

/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// What is to become of a key.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(Pair),
    Remove(Vec<u8>),
}

/// An ordered tree, read and written from any thread.
///
/// Ranges are half-open; one that ends where it starts, or before, holds nothing.
pub(crate) trait Tree: Send + Sync + Debug {
    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault>;

    /// The greatest key in `keys`, with its value.
    fn last_in(&self, keys: Range<&[u8]>) -> Result<Option<Pair>, IndexFault>;

    /// The first keys in `keys`, ascending, at most `count_max`, with their values.
    fn scan(&self, keys: Range<&[u8]>, count_max: usize) -> Result<Vec<Pair>, IndexFault>;

    /// Makes `changes`, one after the other; if the process ends meanwhile, only the first of them.
    /// Says nothing of durability. Keys that ascend leave a tree that is read at less cost.
    fn apply(&self, changes: Vec<Change>) -> Result<(), IndexFault>;

    /// The same, but may return before they are made, so that the next ones can be prepared meanwhile: an
    /// [`Self::apply`] that comes later makes its own after these, or fails as they did.
    fn begin(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        self.apply(changes)
    }
}
