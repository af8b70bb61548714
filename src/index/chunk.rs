//! Chunks: blocks of many streams in one value of the tree.
//!
//! Owns the bytes of a chunk. Knows nothing of keys, seals, and other chunks.
//!
//! A chunk begins with the place at which the next one begins, nothing for the last of a run, so
//! that a chunk which the tree has lost shows. Then come blocks in the order of their places: how
//! many bytes of its name are those of the block before, the rest of the name, its first
//! revision, and its posting list. Lengths are numbers of variable length.

use super::numbers::{put_len, put_number, take_bytes, take_number};
use super::{IndexFault, postings};
use crate::types::{Address, Position, Revision};

/// A chunk takes no more blocks once it would have more bytes than this. sled reads eight for each
/// that is asked for.
const CHUNK_LEN_MAX: usize = 1 << 10;

const MALFORMED: IndexFault = IndexFault::damaged("a chunk is malformed");

/// A chunk that is being made.
#[derive(Debug, Default)]
pub(super) struct ChunkBuilder {
    blocks: Vec<u8>,
    /// Name of the last block.
    name: String,
    scratch: Vec<u8>,
}

impl ChunkBuilder {
    /// Adds a block, unless the chunk has no room for it. An empty one has.
    pub(super) fn push(
        &mut self,
        name: &str,
        first: Revision,
        addresses: &[Address],
        base: Position,
    ) -> bool {
        self.scratch.clear();
        postings::encode(addresses, base, &mut self.scratch);
        let shared = self.name.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        // Lengths and the revision take a few bytes more, which do no harm.
        let len = self.blocks.len() + name.len() - shared + self.scratch.len();
        if len > CHUNK_LEN_MAX && !self.blocks.is_empty() {
            return false;
        }
        put_len(&mut self.blocks, shared);
        let rest = name.as_bytes().get(shared..).unwrap_or_default();
        put_len(&mut self.blocks, rest.len());
        self.blocks.extend_from_slice(rest);
        put_number(&mut self.blocks, first.get());
        put_len(&mut self.blocks, self.scratch.len());
        self.blocks.extend_from_slice(&self.scratch);
        self.name.clear();
        self.name.push_str(name);
        true
    }

    /// The bytes of the chunk, after which the next one begins at `next`.
    pub(super) fn take(&mut self, next: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + next.len() + self.blocks.len());
        put_len(&mut bytes, next.len());
        bytes.extend_from_slice(next);
        bytes.append(&mut self.blocks);
        self.name.clear();
        bytes
    }
}

/// A block, as it stands in a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'b> {
    pub(super) name: &'b [u8],
    pub(super) first: Revision,
    /// The bytes of its posting list.
    pub(super) postings: &'b [u8],
}

impl Block<'_> {
    pub(super) fn addresses(&self, base: Position) -> Result<Vec<Address>, IndexFault> {
        postings::decode(self.postings, base)
    }

    pub(super) fn name(&self) -> Result<&str, IndexFault> {
        std::str::from_utf8(self.name).map_err(|_| MALFORMED)
    }
}

/// A block as it is written: its name goes on from that of the block before.
struct Written<'b> {
    /// Bytes of its name that are those of the block before.
    shared: usize,
    name_rest: &'b [u8],
    first: Revision,
    postings: &'b [u8],
}

impl<'b> Written<'b> {
    /// Takes a block off the front of `bytes`.
    #[inline]
    fn take(bytes: &mut &'b [u8]) -> Result<Self, IndexFault> {
        Ok(Self {
            shared: usize::try_from(take_number(bytes)?).map_err(|_| MALFORMED)?,
            name_rest: take_bytes(bytes)?,
            first: Revision::new(take_number(bytes)?),
            postings: take_bytes(bytes)?,
        })
    }
}

/// Reads the blocks of a chunk one after the other.
#[derive(Debug)]
pub(super) struct Blocks<B> {
    bytes: B,
    /// Bytes that are left.
    left: usize,
    name: Vec<u8>,
    /// Where the next chunk begins; nothing if this is the last.
    next: Vec<u8>,
}

impl<B: AsRef<[u8]>> Blocks<B> {
    /// The blocks in the bytes of a chunk.
    pub(super) fn new(bytes: B) -> Result<Self, IndexFault> {
        let mut rest = bytes.as_ref();
        let next = take_bytes(&mut rest)?.to_vec();
        let left = rest.len();
        Ok(Self { bytes, left, name: Vec::new(), next })
    }

    /// The place at which the next chunk begins, if there is one.
    pub(super) fn next_place(&self) -> Option<&[u8]> {
        Some(&self.next[..]).filter(|next| !next.is_empty())
    }

    /// The next block, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Block<'_>>, IndexFault> {
        let bytes = self.bytes.as_ref();
        let mut rest = bytes.get(bytes.len() - self.left..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let Written { shared, name_rest, first, postings } = Written::take(&mut rest)?;
        if shared > self.name.len() {
            return Err(MALFORMED);
        }
        self.name.truncate(shared);
        self.name.extend_from_slice(name_rest);
        self.left = rest.len();
        Ok(Some(Block { name: &self.name, first, postings }))
    }
}

