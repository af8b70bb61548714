//! The store that is copied.
//!
//! Owns how far it is copied: up to the end of the last batch that is durable. Only reads.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::directory::{Directory, is_absence};
use crate::error::{Error, Result};
use crate::format::{CleanNote, Fault, Footer, SegmentHeader, StoreMeta};
use crate::inspect::Inspection;
use crate::log::{LOCK, read_meta, witnessed_end};
use crate::segment::{Scanner, SegmentFile, records_start};
use crate::store::refuse_unfinished_repair;
use crate::types::{Address, LogEnd, Position, StoreKey};
use crate::verify::is_damage;

/// How often the end of the log is looked for, while what is found changes in a way that looks like
/// damage.
const LOOKS_MAX: usize = 5;

/// How often a pause is made in which the notes of a writer may come.
const WAITS_MAX: usize = 10;

/// What the store says of itself.
pub(super) fn meta(directory: &dyn Directory) -> Result<StoreMeta> {
    let meta = match read_meta(directory) {
        Err(Error::Io { source, .. }) if is_absence(&source) => None,
        read => read?,
    };
    let meta = meta.ok_or_else(|| Error::NotAStore { path: directory.path().to_owned() })?;
    refuse_unfinished_repair(directory)?;
    Ok(meta)
}

/// A log as far as it is copied.
#[derive(Debug)]
pub(super) struct Original {
    directory: Arc<dyn Directory>,
    key: StoreKey,
    /// First positions of the segments.
    bases: Vec<Position>,
    end: LogEnd,
    /// Offset of the last record in the last segment; 0 if there is none.
    last_offset: u64,
    /// The end of what was seen.
    seen: Position,
}

/// A segment, and what of it is copied.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) file: Arc<SegmentFile>,
    pub(super) end: LogEnd,
    /// How it is sealed, if it is.
    pub(super) footer: Option<Footer>,
    /// Whether another one follows.
    pub(super) is_full: bool,
}

impl Original {
    /// Finds out how far the log in `directory` is durable. It is up to `at_least`, and up to
    /// `copied`, unless it has lost that.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if something durable is damaged or missing.
    pub(super) fn look(
        directory: &Arc<dyn Directory>,
        key: StoreKey,
        at_least: Option<Position>,
        copied: Option<Position>,
        pause: Duration,
    ) -> Result<Self> {
        for _ in 1..LOOKS_MAX {
            match Self::look_once(directory, key, at_least, copied, pause) {
                Err(error) if is_damage(&error) => thread::sleep(pause),
                looked => return looked,
            }
        }
        Self::look_once(directory, key, at_least, copied, pause)
    }

    fn look_once(
        directory: &Arc<dyn Directory>,
        key: StoreKey,
        at_least: Option<Position>,
        copied: Option<Position>,
        pause: Duration,
    ) -> Result<Self> {
        let (bases, seen, was_closed) = Inspection::of(directory, pause)?.into_sound()?;
        let base = seen.address.segment;
        let file = Arc::new(SegmentFile::open_to_read(&**directory, key, base)?);
        if at_least > Some(seen.position) {
            return Err(file.corrupt(seen.address.offset, Fault("a record that was durable")));
        }
        let witness = witnessed_end(&**directory, key.id)?.max(at_least).max(copied);
        let is_durable = was_closed
            || witness >= Some(seen.position)
            || make_durable(&**directory, key, &file, seen.position, pause)?;
        let up_to = if is_durable {
            seen.position
        } else {
            // All before the last segment was durable when that was begun.
            let in_log = witness_in(&file, seen.position)?.max(base);
            witness.unwrap_or_default().max(in_log)
        };
        let (end, last_offset) = read_to(&file, up_to)?;
        // It may have been taken back meanwhile by a writer whose disk is full.
        if is_durable && end != seen {
            return Err(file.corrupt(end.address.offset, Fault("the records that were seen")));
        }
        let directory = Arc::clone(directory);
        Ok(Self { directory, key, bases, end, last_offset, seen: seen.position })
    }

    /// How many events were seen after the end, and are not known to be durable.
    pub(super) fn left_out_count(&self) -> u64 {
        self.seen.since(self.end.position)
    }

    /// First positions of the segments.
    pub(super) fn bases(&self) -> &[Position] {
        &self.bases
    }

    /// Up to where it is copied.
    pub(super) fn end(&self) -> LogEnd {
        self.end
    }

    pub(super) fn key(&self) -> StoreKey {
        self.key
    }

    /// What a clean close of the copy would leave.
    pub(super) fn note(&self) -> CleanNote {
        CleanNote {
            store: self.key.id,
            end: self.end.position,
            address: self.end.address,
            last_offset: self.last_offset,
            checksum: self.end.checksum,
        }
    }

    /// Bytes of all segments that are copied.
    pub(super) fn len(&self) -> Result<u64> {
        let full = self.bases.iter().filter(|base| **base != self.end.address.segment);
        let mut len = self.end.address.offset;
        for base in full {
            len = len.saturating_add(SegmentFile::len_of(&*self.directory, *base)?);
        }
        Ok(len)
    }

