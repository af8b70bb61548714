//! Reading a segment past whatever is damaged in it.
//!
//! Owns where reading goes on. Each byte is searched once, however many damages there are.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::event::EventView;
use crate::format::{Record, SegmentHeader};
use crate::segment::search::Search;
use crate::segment::{Link, Scanner, SegmentFile, records_start};
use crate::types::{LogEnd, Position};

/// Bytes after the beginning of a bad record at which a good one may begin.
const NEXT_PLACE: u64 = 8;

/// An offset, and the position of the record that stands or should stand there.
pub(crate) type Place = (u64, Position);

/// What reading on has come to.
#[derive(Debug)]
pub(crate) enum Salvaged {
    /// A sound record.
    Record,
    /// No record at these positions, for this reason.
    Gap(Error, Range<Position>),
    /// The place where the records should end.
    End,
}

/// Reads one segment record by record, and goes on behind those that are damaged.
#[derive(Debug)]
pub(crate) struct Salvager {
    scanner: Scanner,
    search: Search,
    /// Where the records should end.
    stop: Position,
    limit: u64,
    /// Whether nothing more was found behind damage.
    is_lost: bool,
}

impl Salvager {
    /// Begins with the first record of a segment whose records should reach to `stop`, before `limit`,
    /// or to its footer if it has one. What is wrong with the header is told beside it: records may
    /// stand behind it all the same.
    pub(crate) fn new(
        file: Arc<SegmentFile>,
        stop: Position,
        limit: Option<u64>,
    ) -> Result<(Self, Result<SegmentHeader>)> {
        let header = file.header();
        let link = match &header {
            Ok(header) => Link::from_header(header),
            Err(_) => Link::at(file.base()),
        };
        let limit = match limit {
            Some(limit) => limit,
            None => file.footer()?.map_or_else(|| file.len(), |footer| Ok(footer.offset))?,
        };
        let search = Search::new(&file, records_start(), limit);
        let scanner = Scanner::new(file, records_start(), link);
        Ok((Self { scanner, search, stop, limit, is_lost: false }, header))
    }

    /// Goes to a place that this was at before, and lets the records end at another one.
    pub(crate) fn put(&mut self, (offset, position): Place, (limit, stop): Place) {
        self.scanner.put(offset, position);
        (self.limit, self.stop, self.is_lost) = (limit, stop, false);
    }

    /// Where the next record should stand.
    pub(crate) fn place(&self) -> Place {
        (self.scanner.offset(), self.scanner.position())
    }

    /// Where the records end.
    pub(crate) fn end_place(&self) -> Place {
        (self.limit, self.stop)
    }

    /// The end of the log as it would stand before the next record, if the record before it was read
    /// and ended its batch.
    pub(crate) fn end(&self) -> Option<LogEnd> {
        self.scanner.end()
    }

    /// Goes on to the next record, or to what is there in its place.
    pub(crate) fn advance(&mut self) -> Salvaged {
        let position = self.scanner.position();
        if position >= self.stop || self.is_lost {
            return Salvaged::End;
        }
        let Err(error) = self.scanner.advance(self.limit) else { return Salvaged::Record };
        let missing = position..self.stop;
        self.search.go_to(self.scanner.offset().saturating_add(NEXT_PLACE), self.limit);
        // What cannot be searched is lost as well, and the place is the same.
        let Some((offset, found)) = self.search.next_at(&missing).ok().flatten() else {
            self.is_lost = true;
            return Salvaged::Gap(error, missing);
        };
        self.scanner.put(offset, found);
        Salvaged::Gap(error, position..found)
    }

    /// The record that was read last.
    pub(crate) fn record(&self) -> &Record {
        self.scanner.record()
    }

    /// The event of the record that was read last, to be looked at.
    pub(crate) fn view(&self) -> EventView<'_> {
        self.scanner.view()
    }

    /// What the record that was read last says of a consumer.
    pub(crate) fn progress(&self) -> Option<(&str, Position)> {
        self.scanner.progress(self.scanner.record())
    }

    /// Up to `len` bytes from `offset` on.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let read = self.scanner.file().read_at(&mut bytes, offset)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}
