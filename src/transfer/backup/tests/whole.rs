//! What of a store is in its copy, and that nothing is done to the original.

use std::io::ErrorKind;

use super::*;
use crate::directory::{Call, Fault};
use crate::format::Slot;

#[test]
fn a_backup_changes_nothing_of_the_original() {
    let shop = Shop::new();
    shop.fill(60);
    let before = shop.directory.files();
    shop.copy_to(&SimulatedDirectory::new()).unwrap();
    assert_eq!(shop.directory.files(), before);
    let store = shop.open();
    append(&store, 90, Durability::Buffered);
    let before = shop.directory.files();
    shop.copy_to(&SimulatedDirectory::new()).unwrap();
    assert_eq!(shop.directory.files(), before);
}

/// The process that appended was killed before it has noted what it acknowledged.
#[test]
fn what_was_acknowledged_and_not_noted_is_in_the_copy() {
    let shop = Shop::new();
    let store = shop.open();
    append(&store, 60, Durability::Sync);
    let killed = shop.directory.restarted();
    killed.take("durable");
    let copy = SimulatedDirectory::new();
    assert_eq!(copy_to(&killed, &copy).unwrap().end.get(), 60);
    assert_whole(&copy, 60, "killed");
}

/// After a sync that has failed, no later one tells what is on the medium.
#[test]
fn what_a_failed_sync_may_have_lost_is_not_in_the_copy() {
    let shop = Shop::new();
    let store = shop.open();
    append(&store, 6, Durability::Sync);
    append(&store, 9, Durability::Buffered);
    shop.directory.inject(Fault::next(Call::Sync, ErrorKind::Other));
    store.sync().unwrap_err();
    let copy = SimulatedDirectory::new();
    let report = shop.copy_to(&copy).unwrap();
    assert_eq!((report.end.get(), report.left_out_count), (6, 3));
    assert_whole(&copy, 6, "poisoned");
    // Without its notes, the records still tell of each other that they were durable.
    shop.directory.take("durable");
    let copy = SimulatedDirectory::new();
    assert_eq!(shop.copy_to(&copy).unwrap().end.get(), 6);
}

/// Two slots of which one is being written: the other one counts.
#[test]
fn a_place_that_is_being_written_is_the_one_before() {
    let shop = Shop::new();
    shop.fill(24);
    let copy = SimulatedDirectory::new();
    let store = shop.open();
    commit(&store, 23);
    commit(&store, 24);
    let file = content(&shop.directory).remove("consumers/billing").unwrap();
    let latest = Slot::latest(&file).unwrap();
    assert_eq!(latest.position.get(), 24);
    let mut torn = file.clone();
    let at = usize::try_from(latest.offset()).unwrap() + 40;
    torn.get_mut(at..at + 8).unwrap().fill(0xee);
    shop.directory.put("consumers/billing", torn);
    assert!(shop.copy_to(&copy).unwrap().damages.is_empty());
    let store = open(&copy, &Options::new(), &MemoryTree::default()).unwrap();
    assert_eq!(store.consumers().unwrap().first().unwrap().committed.get(), 23);
}
