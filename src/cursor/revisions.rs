//! Finding revisions of one stream: where the index says that they are, or by reading everything.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::cursor::filter::Filter;
use crate::cursor::near::Near;
use crate::cursor::page::Page;
use crate::cursor::{Cursor, Direction, Source};
use crate::error::Result;
use crate::event::{Event, EventView};
use crate::index::{Index, IndexFault};
use crate::types::{Position, Revision, Timestamp};

/// A stream, and in which order its revisions are asked for.
#[derive(Debug)]
pub(super) struct Revisions {
    pub(super) source: Arc<Source>,
    /// Keeps the store open.
    store: Arc<dyn Debug + Send + Sync>,
    pub(super) stream: Arc<str>,
    pub(super) direction: Direction,
}

/// How far they were found: one is found after the other.
#[derive(Debug)]
pub(super) struct Finding {
    /// Addresses of the next revisions.
    page: Page,
    /// The index that has given them.
    index: Option<Arc<Index>>,
    near: Option<Near>,
    /// Reads everything, if the index cannot tell where the stream is.
    scan: Option<Box<Cursor>>,
    /// The event that it has come to.
    kept: Option<Event>,
}

impl Finding {
    pub(super) fn new(direction: Direction) -> Self {
        Self { page: Page::new(direction), index: None, near: None, scan: None, kept: None }
    }

    /// Forgets where the next revisions are: they are not asked for, or others are.
    pub(super) fn clear(&mut self) {
        self.page.clear();
    }

    /// The event that was found last.
    pub(super) fn view(&self) -> Option<EventView<'_>> {
        match &self.kept {
            Some(event) => Some(event.view()),
            None => self.near.as_ref().map(Near::view),
        }
    }

    /// Waits until there may be another revision, if everything is read to find one; `None` if not.
    pub(super) fn wait(&self, timeout: Duration) -> Option<Result<bool>> {
        self.scan.as_ref().map(|scan| scan.wait(timeout))
    }
}

/// What the index has to say of a revision.
#[derive(Clone, Copy)]
enum Answer {
    Found,
    /// It is not visible yet.
    NotYet,
    /// Nothing, or nothing true: everything must be read.
    None,
}

impl Revisions {
    pub(super) fn new(
        source: Arc<Source>,
        store: Arc<dyn Debug + Send + Sync>,
        stream: &str,
    ) -> Self {
        Self { source, store, stream: stream.into(), direction: Direction::Forwards }
    }

    /// Where the stream ends.
    pub(super) fn end(&self) -> Result<Revision> {
        self.source.stream_end(&self.stream)
    }

    /// Whether there is an index to ask.
    pub(super) fn has_index(&self) -> bool {
        !self.source.index().has_failed()
    }

    /// Reads one revision, which must not be after the end; `false` if it is not visible yet.
    #[inline]
    pub(super) fn find(&self, finding: &mut Finding, revision: Revision) -> Result<bool> {
        if finding.scan.is_none() {
            match self.ask(finding, revision)? {
                Answer::Found => return Ok(true),
                Answer::NotYet => return Ok(false),
                Answer::None => {}
            }
        }
        self.scan_to(finding, revision)
    }

    /// Reads on to a revision.
    #[cold]
    fn scan_to(&self, finding: &mut Finding, revision: Revision) -> Result<bool> {
        let scan = finding.scan.get_or_insert_with(|| Box::new(self.scan(self.direction)));
        for event in scan {
            let event = event?;
            if event.revision() == revision {
                finding.kept = Some(event);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads one revision where the index says that it is. All is asked of one index: another may take
    /// its place at any time.
    fn ask(&self, finding: &mut Finding, revision: Revision) -> Result<Answer> {
        let Finding { page, index, near, .. } = finding;
        if page.is_empty() {
            let asked = index.insert(Arc::clone(self.source.index()));
            let wanted = page.wanted(revision);
            let Some(addresses) = self.source.addresses(asked, &self.stream, wanted) else {
                // A closed index has no answer, either.
                return self.source.check_open().map(|()| Answer::None);
            };
            page.fill(addresses);
        }
        if let Some(near) = near {
            near.prepare(page);
        }
        let Some((address, run)) = page.next() else { return Ok(Answer::NotYet) };
        if self.source.record_at(near, (address, run), (&self.stream, revision))? {
            return Ok(Answer::Found);
        }
        if let Some(index) = index {
            index.mark_broken(IndexFault::Damaged { what: "an address without its event" });
        }
        Ok(Answer::None)
    }

    /// Everything, of which this stream is given.
    fn scan(&self, direction: Direction) -> Cursor {
        let all = Cursor::new(Arc::clone(&self.source), Arc::clone(&self.store));
        let all = all.filtered(Filter::default().with_stream(Arc::clone(&self.stream)));
        match direction {
            Direction::Forwards => all,
            Direction::Backwards => all.backwards(),
        }
    }

    /// The first of the revisions below `end` that was recorded at `time` or later.
    pub(super) fn recorded_from(&self, time: Timestamp, end: Revision) -> Result<Revision> {
        self.first_not(end, |event| event.recorded_at() < time)
    }

    /// The first of the revisions below `end` that is at `position` or after it.
    pub(super) fn placed_from(&self, position: Position, end: Revision) -> Result<Revision> {
        self.first_not(end, |event| event.position() < position)
    }

    /// The first of the revisions below `end` that is not before a place, as `is_before` says.
    fn first_not(
        &self,
        end: Revision,
        is_before: impl Fn(EventView<'_>) -> bool,
    ) -> Result<Revision> {
        let (mut low, mut high) = (0, end.get());
        let mut finding = Finding::new(self.direction);
        while low < high {
            let middle = low.midpoint(high);
            finding.page = Page::of_one();
            let is_found = match self.ask(&mut finding, Revision::new(middle))? {
                Answer::Found => true,
                Answer::NotYet => false,
                Answer::None => return self.scan_to_first_not(end, is_before),
            };
            if is_found && finding.view().is_some_and(&is_before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Revision::new(low))
    }

    fn scan_to_first_not(
        &self,
        end: Revision,
        is_before: impl Fn(EventView<'_>) -> bool,
    ) -> Result<Revision> {
        for event in self.scan(Direction::Forwards) {
            let event = event?;
            if event.revision() >= end || !is_before(event.view()) {
                return Ok(event.revision().min(end));
            }
        }
        Ok(end)
    }
}
