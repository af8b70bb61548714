//! What a consumer is given, in the order of positions.
//!
//! Owns how it is found: by reading the log, or, as long as a consumer of one stream is far behind and
//! the stream is a small part of the log, by reading that stream.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::cursor::{Cursor, Filter, StreamCursor};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::types::Position;

/// How many events of the log there must be for one of the stream: reading the log gives about so many
/// events while one is looked up.
const SPARSE_FACTOR: u64 = 16;
/// How far behind a consumer must be.
const SPARSE_EVENT_COUNT_MIN: u64 = 16 << 10;

/// Gives events from a place on.
#[derive(Debug)]
pub(super) struct Feed {
    /// Over all events.
    cursor: Cursor,
    filter: Filter,
    catching_up: CatchingUp,
    /// What has ended it, if that was not told yet: what was read before comes first.
    error: Option<Error>,
    failed: bool,
}

/// How it catches up.
#[derive(Debug)]
enum CatchingUp {
    /// That is not decided yet.
    Undecided,
    /// By reading the one stream that it gives. Everything before the position was given or passed.
    ByStream(Box<StreamCursor>, Position),
    /// By reading the log, as when there is nothing to catch up with.
    ByLog,
}

/// Events that were read at once.
pub(super) struct Read {
    pub(super) events: Vec<Event>,
    /// Whether everything was read that there was.
    pub(super) is_all: bool,
}

impl Feed {
    /// Gives what `filter` takes, from where `cursor` stands, which is over all events.
    pub(super) fn new(cursor: Cursor, filter: Filter) -> Self {
        Self { cursor, filter, catching_up: CatchingUp::Undecided, error: None, failed: false }
    }

    /// Goes to another place.
    pub(super) fn put(&mut self, position: Position) {
        self.cursor.put(position);
        self.catching_up = CatchingUp::Undecided;
        self.error = None;
        self.failed = false;
    }

    /// Another one, over the same log, from `position` on, that gives everything.
    pub(super) fn everything_from(&self, position: Position) -> Self {
        Self::new(self.cursor.anew(position), Filter::default())
    }

    /// The same, from another place on.
    pub(super) fn anew(&self, position: Position) -> Self {
        Self::new(self.cursor.anew(position), self.filter.clone())
    }

    /// Everything before it was given, or is not to be.
    pub(super) fn next_position(&self) -> Position {
        match &self.catching_up {
            CatchingUp::ByStream(_, position) => *position,
            CatchingUp::Undecided | CatchingUp::ByLog => self.cursor.next_position(),
        }
    }

    /// Whether an error has ended it.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The next event that is there.
    pub(super) fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let Read { mut events, is_all } = self.read(1, usize::MAX)?;
            if is_all || !events.is_empty() {
                return Ok(events.pop());
            }
        }
    }

    /// Reads up to `count_max` events to be given, of up to `looked_at_max` in the log. An error comes
    /// after all that was read before it.
    pub(super) fn read(&mut self, count_max: usize, looked_at_max: usize) -> Result<Read> {
        let mut events = Vec::new();
        if self.failed {
            return Ok(Read { events, is_all: true });
        }
        let read = match self.error.take() {
            Some(error) => Err(error),
            None => self.read_on(&mut events, count_max, looked_at_max),
        };
        match read {
            Ok(is_all) => Ok(Read { events, is_all }),
            Err(error) if events.is_empty() => {
                self.failed = true;
                Err(error)
            }
            Err(error) => {
                self.error = Some(error);
                Ok(Read { events, is_all: false })
            }
        }
    }

    /// Adds to `events`, and says whether everything was read that there was.
    fn read_on(
        &mut self,
        events: &mut Vec<Event>,
        count_max: usize,
        looked_at_max: usize,
    ) -> Result<bool> {
        if matches!(self.catching_up, CatchingUp::Undecided) {
            self.catching_up = self.decide()?;
        }
        let CatchingUp::ByStream(stream, position) = &mut self.catching_up else {
            return self.read_log(events, count_max, looked_at_max);
        };
        let mut looked_at_count = 0;
        while events.len() < count_max && looked_at_count < looked_at_max {
            // Looked at first: what the stream has before that is found.
            let visible = stream.visible_end()?;
            let Some(event) = stream.next().transpose()? else {
                let caught_up = visible.max(*position);
                self.cursor.put(caught_up);
                self.catching_up = CatchingUp::ByLog;
                break;
            };
            looked_at_count += 1;
            *position = event.position().next();
            if self.filter.takes(&event.view()) {
                events.push(event);
            }
        }
        Ok(false)
    }

    /// Whether to read the stream or the log.
    fn decide(&self) -> Result<CatchingUp> {
        let stream = self.filter.stream().filter(|_| self.cursor.has_index());
        let Some(stream) = stream else { return Ok(CatchingUp::ByLog) };
        let from = self.cursor.next_position();
        let mut stream = self.cursor.over_stream(stream);
        let ahead = stream.visible_end()?.since(from);
        if ahead < SPARSE_EVENT_COUNT_MIN {
            return Ok(CatchingUp::ByLog);
        }
        let count = stream.put_before(from)?;
        let is_sparse = count.saturating_mul(SPARSE_FACTOR) < ahead;
        Ok(if is_sparse { CatchingUp::ByStream(Box::new(stream), from) } else { CatchingUp::ByLog })
    }

    fn read_log(
        &mut self,
        events: &mut Vec<Event>,
        count_max: usize,
        looked_at_max: usize,
    ) -> Result<bool> {
        let mut looked_at_count = 0;
        let mut is_all = true;
        self.cursor.visit(|event| {
            looked_at_count += 1;
            if self.filter.takes(&event) {
                events.push(event.to_event());
            }
            if events.len() < count_max && looked_at_count < looked_at_max {
                return ControlFlow::Continue(());
            }
            is_all = false;
            ControlFlow::Break(())
        })?;
        Ok(is_all)
    }

    /// Waits until there may be an event, for `timeout` at most; says whether there may.
    pub(super) fn wait(&self, timeout: Duration) -> Result<bool> {
        match self.catching_up {
            CatchingUp::ByStream(..) => Ok(true),
            CatchingUp::Undecided | CatchingUp::ByLog => self.cursor.wait(timeout),
        }
    }
}
