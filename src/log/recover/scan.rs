//! The scan: finds where the log ends, and what bears witness to how far it was durable.
//!
//! Reads only.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::directory::{Directory, read_small};
use crate::error::{Error, Result};
use crate::format::{
    CleanNote, DurableNote, Fault, Footer, PARKED_SUFFIX, SLOTS_LEN, SegmentHeader, Slot,
};
use crate::log::decide::{Tail, Witnesses};
use crate::log::noter::read_durable;
use crate::log::recover::{Note, UnrecoveredLog};
use crate::log::sealer::Full;
use crate::log::segments::list_bases;
use crate::log::{CLEAN_NOTE, CONSUMERS};
use crate::segment::{
    Link, Scanner, SegmentFile, Window, begins_with, find_witness, records_start,
};
use crate::types::{Address, LogEnd, Position, StoreId, StoreKey};

/// Bytes to read of a clean note, which has fewer.
const NOTE_LEN_MAX: usize = 128;
/// Bytes to read for the last record before a clean close.
const NOTED_LEN: usize = 4 << 10;

/// What a scan of the last segment has found.
struct Scanned {
    /// Where it began.
    start: LogEnd,
    valid_end: LogEnd,
    /// Offset of the record before `valid_end`; 0 if there is none in this segment.
    last_offset: u64,
    /// Whether another record stands where the store was closed.
    contradicted: bool,
    count: u64,
    /// The highest durable end that a record of a whole batch names.
    witness: Option<Position>,
    unproven_offset: u64,
    stopped_by: Error,
    /// Where the scan stopped.
    stopped_at: u64,
}

impl UnrecoveredLog {
    /// Reads the end of the log in `directory`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if a segment is missing or the header of the last one is damaged.
    pub(crate) fn scan(directory: Arc<dyn Directory>, key: StoreKey) -> Result<Self> {
        // Read first: what it names is in the segments that are listed after, also while another
        // process appends.
        let durable_note = read_durable(&*directory, key.id)?;
        let bases = list_bases(&*directory)?;
        let missing = |expected| Error::Corrupt { segment: Position::START, offset: 0, expected };
        let Some(last) = bases.last().copied() else {
            return Err(missing("the first segment"));
        };
        if bases.first() != Some(&Position::START) {
            return Err(missing("the first segment"));
        }
        let active = Arc::new(SegmentFile::open_to_read(&*directory, key, last)?);
        let header = active.header()?;
        let note = read_note(&*directory, key.id)?;
        let scanned = scan_last(&active, &header, &known_places(note, durable_note))?;
        let tail = tail_of(&active, &scanned)?;
        let mut witnesses = Witnesses {
            segment_header: Some(last),
            segment_footer: footer_after(&active, &scanned.valid_end)?.map(|footer| footer.end()),
            record: scanned.witness,
            clean_close: None,
            durable_note: durable_note.map(|note| note.place.end),
            consumer: consumers(&*directory, key.id)?,
            index_checkpoint: None,
        };
        if let Note::Valid(note) = note {
            witnesses.clean_close = Some(note.end);
        }
        if tail == Tail::Bytes {
            let later = find_witness(&active, scanned.stopped_at, scanned.valid_end.position)?;
            witnesses.record = witnesses.record.max(later);
        }
        let unsealed = unsealed_before(&*directory, key, &bases, &header)?;
        Ok(Self {
            directory,
            key,
            bases,
            active,
            valid_end: scanned.valid_end,
            last_offset: scanned.last_offset,
            tail,
            witnesses,
            contradicted: scanned.contradicted,
            stopped_by: scanned.stopped_by,
            scanned_count: scanned.count,
            scanned_from: scanned.start,
            unproven_offset: scanned.unproven_offset,
            unsealed,
            note,
            durable_note,
        })
    }
}

fn read_note(directory: &dyn Directory, store: StoreId) -> Result<Note> {
    let path = directory.path_of(CLEAN_NOTE);
    let bytes =
        read_small(directory, CLEAN_NOTE, NOTE_LEN_MAX).map_err(Error::io("read", &path))?;
    Ok(match bytes.map(|bytes| CleanNote::decode(&bytes)) {
        None => Note::Absent,
        Some(Ok(note)) if note.store == store => Note::Valid(note),
        Some(_) => Note::Useless,
    })
}

/// The places that notes say to have been durable, the last one first.
fn known_places(note: Note, durable_note: Option<DurableNote>) -> Vec<CleanNote> {
    let closed_at = match note {
        Note::Valid(note) => Some(note),
        Note::Absent | Note::Useless => None,
    };
    let mut places = Vec::from_iter(closed_at);
    places.extend(durable_note.map(|note| note.place));
    places.sort_by_key(|place| Reverse(place.end));
    places
}

