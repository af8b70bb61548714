//! Reading against the order of the log, some events at a time.

use std::collections::VecDeque;
use std::ops::Range;

use crate::cursor::Source;
use crate::error::Result;
use crate::event::Event;
use crate::index::Seek;
use crate::segment::{Scanner, wide};
use crate::types::{Address, Position};

/// How many events are read first; twice as many each time.
const COUNT_MIN: u64 = 16;
/// The most events that are held.
const COUNT_MAX: u64 = 1_024;
/// The most bytes of payloads and metadata that are held, unless one event has more.
const LEN_MAX: u64 = 4 << 20;

/// Events just before a place, to be given out from the last to the first.
#[derive(Debug)]
pub(super) struct Before {
    /// Ascending, and all of one segment.
    events: VecDeque<Event>,
    /// How many to read next time.
    count: u64,
    /// Places in one segment, some way apart, for reading it without the index.
    milestones: Vec<(Address, Position)>,
}

impl Default for Before {
    fn default() -> Self {
        Self { events: VecDeque::new(), count: COUNT_MIN, milestones: Vec::new() }
    }
}

impl Before {
    /// The last event before `end`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) if that one is damaged, whatever is before it. What
    /// is behind damage is given.
    pub(super) fn pop(&mut self, source: &Source, end: Position) -> Result<Option<Event>> {
        if self.events.is_empty() {
            source.read_or_look(|| {
                // What another process has moved is not where it was.
                self.fill(source, end).inspect_err(|_| self.milestones.clear())
            })?;
        }
        Ok(self.events.pop_back())
    }

    /// Reads the last events before `end`: at least one if there is one.
    fn fill(&mut self, source: &Source, end: Position) -> Result<()> {
        let Some(last) = end.previous() else { return Ok(()) };
        let base = source.segments.holding(last);
        let first = Position::new(end.get().saturating_sub(self.count)).max(base);
        let behind = |error, damaged: Position| source.behind(error, base, &(damaged.next()..end));
        let mut scanner = match source.mark_before(Seek::Position(first)) {
            Some((mark, _)) if mark.address.segment == base => {
                source.locate(first).or_else(|error| behind(error, first))?
            }
            _ => self.scan_to(source, base, first..end)?,
        };
        let limit = source.segments.limit(scanner.file())?;
        self.events.clear();
        let mut held_len = 0;
        while scanner.position() < end {
            match scanner.read(limit) {
                Ok((record, _)) => held_len = self.hold(scanner.event(&record), held_len),
                Err(error) => {
                    scanner = behind(error, scanner.position())?;
                    self.events.clear();
                    held_len = 0;
                }
            }
        }
        // Where events are large, few more are read than are held.
        self.count = (2 * wide(self.events.len()).min(self.count)).clamp(1, COUNT_MAX);
        Ok(())
    }

    /// Holds one more event, beside others that take `held_len` bytes, and lets go of the first ones
    /// if that is too much; returns how many bytes they take then.
    fn hold(&mut self, event: Event, held_len: u64) -> u64 {
        let mut held_len = held_len.saturating_add(len_of(&event));
        self.events.push_back(event);
        while self.events.len() > 1 && (held_len > LEN_MAX || wide(self.events.len()) > COUNT_MAX) {
            held_len = held_len.saturating_sub(self.events.pop_front().as_ref().map_or(0, len_of));
        }
        held_len
    }

    /// Begins to read at the first of `wanted`, which are of the segment that begins at `base`,
    /// without the index: from a milestone, or from the first record, leaving milestones on the way.
    /// If that one is damaged, or what leads to it, begins at a later one.
    fn scan_to(
        &mut self,
        source: &Source,
        base: Position,
        wanted: Range<Position>,
    ) -> Result<Scanner> {
        let milestones = &mut self.milestones;
        if milestones.first().is_none_or(|(address, _)| address.segment != base) {
            milestones.clear();
        }
        let passed = milestones.iter().rev().find(|(_, position)| *position <= wanted.start);
        let mut scanner = match passed {
            Some((address, position)) => source.segments.scan_at(*address, *position)?,
            None => source.segments.scan(base)?,
        };
        let limit = source.segments.limit(scanner.file())?;
        while scanner.position() < wanted.start {
            if let Err(error) = scanner.advance(limit) {
                let damaged = scanner.position();
                scanner = source.behind(error, base, &(damaged.next()..wanted.end))?;
            }
            let here = (Address { segment: base, offset: scanner.offset() }, scanner.position());
            let is_far = milestones.last().is_none_or(|(address, position)| {
                here.1.get() >= position.get().saturating_add(COUNT_MAX)
                    || here.0.offset >= address.offset.saturating_add(LEN_MAX)
            });
            if is_far {
                milestones.push(here);
            }
        }
        Ok(scanner)
    }
}

/// About how much memory an event takes.
fn len_of(event: &Event) -> u64 {
    wide(event.payload().len().saturating_add(event.metadata().len()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cursor::source::tests::without_index;
    use crate::directory::{Directory, SimulatedDirectory};
    use crate::event::NewEvent;

    fn source(count: u64, payload_len: usize) -> Source {
        let directory: Arc<dyn Directory> = Arc::new(SimulatedDirectory::new());
        without_index(&directory, (0..count).map(|_| NewEvent::bytes("t", vec![7; payload_len])))
    }

    /// The most events and bytes that are held while `source` is read backwards.
    fn most_held(source: &Source) -> (usize, u64) {
        let (mut before, mut most) = (Before::default(), (0, 0));
        let mut end = source.segments.visible().position;
        while let Some(event) = before.pop(source, end).unwrap() {
            assert_eq!(Some(event.position()), end.previous());
            end = event.position();
            let held_len = before.events.iter().map(len_of).sum::<u64>() + len_of(&event);
            most = (most.0.max(before.events.len() + 1), most.1.max(held_len));
        }
        assert_eq!(end, Position::START);
        most
    }

    /// A segment of large events was held whole.
    #[test]
    fn what_is_held_has_a_bound_in_number_and_in_bytes() {
        let (count, len) = most_held(&source(60, 512 << 10));
        assert!(count == 8 && len == LEN_MAX, "{count} events, {len} bytes");
        let (count, len) = most_held(&source(3_000, 20));
        assert!(wide(count) == COUNT_MAX && len < LEN_MAX, "{count} events, {len} bytes");
        assert_eq!(most_held(&source(2, 5 << 20)).0, 1);
    }
}
