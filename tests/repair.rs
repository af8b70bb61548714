//! Repairing a store: it opens again, what is lost is told, and what was taken away is kept.
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::fs;
use std::io::ErrorKind;

use annals::inspect::Inspection;
use annals::simulation::{Call, Fault, Simulation};
use annals::{Error, Expected, NewEvent, Position, RepairPlan, RepairReport, Store};
use common::{Book, Seen, all_files, assert_error, count, place, read_main_ways, slots, small};

/// A simulated store with several segments, closed, and what is in it.
fn closed() -> (Simulation, Book) {
    let disk = Simulation::new();
    let store = disk.open(&small().checkpoint_event_count(20)).unwrap();
    let mut book = Book::new(11);
    fill(&mut book, &store);
    store.close().unwrap();
    (disk, book)
}

fn fill(book: &mut Book, store: &Store) {
    for n in 0..30 {
        book.append(store, &[("cart", 1 + n % 4), ("user", n % 3), ("订单", n % 2)]);
    }
}

fn segment_files(disk: &Simulation) -> Vec<(String, Vec<u8>)> {
    let mut files = disk.files();
    files.retain(|(name, _)| name.starts_with("log/"));
    files.sort();
    assert!(files.len() > 3, "{} segments", files.len());
    files
}

fn first_of(name: &str) -> u64 {
    name.trim_start_matches("log/").trim_end_matches(".seg").parse().unwrap()
}

/// Where the batch begins that holds a position.
fn batch_start(book: &Book, position: u64) -> u64 {
    let before = &book.events[..usize::try_from(position).unwrap()];
    before.iter().rfind(|event| event.ends_batch).map_or(0, |event| event.position + 1)
}

/// Plans and carries out what must be needed, and checks that both tell the same.
fn repair(disk: &Simulation) -> RepairReport {
    let plan = disk.plan_repair().unwrap();
    assert!(plan.is_needed(), "{}", plan.report());
    let (end, removed) = (plan.report().end, plan.report().removed.clone());
    let report = plan.carry_out().unwrap();
    assert_eq!((report.end, &report.removed), (end, &removed));
    assert!(!disk.plan_repair().unwrap().is_needed());
    report
}

/// Checks that a store holds the first events of `book`, is sound, and takes more.
fn assert_holds(disk: &Simulation, book: &Book, end: u64, what: &str) {
    let mut book = book.clone();
    book.events.truncate(usize::try_from(end).unwrap());
    let store = disk.open(&small().create(false));
    let store = store.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(read_main_ways(&store, &book.events).len(), 0, "{what}");
    assert!(store.verify().unwrap().is_sound(), "{what}");
    book.append(&store, &[("cart", 1), ("after", 2)]);
    assert_eq!(read_main_ways(&store, &book.events).len(), 0, "{what}");
    store.close().unwrap();
    let report = disk.inspect().unwrap().verify();
    assert!(report.is_sound(), "{what}: {report:?}");
}

#[test]
fn a_sound_store_needs_no_repair_and_is_left_alone() {
    let (disk, book) = closed();
    let before = disk.files();
    let plan = disk.plan_repair().unwrap();
    assert!(!plan.is_needed());
    assert_eq!((plan.report().end.get(), plan.report().removed.is_empty()), (book.end(), true));
    let report = plan.carry_out().unwrap();
    assert_eq!(report.kept_in, None);
    assert_eq!(disk.files(), before);
}

#[test]
fn a_torn_tail_needs_no_repair() {
    let (disk, _) = closed();
    let (name, mut bytes) = segment_files(&disk).pop().unwrap();
    bytes.extend([1; 100]);
    disk.put(&name, bytes);
    disk.take("clean");
    assert!(!disk.plan_repair().unwrap().is_needed());
}

#[test]
fn any_flipped_byte_is_repaired_and_what_is_before_it_is_kept() {
    let (disk, book) = closed();
    let mut cuts = 0;
    for (name, bytes) in disk.files() {
        if name == "clean" || name == "LOCK" {
            continue;
        }
        for at in (0..bytes.len()).step_by(61) {
            let what = format!("byte {at} of {name}");
            let damaged = disk.restart();
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            damaged.put(&name, bad);
            if !damaged.plan_repair().unwrap().is_needed() {
                // The footer of the last full segment: it may be waiting to be sealed.
                assert_holds(&damaged, &book, book.end(), &what);
                continue;
            }
            let report = repair(&damaged);
            let end = report.end.get();
            let lost = |position: u64| {
                report.unreadable.iter().any(|range| range.contains(&Position::new(position)))
            };
            let unreadable = (0..book.end()).filter(|position| lost(*position)).count();
            if end < book.end() {
                cuts += 1;
                assert_eq!(report.removed, report.end..Position::new(book.end()), "{what}");
                assert_eq!(batch_start(&book, end), end, "{what}");
                assert!(unreadable > 0, "{what}: {report}");
                let first = report.unreadable[0].start.get();
                assert_eq!(batch_start(&book, first), end, "{what}: {report}");
            } else {
                assert_eq!(unreadable, 0, "{what}");
            }
            assert_holds(&damaged, &book, end, &what);
        }
    }
    assert!(cuts > 150, "{cuts} cuts");
}

