//! Stores that were damaged or left in the middle: what opens, what is refused, and that no event
//! is ever wrong or missing in silence.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use annals::{
    Durability, Error, Expected, IndexRecovery, IndexTrouble, NewEvent, Position, RecoveryReport,
    Result, Store, TornTail, Witness,
};
use common::{
    Book, Seen, assert_agrees, assert_error, assert_unharmed, base_of, copy, count, crash, files,
    place, read_main_ways, segments, slots, small, write_over,
};
use tempfile::TempDir;

const SEGMENT_HEADER_LEN: usize = 64;
const LAST: usize = 2;

/// A store of three segments to be damaged again and again, each time as a fresh copy.
struct Template {
    place: TempDir,
    book: Book,
    segments: Vec<Segment>,
}

/// What is in one segment of a template.
struct Segment {
    /// Where it is in the store's directory.
    name: PathBuf,
    base: u64,
    bytes: Vec<u8>,
    batches: Vec<BatchPlace>,
}

/// Where a batch stands in its segment.
#[derive(Clone, Debug)]
struct BatchPlace {
    bytes: Range<usize>,
    /// Where each of its records begins.
    records: Vec<usize>,
    /// The position of its first event.
    first: u64,
}

impl Template {
    fn new(durability: Durability) -> Self {
        let place = place();
        let path = place.path().join("template");
        let store = small().durability(durability).open(&path).unwrap();
        let mut book = Book::new(7);
        book.append(&store, &[("cart", 1), ("user", 1)]);
        book.append(&store, &[("cart", 1)]);
        book.append(&store, &[("user", 3), ("cart", 1)]);
        // Too big for the first segment, and leaves no room in the second.
        book.append_big(&store, "big", 3_750);
        book.append(&store, &[("user", 2)]);
        book.append(&store, &[("cart", 1), ("user", 1)]);
        book.append(&store, &[("cart", 1)]);
        book.append(&store, &[("cart", 1), ("user", 2), ("new", 1), ("cart", 1)]);
        store.close().unwrap();
        let segments: Vec<_> =
            segments(&path).iter().map(|segment| Segment::read(&path, segment, &book)).collect();
        assert_eq!(segments.len(), LAST + 1);
        Self { place, book, segments }
    }

    /// A copy of the store, closed.
    fn closed(&self) -> PathBuf {
        let path = self.place.path().join("copy");
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        copy(&self.place.path().join("template"), &path);
        path
    }

    /// A copy of the store as if its process had been killed, and the index lost.
    fn crashed(&self) -> PathBuf {
        let path = self.closed();
        crash(&path);
        path
    }

    fn last(&self) -> &Segment {
        &self.segments[LAST]
    }

    /// The events before a batch.
    fn before(&self, batch: &BatchPlace) -> &[Seen] {
        &self.book.events[..usize::try_from(batch.first).unwrap()]
    }
}

impl Segment {
    fn read(store: &Path, path: &Path, book: &Book) -> Self {
        let (bytes, base) = (fs::read(path).unwrap(), base_of(path));
        let mut batches: Vec<BatchPlace> = Vec::new();
        let mut at = SEGMENT_HEADER_LEN;
        let mut begins = true;
        for event in book.events.iter().filter(|event| event.position >= base) {
            if at >= bytes.len() || bytes[at..].starts_with(b"annalend") {
                break;
            }
            if begins {
                let (bytes, records) = (at..at, Vec::new());
                batches.push(BatchPlace { bytes, records, first: event.position });
            }
            let batch = batches.last_mut().unwrap();
            batch.records.push(at);
            at += len_of_record(&bytes[at..]);
            batch.bytes.end = at;
            begins = event.ends_batch;
        }
        Self { name: path.strip_prefix(store).unwrap().to_owned(), base, bytes, batches }
    }

    fn records_end(&self) -> usize {
        self.last_batch().bytes.end
    }

    fn last_batch(&self) -> &BatchPlace {
        self.batches.last().unwrap()
    }

    fn batch_at(&self, offset: usize) -> Option<&BatchPlace> {
        self.batches.iter().find(|batch| batch.bytes.contains(&offset))
    }

    /// Where the damage of the byte at `offset` must be said to be: at the start of its record, or
    /// of the segment header.
    fn place(&self, offset: usize) -> (Position, u64) {
        let records = self.batches.iter().flat_map(|batch| &batch.records);
        let start = records.copied().filter(|start| *start <= offset).max().unwrap_or(0);
        (Position::new(self.base), u64::try_from(start).unwrap())
    }

    /// Puts this segment into a store, with one bit of one byte turned over.
    fn write_flipped(&self, store: &Path, offset: usize) {
        let mut bytes = self.bytes.clone();
        bytes[offset] ^= 1 << (offset % 8);
        fs::write(store.join(&self.name), bytes).unwrap();
    }

    /// Puts this segment into a store, cut to `len` bytes, with `tail` after it.
    fn write_cut(&self, store: &Path, len: usize, tail: &[u8]) {
        fs::write(store.join(&self.name), [&self.bytes[..len], tail].concat()).unwrap();
    }
}

