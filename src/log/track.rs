//! Following a log that another process may be writing.
//!
//! Owns what is shown of it. Reads only, and takes no lock: what the writer does in which order is
//! what makes this right.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::log::Segments;
use crate::log::recover::{start_of_last, witnessed_end};
use crate::log::segments::{list_bases, moved_to};
use crate::options::Durability;
use crate::segment::{SegmentFile, Window, records_start};
use crate::sync::Mutex;
use crate::types::{Address, LogEnd, Position, StoreKey};

/// Bytes to read for the last record.
const LAST_LEN: usize = 4 << 10;

/// How far a scan has come, and why it has not come farther.
struct Scanned {
    end: LogEnd,
    /// Offset of the record before `end`, if it was read.
    last_offset: Option<u64>,
    stopped_by: Option<Error>,
}

/// Finds out how far a log has come, again and again.
#[derive(Debug)]
pub(crate) struct Tracker {
    segments: Arc<Segments>,
    shown: Durability,
    /// Held by the one who looks: offset of the record before what is shown, if it was read.
    last_offset: Mutex<Option<u64>>,
}

impl Tracker {
    /// Finds the log in `directory`. With [`Durability::Sync`] it shows what no crash takes back,
    /// with [`Durability::Buffered`] all whole batches that are in the files.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if a segment is missing, or something that is known to be durable.
    pub(crate) fn open(
        directory: Arc<dyn Directory>,
        key: StoreKey,
        shown: Durability,
    ) -> Result<Self> {
        let bases = list_bases(&*directory)?;
        let (Some(Position::START), Some(last)) = (bases.first().copied(), bases.last().copied())
        else {
            let expected = "the first segment";
            return Err(Error::Corrupt { segment: Position::START, offset: 0, expected });
        };
        let file = Arc::new(SegmentFile::open_to_read(&*directory, key, last)?);
        let start = start_of_last(&*directory, &file)?;
        let segments = Arc::new(Segments::new(directory, key, bases, start));
        segments.expect_renewal();
        let tracker = Self { segments, shown, last_offset: Mutex::new(None) };
        tracker.refresh()?;
        Ok(tracker)
    }

    pub(crate) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// Shows what has come since.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if something is not there any more that was shown or was durable.
    pub(crate) fn refresh(&self) -> Result<()> {
        let mut last_offset = self.last_offset.lock();
        let before = self.segments.visible();
        let refreshed = self.show_more(&mut last_offset);
        drop(last_offset);
        // Whoever is woken may look again at once.
        if self.segments.visible() != before {
            self.segments.wake();
        }
        refreshed
    }

    fn show_more(&self, last_offset: &mut Option<u64>) -> Result<()> {
        let directory = &**self.segments.directory();
        let noted = match self.shown {
            Durability::Sync => witnessed_end(directory, self.segments.store())?,
            Durability::Buffered => Some(Position::new(u64::MAX)),
        };
        let (mut end, mut offset) = (self.segments.visible(), *last_offset);
        loop {
            end = self.scan_on(end, noted, &mut offset)?;
            if end.position > self.segments.visible().position {
                self.show(end)?;
            }
            // Of a segment that was only begun nothing is kept: it may be taken back.
            if end.address.segment == self.segments.visible().address.segment {
                *last_offset = offset;
            }
            match self.next_segment(&end)? {
                Some(next) => (end, offset) = (next, None),
                None => return Ok(()),
            }
        }
    }

    /// Shows what is before `end`, and with it the segment that it is in.
    fn show(&self, end: LogEnd) -> Result<()> {
        let base = end.address.segment;
        let is_known = self.segments.holding(base) == base;
        let file = if is_known { None } else { Some(self.segments.file(base)?) };
        self.segments.show(end, || file.into_iter().for_each(|file| self.segments.add(file)));
        Ok(())
    }

