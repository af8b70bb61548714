//! How a tail comes into the trees, and what a crash meanwhile leaves.

use std::ops::Range;

use super::super::trees::Pair;
use super::*;

/// Trees that fail after some batches, as if the process had ended there.
#[derive(Debug)]
struct Ending {
    trees: MemoryTrees,
    left: AtomicUsize,
}

impl Trees for Ending {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        self.trees.get(tree, key)
    }

    fn last_in(&self, tree: Tree, keys: Range<&[u8]>) -> Result<Option<Pair>, IndexFault> {
        self.trees.last_in(tree, keys)
    }

    fn scan(
        &self,
        tree: Tree,
        keys: Range<&[u8]>,
        count_max: usize,
    ) -> Result<Vec<Pair>, IndexFault> {
        self.trees.scan(tree, keys, count_max)
    }

    fn apply(&self, tree: Tree, puts: Vec<Pair>) -> Result<(), IndexFault> {
        assert!(puts.len() <= 256);
        let count = |left: usize| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count)
            .map_err(|_| IndexFault::failed(std::io::ErrorKind::StorageFull.into()))?;
        self.trees.apply(tree, puts)
    }
}

/// Two checkpoints' worth of log, the first of them in `trees`.
fn half_indexed(trees: &MemoryTrees) -> Log {
    let mut log = Log::default();
    let (index, _) = Twin::Memory(trees.clone()).open();
    let names: Vec<_> = (0..300).map(|n| format!("s{n}")).collect();
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

/// Writes the second half to a copy of `trees` that ends after `count` batches; says whether
/// it came through.
fn ended_after(count: usize, trees: &MemoryTrees, log: &Log) -> (MemoryTrees, bool) {
    let trees = copy(trees);
    let ending = Ending { trees: trees.clone(), left: AtomicUsize::new(count) };
    let (index, end) = Index::open(Box::new(ending), store(), options()).unwrap();
    index.add(log.entries_from(end), log.end());
    index.freeze().unwrap();
    let is_written = index.write_frozen().is_ok();
    assert_eq!(index.fault().is_none(), is_written);
    (trees, is_written)
}

#[test]
fn a_crash_between_any_two_batches_is_caught_up_with() {
    let before = MemoryTrees::default();
    let log = half_indexed(&before);
    for count in 0.. {
        let (trees, is_written) = ended_after(count, &before, &log);
        let twin = Twin::Memory(trees.clone());
        let index = twin.catch_up(&log);
        log.check(&index);
        if index.freeze().is_some() {
            index.write_frozen().unwrap();
        }
        log.check(&index);
        log.check(&twin.catch_up(&log));
        if is_written {
            assert!(count > 4, "batches must be small");
            return;
        }
    }
}

#[test]
fn a_crash_while_catching_up_in_parts_is_caught_up_with() {
    let before = MemoryTrees::default();
    let log = half_indexed(&before);
    let start = 703;
    for count in [2, 3, 4, 5, 6] {
        for part in [1, 100, 281, 300, 500, 682, 684] {
            let (trees, _) = ended_after(count, &before, &log);
            let twin = Twin::Memory(trees);
            let (index, end) = twin.open();
            let Some(entries) = log.entries_from(end).get(..part) else { continue };
            index.add(entries, log.end_at(start + part));
            checkpoint(&index);
            // Here it crashes again, or goes on.
            log.check(&twin.catch_up(&log));
            index.add(&log.entries[start + part..], log.end());
            log.check(&index);
            if index.freeze().is_some() {
                index.write_frozen().unwrap();
            }
            log.check(&index);
        }
    }
}

#[test]
fn trees_that_fail_break_the_index() {
    let before = MemoryTrees::default();
    let log = half_indexed(&before);
    let ending = Ending { trees: before, left: AtomicUsize::new(1) };
    let (index, end) = Index::open(Box::new(ending), store(), options()).unwrap();
    index.add(log.entries_from(end), log.end());
    index.freeze().unwrap();
    assert!(matches!(index.write_frozen(), Err(IndexFault::Failed { .. })));
    assert!(matches!(index.stream_end("long"), Err(IndexFault::Failed { .. })));
}

#[test]
fn tiny_checkpoints_do_not_shatter_a_stream() {
    for twin in Twin::both() {
        let (index, _) = twin.open();
        let mut log = Log::default();
        for _ in 0..600 {
            log.append_to(&index, &["a"]);
            checkpoint(&index);
        }
        log.check(&index);
        index.close();
        let (trees, keys) = (twin.trees(), keys::blocks("a"));
        let blocks = trees.scan(Tree::Postings, &keys.start..&keys.end, 600).unwrap();
        assert_eq!(blocks.len(), 3);
        assert!(blocks.iter().all(|(_, value)| value.len() < 4 + 256 * 3));
    }
}

#[test]
fn the_bytes_in_the_trees_stay_as_they_are() {
    // What is changed here must change INDEX_VERSION.
    let trees = MemoryTrees::default();
    let (index, _) = Twin::Memory(trees.clone()).open();
    let mut log = Log::default();
    log.append_to(&index, &["a", "a"]);
    checkpoint(&index);
    let dump = |tree| -> Vec<String> {
        let hex = |bytes: &[u8]| {
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
        };
        let map = trees.map(tree).read();
        map.iter().map(|(key, value)| format!("{} {}", hex(key), hex(value))).collect()
    };
    let checkpoint = "63 dd4f731201000000070707070707070707070707070707070200000000000000\
        0000000000000000d000000000000000020000000a00000000000000";
    let mark = "00000000000000000a0000000000000000000000000000004000000000000000";
    let postings = [
        checkpoint.to_owned(),
        format!("700000000000000000 ff1c8013{mark}"),
        "7361000000000000000000 af3ba16300020809".to_owned(),
        format!("74800000000000000a0000000000000000 4a2032a2{mark}"),
    ];
    assert_eq!(dump(Tree::Postings), postings);
    assert_eq!(dump(Tree::Ends), [checkpoint, "7361 77c4c9f70200000000000000"]);
}
