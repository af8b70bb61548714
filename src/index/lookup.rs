//! Answers over the tail, the frozen tail and the trees.
//!
//! Owns the order in which they are asked. Data moves from the tail to the frozen tail to the
//! trees, and is let go of only where it came from, so who asks in that order misses nothing.

use std::collections::BTreeSet;
use std::ops::Range;

use super::tail::{Run, Tail};
use super::{Index, IndexFault, Mark, Seek};
use crate::sync::Ordering;
use crate::types::{Address, Revision};

impl Index {
    /// One past the last revision of `stream`; [`Revision::START`] if there is no such stream.
    pub(crate) fn stream_end(&self, stream: &str) -> Result<Revision, IndexFault> {
        self.settled(|freezes| {
            let in_memory = self.end_in_memory(stream);
            in_memory.map_or_else(|| self.end_in_trees(stream, freezes), Ok)
        })
    }

    /// Addresses of `revisions`, ascending and without a gap, up to the stream's end.
    pub(crate) fn addresses(
        &self,
        stream: &str,
        revisions: Range<Revision>,
    ) -> Result<Vec<Address>, IndexFault> {
        self.settled(|freezes| {
            let mut gathered = Gathered::new(revisions.clone());
            gathered.take(self.tail.read().run(stream));
            gathered.take(self.frozen().as_deref().and_then(|tail| tail.run(stream)));
            if !gathered.is_end_known {
                // Not from memory, which may have heard of the stream meanwhile: the trees
                // would be asked for what they do not have yet.
                gathered.clip(self.end_in_trees(stream, freezes)?);
            }
            let oldest = self.stored.addresses(stream, &gathered.missing)?;
            Ok(gathered.complete(oldest))
        })
    }

    /// The last mark at or before a position, or earlier than a time, if there is one.
    ///
    /// Without one a scan begins at the start of the log.
    pub(crate) fn mark_before(&self, seek: Seek) -> Result<Option<Mark>, IndexFault> {
        self.settled(|_| {
            let in_tail = self.tail.read().mark_before(seek);
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
        self.settled(|_| {
            let mut names = BTreeSet::new();
            let mut gather = |tail: &Tail| {
                let found = tail.names(prefix, after, count_max);
                names.extend(found.into_iter().map(|name| name.to_string()));
            };
            gather(&self.tail.read());
            self.frozen().as_deref().map(gather);
            names.append(&mut self.stored.names(prefix, after, count_max)?);
            let with_end = |name: String| {
                // Not by way of the cache: a listing must not push out what is in use.
                let end = self.end_in_memory(&name);
                let end = end.map_or_else(|| self.stored.end(&name), Ok)?;
                Ok((name, end))
            };
            names.into_iter().take(count_max).map(with_end).collect()
        })
    }

    fn end_in_memory(&self, stream: &str) -> Option<Revision> {
        let in_tail = self.tail.read().run(stream).map(Run::end);
        in_tail.or_else(|| self.frozen()?.run(stream).map(Run::end))
    }

    fn end_in_trees(&self, stream: &str, freezes: u64) -> Result<Revision, IndexFault> {
        if let Some(end) = self.cache.get(stream) {
            return Ok(end);
        }
        let end = self.stored.end(stream)?;
        // If nothing was frozen since before memory was asked, nothing of this stream has gone to
        // the trees, and when it will, the cache is told after this.
        self.cache.put_if(stream, end, || self.is_settled(freezes));
        Ok(end)
    }

    /// Whether no tail was frozen since their number was `freezes`.
    fn is_settled(&self, freezes: u64) -> bool {
        self.freezes.load(Ordering::Acquire) == freezes
    }

    /// Runs `read` until its fault, if it gives one, cannot come from reading the trees while
    /// they were written. They are written only with what was frozen before, and what was frozen
    /// when `read` began is asked before them.
    fn settled<T>(&self, read: impl Fn(u64) -> Result<T, IndexFault>) -> Result<T, IndexFault> {
        loop {
            self.check_usable()?;
            let freezes = self.freezes.load(Ordering::Acquire);
            match read(freezes) {
                // Memory is cleared when the index breaks or closes, perhaps just now.
                Ok(answer) => return self.check_usable().map(|()| answer),
                Err(IndexFault::Damaged { .. }) if !self.is_settled(freezes) => {}
                Err(fault) => {
                    self.mark_broken(fault.clone());
                    return Err(fault);
                }
            }
        }
    }
}

/// Addresses of a stream, gathered from the newest to the oldest.
struct Gathered {
    /// What is still to be found: the lower part of what is wanted.
    missing: Range<Revision>,
    is_end_known: bool,
    /// What was found above, newest first.
    parts: Vec<Vec<Address>>,
}

impl Gathered {
    const fn new(wanted: Range<Revision>) -> Self {
        Self { missing: wanted, is_end_known: false, parts: Vec::new() }
    }

    fn clip(&mut self, end: Revision) {
        self.missing.end = self.missing.end.min(end);
        self.is_end_known = true;
    }

    /// Takes the upper part of what is missing, if `run` has it. The first run that there is
    /// knows where the stream ends.
    fn take(&mut self, run: Option<&Run>) {
        let Some(run) = run else { return };
        if !self.is_end_known {
            self.clip(run.end());
        }
        let start = run.first().max(self.missing.start);
        if start < self.missing.end && self.missing.end <= run.end() {
            self.parts.push(run.slice(&(start..self.missing.end)).to_vec());
            self.missing.end = start;
        }
    }

    /// All that is wanted, once `oldest` was found too.
    fn complete(self, oldest: Vec<Address>) -> Vec<Address> {
        self.parts.into_iter().rev().fold(oldest, |mut all, part| {
            all.extend(part);
            all
        })
    }
}
