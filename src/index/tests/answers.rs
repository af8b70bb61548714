//! Ends, addresses, marks and listings; opening, closing and breaking.

use super::*;

#[test]
fn answers_are_the_same_from_tail_frozen_and_trees() {
    for twin in Twin::both() {
        let (index, end) = twin.open();
        assert!(end.is_none());
        let mut log = Log::default();
        for round in 0..120_u64 {
            log.append_to(&index, &[format!("s{}", round % 9), "hot".into(), "hot".into()]);
            match round % 8 {
                5 => assert_eq!(index.freeze(), Some(log.end())),
                7 => {
                    index.write_frozen(|| Ok(true)).unwrap();
                    let _ = index.tidy().unwrap();
                }
                _ => {}
            }
            if round % 5 == 0 {
                log.check(&index);
            }
        }
        log.check(&index);
        assert_eq!(index.stream_end("never").unwrap(), Revision::START);
        assert!(index.addresses("never", Revision::START..Revision::new(9)).unwrap().is_empty());
        assert!(index.fault().is_none());
        index.close();
        log.check(&twin.catch_up(&log));
    }
}

#[test]
fn a_range_that_ends_before_it_starts_holds_nothing() {
    for twin in Twin::both() {
        let (index, _) = twin.open();
        let mut log = Log::default();
        for _ in 0..2 {
            log.append_to(&index, &["a"; 20]);
            assert!(index.addresses("a", Revision::new(9)..Revision::new(3)).unwrap().is_empty());
            assert!(index.addresses("a", Revision::new(99)..Revision::new(3)).unwrap().is_empty());
            checkpoint(&index);
        }
        assert!(index.addresses("a", Revision::new(99)..Revision::new(3)).unwrap().is_empty());
        assert!(index.fault().is_none());
    }
}

#[test]
fn the_checkpoint_is_what_a_later_opening_finds() {
    for twin in Twin::both() {
        let (index, _) = twin.open();
        let mut log = Log::default();
        log.append_to(&index, &["a", "b"]);
        let end = checkpoint(&index);
        assert_eq!(end, log.end());
        log.append_to(&index, &["a"]);
        assert_eq!(index.indexed_end(), Some(log.end()));
        index.close();
        let (index, found) = twin.open();
        assert_eq!(found, Some(end));
        assert_eq!(index.indexed_end(), Some(end));
    }
}

#[test]
fn a_checkpoint_is_due_after_as_many_events_as_were_asked_for() {
    let (index, _) = Twin::Memory(MemoryTree::default()).open();
    let mut log = Log::default();
    assert_eq!((index.freeze(), index.indexed_end()), (None, None));
    log.append_to(&index, &["a"; 9]);
    assert!(!index.is_checkpoint_due());
    log.append_to(&index, &["a"]);
    assert!(index.is_checkpoint_due() && !index.is_behind());
    let frozen = index.freeze();
    assert_eq!(frozen, Some(log.end()));
    assert!(!index.is_checkpoint_due() && !index.is_behind());
    log.append_to(&index, &["a"; 10]);
    assert!(index.is_behind());
    assert_eq!(index.freeze(), frozen, "the one before is not written");
    index.write_frozen(|| Ok(true)).unwrap();
    assert!(index.is_checkpoint_due() && !index.is_behind());
    assert_eq!(checkpoint(&index), log.end());
    index.write_frozen(|| Ok(true)).unwrap();
    log.check(&index);
}

#[test]
fn marks_stand_at_each_segment_and_interval() {
    for twin in Twin::both() {
        let (index, _) = twin.open();
        let mut log = Log::default();
        for _ in 0..60 {
            log.append_to(&index, &["a", "b"]);
        }
        for _ in 0..3 {
            let mark = |n| index.mark_before(Seek::Position(Position::new(n))).unwrap().unwrap();
            for segment in [0, 40, 80] {
                assert_eq!(mark(segment).position, Position::new(segment));
                assert_eq!(mark(segment).address.segment, Position::new(segment));
            }
            for n in 0..120 {
                assert!(n - mark(n).position.get() < 7, "500 bytes are less than 7 records");
            }
            assert_eq!(mark(u64::MAX), mark(119));
            if index.freeze().is_none() {
                index.write_frozen(|| Ok(true)).unwrap();
            }
        }
    }
}

