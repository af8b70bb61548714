//! Answers over the tail, the frozen tail and the tree.
//!
//! Owns the order in which they are asked. Data moves from the tail to the frozen tail to the
//! tree, and is let go of only where it came from, so who asks in that order misses nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::reader::RunReader;
use super::run::Run;
use super::search::Gathered;
use super::tail::{Run as TailRun, Tail};
use super::{Index, IndexFault, Mark, Seek, keys};
use crate::sync::Ordering;
use crate::types::{Address, NameHash, Revision};

/// Streams and where they end, in byte order.
type Listing = BTreeMap<String, Revision>;

impl Index {
    /// One past the last revision of `stream`; [`Revision::START`] if there is no such stream.
    pub(crate) fn stream_end(&self, stream: &str) -> Result<Revision, IndexFault> {
        self.take_in();
        let hash = self.stored.hasher().hash(stream);
        self.ends_taken_in(&[(hash, stream)]).map(|ends| ends.first().copied().unwrap_or_default())
    }

    /// The same of each of several streams, whose names have these hashes, as far as what was added
    /// is [taken in](Self::taken_end).
    ///
    /// Each place is asked for all of them before the next place is: what is looked at of one is
    /// near, and the processor need not wait for one look-up to begin the next.
    pub(crate) fn ends_taken_in(
        &self,
        streams: &[(NameHash, &str)],
    ) -> Result<Vec<Revision>, IndexFault> {
        self.settled(|| {
            let growing = self.tail.read();
            let end_in = |tail: &Tail, (hash, stream)| Some(tail.run(hash, stream)?.end());
            let mut ends: Vec<_> =
                streams.iter().map(|stream| end_in(&growing.tail, *stream)).collect();
            drop(growing);
            if let Some(frozen) = self.frozen() {
                for (end, stream) in ends.iter_mut().zip(streams) {
                    *end = end.or_else(|| end_in(&frozen, *stream));
                }
            }
            self.stored.add_ends(streams, &mut ends)?;
            Ok(ends.into_iter().map(Option::unwrap_or_default).collect())
        })
    }

    /// Addresses of `revisions`, ascending and without a gap, up to the stream's end.
    pub(crate) fn addresses(
        &self,
        stream: &str,
        revisions: Range<Revision>,
    ) -> Result<Vec<Address>, IndexFault> {
        self.settled(|| {
            let hash = self.stored.hasher().hash(stream);
            let mut gathered = Gathered::new(revisions.clone());
            take_from(self.tail().tail.run(hash, stream), &mut gathered)?;
            if let Some(frozen) = self.frozen() {
                take_from(frozen.run(hash, stream), &mut gathered)?;
            }
            self.stored.gather(hash, stream, &mut gathered)?;
            Ok(gathered.complete())
        })
    }

    /// The last mark at or before a position, or earlier than a time, if there is one.
    ///
    /// Without one a scan begins at the start of the log.
    pub(crate) fn mark_before(&self, seek: Seek) -> Result<Option<Mark>, IndexFault> {
        self.settled(|| {
            let in_tail = self.tail().tail.mark_before(seek);
            let in_memory =
                in_tail.or_else(|| self.frozen().and_then(|tail| tail.mark_before(seek)));
            in_memory.map_or_else(|| self.stored.mark_before(seek), |mark| Ok(Some(mark)))
        })
    }

    /// The streams that begin with `prefix` and stand after `after`, with their ends, in byte
    /// order, at most `count_max`.
    pub(crate) fn streams(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<(String, Revision)>, IndexFault> {
        self.settled(|| {
            // The newest first: whoever has a stream first knows where it ends.
            let mut names = Listing::new();
            let mut add = |tail: &Tail| {
                for (name, end) in tail.names(prefix, after, count_max) {
                    names.entry(name.to_owned()).or_insert(end);
                }
            };
            add(&self.tail().tail);
            self.frozen().as_deref().map(add);
            for run in self.stored.runs().iter().rev() {
                self.add_names(run, (prefix, after), count_max, &mut names)?;
            }
            Ok(names.into_iter().take(count_max).collect())
        })
    }

    /// Adds the first `count_max` streams of `run` that are wanted, unless they are there.
    fn add_names(
        &self,
        run: &Arc<Run>,
        (prefix, after): (&str, Option<&str>),
        count_max: usize,
        names: &mut Listing,
    ) -> Result<(), IndexFault> {
        let start = after.map_or(prefix, |after| after.max(prefix));
        let place = keys::place(start, Revision::START);
        let mut reader = RunReader::new(Arc::clone(run), &place, &self.stored)?;
        let mut found: Option<(String, Revision)> = None;
        let mut count = 0;
        while count < count_max && reader.advance(&self.stored)? {
            if reader.name.as_str() < start || after == Some(&reader.name) {
                continue;
            }
            if !reader.name.starts_with(prefix) {
                break;
            }
            match &mut found {
                Some((name, end)) if *name == reader.name => *end = reader.end(),
                found => {
                    // Only now is it known that the one before has no more blocks.
                    if let Some((name, end)) = found.replace((reader.name.clone(), reader.end())) {
                        names.entry(name).or_insert(end);
                        count += 1;
                    }
                }
            }
        }
        if let Some((name, end)) = found.filter(|_| count < count_max) {
            names.entry(name).or_insert(end);
        }
        Ok(())
    }

    /// Runs `read` until its fault, if it gives one, cannot come from reading the tree while runs
    /// were replaced and removed.
    fn settled<T>(&self, read: impl Fn() -> Result<T, IndexFault>) -> Result<T, IndexFault> {
        loop {
            self.check_usable()?;
            let moves = self.moves.load(Ordering::Acquire);
            match read() {
                // Memory is cleared when the index breaks or closes, perhaps just now.
                Ok(answer) => {
                    return self
                        .check_usable()
                        .map(|()| answer)
                        .inspect_err(|_| self.forget_stored());
                }
                Err(IndexFault::Damaged { .. }) if self.moves.load(Ordering::Acquire) != moves => {}
                Err(fault) => {
                    self.mark_broken(fault.clone());
                    return Err(fault);
                }
            }
        }
    }
}

/// Takes what a tail has of a stream.
fn take_from(run: Option<TailRun<'_>>, gathered: &mut Gathered) -> Result<(), IndexFault> {
    let Some(run) = run else { return Ok(()) };
    if !gathered.is_end_known {
        gathered.clip(run.end());
    }
    let start = run.first().max(gathered.missing.start);
    if start >= gathered.missing.end {
        return Ok(());
    }
    gathered.take(|missing, found| {
        run.add_to(found, &(start..missing.end));
        Ok(start)
    })
}
