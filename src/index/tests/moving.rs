//! How a tail comes into the tree, and what a crash meanwhile leaves.

use std::collections::BTreeSet;
use std::ops::Range;

use super::super::chunk::Blocks;
use super::super::tree::{Change, Pair};
use super::*;

/// Trees that make changes which were begun as late as they may, when others are to be made after them;
/// and that fail after some changes, as if the process had ended there.
#[derive(Clone, Debug)]
struct Late {
    tree: MemoryTree,
    begun: Arc<Mutex<Vec<Change>>>,
    /// Changes that are made before one fails.
    left: Arc<AtomicUsize>,
}

impl Late {
    /// Over `tree`, with so many changes that are made.
    fn over(tree: MemoryTree, count: usize) -> Self {
        Self { tree, begun: Arc::default(), left: Arc::new(AtomicUsize::new(count)) }
    }

    fn end_after(&self, count: usize) {
        self.left.store(count, Ordering::Relaxed);
    }
}

impl Tree for Late {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        self.tree.get(key)
    }

    fn last_in(&self, keys: Range<&[u8]>) -> Result<Option<Pair>, IndexFault> {
        self.tree.last_in(keys)
    }

    fn scan(&self, keys: Range<&[u8]>, count_max: usize) -> Result<Vec<Pair>, IndexFault> {
        self.tree.scan(keys, count_max)
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        let begun = mem::take(&mut *self.begun.lock());
        for change in begun.into_iter().chain(changes) {
            let count = |left: usize| left.checked_sub(1);
            self.left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count)
                .map_err(|_| IndexFault::failed(std::io::ErrorKind::StorageFull.into()))?;
            self.tree.apply(vec![change])?;
        }
        Ok(())
    }

    fn begin(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        self.begun.lock().extend(changes);
        Ok(())
    }
}

#[test]
fn nothing_is_read_that_was_only_begun_to_be_written() {
    let tree = Late::over(MemoryTree::default(), usize::MAX);
    let (index, _) = Index::open(Box::new(tree.clone()), store(), options()).unwrap();
    let mut log = Log::default();
    for round in 0..20 {
        let names: Vec<_> = (0..40).map(|n| format!("s{}{}", n * round, "x".repeat(90))).collect();
        log.append_to(&index, &names);
        index.freeze().unwrap();
        log.check(&index);
        index.write_frozen(|| Ok(true)).unwrap();
        assert!(tree.begun.lock().is_empty(), "the manifest is applied last");
        log.check(&index);
        let _ = index.tidy().unwrap();
        log.check(&index);
    }
    tidy(&index);
    index.close();
    let (index, end) = Index::open(Box::new(tree), store(), options()).unwrap();
    assert_eq!(end, Some(log.end()));
    log.check(&index);
}

#[test]
fn what_was_written_of_a_log_that_is_not_durable_is_removed_again() {
    let tree = Late::over(MemoryTree::default(), usize::MAX);
    let (index, _) = Index::open(Box::new(tree.clone()), store(), options()).unwrap();
    let mut log = Log::default();
    log.append_to(&index, &["a", "b"]);
    checkpoint(&index);
    let before = tree.tree.map().read().clone();
    log.append_to(&index, &["a", "c"]);
    index.freeze().unwrap();
    index.write_frozen(|| Ok(false)).unwrap();
    log.check(&index);
    tidy(&index);
    assert!(tree.begun.lock().is_empty());
    assert_eq!(*tree.tree.map().read(), before);
    index.write_frozen(|| Ok(true)).unwrap();
    log.check(&index);
    let (index, end) = Index::open(Box::new(tree), store(), options()).unwrap();
    assert_eq!(end, Some(log.end()));
    log.check(&index);
}

