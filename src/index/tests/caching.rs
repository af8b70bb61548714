//! What is kept of the tree in memory: it changes no answer, has a bound, and is let go of.

use std::ops::Range;

use super::super::tree::{Change, Pair};
use super::concurrent::Interrupted;
use super::*;

fn open(tree: &MemoryTree, cache_len_max: u64) -> Index {
    let options = IndexOptions { cache_len_max, ..options() };
    Index::open(Box::new(tree.clone()), store(), options).unwrap().0
}

/// Bytes that are kept: of filters, of places, of values.
fn kept(index: &Index) -> [u64; 3] {
    let budgets = index.stored.budgets();
    [budgets.filters.used(), budgets.places.used(), index.stored.values().len()]
}

fn check_bound(index: &Index, cache_len_max: u64) {
    let sum: u64 = kept(index).iter().sum();
    assert!(sum <= cache_len_max, "{:?} of {cache_len_max}", kept(index));
}

/// Asks for ends, addresses and marks, but for no listing.
fn ask(index: &Index, log: &Log) {
    for (name, addresses) in &log.streams {
        assert_eq!(index.stream_end(name).unwrap(), log.end_of(name));
        for at in (0..addresses.len()).step_by(5) {
            let n = u64::try_from(at).unwrap();
            let found = index.addresses(name, Revision::new(n)..Revision::new(n + 7)).unwrap();
            assert_eq!(found, addresses[at..addresses.len().min(at + 7)], "{name} {at}");
        }
    }
    log.entries.iter().for_each(|entry| log.check_marks(index, entry).unwrap());
}

fn same_marks(a: &Index, b: &Index, log: &Log) {
    for entry in &log.entries {
        for seek in [Seek::Position(entry.position), Seek::Time(entry.recorded_at)] {
            assert_eq!(a.mark_before(seek).unwrap(), b.mark_before(seek).unwrap(), "{seek:?}");
        }
    }
    let ends = [
        Seek::Position(Position::new(u64::MAX)),
        Seek::Time(Timestamp::from_nanos(i64::MAX)),
        Seek::Time(Timestamp::from_nanos(i64::MIN)),
    ];
    for seek in ends {
        assert_eq!(a.mark_before(seek).unwrap(), b.mark_before(seek).unwrap(), "{seek:?}");
    }
}

#[test]
fn answers_are_those_of_an_index_that_keeps_nothing_while_runs_merge() {
    for (seed, cache_len_max) in [(1, 3_000), (2, 60_000), (3, 4 << 20)] {
        let mut random = fastrand::Rng::with_seed(seed);
        let trees = [MemoryTree::default(), MemoryTree::default()];
        let [keeping, plain] = [open(&trees[0], cache_len_max), open(&trees[1], 0)];
        let mut log = Log::default();
        for round in 0..90 {
            let names: Vec<_> = (0..random.usize(1..40))
                .map(|_| format!("s{}{}", random.u8(..90), "x".repeat(random.usize(..12) * 9)))
                .collect();
            log.append(&names);
            for index in [&keeping, &plain] {
                let known = index.indexed_end();
                add(index, log.entries_from(known), log.end());
            }
            if random.bool() {
                for index in [&keeping, &plain] {
                    checkpoint(index);
                }
            }
            if random.bool() {
                // Runs of the two need not be the same ones.
                let _ = keeping.tidy().unwrap();
            }
            if round % 9 == 0 {
                ask(&keeping, &log);
                same_marks(&keeping, &plain, &log);
            }
            check_bound(&keeping, cache_len_max);
        }
        log.check(&keeping);
        same_marks(&keeping, &plain, &log);
        assert_eq!(kept(&plain), [0; 3]);
        keeping.close();
        let [again, plain] = [cache_len_max, 0].map(|len_max| open(&trees[0], len_max));
        for index in [&again, &plain] {
            add(index, log.entries_from(index.indexed_end()), log.end());
        }
        for _ in 0..2 {
            ask(&again, &log);
            same_marks(&again, &plain, &log);
            check_bound(&again, cache_len_max);
        }
    }
}

/// A tree that counts how often it is read.
#[derive(Clone, Debug, Default)]
struct Counting {
    tree: MemoryTree,
    count: Arc<AtomicUsize>,
}

impl Counting {
    fn count_read(&self) -> &MemoryTree {
        self.count.fetch_add(1, Ordering::Relaxed);
        &self.tree
    }

    fn taken(&self) -> usize {
        self.count.swap(0, Ordering::Relaxed)
    }
}

impl Tree for Counting {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        self.count_read().get(key)
    }

    fn last_in(&self, keys: Range<&[u8]>) -> Result<Option<Pair>, IndexFault> {
        self.count_read().last_in(keys)
    }

    fn scan(&self, keys: Range<&[u8]>, count_max: usize) -> Result<Vec<Pair>, IndexFault> {
        self.count_read().scan(keys, count_max)
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        self.tree.apply(changes)
    }
}

