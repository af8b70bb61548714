//! A medium that does not give what was written, below a store.

use std::ops::Range;

use super::*;
use crate::error::Error;
use crate::event::{Expected, NewEvent};
use crate::log::tests::segments;
use crate::segment::name_of;
use crate::types::Position;

fn options() -> Options {
    Options::new().segment_len_max(4 << 10)
}

/// Fills segments until there are so many. These bytes of the `bad`th are not to be read any more.
/// Returns the positions that are in it.
fn fill(
    store: &Store,
    disk: &Simulation,
    count: usize,
    bad: Option<(usize, Range<u64>)>,
) -> Range<u64> {
    loop {
        let (bases, _) = segments(&disk.directory);
        if bases.len() == count {
            return bad.map_or(0..0, |(bad, _)| bases[bad]..bases[bad + 1]);
        }
        if let Some((bad, bytes)) = &bad
            && *bad == bases.len() - 1
        {
            disk.directory.spoil(&name_of(Position::new(bases[*bad])), bytes.clone());
        }
        store.append("s", Expected::Any, [NewEvent::bytes("t", vec![7; 1_000])]).unwrap();
    }
}

/// Reads from every position on, and says at which the event cannot be read.
fn unreadable(store: &Store) -> Vec<u64> {
    let is_bad = |n: &u64| match store.read_all().from(*n).next() {
        Some(Ok(event)) => event.position().get() != *n,
        Some(Err(Error::Io { .. })) => true,
        other => panic!("{other:?}"),
    };
    (0..store.end().get()).filter(is_bad).collect()
}

/// A medium that did not give one byte of a full segment ended sealing for good: every later segment
/// stayed open, and the store could not be opened any more, though all else could be read.
#[test]
fn a_segment_that_cannot_be_read_holds_up_no_other() {
    const COUNT: usize = 60;
    // In the header, in the middle, and where the footer goes.
    let places = [10..20, 1_500..1_600, 3_300..3_310];
    let bads = [0, 30, COUNT - 4, COUNT - 3, COUNT - 2];
    let cases = bads.iter().flat_map(|bad| places.iter().map(|bytes| (*bad, bytes.clone())));
    for bad in cases {
        let disk = Simulation::new();
        let store = disk.open(&options()).unwrap();
        let lost = fill(&store, &disk, COUNT, Some(bad.clone()));
        let assert_holds = |disk: &Simulation, store: &Store| {
            let found = unreadable(store);
            assert!(found.iter().all(|n| lost.contains(n)), "{bad:?}: {found:?} of {lost:?}");
            assert!(disk.directory.open_count() < 50, "{} are open", disk.directory.open_count());
        };
        assert_holds(&disk, &store);
        let (bases, sealed) = segments(&disk.directory);
        let waiting = bases.len() - sealed.len();
        assert!((2..=4).contains(&waiting), "{bad:?}: {waiting} of {} are not sealed", bases.len());
        // Killed, and without power.
        for other in [disk.restart(), disk.crash(7)] {
            assert_holds(&other, &other.open(&options()).unwrap());
        }
        store.close().unwrap();
        drop(store);
        for n in 0..3 {
            let store = disk.open(&options()).unwrap();
            assert_holds(&disk, &store);
            fill(&store, &disk, COUNT + 5 * (n + 1), None);
            store.close().unwrap();
        }
        let (bases, sealed) = segments(&disk.directory);
        assert_eq!(bases.len() - sealed.len(), 2, "{bad:?}: the bad one, and the last");
        let report = disk.inspect().unwrap().verify();
        assert!(!report.is_sound());
        assert!(report.damages.iter().all(|damage| lost.contains(&damage.positions.start.get())));
    }
}

#[test]
fn a_segment_that_can_be_read_again_is_sealed_when_the_store_is_closed() {
    let disk = Simulation::new();
    let store = disk.open(&options()).unwrap();
    let lost = fill(&store, &disk, 20, Some((5, 1_500..1_600)));
    assert!(!store.verify().unwrap().is_sound());
    disk.directory.spoil(&name_of(Position::new(lost.start)), 0..0);
    // It waits to be sealed, and is no damage.
    let report = store.verify().unwrap();
    assert!(report.is_sound() && report.sealed_count == 18, "{report:?}");
    store.close().unwrap();
    let (bases, sealed) = segments(&disk.directory);
    assert_eq!(sealed, bases[..19]);
    let store = disk.open(&options()).unwrap();
    assert!(store.recovery().was_closed && store.recovery().sealed_count == 0);
    assert!(store.verify().unwrap().is_sound());
}

/// Those before it were never looked at again, and called damaged for good.
#[test]
fn segments_before_one_whose_header_cannot_be_read_are_sealed_when_that_can_be_read_again() {
    let disk = Simulation::new();
    let store = disk.open(&options()).unwrap();
    // The first holds up the second, which is not tried before the process is killed.
    fill(&store, &disk, 3, Some((0, 1_500..1_600)));
    let (bases, sealed) = segments(&disk.directory);
    assert!(bases.len() == 3 && sealed.is_empty(), "{sealed:?}");
    let [first, second] = [bases[0], bases[1]].map(|base| name_of(Position::new(base)));
    disk.directory.spoil(&first, 0..0);
    disk.directory.spoil(&second, 10..20);
    let disk = disk.restart();
    let store = disk.open(&options()).unwrap();
    disk.directory.spoil(&second, 0..0);
    store.close().unwrap();
    let store = disk.open(&options()).unwrap();
    assert!(store.recovery().was_closed && store.verify().unwrap().is_sound());
    let (bases, sealed) = segments(&disk.directory);
    assert_eq!(sealed, bases[..2]);
}