    /// Whether the log of a copy that ends at `end` is the beginning of this one. Each record tells
    /// of all before it, so the last one is enough.
    pub(super) fn has(&self, end: &LogEnd) -> Result<bool> {
        if end.position > self.end.position {
            return Ok(false);
        }
        let Some(last) = self.bases.iter().rfind(|base| **base < end.position) else {
            return Ok(end.position == Position::START);
        };
        let file = Arc::new(self.open(*last)?);
        if let Some(footer) = file.footer()?.filter(|footer| footer.end() == end.position) {
            return Ok(footer.checksum == end.checksum);
        }
        let (found, _) = read_to(&file, end.position)?;
        Ok(found.position == end.position && found.checksum == end.checksum)
    }

    /// The segment that begins at `base`, which `next` follows if there is one.
    pub(super) fn piece(&self, base: Position, next: Option<Position>) -> Result<Piece> {
        let file = Arc::new(self.open(base)?);
        let Some(next) = next else {
            file.header()?;
            return Ok(Piece { file, end: self.end, footer: None, is_full: false });
        };
        let next = self.open(next)?.header()?;
        file.header()?;
        let footer = file.footer()?.filter(|footer| is_followed_by(footer, &next));
        let end = match &footer {
            Some(footer) => LogEnd {
                position: footer.end(),
                address: Address { segment: base, offset: footer.offset },
                checksum: footer.checksum,
                recorded_at: footer.last_recorded_at,
            },
            None => end_before(&file, &next)?,
        };
        Ok(Piece { file, end, footer, is_full: true })
    }

    /// The segment that begins at `base`, as it was when the log ended at `position`.
    pub(super) fn piece_to(&self, base: Position, position: Position) -> Result<Piece> {
        let file = Arc::new(self.open(base)?);
        let (end, _) = read_to(&file, position)?;
        Ok(Piece { file, end, footer: None, is_full: false })
    }

    fn open(&self, base: Position) -> Result<SegmentFile> {
        SegmentFile::open_to_read(&*self.directory, self.key, base)
    }
}

/// Whether a footer ends where `next` begins. One that does not is damage, or the end of a payload:
/// the records tell.
fn is_followed_by(footer: &Footer, next: &SegmentHeader) -> bool {
    footer.end() == next.base
        && footer.checksum == next.chain
        && footer.last_recorded_at == next.recorded_before
}

/// The end of a segment that is not sealed, by reading it.
fn end_before(file: &Arc<SegmentFile>, next: &SegmentHeader) -> Result<LogEnd> {
    let (end, _) = read_to(file, next.base)?;
    let fits = end.position == next.base
        && end.checksum == next.chain
        && end.recorded_at == next.recorded_before;
    if fits {
        return Ok(end);
    }
    let fault = Fault("a segment that ends where the next one begins");
    Err(file.corrupt(end.address.offset, fault))
}

/// Makes sure that what is in the files is on the medium, and says whether it is known to be, up to
/// `seen`.
///
/// What was written and not noted to be durable may have been appended without a sync, be left by
/// a process that was killed, or be part of a write that goes on, fails, and is taken back. So the
/// notes of a writer are waited for, and if none comes, for longer than a write takes.
fn make_durable(
    directory: &dyn Directory,
    key: StoreKey,
    file: &SegmentFile,
    seen: Position,
    pause: Duration,
) -> Result<bool> {
    let is_synced = file.sync().is_ok();
    for _ in 0..WAITS_MAX {
        thread::sleep(pause);
        if witnessed_end(directory, key.id)? >= Some(seen) {
            return Ok(true);
        }
    }
    // The word of whoever appended that a sync has failed: no later one can be trusted.
    let has_word = match directory.open_to_read(LOCK).and_then(|lock| lock.len()) {
        Err(error) if is_absence(&error) => false,
        len => len.map_err(Error::io("read the length of", &directory.path_of(LOCK)))? > 0,
    };
    Ok(is_synced && !has_word)
}

/// How far the records of a segment, up to `end`, say that the log was durable.
fn witness_in(file: &Arc<SegmentFile>, end: Position) -> Result<Position> {
    let limit = file.len()?;
    let mut scanner = Scanner::from_header(Arc::clone(file), &file.header()?);
    let mut witness = Position::START;
    while scanner.position() < end {
        let (record, _) = scanner.read(limit)?;
        witness = witness.max(record.witness.unwrap_or_default());
    }
    Ok(witness)
}

/// The end of the last whole batch in a segment that ends at `up_to` or before, and the offset of
/// its last record; 0 if there is none.
pub(super) fn read_to(file: &Arc<SegmentFile>, up_to: Position) -> Result<(LogEnd, u64)> {
    let header = file.header()?;
    let limit = file.len()?;
    let mut scanner = Scanner::from_header(Arc::clone(file), &header);
    let address = Address { segment: header.base, offset: records_start() };
    let (checksum, recorded_at) = (header.chain, header.recorded_before);
    let mut end = LogEnd { position: header.base, address, checksum, recorded_at };
    let mut last_offset = 0;
    while scanner.position() < up_to {
        let (_, at) = scanner.read(limit)?;
        if let Some(later) = scanner.end().filter(|later| later.position <= up_to) {
            (end, last_offset) = (later, at.offset);
        }
    }
    Ok((end, last_offset))
}
