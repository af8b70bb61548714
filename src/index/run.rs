//! Runs: what one checkpoint has added, or several together, sorted by stream and never changed.
//!
//! Owns how a run is written, and what of it is in memory for as long as it is there: parts of its
//! filter, and where its chunks begin, within bounds.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::budget::{Budget, Budgets};
use super::chunk::ChunkBuilder;
use super::filter::{Filter, Part, part_of};
use super::places::Places;
use super::postings::BLOCK_COUNT;
use super::sketch::Sketch;
use super::stored::Stored;
use super::tree::{Change, Pair};
use super::union::Membership;
use super::{IndexFault, keys, values};
use crate::types::{Address, NameHash, NameHasher, Position, Revision};

/// The most values that go to the tree at once, which may be written on a thread of its own.
const BATCH_COUNT_MAX: usize = 128;

/// Streams that are added to the filter over many runs at once.
const HASH_COUNT_MAX: usize = 256;

/// Bits of its filter for each stream of a run of `level`. There may be many small runs, each of which
/// is asked; of large ones there are few, and their filters would not all have room.
fn bits_per_stream(level: u8) -> u64 {
    if level < 2 { 16 } else { 10 }
}

/// What the manifest says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunMeta {
    /// Greater than those of all runs that were there before.
    pub(super) id: u64,
    /// How often what it holds was merged.
    pub(super) level: u8,
    /// The first segment that it speaks of, less which others are written.
    pub(super) base: Position,
    /// Parts of its filter.
    pub(super) part_count: u32,
}

/// A run in the tree.
pub(super) struct Run {
    pub(super) meta: RunMeta,
    /// The parts of its filter that are in memory.
    filter: Vec<OnceLock<Part>>,
    budget: Arc<Budget>,
    /// Whether the filter over many runs has the names of all its streams.
    pub(super) is_in_union: bool,
    /// Where its chunks begin, as far as that is known.
    pub(super) places: Places,
}

impl Run {
    /// A run of which nothing is in memory.
    pub(super) fn new(meta: RunMeta, budgets: &Budgets) -> Self {
        let part_count = usize::try_from(meta.part_count).unwrap_or(0);
        let filter = std::iter::repeat_with(OnceLock::new).take(part_count).collect();
        let places = Places::new(&budgets.places);
        let budget = Arc::clone(&budgets.filters);
        Self { meta, filter, budget, is_in_union: false, places }
    }

    /// Whether it may have a stream, by the hash of its name.
    pub(super) fn may_have(&self, hash: NameHash, stored: &Stored) -> Result<bool, IndexFault> {
        let at = part_of(hash, self.filter.len());
        // A run has at least one part, so none is missing but by a bug or damage.
        let slot = self.filter.get(at).ok_or(IndexFault::damaged("a run without a filter"))?;
        if let Some(part) = slot.get() {
            return Ok(part.may_have(hash));
        }
        let key = keys::filter(self.meta.id, u32::try_from(at).unwrap_or(u32::MAX));
        let value =
            stored.get(&key)?.ok_or(IndexFault::damaged("a part of a filter is missing"))?;
        let part = Part::from_bytes(values::unseal(&key, &value)?);
        let answer = part.may_have(hash);
        if self.keep(at, part) {
            stored.share();
        }
        Ok(answer)
    }

    /// As [`Self::may_have`], for who then reads one chunk: where the part could not be kept, to read
    /// it takes as long as to read the chunk, which knows.
    pub(super) fn is_worth_asking(
        &self,
        hash: NameHash,
        stored: &Stored,
    ) -> Result<bool, IndexFault> {
        let at = part_of(hash, self.filter.len());
        let is_kept = self.filter.get(at).is_some_and(|slot| slot.get().is_some());
        if !is_kept && !self.budget.has_room_within(self.filter_eighths()) {
            return Ok(true);
        }
        self.may_have(hash, stored)
    }

    /// How much of what there is for filters may be in use for that of this run to be kept. Small
    /// runs are asked as often as large ones are, and take less: there is always room for theirs.
    fn filter_eighths(&self) -> u64 {
        match self.meta.level {
            0 => 8,
            1 => 7,
            _ => 5,
        }
    }

    /// Makes ready to be asked for a stream: what is touched for several is fetched at once.
    pub(super) fn touch(&self, hash: NameHash) {
        if let Some(part) =
            self.filter.get(part_of(hash, self.filter.len())).and_then(OnceLock::get)
        {
            part.touch(hash);
        }
    }

    /// Keeps a part in memory, if there is room; says whether it has.
    fn keep(&self, at: usize, part: Part) -> bool {
        let len = part.len();
        if !self.budget.take_within(len, self.filter_eighths()) {
            return false;
        }
        let is_kept = self.filter.get(at).is_some_and(|slot| slot.set(part).is_ok());
        if !is_kept {
            self.budget.give_back(len);
        }
        is_kept
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let kept = self.filter.iter().filter_map(OnceLock::get);
        self.budget.give_back(kept.map(Part::len).sum());
    }
}

