//! Finding a place in the log: a position, or a time.
//!
//! The index knows a place before it; from there the headers of records lead on, and what is found
//! is checked by itself. Where the index has no answer, or a wrong one, a segment is read.

use std::ops::Range;

use crate::cursor::Source;
use crate::error::{Error, Result};
use crate::format::SegmentHeader;
use crate::index::{Index, IndexFault, Mark, Seek};
use crate::segment::{Scanner, find_record};
use crate::types::{Address, Position, Timestamp};

const WRONG_MARK: IndexFault = IndexFault::Damaged { what: "a mark without its event" };

impl Source {
    /// Begins to read at `position`, which must be visible.
    ///
    /// Damage before it in its segment is passed over if a record stands at `position`: whoever
    /// asks for a place knows what is before it.
    pub(crate) fn locate(&self, position: Position) -> Result<Scanner> {
        let base = self.segments.holding(position);
        if position == base {
            return self.segments.scan(base);
        }
        let mark = self.mark_before(Seek::Position(position));
        let mark = mark.filter(|(mark, _)| mark.address.segment == base);
        if let Some((mark, _)) = &mark {
            let scanner = self.segments.scan_at(mark.address, mark.position)?;
            match self.skip_to(scanner, position) {
                Err(Error::Corrupt { .. }) => {}
                other => return other,
            }
        }
        let mut scanner = match self.advance(self.segments.scan(base)?, position) {
            Err(error @ Error::Corrupt { .. }) => {
                return self.behind(error, base, &(position..position.next()));
            }
            other => other?,
        };
        // Either the mark was wrong or the log is. What is damaged at the position itself is for the
        // reader to find.
        if let Some((_, index)) = mark
            && scanner.peek(self.segments.limit(scanner.file())?).is_ok()
        {
            index.mark_broken(WRONG_MARK);
        }
        Ok(scanner)
    }

    /// Goes on until `position` is next, by the headers of the records before it, and makes sure
    /// that the record there is one.
    fn skip_to(&self, mut scanner: Scanner, position: Position) -> Result<Scanner> {
        let limit = self.segments.limit(scanner.file())?;
        scanner.skip_to_last(limit, |claim| claim.position <= position)?;
        // A header that lies leads to bytes that are no record, or the wrong one.
        while scanner.position() < position {
            scanner.advance(limit)?;
        }
        scanner.peek(limit)?;
        Ok(scanner)
    }

    /// Begins to read at the first of `wanted` that stands behind damage in the segment that begins at
    /// `base`, or fails with `error`, which says where that is, if none does.
    pub(crate) fn behind(
        &self,
        error: Error,
        base: Position,
        wanted: &Range<Position>,
    ) -> Result<Scanner> {
        let Error::Corrupt { segment, offset, .. } = &error else { return Err(error) };
        if *segment != base || wanted.is_empty() {
            return Err(error);
        }
        let file = self.segments.file(base)?;
        let limit = self.segments.limit(&file)?;
        let found = find_record(&file, offset.saturating_add(1), limit, wanted)?;
        let (offset, position) = found.ok_or(error)?;
        self.segments.scan_at(Address { segment: base, offset }, position)
    }

    /// Reads on until `position` is next.
    fn advance(&self, mut scanner: Scanner, position: Position) -> Result<Scanner> {
        let limit = self.segments.limit(scanner.file())?;
        while scanner.position() < position {
            scanner.advance(limit)?;
        }
        Ok(scanner)
    }

    /// The position of the first visible event recorded at `time` or later; the visible end if
    /// there is none.
    pub(crate) fn position_at(&self, time: Timestamp) -> Result<Position> {
        let visible = self.visible()?.position;
        let found = self.read_or_look(|| self.scanner_at(time, visible))?;
        Ok(found.map_or(visible, |scanner| scanner.position()))
    }

