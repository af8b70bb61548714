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
/// Bytes that are read at once where some cannot be: as many as a medium loses at a time, as a rule.
const CAREFUL_LEN: usize = 4 << 10;

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
    /// Whether little is read at once, because not all can be read.
    is_careful: bool,
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
            // Whether a footer is damaged is no matter here.
            None => match file.footer() {
                Ok(Some(footer)) => footer.offset,
                _ => file.len()?,
            },
        };
        let search = Search::new(&file, records_start(), limit);
        let scanner = Scanner::new(file, records_start(), link);
        Ok((Self { scanner, search, stop, limit, is_lost: false, is_careful: false }, header))
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
        let Err(mut error) = self.scanner.advance(self.limit) else { return Salvaged::Record };
        if !matches!(error, Error::Corrupt { .. }) && !self.is_careful {
            self.is_careful = true;
            self.scanner.read_at_once(CAREFUL_LEN);
            self.search.read_at_once(CAREFUL_LEN);
            match self.scanner.advance(self.limit) {
                Ok(_) => return Salvaged::Record,
                Err(again) => error = again,
            }
        }
        let missing = position..self.stop;
        self.search.go_to(self.scanner.offset().saturating_add(NEXT_PLACE), self.limit);
        let Some((offset, found)) = self.find(&missing) else {
            self.is_lost = true;
            return Salvaged::Gap(error, missing);
        };
        self.scanner.put(offset, found);
        Salvaged::Gap(error, position..found)
    }

    /// The next record at one of `positions`. What cannot be read is passed over.
    fn find(&mut self, positions: &Range<Position>) -> Option<Place> {
        loop {
            match self.search.next_at(positions) {
                Ok(found) => return found,
                Err(Error::Corrupt { .. }) => return None,
                Err(_) if !self.is_careful => {
                    self.is_careful = true;
                    self.search.read_at_once(CAREFUL_LEN);
                    self.scanner.read_at_once(CAREFUL_LEN);
                    self.search.step_back();
                }
                Err(_) => self.search.pass_unreadable(CAREFUL_LEN),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::file::tests::Unreadable;
    use crate::segment::scan::tests::segment_of;
    use crate::types::Timestamp;

    /// The records that are found, and the gaps, and whether all are known.
    fn read(mut salvager: Salvager) -> (Vec<u64>, Vec<Range<u64>>) {
        let (mut found, mut gaps) = (Vec::new(), Vec::new());
        loop {
            match salvager.advance() {
                Salvaged::Record => found.push(salvager.view().position().get()),
                Salvaged::Gap(_, positions) => {
                    gaps.push(positions.start.get()..positions.end.get());
                }
                Salvaged::End => return (found, gaps),
            }
        }
    }

    #[test]
    fn what_stands_around_bytes_that_cannot_be_read_is_found() {
        let times: Vec<_> = (0..6_000).map(Timestamp::from_nanos).collect();
        let sound = segment_of(&times);
        let len = sound.len().unwrap();
        let record_len = (len - records_start()) / 6_000;
        let last = (len - 1) / 4_096 * 4_096;
        for bad in [0..4_096, 131_072..135_168, 200_704..208_896, last..len] {
            let file = sound.with_file(|file| Arc::new(Unreadable::new(file, bad.clone())));
            let (salvager, header) =
                Salvager::new(Arc::new(file), Position::new(6_000), None).unwrap();
            assert_eq!(header.is_err(), bad.start == 0);
            let (found, gaps) = read(salvager);
            let is_readable = |n: &u64| {
                let start = records_start() + n * record_len;
                // Blocks are read whole, so that what shares one with bad bytes may be lost.
                start + record_len + 4_096 <= bad.start || start >= bad.end + 4_096
            };
            assert!((0..6_000).filter(is_readable).all(|n| found.contains(&n)), "{bad:?}");
            assert_eq!(gaps.len(), 1, "{bad:?}: {gaps:?}");
            let mut known: Vec<_> = found.into_iter().chain(gaps.into_iter().flatten()).collect();
            known.sort_unstable();
            assert!(known.into_iter().eq(0..6_000), "{bad:?}");
        }
    }
}