/// The place at which the chunk after the one with these bytes begins, if there is one.
pub(super) fn next_place(bytes: &[u8]) -> Result<Option<&[u8]>, IndexFault> {
    let next = take_bytes(&mut &*bytes)?;
    Ok(Some(next).filter(|next| !next.is_empty()))
}

/// How the name of a block stands to one that is looked for, and how many bytes both begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Before(usize),
    Same,
    After,
}

impl Stands {
    /// Of the block after one that stands so and not after: its name has `shared` bytes of that one's
    /// and goes on with `rest`.
    fn then(self, name: &[u8], shared: usize, rest: &[u8]) -> Self {
        let matched = match self {
            // What made the one before stand before the name, this one has as well.
            Self::Before(matched) if shared > matched => return self,
            Self::Before(matched) => matched,
            Self::Same => name.len(),
            Self::After => return self,
        };
        if shared < matched {
            // Blocks ascend, so it has a greater byte where the one before had that of the name.
            return Self::After;
        }
        let wanted = name.get(matched..).unwrap_or_default();
        let common = rest.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        match (rest.get(common), wanted.get(common)) {
            (None, None) => Self::Same,
            (Some(byte), Some(other)) if byte > other => Self::After,
            (Some(_), None) => Self::After,
            _ => Self::Before(matched + common),
        }
    }
}

/// Where the stream `name` ends by its last block in the bytes of a chunk, if it has one.
///
/// For a chunk that is asked once: no name is put together, and no list is read but one. Goes by the
/// order of the blocks, which is the one they were written in if the seal of the value is whole.
pub(super) fn end_in(
    bytes: &[u8],
    name: &[u8],
    base: Position,
) -> Result<Option<Revision>, IndexFault> {
    let mut rest = bytes;
    take_bytes(&mut rest)?;
    let (mut stands, mut last_len, mut found) = (Stands::Before(0), 0, None);
    while !rest.is_empty() {
        let block = Written::take(&mut rest)?;
        if block.shared > last_len {
            return Err(MALFORMED);
        }
        last_len = block.shared + block.name_rest.len();
        stands = stands.then(name, block.shared, block.name_rest);
        match stands {
            Stands::Before(_) => {}
            Stands::Same => found = Some(block),
            Stands::After => break,
        }
    }
    let Some(Written { first, postings, .. }) = found else { return Ok(None) };
    let count = u64::try_from(postings::count(postings, base)?).map_err(|_| MALFORMED)?;
    Ok(Some(first.plus(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u64) -> Address {
        Address { segment: Position::new(70), offset: 64 + 8 * n }
    }

    const BASE: Position = Position::new(70);

    #[test]
    fn blocks_read_back_in_their_order() {
        let blocks = [("a", 0, 1), ("a", 1, 255), ("ab", 7, 3), ("b", 300, 2), ("购物车", 0, 1)];
        let mut chunk = ChunkBuilder::default();
        for (name, first, count) in blocks {
            let addresses: Vec<_> = (0..count).map(address).collect();
            assert!(chunk.push(name, Revision::new(first), &addresses, BASE));
        }
        let bytes = chunk.take(b"next");
        let mut read = Blocks::new(&bytes).unwrap();
        assert_eq!(read.next_place(), Some(&b"next"[..]));
        for (name, first, count) in blocks {
            let block = read.next().unwrap().unwrap();
            assert_eq!((block.name().unwrap(), block.first.get()), (name, first));
            assert!(block.addresses(BASE).unwrap().into_iter().eq((0..count).map(address)));
        }
        assert!(read.next().unwrap().is_none() && read.next().unwrap().is_none());
        assert_eq!(Blocks::new(chunk.take(b"")).unwrap().next_place(), None);
    }

    #[test]
    fn a_full_chunk_takes_no_more_and_an_empty_one_takes_anything() {
        let mut chunk = ChunkBuilder::default();
        let addresses: Vec<_> = (0..30).map(|n| address(n * n * 1_000_000)).collect();
        let name = "x".repeat(255);
        let count = (0..100).take_while(|n| chunk.push(&name, Revision::new(*n), &addresses, BASE));
        assert!((3..20).contains(&count.count()));
        assert!(chunk.take(b"").len() < 2 * CHUNK_LEN_MAX);
        let full: Vec<_> = (0..256).map(|n| address(n * n * 1_000_000)).collect();
        assert!(chunk.push(&name, Revision::START, &full, BASE));
        assert!(!chunk.push(&name, Revision::new(256), &full, BASE));
    }

    #[test]
    fn bytes_that_are_cut_off_or_changed_are_faults_or_blocks_never_a_panic() {
        let mut chunk = ChunkBuilder::default();
        for n in 0..20 {
            chunk.push(&format!("s{n:02}"), Revision::new(n), &[address(n)], BASE);
        }
        let bytes = chunk.take(b"later");
        let read_all = |bytes: &[u8]| {
            let Ok(mut blocks) = Blocks::new(bytes) else { return };
            while let Ok(Some(block)) = blocks.next() {
                let _ = (block.name().is_ok(), block.addresses(BASE).is_ok());
            }
        };
        for len in 0..bytes.len() {
            read_all(&bytes[..len]);
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                read_all(&changed);
            }
        }
    }
}