/// Where a scan of the last segment begins, and the offset of the record before; 0 if there is
/// none: at the last of the known places that is in this file and has its record before it, or
/// at the first record.
fn scan_start(
    active: &Arc<SegmentFile>,
    header: &SegmentHeader,
    known: &[CleanNote],
    limit: u64,
) -> Result<(LogEnd, u64)> {
    for place in known {
        if let Some(end) = end_of_note(active, header, place, limit)? {
            return Ok((end, place.last_offset));
        }
    }
    let start = LogEnd {
        position: header.base,
        address: Address { segment: header.base, offset: records_start() },
        checksum: header.chain,
        recorded_at: header.recorded_before,
    };
    Ok((start, 0))
}

/// The end of the log as it is known without reading its last segment, `file`: what the notes say,
/// or where the segment begins.
pub(crate) fn start_of_last(directory: &dyn Directory, file: &Arc<SegmentFile>) -> Result<LogEnd> {
    let store = file.key().id;
    let known = known_places(read_note(directory, store)?, read_durable(directory, store)?);
    scan_start(file, &file.header()?, &known, file.len()?).map(|(end, _)| end)
}

/// Scans the last segment, from where it is known to have been durable.
fn scan_last(
    active: &Arc<SegmentFile>,
    header: &SegmentHeader,
    known: &[CleanNote],
) -> Result<Scanned> {
    let limit = active.len()?;
    let (start, mut last_offset) = scan_start(active, header, known, limit)?;
    let mut scanner =
        Scanner::new(Arc::clone(active), start.address.offset, Link::from_end(&start));
    let contradicts = |end: &LogEnd| {
        known.iter().any(|place| place.end == end.position && place.checksum != end.checksum)
    };
    let mut contradicted = contradicts(&start);
    let mut valid_end = start;
    let mut count = 0;
    let mut witness = None;
    let mut unproven = VecDeque::new();
    let stopped_by = loop {
        match scanner.read(limit) {
            Ok((record, address)) => {
                count += 1;
                unproven.push_back((record.parts.position, address.offset));
                if let Some(end) = scanner.end() {
                    valid_end = end;
                    last_offset = address.offset;
                    contradicted |= contradicts(&end);
                }
                witness = witness.max(record.witness);
                while unproven.front().is_some_and(|(position, _)| Some(*position) < witness) {
                    unproven.pop_front();
                }
            }
            Err(error @ Error::Corrupt { .. }) => break error,
            Err(error) => return Err(error),
        }
    };
    let unproven_offset = unproven.front().map_or(valid_end.address.offset, |(_, offset)| *offset);
    let stopped_at = scanner.offset();
    Ok(Scanned {
        start,
        valid_end,
        last_offset,
        contradicted,
        count,
        witness,
        unproven_offset,
        stopped_by,
        stopped_at,
    })
}