#[test]
fn no_run_counts_whose_values_were_begun_and_have_failed() {
    let tree = Late::over(MemoryTree::default(), usize::MAX);
    let (index, _) = Index::open(Box::new(tree.clone()), store(), options()).unwrap();
    let mut log = Log::default();
    for _ in 0..7 {
        log.append_to(&index, &["a", "b"]);
        checkpoint(&index);
    }
    let end = log.end();
    log.append_to(&index, &["a", "c"]);
    index.freeze().unwrap();
    tree.end_after(0);
    assert!(matches!(index.write_frozen(|| Ok(true)), Err(IndexFault::Failed { .. })));
    assert!(index.stream_end("a").is_err(), "it has failed for good");
    // Nor does one that others were merged into.
    for fails in [false, true] {
        tree.end_after(usize::MAX);
        let (index, known) = Index::open(Box::new(tree.clone()), store(), options()).unwrap();
        assert_eq!(known, Some(if fails { log.end() } else { end }));
        add(&index, log.entries_from(known), log.end());
        if fails {
            tree.end_after(0);
            assert!(while_true(|| index.tidy()).is_err());
        } else {
            checkpoint(&index);
        }
    }
    tree.end_after(usize::MAX);
    let (index, known) = Index::open(Box::new(tree), store(), options()).unwrap();
    assert_eq!(known, Some(log.end()));
    log.check(&index);
    tidy(&index);
    assert_eq!(index.stored.runs().len(), 1);
    log.check(&index);
}

/// Two checkpoints' worth of log, the first of them in `tree`.
fn half_indexed(tree: &MemoryTree) -> Log {
    let mut log = Log::default();
    let (index, _) = Twin::Memory(tree.clone()).open();
    let names: Vec<_> = (0..300).map(|n| format!("s{n:03}{}", "x".repeat(90))).collect();
    log.append_to(&index, &names);
    log.append_to(&index, &["long"; 400]);
    log.append_to(&index, &["old"; 3]);
    checkpoint(&index);
    log.append(&names[..280]);
    log.append(&["long"; 400]);
    log.append(&["new"; 3]);
    log.append(&["long"; 2]);
    log
}

/// How many events of the second half are written before anything ends.
const FIRST_COUNT: usize = 2;

/// Writes the second half to a copy of `tree` that ends after `count` changes, its first events left
/// out; says whether it came through.
fn ended_after(count: usize, tree: &MemoryTree, log: &Log) -> (MemoryTree, bool) {
    let tree = tree.copy();
    let late = Late::over(tree.clone(), usize::MAX);
    let (index, end) = Index::open(Box::new(late.clone()), store(), options()).unwrap();
    let (first, rest) = log.entries_from(end).split_at(FIRST_COUNT);
    add(&index, first, log.end_at(log.entries.len() - rest.len()));
    checkpoint(&index);
    late.end_after(count);
    add(&index, rest, log.end());
    index.freeze().unwrap();
    let is_written = index.write_frozen(|| Ok(true)).is_ok() && while_true(|| index.tidy()).is_ok();
    assert_eq!(index.fault().is_none(), is_written);
    (tree, is_written)
}

fn while_true<E>(mut step: impl FnMut() -> Result<bool, E>) -> Result<(), E> {
    while step()? {}
    Ok(())
}

#[test]
fn a_crash_between_any_two_changes_is_caught_up_with() {
    let before = MemoryTree::default();
    let log = half_indexed(&before);
    for count in 0.. {
        let (tree, is_written) = ended_after(count, &before, &log);
        let twin = Twin::Memory(tree.clone());
        let index = twin.catch_up(&log);
        log.check(&index);
        if index.freeze().is_some() {
            index.write_frozen(|| Ok(true)).unwrap();
        }
        log.check(&index);
        tidy(&index);
        log.check(&index);
        check_no_leftovers(&tree);
        log.check(&twin.catch_up(&log));
        if is_written {
            assert!(count > 30, "{count}");
            return;
        }
    }
}