#[test]
fn a_missing_segment_is_repaired() {
    let (disk, book) = closed();
    let files = segment_files(&disk);
    for (n, (name, _)) in files.iter().enumerate() {
        let damaged = disk.restart();
        damaged.take(name);
        let report = repair(&damaged);
        assert_eq!(report.end.get(), first_of(name));
        assert_eq!(report.removed, Position::new(first_of(name))..Position::new(book.end()));
        let next = files.get(n + 1).map_or(book.end(), |(next, _)| first_of(next));
        assert_eq!(report.unreadable, [Position::new(first_of(name))..Position::new(next)]);
        assert_holds(&damaged, &book, first_of(name), name);
    }
}

#[test]
fn exchanged_segments_are_repaired() {
    let (disk, book) = closed();
    let files = segment_files(&disk);
    for (a, bytes) in &files {
        for (b, other) in files.iter().filter(|(b, _)| b > a) {
            let damaged = disk.restart();
            damaged.put(a, other.clone());
            damaged.put(b, bytes.clone());
            let report = repair(&damaged);
            assert_eq!(report.end.get(), first_of(a));
            assert_holds(&damaged, &book, first_of(a), &format!("{a} and {b}"));
        }
    }
}

#[test]
fn a_lost_store_meta_is_made_out_from_the_first_segment() {
    let (disk, book) = closed();
    let meta = |disk: &Simulation| disk.files().into_iter().find(|(name, _)| name == "store.meta");
    let (_, original) = meta(&disk).unwrap();
    for bad in [None, Some(vec![]), Some(vec![7; 64]), Some(original[..60].to_vec())] {
        let damaged = disk.restart();
        damaged.take("store.meta");
        if let Some(bad) = bad {
            damaged.put("store.meta", bad);
        }
        let report = repair(&damaged);
        assert!(report.is_meta_rebuilt && report.removed.is_empty());
        let (_, rebuilt) = meta(&damaged).unwrap();
        // All but the time of creation, and the checksum, is as it was.
        assert_eq!((&rebuilt[..32], &rebuilt[40..60]), (&original[..32], &original[40..60]));
        assert_holds(&damaged, &book, book.end(), "store.meta");
    }
}

#[test]
fn a_store_whose_meta_and_first_segment_are_lost_is_refused_and_left_alone() {
    let (disk, _) = closed();
    disk.take("store.meta");
    disk.put("log/00000000000000000000.seg", vec![0; 500]);
    let before = disk.files();
    assert_error!(disk.plan_repair(), Error::CorruptFile { .. });
    assert_eq!(disk.files(), before);
}

#[test]
fn a_damaged_footer_is_written_anew_and_costs_nothing() {
    let (disk, book) = closed();
    let files = segment_files(&disk);
    for (name, bytes) in &files[..files.len() - 1] {
        let damaged = disk.restart();
        let mut bad = bytes.clone();
        let at = bad.len() - 50;
        bad[at] ^= 1;
        damaged.put(name, bad);
        // Without a sealed one after it, it may be waiting to be sealed, which opening does.
        if name != &files[files.len() - 2].0 {
            let report = repair(&damaged);
            assert_eq!(report.sealed, [Position::new(first_of(name))]);
        }
        assert_holds(&damaged, &book, book.end(), name);
        let of = |(other, _): &(String, Vec<u8>)| other == name;
        assert_eq!(&segment_files(&damaged).into_iter().find(of).unwrap().1, bytes);
    }
}

/// The position in the file of a consumer: `docs/format.md`, section 7.
fn place_of(disk: &Simulation, name: &str) -> Option<u64> {
    let (_, bytes) = disk.files().into_iter().find(|(file, _)| file == name)?;
    let generation = |at: usize| u64::from_le_bytes(bytes[at + 24..at + 32].try_into().unwrap());
    let at = if generation(0) > generation(8_192) { 0 } else { 8_192 };
    Some(u64::from_le_bytes(bytes[at + 32..at + 40].try_into().unwrap()))
}