fn len_of_record(bytes: &[u8]) -> usize {
    usize::try_from(u32::from_le_bytes(bytes[8..12].try_into().unwrap())).unwrap()
}

fn place_in(error: &Error) -> (Position, u64) {
    match error {
        Error::Corrupt { segment, offset, .. } => (*segment, *offset),
        other => panic!("{other:?}"),
    }
}

/// Opens a store that must be refused, and must stay as it is.
fn refused(path: &Path) -> Error {
    let before = files(path);
    let error = small().open(path).map(|store| store.recovery().clone()).unwrap_err();
    assert!(files(path) == before, "a refused store was changed");
    error
}

/// Opens a store, or refuses it, and reads all of it. What is given must be right; what is wrong is
/// returned.
fn errors_in(path: &Path, expected: &[Seen]) -> Vec<Error> {
    let before = files(path);
    match small().open(path) {
        Ok(store) => read_main_ways(&store, expected),
        Err(error) => {
            assert!(files(path) == before, "a refused store was changed");
            vec![error]
        }
    }
}

/// Opens a store that holds these events, and returns the report. Appends to it, so that it shows
/// if the end is not where it should be.
fn recovered(path: &Path, expected: &[Seen]) -> RecoveryReport {
    let store = small().open(path).unwrap();
    assert_eq!(read_main_ways(&store, expected).len(), 0);
    let report = store.recovery().clone();
    assert_eq!(report.end, Position::new(count(expected)));
    let receipt = store.append("after", Expected::Any, [NewEvent::text("t", "x")]).unwrap();
    assert_eq!(receipt.first(), report.end);
    store.close().unwrap();
    let store = small().open(path).unwrap();
    let all: Vec<_> = store.read_all().map(|event| Seen::of(&event.unwrap())).collect();
    assert_eq!(all[..expected.len()], *expected);
    assert_eq!(all.len(), expected.len() + 1);
    assert!(store.recovery().was_closed);
    report
}

/// What a report should say of a tail that was cut off, with these bytes. Zeroes at its end are no
/// part of it: a segment may have been prepared with them.
fn assert_torn(report: &RecoveryReport, segment: &Segment, offset: usize, tail: &[u8]) {
    let Some(last) = tail.iter().rposition(|byte| *byte != 0) else {
        assert_eq!(report.torn_tail, None);
        return;
    };
    let tail = &tail[..=last];
    let Some(TornTail { segment: base, offset: at, len, kept_in, .. }) = &report.torn_tail else {
        panic!("{report:?}");
    };
    let expected = (Position::new(segment.base), u64::try_from(offset).unwrap(), count(tail));
    assert_eq!((*base, *at, *len), expected);
    assert!(!report.was_closed);
    let kept = kept_in.as_ref().map(|path| fs::read(path).unwrap());
    assert_eq!(kept.as_deref(), Some(tail), "what was cut is kept");
}

#[test]
fn a_flipped_bit_is_reported_where_it_is_by_whoever_reads_it() {
    let template = Template::new(Durability::Sync);
    let path = template.closed();
    // Blocks that were verified before would be read from memory.
    let store = small().read_cache_len(0).open(&path).unwrap();
    for segment in &template.segments {
        for offset in 0..segment.records_end() {
            segment.write_flipped(&path, offset);
            let errors = read_main_ways(&store, &template.book.events);
            // Nobody needs the header of a segment that is open already.
            let is_header = offset < SEGMENT_HEADER_LEN;
            assert!(is_header || !errors.is_empty(), "{:?}", segment.place(offset));
            for error in errors {
                assert_eq!(place_in(&error), segment.place(offset), "{error}");
            }
        }
        fs::write(path.join(&segment.name), &segment.bytes).unwrap();
    }
    // None of it was put down to the index.
    assert_agrees(&store, &template.book.events);
    store.close().unwrap();
    let store = small().open(&path).unwrap();
    assert_eq!(store.recovery().index, IndexRecovery::Current);
}

/// Flips a bit of every byte of the last segment and of every header and footer, and of some bytes
/// in between, each in a store of its own.
fn flip_bits(
    template: &Template,
    copy: impl Fn(&Template) -> PathBuf,
    check: impl Fn(&Path, &Segment, usize),
) {
    for (n, segment) in template.segments.iter().enumerate() {
        for offset in 0..segment.bytes.len() {
            let is_record = (SEGMENT_HEADER_LEN..segment.records_end()).contains(&offset);
            if n == LAST || !is_record || offset.is_multiple_of(31) {
                let path = copy(template);
                segment.write_flipped(&path, offset);
                check(&path, segment, offset);
            }
        }
    }
}

/// Fails unless a flipped bit is said to be where it is, or is in a footer, which only repeats what
/// the records and the next header say.
fn assert_reported(path: &Path, template: &Template, segment: &Segment, offset: usize) {
    let errors = errors_in(path, &template.book.events);
    assert_eq!(errors.is_empty(), offset >= segment.records_end(), "{:?}", segment.place(offset));
    for error in errors {
        assert_eq!(place_in(&error), segment.place(offset), "{error}");
    }
}

