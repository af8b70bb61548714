//! Reading past whatever is damaged.
//!
//! Owns what is given and what is told to be lost, in which order. Where records stand behind damage
//! is found by the segment.

use std::ops::{ControlFlow, Range};

use crate::error::{Error, Result};
use crate::event::{Event, EventView};
use crate::format::SegmentHeader;
use crate::inspect::inspection::Piece;
use crate::inspect::{Inspection, Selection};
use crate::segment::{self, Salvager};
use crate::types::{LogEnd, Position, Timestamp};
use crate::verify::Damage;

/// Records that are read at once to be given out backwards.
const CHUNK_COUNT: u64 = 1_024;
/// Bytes of records after which there are no more of them.
const CHUNK_LEN: u64 = 4 << 20;

/// What [`Inspection::salvage`] comes to.
#[derive(Debug)]
pub enum Salvaged<'a> {
    /// A sound event, lent for as long as it is looked at.
    Event(EventView<'a>),
    /// Something that is damaged or missing, and the events that cannot be read for that reason.
    Lost(Damage),
}

impl Inspection {
    /// Calls `visit` with each event that is wanted and sound, whatever is damaged before it, and with
    /// each damage that is passed on the way, in the order of their positions; or against it, if the
    /// selection is backwards.
    ///
    /// Damage is told of if an event of the selection may be among what is lost: places are known,
    /// names are not. What [`Inspection::damage`] tells may be more.
    ///
    /// Segments are read from their first record on. Events of a batch are given though others of it are
    /// damaged. Backwards, each segment is read twice.
    pub fn salvage(
        &self,
        selection: &Selection,
        mut visit: impl FnMut(Salvaged<'_>) -> ControlFlow<()>,
    ) {
        if selection.limit == Some(0) {
            return;
        }
        let mut salvage = Salvage {
            store: self,
            selection,
            left: selection.limit.unwrap_or(u64::MAX),
            pending: Vec::new(),
            visit: &mut visit,
        };
        let read = if selection.is_backwards { salvage.backwards() } else { salvage.forwards() };
        if read.is_continue() {
            let _ = salvage.tell();
        }
    }
}

/// What stands in a segment, in order.
enum Item {
    Event(Event),
    Lost(Damage),
}

struct Salvage<'a> {
    store: &'a Inspection,
    selection: &'a Selection,
    left: u64,
    /// Damages after the last event that was looked at.
    pending: Vec<Damage>,
    visit: &'a mut dyn FnMut(Salvaged<'_>) -> ControlFlow<()>,
}

