//! A chunk that was read: blocks that are found by name and revision.
//!
//! Owns how it is laid out in memory. It could not be there if the bytes of the chunk were bad:
//! its blocks are in their order, and their posting lists are whole.

use std::cmp::Ordering;
use std::ops::Range;

use super::chunk::Blocks;
use super::{IndexFault, keys, postings};
use crate::types::{Address, Position, Revision};

/// Bytes of a name that its head holds.
const HEAD_LEN: usize = size_of::<u64>();

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
        let rest = Rest::new(name.strip_prefix(&*self.prefix)?);
        let at = self.count_to(&rest, Revision::new(u64::MAX)).checked_sub(1)?;
        self.is_of(at, &rest).then(|| self.blocks.get(at).map(BlockAt::end))?
    }

    /// The blocks of a stream that may have `first` or a later revision, ascending.
    pub(super) fn blocks_from<'c>(
        &'c self,
        name: &'c [u8],
        first: Revision,
    ) -> impl Iterator<Item = Found<'c>> {
        let rest = name.strip_prefix(&*self.prefix).map(Rest::new);
        rest.into_iter().flat_map(move |rest| {
            let count = self.count_to(&rest, first);
            // The last one at `first` or before has it, if it is of that stream.
            let start = count.checked_sub(1).filter(|at| self.is_of(*at, &rest)).unwrap_or(count);
            let found = (start..self.blocks.len()).take_while(move |at| self.is_of(*at, &rest));
            found.filter_map(|at| {
                let block = *self.blocks.get(at)?;
                Some(Found { block, base: self.base, postings: self.list(at) })
            })
        })
    }

    /// How many blocks stand at this place or before, by what follows the prefix in its name.
    fn count_to(&self, rest: &Rest<'_>, first: Revision) -> usize {
        let Range { start: mut low, end: mut high } = range_of(&self.heads, rest.head);
        while low < high {
            let middle = low.midpoint(high);
            if self.cmp_same_head(middle, rest.bytes, first) == Ordering::Greater {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// How a block stands to a place with the same head.
    fn cmp_same_head(&self, at: usize, rest: &[u8], first: Revision) -> Ordering {
        let places = self.rest_places(at);
        let by_name = if places.len() <= HEAD_LEN && rest.len() <= HEAD_LEN {
            // The head is all of both, so one begins with the other.
            places.len().cmp(&rest.len())
        } else {
            self.rests.get(places).unwrap_or_default().cmp(rest)
        };
        by_name.then_with(|| self.blocks.get(at).map(|block| block.first).cmp(&Some(first)))
    }

    /// Whether a block is of the stream with this rest.
    fn is_of(&self, at: usize, rest: &Rest<'_>) -> bool {
        let places = self.rest_places(at);
        self.heads.get(at) == Some(&rest.head)
            && places.len() == rest.bytes.len()
            && (places.len() <= HEAD_LEN || self.rests.get(places) == Some(rest.bytes))
    }

    fn before(&self, at: usize) -> Option<&BlockAt> {
        self.blocks.get(at.checked_sub(1)?)
    }

    /// Where in `rests` the rest of the name of a block is.
    fn rest_places(&self, at: usize) -> Range<usize> {
        let start = self.before(at).map_or(0, |block| block.rest_end);
        let end = self.blocks.get(at).map_or(start, |block| block.rest_end);
        wide(start)..wide(end)
    }

    fn list(&self, at: usize) -> &[u8] {
        let start = self.before(at).map_or(0, |block| block.postings_end);
        let end = self.blocks.get(at).map_or(start, |block| block.postings_end);
        self.postings.get(usize::from(start)..usize::from(end)).unwrap_or_default()
    }
}

/// What follows the prefix in a name that is looked for.
#[derive(Clone, Copy, Debug)]
struct Rest<'n> {
    bytes: &'n [u8],
    head: u64,
}

impl<'n> Rest<'n> {
    fn new(bytes: &'n [u8]) -> Self {
        Self { bytes, head: keys::head(bytes) }
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

fn wide(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::chunk::{ChunkBuilder, end_in};
    use super::*;

    const BASE: Position = Position::new(70);

    /// Blocks by place, with how many addresses each has.
    type Blocks = BTreeMap<(String, u64), u64>;

    fn addresses(first: u64, count: u64) -> Vec<Address> {
        let at = |n| Address { segment: Position::new(70 + n / 100), offset: 64 + 8 * n };
        (first..first + count).map(at).collect()
    }

    /// The bytes of a chunk of as many of `blocks` as it takes, which are the ones that are left.
    fn bytes_of(blocks: &mut Blocks, next: &[u8]) -> Vec<u8> {
        let mut builder = ChunkBuilder::default();
        let mut is_full = false;
        blocks.retain(|(name, first), count| {
            let list = addresses(*first, *count);
            is_full |= !builder.push(name, Revision::new(*first), &list, BASE);
            !is_full
        });
        builder.take(next)
    }

    fn check(blocks: &Blocks, (bytes, chunk): (&[u8], &Chunk), name: &str, first: u64) {
        let of_name = || blocks.iter().filter(|((other, _), _)| other == name);
        let end = of_name().next_back().map(|((_, first), count)| Revision::new(first + count));
        assert_eq!(chunk.end_of(name.as_bytes()), end, "{name}");
        assert_eq!(end_in(bytes, name.as_bytes(), BASE).unwrap(), end, "{name}");
        let skipped = of_name().filter(|((_, other), _)| *other <= first).count().saturating_sub(1);
        let mut found = chunk.blocks_from(name.as_bytes(), Revision::new(first));
        for ((_, first), count) in of_name().skip(skipped) {
            let block = found.next().unwrap();
            let revisions = block.revisions();
            assert_eq!(revisions, Revision::new(*first)..Revision::new(first + count));
            let mut taken = Vec::new();
            block.take(&revisions, &mut taken).unwrap();
            assert_eq!(taken, addresses(*first, *count));
        }
        assert!(found.next().is_none());
    }

    proptest! {
        #[test]
        fn a_chunk_finds_what_is_in_it_and_nothing_else(
            names in prop::collection::btree_set("(x{0,9}|stream-)[ab]{0,10}[a购]", 1..40),
            others in prop::collection::vec("(x{0,9}|stream-)[ab]{0,10}", 8),
            counts in prop::collection::vec(1..5_u64, 40),
            next in "[a-z]{0,4}",
        ) {
            let mut blocks = Blocks::new();
            for (name, count) in names.into_iter().zip(counts) {
                // Those with an even count have two blocks, with some revisions between them.
                let _ = count % 2 == 0 && blocks.insert((name.clone(), 100), count).is_none();
                blocks.insert((name, count), count);
            }
            let bytes = bytes_of(&mut blocks, next.as_bytes());
            let chunk = Chunk::parse(&bytes, BASE).unwrap();
            prop_assert_eq!(chunk.next_place().unwrap_or_default(), next.as_bytes());
            for name in blocks.keys().map(|(name, _)| name).chain(&others) {
                for first in [0, 1, 3, 99, 100, 101, u64::MAX] {
                    check(&blocks, (&bytes, &chunk), name, first);
                }
            }
        }

        #[test]
        fn bytes_that_are_no_chunk_are_a_fault_or_a_chunk_in_its_order(
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
            len in any::<prop::sample::Index>(),
        ) {
            let all = (0..60).map(|n| ((format!("stream-{n:02}"), n), 1 + n % 3));
            let mut bytes = bytes_of(&mut all.collect(), b"next");
            let at = at.index(bytes.len());
            bytes[at] = value;
            for bytes in [&bytes[..], &bytes[..len.index(bytes.len())]] {
                for n in 0..60 {
                    let _ = end_in(bytes, format!("stream-{n:02}").as_bytes(), BASE);
                }
                let Ok(chunk) = Chunk::parse(bytes, BASE) else { continue };
                for n in 0..60 {
                    let name = format!("stream-{n:02}");
                    let _ = chunk.end_of(name.as_bytes());
                    for found in chunk.blocks_from(name.as_bytes(), Revision::START) {
                        let _ = found.take(&found.revisions(), &mut Vec::new());
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_out_of_order_and_lists_that_are_none_are_faults() {
        let parsed = |places: [(&str, u64); 2]| {
            let mut builder = ChunkBuilder::default();
            for (name, first) in places {
                builder.push(name, Revision::new(first), &addresses(0, 2), BASE);
            }
            Chunk::parse(&builder.take(b""), BASE)
        };
        assert!(parsed([("a", 1), ("a", 2)]).is_ok());
        assert!(parsed([("a", 1), ("b", 1)]).is_ok());
        for places in [[("a", 2), ("a", 1)], [("a", 1), ("a", 1)], [("b", 0), ("a", 1)]] {
            assert!(parsed(places).is_err(), "{places:?}");
        }
        let mut builder = ChunkBuilder::default();
        builder.push("a", Revision::START, &addresses(0, 0), BASE);
        assert!(Chunk::parse(&builder.take(b""), BASE).is_err());
    }
}