#[test]
fn a_flipped_bit_in_a_closed_store_is_reported_where_it_is() {
    let template = Template::new(Durability::Sync);
    flip_bits(&template, Template::closed, |path, segment, offset| {
        assert_reported(path, &template, segment, offset);
    });
}

#[test]
fn a_flipped_bit_after_a_crash_is_reported_or_in_the_tail_that_nothing_vouches_for() {
    let template = Template::new(Durability::Sync);
    let (last, last_batch) = (template.last(), template.last().last_batch());
    flip_bits(&template, Template::crashed, |path, segment, offset| {
        if segment.base == last.base && last_batch.bytes.contains(&offset) {
            assert_cut_before(path, &template, last_batch);
        } else {
            assert_reported(path, &template, segment, offset);
        }
    });
}

/// Opens a store of which everything from this batch on is cut off.
fn assert_cut_before(path: &Path, template: &Template, batch: &BatchPlace) {
    let tail = fs::read(path.join(&template.last().name)).unwrap().split_off(batch.bytes.start);
    let store = small().open(path).unwrap();
    assert_torn(store.recovery(), template.last(), batch.bytes.start, &tail);
    assert_eq!(read_main_ways(&store, template.before(batch)).len(), 0);
}

#[test]
fn after_a_crash_what_was_only_buffered_is_cut_from_the_damage_on() {
    let template = Template::new(Durability::Buffered);
    let segment = template.last();
    for offset in (SEGMENT_HEADER_LEN..segment.records_end()).step_by(3) {
        let path = template.crashed();
        segment.write_flipped(&path, offset);
        assert_cut_before(&path, &template, segment.batch_at(offset).unwrap());
    }
}

#[test]
fn a_footer_that_was_damaged_is_written_again() {
    let template = Template::new(Durability::Sync);
    let sealed = &template.segments[LAST - 1];
    for copy in [Template::closed, Template::crashed] {
        let path = copy(&template);
        for offset in sealed.records_end()..sealed.bytes.len() {
            sealed.write_flipped(&path, offset);
            let store = small().open(&path).unwrap();
            assert_eq!(store.recovery().sealed_count, 1);
            assert!(fs::read(path.join(&sealed.name)).unwrap() == sealed.bytes);
        }
    }
}

#[test]
fn a_torn_last_batch_is_cut_whole_wherever_it_is_torn() {
    let template = Template::new(Durability::Sync);
    let (segment, batch) = (template.last(), template.last().last_batch());
    for len in batch.bytes.clone() {
        let path = template.crashed();
        segment.write_cut(&path, len, &[]);
        let report = recovered(&path, template.before(batch));
        let tail = &segment.bytes[batch.bytes.start..len];
        if tail.is_empty() {
            assert_eq!(report.torn_tail, None);
        } else {
            assert_torn(&report, segment, batch.bytes.start, tail);
        }
        // A record names the end of the batch before its own.
        let witness = if count_whole(batch, len) > 0 { batch.first } else { batch.first - 1 };
        assert_eq!(report.witness, Some((Position::new(witness), Witness::Record)));
        assert!(!report.created && report.sealed_count == 0);
        assert_eq!(report.scanned_count, count_whole(batch, len) + batch.first - segment.base);
    }
}

/// How many records of a batch are whole in a segment of `len` bytes.
fn count_whole(batch: &BatchPlace, len: usize) -> u64 {
    let ends = batch.records.iter().skip(1).chain([&batch.bytes.end]);
    u64::try_from(ends.filter(|end| **end <= len).count()).unwrap()
}

#[test]
fn a_closed_store_that_was_cut_is_refused_and_stays_as_it_is() {
    let template = Template::new(Durability::Sync);
    let (segment, batch) = (template.last(), template.last().last_batch());
    for len in batch.bytes.clone() {
        let path = template.closed();
        segment.write_cut(&path, len, &[]);
        let (base, offset) = place_in(&refused(&path));
        assert_eq!(base, Position::new(segment.base));
        let offset = usize::try_from(offset).unwrap();
        assert!((batch.bytes.start..=len).contains(&offset), "{offset} in {len}");
    }
}

#[test]
fn a_store_cut_anywhere_before_its_last_batch_is_refused_if_anything_vouches_for_more() {
    let template = Template::new(Durability::Sync);
    let segment = template.last();
    for len in 0..segment.last_batch().bytes.start {
        let path = template.closed();
        segment.write_cut(&path, len, &[]);
        assert_eq!(place_in(&refused(&path)).0, Position::new(segment.base), "{len}");
        // Without the note, the checkpoint of the index vouches for as much.
        fs::remove_file(path.join("clean")).unwrap();
        assert_eq!(place_in(&refused(&path)).0, Position::new(segment.base), "{len}");
    }
}

