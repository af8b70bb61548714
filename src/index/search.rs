//! Where a stream ends and where its records stand, by the runs.
//!
//! Owns the order in which runs are asked, and which of their chunks. Knows nothing of the tail.

use std::ops::Range;
use std::sync::Arc;

use super::run::Run;
use super::stored::Stored;
use super::{IndexFault, keys};
use crate::types::{Address, Revision};

const GAP: IndexFault = IndexFault::damaged("revisions of a stream are missing");

impl Stored {
    /// Where `stream` ends, by the newest run that has it.
    pub(super) fn end(&self, stream: &str) -> Result<Revision, IndexFault> {
        let hash = self.hasher().hash(stream);
        let place = keys::place(stream, Revision::new(u64::MAX));
        for run in self.runs().iter().rev() {
            if run.may_have(hash, self)?
                && let Some(end) = self.parsed_chunk_at(run, &place)?.end_of(stream.as_bytes())
            {
                return Ok(end);
            }
        }
        Ok(Revision::START)
    }

    /// Adds to `gathered` what the runs have of a stream; all of it must be there.
    pub(super) fn gather(&self, stream: &str, gathered: &mut Gathered) -> Result<(), IndexFault> {
        if gathered.missing.is_empty() {
            return Ok(());
        }
        let hash = self.hasher().hash(stream);
        let place = keys::place(stream, gathered.missing.start);
        for run in self.runs().iter().rev() {
            if gathered.missing.is_empty() {
                return Ok(());
            }
            if run.may_have(hash, self)? {
                gathered.take(|missing, found| self.take(run, (stream, &place), missing, found))?;
            }
        }
        // Of what is past the stream's end nobody has anything.
        if gathered.is_end_known && !gathered.missing.is_empty() { Err(GAP) } else { Ok(()) }
    }

    /// Adds to `found` the addresses of those of `revisions` that `run` has, and gives the first of
    /// these. `place` is that of the first of `revisions`.
    fn take(
        &self,
        run: &Arc<Run>,
        (stream, place): (&str, &[u8]),
        revisions: &Range<Revision>,
        found: &mut Vec<Address>,
    ) -> Result<Revision, IndexFault> {
        let mut first = None;
        let mut next = revisions.start;
        let mut chunk = self.parsed_chunk_at(run, place)?;
        loop {
            for block in chunk.blocks_from(stream.as_bytes(), revisions.start) {
                let has = block.revisions();
                let wanted = has.start.max(revisions.start)..has.end.min(revisions.end);
                if has.start >= revisions.end {
                    break;
                }
                if wanted.is_empty() {
                    continue;
                }
                if first.is_some() && next != wanted.start {
                    return Err(GAP);
                }
                first = first.or(Some(wanted.start));
                next = wanted.end;
                block.take(&wanted, found)?;
            }
            let is_more = |place: &&[u8]| keys::is_before(place, stream, revisions.end);
            let Some(place) = chunk.next_place().filter(is_more) else { break };
            chunk = self.parsed_chunk_at(run, place)?;
        }
        Ok(first.unwrap_or(revisions.end))
    }
}

/// Addresses of a stream, gathered from the newest to the oldest.
#[derive(Debug)]
pub(super) struct Gathered {
    /// What is still to be found: the lower part of what is wanted.
    pub(super) missing: Range<Revision>,
    /// Whether it is known where the stream ends, which what is missing does not go beyond then.
    pub(super) is_end_known: bool,
    /// What was found above, descending.
    found: Vec<Address>,
}

impl Gathered {
    pub(super) const fn new(wanted: Range<Revision>) -> Self {
        Self { missing: wanted, is_end_known: false, found: Vec::new() }
    }

    pub(super) fn clip(&mut self, end: Revision) {
        self.missing.end = self.missing.end.min(end);
        self.is_end_known = true;
    }

    /// Takes what `add` adds, ascending: addresses from the revision on that it gives, which must
    /// be the upper part of what is missing.
    pub(super) fn take(
        &mut self,
        add: impl FnOnce(&Range<Revision>, &mut Vec<Address>) -> Result<Revision, IndexFault>,
    ) -> Result<(), IndexFault> {
        let known_count = self.found.len();
        let first = add(&self.missing, &mut self.found)?;
        let added = self.found.get_mut(known_count..).unwrap_or_default();
        if added.is_empty() {
            return Ok(());
        }
        added.reverse();
        let end = first.plus(u64::try_from(added.len()).unwrap_or(u64::MAX));
        if !self.is_end_known {
            // Nobody newer has any of it, so the stream ends here, or after what is wanted.
            self.clip(end);
        }
        if first < self.missing.start || end != self.missing.end {
            return Err(GAP);
        }
        self.missing.end = first;
        Ok(())
    }

    /// All that was wanted and is there, ascending.
    pub(super) fn complete(mut self) -> Vec<Address> {
        self.found.reverse();
        self.found
    }
}
