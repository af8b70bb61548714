//! What the readers of a store share.

use std::sync::OnceLock;

use crate::segment::Blocks;
use crate::segment::spares::Spares;

/// Blocks of checked records, if there is room for them, and memory to read into.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    blocks: OnceLock<Blocks>,
    spares: Spares,
}

impl Shared {
    /// Lets readers share blocks, in `len_max` bytes of memory.
    pub(crate) fn keep_blocks(&self, len_max: u64) {
        if let Some(blocks) = Blocks::with_room(len_max) {
            let _ = self.blocks.set(blocks);
        }
    }

    pub(super) fn blocks(&self) -> Option<&Blocks> {
        self.blocks.get()
    }

    pub(super) fn spares(&self) -> &Spares {
        &self.spares
    }
}
