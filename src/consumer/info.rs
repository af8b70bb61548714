//! What there is to know of a consumer.

use crate::consumer::Lag;
use crate::types::{Position, Timestamp};

/// A consumer, as [`Store::consumers`](crate::Store::consumers) lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Its name.
    pub name: String,
    /// Every event before it is done.
    pub committed: Position,
    /// Events after that which were given to workers and are not done, though later ones are.
    pub pending_count: usize,
    /// Events that it has put aside.
    pub parked_count: usize,
    /// When its place was last kept, but for batches that have moved it since.
    pub committed_at: Timestamp,
    /// How often its place was moved since the store was opened.
    pub commit_count: u64,
    /// How far it is behind.
    pub lag: Lag,
}
