//! What happens to the tree, one step at a time: checkpoints, merges, and clearing up after them.
//!
//! Owns the order in which that is written: first a run, then the manifest that names it, and then
//! what is named no more goes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::manifest::Manifest;
use super::marks::{self, MARKS_COUNT_MAX};
use super::merge::{self, Merge};
use super::parsed::common_len;
use super::run::{Batches, Run, RunWriter};
use super::stored::Stored;
use super::tail::{Run as TailRun, Tail};
use super::tree::{Change, Pair};
use super::{IndexFault, keys, values};
use crate::types::{LogEnd, StoreId};

/// Values that are removed in one step.
const REMOVED_COUNT: usize = 64;
/// Streams of a checkpoint for each step of tidying that is owed for it, if merging is behind, and how
/// many steps are owed in any case. To merge a new stream takes a 2,048th of a step, and to remove it
/// where it was, a 1,300th: so that is enough for three levels.
const STREAMS_PER_STEP: u64 = 256;
const STEP_COUNT_MIN: u64 = 16;

/// What the writer of the tree remembers.
#[derive(Debug)]
pub(super) struct Writing {
    store: StoreId,
    /// How far the tree has come.
    end: Option<LogEnd>,
    /// The run that is written next. No run that is in the tree has this number or a greater one.
    next_run: u64,
    merge: Option<Merge>,
    /// Runs that no manifest names any more, or that none has come to name.
    garbage: VecDeque<u64>,
}

impl Writing {
    /// Goes on from what is in the tree, `manifest` first of all. Marks that it does not count are
    /// removed at once, for they would be taken for some that it does; runs are when there is time.
    pub(super) fn new(
        stored: &Stored,
        store: StoreId,
        manifest: Option<&Manifest>,
    ) -> Result<Self, IndexFault> {
        let mut garbage = VecDeque::new();
        let mut next_run = 0_u64;
        while let Some(run) = stored.run_from(next_run)? {
            let named =
                manifest.is_some_and(|manifest| manifest.runs.iter().any(|named| named.id == run));
            if !named {
                garbage.push_back(run);
            }
            next_run = run.checked_add(1).ok_or(IndexFault::damaged("a run out of range"))?;
        }
        let named = manifest.iter().flat_map(|manifest| &manifest.runs);
        let next_run = named.fold(next_run, |next, run| next.max(run.id.saturating_add(1)));
        let end = manifest.map(|manifest| manifest.end);
        if let Some(end) = &end {
            remove_marks_from(end, stored)?;
        }
        Ok(Self { store, end, next_run, merge: None, garbage })
    }

    /// What there is to remember of an empty tree.
    pub(super) fn empty(store: StoreId) -> Self {
        Self { store, end: None, next_run: 0, merge: None, garbage: VecDeque::new() }
    }

    fn take_run(&mut self) -> u64 {
        let run = self.next_run;
        self.next_run = run.saturating_add(1);
        run
    }

    /// Writes `tail` to the tree, as a run and marks, then that the tree has come to its end. Says how
    /// many steps of tidying should come before the next one; nothing if `is_durable` says that the log is
    /// not as far as that, of which no part counts then.
    pub(super) fn write(
        &mut self,
        tail: &Tail,
        stored: &Stored,
        is_durable: impl FnOnce() -> Result<bool, IndexFault>,
    ) -> Result<Option<u64>, IndexFault> {
        let id = self.take_run();
        let stream_count = u64::try_from(tail.stream_count()).unwrap_or(u64::MAX);
        let streams = (stream_count, stored.union().membership(stream_count));
        let mut writer = RunWriter::new((id, 0), tail.base(), streams, stored.hasher());
        let mut addresses = Vec::new();
        for (_, name, run) in by_name(tail) {
            addresses.clear();
            run.add_to(&mut addresses, &(run.first()..run.end()));
            writer.push(name, run.first(), &addresses, stored)?;
        }
        let run = writer.finish(stored, stored.budgets())?;
        // The tree bears witness, so what it names must be durable before it does.
        if !is_durable()? {
            // What was begun must be there, or it would not all be found and removed.
            stored.apply(Vec::new())?;
            self.garbage.push_back(id);
            return Ok(None);
        }
        let mut batches = Batches::default();
        for marks in tail.marks().chunks(MARKS_COUNT_MAX) {
            for pair in mark_pairs(marks) {
                batches.put(pair, stored)?;
            }
        }
        batches.finish(stored)?;
        self.end = tail.end();
        let mut runs = stored.runs().to_vec();
        runs.push(Arc::new(run));
        let is_behind = merge::is_behind(&runs);
        self.install(runs, stored)?;
        // Not before: who is told of them reads them. Until the tail is let go of, it knows them too.
        let lists = tail.marks().chunks(MARKS_COUNT_MAX);
        stored.add_mark_lists(lists.filter_map(|marks| marks.first().copied()));
        let step_count = STEP_COUNT_MIN.saturating_add(stream_count / STREAMS_PER_STEP);
        Ok(Some(if is_behind { step_count } else { 0 }))
    }

