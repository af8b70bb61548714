//! Reading against the order of the log, some events at a time.

use std::collections::VecDeque;

use crate::cursor::Source;
use crate::error::Result;
use crate::event::Event;
use crate::index::Seek;
use crate::segment::{Scanner, wide};
use crate::types::{Address, Position};

/// The most events that are held to be given out backwards.
pub(super) const BACKWARDS_COUNT_MAX: u64 = 1_024;

impl Source {
    /// The last events before `end`, ascending: at least one if there is one, all of one segment,
    /// and about `count` with the index, up to [`BACKWARDS_COUNT_MAX`] without.
    pub(crate) fn events_before(&self, end: Position, count: u64) -> Result<VecDeque<Event>> {
        let mut events = VecDeque::new();
        let Some(last) = end.previous() else { return Ok(events) };
        let base = self.segments.holding(last);
        let wanted = Position::new(end.get().saturating_sub(count)).max(base);
        let mark = self.mark_before(Seek::Position(wanted));
        let mut scanner = match mark.filter(|mark| mark.address.segment == base) {
            Some(_) => self.locate(wanted)?,
            None => self.scan_before(base, end)?,
        };
        let limit = self.segments.limit(scanner.file())?;
        while scanner.position() < end {
            let (record, _) = scanner.read(limit)?;
            events.push_back(scanner.event(&record));
            if wide(events.len()) > BACKWARDS_COUNT_MAX {
                events.pop_front();
            }
        }
        Ok(events)
    }

    /// Begins to read some events before `end`, all in the segment that begins at `base`, without
    /// the index: from a milestone, or from the first record, leaving milestones on the way.
    fn scan_before(&self, base: Position, end: Position) -> Result<Scanner> {
        let wanted = Position::new(end.get().saturating_sub(BACKWARDS_COUNT_MAX)).max(base);
        let mut milestones = self.milestones.lock();
        if milestones.first().is_none_or(|(address, _)| address.segment != base) {
            milestones.clear();
        }
        let passed = milestones.iter().rev().find(|(_, position)| *position <= wanted);
        let mut scanner = match passed {
            Some((address, position)) => self.segments.scan_at(*address, *position)?,
            None => self.segments.scan(base)?,
        };
        let limit = self.segments.limit(scanner.file())?;
        while scanner.position() < wanted {
            let (_, address) = scanner.read(limit)?;
            let place = (Address { offset: scanner.offset(), ..address }, scanner.position());
            let far = milestones.last().map_or(base, |(_, position)| *position);
            if place.1.since(far) >= BACKWARDS_COUNT_MAX {
                milestones.push(place);
            }
        }
        Ok(scanner)
    }
}
