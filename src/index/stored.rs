//! What the tree holds, as values that could not be there if the bytes were bad.
//!
//! Owns the tree, which runs there are, and what of the tree is in memory. Knows nothing of the
//! tail. Whatever the tree holds, this gives a fault or an answer, and takes memory for no more
//! than what was asked. What is read one value after the other, to be merged or listed, is read
//! past the memory of what was asked for.
//!
//! A run covers the whole order of places without a gap, each chunk saying where the next one
//! begins, so whoever asks for any place learns if the tree has lost what was there.

use std::ops::Range;
use std::sync::Arc;

use super::budget::Budgets;
use super::cache::Values;
use super::chunk::{self, Blocks};
use super::manifest::Manifest;
use super::mark_lists::{Known, List, MarkLists};
use super::parsed::Chunk;
use super::run::Run;
use super::sketch::Sketch;
use super::tree::{Change, Pair, Tree};
use super::union::Union;
use super::{IndexFault, Mark, Seek, keys, marks, values};
use crate::sync::RwLock;
use crate::types::{NameHasher, Position, Revision, StoreId};

pub(super) const HOLE: IndexFault = IndexFault::damaged("a part of a run is missing");
const BAD_KEY: IndexFault = IndexFault::damaged("a key is none of ours");
const LOST: IndexFault = IndexFault::damaged("the tree has no manifest");

/// Runs, the oldest first.
pub(super) type Runs = Arc<[Arc<Run>]>;

/// A chunk as it was read.
#[derive(Debug)]
struct RawChunk {
    key: Vec<u8>,
    bytes: Vec<u8>,
    /// Its slot among the places of its run, if it is known there.
    slot: Option<u32>,
}

impl RawChunk {
    /// Parses it, and keeps it in `values`.
    fn parsed(&self, run: &Run, values: &Values) -> Result<Arc<Chunk>, IndexFault> {
        let chunk = Arc::new(Chunk::parse(&self.bytes, run.meta.base)?);
        let (_, start) = keys::parse_chunk(&self.key).ok_or(BAD_KEY)?;
        if let Some(slot) = self.slot.or_else(|| run.places.learn(start, chunk.next_place())) {
            values.keep_chunk((run.meta.id, slot), &chunk);
        }
        Ok(chunk)
    }
}

/// The tree, until it is closed, and its runs.
#[derive(Debug)]
pub(super) struct Stored {
    tree: RwLock<Option<Box<dyn Tree>>>,
    runs: RwLock<Runs>,
    union: Union,
    mark_lists: MarkLists,
    values: Values,
    hasher: NameHasher,
    budgets: Budgets,
}

impl Stored {
    /// Over `tree`, and with at most `cache_len_max` bytes of it in memory.
    pub(super) fn new(tree: Box<dyn Tree>, store: StoreId, cache_len_max: u64) -> Self {
        let budgets = Budgets::of(cache_len_max);
        Self {
            tree: RwLock::new(Some(tree)),
            runs: RwLock::new(Arc::new([])),
            union: Union::new(budgets.union_len_max),
            mark_lists: MarkLists::new(&budgets.places),
            values: Values::new(budgets.values_len_max()),
            hasher: NameHasher::of(store),
            budgets,
        }
    }

    /// Every access is one short call of this, and none is within another, so that closing can
    /// wait for those that have begun.
    fn with<T>(
        &self,
        access: impl FnOnce(&dyn Tree) -> Result<T, IndexFault>,
    ) -> Result<T, IndexFault> {
        self.tree.read().as_deref().map_or(Err(IndexFault::Closed), access)
    }

    pub(super) fn check_open(&self) -> Result<(), IndexFault> {
        self.with(|_| Ok(()))
    }

    /// Lets go of the tree, once nobody is reading or writing it.
    pub(super) fn close(&self) {
        let tree = self.tree.write().take();
        // What is lost by a failure here is indexed again when the store is next opened.
        drop(tree);
    }

    /// Lets go of what was read, but for what runs keep for as long as they are there.
    pub(super) fn forget(&self) {
        self.union.forget();
        self.mark_lists.clear();
        self.values.clear();
    }

    /// Lets go of what was read of runs that were merged into another.
    pub(super) fn forget_merged(&self, runs: &[Arc<Run>]) {
        self.values.forget_runs(|id| runs.iter().any(|run| run.meta.id == id));
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        self.with(|tree| tree.get(key))
    }