#[test]
fn a_crash_while_catching_up_in_parts_is_caught_up_with() {
    let before = MemoryTree::default();
    let log = half_indexed(&before);
    let start = 703 + FIRST_COUNT;
    for count in (1..30).step_by(7) {
        for part in [1, 100, 281, 300, 500, 682, 683] {
            let (tree, is_written) = ended_after(count, &before, &log);
            assert!(!is_written);
            let twin = Twin::Memory(tree);
            let (index, end) = twin.open();
            let entries = &log.entries_from(end)[..part];
            add(&index, entries, log.end_at(start + part));
            checkpoint(&index);
            // Here it crashes again, or goes on.
            log.check(&twin.catch_up(&log));
            add(&index, &log.entries[start + part..], log.end());
            log.check(&index);
            if index.freeze().is_some() {
                index.write_frozen(|| Ok(true)).unwrap();
            }
            log.check(&index);
        }
    }
}

#[test]
fn trees_that_fail_break_the_index() {
    let before = MemoryTree::default();
    let log = half_indexed(&before);
    let ending = Late::over(before, 1);
    let (index, end) = Index::open(Box::new(ending), store(), options()).unwrap();
    add(&index, log.entries_from(end), log.end());
    index.freeze().unwrap();
    assert!(matches!(index.write_frozen(|| Ok(true)), Err(IndexFault::Failed { .. })));
    assert!(matches!(index.stream_end("long"), Err(IndexFault::Failed { .. })));
}

/// Merges and removals leave nothing behind either, wherever they end.
#[test]
fn a_crash_between_any_two_changes_of_a_merge_is_cleared_up() {
    let before = MemoryTree::default();
    let (index, _) = Twin::Memory(before.clone()).open();
    let mut log = Log::default();
    for n in 0..8 {
        log.append_to(&index, &["a".to_owned(), format!("b{n}"), "x".repeat(200)]);
        checkpoint(&index);
    }
    for count in 0.. {
        let tree = before.copy();
        let ending = Late::over(tree.clone(), count);
        let (index, _) = Index::open(Box::new(ending), store(), options()).unwrap();
        let is_done = while_true(|| index.tidy()).is_ok();
        let index = Twin::Memory(tree.clone()).catch_up(&log);
        log.check(&index);
        tidy(&index);
        log.check(&index);
        check_no_leftovers(&tree);
        assert_eq!(index.stored.runs().len(), 1);
        if is_done {
            assert!(count > 20, "{count}");
            return;
        }
    }
}