/// An index with so many runs, of some chunks each, and all the room that it may want.
fn with_runs(count: u64) -> (Log, Counting, Index) {
    with_runs_in(count, 16 << 20)
}

fn with_runs_in(count: u64, cache_len_max: u64) -> (Log, Counting, Index) {
    let tree = Counting::default();
    let options = IndexOptions { cache_len_max, ..options() };
    let (index, _) = Index::open(Box::new(tree.clone()), store(), options).unwrap();
    let mut log = Log::default();
    for _ in 0..count {
        let names: Vec<_> = (0..60).map(|n| format!("{n:02}{}", "x".repeat(150))).collect();
        log.append_to(&index, &names);
        log.append_to(&index, &["long"; 300]);
        checkpoint(&index);
    }
    (log, tree, index)
}

#[test]
fn who_asks_again_is_answered_without_the_tree() {
    let (log, tree, index) = with_runs(5);
    tree.taken();
    ask(&index, &log);
    assert!(tree.taken() > 0);
    ask(&index, &log);
    assert_eq!(tree.taken(), 0);
    // What a checkpoint adds is all that is new.
    let mut log = log;
    log.append_to(&index, &["long"; 50]);
    checkpoint(&index);
    ask(&index, &log);
    assert!(tree.taken() > 0);
    ask(&index, &log);
    assert_eq!(tree.taken(), 0);
}

/// Where a stream ends is kept from the second time on.
fn ask_twice(index: &Index, stream: &str) {
    for _ in 0..2 {
        index.stream_end(stream).unwrap();
    }
}

#[test]
fn where_a_stream_ends_takes_no_place_before_it_is_asked_for_again() {
    let (log, tree, index) = with_runs(1);
    let end = || {
        assert_eq!(index.stream_end("long").unwrap(), log.end_of("long"));
        (tree.taken() > 0, kept(&index)[2] > 0)
    };
    assert_eq!([end(), end(), end()], [(true, false), (true, true), (false, true)]);
}

#[test]
fn without_room_for_filters_a_chunk_is_read_in_place_of_one() {
    let (log, tree, index) = with_runs_in(3, 0);
    tree.taken();
    for (name, runs) in [("long", 1), ("nobody", 3)] {
        assert_eq!(index.stream_end(name).unwrap(), log.end_of(name));
        assert_eq!(tree.taken(), runs, "{name}");
    }
}

/// As much that runs of 1,000 streams are worth the filter over many runs.
const UNION_CACHE_LEN: u64 = 256 << 10;

fn open_counting(tree: &Counting) -> Index {
    let options = IndexOptions { cache_len_max: UNION_CACHE_LEN, ..options() };
    Index::open(Box::new(tree.clone()), store(), options).unwrap().0
}

fn add_runs(index: &Index, log: &mut Log, runs: Range<u64>) {
    for run in runs {
        let names: Vec<_> = (0..1_000).map(|n| format!("run-{run}-{n}")).collect();
        log.append_to(index, &names);
        checkpoint(index);
    }
}

fn member_count(index: &Index) -> usize {
    index.stored.runs().iter().filter(|run| run.is_in_union).count()
}

/// How often the tree is read to learn that 20,000 streams are new. The filters of seven runs are
/// mistaken about some twenty of them.
fn reads_for_new_streams(index: &Index, tree: &Counting) -> usize {
    tree.taken();
    for lot in 0..200 {
        let names: Vec<_> = (0..100).map(|n| format!("new-{lot}-{n}")).collect();
        let streams: Vec<_> =
            names.iter().map(|name| (index.stored.hasher().hash(name), name.as_str())).collect();
        assert_eq!(index.ends_taken_in(&streams).unwrap(), [Revision::START; 100]);
    }
    tree.taken()
}

/// Each run was asked for each of them, and read where its filter was mistaken.
#[test]
fn new_streams_are_told_from_those_of_all_runs_at_once() {
    let (tree, mut log) = (Counting::default(), Log::default());
    let index = open_counting(&tree);
    add_runs(&index, &mut log, 0..7);
    assert_eq!(member_count(&index), 7);
    let read_count = reads_for_new_streams(&index, &tree);
    assert!(read_count < 5, "{read_count}");
    log.check(&index);
    // What was merged is in it as well.
    add_runs(&index, &mut log, 7..9);
    tidy(&index);
    assert_eq!([member_count(&index), index.stored.runs().len()], [2; 2]);
    let read_count = reads_for_new_streams(&index, &tree);
    assert!(read_count < 5, "{read_count}");
    log.check(&index);
}