    pub(super) fn apply(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        self.with(|tree| tree.apply(changes))
    }

    /// As [`Tree::begin`].
    pub(super) fn begin(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        self.with(|tree| tree.begin(changes))
    }

    fn last_in(&self, keys: &Range<Vec<u8>>) -> Result<Option<Pair>, IndexFault> {
        self.with(|tree| tree.last_in(&keys.start..&keys.end))
    }

    pub(super) fn scan(
        &self,
        keys: &Range<Vec<u8>>,
        count_max: usize,
    ) -> Result<Vec<Pair>, IndexFault> {
        self.with(|tree| tree.scan(&keys.start..&keys.end, count_max))
    }

    pub(super) fn hasher(&self) -> NameHasher {
        self.hasher
    }

    /// The filter over many runs. Whoever asks it takes the runs first, which it speaks of.
    pub(super) fn union(&self) -> &Union {
        &self.union
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    pub(super) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// The runs there are now.
    pub(super) fn runs(&self) -> Runs {
        Arc::clone(&self.runs.read())
    }

    pub(super) fn set_runs(&self, runs: Vec<Arc<Run>>) {
        *self.runs.write() = runs.into();
    }

    /// Leaves values the memory that filters have not taken: called when these have taken more, or less.
    pub(super) fn share(&self) {
        self.values.limit(|| self.budgets.values_len_max());
    }

    /// Reads the manifest, if the tree is not empty, and goes by it from now on.
    pub(super) fn read_manifest(&self, store: StoreId) -> Result<Option<Manifest>, IndexFault> {
        let Some(value) = self.get(keys::MANIFEST)? else {
            let is_empty = self.scan(&(Vec::new()..vec![u8::MAX]), 1)?.is_empty();
            return if is_empty { Ok(None) } else { Err(LOST) };
        };
        let manifest = Manifest::decode(keys::MANIFEST, &value, store)?;
        let run = |meta| Arc::new(Run::new(meta, &self.budgets));
        self.set_runs(manifest.runs.iter().copied().map(run).collect());
        Ok(Some(manifest))
    }

    /// The run of the first chunk at `run` or after it.
    pub(super) fn run_from(&self, run: u64) -> Result<Option<u64>, IndexFault> {
        let found = self.scan(&keys::chunks_from(run), 1)?;
        let Some((key, _)) = found.first() else { return Ok(None) };
        keys::parse_chunk(key).map(|(run, _)| Some(run)).ok_or(BAD_KEY)
    }

    pub(super) fn sketch(&self, run: &Run) -> Result<Sketch, IndexFault> {
        let key = keys::sketch(run.meta.id);
        let value = self.get(&key)?.ok_or(HOLE)?;
        Sketch::from_bytes(values::unseal(&key, &value)?).ok_or(HOLE)
    }

    /// The blocks of the chunk of `run` in which a block with this place would be, past memory.
    pub(super) fn chunk_at(&self, run: &Run, place: &[u8]) -> Result<Blocks<Vec<u8>>, IndexFault> {
        let (key, value) = self.last_in(&keys::chunks_to(run.meta.id, place))?.ok_or(HOLE)?;
        let blocks = Blocks::new(values::unseal_whole(&key, value)?)?;
        if blocks.next_place().is_some_and(|next| next <= place) {
            return Err(HOLE);
        }
        Ok(blocks)
    }

    /// The chunk of `run` in which a block with this place would be, by way of memory.
    pub(super) fn parsed_chunk_at(
        &self,
        run: &Run,
        place: &[u8],
    ) -> Result<Arc<Chunk>, IndexFault> {
        if let Some(chunk) = self.known_chunk_at(run, place) {
            return Ok(chunk);
        }
        self.raw_chunk_at(run, place)?.parsed(run, &self.values)
    }

    /// Where a stream ends by its last block in `run`, if it has one.
    ///
    /// Of a chunk that nobody has asked for lately, only that is read: to take it apart and to keep it
    /// costs several times as much, for nothing if it is one of very many.
    pub(super) fn end_in(&self, run: &Run, stream: &str) -> Result<Option<Revision>, IndexFault> {
        let place = keys::place(stream, Revision::new(u64::MAX));
        if let Some(chunk) = self.known_chunk_at(run, &place) {
            return Ok(chunk.end_of(stream.as_bytes()));
        }
        let raw = self.raw_chunk_at(run, &place)?;
        if self.values.is_wanted(&raw.key) {
            return Ok(raw.parsed(run, &self.values)?.end_of(stream.as_bytes()));
        }
        chunk::end_in(&raw.bytes, stream.as_bytes(), run.meta.base)
    }

    fn known_chunk_at(&self, run: &Run, place: &[u8]) -> Option<Arc<Chunk>> {
        self.values.chunk(run.meta.id, run.places.slot(place)?)
    }

    fn raw_chunk_at(&self, run: &Run, place: &[u8]) -> Result<RawChunk, IndexFault> {
        let known = run.places.find(place);
        let found = match &known {
            Some((_, start)) => self.get_at_random(keys::chunk(run.meta.id, start))?,
            None => self.last_in(&keys::chunks_to(run.meta.id, place))?,
        };
        let (key, value) = found.ok_or(HOLE)?;
        let bytes = values::unseal_whole(&key, value)?;
        if chunk::next_place(&bytes)?.is_some_and(|next| next <= place) {
            return Err(HOLE);
        }
        Ok(RawChunk { key, bytes, slot: known.map(|(slot, _)| slot) })
    }

    /// As [`Self::get`], for keys that are asked for in no order: sled counts what it takes for
    /// them.
    fn get_at_random(&self, key: Vec<u8>) -> Result<Option<Pair>, IndexFault> {
        let mut end = key.clone();
        end.push(0);
        self.last_in(&(key..end))
    }

    /// The last mark before `seek`.
    pub(super) fn mark_before(&self, seek: Seek) -> Result<Option<Mark>, IndexFault> {
        match self.mark_lists.find(seek) {
            Known::Before => Ok(None),
            Known::List(list) => match self.marks_of(list)? {
                Some(marks) => marks::last_before(&marks, seek).map(Some).ok_or(BAD_KEY),
                // An earlier one serves as well.
                None => Ok(self
                    .read_marks_before(seek)?
                    .and_then(|marks| marks::last_before(&marks, seek))),
            },
            Known::Nothing { added_count } => self.learn_mark_before(seek, added_count),
        }
    }

    /// The marks of a list that is known, if the tree has it still.
    fn marks_of(&self, list: List) -> Result<Option<Arc<[Mark]>>, IndexFault> {
        if let Some(marks) = self.values.marks(list.slot) {
            return Ok(Some(marks));
        }
        let Some((key, value)) = self.get_at_random(keys::marks(list.first.position))? else {
            return Ok(None);
        };
        let marks = marks::decode(values::unseal(&key, &value)?)?.into();
        self.values.keep_marks(list.slot, &marks);
        Ok(Some(marks))
    }

    /// The list of marks in which the last one before `seek` is, from the tree.
    fn read_marks_before(&self, seek: Seek) -> Result<Option<Vec<Mark>>, IndexFault> {
        let keys = match seek {
            Seek::Position(position) => keys::marks_to(position),
            Seek::Time(time) => keys::times_before(time),
        };
        let Some((key, value)) = self.last_in(&keys)? else { return Ok(None) };
        marks::decode(values::unseal(&key, &value)?).map(Some)
    }

    fn learn_mark_before(&self, seek: Seek, added_count: u64) -> Result<Option<Mark>, IndexFault> {
        let Some(marks) = self.read_marks_before(seek)? else { return Ok(None) };
        // Its first mark is before `seek`, for that is how it was found.
        let mark = marks::last_before(&marks, seek).ok_or(BAD_KEY)?;
        let Some(first) = marks.first() else { return Ok(Some(mark)) };
        let next = self.first_mark_after(first.position)?;
        if let Some(slot) = self.mark_lists.learn(*first, next, added_count) {
            self.values.keep_marks(slot, &marks.into());
        }
        Ok(Some(mark))
    }

    /// The first mark of the list that comes after the one that begins at `position`.
    fn first_mark_after(&self, position: Position) -> Result<Option<Mark>, IndexFault> {
        let found = self.scan(&keys::marks_from(position.next()), 1)?;
        let Some((key, value)) = found.first() else { return Ok(None) };
        Ok(marks::decode(values::unseal(key, value)?)?.first().copied())
    }

    /// Says that lists which begin with these marks are in the tree from now on.
    pub(super) fn add_mark_lists(&self, firsts: impl Iterator<Item = Mark>) {
        self.mark_lists.add(firsts);
    }
}
