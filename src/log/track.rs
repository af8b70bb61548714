//! Following a log that another process may be writing.
//!
//! Owns what is shown of it. Reads only, and takes no lock: what the writer does in which order is
//! what makes this right.

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
    /// The record before `end`, if it was read.
    last: Option<Address>,
    stopped_by: Option<Error>,
}

/// Finds out how far a log has come, again and again.
#[derive(Debug)]
pub(crate) struct Tracker {
    segments: Arc<Segments>,
    shown: Durability,
    /// Held by the one who looks.
    seen: Mutex<Seen>,
}

/// What is known of what is shown.
#[derive(Debug, Default)]
struct Seen {
    /// The last record that was read and is shown.
    last: Option<Address>,
    /// Bytes in its file when it was found there again.
    len: Option<u64>,
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
        let tracker = Self { segments, shown, seen: Mutex::default() };
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
        let mut seen = self.seen.lock();
        let before = self.segments.visible();
        let refreshed = self.show_more(&mut seen);
        drop(seen);
        // Whoever is woken may look again at once.
        if self.segments.visible() != before {
            self.segments.wake();
        }
        refreshed
    }

    fn show_more(&self, seen: &mut Seen) -> Result<()> {
        let directory = &**self.segments.directory();
        let noted = match self.shown {
            Durability::Sync => witnessed_end(directory, self.segments.store())?,
            Durability::Buffered => Some(Position::new(u64::MAX)),
        };
        let mut end = self.segments.visible();
        loop {
            end = self.scan_on(end, noted, seen)?;
            if end.position > self.segments.visible().position {
                self.show(end)?;
            }
            match self.next_segment(&end)? {
                Some(next) => end = next,
                None => return Ok(()),
            }
        }
    }

    /// Shows what is before `end`, and with it the segment that it is in: one that was only begun may
    /// be taken back.
    fn show(&self, end: LogEnd) -> Result<()> {
        let base = end.address.segment;
        let is_known = self.segments.holding(base) == base;
        let file = if is_known { None } else { Some(self.segments.file(base)?) };
        self.segments.show(end, || file.into_iter().for_each(|file| self.segments.add(file)));
        Ok(())
    }

    /// Reads on from `end` in its segment, up to what may be shown.
    fn scan_on(&self, end: LogEnd, noted: Option<Position>, seen: &mut Seen) -> Result<LogEnd> {
        let target = noted.map_or_else(|| self.highest_witness(&end), Ok)?;
        let mut scanned = self.scan(end, target)?;
        if scanned.end.position == end.position && end.position < target {
            // Whoever has recovered the log may have put another file in the place of this one.
            self.segments.forget(end.address.segment);
            scanned = self.scan(end, target)?;
        }
        if scanned.end.position > end.position {
            *seen = Seen { last: scanned.last, len: None };
            return Ok(scanned.end);
        }
        // What was shown may be elsewhere, whether there is more or not.
        let is_last_there = self.check_last(&end, seen);
        if (scanned.stopped_by.is_some() || is_last_there.is_err())
            && let Some(moved) = self.find_moved(&end)?
        {
            return self.scan_on(moved, noted, seen);
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
        let mut last = None;
        while scanner.position() < target {
            let address = Address { segment: scanner.segment(), offset: scanner.offset() };
            match scanner.advance(limit) {
                Ok(_) => {}
                Err(error @ Error::Corrupt { .. }) => {
                    return Ok(Scanned { end, last, stopped_by: Some(error) });
                }
                Err(error) => return Err(error),
            }
            if let Some(later) = scanner.end().filter(|end| end.position <= target) {
                (end, last) = (later, Some(address));
            }
        }
        Ok(Scanned { end, last, stopped_by: None })
    }

    /// Finds where `end` is now, if whoever has recovered the log has begun another segment with what
    /// was not durable before it, and shows that.
    fn find_moved(&self, end: &LogEnd) -> Result<Option<LogEnd>> {
        let (directory, key) = (&**self.segments.directory(), self.segments.key());
        let mut bases = list_bases(directory)?;
        bases.retain(|base| end.address.segment < *base && *base < end.position);
        let mut files = Vec::new();
        for base in bases {
            match SegmentFile::open_to_read(directory, key, base) {
                // It was taken back.
                Err(error) if error.is_missing_file() => {}
                opened => files.push(Arc::new(opened?)),
            }
        }
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
            Err(error) if error.is_missing_file() => return Ok(None),
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
    fn check_last(&self, end: &LogEnd, seen: &mut Seen) -> Result<()> {
        let base = end.address.segment;
        let Some(Address { offset, .. }) = seen.last.filter(|last| last.segment == base) else {
            return Ok(());
        };
        let file = self.segments.file(base)?;
        let len = Some(file.len()?);
        // What is durable can only be cut away, once it is elsewhere.
        if self.shown == Durability::Sync && seen.len == len {
            return Ok(());
        }
        let mut window = Window::new(file, LAST_LEN);
        match window.record_at(offset, end.address.offset) {
            Ok(last) if last.checksum == end.checksum => {
                seen.len = len;
                Ok(())
            }
            Ok(_) | Err(Error::Corrupt { .. }) => {
                let expected = "the record that was seen last";
                Err(Error::Corrupt { segment: base, offset, expected })
            }
            Err(error) => Err(error),
        }
    }
}