#[test]
fn runs_of_before_are_asked_one_by_one_until_they_are_merged() {
    let (tree, mut log) = (Counting::default(), Log::default());
    let index = open_counting(&tree);
    add_runs(&index, &mut log, 0..7);
    index.close();
    let index = open_counting(&tree);
    assert_eq!(member_count(&index), 0);
    let read_count = reads_for_new_streams(&index, &tree);
    assert!(read_count > 10, "{read_count}");
    log.check(&index);
    add_runs(&index, &mut log, 7..8);
    assert_eq!([member_count(&index), index.stored.runs().len()], [1, 8]);
    log.check(&index);
    tidy(&index);
    assert_eq!([member_count(&index), index.stored.runs().len()], [1, 1]);
    log.check(&index);
    let read_count = reads_for_new_streams(&index, &tree);
    assert!(read_count < 5, "{read_count}");
}

#[test]
fn values_have_back_what_the_filters_of_merged_runs_had() {
    let (tree, mut log) = (Counting::default(), Log::default());
    let index = open_counting(&tree);
    let at_first = index.stored.values().len_max();
    let names: Vec<_> = (0..10_000).map(|n| format!("{n}")).collect();
    for _ in 0..8 {
        log.append_to(&index, &names);
        checkpoint(&index);
    }
    let [filters, _, _] = kept(&index);
    assert!(filters > 150_000, "{filters}");
    let beside_them = index.stored.values().len_max();
    assert!(beside_them < at_first * 3 / 4, "{beside_them} of {at_first}");
    check_bound(&index, UNION_CACHE_LEN);
    tidy(&index);
    assert_eq!(index.stored.runs().len(), 1);
    assert_eq!(index.stored.values().len_max(), at_first);
}

#[test]
fn what_is_listed_or_merged_takes_no_place_from_what_was_asked_for() {
    let (log, tree, index) = with_runs(8);
    ask_twice(&index, "long");
    let before = kept(&index);
    assert!(before[2] > 0);
    assert_eq!(index.streams("", None, 999).unwrap().len(), log.streams.len());
    assert_eq!(kept(&index), before);
    tidy(&index);
    assert_eq!(index.stored.runs().len(), 1);
    let [_, places, values] = kept(&index);
    assert!(places < before[1] && values == 0, "runs that were merged are let go of");
    ask(&index, &log);
    tree.taken();
    ask(&index, &log);
    assert_eq!(tree.taken(), 0);
}

#[test]
fn an_index_that_is_closed_or_broken_keeps_nothing() {
    for is_closed in [true, false] {
        let (log, _, index) = with_runs(3);
        ask(&index, &log);
        assert!(kept(&index).iter().all(|len| *len > 0));
        if is_closed {
            index.close();
        } else {
            index.mark_broken(IndexFault::Panicked);
        }
        assert!(index.stream_end("long").is_err());
        assert_eq!(kept(&index), [0; 3]);
        assert!(index.stored.runs().is_empty());
    }
}

#[test]
fn what_was_being_read_when_the_index_broke_is_not_kept() {
    let tree = Interrupted::default();
    let options = IndexOptions { cache_len_max: 16 << 20, ..options() };
    let (index, _) = Index::open(Box::new(tree.clone()), store(), options).unwrap();
    let mut log = Log::default();
    log.append_to(&index, &["a"; 300]);
    checkpoint(&index);
    let index = Arc::new(index);
    let weak = Arc::downgrade(&index);
    let fail = move || weak.upgrade().unwrap().mark_broken(IndexFault::Panicked);
    assert!(tree.interruption.set(Box::new(fail)).is_ok());
    tree.left.store(1, Ordering::Relaxed);
    let all = Revision::START..Revision::new(300);
    assert!(matches!(index.addresses("a", all), Err(IndexFault::Panicked)));
    assert_eq!(kept(&index), [0; 3]);
}

#[test]
fn damage_is_found_when_it_is_read_first_however_much_was_read_before() {
    let (log, tree, index) = with_runs(1);
    let first = log.streams.keys().next().unwrap();
    ask_twice(&index, first);
    let chunks = |map: &BTreeMap<Vec<u8>, Vec<u8>>| -> Vec<Vec<u8>> {
        map.keys().filter(|key| key[0] == b'r').cloned().collect()
    };
    let chunks = chunks(&tree.tree.map().read());
    assert!(chunks.len() > 2);
    for key in &chunks {
        tree.tree.map().write().get_mut(key).unwrap()[9] ^= 1;
    }
    // The first chunk was read before, and is right.
    assert_eq!(index.stream_end(first).unwrap(), log.end_of(first));
    assert!(matches!(index.stream_end("long"), Err(IndexFault::Damaged { .. })));
    assert!(index.fault().is_some() && index.stream_end(first).is_err());
}
