//! What the trees hold, as values that could not be there if the bytes were bad.
//!
//! Owns the trees, and what must agree between them. Knows nothing of the tail. Whatever the trees
//! hold, this gives a fault or an answer, and takes memory for no more than what was asked.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::trees::{Pair, Tree, Trees};
use super::{IndexFault, Mark, Seek, keys, postings, values};
use crate::sync::RwLock;
use crate::types::{Address, Position, Revision, Timestamp};

const HOLE: IndexFault = IndexFault::damaged("revisions of a stream are missing");
const BAD_KEY: IndexFault = IndexFault::damaged("a key is none of ours");
const DISAGREEMENT: IndexFault = IndexFault::damaged("the trees disagree on the end of a stream");
/// Names read from the trees at once.
const SCAN_COUNT_MAX: usize = 256;

/// A mark, as it is in the trees.
#[derive(Serialize, Deserialize)]
struct StoredMark {
    position: u64,
    recorded_at: i64,
    segment: u64,
    offset: u64,
}

/// The trees, until they are closed.
#[derive(Debug)]
pub(super) struct Stored {
    trees: RwLock<Option<Box<dyn Trees>>>,
}

impl Stored {
    pub(super) fn new(trees: Box<dyn Trees>) -> Self {
        Self { trees: RwLock::new(Some(trees)) }
    }

    /// Every access is one short call of this, and none is within another, so that closing can
    /// wait for those that have begun.
    fn with<T>(
        &self,
        access: impl FnOnce(&dyn Trees) -> Result<T, IndexFault>,
    ) -> Result<T, IndexFault> {
        self.trees.read().as_deref().map_or(Err(IndexFault::Closed), access)
    }

    pub(super) fn check_open(&self) -> Result<(), IndexFault> {
        self.with(|_| Ok(()))
    }

    /// Lets go of the trees, once nobody is reading or writing them.
    pub(super) fn close(&self) {
        let trees = self.trees.write().take();
        // What is lost by a failure here is indexed again when the store is next opened.
        drop(trees);
    }

