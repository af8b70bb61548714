//! Checking a store: what is sound is said to be sound, and no damage passes.
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::fs;
use std::io::ErrorKind;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use annals::inspect::Inspection;
use annals::simulation::{Call, Fault, Simulation};
use annals::verify::{IndexCheck, Report, Step};
use annals::{Durability, Error, Expected, IndexRecovery, NewEvent, Options, Position, Store};
use common::{Book, Seen, assert_agrees, assert_error, place, segments, small};

/// A simulated store with several segments, closed, and what is in it.
fn closed(options: &Options) -> (Simulation, Book) {
    let disk = Simulation::new();
    let store = disk.open(options).unwrap();
    let mut book = Book::new(11);
    fill(&mut book, &store);
    store.close().unwrap();
    (disk, book)
}

/// Appends enough for four segments of 4 KiB.
fn fill(book: &mut Book, store: &Store) {
    for n in 0..30 {
        book.append(store, &[("cart", 1 + n % 4), ("user", n % 3), ("订单", n % 2)]);
    }
}

/// The segments of a simulated store, by name, with their bytes.
fn segments_of(disk: &Simulation) -> Vec<(String, Vec<u8>)> {
    let mut files = disk.files();
    files.retain(|(name, _)| name.starts_with("log/"));
    files.sort();
    files
}

/// The same, of which there must be several.
fn segment_files(disk: &Simulation) -> Vec<(String, Vec<u8>)> {
    let files = segments_of(disk);
    assert!(files.len() > 3, "{} segments", files.len());
    files
}

fn first_of(name: &str) -> u64 {
    name.trim_start_matches("log/").trim_end_matches(".seg").parse().unwrap()
}

/// Where the records of a segment begin.
fn offsets_in(bytes: &[u8]) -> Vec<usize> {
    let mut offsets = Vec::new();
    let mut at = 64;
    while at + 72 <= bytes.len() && &bytes[at..at + 8] != b"annalend" {
        offsets.push(at);
        at += usize::try_from(u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()))
            .unwrap();
    }
    offsets
}

/// The first position and the end of each range that is lost.
fn lost(report: &Report) -> Vec<(u64, u64)> {
    let ends = |range: &Range<Position>| (range.start.get(), range.end.get());
    report.damages.iter().map(|damage| ends(&damage.positions)).collect()
}