    /// Reads on from `end` in its segment, up to what may be shown.
    fn scan_on(
        &self,
        end: LogEnd,
        noted: Option<Position>,
        last_offset: &mut Option<u64>,
    ) -> Result<LogEnd> {
        let target = noted.map_or_else(|| self.highest_witness(&end), Ok)?;
        let mut scanned = self.scan(end, target)?;
        if scanned.end.position == end.position && end.position < target {
            // Whoever has recovered the log may have put another file in the place of this one.
            self.segments.forget(end.address.segment);
            scanned = self.scan(end, target)?;
        }
        if scanned.end.position > end.position {
            *last_offset = scanned.last_offset;
            return Ok(scanned.end);
        }
        // What was shown may be elsewhere, whether there is more or not.
        let is_last_there = self.check_last(&end, *last_offset);
        if (scanned.stopped_by.is_some() || is_last_there.is_err())
            && let Some(moved) = self.find_moved(&end)?
        {
            *last_offset = None;
            return self.scan_on(moved, noted, last_offset);
        }
        match (scanned.stopped_by, self.shown) {
            // It is known to be durable, and it is not there.
            (Some(error), Durability::Sync) if self.next_segment(&end)?.is_none() => Err(error),
            _ => is_last_there.map(|()| end),
        }
    }

    /// Reads whole batches from `end` on, none of which ends after `target`.
    fn scan(&self, mut end: LogEnd, target: Position) -> Result<Scanned> {
        let mut scanner = self.segments.scan_from(&end)?;
        let limit = scanner.file().len()?;
        let mut last_offset = None;
        while scanner.position() < target {
            let offset = scanner.offset();
            match scanner.advance(limit) {
                Ok(_) => {}
                Err(error @ Error::Corrupt { .. }) => {
                    return Ok(Scanned { end, last_offset, stopped_by: Some(error) });
                }
                Err(error) => return Err(error),
            }
            if let Some(later) = scanner.end().filter(|end| end.position <= target) {
                (end, last_offset) = (later, Some(offset));
            }
        }
        Ok(Scanned { end, last_offset, stopped_by: None })
    }

    /// Finds where `end` is now, if whoever has recovered the log has begun another segment with what
    /// was not durable before it, and shows that.
    fn find_moved(&self, end: &LogEnd) -> Result<Option<LogEnd>> {
        let (directory, key) = (&**self.segments.directory(), self.segments.key());
        let mut bases = list_bases(directory)?;
        bases.retain(|base| end.address.segment < *base && *base < end.position);
        let open = |base| SegmentFile::open_to_read(directory, key, base).map(Arc::new);
        let files = bases.into_iter().map(open).collect::<Result<Vec<_>>>()?;
        let Some(last) = files.last() else { return Ok(None) };
        let moved = moved_to(last, end.position, Some(end))?.end();
        if let Some(moved) = moved {
            // Who asks how far a segment goes finds all of this, or nothing.
            self.segments
                .show(moved, || files.into_iter().for_each(|file| self.segments.add(file)));
        }
        Ok(moved)
    }

    /// The highest durable end that a record after `end` names; `end`, if there is none.
    fn highest_witness(&self, end: &LogEnd) -> Result<Position> {
        let mut scanner = self.segments.scan_from(end)?;
        let limit = scanner.file().len()?;
        let mut highest = end.position;
        loop {
            match scanner.read(limit) {
                Ok((record, _)) => highest = highest.max(record.witness.unwrap_or_default()),
                Err(Error::Corrupt { .. }) => return Ok(highest),
                Err(error) => return Err(error),
            }
        }
    }

    /// The start of the segment that follows from `end`, if there is one: then all before it is
    /// durable.
    fn next_segment(&self, end: &LogEnd) -> Result<Option<LogEnd>> {
        if end.position == end.address.segment {
            return Ok(None);
        }
        let (directory, key) = (self.segments.directory(), self.segments.key());
        let file = match SegmentFile::open_to_read(&**directory, key, end.position) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            other => other?,
        };
        let header = file.header()?;
        if header.chain != end.checksum || header.recorded_before != end.recorded_at {
            return Ok(None);
        }
        let address = Address { segment: end.position, offset: records_start() };
        Ok(Some(LogEnd { address, ..*end }))
    }

    /// Makes sure that the record before `end`, which was shown, is still there. What was written
    /// and not synced may be taken back: by a writer whose disk is full, or by recovery.
    fn check_last(&self, end: &LogEnd, last_offset: Option<u64>) -> Result<()> {
        let Some(offset) = last_offset else { return Ok(()) };
        let base = end.address.segment;
        let mut window = Window::new(self.segments.file(base)?, LAST_LEN);
        match window.record_at(offset, end.address.offset) {
            Ok(last) if last.checksum == end.checksum => Ok(()),
            Ok(_) | Err(Error::Corrupt { .. }) => {
                let expected = "the record that was seen last";
                Err(Error::Corrupt { segment: base, offset, expected })
            }
            Err(error) => Err(error),
        }
    }
}