/// The end that a place names, if it is in this file and the record before it is the one that the
/// place speaks of.
fn end_of_note(
    active: &Arc<SegmentFile>,
    header: &SegmentHeader,
    note: &CleanNote,
    limit: u64,
) -> Result<Option<LogEnd>> {
    let CleanNote { end: position, address, last_offset, checksum, .. } = *note;
    if address.segment != header.base || address.offset > limit {
        return Ok(None);
    }
    let at = |recorded_at| Some(LogEnd { position, address, checksum, recorded_at });
    if last_offset == 0 {
        let fresh = position == header.base
            && address.offset == records_start()
            && checksum == header.chain;
        return Ok(at(header.recorded_before).filter(|_| fresh));
    }
    match Window::new(Arc::clone(active), NOTED_LEN).record_at(last_offset, address.offset) {
        Ok(last) => {
            let is_last = last.end() == position
                && last.checksum == checksum
                && last_offset.checked_add(u64::from(last.len)) == Some(address.offset);
            Ok(at(last.parts.recorded_at).filter(|_| is_last))
        }
        // A scan from the first record tells what is wrong.
        Err(Error::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The footer of a segment, if it stands after its valid records. What stands before their end
/// belongs to a payload.
fn footer_after(active: &SegmentFile, valid_end: &LogEnd) -> Result<Option<Footer>> {
    Ok(active.footer()?.filter(|footer| footer.offset >= valid_end.address.offset))
}

fn tail_of(active: &SegmentFile, scanned: &Scanned) -> Result<Tail> {
    let offset = scanned.valid_end.address.offset;
    if active.end_of_bytes(offset)? == offset {
        return Ok(Tail::Nothing);
    }
    let footer = footer_after(active, &scanned.valid_end)?;
    let ends_here = |footer: Footer| footer.offset == offset;
    Ok(if footer.is_some_and(ends_here) { Tail::Footer } else { Tail::Bytes })
}

/// How far the log was durable, as the notes and the consumers know it.
pub(crate) fn witnessed_end(directory: &dyn Directory, store: StoreId) -> Result<Option<Position>> {
    let known = known_places(read_note(directory, store)?, read_durable(directory, store)?);
    let noted = known.first().map(|place| place.end);
    Ok(noted.max(consumers(directory, store)?))
}

/// The highest committed position of a consumer of this store.
fn consumers(directory: &dyn Directory, store: StoreId) -> Result<Option<Position>> {
    let names = match directory.list(CONSUMERS) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("list", &directory.path_of(CONSUMERS))(error)),
    };
    let mut highest = None;
    for name in names.iter().filter(|name| !name.ends_with(PARKED_SUFFIX)) {
        let name = format!("{CONSUMERS}/{name}");
        let path = directory.path_of(&name);
        let bytes = read_small(directory, &name, SLOTS_LEN).map_err(Error::io("read", &path))?;
        let slot = bytes.and_then(|bytes| Slot::latest(&bytes).ok());
        let position = slot.filter(|slot| slot.store == store).map(|slot| slot.position);
        highest = highest.max(position);
    }
    Ok(highest)
}

/// The full segments that a crash has left without a footer, each of which must end where the
/// one after it begins. Looks back only as far as the last one that has a footer.
///
/// What the medium does not give costs no more than the seal: that all before the last segment was
/// durable its header says, and where each ends the one after it. Whoever reads there is told.
fn unsealed_before(
    directory: &dyn Directory,
    key: StoreKey,
    bases: &[Position],
    last: &SegmentHeader,
) -> Result<Vec<Full>> {
    let mut unsealed = Vec::new();
    let (mut next_base, mut next) = (last.base, Some(*last));
    for base in bases.iter().rev().skip(1) {
        let file = Arc::new(SegmentFile::open_to_read(directory, key, *base)?);
        // A footer that does not fit is damage, or the end of a payload: the records tell.
        let fits = |footer: &Footer| {
            let follows = |next: SegmentHeader| {
                footer.checksum == next.chain && footer.last_recorded_at == next.recorded_before
            };
            footer.end() == next_base && next.is_none_or(follows)
        };
        if if_readable(file.footer())?.flatten().is_some_and(|footer| fits(&footer)) {
            break;
        }
        let header = if_readable(file.header())?;
        let end = match (&header, &next) {
            (Some(header), Some(next)) => {
                let follower = SegmentFile::open_to_read(directory, key, next_base)?;
                if_readable(end_before(&file, header, follower, next))?
            }
            _ => None,
        };
        unsealed.push(end.map_or_else(|| Full::unreadable(*base, next_base), Full::ending));
        (next_base, next) = (*base, header);
    }
    Ok(unsealed)
}

/// What was read; `None` if the medium did not give it.
fn if_readable<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(Error::Io { .. }) => Ok(None),
        read => read.map(Some),
    }
}

/// The end of a full segment, which the one at `next` follows, by reading it.
pub(in crate::log) fn end_of_full(
    directory: &dyn Directory,
    key: StoreKey,
    base: Position,
    next: Position,
) -> Result<LogEnd> {
    let file = Arc::new(SegmentFile::open_to_read(directory, key, base)?);
    let follower = SegmentFile::open_to_read(directory, key, next)?;
    let next = follower.header()?;
    end_before(&file, &file.header()?, follower, &next)
}

/// Reads a full segment to its end, which the header after it tells.
fn end_before(
    file: &Arc<SegmentFile>,
    header: &SegmentHeader,
    follower: SegmentFile,
    next: &SegmentHeader,
) -> Result<LogEnd> {
    let limit = file.len()?;
    let mut scanner = Scanner::from_header(Arc::clone(file), header);
    while scanner.position() < next.base {
        scanner.read(limit)?;
    }
    let fault = Fault("a segment that ends where the next one begins");
    let end = scanner.end();
    // A crash before the seal leaves no record here, but the one that recovery has moved. Another
    // one was durable elsewhere.
    let offset = scanner.offset();
    if let Ok((record, _)) = scanner.read(limit)
        && !begins_with(follower, &record)?
    {
        return Err(file.corrupt(offset, fault));
    }
    end.filter(|end| end.checksum == next.chain && end.recorded_at == next.recorded_before)
        .ok_or_else(|| file.corrupt(scanner.offset(), fault))
}
