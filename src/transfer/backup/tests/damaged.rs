//! Backups of a store that is damaged, or was left in the middle of a repair.

use super::*;
use crate::segment::name_of;

#[test]
fn damage_to_a_segment_is_an_error_that_names_it_and_the_copy_has_what_is_before() {
    let shop = Shop::new();
    shop.fill(12);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    shop.fill(90);
    let bases = look(&shop.directory).into_sound().unwrap().0;
    let broken = *bases.get(3).unwrap();
    let name = name_of(broken);
    let mut bytes = content(&shop.directory).remove(&name).unwrap();
    *bytes.get_mut(500).unwrap() ^= 1;
    shop.directory.put(&name, bytes);
    for _ in 0..2 {
        match shop.copy_to(&copy) {
            Err(Error::Corrupt { segment, .. }) => assert_eq!(segment, broken),
            other => panic!("{other:?}"),
        }
        assert_eq!(assert_opens(&copy, 12, "damaged"), broken.get());
    }
    let first = SimulatedDirectory::new();
    assert!(
        matches!(shop.copy_to(&first), Err(Error::Corrupt { segment, .. }) if segment == broken)
    );
    assert!(!is_store(&first));
}

#[test]
fn damage_at_the_end_of_the_log_is_an_error_and_the_copy_stays_as_it_was() {
    let shop = Shop::new();
    shop.fill(60);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    shop.fill(66);
    let before = content(&copy);
    let last = *look(&shop.directory).into_sound().unwrap().0.last().unwrap();
    let name = name_of(last);
    let mut bytes = content(&shop.directory).remove(&name).unwrap();
    let middle = bytes.len() - 100;
    *bytes.get_mut(middle).unwrap() ^= 1;
    shop.directory.put(&name, bytes);
    assert!(matches!(shop.copy_to(&copy), Err(Error::Corrupt { .. })));
    assert_eq!(content(&copy), before);
}

#[test]
fn a_damaged_consumer_is_told_and_the_copy_keeps_the_one_it_has() {
    let shop = Shop::new();
    shop.fill(12);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    let kept = content(&copy).remove("consumers/billing").unwrap();
    shop.fill(24);
    shop.directory.put("consumers/billing", vec![7; 100]);
    let report = shop.copy_to(&copy).unwrap();
    assert!(matches!(report.damages[..], [Error::CorruptFile { .. }]), "{report:?}");
    assert_eq!(content(&copy).remove("consumers/billing").unwrap(), kept);
    assert_whole(&copy, 24, "the rest");
}

#[test]
fn an_unfinished_repair_is_neither_copied_nor_copied_over() {
    let shop = Shop::new();
    shop.fill(12);
    let copy = SimulatedDirectory::new();
    shop.copy_to(&copy).unwrap();
    shop.directory.put("repairing", Vec::new());
    assert!(matches!(shop.copy_to(&copy), Err(Error::RepairUnfinished { .. })));
    shop.directory.take("repairing");
    copy.put("repairing", Vec::new());
    assert!(matches!(shop.copy_to(&copy), Err(Error::RepairUnfinished { .. })));
}