#[test]
fn the_place_of_a_consumer_is_a_witness() {
    let template = Template::new(Durability::Sync);
    let (segment, batch) = (template.last(), template.last().last_batch());
    let whole = template.book.end();
    for (position, is_refused) in [(batch.first, false), (batch.first + 1, true), (whole, true)] {
        let path = template.crashed();
        let id = template.segments[0].bytes[16..32].try_into().unwrap();
        fs::create_dir(path.join("consumers")).unwrap();
        fs::write(path.join("consumers/mailer"), slots(id, position)).unwrap();
        segment.write_cut(&path, batch.bytes.end - 1, &[]);
        if is_refused {
            assert_eq!(place_in(&refused(&path)).0, Position::new(segment.base));
        } else {
            recovered(&path, template.before(batch));
        }
        // Of another store it says nothing.
        let path = template.crashed();
        fs::create_dir(path.join("consumers")).unwrap();
        fs::write(path.join("consumers/mailer"), slots([9; 16], position)).unwrap();
        segment.write_cut(&path, batch.bytes.end - 1, &[]);
        recovered(&path, template.before(batch));
    }
}

/// Bytes that may stand after the end of a log and are not its next batch.
fn tails(template: &Template) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut garbage = |len| (0..len).map(|_| random.u8(1..)).collect::<Vec<u8>>();
    let (first, last) = (&template.segments[0], template.last());
    let batch = &last.bytes[last.last_batch().bytes.clone()];
    vec![
        garbage(1),
        garbage(7),
        garbage(64),
        garbage(5_000),
        vec![0; 8],
        vec![0; 4_096],
        [vec![0; 64], garbage(8)].concat(),
        [garbage(8), vec![0; 64]].concat(),
        batch.to_vec(),
        batch[..batch.len() / 2].to_vec(),
        last.bytes.clone(),
        last.bytes[SEGMENT_HEADER_LEN..].to_vec(),
        first.bytes[SEGMENT_HEADER_LEN..first.records_end()].to_vec(),
        first.bytes[first.records_end()..].to_vec(),
        template.segments[1].bytes.clone(),
    ]
}

#[test]
fn what_stands_after_the_end_and_does_not_follow_is_cut() {
    let template = Template::new(Durability::Sync);
    let segment = template.last();
    for tail in tails(&template) {
        for copy in [Template::closed, Template::crashed] {
            let path = copy(&template);
            segment.write_cut(&path, segment.bytes.len(), &tail);
            let report = recovered(&path, &template.book.events);
            assert_torn(&report, segment, segment.bytes.len(), &tail);
        }
    }
}

#[test]
fn a_torn_batch_with_stale_bytes_after_it_is_cut() {
    let template = Template::new(Durability::Sync);
    let (segment, batch) = (template.last(), template.last().last_batch());
    for tail in tails(&template) {
        for len in [batch.bytes.start + 9, batch.bytes.end - 8, batch.records[1], batch.records[2]]
        {
            let path = template.crashed();
            segment.write_cut(&path, len, &tail);
            let report = recovered(&path, template.before(batch));
            let tail = [&segment.bytes[batch.bytes.start..len], &tail].concat();
            assert_torn(&report, segment, batch.bytes.start, &tail);
        }
    }
}

/// A payload that holds the records of another store is no more than a payload.
#[test]
fn a_torn_payload_of_records_is_a_torn_tail() {
    let place = place();
    let other = small().durability(Durability::Sync).open(place.path().join("other")).unwrap();
    let mut book = Book::new(1);
    for _ in 0..12 {
        book.append(&other, &[("cart", 1)]);
    }
    other.close().unwrap();
    let records = fs::read(&segments(other.path())[0]).unwrap().split_off(SEGMENT_HEADER_LEN);
    assert_torn_payload_is_cut(&records);
}

/// Numbers that all say the same look like positions and lengths of records.
#[test]
fn a_torn_payload_of_equal_numbers_is_a_torn_tail() {
    for number in [80_u64, 96, 104, 1_000, (1 << 35) + 1_000] {
        assert_torn_payload_is_cut(&number.to_le_bytes().repeat(400));
    }
}

/// Tears an event with this payload, at a multiple of 8, right at its end.
fn assert_torn_payload_is_cut(payload: &[u8]) {
    let place = place();
    let path = place.path().join("store");
    let store = small().durability(Durability::Sync).open(&path).unwrap();
    let mut book = Book::new(1);
    book.append(&store, &[("cart", 2)]);
    let event = NewEvent::bytes("12345678", payload);
    store.append("12345678", Expected::Any, [event]).unwrap();
    store.close().unwrap();
    crash(&path);
    let segment = segments(&path).pop().unwrap();
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 8]).unwrap();
    let report = recovered(&path, &book.events);
    assert!(report.torn_tail.is_some());
}

/// Damages a closed store, and the same after a crash; the damage must be said to be in one of
/// these segments.
fn assert_noticed(damage: impl Fn(&Template, &Path), segments: &[usize]) {
    let template = Template::new(Durability::Sync);
    for copy in [Template::closed, Template::crashed] {
        let path = copy(&template);
        damage(&template, &path);
        let errors = errors_in(&path, &template.book.events);
        assert!(!errors.is_empty(), "nobody noticed");
        for error in errors {
            let (base, _) = place_in(&error);
            let named = segments.iter().any(|n| template.segments[*n].base == base.get());
            assert!(named, "{error}");
        }
    }
}