impl Salvage<'_> {
    /// When the last event before a segment was recorded, if its header says so.
    fn recorded_before(&self, piece: &Piece) -> Option<Timestamp> {
        Some(self.store.file(piece.base).ok()?.header().ok()?.recorded_before)
    }

    fn forwards(&mut self) -> ControlFlow<()> {
        let pieces = self.store.pieces();
        if let Some(Damage { error, positions }) = self.store.missing_first(&pieces) {
            self.lose(error, positions);
        }
        let mut before = None;
        for (n, piece) in pieces.iter().enumerate() {
            let is_early = piece.stop <= self.selection.from
                || self.selection.since.is_some_and(|since| {
                    let next = pieces.get(n + 1);
                    next.and_then(|next| self.recorded_before(next)).is_some_and(|at| at < since)
                });
            if is_early {
                before = None;
                continue;
            }
            if self.selection.to.is_some_and(|to| piece.base >= to) {
                break;
            }
            before = self.segment_forwards(piece, before)?;
        }
        ControlFlow::Continue(())
    }

    /// Gives what is in a segment, and says where it has ended, if it is sound there.
    fn segment_forwards(
        &mut self,
        piece: &Piece,
        before: Option<LogEnd>,
    ) -> ControlFlow<(), Option<LogEnd>> {
        let (mut salvager, header) = match self.store.salvager(piece) {
            Ok(opened) => opened,
            Err(error) => {
                self.lose(error, piece.base..piece.stop);
                return ControlFlow::Continue(None);
            }
        };
        let header = self.check_header(piece, header);
        self.check_join(before, header);
        loop {
            match salvager.advance() {
                segment::Salvaged::Record => self.give(salvager.view())?,
                segment::Salvaged::Gap(error, positions) => self.lose(error, positions),
                segment::Salvaged::End => break,
            }
        }
        ControlFlow::Continue(salvager.end().filter(|end| end.position == piece.stop))
    }

    fn backwards(&mut self) -> ControlFlow<()> {
        let pieces = self.store.pieces();
        let mut after = None;
        for piece in pieces.iter().rev() {
            let is_late = self.selection.to.is_some_and(|to| piece.base >= to)
                || self
                    .selection
                    .until
                    .is_some_and(|until| self.recorded_before(piece).is_some_and(|at| at >= until));
            if is_late {
                after = None;
                continue;
            }
            if piece.stop <= self.selection.from {
                return ControlFlow::Continue(());
            }
            after = self.segment_backwards(piece, after)?;
        }
        if let Some(Damage { error, positions }) = self.store.missing_first(&pieces) {
            self.lose(error, positions);
        }
        ControlFlow::Continue(())
    }

    /// Gives what is in a segment from its end to its start, and returns its header.
    fn segment_backwards(
        &mut self,
        piece: &Piece,
        after: Option<SegmentHeader>,
    ) -> ControlFlow<(), Option<SegmentHeader>> {
        let (mut salvager, header) = match self.store.salvager(piece) {
            Ok(opened) => opened,
            Err(error) => {
                self.lose(error, piece.base..piece.stop);
                return ControlFlow::Continue(None);
            }
        };
        let mut chunk_end = salvager.end_place();
        let chunks = chunks(&mut salvager);
        self.check_join(salvager.end().filter(|end| end.position == piece.stop), after);
        for chunk_start in chunks.into_iter().rev() {
            let is_wanted = self.selection.to.is_none_or(|to| chunk_start.1 < to);
            if is_wanted {
                salvager.put(chunk_start, chunk_end);
                for item in items(&mut salvager).into_iter().rev() {
                    match item {
                        Item::Event(event) => self.give(event.view())?,
                        Item::Lost(Damage { error, positions }) => self.lose(error, positions),
                    }
                }
            }
            chunk_end = chunk_start;
        }
        ControlFlow::Continue(self.check_header(piece, header))
    }

    /// Puts down what is wrong with a header.
    fn check_header(
        &mut self,
        piece: &Piece,
        header: Result<SegmentHeader>,
    ) -> Option<SegmentHeader> {
        header.map_err(|error| self.lose(error, piece.base..piece.base)).ok()
    }

    /// Puts down that a segment does not follow from where the one before has ended.
    fn check_join(&mut self, end: Option<LogEnd>, header: Option<SegmentHeader>) {
        let (Some(end), Some(header)) = (end, header) else { return };
        if header.chain != end.checksum || header.recorded_before != end.recorded_at {
            let (segment, expected) = (header.base, "a segment that follows from the one before");
            let error = Error::Corrupt { segment, offset: 0, expected };
            self.lose(error, segment..segment);
        }
    }

    /// Puts down what is lost, if that may be something that is wanted.
    fn lose(&mut self, error: Error, positions: Range<Position>) {
        let Selection { from, to, .. } = self.selection;
        let is_before = positions.end <= *from && positions.start < *from;
        if !is_before && to.is_none_or(|to| positions.start < to) {
            self.pending.push(Damage { error, positions });
        }
    }

    /// Tells of what was lost since the last event.
    fn tell(&mut self) -> ControlFlow<()> {
        for damage in self.pending.drain(..) {
            (self.visit)(Salvaged::Lost(damage))?;
        }
        ControlFlow::Continue(())
    }

    /// Gives an event if it is wanted, after what was lost before it.
    fn give(&mut self, event: EventView<'_>) -> ControlFlow<()> {
        let Selection { from, to, since, until, is_backwards, .. } = self.selection;
        let (position, time) = (event.position(), event.recorded_at());
        let is_early = position < *from || since.is_some_and(|since| time < since);
        let is_late =
            to.is_some_and(|to| position >= to) || until.is_some_and(|until| time >= until);
        let (not_yet, no_more) =
            if *is_backwards { (is_late, is_early) } else { (is_early, is_late) };
        if not_yet {
            // What was lost is not wanted, either.
            self.pending.clear();
            return ControlFlow::Continue(());
        }
        self.tell()?;
        if no_more {
            return ControlFlow::Break(());
        }
        if self.selection.takes(&event) {
            self.left -= 1;
            (self.visit)(Salvaged::Event(event))?;
        }
        if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Places in a segment, each with so many records up to the next one that they can be held. The first
/// one is where the records should begin.
fn chunks(salvager: &mut Salvager) -> Vec<segment::Place> {
    let mut places = vec![salvager.place()];
    let (mut count, mut start) = (0, salvager.place().0);
    loop {
        let place = salvager.place();
        let is_large = count > 0 && place.0.saturating_sub(start) >= CHUNK_LEN;
        match salvager.advance() {
            segment::Salvaged::Record if count == CHUNK_COUNT || is_large => {
                places.push(place);
                (count, start) = (1, place.0);
            }
            segment::Salvaged::Record => count += 1,
            segment::Salvaged::Gap(..) => {}
            segment::Salvaged::End => return places,
        }
    }
}

/// What stands before the next one of those places.
fn items(salvager: &mut Salvager) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        match salvager.advance() {
            segment::Salvaged::Record => items.push(Item::Event(salvager.view().to_event())),
            segment::Salvaged::Gap(error, positions) => {
                items.push(Item::Lost(Damage { error, positions }));
            }
            segment::Salvaged::End => return items,
        }
    }
}