/// Where the only damage is.
fn only_place(report: &Report) -> (u64, u64) {
    assert_eq!(report.damage_count, 1, "{report:?}");
    match &report.damages[0].error {
        Error::Corrupt { segment, offset, .. } => (segment.get(), *offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sound_store_is_sound_from_inside_and_from_outside() {
    for checkpoint_event_count in [1, 7, 1_000] {
        let place = place();
        let options = small().checkpoint_event_count(checkpoint_event_count);
        let store = options.open(place.path()).unwrap();
        let mut book = Book::new(7);
        let check = |store: &Store, book: &Book| {
            let inside = store.verify().unwrap();
            assert!(inside.is_sound(), "{inside:?}");
            assert_eq!((inside.event_count, inside.end.get()), (book.end(), book.end()));
            assert_eq!(inside.index, IndexCheck::Agrees);
            let outside = Inspection::open(store.path()).unwrap().verify();
            assert!(outside.is_sound(), "{outside:?}");
            assert_eq!(outside.event_count, book.end());
            assert_eq!(outside.index, IndexCheck::NotChecked);
            let files = segments(store.path());
            // Full segments are sealed by a thread of the store.
            let is_sealed = || store.verify().unwrap().sealed_count == common::count(&files) - 1;
            assert!(comes_true(is_sealed));
            let inside = store.verify().unwrap();
            assert_eq!(inside.segment_count, common::count(&files));
        };
        check(&store, &book);
        fill(&mut book, &store);
        check(&store, &book);
        store.close().unwrap();
        assert_error!(store.verify(), Error::Closed);
        let store = options.open(place.path()).unwrap();
        check(&store, &book);
    }
}

#[test]
fn a_flipped_byte_anywhere_in_a_store_is_found() {
    let (disk, book) = closed(&small());
    let mut checked = 0;
    for (name, bytes) in disk.files() {
        // A note that is not valid says nothing, and is as good as none.
        if ["clean", "durable", "LOCK"].contains(&name.as_str()) {
            continue;
        }
        for at in (0..bytes.len()).step_by(5) {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            let damaged = disk.restart();
            damaged.put(&name, bad);
            let Ok(inspection) = damaged.inspect() else {
                assert_eq!(name, "store.meta");
                continue;
            };
            let report = inspection.verify();
            assert!(!report.is_sound() && report.is_complete, "byte {at} of {name}");
            let lost: u64 = lost(&report).iter().map(|(first, end)| end - first).sum();
            assert_eq!(report.event_count + lost, book.end(), "byte {at} of {name}: {report:?}");
            checked += 1;
        }
    }
    assert!(checked > 2_500, "{checked} bytes");
}

#[test]
fn damage_to_a_record_costs_that_record_and_is_said_to() {
    let (disk, book) = closed(&small());
    for (name, bytes) in segment_files(&disk) {
        let offsets = offsets_in(&bytes);
        for (n, offset) in (first_of(&name)..).zip(&offsets) {
            let mut bad = bytes.clone();
            bad[offset + 70] ^= 4;
            let damaged = disk.restart();
            damaged.put(&name, bad);
            let inspection = damaged.inspect().unwrap();
            let report = inspection.verify();
            assert_eq!(lost(&report), [(n, n + 1)], "{name}");
            assert_eq!(only_place(&report), (first_of(&name), common::count(&bytes[..*offset])));
            // What stands behind can be read, unless it is what is left of the last batch.
            if n >= inspection.end().get() {
                continue;
            }
            let rest: Vec<_> = inspection.events().from(n + 1).map(Result::unwrap).collect();
            let rest: Vec<_> = rest.iter().map(Seen::of).collect();
            assert_eq!(rest, book.events[usize::try_from(n + 1).unwrap()..], "{name}");
            let before: Vec<_> = inspection.events().map_while(Result::ok).collect();
            assert_eq!(common::count(&before), n);
        }
    }
}

#[test]
fn damage_at_several_places_is_all_told() {
    let (disk, book) = closed(&small());
    let mut expected = Vec::new();
    for (name, mut bytes) in segment_files(&disk) {
        let offsets = offsets_in(&bytes);
        let (first, count) = (first_of(&name), common::count(&offsets));
        bytes[offsets[1] + 66] ^= 1;
        bytes[offsets[2] + 66] ^= 1;
        bytes[offsets[offsets.len() - 1] + 66] ^= 1;
        disk.put(&name, bytes);
        expected.extend([(first + 1, first + 3), (first + count - 1, first + count)]);
    }
    let report = disk.inspect().unwrap().verify();
    assert_eq!(lost(&report), expected);
    let lost: u64 = expected.iter().map(|(first, end)| end - first).sum();
    assert_eq!(report.event_count, book.end() - lost);
}

#[test]
fn a_damaged_header_costs_its_segment() {
    let (disk, book) = closed(&small());
    let files = segment_files(&disk);
    for (n, (name, bytes)) in files.iter().enumerate() {
        let mut bad = bytes.clone();
        bad[40] ^= 1;
        let damaged = disk.restart();
        damaged.put(name, bad);
        let report = damaged.inspect().unwrap().verify();
        let end = files.get(n + 1).map_or(book.end(), |(next, _)| first_of(next));
        assert_eq!(lost(&report), [(first_of(name), end)]);
        assert_eq!(only_place(&report), (first_of(name), 0));
    }
}

#[test]
fn a_missing_segment_costs_its_events() {
    let (disk, book) = closed(&small());
    let files = segment_files(&disk);
    for (n, (name, _)) in files.iter().enumerate() {
        let damaged = disk.restart();
        damaged.take(name);
        let report = damaged.inspect().unwrap().verify();
        assert_eq!(report.damage_count, 1, "{name}: {report:?}");
        if let Some((next, _)) = files.get(n + 1) {
            let (first, next) = (first_of(name), first_of(next));
            assert_eq!(report.event_count, book.end() - (next - first));
            assert_eq!(lost(&report), [(first, next)]);
            // Found by fuzzing: backwards, a stream all of whose events were in the first segment
            // looked as if it had none.
            let backwards = damaged.inspect().unwrap().stream_events("cart").backwards();
            assert!(backwards.last().unwrap().is_err(), "{name}");
        }
    }
}

#[test]
fn exchanged_segments_are_found() {
    let (disk, _) = closed(&small());
    let files = segment_files(&disk);
    for (a, bytes) in &files {
        for (b, other) in files.iter().filter(|(b, _)| b != a) {
            let damaged = disk.restart();
            damaged.put(a, other.clone());
            damaged.put(b, bytes.clone());
            let report = damaged.inspect().unwrap().verify();
            assert!(report.damage_count > 0, "{a} and {b}");
        }
    }
}

#[test]
fn damage_to_a_footer_costs_no_event() {
    let (disk, book) = closed(&small());
    let files = segment_files(&disk);
    for (n, (name, bytes)) in files[..files.len() - 1].iter().enumerate() {
        let end = first_of(&files[n + 1].0);
        let mut bad = bytes.clone();
        let at = bad.len() - 20;
        bad[at] ^= 1;
        let damaged = disk.restart();
        damaged.put(name, bad);
        let report = damaged.inspect().unwrap().verify();
        assert_eq!(report.event_count, book.end());
        assert_eq!(lost(&report), [(end, end)], "{report:?}");
    }
}

/// The checksums of the records may all be right, and the bytes not those that were sealed.
#[test]
fn a_segment_with_another_digest_is_found() {
    let (disk, book) = closed(&small());
    let (name, mut bytes) = segment_files(&disk).remove(1);
    let footer = bytes.len() - 96;
    bytes[footer + 72] ^= 1;
    let checksum = crc32fast::hash(&bytes[footer..footer + 92]);
    bytes[footer + 92..].copy_from_slice(&checksum.to_le_bytes());
    disk.put(&name, bytes);
    let report = disk.inspect().unwrap().verify();
    assert_eq!(only_place(&report), (first_of(&name), 0));
    assert_eq!(report.event_count, book.end());
    // No repair could tell what was there.
    let plan = disk.plan_repair().unwrap();
    assert!(!plan.is_needed() && plan.report().damages.len() == 1);
}

#[test]
fn damage_under_an_open_store_is_found() {
    let place = place();
    let store = small().open(place.path()).unwrap();
    let mut book = Book::new(7);
    fill(&mut book, &store);
    assert!(store.verify().unwrap().is_sound());
    let files = segments(place.path());
    // What seals a segment would write into one that is changed here.
    let is_sealed = || store.verify().unwrap().sealed_count == common::count(&files) - 1;
    assert!(comes_true(is_sealed));
    let segment = &files[1];
    let mut bytes = fs::read(segment).unwrap();
    bytes[200] ^= 1;
    fs::write(segment, &bytes).unwrap();
    let report = store.verify().unwrap();
    assert_eq!(only_place(&report).0, common::base_of(segment));
    assert_eq!(report.index, IndexCheck::NotChecked);
    bytes[200] ^= 1;
    fs::write(segment, bytes).unwrap();
    fs::remove_file(segment.with_file_name("../store.meta")).unwrap();
    assert_error!(
        Err::<(), _>(store.verify().unwrap().damages.remove(0).error),
        Error::CorruptFile { path, .. } if path == place.path().join("store.meta")
    );
}

#[test]
fn the_damaged_place_of_a_consumer_is_found() {
    let (disk, book) = closed(&small());
    disk.put("consumers/mailer", vec![7; 1_024]);
    let report = disk.inspect().unwrap().verify();
    assert_eq!((report.damage_count, report.event_count), (1, book.end()));
    assert_error!(
        Err::<(), _>(&report.damages[0].error),
        Error::CorruptFile { path, .. } if path.ends_with("consumers/mailer")
    );
}

/// Whether something that a thread of the store does comes true within a minute.
fn comes_true(is_true: impl Fn() -> bool) -> bool {
    let wait = || {
        std::thread::sleep(std::time::Duration::from_millis(10));
        false
    };
    (0..6_000).any(|_| is_true() || wait())
}

/// Changes the tree of a closed store's index.
fn change_index(path: &Path, change: impl FnOnce(&sled::Tree)) {
    // A process that another test is just starting holds a copy of sled's lock for a moment.
    let mut tries = std::iter::repeat_with(|| sled::open(path.join("index")));
    let db = tries.by_ref().take(10_000).find_map(Result::ok).unwrap();
    change(&db.open_tree("runs").unwrap());
    db.flush().unwrap();
}

/// Verifies a store whose index was changed, and sees it built anew by the next opening.
fn with_changed_index(change: impl FnOnce(&sled::Tree)) {
    let place = place();
    let options = small().checkpoint_event_count(5);
    let store = options.open(place.path()).unwrap();
    let mut book = Book::new(7);
    fill(&mut book, &store);
    store.close().unwrap();
    drop(store);
    change_index(place.path(), change);
    let store = options.open(place.path()).unwrap();
    assert_eq!(store.recovery().index, IndexRecovery::Current);
    let report = store.verify().unwrap();
    assert!(matches!(report.index, IndexCheck::Wrong { .. }), "{report:?}");
    assert!(report.damages.is_empty() && !report.is_sound());
    // From now on it answers nothing.
    assert_agrees(&store, &book.events);
    assert_eq!(store.verify().unwrap().index, IndexCheck::Unavailable);
    store.close().unwrap();
    let store = options.open(place.path()).unwrap();
    assert!(matches!(store.recovery().index, IndexRecovery::Rebuilt { .. }));
    assert!(store.verify().unwrap().is_sound());
    assert_agrees(&store, &book.events);
}

/// The keys of a kind: chunks of runs, parts of filters, marks.
fn keys_of(tree: &sled::Tree, kind: u8) -> Vec<sled::IVec> {
    tree.scan_prefix([kind]).keys().map(Result::unwrap).collect()
}

#[test]
fn an_index_that_has_lost_a_run_is_found() {
    with_changed_index(|tree| {
        // Of all, for which of them are merged already and count no more depends on a thread.
        for key in keys_of(tree, b'r').into_iter().filter(|key| key.len() == 9) {
            tree.remove(key).unwrap();
        }
    });
}

#[test]
fn an_index_that_has_lost_all_its_runs_is_found() {
    with_changed_index(|tree| {
        let keys = keys_of(tree, b'r');
        assert!(!keys.is_empty());
        for key in keys {
            tree.remove(key).unwrap();
        }
    });
}

#[test]
fn an_index_with_a_damaged_value_is_found() {
    with_changed_index(|tree| {
        for key in keys_of(tree, b'r') {
            let mut value = tree.get(&key).unwrap().unwrap().to_vec();
            value[5] ^= 1;
            tree.insert(key, value).unwrap();
        }
    });
}

#[test]
fn a_check_can_be_watched_and_ended() {
    let place = place();
    let store = small().segment_len_max(1 << 20).open(place.path()).unwrap();
    for _ in 0..10 {
        let events = (0..1_000).map(|_| NewEvent::bytes("t", []));
        store.append("s", Expected::Any, events).unwrap();
    }
    let mut steps = Vec::new();
    let report = store.verify_watched(|progress| {
        assert!(progress.done <= progress.total && progress.total == 10_000);
        steps.push(progress.step);
        ControlFlow::Continue(())
    });
    assert!(report.unwrap().is_sound());
    steps.dedup();
    assert_eq!(steps, [Step::Log, Step::Index]);
    for stop in [Step::Log, Step::Index] {
        let report = store.verify_watched(|progress| {
            if progress.step == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let report = report.unwrap();
        assert!(!report.is_complete && !report.is_sound());
        assert_eq!((report.damage_count, report.index), (0, IndexCheck::NotChecked));
    }
}

#[test]
fn a_store_that_is_being_appended_to_is_never_said_to_be_damaged() {
    let place = place();
    let options = small().checkpoint_event_count(50);
    let store = options.open(place.path()).unwrap();
    let done = AtomicBool::new(false);
    let append = |name: &str| {
        for n in 0..1_500_usize {
            let events = (0..=n % 3).map(|_| NewEvent::text("t", "some words ".repeat(n % 9)));
            store.append(name, Expected::Any, events).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let writers = ["a", "b"].map(|name| scope.spawn(move || append(name)));
        let store = &store;
        let done = &done;
        let checker = scope.spawn(move || {
            let mut checks = 0;
            while !done.load(Ordering::Acquire) {
                let report = store.verify().unwrap();
                assert!(report.is_sound(), "{report:?}");
                let report = Inspection::open(store.path()).unwrap().verify();
                assert!(report.is_sound(), "{report:?}");
                checks += 1;
            }
            checks
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Release);
        assert!(checker.join().unwrap() > 0);
    });
    assert!(store.verify().unwrap().is_sound());
}

/// A full disk may leave a segment without its seal, on appending, on closing, and on recovering.
/// It is sealed as soon as that can be, and is no damage before.
#[test]
fn what_could_not_be_sealed_is_no_damage() {
    let options = small().durability(Durability::Sync);
    let event = || [NewEvent::bytes("t", vec![7; 1_500])];
    for call in [Call::Write, Call::SetLen, Call::Sync] {
        for after in 0..30 {
            let what = format!("{call:?} {after}");
            let disk = Simulation::new();
            let store = disk.open(&options).unwrap();
            disk.inject(Fault::next(call, ErrorKind::Other).after(after).forever());
            while store.end().get() < 9 && store.append("s", Expected::Any, event()).is_ok() {}
            let _ = store.close();
            let report = disk.inspect().unwrap().verify();
            assert!(report.is_sound(), "{what}: {report:?}");

            let disk = disk.restart();
            disk.inject(Fault::next(call, ErrorKind::Other).after(after % 7));
            let opened = disk.open(&options);
            disk.heal();
            let store = opened.unwrap_or_else(|_| disk.open(&options).unwrap());
            let report = store.verify().unwrap();
            assert!(report.is_sound(), "{what}: {report:?}");
            for _ in 0..9 {
                store.append("s", Expected::Any, event()).unwrap();
            }
            store.close().unwrap();
            let report = disk.inspect().unwrap().verify();
            assert!(report.is_sound(), "{what}: {report:?}");
            assert_eq!(report.sealed_count, report.segment_count - 1, "{what}");
        }
    }
}

/// Two copies of a store went on apart, and a record of one was put into the other: its checksum is
/// right, so is its position, and the record after it follows from another one.
#[test]
fn a_record_of_a_copy_that_went_another_way_is_noticed() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    let append = |store: &Store, text: &str| {
        store.append("s", Expected::Any, [NewEvent::text("t", text)]).unwrap();
    };
    append(&store, "both");
    store.close().unwrap();
    let copies = ["mine", "thin"].map(|text| {
        let copy = disk.restart();
        let store = copy.open(&Options::new()).unwrap();
        append(&store, text);
        append(&store, "more");
        store.close().unwrap();
        copy
    });
    let name = "log/00000000000000000000.seg";
    let [mine, other] = copies
        .each_ref()
        .map(|copy| copy.files().into_iter().find(|(file, _)| file == name).unwrap().1);
    let offsets = offsets_in(&mine);
    assert_eq!(offsets, offsets_in(&other));
    let mut spliced = other.clone();
    let place = offsets[1]..offsets[2];
    // Of the first copy, so that its time is earlier than that of what follows.
    spliced[place.clone()].copy_from_slice(&mine[place]);
    assert_ne!(spliced, other);
    copies[1].put(name, spliced);

    let inspection = copies[1].inspect().unwrap();
    assert_eq!(inspection.verify().damage_count, 1);
    let store = copies[1].open(&Options::new()).unwrap();
    let read: Vec<_> = store.read_all().collect();
    assert_error!(&read[read.len() - 1], Error::Corrupt { .. });
    assert!(!store.verify().unwrap().is_sound());
}

/// The same with a whole segment, whose header and records hang together.
#[test]
fn a_segment_of_a_copy_that_went_another_way_is_noticed() {
    let disk = Simulation::new();
    disk.open(&small()).unwrap().close().unwrap();
    let copies = [1_u8, 2].map(|byte| {
        let copy = disk.restart();
        let store = copy.open(&small()).unwrap();
        for _ in 0..12 {
            store.append("s", Expected::Any, [NewEvent::bytes("t", vec![byte; 1_500])]).unwrap();
        }
        store.close().unwrap();
        copy
    });
    let [mine, other] = copies.each_ref().map(segments_of);
    assert!(mine.len() > 4 && mine.len() == other.len());
    let (name, bytes) = &other[1];
    assert_eq!((name, bytes.len()), (&mine[1].0, mine[1].1.len()));
    copies[0].put(name, bytes.clone());
    let store = copies[0].open(&small()).unwrap();
    let read: Vec<_> = store.read_all().collect();
    assert_error!(&read[read.len() - 1], Error::Corrupt { .. });
    let right = |event: &annals::Event| event.payload().iter().all(|byte| *byte == 1);
    assert!(read.iter().flatten().all(right), "an event of the other copy was given");
    assert!(store.verify().unwrap().damage_count > 0);
}

#[test]
fn a_torn_tail_is_no_damage() {
    let disk = Simulation::new();
    let store = disk.open(&small().durability(Durability::Sync)).unwrap();
    let mut book = Book::new(3);
    fill(&mut book, &store);
    let (name, mut bytes) = segment_files(&disk).pop().unwrap();
    bytes.extend([1; 100]);
    let crashed = disk.crash(1);
    crashed.put(&name, bytes);
    let inspection = crashed.inspect().unwrap();
    assert!(inspection.trailing_len() >= 100);
    let report = inspection.verify();
    assert!(report.is_sound() && report.event_count == book.end(), "{report:?}");
}