fn remove(n: usize) -> impl Fn(&Template, &Path) {
    move |template, path| fs::remove_file(path.join(&template.segments[n].name)).unwrap()
}

#[test]
fn a_missing_first_segment_is_noticed() {
    assert_noticed(remove(0), &[0]);
}

#[test]
fn a_missing_segment_in_the_middle_is_noticed() {
    assert_noticed(remove(1), &[0, 2]);
}

#[test]
fn a_missing_last_segment_is_noticed() {
    let template = Template::new(Durability::Sync);
    for copy in [Template::closed, Template::crashed] {
        let path = copy(&template);
        remove(LAST)(&template, &path);
        let error = refused(&path);
        let before = &template.segments[LAST - 1];
        let end = (Position::new(before.base), u64::try_from(before.records_end()).unwrap());
        assert_eq!(place_in(&error), end, "{error}");
    }
}

/// The footer vouches for all records before it, also if no segment follows any more.
#[test]
fn a_missing_last_segment_is_noticed_though_the_one_before_is_damaged() {
    let template = Template::new(Durability::Sync);
    let sealed = &template.segments[LAST - 1];
    for offset in sealed.last_batch().bytes.clone().step_by(25) {
        let path = template.crashed();
        remove(LAST)(&template, &path);
        sealed.write_flipped(&path, offset);
        assert_eq!(place_in(&refused(&path)), sealed.place(offset));
    }
}

#[test]
fn two_exchanged_segments_are_noticed() {
    let exchange = |a: usize, b: usize| {
        move |template: &Template, path: &Path| {
            let (a, b) = (&template.segments[a], &template.segments[b]);
            fs::write(path.join(&a.name), &b.bytes).unwrap();
            fs::write(path.join(&b.name), &a.bytes).unwrap();
        }
    };
    assert_noticed(exchange(0, 1), &[0, 1]);
    assert_noticed(exchange(0, 2), &[0, 2]);
    assert_noticed(exchange(1, 2), &[1, 2]);
}

#[test]
fn a_segment_of_another_store_is_noticed() {
    let other = Template::new(Durability::Sync);
    for n in 0..=LAST {
        let foreign = &other.segments[n];
        assert_noticed(
            |_, path| fs::write(path.join(&foreign.name), &foreign.bytes).unwrap(),
            &[n],
        );
    }
}

#[test]
fn an_empty_segment_is_noticed() {
    for n in 0..=LAST {
        for len in [0, 1, SEGMENT_HEADER_LEN - 1, SEGMENT_HEADER_LEN] {
            if (n, len) != (LAST, SEGMENT_HEADER_LEN) {
                assert_noticed(|t, path| t.segments[n].write_cut(path, len, &[]), &[n]);
            }
        }
    }
}

#[test]
fn an_older_copy_of_the_last_segment_is_noticed_if_anything_vouches_for_more() {
    let template = Template::new(Durability::Sync);
    let segment = template.last();
    for batch in &segment.batches {
        let path = template.closed();
        segment.write_cut(&path, batch.bytes.start, &[]);
        let place = (Position::new(segment.base), u64::try_from(batch.bytes.start).unwrap());
        assert_eq!(place_in(&refused(&path)), place);
        fs::remove_file(path.join("clean")).unwrap();
        assert_eq!(place_in(&refused(&path)), place);
    }
}

/// A segment that belongs after the last one, but was left by another course of events.
#[test]
fn a_segment_that_does_not_follow_is_noticed() {
    let template = Template::new(Durability::Sync);
    let path = template.closed();
    let store = small().open(&path).unwrap();
    let mut book = template.book.clone();
    book.append_big(&store, "big", 3_700);
    store.close().unwrap();
    let strange = segments(&path).pop().unwrap();
    let bytes = fs::read(&strange).unwrap();

    let path = template.closed();
    let store = small().open(&path).unwrap();
    let mut book = template.book.clone();
    book.append(&store, &[("user", 1)]);
    store.close().unwrap();
    let strange = path.join("log").join(strange.file_name().unwrap());
    fs::write(&strange, bytes).unwrap();
    let base = place_in(&refused(&path)).0;
    assert!([template.last().base, base_of(&strange)].contains(&base.get()));
}

/// Damages the index of a closed store; whatever it was, everything can be read after it, and
/// nothing needs to be done at the next opening.
fn assert_index_mended(damage: impl Fn(&Path)) -> IndexRecovery {
    let template = Template::new(Durability::Sync);
    let path = template.closed();
    damage(&path.join("index"));
    let store = small().open(&path).unwrap();
    let recovery = store.recovery().clone();
    assert_agrees(&store, &template.book.events);
    assert_eq!(recovery.end, Position::new(template.book.end()));
    assert!(recovery.was_closed && recovery.torn_tail.is_none());
    store.close().unwrap();
    let store = small().open(&path).unwrap();
    assert_eq!(store.recovery().index, IndexRecovery::Current);
    assert_agrees(&store, &template.book.events);
    drop(store);
    assert_unharmed(&path, &template.book);
    recovery.index
}