#[test]
fn consumers_behind_the_cut_are_put_to_the_end_and_others_stay() {
    let (disk, book) = closed();
    let (name, mut bytes) = segment_files(&disk).remove(1);
    let id = bytes[16..32].try_into().unwrap();
    let cut = first_of(&name);
    for (name, position) in [("early", cut - 1), ("there", cut), ("late", book.end())] {
        disk.put(&format!("consumers/{name}"), slots(id, position));
    }
    disk.put("consumers/broken", vec![1; 1_024]);
    bytes[70] ^= 1;
    disk.put(&name, bytes);
    let mut report = repair(&disk);
    report.consumers.sort();
    assert_eq!(
        (report.end.get(), &report.consumers[..]),
        (cut, &["broken", "late"].map(String::from)[..])
    );
    let places =
        ["early", "there", "late"].map(|name| place_of(&disk, &format!("consumers/{name}")));
    assert_eq!(places, [Some(cut - 1), Some(cut), Some(cut)]);
    assert_eq!(place_of(&disk, "consumers/broken"), None);
    assert_holds(&disk, &book, cut, "consumers");
}

#[test]
fn a_log_that_ends_before_its_witnesses_is_repaired_by_letting_go_of_them() {
    let (disk, book) = closed();
    let (name, bytes) = segment_files(&disk).pop().unwrap();
    disk.put(&name, &bytes[..bytes.len() - 8]);
    // The note of the clean close says so, and the index.
    assert_error!(disk.restart().without_index().open(&small()), Error::Corrupt { .. });
    let unnoted = disk.restart();
    unnoted.take("clean");
    assert_error!(unnoted.open(&small()), Error::Corrupt { .. });
    let end = batch_start(&book, book.end() - 1);
    let report = repair(&disk);
    assert_eq!(report.removed, Position::new(end)..Position::new(book.end()));
    assert_holds(&disk, &book, end, "cut off");
}

/// A store with damage in its second segment of several, and where a repair ends it.
fn damaged() -> (Simulation, Book, u64) {
    let (disk, book) = closed();
    let (name, mut bytes) = segment_files(&disk).remove(1);
    let id = bytes[16..32].try_into().unwrap();
    disk.put("consumers/late", slots(id, book.end()));
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    disk.put(&name, bytes);
    let end = disk.plan_repair().unwrap().report().end.get();
    assert!(end > first_of(&name) && end < book.end());
    (disk, book, end)
}

#[test]
fn a_repair_that_a_crash_interrupts_anywhere_is_finished_by_another() {
    let (disk, book, end) = damaged();
    let whole = disk.restart();
    whole.plan_repair().unwrap().carry_out().unwrap();
    let calls = whole.call_count();
    assert!(calls > 20);
    let (mut unfinished, mut states) = (0, 0);
    for call in 0..=calls {
        for seed in 0..5 {
            let what = format!("call {call}, seed {seed}");
            let dying = disk.restart();
            let plan = dying.plan_repair().unwrap();
            dying.die_after(call);
            let done = plan.carry_out();
            let crashed = dying.crash(seed);
            states += 1;
            match crashed.open(&small().create(false)) {
                Err(Error::RepairUnfinished { .. }) => unfinished += 1,
                Err(Error::Corrupt { .. }) => assert!(done.is_err(), "{what}"),
                Ok(store) => {
                    // Damage in the middle is noticed by who reads it: before the repair it opens.
                    let store_end = store.end().get();
                    assert!([end, book.end()].contains(&store_end), "{what}: {store_end}");
                    assert!(done.is_err() || store_end == end, "{what}");
                }
                Err(error) => panic!("{what}: {error:?}"),
            }
            let crashed = dying.crash(seed);
            let plan = crashed.plan_repair().unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert_eq!(plan.report().end.get(), end, "{what}");
            plan.carry_out().unwrap();
            assert_holds(&crashed, &book, end, &what);
        }
    }
    assert!(unfinished > 50 && states > 100, "{unfinished} of {states}");
}

/// It needs room for copies, and where there is none the store that could be used still can.
#[test]
fn a_repair_without_room_leaves_the_store_as_it_was() {
    let (disk, _, _) = damaged();
    let originals = |disk: &Simulation| {
        let mut files = disk.files();
        files.retain(|(name, _)| !name.starts_with("quarantine/"));
        files
    };
    let mut refused = 0;
    for after in 0.. {
        let full = disk.restart();
        let plan = full.plan_repair().unwrap();
        let before = originals(&full);
        full.inject(Fault::next(Call::Write, ErrorKind::StorageFull).after(after).forever());
        let done = plan.carry_out();
        full.heal();
        if originals(&full).iter().any(|(name, _)| name == "repairing") || done.is_ok() {
            break;
        }
        assert!(matches!(done, Err(Error::Io { .. })), "{done:?}");
        assert!(originals(&full) == before, "{after}");
        refused += 1;
    }
    assert!(refused >= 4, "{refused} writes before the first change");
}

