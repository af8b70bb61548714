//! Merging: several runs that follow each other become one.
//!
//! Owns which runs are merged, and goes on in steps, so that a checkpoint never waits for more
//! than one of them. Until the manifest names the new run, the old ones are the ones that count.

use std::sync::Arc;

use super::IndexFault;
use super::postings::BLOCK_COUNT;
use super::reader::RunReader;
use super::run::{Run, RunMeta, RunWriter};
use super::sketch::Sketch;
use super::stored::Stored;
use super::union::Membership;
use crate::types::{Address, Revision};

/// Runs of one level that are merged into one of the next.
pub(super) const MERGED_COUNT: usize = 8;
/// Runs of one level that are too many: merging has fallen behind. A load may leave some to be merged
/// when there is time, for that costs who looks for an old stream less than it saves.
const CROWD_COUNT: usize = 8 * MERGED_COUNT;
/// Runs are not merged if together they have more streams: their filter is in memory meanwhile.
const STREAM_COUNT_MAX: u64 = 16 << 20;
/// Blocks that are read in one step.
const STEP_COUNT: usize = 2_048;

/// Which of `runs`, the oldest first, are to be merged next, if any are.
fn due(runs: &[Arc<Run>]) -> Option<&[Arc<Run>]> {
    runs.chunk_by(|a, b| a.meta.level == b.meta.level)
        .rev()
        .find_map(|level| level.get(..MERGED_COUNT))
}

/// Whether merging has fallen far behind what checkpoints add to `runs`.
pub(super) fn is_behind(runs: &[Arc<Run>]) -> bool {
    let mut levels = runs.chunk_by(|a, b| a.meta.level == b.meta.level);
    levels.any(|level| level.len() >= CROWD_COUNT)
}

/// A merge that is under way.
#[derive(Debug)]
pub(super) struct Merge {
    /// The runs, the oldest first.
    old: Vec<Arc<Run>>,
    /// Those that are not read to their end.
    readers: Vec<RunReader>,
    writer: RunWriter,
    /// Revisions of one stream that are not written yet.
    name: String,
    first: Revision,
    addresses: Vec<Address>,
}

impl Merge {
    /// Begins to merge what is due, into run `id`.
    pub(super) fn begin(
        runs: &[Arc<Run>],
        id: u64,
        stored: &Stored,
    ) -> Result<Option<Self>, IndexFault> {
        let Some(old) = due(runs) else { return Ok(None) };
        let mut sketch = Sketch::new();
        for run in old {
            sketch.join(&stored.sketch(run)?);
        }
        let stream_count = sketch.count();
        let Some(RunMeta { level, base, .. }) = old.first().map(|run| run.meta) else {
            return Ok(None);
        };
        if stream_count > STREAM_COUNT_MAX {
            return Ok(None);
        }
        let mut readers = Vec::with_capacity(old.len());
        for run in old {
            let mut reader = RunReader::new(Arc::clone(run), &[], stored)?;
            if reader.advance(stored)? {
                readers.push(reader);
            }
        }
        let to = (id, level.saturating_add(1));
        let membership = if old.iter().all(|run| run.is_in_union) {
            Membership::Member
        } else {
            stored.union().membership(stream_count)
        };
        Ok(Some(Self {
            old: old.to_vec(),
            readers,
            writer: RunWriter::new(to, base, (stream_count, membership), stored.hasher()),
            name: String::new(),
            first: Revision::START,
            addresses: Vec::new(),
        }))
    }

    /// The runs that are merged.
    pub(super) fn old(&self) -> &[Arc<Run>] {
        &self.old
    }

    /// Goes a step further, and says whether all is read.
    pub(super) fn step(&mut self, stored: &Stored) -> Result<bool, IndexFault> {
        for _ in 0..STEP_COUNT {
            if self.readers.is_empty() {
                return Ok(true);
            }
            self.take_block(stored)?;
        }
        Ok(false)
    }

    /// The new run, once all is read.
    pub(super) fn finish(mut self, stored: &Stored) -> Result<Run, IndexFault> {
        self.write(BLOCK_COUNT, stored)?;
        self.writer.finish(stored, stored.budgets())
    }

    /// Takes the block that is first by name, and of the oldest run among those.
    fn take_block(&mut self, stored: &Stored) -> Result<(), IndexFault> {
        let mut at = 0;
        for (n, reader) in self.readers.iter().enumerate() {
            if self.readers.get(at).is_some_and(|first| reader.name < first.name) {
                at = n;
            }
        }
        let Some(reader) = self.readers.get_mut(at) else { return Ok(()) };
        let end = self.first.plus(u64::try_from(self.addresses.len()).unwrap_or(u64::MAX));
        if reader.name != self.name {
            self.write(BLOCK_COUNT, stored)?;
        } else if reader.first != end {
            return Err(IndexFault::damaged("runs that do not follow from each other"));
        }
        let Some(reader) = self.readers.get_mut(at) else { return Ok(()) };
        if reader.name != self.name {
            reader.name.clone_into(&mut self.name);
            self.first = reader.first;
        }
        self.addresses.append(&mut reader.addresses);
        self.write(0, stored)?;
        let Some(reader) = self.readers.get_mut(at) else { return Ok(()) };
        if !reader.advance(stored)? {
            self.readers.remove(at);
        }
        Ok(())
    }

    /// Writes full blocks, and what is left after them if it is not more than `rest_max`.
    fn write(&mut self, rest_max: usize, stored: &Stored) -> Result<(), IndexFault> {
        let full = self.addresses.len() - self.addresses.len() % BLOCK_COUNT;
        let count =
            if self.addresses.len() - full <= rest_max { self.addresses.len() } else { full };
        if count == 0 {
            return Ok(());
        }
        let rest = self.addresses.split_off(count);
        self.writer.push(&self.name, self.first, &self.addresses, stored)?;
        self.first = self.first.plus(u64::try_from(count).unwrap_or(u64::MAX));
        self.addresses = rest;
        Ok(())
    }
}
