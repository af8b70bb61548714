//! What the tree holds, as values that could not be there if the bytes were bad.
//!
//! Owns the tree, which runs there are, and how one is asked. Knows nothing of the tail. Whatever
//! the tree holds, this gives a fault or an answer, and takes memory for no more than what was
//! asked.
//!
//! A run covers the whole order of places without a gap, each chunk saying where the next one
//! begins, so whoever asks for any place learns if the tree has lost what was there.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::chunk::Blocks;
use super::filter::NameHasher;
use super::manifest::Manifest;
use super::run::{Budget, Run};
use super::sketch::Sketch;
use super::tree::{Change, Pair, Tree};
use super::{IndexFault, Mark, Seek, keys, marks, values};
use crate::sync::RwLock;
use crate::types::{Address, Revision, StoreId};

const HOLE: IndexFault = IndexFault::damaged("a part of a run is missing");
const GAP: IndexFault = IndexFault::damaged("revisions of a stream are missing");
const BAD_KEY: IndexFault = IndexFault::damaged("a key is none of ours");
const LOST: IndexFault = IndexFault::damaged("the tree has no manifest");

/// Runs, the oldest first.
pub(super) type Runs = Arc<[Arc<Run>]>;

/// The tree, until it is closed, and its runs.
#[derive(Debug)]
pub(super) struct Stored {
    tree: RwLock<Option<Box<dyn Tree>>>,
    runs: RwLock<Runs>,
    hasher: NameHasher,
    budget: Arc<Budget>,
}

