//! Reading a run from some place on, block by block.

use std::sync::Arc;

use super::chunk::Blocks;
use super::run::Run;
use super::stored::Stored;
use super::{IndexFault, keys};
use crate::types::{Address, Revision};

/// Stands at a block of a run.
#[derive(Debug)]
pub(super) struct RunReader {
    run: Arc<Run>,
    blocks: Blocks<Vec<u8>>,
    pub(super) name: String,
    pub(super) first: Revision,
    pub(super) addresses: Vec<Address>,
}

impl RunReader {
    /// A reader that stands before the first block at `place` or after it.
    pub(super) fn new(run: Arc<Run>, place: &[u8], stored: &Stored) -> Result<Self, IndexFault> {
        let blocks = stored.chunk_at(&run, place)?;
        let (name, first, addresses) = (String::new(), Revision::START, Vec::new());
        Ok(Self { run, blocks, name, first, addresses })
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
            self.blocks = stored.chunk(&keys::chunk(self.run.meta.id, next))?;
        }
    }

    /// The revision after the last one of the block.
    pub(super) fn end(&self) -> Revision {
        self.first.plus(u64::try_from(self.addresses.len()).unwrap_or(u64::MAX))
    }
}
