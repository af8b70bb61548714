//! The target `segment`: one segment file, whatever is in it.

use std::sync::Arc;

use crate::directory::{Directory, SimulatedDirectory};
use crate::format::{SegmentHeader, mend_checksums, mend_links};
use crate::fuzzing::damage::{Filler, damage};
use crate::fuzzing::disk::{KEY, sure};
use crate::fuzzing::facts::{Fact, wide};
use crate::fuzzing::input::Input;
use crate::fuzzing::store::Shape;
use crate::segment::{
    FOLDER, Link, Scanner, SegmentFile, Window, find_witness, name_of, records_start, seal,
};
use crate::types::{Address, Position};

/// A record that a scan has found.
struct Found {
    address: Address,
    /// Where the next one stands.
    end: u64,
    fact: Fact,
    position: Position,
    checksum: u32,
}

/// Opens a segment of any bytes, or a sound one that was damaged, with checksums that fit or do
/// not, and reads it in every way.
///
/// # Panics
///
/// If two ways to read a record do not agree, if records are given that do not follow from each
/// other or end beyond the file, or if a segment that was sealed is not the same as before.
pub fn segment(input: &[u8]) {
    let mut input = Input::new(input);
    let (origin, mend) = (input.byte(), input.byte());
    let base = match origin / 2 % 4 {
        0 | 1 => Position::START,
        2 => Position::new(700),
        _ => Position::new(u64::MAX - 2),
    };
    let mut bytes = if origin.is_multiple_of(2) { input.rest().to_vec() } else { damaged(input) };
    let header = SegmentHeader { base, ..SegmentHeader::first(KEY) };
    match mend % 3 {
        0 => {}
        1 => mend_checksums(&mut bytes, KEY.seed),
        _ => drop(mend_links(&mut bytes, KEY, &header)),
    }
    read(&Arc::new(file_of(base, bytes)), usize::from(mend / 3));
}

/// A segment that was sound before it was damaged.
fn damaged(mut input: Input<'_>) -> Vec<u8> {
    let (disk, _) = Shape::take(&mut input).build();
    let mut files = disk.files().into_iter();
    let first = files.find(|(name, _)| *name == name_of(Position::START));
    let mut bytes = first.map(|(_, bytes)| bytes).unwrap_or_default();
    while !input.is_empty() {
        damage(&mut bytes, &mut input, Filler::Chosen);
    }
    bytes
}

fn file_of(base: Position, bytes: Vec<u8>) -> SegmentFile {
    let directory = SimulatedDirectory::new();
    sure(directory.create_folder(FOLDER));
    directory.put(&name_of(base), bytes);
    sure(SegmentFile::open_to_write(&directory, KEY, base))
}

fn read(file: &Arc<SegmentFile>, choice: usize) {
    let len = sure(file.len());
    if let Some(footer) = sure(file.footer()) {
        assert_eq!((footer.store, footer.base), (KEY.id, file.base()));
        assert!(footer.offset < len && footer.end() > footer.base);
    }
    look_for_records(file, len);
    let Ok(header) = file.header() else { return };
    assert_eq!((header.store, header.base), (KEY.id, file.base()));
    let (found, scanner) = scan(file, &header, len);
    for record in &found {
        read_alone(file, record);
    }
    if let Some(middle) = choice.checked_rem(found.len()).and_then(|at| found.get(at..)) {
        scan_from(file, middle, len);
    }
    let end = scanner.end().filter(|end| end.position > file.base());
    if let Some(end) = end.filter(|end| end.position.get() < u64::MAX) {
        sure(seal(file, &end));
        let footer = sure(file.footer()).unwrap_or_else(|| panic!("a sealed segment has a footer"));
        assert_eq!((footer.end(), footer.offset), (end.position, end.address.offset));
        let (again, _) = scan(file, &header, footer.offset);
        assert!(again.len() == found.len(), "a seal leaves the records");
    }
}

/// Reads everything from the header on. Stops where something is wrong, and stays there.
fn scan(file: &Arc<SegmentFile>, header: &SegmentHeader, limit: u64) -> (Vec<Found>, Scanner) {
    let mut scanner = Scanner::from_header(Arc::clone(file), header);
    let mut found: Vec<Found> = Vec::new();
    while let Ok((record, address)) = scanner.read(limit) {
        let end = address.offset + u64::from(record.len);
        assert!(end <= limit && end == scanner.offset());
        assert_eq!(record.parts.position, header.base.plus(wide(found.len())));
        assert_eq!(scanner.stream(&record), scanner.event(&record).stream());
        let fact = Fact::of(&scanner.event(&record));
        if let Some(last) = found.last() {
            assert_eq!(last.end, address.offset);
            let (before, after) = (last.fact.recorded_at, fact.recorded_at);
            assert_eq!(before < after, last.fact.ends_batch);
            assert_eq!(before == after, !last.fact.ends_batch);
        } else {
            assert_eq!(address.offset, records_start());
        }
        let before = found.last().map_or(header.chain, |last| last.checksum);
        assert_eq!(record.previous, before, "the chain at {address:?}");
        let (position, checksum) = (record.parts.position, record.checksum);
        found.push(Found { address, end, fact, position, checksum });
    }
    let stopped_at = (scanner.offset(), scanner.position());
    assert!(scanner.read(limit).is_err());
    assert_eq!((scanner.offset(), scanner.position()), stopped_at);
    (found, scanner)
}

/// Reads one record through a window that is smaller than it.
fn read_alone(file: &Arc<SegmentFile>, found: &Found) {
    let mut window = Window::new(Arc::clone(file), 16);
    let offset = found.address.offset;
    assert!(window.record_at(offset, found.end - 1).is_err());
    let record = sure(window.record_at(offset, found.end));
    let event = window.event(&record);
    assert!(event.position() == found.position && found.fact.is(&event), "{event:?}");
}

/// Scans from the middle on: the same records are found.
fn scan_from(file: &Arc<SegmentFile>, found: &[Found], limit: u64) {
    let Some(first) = found.first() else { return };
    let link = Link::at(first.position);
    let mut scanner = Scanner::new(Arc::clone(file), first.address.offset, link);
    assert!(scanner.is_fresh() && scanner.end().is_none());
    for record in found {
        let (read, address) = sure(scanner.read(limit));
        assert_eq!(address, record.address);
        assert!(record.fact.is(&scanner.event(&read)), "{read:?}");
    }
}

/// Takes every place for one where a record may stand.
fn look_for_records(file: &Arc<SegmentFile>, len: u64) {
    let mut window = Window::new(Arc::clone(file), 200);
    for offset in (0..len + 80).step_by(8) {
        let claim = sure(window.claim_at(offset, len));
        assert!(claim.is_none_or(|claim| offset + claim.len <= len));
        if let Ok(record) = window.record_at(offset, len) {
            assert!(offset + u64::from(record.len) <= len);
        }
    }
    for floor in [Position::START, file.base()] {
        let witness = find_witness(file, records_start(), floor);
        assert!(witness.is_ok_and(|witness| witness.is_none_or(|witness| witness > floor)));
    }
}