fn assert_rebuilt(index: &IndexRecovery) {
    let IndexRecovery::Rebuilt { event_count, reason } = index else { panic!("{index:?}") };
    assert_eq!(*event_count, 18, "{reason:?}");
}

#[test]
fn deleting_the_index_loses_nothing() {
    assert_rebuilt(&assert_index_mended(|index| fs::remove_dir_all(index).unwrap()));
}

#[test]
fn an_index_without_files_is_built_anew() {
    assert_rebuilt(&assert_index_mended(|index| {
        fs::remove_dir_all(index).unwrap();
        fs::create_dir(index).unwrap();
    }));
}

#[test]
fn an_index_that_is_a_file_is_built_anew() {
    assert_rebuilt(&assert_index_mended(|index| {
        fs::remove_dir_all(index).unwrap();
        fs::write(index, "not a directory").unwrap();
    }));
}

#[test]
fn the_index_of_another_store_is_built_anew() {
    let other = Template::new(Durability::Sync);
    let foreign = other.closed().join("index");
    assert_rebuilt(&assert_index_mended(|index| {
        fs::remove_dir_all(index).unwrap();
        copy(&foreign, index);
    }));
}

#[test]
fn an_index_whose_opening_did_not_end_is_built_anew() {
    assert_rebuilt(&assert_index_mended(|index| {
        fs::write(index.with_extension("opening"), "").unwrap();
    }));
}

#[test]
fn an_index_of_garbage_is_built_anew() {
    for seed in 0..8 {
        assert_rebuilt(&assert_index_mended(|index| write_over(index, seed, 1.0)));
    }
}

#[test]
fn an_index_whose_files_are_empty_is_built_anew() {
    assert_rebuilt(&assert_index_mended(|index| {
        for (path, _) in common::all_files(index) {
            fs::write(path, "").unwrap();
        }
    }));
}

#[test]
fn an_index_that_was_cut_is_caught_up_or_built_anew() {
    for eighths in 1..8 {
        assert_index_mended(|index| {
            for (path, bytes) in common::all_files(index) {
                fs::write(path, &bytes[..bytes.len() * eighths / 8]).unwrap();
            }
        });
    }
}

#[test]
fn an_index_with_some_bytes_wrong_never_gives_a_wrong_answer() {
    for seed in 0..24 {
        assert_index_mended(|index| write_over(index, seed, 0.001));
    }
}

#[test]
fn an_index_from_before_is_caught_up() {
    let template = Template::new(Durability::Sync);
    let path = template.closed();
    let old = template.place.path().join("old");
    copy(&path.join("index"), &old);
    let mut book = template.book.clone();
    let store = small().open(&path).unwrap();
    book.append(&store, &[("cart", 2), ("newer", 1)]);
    store.close().unwrap();
    fs::remove_dir_all(path.join("index")).unwrap();
    copy(&old, &path.join("index"));
    let store = small().open(&path).unwrap();
    assert_eq!(store.recovery().index, IndexRecovery::CaughtUp { event_count: 3 });
    assert_agrees(&store, &book.events);
}

/// Two stores with one history that have gone different ways: the index of the one is no index
/// for the other, though it names the same store.
#[test]
fn the_index_of_a_copy_that_went_another_way_is_built_anew() {
    let template = Template::new(Durability::Sync);
    let other = template.closed();
    let store = small().open(&other).unwrap();
    template.book.clone().append(&store, &[("elsewhere", 2)]);
    store.close().unwrap();
    let index = template.place.path().join("other-index");
    copy(&other.join("index"), &index);

    for (stream, event_count) in [("cart", 2), ("cart", 3)] {
        let path = template.closed();
        let mut book = template.book.clone();
        let store = small().open(&path).unwrap();
        book.append(&store, &[(stream, event_count)]);
        store.close().unwrap();
        assert_is_built_anew(&path, &index, &book);
    }
}

/// Puts `index` in the place of that of the store at `path`, which is not believed then.
fn assert_is_built_anew(path: &Path, index: &Path, book: &Book) {
    fs::remove_dir_all(path.join("index")).unwrap();
    copy(index, &path.join("index"));
    let store = small().open(path).unwrap();
    let IndexRecovery::Rebuilt { .. } = store.recovery().index else {
        panic!("{:?}", store.recovery());
    };
    assert_agrees(&store, &book.events);
}

/// As above, where the checkpoint is in a segment that this log does not have.
#[test]
fn the_index_of_a_copy_that_rolled_elsewhere_is_built_anew() {
    let template = Template::new(Durability::Sync);
    let other = template.closed();
    let store = small().open(&other).unwrap();
    template.book.clone().append_big(&store, "big", 3_750);
    store.close().unwrap();
    assert_eq!(segments(&other).len(), LAST + 2);
    let index = template.place.path().join("other-index");
    copy(&other.join("index"), &index);

    let path = template.closed();
    let mut book = template.book.clone();
    let store = small().open(&path).unwrap();
    book.append(&store, &[("cart", 2)]);
    store.close().unwrap();
    assert_eq!(segments(&path).len(), LAST + 1);
    assert_is_built_anew(&path, &index, &book);
}

