//! Where a stream ends and where its records stand, by the runs.
//!
//! Owns the order in which runs are asked, and which of their chunks. Knows nothing of the tail.

use std::ops::Range;
use std::sync::Arc;
use std::{iter, ptr};

use super::cache::Span;
use super::run::Run;
use super::stored::Stored;
use super::{IndexFault, keys};
use crate::types::{Address, NameHash, Revision};

/// As many runs must be asked for some revisions that it is worth to remember which of them had
/// these.
const HINTED_COUNT_MIN: u32 = 3;
/// The most that is remembered of a stream.
const SPAN_COUNT_MAX: usize = 32;

/// Streams that a filter is asked for at once: as many places in memory as a processor fetches at the
/// same time, or somewhat more.
const LOT_COUNT: usize = 32;

const GAP: IndexFault = IndexFault::damaged("revisions of a stream are missing");

impl Stored {
    /// Finds where those of `streams` end whose end is not known yet, each by the newest run that has
    /// it. Streams that are in no run have none.
    pub(super) fn add_ends(
        &self,
        streams: &[(NameHash, &str)],
        ends: &mut [Option<Revision>],
    ) -> Result<(), IndexFault> {
        if ends.iter().all(Option::is_some) {
            return Ok(());
        }
        let runs = self.runs();
        // What the union may have comes first: nothing else is in the runs which are in it. Whoever makes
        // many new streams is so told of most of them.
        let members = self.union().members();
        let may_have = |hash| members.as_ref().is_none_or(|members| members.may_have(hash));
        let unknown = streams.iter().zip(ends).filter(|(_, end)| end.is_none());
        let (mut sought, others): (Vec<_>, Vec<_>) =
            unknown.partition(|((hash, _), _)| may_have(*hash));
        let maybe_count = sought.len();
        sought.extend(others);
        for run in runs.iter().rev() {
            let asked_count = if run.is_in_union { maybe_count } else { sought.len() };
            for lot in sought.get_mut(..asked_count).unwrap_or_default().chunks_mut(LOT_COUNT) {
                for ((hash, _), _) in &*lot {
                    run.touch(*hash);
                }
                for ((hash, stream), end) in lot {
                    if end.is_none() && run.is_worth_asking(*hash, self)? {
                        **end = self.end_in(run, stream)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds to `gathered` what the runs have of a stream; all of it must be there.
    pub(super) fn gather(
        &self,
        hash: NameHash,
        stream: &str,
        gathered: &mut Gathered,
    ) -> Result<(), IndexFault> {
        if gathered.missing.is_empty() {
            return Ok(());
        }
        let place = keys::place(stream, gathered.missing.start);
        let runs = self.runs();
        if let Some(run) = self.hinted(&runs, hash, &gathered.missing)
            && self.take_all(run, (stream, &place), gathered)?
        {
            return Ok(());
        }
        let (mut asked_count, mut last_span) = (0, None);
        for run in runs.iter().rev() {
            if gathered.missing.is_empty() {
                break;
            }
            if run.may_have(hash, self)? {
                asked_count += 1;
                gathered.take(|missing, found| {
                    let taken = self.take(run, (stream, &place), missing, found)?;
                    last_span = Some(Span { revisions: taken.seen, run: Arc::downgrade(run) });
                    Ok(taken.first)
                })?;
            }
        }
        if let Some(span) = last_span.filter(|_| asked_count >= HINTED_COUNT_MIN) {
            self.learn_span(&runs, hash, &span);
        }
        // Of what is past the stream's end nobody has anything.
        if gathered.is_end_known && !gathered.missing.is_empty() { Err(GAP) } else { Ok(()) }
    }

    /// The one of `runs` that is said to have all of `revisions`.
    fn hinted<'r>(
        &self,
        runs: &'r [Arc<Run>],
        hash: NameHash,
        revisions: &Range<Revision>,
    ) -> Option<&'r Arc<Run>> {
        let spans = self.values().spans(hash)?;
        let has_all = |span: &&Span| {
            span.revisions.start <= revisions.start && revisions.end <= span.revisions.end
        };
        let span = spans.iter().find(has_all)?;
        runs.iter().find(|run| is_of(span, run))
    }

    /// Remembers where revisions of a stream were found, after many runs had been asked for them.
    fn learn_span(&self, runs: &[Arc<Run>], hash: NameHash, span: &Span) {
        if span.revisions.is_empty() {
            return;
        }
        let known = self.values().spans(hash);
        let is_kept = |known: &&Span| {
            known.revisions != span.revisions && runs.iter().any(|run| is_of(known, run))
        };
        let kept = known.iter().flat_map(|known| known.iter()).filter(is_kept).cloned();
        let spans = iter::once(span.clone()).chain(kept).take(SPAN_COUNT_MAX).collect();
        self.values().keep_spans(hash, spans);
    }

    /// Takes all that is missing from `run`, if it has all of it; says whether it has.
    fn take_all(
        &self,
        run: &Run,
        wanted: (&str, &[u8]),
        gathered: &mut Gathered,
    ) -> Result<bool, IndexFault> {
        let missing = gathered.missing.clone();
        let mut found = Vec::new();
        self.take(run, wanted, &missing, &mut found)?;
        let has_all = u64::try_from(found.len()).ok() == Some(missing.end.since(missing.start));
        if has_all {
            gathered.take(|_, all| {
                all.append(&mut found);
                Ok(missing.start)
            })?;
        }
        Ok(has_all)
    }

    /// Adds to `found` the addresses of those of `revisions` that `run` has. `place` is that of the
    /// first of `revisions`.
    fn take(
        &self,
        run: &Run,
        (stream, place): (&str, &[u8]),
        revisions: &Range<Revision>,
        found: &mut Vec<Address>,
    ) -> Result<Taken, IndexFault> {
        let mut taken = Taken { first: revisions.end, seen: Revision::START..Revision::START };
        let mut chunk = self.parsed_chunk_at(run, place)?;
        loop {
            for block in chunk.blocks_from(stream.as_bytes(), revisions.start) {
                let has = block.revisions();
                if has.start >= revisions.end {
                    break;
                }
                let wanted = has.start.max(revisions.start)..has.end.min(revisions.end);
                if wanted.is_empty() {
                    continue;
                }
                if taken.seen.is_empty() {
                    taken = Taken { first: wanted.start, seen: has.clone() };
                } else if taken.seen.end != has.start {
                    return Err(GAP);
                }
                taken.seen.end = has.end;
                block.take(&wanted, found)?;
            }
            let is_more = |place: &&[u8]| keys::is_before(place, stream, revisions.end);
            let Some(place) = chunk.next_place().filter(is_more) else { break };
            chunk = self.parsed_chunk_at(run, place)?;
        }
        Ok(taken)
    }
}

/// Whether a span is of `run`, which is one of those there are.
fn is_of(span: &Span, run: &Arc<Run>) -> bool {
    ptr::eq(span.run.as_ptr(), Arc::as_ptr(run))
}

/// What a run had of what was wanted.
#[derive(Debug)]
struct Taken {
    /// The first revision, if it had any.
    first: Revision,
    /// The revisions of the blocks in which they were.
    seen: Range<Revision>,
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
