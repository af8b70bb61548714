//! Checkpoints: how far the trees have come, and how they come further.
//!
//! Owns the checkpoint, and the order in which a frozen tail is written. Each tree has a
//! checkpoint of its own, for nothing is atomic over two trees; it is in the last batch of
//! what it covers. So data past a checkpoint may be there, after a crash or in the tree that is
//! ahead. It is true, and only of streams that have events past the lower checkpoint; these are
//! added again, the tail answers for them, and writing them again writes over the same keys.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::postings::{self, BLOCK_COUNT};
use super::stored::{self, Stored};
use super::tail::{Run, Tail};
use super::trees::{Pair, Tree};
use super::{IndexFault, keys, values};
use crate::types::{Address, LogEnd, Position, StoreId, Timestamp};

/// Counts changes of what the keys and values mean.
const INDEX_VERSION: u32 = 1;
/// The most puts that go to sled at once: it takes gigabytes for large batches.
const BATCH_COUNT_MAX: usize = 256;

/// A checkpoint, as it is in a tree.
#[derive(Serialize, Deserialize)]
struct StoredCheckpoint {
    version: u32,
    store: [u8; 16],
    position: u64,
    segment: u64,
    offset: u64,
    checksum: u32,
    recorded_at: i64,
}

impl StoredCheckpoint {
    fn new(store: StoreId, end: LogEnd) -> Self {
        Self {
            version: INDEX_VERSION,
            store: *store.as_bytes(),
            position: end.position.get(),
            segment: end.address.segment.get(),
            offset: end.address.offset,
            checksum: end.checksum,
            recorded_at: end.recorded_at.as_nanos(),
        }
    }

    fn end(&self) -> LogEnd {
        LogEnd {
            position: Position::new(self.position),
            address: Address { segment: Position::new(self.segment), offset: self.offset },
            checksum: self.checksum,
            recorded_at: Timestamp::from_nanos(self.recorded_at),
        }
    }
}

/// How far the trees have come: the lower of their checkpoints. `None` if they are empty.
pub(super) fn read(stored: &Stored, store: StoreId) -> Result<Option<LogEnd>, IndexFault> {
    let in_postings = read_one(stored, Tree::Postings, store)?;
    let in_ends = read_one(stored, Tree::Ends, store)?;
    match (in_postings, in_ends) {
        (Some(a), Some(b)) => lower(a, b).map(Some),
        (None, None) if stored.is_empty(Tree::Postings)? && stored.is_empty(Tree::Ends)? => {
            Ok(None)
        }
        _ => Err(IndexFault::damaged("a tree has no checkpoint")),
    }
}

fn read_one(stored: &Stored, tree: Tree, store: StoreId) -> Result<Option<LogEnd>, IndexFault> {
    let Some(value) = stored.get(tree, keys::CHECKPOINT)? else { return Ok(None) };
    let checkpoint: StoredCheckpoint = values::decode(keys::CHECKPOINT, &value)?;
    if checkpoint.version != INDEX_VERSION || checkpoint.store != *store.as_bytes() {
        return Err(IndexFault::Foreign);
    }
    Ok(Some(checkpoint.end()))
}

fn lower(a: LogEnd, b: LogEnd) -> Result<LogEnd, IndexFault> {
    if a.position == b.position && a != b {
        return Err(IndexFault::damaged("the checkpoints of the trees contradict each other"));
    }
    Ok(if a.position < b.position { a } else { b })
}

/// Writes `tail` to the trees, then that they have come to its end.
pub(super) fn write(stored: &Stored, store: StoreId, tail: &Tail) -> Result<(), IndexFault> {
    let end = tail.end().ok_or(IndexFault::damaged("a tail without an end"))?;
    let value = values::encode(keys::CHECKPOINT, &StoredCheckpoint::new(store, end))?;
    let checkpoint = (keys::CHECKPOINT.to_vec(), value);
    // Neighbours in a tree are on the same pages of sled.
    let mut runs: Vec<_> = tail.runs().collect();
    runs.sort_unstable_by_key(|(name, _)| *name);

    let mut postings = Writer::new(stored, Tree::Postings);
    for pair in tail.marks().iter().map(stored::mark_pairs) {
        pair?.into_iter().try_for_each(|pair| postings.put(pair))?;
    }
    for (name, run) in &runs {
        write_blocks(&mut postings, name, run)?;
    }
    postings.finish(checkpoint.clone())?;

    let mut ends = Writer::new(stored, Tree::Ends);
    for (name, run) in &runs {
        ends.put(stored::end_pair(name, run.end())?)?;
    }
    ends.finish(checkpoint)
}

/// Fills up the block that `run` begins in, whose revisions from there on may be there already,
/// and goes on with new ones.
fn write_blocks(writer: &mut Writer<'_>, name: &Arc<str>, run: &Run) -> Result<(), IndexFault> {
    let mut addresses = writer.stored.block_before(name, run.first())?;
    addresses.extend_from_slice(run.addresses());
    let mut first = postings::block_of(run.first());
    for block in addresses.chunks(BLOCK_COUNT) {
        writer.put(stored::block_pair(name, first, block))?;
        first = postings::block_after(first);
    }
    Ok(())
}

/// Puts into one tree, a batch at a time.
struct Writer<'a> {
    stored: &'a Stored,
    tree: Tree,
    batch: Vec<Pair>,
}

impl<'a> Writer<'a> {
    fn new(stored: &'a Stored, tree: Tree) -> Self {
        Self { stored, tree, batch: Vec::new() }
    }

    fn put(&mut self, pair: Pair) -> Result<(), IndexFault> {
        // One less, for the checkpoint must have room in the last batch.
        if self.batch.len() >= BATCH_COUNT_MAX - 1 {
            self.stored.apply(self.tree, std::mem::take(&mut self.batch))?;
        }
        self.batch.push(pair);
        Ok(())
    }

    fn finish(mut self, checkpoint: Pair) -> Result<(), IndexFault> {
        self.batch.push(checkpoint);
        self.stored.apply(self.tree, self.batch)
    }
}
