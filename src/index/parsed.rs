//! A chunk that was read: blocks that are found by name and revision.
//!
//! Owns how it is laid out in memory. It could not be there if the bytes of the chunk were bad:
//! its blocks are in their order, and their posting lists are whole.

use std::cmp::Ordering;
use std::ops::Range;

use super::chunk::Blocks;
use super::{IndexFault, keys, postings};
use crate::types::{Address, Position, Revision};

const MALFORMED: IndexFault = IndexFault::damaged("a chunk is malformed");

/// A block, but for where its bytes begin: that is where those of the block before end.
#[derive(Clone, Copy, Debug)]
struct BlockAt {
    first: Revision,
    rest_end: u32,
    postings_end: u16,
    count: u16,
}

const _: () = assert!(size_of::<BlockAt>() == 16, "there may be hundreds in a chunk");

/// A parsed chunk.
#[derive(Debug)]
pub(super) struct Chunk {
    base: Position,
    /// Where the next chunk begins; nothing if this is the last.
    next: Box<[u8]>,
    /// What all names begin with.
    prefix: Box<[u8]>,
    /// What each name goes on with, as far as a number holds it.
    heads: Box<[u64]>,
    blocks: Box<[BlockAt]>,
    /// What follows the prefix in each name.
    rests: Box<[u8]>,
    postings: Box<[u8]>,
}

impl Chunk {
    /// Parses the bytes of a chunk of a run with this base.
    pub(super) fn parse(bytes: &[u8], base: Position) -> Result<Self, IndexFault> {
        let mut blocks = Blocks::new(bytes)?;
        let next = Box::from(blocks.next_place().unwrap_or_default());
        let prefix = common_prefix(bytes)?;
        let mut builder = Builder::new(base, prefix.len());
        while let Some(block) = blocks.next()? {
            builder.push(block.name, block.first, block.postings)?;
        }
        Ok(Self {
            base,
            next,
            prefix: prefix.into_boxed_slice(),
            heads: builder.heads.into_boxed_slice(),
            blocks: builder.blocks.into_boxed_slice(),
            rests: builder.rests.into_boxed_slice(),
            postings: builder.postings.into_boxed_slice(),
        })
    }

    /// The place at which the next chunk begins, if there is one.
    pub(super) fn next_place(&self) -> Option<&[u8]> {
        Some(&*self.next).filter(|next| !next.is_empty())
    }

    /// Bytes that it takes in memory.
    pub(super) fn memory_len(&self) -> usize {
        size_of::<Self>()
            + self.next.len()
            + self.prefix.len()
            + size_of_val::<[u64]>(&self.heads)
            + size_of_val::<[BlockAt]>(&self.blocks)
            + self.rests.len()
            + self.postings.len()
    }

    /// Where a stream ends by its last block here, if it has one.
    pub(super) fn end_of(&self, name: &[u8]) -> Option<Revision> {
        let at = self.count_to(name, Revision::new(u64::MAX)).checked_sub(1)?;
        let block = self.blocks.get(at)?;
        (self.rest(at) == name.strip_prefix(&*self.prefix)?).then(|| block.end())
    }