    pub(super) fn is_empty(&self, tree: Tree) -> Result<bool, IndexFault> {
        self.with(|trees| Ok(trees.scan(tree, &[]..&[0xff], 1)?.is_empty()))
    }

    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        self.with(|trees| trees.get(tree, key))
    }

    pub(super) fn apply(&self, tree: Tree, puts: Vec<Pair>) -> Result<(), IndexFault> {
        self.with(|trees| trees.apply(tree, puts))
    }

    fn last_in(&self, keys: &Range<Vec<u8>>) -> Result<Option<Pair>, IndexFault> {
        self.with(|trees| trees.last_in(Tree::Postings, &keys.start..&keys.end))
    }

    fn scan(
        &self,
        tree: Tree,
        keys: &Range<Vec<u8>>,
        count_max: usize,
    ) -> Result<Vec<Pair>, IndexFault> {
        self.with(|trees| trees.scan(tree, &keys.start..&keys.end, count_max))
    }

    /// The addresses in the block of `stream` that begins with revision `first`.
    pub(super) fn block(
        &self,
        stream: &str,
        first: Revision,
    ) -> Result<Option<Vec<Address>>, IndexFault> {
        let key = keys::block(stream, first);
        let Some(value) = self.get(Tree::Postings, &key)? else { return Ok(None) };
        postings::decode(values::unseal(&key, &value)?).map(Some)
    }

    /// Where `stream` ends, on which both trees must agree.
    pub(super) fn end(&self, stream: &str) -> Result<Revision, IndexFault> {
        let end = self.end_in_ends(stream)?;
        if end == self.end_in_postings(stream)? { Ok(end) } else { Err(DISAGREEMENT) }
    }

    fn end_in_ends(&self, stream: &str) -> Result<Revision, IndexFault> {
        let key = keys::end(stream);
        let Some(value) = self.get(Tree::Ends, &key)? else { return Ok(Revision::START) };
        values::decode(&key, &value).map(Revision::new)
    }

    fn end_in_postings(&self, stream: &str) -> Result<Revision, IndexFault> {
        let Some((key, value)) = self.last_in(&keys::blocks(stream))? else {
            return Ok(Revision::START);
        };
        let (_, first) = keys::parse_block(&key).ok_or(BAD_KEY)?;
        if postings::block_of(first) != first {
            return Err(BAD_KEY);
        }
        let addresses = postings::decode(values::unseal(&key, &value)?)?;
        Ok(first.plus(len_of(&addresses)))
    }

    /// The addresses of all of `revisions`.
    pub(super) fn addresses(
        &self,
        stream: &str,
        revisions: &Range<Revision>,
    ) -> Result<Vec<Address>, IndexFault> {
        let mut found = Vec::new();
        let mut next = revisions.start;
        while next < revisions.end {
            let first = postings::block_of(next);
            let goal = postings::block_after(first).min(revisions.end);
            let block = self.block(stream, first)?.ok_or(HOLE)?;
            let part = slice(&block, next.since(first)..goal.since(first)).ok_or(HOLE)?;
            found.extend_from_slice(part);
            next = goal;
        }
        Ok(found)
    }

    /// The addresses of the revisions before `end` that are in its block: what `end` is to be
    /// written after.
    pub(super) fn block_before(
        &self,
        stream: &str,
        end: Revision,
    ) -> Result<Vec<Address>, IndexFault> {
        self.addresses(stream, &(postings::block_of(end)..end))
    }

    /// The last mark before `seek`.
    pub(super) fn mark_before(&self, seek: Seek) -> Result<Option<Mark>, IndexFault> {
        let keys = match seek {
            Seek::Position(position) => keys::positions_to(position),
            Seek::Time(time) => keys::times_before(time),
        };
        let Some((key, value)) = self.last_in(&keys)? else { return Ok(None) };
        let mark: StoredMark = values::decode(&key, &value)?;
        Ok(Some(Mark {
            position: Position::new(mark.position),
            recorded_at: Timestamp::from_nanos(mark.recorded_at),
            address: Address { segment: Position::new(mark.segment), offset: mark.offset },
        }))
    }

    /// The names that begin with `prefix` and stand after `after` in *either* tree: at least the
    /// first `count_max` of them, so that one which a tree has lost still shows.
    pub(super) fn names(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<BTreeSet<String>, IndexFault> {
        let keys = keys::names(prefix, after);
        let mut names = self.names_in_ends(keys.clone(), count_max)?;
        names.append(&mut self.names_in_postings(keys, count_max)?);
        Ok(names)
    }

    fn names_in_ends(
        &self,
        mut keys: Range<Vec<u8>>,
        count_max: usize,
    ) -> Result<BTreeSet<String>, IndexFault> {
        let mut names = BTreeSet::new();
        while names.len() < count_max {
            let pairs =
                self.scan(Tree::Ends, &keys, SCAN_COUNT_MAX.min(count_max - names.len()))?;
            let Some((last, _)) = pairs.last() else { break };
            keys.start = keys::blocks_end(keys::parse_end(last).ok_or(BAD_KEY)?);
            for (key, _) in &pairs {
                names.insert(keys::parse_end(key).ok_or(BAD_KEY)?.to_owned());
            }
        }
        Ok(names)
    }

    /// Goes from name to name over all blocks but the first of each stream.
    fn names_in_postings(
        &self,
        mut keys: Range<Vec<u8>>,
        count_max: usize,
    ) -> Result<BTreeSet<String>, IndexFault> {
        let mut names = BTreeSet::new();
        while names.len() < count_max {
            let pairs = self.scan(Tree::Postings, &keys, 1)?;
            let Some((key, _)) = pairs.first() else { break };
            let (name, _) = keys::parse_block(key).ok_or(BAD_KEY)?;
            keys.start = keys::blocks_end(name);
            names.insert(name.to_owned());
        }
        Ok(names)
    }
}

fn len_of(addresses: &[Address]) -> u64 {
    u64::try_from(addresses.len()).unwrap_or(u64::MAX)
}

/// The addresses at `places`, if all of them are there.
fn slice(addresses: &[Address], places: Range<u64>) -> Option<&[Address]> {
    let start = usize::try_from(places.start).ok()?;
    addresses.get(start..usize::try_from(places.end).ok()?)
}

/// The pair that holds the end of `stream`.
pub(super) fn end_pair(stream: &str, end: Revision) -> Result<Pair, IndexFault> {
    let key = keys::end(stream);
    let value = values::encode(&key, &end.get())?;
    Ok((key, value))
}

/// The pair that holds the block of `stream` from revision `first` on.
pub(super) fn block_pair(stream: &str, first: Revision, addresses: &[Address]) -> Pair {
    let key = keys::block(stream, first);
    let value = values::seal(&key, &postings::encode(addresses));
    (key, value)
}

/// The pairs that hold `mark`: by position, and by time.
pub(super) fn mark_pairs(mark: &Mark) -> Result<[Pair; 2], IndexFault> {
    let content = StoredMark {
        position: mark.position.get(),
        recorded_at: mark.recorded_at.as_nanos(),
        segment: mark.address.segment.get(),
        offset: mark.address.offset,
    };
    let pair = |key: Vec<u8>| values::encode(&key, &content).map(|value| (key, value));
    Ok([pair(keys::position(mark.position))?, pair(keys::time(mark.recorded_at, mark.position))?])
}