    /// Writes the manifest of `runs`, which are the ones that count from then on.
    fn install(&mut self, runs: Vec<Arc<Run>>, stored: &Stored) -> Result<(), IndexFault> {
        let end = self.end.ok_or(IndexFault::damaged("a tail without an end"))?;
        let manifest = Manifest { end, runs: runs.iter().map(|run| run.meta).collect() };
        let value = manifest.encode(keys::MANIFEST, self.store)?;
        stored.apply(vec![Change::Put((keys::MANIFEST.to_vec(), value))])?;
        if self.merge.is_none() && !runs.iter().any(|run| run.is_in_union) {
            stored.union().forget_unused();
        }
        stored.set_runs(runs);
        Ok(())
    }

    /// Does a part of what there is to do besides checkpoints, which takes milliseconds; says
    /// whether there may be more. `changed` is called when runs have been replaced by others.
    pub(super) fn tidy(
        &mut self,
        stored: &Stored,
        changed: impl FnOnce(),
    ) -> Result<bool, IndexFault> {
        // Runs that were merged, and that nobody is reading any more, have given back what they had.
        stored.share();
        if let Some(run) = self.garbage.front() {
            if !remove_part(*run, stored)? {
                self.garbage.pop_front();
            }
            return Ok(true);
        }
        if self.merge.is_none() {
            self.merge = Merge::begin(&stored.runs(), self.next_run, stored)?;
            self.next_run += u64::from(self.merge.is_some());
        }
        let Some(merge) = &mut self.merge else { return Ok(false) };
        if merge.step(stored)?
            && let Some(merge) = self.merge.take()
        {
            let old = merge.old().to_vec();
            let new = Arc::new(merge.finish(stored)?);
            self.install(replaced(&stored.runs(), &old, new), stored)?;
            changed();
            stored.forget_merged(&old);
            self.garbage.extend(old.iter().map(|run| run.meta.id));
        }
        Ok(true)
    }
}

/// What a tail has of its streams, in the order of their names. The names are all over memory, so
/// each has beside it the bytes by which most that begin alike differ.
fn by_name(tail: &Tail) -> Vec<(u64, &str, TailRun<'_>)> {
    let mut names = tail.runs().map(|(name, _)| name.as_bytes());
    let first = names.next().unwrap_or_default();
    let prefix_len =
        names.fold(first.len(), |len, name| common_len(first.get(..len).unwrap_or_default(), name));
    let head = |name: &str| keys::head(name.as_bytes().get(prefix_len..).unwrap_or_default());
    let mut streams: Vec<_> = tail.runs().map(|(name, run)| (head(name), name, run)).collect();
    streams.sort_unstable_by(|(head, name, _), (other_head, other, _)| {
        head.cmp(other_head).then_with(|| name.cmp(other))
    });
    streams
}

/// `runs` with `new` in the place of `old`, which follow each other there.
fn replaced(runs: &[Arc<Run>], old: &[Arc<Run>], new: Arc<Run>) -> Vec<Arc<Run>> {
    let is_old = |run: &Arc<Run>| old.iter().any(|old| Arc::ptr_eq(old, run));
    let before = runs.iter().take_while(|run| !is_old(run)).cloned();
    let after = runs.iter().skip_while(|run| !is_old(run)).filter(|run| !is_old(run)).cloned();
    before.chain([new]).chain(after).collect()
}

/// Removes marks at `end` and after it, which a crash has left. What comes there will have others,
/// and they may be known by their position and not by their time.
fn remove_marks_from(end: &LogEnd, stored: &Stored) -> Result<(), IndexFault> {
    let by_time = keys::times_from(end.recorded_at, end.position);
    for mut keys in [keys::marks_from(end.position), by_time] {
        // Always onwards: it ends even in a tree that does not remove what it should.
        loop {
            let found = stored.scan(&keys, REMOVED_COUNT)?;
            let Some((last, _)) = found.last() else { break };
            keys.start.clone_from(last);
            keys.start.push(0);
            remove(found, stored)?;
        }
    }
    Ok(())
}

fn remove(found: Vec<Pair>, stored: &Stored) -> Result<(), IndexFault> {
    stored.apply(found.into_iter().map(|(key, _)| Change::Remove(key)).collect())
}

/// Removes some of what is left of a run; says whether there was anything. Its chunks go last,
/// for by them it is found again after a crash.
fn remove_part(run: u64, stored: &Stored) -> Result<bool, IndexFault> {
    let mut found = stored.scan(&keys::filters(run), REMOVED_COUNT)?;
    if found.is_empty() {
        let sketch = keys::sketch(run);
        if stored.get(&sketch)?.is_some() {
            stored.apply(vec![Change::Remove(sketch)])?;
        }
        found = stored.scan(&keys::chunks(run), REMOVED_COUNT)?;
    }
    if found.is_empty() {
        return Ok(false);
    }
    remove(found, stored)?;
    Ok(true)
}

/// The pairs that hold `marks`: by position, and by time.
fn mark_pairs(marks: &[super::Mark]) -> Vec<Pair> {
    let Some(first) = marks.first() else { return Vec::new() };
    let body = marks::encode(marks);
    let keys = [keys::marks(first.position), keys::time(first.recorded_at, first.position)];
    keys.map(|key| {
        let value = values::seal(&key, &body);
        (key, value)
    })
    .to_vec()
}