impl Stored {
    pub(super) fn new(tree: Box<dyn Tree>, store: StoreId, filters_len_max: u64) -> Self {
        Self {
            tree: RwLock::new(Some(tree)),
            runs: RwLock::new(Arc::new([])),
            hasher: NameHasher::of(store),
            budget: Arc::new(Budget::new(filters_len_max)),
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
        self.set_runs(Vec::new());
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        self.with(|tree| tree.get(key))
    }

    pub(super) fn apply(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        self.with(|tree| tree.apply(changes))
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

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The runs there are now.
    pub(super) fn runs(&self) -> Runs {
        Arc::clone(&self.runs.read())
    }

    pub(super) fn set_runs(&self, runs: Vec<Arc<Run>>) {
        *self.runs.write() = runs.into();
    }

    /// Reads the manifest, if the tree is not empty, and goes by it from now on.
    pub(super) fn read_manifest(&self, store: StoreId) -> Result<Option<Manifest>, IndexFault> {
        let Some(value) = self.get(keys::MANIFEST)? else {
            let is_empty = self.scan(&(Vec::new()..vec![u8::MAX]), 1)?.is_empty();
            return if is_empty { Ok(None) } else { Err(LOST) };
        };
        let manifest = Manifest::decode(keys::MANIFEST, &value, store)?;
        let run = |meta| Arc::new(Run::new(meta, &self.budget));
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

    /// The blocks of the chunk with this key.
    pub(super) fn chunk(&self, key: &[u8]) -> Result<Blocks<Vec<u8>>, IndexFault> {
        let value = self.get(key)?.ok_or(HOLE)?;
        Blocks::new(values::unseal_whole(key, value)?)
    }

    /// The blocks of the chunk of `run` in which a block with this place would be.
    pub(super) fn chunk_at(&self, run: &Run, place: &[u8]) -> Result<Blocks<Vec<u8>>, IndexFault> {
        let (key, value) = self.last_in(&keys::chunks_to(run.meta.id, place))?.ok_or(HOLE)?;
        let blocks = Blocks::new(values::unseal_whole(&key, value)?)?;
        if blocks.next_place().is_some_and(|next| next <= place) {
            return Err(HOLE);
        }
        Ok(blocks)
    }

    /// Where `stream` ends, by the newest run that has it.
    pub(super) fn end(&self, stream: &str) -> Result<Revision, IndexFault> {
        let hash = self.hasher.hash(stream);
        for run in self.runs().iter().rev() {
            if run.may_have(hash, self)?
                && let Some(end) = self.end_in(run, stream)?
            {
                return Ok(end);
            }
        }
        Ok(Revision::START)
    }

    fn end_in(&self, run: &Run, stream: &str) -> Result<Option<Revision>, IndexFault> {
        let place = keys::place(stream, Revision::new(u64::MAX));
        let mut blocks = self.chunk_at(run, &place)?;
        let mut end = None;
        while let Some(block) = blocks.next()? {
            if block.name > stream.as_bytes() {
                break;
            }
            if block.name == stream.as_bytes() {
                end = Some(block.first.plus(len_of(&block.addresses(run.meta.base)?)));
            }
        }
        Ok(end)
    }

    /// Adds to `gathered` what the runs have of a stream; all of it must be there.
    pub(super) fn gather(&self, stream: &str, gathered: &mut Gathered) -> Result<(), IndexFault> {
        let hash = self.hasher.hash(stream);
        for run in self.runs().iter().rev() {
            if gathered.missing.is_empty() {
                return Ok(());
            }
            if !run.may_have(hash, self)? {
                continue;
            }
            let (first, addresses) = self.addresses_in(run, stream, &gathered.missing)?;
            gathered.take(first, addresses)?;
        }
        // Of what is past the stream's end nobody has anything.
        if gathered.is_end_known && !gathered.missing.is_empty() { Err(GAP) } else { Ok(()) }
    }

    /// The addresses of those of `revisions` that `run` has, and the first of these.
    fn addresses_in(
        &self,
        run: &Run,
        stream: &str,
        revisions: &Range<Revision>,
    ) -> Result<(Revision, Vec<Address>), IndexFault> {
        let mut found = Vec::new();
        let mut first_found = revisions.end;
        let mut blocks = self.chunk_at(run, &keys::place(stream, revisions.start))?;
        loop {
            while let Some(block) = blocks.next()? {
                match block.name.cmp(stream.as_bytes()) {
                    Ordering::Less => continue,
                    Ordering::Equal if block.first < revisions.end => {}
                    _ => return Ok((first_found, found)),
                }
                let addresses = block.addresses(run.meta.base)?;
                let end = block.first.plus(len_of(&addresses)).min(revisions.end);
                let start = block.first.max(revisions.start);
                if start >= end {
                    continue;
                }
                if found.is_empty() {
                    first_found = start;
                }
                if first_found.plus(len_of(&found)) != start {
                    return Err(GAP);
                }
                let wanted = start.since(block.first)..end.since(block.first);
                found.extend_from_slice(slice(&addresses, wanted).ok_or(GAP)?);
            }
            let Some(next) = blocks.next_place() else { return Ok((first_found, found)) };
            blocks = self.chunk(&keys::chunk(run.meta.id, next))?;
        }
    }

    /// The last mark before `seek`.
    pub(super) fn mark_before(&self, seek: Seek) -> Result<Option<Mark>, IndexFault> {
        let keys = match seek {
            Seek::Position(position) => keys::marks_to(position),
            Seek::Time(time) => keys::times_before(time),
        };
        let Some((key, value)) = self.last_in(&keys)? else { return Ok(None) };
        let marks = marks::decode(values::unseal(&key, &value)?)?;
        // Its first mark is before `seek`, for that is how it was found.
        marks::last_before(&marks, seek).map(Some).ok_or(BAD_KEY)
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

/// Addresses of a stream, gathered from the newest to the oldest.
#[derive(Debug)]
pub(super) struct Gathered {
    /// What is still to be found: the lower part of what is wanted.
    pub(super) missing: Range<Revision>,
    /// Whether it is known where the stream ends, which what is missing does not go beyond then.
    pub(super) is_end_known: bool,
    /// What was found above, newest first.
    parts: Vec<Vec<Address>>,
}

impl Gathered {
    pub(super) const fn new(wanted: Range<Revision>) -> Self {
        Self { missing: wanted, is_end_known: false, parts: Vec::new() }
    }

    pub(super) fn clip(&mut self, end: Revision) {
        self.missing.end = self.missing.end.min(end);
        self.is_end_known = true;
    }

    /// Takes addresses from revision `first` on, which must be the upper part of what is missing.
    pub(super) fn take(
        &mut self,
        first: Revision,
        addresses: Vec<Address>,
    ) -> Result<(), IndexFault> {
        if addresses.is_empty() {
            return Ok(());
        }
        let end = first.plus(len_of(&addresses));
        if !self.is_end_known {
            // Nobody newer has any of it, so the stream ends here, or after what is wanted.
            self.clip(end);
        }
        if first < self.missing.start || end != self.missing.end {
            return Err(GAP);
        }
        self.missing.end = first;
        self.parts.push(addresses);
        Ok(())
    }

    /// All that was wanted and is there.
    pub(super) fn complete(self) -> Vec<Address> {
        self.parts.into_iter().rev().flatten().collect()
    }
}