#[test]
fn a_repair_whose_calls_fail_can_be_done_again() {
    let (disk, book, end) = damaged();
    let calls = [
        Call::Create,
        Call::Write,
        Call::Sync,
        Call::Rename,
        Call::Remove,
        Call::CreateFolder,
        Call::SyncFolder,
        Call::Open,
        Call::Read,
        Call::List,
    ];
    for call in calls {
        for after in 0.. {
            let failing = disk.restart();
            let plan = failing.plan_repair().unwrap();
            failing.inject(Fault::next(call, ErrorKind::StorageFull).after(after));
            let done = plan.carry_out();
            failing.heal();
            if done.is_ok() {
                assert!(after > 0, "{call:?} is never called");
                break;
            }
            let again = failing.plan_repair().unwrap();
            assert_eq!(again.report().end.get(), end, "{call:?} {after}");
            again.carry_out().unwrap();
            assert_holds(&failing, &book, end, &format!("{call:?} {after}"));
        }
    }
}

#[test]
fn a_medium_that_cannot_be_read_is_no_damage_to_cut_at() {
    let (disk, book) = closed();
    for after in 0..60 {
        for call in [Call::Read, Call::Open, Call::List] {
            let failing = disk.restart();
            let before = failing.files();
            failing.inject(Fault::next(call, ErrorKind::Other).after(after));
            match failing.plan_repair() {
                Ok(plan) => assert_eq!(plan.report().end.get(), book.end(), "{call:?} {after}"),
                Err(error) => assert!(matches!(error, Error::Io { .. }), "{error:?}"),
            }
            failing.heal();
            let mut after = failing.files();
            after.retain(|(name, _)| name != "LOCK");
            assert_eq!(after.len(), before.iter().filter(|(name, _)| name != "LOCK").count());
        }
    }
}

#[test]
fn what_is_no_store_or_is_open_is_not_repaired() {
    let place = place();
    let path = place.path().join("store");
    assert_error!(RepairPlan::make(&path), Error::NotAStore { .. });
    fs::create_dir(&path).unwrap();
    fs::write(path.join("letter"), "dear").unwrap();
    assert_error!(RepairPlan::make(&path), Error::NotAStore { .. });
    assert_eq!(all_files(&path).len(), 1);
    let path = place.path().join("open");
    let store = Store::open(&path).unwrap();
    assert_error!(RepairPlan::make(&path), Error::Locked { .. });
    store.close().unwrap();
    let plan = RepairPlan::make(&path).unwrap();
    assert_error!(Store::open(&path), Error::Locked { .. });
    drop(plan);
    Store::open(&path).unwrap();
}

/// What the owner of a store does after a flipped bit in the middle of it.
#[test]
fn what_was_taken_away_can_be_read_and_appended_again() {
    let place = place();
    let path = place.path().join("store");
    let options = small().checkpoint_event_count(20);
    let store = options.open(&path).unwrap();
    let mut book = Book::new(11);
    fill(&mut book, &store);
    store.close().unwrap();
    drop(store);
    let segment = common::segments(&path).remove(1);
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let report = RepairPlan::make(&path).unwrap().carry_out().unwrap();
    let lost = report.unreadable.clone();
    assert_eq!(lost.len(), 1);
    let kept = Inspection::open(report.kept_in.as_ref().unwrap()).unwrap();
    let store = options.open(&path).unwrap();
    assert_eq!(store.end(), report.end);
    let sound = kept.events().from(report.end).map_while(Result::ok);
    let events: Vec<_> = sound.chain(kept.events().from(lost[0].end).map(Result::unwrap)).collect();
    for event in &events {
        store.append(event.stream(), Expected::Any, [NewEvent::from(event)]).unwrap();
    }
    let is_lost = |event: &Seen| lost[0].contains(&Position::new(event.position));
    let ids: Vec<_> = book.events.iter().filter(|event| !is_lost(event)).map(|e| e.id).collect();
    let found: Vec<_> = store.read_all().map(|event| event.unwrap().id()).collect();
    assert_eq!(found, ids);
    assert_eq!(count(&found) + (lost[0].end.get() - lost[0].start.get()), book.end());
    assert!(store.verify().unwrap().is_sound());
    let text = fs::read_to_string(report.kept_in.unwrap().join("report.txt")).unwrap();
    assert!(text.contains("removed: positions") && text.contains("unreadable: positions"));
}