/// Damage just behind the checkpoint was taken for an index of another log: it was moved aside, and all
/// of the log was read, only to come to that damage.
#[test]
fn damage_behind_the_checkpoint_of_the_index_is_not_put_down_to_the_index() {
    // In a segment, and at the end of one, so that the next one follows.
    for is_at_end in [false, true] {
        let place = place();
        let path = place.path().join("s");
        let mut book = Book::new(5);
        let store = small().open(&path).unwrap();
        book.append(&store, &[("cart", 2)]);
        store.close().unwrap();
        let (old, checkpoint) = (place.path().join("old"), book.end());
        copy(&path.join("index"), &old);
        let store = small().open(&path).unwrap();
        if !is_at_end {
            book.append(&store, &[("user", 1)]);
        }
        (0..3).for_each(|_| _ = book.append_big(&store, "big", 3_750));
        book.append(&store, &[("user", 1)]);
        store.close().unwrap();
        let segments: Vec<_> =
            segments(&path).iter().map(|segment| Segment::read(&path, segment, &book)).collect();
        let first = |segment: &&Segment| segment.batches.iter().any(|at| at.first == checkpoint);
        let damaged = segments.iter().find(first).unwrap();
        assert_eq!(damaged.base, if is_at_end { checkpoint } else { 0 });
        let record = damaged.batches.iter().find(|at| at.first == checkpoint).unwrap().bytes.start;
        let event_count = book.end() - checkpoint;

        // The header, the record, and the whole segment.
        for offset in [Some(20), Some(record + 16), Some(record + 100), None] {
            fs::remove_dir_all(path.join("index")).unwrap();
            copy(&old, &path.join("index"));
            match offset {
                Some(offset) => damaged.write_flipped(&path, offset),
                // Without its first segment a store is refused.
                None if is_at_end => fs::remove_file(path.join(&damaged.name)).unwrap(),
                None => continue,
            }
            let store = small().open(&path).unwrap();
            let index = &store.recovery().index;
            let IndexRecovery::Unavailable { reason: IndexTrouble::LogUnreadable { .. } } = index
            else {
                panic!("{index:?}");
            };
            store.close().unwrap();
            assert!(!path.join("index.broken").exists());
            fs::write(path.join(&damaged.name), &damaged.bytes).unwrap();
            let store = small().open(&path).unwrap();
            assert_eq!(store.recovery().index, IndexRecovery::CaughtUp { event_count });
            assert_agrees(&store, &book.events);
            store.close().unwrap();
        }
    }
}

/// A cursor that has met damage can be put behind it.
#[test]
fn a_cursor_ends_at_damage_and_goes_on_where_it_is_put() {
    let template = Template::new(Durability::Sync);
    let path = template.closed();
    let damaged = &template.segments[1];
    damaged.write_flipped(&path, damaged.last_batch().bytes.start);
    let store = small().open(&path).unwrap();
    let mut cursor = store.read_all();
    let before = cursor.by_ref().take_while(Result::is_ok).count();
    assert_eq!(count(&template.book.events[..before]), damaged.base);
    assert_eq!(cursor.next_position(), Position::new(damaged.base));
    assert!(cursor.next().is_none(), "an error ends a cursor");
    let after = &template.book.events[usize::try_from(template.last().base).unwrap()..];
    let read: Vec<_> =
        cursor.from(template.last().base).map(|event| Seen::of(&event.unwrap())).collect();
    assert_eq!(read, after);
}

#[test]
fn of_many_torn_tails_the_last_sixteen_are_kept() {
    let template = Template::new(Durability::Sync);
    let path = template.crashed();
    let mut book = template.book.clone();
    let mut kept = Vec::new();
    for n in 0..40_u8 {
        let last = segments(&path).pop().unwrap();
        let torn = [fs::read(&last).unwrap(), vec![n + 1; 20]].concat();
        fs::write(&last, torn).unwrap();
        let store = small().open(&path).unwrap();
        let tail = store.recovery().torn_tail.clone().unwrap();
        kept.push((tail.kept_in.unwrap(), vec![n + 1; 20]));
        book.append(&store, &[("cart", 1)]);
        drop(store);
        crash(&path);
    }
    let found: Vec<_> = common::all_files(&path.join("quarantine")).into_iter().collect();
    let mut expected = kept.split_off(kept.len() - 16);
    expected.sort();
    assert_eq!(found, expected);
    assert_unharmed(&path, &book);
}

/// Keeping what is cut is a service: a store opens without it.
#[test]
fn a_torn_tail_that_cannot_be_kept_is_cut_all_the_same() {
    let template = Template::new(Durability::Sync);
    let (segment, path) = (template.last(), template.crashed());
    fs::write(path.join("quarantine"), "not a directory").unwrap();
    segment.write_cut(&path, segment.bytes.len(), b"torn");
    let report = recovered(&path, &template.book.events);
    assert_eq!(report.torn_tail.map(|tail| (tail.len, tail.kept_in)), Some((4, None)));
}