impl fmt::Debug for Run {
    /// Not its filter, which is large and says nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.meta.fmt(f)
    }
}

/// Puts values into the tree, a batch at a time: the next one is made while one is being written. What is
/// applied after the last one says what has become of them.
#[derive(Debug, Default)]
pub(super) struct Batches {
    batch: Vec<Change>,
}

impl Batches {
    pub(super) fn put(&mut self, pair: Pair, stored: &Stored) -> Result<(), IndexFault> {
        self.batch.push(Change::Put(pair));
        if self.batch.len() < BATCH_COUNT_MAX { Ok(()) } else { self.finish(stored) }
    }

    pub(super) fn finish(&mut self, stored: &Stored) -> Result<(), IndexFault> {
        if self.batch.is_empty() {
            return Ok(());
        }
        stored.begin(std::mem::take(&mut self.batch))
    }
}

/// Writes a run, whose blocks come in the order of their places.
#[derive(Debug)]
pub(super) struct RunWriter {
    id: u64,
    level: u8,
    base: Position,
    hasher: NameHasher,
    chunk: ChunkBuilder,
    /// Key of the chunk that is being made.
    key: Vec<u8>,
    /// Name of the last block.
    name: String,
    filter: Filter,
    membership: Membership,
    /// Of streams that are to be added to the filter over many runs.
    hashes: Vec<NameHash>,
    sketch: Sketch,
    batches: Batches,
}

impl RunWriter {
    /// Begins run `id`, of about `stream_count` streams, which has this membership in the filter over
    /// many runs.
    pub(super) fn new(
        (id, level): (u64, u8),
        base: Position,
        (stream_count, membership): (u64, Membership),
        hasher: NameHasher,
    ) -> Self {
        Self {
            id,
            level,
            base,
            hasher,
            chunk: ChunkBuilder::default(),
            key: keys::first_chunk(id),
            name: String::new(),
            filter: Filter::for_count(stream_count, bits_per_stream(level)),
            membership,
            hashes: Vec::new(),
            sketch: Sketch::new(),
            batches: Batches::default(),
        }
    }

    /// Adds revisions of a stream from `first` on.
    pub(super) fn push(
        &mut self,
        name: &str,
        first: Revision,
        addresses: &[Address],
        stored: &Stored,
    ) -> Result<(), IndexFault> {
        if self.name != name {
            name.clone_into(&mut self.name);
            let hash = self.hasher.hash(name);
            self.filter.add(hash);
            self.hashes.push(hash);
            if self.hashes.len() >= HASH_COUNT_MAX {
                self.add_to_union(stored);
            }
            self.sketch.add(hash);
        }
        let mut first = first;
        for block in addresses.chunks(BLOCK_COUNT) {
            if !self.chunk.push(name, first, block, self.base) {
                let place = keys::place(name, first);
                self.finish_chunk(&place, stored)?;
                self.key = keys::chunk(self.id, &place);
                self.chunk.push(name, first, block, self.base);
            }
            first = first.plus(u64::try_from(block.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Ends the run, which is all in the tree then but for what the manifest says of it.
    pub(super) fn finish(mut self, stored: &Stored, budgets: &Budgets) -> Result<Run, IndexFault> {
        self.add_to_union(stored);
        self.finish_chunk(&[], stored)?;
        let parts = self.filter.into_parts();
        for (n, part) in (0..).zip(&parts) {
            let key = keys::filter(self.id, n);
            let value = values::seal(&key, &part.to_bytes());
            self.batches.put((key, value), stored)?;
        }
        let key = keys::sketch(self.id);
        let value = values::seal(&key, self.sketch.as_bytes());
        self.batches.put((key, value), stored)?;
        self.batches.finish(stored)?;
        let part_count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let meta = RunMeta { id: self.id, level: self.level, base: self.base, part_count };
        let mut run = Run::new(meta, budgets);
        run.is_in_union = !matches!(self.membership, Membership::Apart);
        parts.into_iter().enumerate().for_each(|(at, part)| _ = run.keep(at, part));
        stored.share();
        Ok(run)
    }

    /// Adds streams to the filter over many runs, before anyone sees the run.
    fn add_to_union(&mut self, stored: &Stored) {
        stored.union().add(&self.membership, &self.hashes);
        self.hashes.clear();
    }

    fn finish_chunk(&mut self, next: &[u8], stored: &Stored) -> Result<(), IndexFault> {
        let key = std::mem::take(&mut self.key);
        let value = values::seal(&key, &self.chunk.take(next));
        self.batches.put((key, value), stored)
    }
}