#[test]
fn a_mark_for_a_time_is_strictly_before_the_first_event_of_that_time() {
    for twin in Twin::both() {
        let (index, _) = twin.open();
        let mut log = Log::default();
        log.append_to(&index, &["a"; 30]);
        log.append_to(&index, &["a"; 90]);
        for _ in 0..3 {
            let mark = |ns| index.mark_before(Seek::Time(Timestamp::from_nanos(ns))).unwrap();
            assert_eq!((mark(i64::MIN), mark(9), mark(10)), (None, None, None));
            let last_of_first = mark(11).unwrap();
            assert!((24..30).contains(&last_of_first.position.get()));
            assert_eq!(mark(20), Some(last_of_first), "the second batch is not before its time");
            assert!(mark(21).unwrap().position.get() > 110);
            assert_eq!(mark(i64::MAX), mark(21));
            if index.freeze().is_none() {
                index.write_frozen(|| Ok(true)).unwrap();
            }
        }
    }
}

#[test]
fn streams_are_listed_by_prefix_in_pages_in_byte_order() {
    let names = ["a", "a b", "ab", "abc", "b", "购", "购物", "购物车-1", "购物车-2", "🛒"];
    for twin in Twin::both() {
        let (index, _) = twin.open();
        let mut log = Log::default();
        log.append_to(&index, &["ab", "b", "购物", "🛒"]);
        log.append_to(&index, &["ab"; 600]);
        checkpoint(&index);
        log.append_to(&index, &["a", "购物车-2", "ab"]);
        index.freeze().unwrap();
        log.append_to(&index, &["abc", "购", "购物车-1", "a b"]);
        for _ in 0..2 {
            let list = |prefix: &str, after: Option<&str>, count_max| -> Vec<String> {
                let listed = index.streams(prefix, after, count_max).unwrap();
                assert!(listed.iter().all(|(name, end)| log.end_of(name) == *end));
                listed.into_iter().map(|(name, _)| name).collect()
            };
            assert_eq!(list("", None, 100), names);
            assert_eq!(list("", None, 0), [""; 0]);
            assert_eq!(list("a", None, 100), names[..4]);
            assert_eq!(list("ab", None, 100), names[2..4]);
            assert_eq!(list("a", Some("ab"), 100), ["abc"]);
            assert_eq!(list("a", Some("aa"), 1), ["ab"], "a name that is none");
            assert_eq!(list("购物", Some("a"), 2), names[6..8]);
            assert_eq!(list("a", Some("b"), 100), [""; 0]);
            assert_eq!(list("zz", None, 100), [""; 0]);
            for count_max in 1..=names.len() {
                let mut paged = list("", None, count_max);
                loop {
                    let page = list("", paged.last().map(String::as_str), count_max);
                    assert!(page.len() <= count_max);
                    if page.is_empty() {
                        break;
                    }
                    paged.extend(page);
                }
                assert_eq!(paged, names);
            }
            index.write_frozen(|| Ok(true)).unwrap();
        }
    }
}

#[test]
fn many_streams_are_listed_though_read_in_parts() {
    for twin in Twin::both() {
        let (index, _) = twin.open();
        let mut log = Log::default();
        let names: Vec<_> = (0..700).map(|n| format!("s{n:04}")).collect();
        log.append_to(&index, &names);
        checkpoint(&index);
        log.check(&index);
        let page = index.streams("s", Some("s0099"), 300).unwrap();
        assert_eq!((page.len(), page[0].0.as_str()), (300, "s0100"));
    }
}

