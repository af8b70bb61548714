//! Backups that end early: the process dies, the power fails, or a call does.

use std::io::ErrorKind;

use super::*;
use crate::directory::{Call, Fault};
use crate::format::SegmentHeader;
use crate::segment::name_of;

/// Copies to `before`, which holds `least` events or is no store if that is `None`, and ends the
/// process after each call. What that leaves opens, and the next backup completes it, also if
/// someone has opened it before.
fn cut_everywhere(original: &SimulatedDirectory, before: &SimulatedDirectory, least: Option<u64>) {
    let end = look(original).end().get();
    let (mut cuts, mut stores) = (0, 0);
    for calls in 0.. {
        let copy = before.restarted();
        copy.die_after(calls);
        let is_done = copy_to(original, &copy).is_ok();
        let crashes = (0..3).map(|seed| copy.crashed(seed));
        for (n, left) in crashes.chain([copy.restarted()]).enumerate() {
            let what = format!("after {calls} calls, state {n}");
            if least.is_some() || is_done {
                assert!(is_store(&left), "{what}");
            }
            if is_store(&left) {
                assert_opens(&left, if is_done { end } else { least.unwrap_or(end) }, &what);
                stores += 1;
            }
            let again = left.restarted();
            copy_to(original, &again).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_whole(&again, end, &what);
            if is_store(&left) {
                let opened = left.restarted();
                open(&opened, &Options::new(), &MemoryTree::default()).unwrap().close().unwrap();
                copy_to(original, &opened).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_whole(&opened, end, &what);
            }
        }
        cuts += 1;
        if is_done {
            break;
        }
    }
    assert!(cuts > 40 && stores > 6, "{cuts} cuts, {stores} stores");
}

#[test]
fn a_first_backup_that_is_cut_off_leaves_no_store_and_is_done_again() {
    let shop = Shop::new();
    shop.fill(60);
    cut_everywhere(&shop.directory, &SimulatedDirectory::new(), None);
}

#[test]
fn a_later_backup_that_is_cut_off_leaves_what_was_there_or_more() {
    let shop = Shop::new();
    shop.fill(24);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    shop.fill(60);
    assert!(look(&shop.directory).into_sound().unwrap().0.len() > 3);
    cut_everywhere(&shop.directory, &copy, Some(24));
}

#[test]
fn a_later_backup_of_a_copy_that_was_opened_leaves_what_was_there_or_more() {
    let shop = Shop::new();
    shop.fill(24);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    open(&copy, &Options::new(), &MemoryTree::default()).unwrap().close().unwrap();
    shop.fill(60);
    cut_everywhere(&shop.directory, &copy, Some(24));
}

/// Recovery puts what was not known to be durable into a segment of its own, where the copy has it
/// in the one before.
#[test]
fn a_backup_of_what_recovery_has_moved_leaves_what_was_there_or_more() {
    let shop = Shop::with(Options::new().segment_len_max(64 << 10));
    let store = shop.open();
    append(&store, 30, Durability::Sync);
    append(&store, 45, Durability::Buffered);
    let copy = SimulatedDirectory::new();
    assert_eq!(shop.copy_to(&copy).unwrap().end.get(), 45);
    let killed = shop.directory.restarted();
    drop(store);
    let moved = Shop { directory: killed, tree: MemoryTree::default(), ..shop };
    let store = moved.open();
    assert!(store.recovery().rewritten_len > 0);
    let bases = look(&moved.directory).into_sound().unwrap().0;
    assert_eq!(bases.len(), 2, "the rest was moved");
    append(&store, 60, Durability::Sync);
    store.close().unwrap();
    cut_everywhere(&moved.directory, &copy, Some(45));
}

/// A segment that was begun when the copy was made, and taken back because its entry could not be
/// synced: the log goes on in the one before.
#[test]
fn a_backup_after_a_segment_was_taken_back_leaves_what_was_there_or_more() {
    let shop = Shop::with(Options::new().segment_len_max(64 << 10));
    shop.fill(30);
    let begun = shop.directory.restarted();
    let (_, end, _) = look(&begun).into_sound().unwrap();
    let header = SegmentHeader {
        store: look(&begun).id(),
        base: end.position,
        recorded_before: end.recorded_at,
        chain: end.checksum,
    };
    begun.put(&name_of(end.position), header.encode());
    begun.take("clean");
    begun.take("durable");
    let copy = SimulatedDirectory::new();
    copy_to(&begun, &copy).unwrap();
    assert_whole(&copy, 30, "begun");
    assert_eq!(look(&copy).into_sound().unwrap().0.len(), 2);
    shop.fill(60);
    cut_everywhere(&shop.directory, &copy, Some(30));
}

#[test]
fn a_backup_whose_calls_fail_can_be_done_again() {
    let calls = [
        Call::Open,
        Call::Create,
        Call::Read,
        Call::Write,
        Call::Sync,
        Call::SetLen,
        Call::Rename,
        Call::Remove,
        Call::CreateFolder,
        Call::SyncFolder,
        Call::List,
    ];
    let shop = Shop::new();
    shop.fill(24);
    let copied = SimulatedDirectory::new();
    shop.copy_to(&copied).unwrap();
    shop.fill(60);
    for (before, least) in [(SimulatedDirectory::new(), None), (copied, Some(24))] {
        for call in calls {
            for after in 0.. {
                let copy = before.restarted();
                copy.inject(Fault::next(call, ErrorKind::StorageFull).after(after));
                let done = shop.copy_to(&copy);
                copy.heal();
                let what = format!("{call:?} {after}, {least:?}");
                if is_store(&copy) {
                    assert_opens(&copy, least.unwrap_or(60), &what);
                }
                if done.is_ok() {
                    assert!(after > 0, "{call:?} is never called");
                    assert_whole(&copy, 60, &what);
                    break;
                }
                shop.copy_to(&copy).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_whole(&copy, 60, &what);
            }
        }
    }
}