    /// Begins to read at the first event before `visible` that was recorded at `time` or later;
    /// `None` if there is none.
    pub(crate) fn scanner_at(&self, time: Timestamp, visible: Position) -> Result<Option<Scanner>> {
        let has_index = self.is_index_usable();
        let mark = match self.mark_before(Seek::Time(time)) {
            // It was added meanwhile. One before it is earlier, too.
            Some((mark, _)) if mark.position >= visible => {
                visible.previous().and_then(|last| self.mark_before(Seek::Position(last)))
            }
            mark => mark,
        };
        let mut scanner = match mark {
            Some((mark, index)) => self.scan_from_mark(&mark, index, time)?,
            // The first event has a mark, so there is none before `time`.
            None if has_index => self.segments.scan(Position::START)?,
            None => self.segments.scan(self.segment_before(time))?,
        };
        while scanner.position() < visible {
            scanner = self.segments.cross(scanner)?;
            let limit = self.segments.limit(scanner.file())?;
            let stop = self.stop(&scanner, visible);
            while scanner.position() < stop {
                if scanner.peek(limit)? >= time {
                    return Ok(Some(scanner));
                }
                scanner.advance(limit)?;
            }
        }
        Ok(None)
    }

    /// Begins to read at a mark of `index` before `time`, or after it, as near as can be told by the headers
    /// of the records there. If the record at the mark is not the one it speaks of, begins where the
    /// segments tell.
    fn scan_from_mark(&self, mark: &Mark, index: &Index, time: Timestamp) -> Result<Scanner> {
        match self.read_mark(mark) {
            Ok((scanner, at)) if at == mark.recorded_at && at < time => {
                return self.skip_before(scanner, mark, time);
            }
            Err(error @ Error::Corrupt { .. }) if self.is_record_there(mark.address)? => {
                return Err(error);
            }
            Ok(_) | Err(Error::Corrupt { .. }) => {}
            Err(error) if error.is_missing_file() => {
                if self.segments.reach(mark.address.segment).is_err() {
                    // The mark is right, and the log lacks what it speaks of.
                    return self.segments.scan(self.segment_before(time));
                }
            }
            Err(error) => return Err(error),
        }
        index.mark_broken(WRONG_MARK);
        self.segments.scan(self.segment_before(time))
    }

    /// Goes on to a record that was recorded before `time`, by the headers of those before it: that
    /// is where it should be if its own checksum says so. If not, whoever reads on from the mark
    /// learns why.
    fn skip_before(&self, scanner: Scanner, mark: &Mark, time: Timestamp) -> Result<Scanner> {
        let mut ahead = scanner;
        let limit = self.segments.limit(ahead.file())?;
        let visible = self.segments.visible().position;
        let stop = self.stop(&ahead, visible);
        if ahead.position() >= stop {
            return Ok(ahead);
        }
        ahead.skip_to_last(limit, |claim| claim.recorded_at < time && claim.position < stop)?;
        match ahead.peek(limit) {
            Err(Error::Corrupt { .. }) => self.segments.scan_at(mark.address, mark.position),
            // Records of one segment ascend in time, so all before it are earlier, too.
            _ => Ok(ahead),
        }
    }

    /// Reads the record that a mark speaks of, and when it was recorded.
    fn read_mark(&self, mark: &Mark) -> Result<(Scanner, Timestamp)> {
        let mut scanner = self.segments.scan_at(mark.address, mark.position)?;
        let limit = self.segments.limit(scanner.file())?;
        let recorded_at = scanner.advance(limit)?;
        Ok((scanner, recorded_at))
    }

    /// Where a reader of a segment must look up again what follows: the end of the segment, or
    /// of what is visible.
    pub(crate) fn stop(&self, scanner: &Scanner, visible: Position) -> Position {
        self.segments.after(scanner.segment()).map_or(visible, |next| next.min(visible))
    }

    /// The last segment that begins after events recorded before `time`, as far as headers can be read,
    /// or the first segment.
    fn segment_before(&self, time: Timestamp) -> Position {
        let bases = self.segments.bases();
        let (mut low, mut high) = (0, bases.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.first_header(bases.get(middle..high).unwrap_or_default()) {
                Some((at, header)) if header.recorded_before < time => low = middle + at + 1,
                _ => high = middle,
            }
        }
        low.checked_sub(1).and_then(|at| bases.get(at)).copied().unwrap_or_default()
    }

    /// The first of some segments whose header can be read, and the header. What is wrong with those
    /// before it is for whoever comes there to tell.
    fn first_header(&self, bases: &[Position]) -> Option<(usize, SegmentHeader)> {
        bases.iter().enumerate().find_map(|(at, base)| {
            let header = self.segments.file(*base).and_then(|file| file.header());
            header.ok().map(|header| (at, header))
        })
    }
}
