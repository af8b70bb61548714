//! A window on a segment: the block of its bytes that was read last.

use std::sync::Arc;

use crate::error::Result;
use crate::event::{Block, Event};
use crate::format::{Claim, Fault, RECORD_HEADER_LEN, RECORD_LEN_MIN, Record, RecordFault};
use crate::segment::SegmentFile;
use crate::segment::file::wide;

/// Reads records out of blocks of bytes, and another block only when it must.
#[derive(Debug)]
pub(crate) struct Window {
    file: Arc<SegmentFile>,
    /// What the checksums of the file's records begin with.
    seed: u32,
    block: Block,
    /// Where the block begins in the file.
    block_start: u64,
    /// Bytes to read at once.
    block_len: usize,
}

impl Window {
    pub(crate) fn new(file: Arc<SegmentFile>, block_len: usize) -> Self {
        let seed = file.key().seed;
        Self { file, seed, block: Block::default(), block_start: 0, block_len }
    }

    pub(crate) fn file(&self) -> &Arc<SegmentFile> {
        &self.file
    }

    /// Reads the record at `offset`, all of which must lie before `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) if there is no whole record.
    pub(crate) fn record_at(&mut self, offset: u64, limit: u64) -> Result<Record> {
        let mut needed = RECORD_LEN_MIN;
        // A first read may show that the record is longer than what was read.
        for _ in 0..3 {
            let start = self.cover(offset, needed, limit)?;
            match Record::decode(&self.block, start, self.seed) {
                Ok(record) => return Ok(record),
                Err(RecordFault::Bad(fault)) => return Err(self.file.corrupt(offset, fault)),
                Err(RecordFault::Short { len }) => needed = len.max(RECORD_HEADER_LEN),
            }
        }
        Err(self.file.corrupt(offset, Fault("a record that stays as it is")))
    }

    /// What may be a record at `offset`, going by its header alone; `None` if that cannot be the
    /// header of a record that ends before `limit`.
    pub(crate) fn claim_at(&mut self, offset: u64, limit: u64) -> Result<Option<Claim>> {
        if limit.saturating_sub(offset) < wide(RECORD_LEN_MIN) {
            return Ok(None);
        }
        let start = self.cover(offset, RECORD_LEN_MIN, limit)?;
        let claim = Record::claim(&self.block, start);
        Ok(claim.filter(|claim| claim.len <= limit - offset))
    }

    /// The event of a record that was just read.
    pub(crate) fn event(&self, record: &Record) -> Event {
        Event::new(record.parts, Arc::clone(&self.block))
    }

    /// The stream of a record that was just read.
    pub(crate) fn stream(&self, record: &Record) -> &str {
        record.stream(&self.block)
    }

    /// Makes the block hold the `needed` bytes from `offset` on, which must lie before `limit`,
    /// and returns where in the block they begin.
    fn cover(&mut self, offset: u64, needed: usize, limit: u64) -> Result<usize> {
        let left = limit.saturating_sub(offset);
        if wide(needed) > left {
            return Err(self.file.corrupt(offset, Fault("a whole record")));
        }
        if let Some(start) = self.offset_in_block(offset, needed) {
            return Ok(start);
        }
        let len = self.block_len.max(needed);
        self.fill(offset, usize::try_from(left).map_or(len, |left| len.min(left)))?;
        if self.block.len() < needed {
            return Err(self.file.corrupt(offset, Fault("a whole record")));
        }
        Ok(0)
    }

    fn offset_in_block(&self, offset: u64, needed: usize) -> Option<usize> {
        let start = usize::try_from(offset.checked_sub(self.block_start)?).ok()?;
        (start.checked_add(needed)? <= self.block.len()).then_some(start)
    }

    /// Reads `len` bytes from `offset` on, into the old block if no event holds on to it.
    fn fill(&mut self, offset: u64, len: usize) -> Result<()> {
        if Arc::get_mut(&mut self.block).is_none() {
            self.block = Block::default();
        }
        self.block_start = offset;
        let Some(buffer) = Arc::get_mut(&mut self.block) else { return Ok(()) };
        buffer.resize(len, 0);
        let read = self.file.read_at(buffer, offset);
        buffer.truncate(*read.as_ref().unwrap_or(&0));
        read.map(|_| ())
    }
}