/// Checks that the tree holds what its manifest names, no other run, and each list of marks by its
/// position and by its time.
fn check_no_leftovers(tree: &MemoryTree) {
    let (index, _) = Twin::Memory(tree.clone()).open();
    let named: BTreeSet<_> = index.stored.runs().iter().map(|run| run.meta.id).collect();
    let map = tree.map().read();
    let numbers = |kinds: &[u8], start: usize| -> BTreeSet<u64> {
        let of_kind = map.keys().filter(|key| kinds.contains(&key[0]));
        of_kind
            .map(|key| key[start..start + 8].iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
            .collect()
    };
    assert_eq!(numbers(b"rfk", 1), named);
    assert_eq!(numbers(b"m", 1), numbers(b"t", 9));
}

#[test]
fn many_checkpoints_leave_few_runs_and_full_blocks() {
    for twin in Twin::both() {
        let (index, _) = twin.open();
        let mut log = Log::default();
        for _ in 0..600 {
            log.append_to(&index, &["a"]);
            checkpoint(&index);
            tidy(&index);
            assert!(index.stored.runs().len() <= 3 * 7);
        }
        log.check(&index);
        let biggest = index.stored.runs().first().cloned().unwrap();
        let mut blocks: Blocks<_> = index.stored.chunk_at(&biggest, &[]).unwrap();
        let mut lens = Vec::new();
        while let Some(block) = blocks.next().unwrap() {
            lens.push(block.addresses(biggest.meta.base).unwrap().len());
        }
        assert_eq!(lens, [256, 256], "512 checkpoints were merged");
    }
}

#[test]
fn a_stream_that_fills_many_chunks_is_found_after_merging() {
    for twin in Twin::both() {
        let (index, _) = twin.open();
        let mut log = Log::default();
        for n in 0..20_u64 {
            log.append_to(&index, &["long"; 1_000]);
            let names: Vec<_> = (0..150).map(|m| format!("s{:03}", (n * 37 + m) % 400)).collect();
            log.append_to(&index, &names);
            checkpoint(&index);
            tidy(&index);
        }
        log.check(&index);
        index.close();
        log.check(&twin.catch_up(&log));
    }
}

#[test]
fn an_opening_clears_up_what_a_crash_has_left() {
    let tree = MemoryTree::default();
    let log = half_indexed(&tree);
    let before = tree.copy();
    let (ended, is_written) = ended_after(4, &before, &log);
    assert!(!is_written);
    // More marks than are removed at once, known by their position only.
    for n in 0..200_u64 {
        let key = keys::marks(Position::new(10_000 + n));
        ended.map().write().insert(key, Vec::new());
    }
    let twin = Twin::Memory(ended.clone());
    let index = twin.catch_up(&log);
    checkpoint(&index);
    tidy(&index);
    log.check(&index);
    check_no_leftovers(&ended);
}

#[test]
fn the_bytes_in_the_tree_stay_as_they_are() {
    // What is changed here must change INDEX_VERSION.
    let tree = MemoryTree::default();
    let (index, _) = Twin::Memory(tree.clone()).open();
    let mut log = Log::default();
    log.append_to(&index, &["a", "a"]);
    checkpoint(&index);
    let hex =
        |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let map = tree.map().read();
    let dump: Vec<_> = map.iter().map(|(key, value)| (hex(key), hex(value))).collect();
    let expected = [
        "63 0a99a863020000000707070707070707070707070707070702000000000000000000000000000000\
        d000000000000000020000000a000000000000000100000000000000000000000000000000000000000000\
        000001000000",
        "66000000000000000000000000 83ea4f50000000080000000000000000000000000000040000020000\
        00000000000000008000008000000000000000000000040000000000000000000000004000000000",
        "6d0000000000000000 e438e03d000a0040",
        "720000000000000000 6569187000000161000400020809",
        "74800000000000000a0000000000000000 b959d551000a0040",
    ];
    let pairs = dump.iter().map(|(key, value)| format!("{key} {value}"));
    let (sketches, found): (Vec<_>, Vec<_>) = pairs.partition(|pair| pair.starts_with("6b"));
    assert_eq!(found, expected);
    assert_eq!(sketches.len(), 1);
}

/// A load of new streams left ever more runs, each of which is asked for old ones.
#[test]
fn a_checkpoint_waits_for_merges_that_have_fallen_far_behind() {
    let (index, mut log) = (Twin::Memory(MemoryTree::default()).open().0, Log::default());
    for run in 1..=64 {
        assert!(!index.owes_tidying(), "{run}");
        log.append_to(&index, &(0..600).map(|n| format!("{n}")).collect::<Vec<_>>());
        checkpoint(&index);
    }
    assert!(index.owes_tidying() && !index.is_behind());
    log.append_to(&index, &["a"; 10]);
    assert!(index.is_checkpoint_due() && index.is_behind());
    // Whoever waited for it would wait for what nobody does, if it has failed and is not cleared yet.
    let (broken, _) = Twin::Memory(MemoryTree::default()).open();
    log.entries.chunks(600).enumerate().take(65).for_each(|(n, entries)| {
        add(&broken, entries, log.end_at(n * 600 + entries.len()));
        _ = (n < 64).then(|| checkpoint(&broken));
    });
    assert!(broken.is_behind());
    broken.fault.set(IndexFault::Panicked).unwrap();
    assert!(broken.is_checkpoint_due() && !broken.is_behind());
    // Some of it, and not all that there is to do.
    let step_count = (1..99).find(|_| index.tidy().unwrap() && !index.owes_tidying());
    assert_eq!(step_count, Some(18));
    assert!(index.is_checkpoint_due() && !index.is_behind());
    tidy(&index);
    assert!(index.stored.runs().len() < 8);
    checkpoint(&index);
    assert!(!index.owes_tidying());
    log.check(&index);
}