#[test]
fn a_closed_index_answers_nothing_and_lets_go_of_its_trees() {
    for twin in Twin::both() {
        let mut log = Log::default();
        for _ in 0..5 {
            let index = twin.catch_up(&log);
            log.append_to(&index, &["a", "b"]);
            checkpoint(&index);
            log.append_to(&index, &["a", "b"]);
            index.close();
            index.close();
            add(&index, &[], log.end());
            for question in log.questions() {
                assert!(matches!(question(&index), Err(IndexFault::Closed)));
            }
            assert!(matches!(index.write_frozen(|| Ok(true)), Err(IndexFault::Closed)));
            assert!(index.fault().is_none() && index.freeze().is_none());
            assert!(index.indexed_end().is_none());
            // `index` is still there.
            log.check(&twin.catch_up(&log));
            drop(index);
        }
    }
}

#[test]
fn a_broken_index_answers_nothing_and_holds_nothing() {
    let twin = Twin::Memory(MemoryTree::default());
    let (index, _) = twin.open();
    let mut log = Log::default();
    log.append_to(&index, &["a", "b"]);
    index.freeze().unwrap();
    log.append_to(&index, &["a", "b"]);
    index.mark_broken(IndexFault::damaged("a wrong answer"));
    index.mark_broken(IndexFault::Panicked);
    log.append_to(&index, &["a"; 100]);
    for question in log.questions() {
        assert!(matches!(question(&index), Err(IndexFault::Damaged { what: "a wrong answer" })));
    }
    assert!(index.write_frozen(|| Ok(true)).is_err() && index.freeze().is_none());
    assert!(!index.is_checkpoint_due() && !index.is_behind());
    assert!(matches!(index.fault(), Some(IndexFault::Damaged { what: "a wrong answer" })));
    log.check(&twin.catch_up(&log));
}

#[test]
fn adding_what_does_not_follow_breaks_the_index() {
    let mut log = Log::default();
    log.append(&["a", "a", "a"]);
    let [first, second, third] = [0, 1, 2].map(|n| log.entries[n].clone());
    let mut stale = second.clone();
    stale.entry.address = first.address;
    for entries in [[&first, &third], [&first, &first], [&second, &first], [&first, &stale]] {
        let (index, _) = Twin::Memory(MemoryTree::default()).open();
        add(&index, &entries.map(Clone::clone), log.end());
        index.take_in();
        assert!(index.fault().is_some(), "{entries:?}");
    }
}

#[test]
fn answers_are_right_however_much_of_the_filters_is_in_memory() {
    for cache_len_max in [0, 64, 200, 1 << 20] {
        let options = IndexOptions { cache_len_max, ..options() };
        let (index, _) = Index::open(Box::new(MemoryTree::default()), store(), options).unwrap();
        let mut log = Log::default();
        for n in 0..300 {
            log.append_to(&index, &[format!("s{}", n % 5), format!("t{}", n % 3)]);
            for name in ["s0", "s3", "t1", "new"] {
                assert_eq!(index.stream_end(name).unwrap(), log.end_of(name));
            }
            if n % 4 == 0 {
                checkpoint(&index);
                let _ = index.tidy().unwrap();
            }
        }
        log.check(&index);
        assert!(index.stored.budgets().filters.used() <= cache_len_max);
        index.close();
        assert_eq!(index.stored.budgets().filters.used(), 0, "what is let go of does not count");
    }
}

/// A new stream takes several times as much memory as an event of a known one.
#[test]
fn streams_make_a_checkpoint_due_by_what_they_take_in_memory() {
    for (name_len, count) in [(20, 6), (100, 3)] {
        let (index, _) = Twin::Memory(MemoryTree::default()).open();
        let mut log = Log::default();
        for n in 1..=count {
            assert!(!index.is_checkpoint_due(), "{n} streams take less than ten events may");
            log.append_to(&index, &[format!("{n:>name_len$}")]);
            index.take_in();
        }
        assert!(index.is_checkpoint_due(), "{count} streams take what ten events may");
    }
}