    /// The blocks of a stream that may have `first` or a later revision, ascending.
    pub(super) fn blocks_from<'c>(
        &'c self,
        name: &'c [u8],
        first: Revision,
    ) -> impl Iterator<Item = Found<'c>> {
        let count = self.count_to(name, first);
        let rest = name.strip_prefix(&*self.prefix);
        let is_named = move |at: &usize| rest == Some(self.rest(*at));
        // The last one at `first` or before has it, if it is of that stream.
        let start = count.checked_sub(1).filter(is_named).unwrap_or(count);
        let found = (start..self.blocks.len()).take_while(is_named);
        found.filter_map(|at| {
            Some(Found { block: *self.blocks.get(at)?, base: self.base, postings: self.list(at) })
        })
    }

    /// How many blocks stand at this place or before.
    fn count_to(&self, name: &[u8], first: Revision) -> usize {
        let Some(rest) = name.strip_prefix(&*self.prefix) else {
            return if name < &*self.prefix { 0 } else { self.blocks.len() };
        };
        let same = range_of(&self.heads, keys::head(rest));
        let (mut low, mut high) = (same.start, same.end);
        while low < high {
            let middle = low.midpoint(high);
            if self.cmp_at(middle, rest, first) == Ordering::Greater {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    fn cmp_at(&self, at: usize, rest: &[u8], first: Revision) -> Ordering {
        let block_first = self.blocks.get(at).map_or(Revision::START, |block| block.first);
        self.rest(at).cmp(rest).then(block_first.cmp(&first))
    }

    fn before(&self, at: usize) -> Option<&BlockAt> {
        self.blocks.get(at.checked_sub(1)?)
    }

    /// What follows the prefix in the name of a block.
    fn rest(&self, at: usize) -> &[u8] {
        let start = self.before(at).map_or(0, |block| block.rest_end);
        let end = self.blocks.get(at).map_or(start, |block| block.rest_end);
        slice(&self.rests, start..end)
    }

    fn list(&self, at: usize) -> &[u8] {
        let start = self.before(at).map_or(0, |block| block.postings_end);
        let end = self.blocks.get(at).map_or(start, |block| block.postings_end);
        slice(&self.postings, u32::from(start)..u32::from(end))
    }
}

impl BlockAt {
    fn end(&self) -> Revision {
        self.first.plus(u64::from(self.count))
    }
}

/// A block that was found in a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'c> {
    block: BlockAt,
    base: Position,
    postings: &'c [u8],
}

impl Found<'_> {
    /// Its revisions.
    pub(super) fn revisions(&self) -> Range<Revision> {
        self.block.first..self.block.end()
    }

    /// Adds the addresses of those of its revisions that are in `wanted`, which must all be its.
    pub(super) fn take(
        &self,
        wanted: &Range<Revision>,
        addresses: &mut Vec<Address>,
    ) -> Result<(), IndexFault> {
        let at = |revision: Revision| {
            usize::try_from(revision.since(self.block.first)).map_err(|_| MALFORMED)
        };
        let wanted = at(wanted.start)?..at(wanted.end)?;
        addresses.reserve(wanted.len());
        postings::decode_part(self.postings, self.base, wanted, addresses)
    }
}

/// What the names of all blocks begin with.
fn common_prefix(bytes: &[u8]) -> Result<Vec<u8>, IndexFault> {
    let mut blocks = Blocks::new(bytes)?;
    let mut prefix = blocks.next()?.map_or_else(Vec::new, |block| block.name.to_vec());
    while let Some(block) = blocks.next()? {
        prefix.truncate(common_len(&prefix, block.name));
    }
    Ok(prefix)
}

/// How many bytes both begin with.
pub(super) fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Where `heads`, which ascend, are this one.
pub(super) fn range_of(heads: &[u64], head: u64) -> Range<usize> {
    let start = heads.partition_point(|other| *other < head);
    let same = heads.get(start..).unwrap_or_default();
    // Most heads are there once, or not at all.
    let is_long = same.get(1) == Some(&head);
    let count = if is_long {
        same.partition_point(|other| *other == head)
    } else {
        usize::from(same.first() == Some(&head))
    };
    start..start + count
}

fn slice(bytes: &[u8], places: Range<u32>) -> &[u8] {
    let at = |place| usize::try_from(place).unwrap_or(usize::MAX);
    bytes.get(at(places.start)..at(places.end)).unwrap_or_default()
}

/// A chunk that is being parsed.
struct Builder {
    base: Position,
    prefix_len: usize,
    heads: Vec<u64>,
    blocks: Vec<BlockAt>,
    rests: Vec<u8>,
    /// Where the rest of the last name begins.
    rest_start: usize,
    postings: Vec<u8>,
}

impl Builder {
    fn new(base: Position, prefix_len: usize) -> Self {
        Self {
            base,
            prefix_len,
            heads: Vec::new(),
            blocks: Vec::new(),
            rests: Vec::new(),
            rest_start: 0,
            postings: Vec::new(),
        }
    }

    fn push(&mut self, name: &[u8], first: Revision, list: &[u8]) -> Result<(), IndexFault> {
        let rest = name.get(self.prefix_len..).ok_or(MALFORMED)?;
        if let Some(last) = self.blocks.last() {
            let last_rest = self.rests.get(self.rest_start..).unwrap_or_default();
            if (last_rest, last.first) >= (rest, first) {
                return Err(MALFORMED);
            }
        }
        let count = postings::count(list, self.base)?;
        self.rest_start = self.rests.len();
        self.heads.push(keys::head(rest));
        self.rests.extend_from_slice(rest);
        self.postings.extend_from_slice(list);
        self.blocks.push(BlockAt {
            first,
            rest_end: u32::try_from(self.rests.len()).map_err(|_| MALFORMED)?,
            postings_end: u16::try_from(self.postings.len()).map_err(|_| MALFORMED)?,
            count: u16::try_from(count).map_err(|_| MALFORMED)?,
        });
        Ok(())
    }
}
