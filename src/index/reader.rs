//! Reading a run from some place on, block by block.

use std::collections::VecDeque;
use std::sync::Arc;

use super::chunk::Blocks;
use super::run::Run;
use super::stored::{HOLE, Stored};
use super::tree::Pair;
use super::{IndexFault, keys, values};
use crate::types::{Address, Revision};

/// The most chunks that are read at once. Who reads on is read for, ever more of them: while the tree is
/// being written, to read costs two turns of the processor.
const LOT_COUNT_MAX: usize = 16;

/// Stands at a block of a run.
#[derive(Debug)]
pub(super) struct RunReader {
    run: Arc<Run>,
    blocks: Blocks<Vec<u8>>,
    /// Chunks that were read and come next.
    ahead: VecDeque<Pair>,
    /// How many are read at once the next time.
    lot_count: usize,
    pub(super) name: String,
    pub(super) first: Revision,
    pub(super) addresses: Vec<Address>,
}

impl RunReader {
    /// A reader that stands before the first block at `place` or after it.
    pub(super) fn new(run: Arc<Run>, place: &[u8], stored: &Stored) -> Result<Self, IndexFault> {
        let blocks = stored.chunk_at(&run, place)?;
        let (name, first, addresses) = (String::new(), Revision::START, Vec::new());
        Ok(Self { run, blocks, ahead: VecDeque::new(), lot_count: 1, name, first, addresses })
    }

    /// Goes to the next block; says whether there is one.
    pub(super) fn advance(&mut self, stored: &Stored) -> Result<bool, IndexFault> {
        loop {
            if let Some(block) = self.blocks.next()? {
                let name = block.name()?;
                if self.name != name {
                    name.clone_into(&mut self.name);
                }
                self.first = block.first;
                self.addresses = block.addresses(self.run.meta.base)?;
                return Ok(true);
            }
            let Some(next) = self.blocks.next_place() else { return Ok(false) };
            let key = keys::chunk(self.run.meta.id, next);
            self.blocks = self.chunk(&key, stored)?;
        }
    }

    /// The chunk with this key, which is the next one.
    fn chunk(&mut self, key: &[u8], stored: &Stored) -> Result<Blocks<Vec<u8>>, IndexFault> {
        if self.ahead.is_empty() {
            let keys = key.to_vec()..keys::chunks(self.run.meta.id).end;
            self.ahead = stored.scan(&keys, self.lot_count)?.into();
            self.lot_count = LOT_COUNT_MAX.min(2 * self.lot_count);
        }
        let (found, value) = self.ahead.pop_front().ok_or(HOLE)?;
        if found != key {
            return Err(HOLE);
        }
        Blocks::new(values::unseal_whole(key, value)?)
    }

    /// The revision after the last one of the block.
    pub(super) fn end(&self) -> Revision {
        self.first.plus(u64::try_from(self.addresses.len()).unwrap_or(u64::MAX))
    }
}