#[test]
fn the_store_meta_of_another_store_is_refused() {
    let (template, other) = (Template::new(Durability::Sync), Template::new(Durability::Sync));
    for copy in [Template::closed, Template::crashed] {
        let path = copy(&template);
        fs::copy(other.closed().join("store.meta"), path.join("store.meta")).unwrap();
        assert_eq!(place_in(&refused(&path)), (Position::new(template.last().base), 0));
    }
}

#[test]
fn progress_is_told_while_the_index_is_built() {
    let template = Template::new(Durability::Sync);
    let path = template.crashed();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let options = small().on_index_progress(move |done, total| {
        listener.lock().unwrap().push((done, total));
    });
    drop(options.open(&path).unwrap());
    let told = told.lock().unwrap().clone();
    assert_eq!(told.last(), Some(&(18, 18)));
    assert!(told.is_sorted() && told.iter().all(|(_, total)| *total == 18), "{told:?}");
}

#[test]
fn temporary_files_that_were_left_do_no_harm() {
    let template = Template::new(Durability::Sync);
    for copy in [Template::closed, Template::crashed] {
        let path = copy(&template);
        for folder in ["", "log", "consumers", "quarantine"] {
            fs::create_dir_all(path.join(folder)).unwrap();
            fs::write(path.join(folder).join(".new-AbCdEf"), "half of something").unwrap();
        }
        recovered(&path, &template.book.events);
    }
}

/// What creating a store leaves if it is interrupted, step by step.
fn interrupted_creations() -> Vec<fn(&Path)> {
    let first_segment = |path: &Path| {
        let other = place();
        drop(small().open(other.path().join("other")).unwrap());
        fs::create_dir(path.join("log")).unwrap();
        let name = "log/00000000000000000000.seg";
        fs::copy(other.path().join("other").join(name), path.join(name)).unwrap();
    };
    let _: fn(&Path) = first_segment;
    vec![
        |_| {},
        |path| fs::write(path.join("LOCK"), "").unwrap(),
        |path| fs::create_dir(path.join("log")).unwrap(),
        |path| {
            fs::create_dir(path.join("log")).unwrap();
            fs::write(path.join("log/.new-AbCdEf"), "annalseg").unwrap();
        },
        first_segment,
        |path| fs::write(path.join(".new-AbCdEf"), "annals\r\n").unwrap(),
    ]
}

#[test]
fn a_creation_that_was_interrupted_is_done_again() {
    for interrupt in interrupted_creations() {
        let place = place();
        interrupt(place.path());
        let before = files(place.path());
        assert_error!(small().create(false).open(place.path()), Error::NotAStore { .. });
        assert!(files(place.path()) == before, "nothing was to be created");
        let store = small().open(place.path()).unwrap();
        assert!(store.recovery().created);
        drop(store);
        assert_unharmed(place.path(), &Book::new(1));
    }
}

/// A log without its `store.meta` is no creation that was interrupted, if it holds events.
#[test]
fn a_store_whose_meta_is_lost_is_not_created_anew() {
    let template = Template::new(Durability::Sync);
    for copy in [Template::closed, Template::crashed] {
        let path = copy(&template);
        fs::remove_file(path.join("store.meta")).unwrap();
        let before = files(&path);
        let error = small().open(&path).map(|store: Store| store.end()).unwrap_err();
        assert!(files(&path) == before, "{error}");
        assert!(!path.join("store.meta").exists());
    }
}

#[test]
fn a_store_without_a_log_is_refused() {
    let template = Template::new(Durability::Sync);
    for copy in [Template::closed, Template::crashed] {
        let path = copy(&template);
        fs::remove_dir_all(path.join("log")).unwrap();
        let result: Result<Store> = Err(refused(&path));
        assert_error!(result, Error::Corrupt { segment: Position::START, offset: 0, .. });
    }
}

#[test]
fn a_damaged_clean_note_is_as_good_as_none() {
    let template = Template::new(Durability::Sync);
    let note = fs::read(template.closed().join("clean")).unwrap();
    for offset in 0..note.len() {
        let path = template.closed();
        let mut bytes = note.clone();
        bytes[offset] ^= 1 << (offset % 8);
        fs::write(path.join("clean"), &bytes).unwrap();
        let store = small().open(&path).unwrap();
        assert!(!store.recovery().was_closed);
        assert_eq!(read_main_ways(&store, &template.book.events).len(), 0);
        assert!(!path.join("clean").exists(), "a note that says nothing is removed");
    }
}

#[test]
fn the_note_of_another_store_is_as_good_as_none() {
    let (template, other) = (Template::new(Durability::Sync), Template::new(Durability::Sync));
    let path = template.closed();
    fs::copy(other.closed().join("clean"), path.join("clean")).unwrap();
    let report = recovered(&path, &template.book.events);
    assert!(!report.was_closed);
}

/// A store that was closed and then killed while it was written to has no note any more.
#[test]
fn a_store_that_was_written_to_again_has_no_note() {
    let template = Template::new(Durability::Sync);
    let path = template.closed();
    let store = small().open(&path).unwrap();
    assert!(path.join("clean").exists(), "nothing was written yet");
    template.book.clone().append(&store, &[("cart", 1)]);
    assert!(!path.join("clean").exists());
}
