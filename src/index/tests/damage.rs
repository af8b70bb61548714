//! What lost or changed keys and values lead to: a fault or the right answer.

use super::*;

/// A log that is in tree as a whole.
fn indexed() -> (Log, MemoryTree) {
    let tree = MemoryTree::default();
    let (index, _) = Twin::Memory(tree.clone()).open();
    let mut log = Log::default();
    log.append_to(&index, &["a", "ab", "购物车"]);
    log.append_to(&index, &["a"; 300]);
    log.append_to(&index, &["full"; 256]);
    // More than one chunk.
    let names: Vec<_> = (0..30).map(|n| format!("{n:02}{}", "x".repeat(200))).collect();
    log.append_to(&index, &names);
    checkpoint(&index);
    (log, tree)
}

/// Asks everything of indexes over `tree`, a new one each time, for the first fault is the last
/// answer of an index. Gives how many faults there were; wrong answers panic.
fn fault_count(log: &Log, tree: &MemoryTree) -> usize {
    let ask = |question: &Question<'_>| {
        let (index, _) = Index::open(Box::new(tree.clone()), store(), options())?;
        question(&index)
    };
    log.questions().iter().filter(|question| ask(question).is_err()).count()
}

fn keys_of(tree: &MemoryTree) -> Vec<Vec<u8>> {
    tree.map().read().keys().cloned().collect()
}

/// Whether nothing is lost with a key: without marks earlier ones serve, and without a sketch
/// runs are not merged.
fn is_help(key: &[u8]) -> bool {
    matches!(key[0], b'm' | b't' | b'k')
}

#[test]
fn a_removed_key_is_a_fault_never_a_wrong_answer() {
    let (log, tree) = indexed();
    assert_eq!(fault_count(&log, &tree), 0);
    for key in keys_of(&tree) {
        let damaged = tree.copy();
        damaged.map().write().remove(&key);
        assert_eq!(fault_count(&log, &damaged) == 0, is_help(&key), "{key:?}");
    }
}

#[test]
fn a_chunk_that_is_missing_is_a_fault_for_whatever_it_could_hold() {
    let (log, tree) = indexed();
    let lost = keys_of(&tree).into_iter().find(|key| key[0] == b'r' && key.len() > 9).unwrap();
    let place = lost[9..lost.len() - 9].to_vec();
    let damaged = tree.copy();
    damaged.map().write().remove(&lost);
    let (index, _) = Twin::Memory(damaged).open();
    // A stream of that name is there, and one that nobody has heard of would have been.
    let name = String::from_utf8(place).unwrap();
    assert!(log.streams.contains_key(&name));
    assert!(matches!(index.stream_end(&name), Err(IndexFault::Damaged { .. })));
    assert!(index.fault().is_some());
}

#[test]
fn a_value_from_before_is_a_fault_or_changes_nothing() {
    let (mut log, tree) = indexed();
    let before = tree.copy();
    let (index, _) = Twin::Memory(tree.clone()).open();
    log.append_to(&index, &["a", "ab", "full", "full"]);
    checkpoint(&index);
    for key in keys_of(&before) {
        let damaged = tree.copy();
        let stale = before.map().read()[&key].clone();
        let is_same = damaged.map().write().insert(key.clone(), stale.clone()) == Some(stale);
        // Nothing but the manifest is ever written again, and an earlier one only makes the index
        // catch up, which is not done here.
        assert_eq!(is_same, key != b"c", "{key:?}");
        if is_same {
            assert_eq!(fault_count(&log, &damaged), 0);
        } else {
            let (_, end) = Twin::Memory(damaged).open();
            assert_eq!(end, Some(log.end_at(log.entries.len() - 4)));
        }
    }
}

#[test]
fn a_manifest_from_before_the_runs_it_names_were_merged_is_a_fault() {
    let tree = MemoryTree::default();
    let (index, _) = Twin::Memory(tree.clone()).open();
    let mut log = Log::default();
    for n in 0..8 {
        log.append_to(&index, &["a".to_owned(), format!("s{n}")]);
        checkpoint(&index);
    }
    let stale = tree.map().read()[&b"c"[..]].clone();
    tidy(&index);
    log.check(&index);
    tree.map().write().insert(b"c".to_vec(), stale);
    assert!(fault_count(&log, &tree) > 0);
}

#[test]
fn runs_that_do_not_follow_from_each_other_are_a_fault() {
    let all = Revision::START..Revision::new(u64::MAX);
    for missing in 0..2 {
        let (index, _) = Twin::Memory(MemoryTree::default()).open();
        let mut log = Log::default();
        for _ in 0..3 {
            log.append_to(&index, &["a"; 5]);
            checkpoint(&index);
        }
        let mut runs = index.stored.runs().to_vec();
        runs.remove(missing);
        index.stored.set_runs(runs);
        let upper = Revision::new(10)..Revision::new(15);
        assert_eq!(index.addresses("a", upper).unwrap().len(), 5);
        let found = index.addresses("a", all.clone());
        assert!(matches!(found, Err(IndexFault::Damaged { .. })), "{missing}");
    }
}

#[test]
fn a_flipped_bit_in_any_value_is_a_fault_or_changes_nothing() {
    let (log, tree) = indexed();
    for key in keys_of(&tree) {
        let len = tree.map().read()[&key].len();
        for place in (0..len).step_by(if len > 100 { 37 } else { 5 }) {
            let damaged = tree.copy();
            if let Some(value) = damaged.map().write().get_mut(&key) {
                value[place] ^= 1 << (place % 8);
            }
            // Not every mark is the last one before something that is asked for.
            assert!(fault_count(&log, &damaged) > 0 || is_help(&key), "{key:?} {place}");
        }
    }
}

#[test]
fn a_value_under_another_key_is_a_fault() {
    let (log, tree) = indexed();
    for pair in keys_of(&tree).windows(2) {
        let [a, b] = pair else { unreachable!() };
        if is_help(a) {
            continue;
        }
        let damaged = tree.copy();
        let value = damaged.map().read()[b].clone();
        damaged.map().write().insert(a.clone(), value);
        assert!(fault_count(&log, &damaged) > 0, "{a:?} {b:?}");
    }
}

#[test]
fn keys_that_are_none_of_ours_are_faults_not_panics() {
    let (log, tree) = indexed();
    for (key, is_met) in [(&b"r"[..], false), (b"r\0\0\0\0\0\0\0\0a", true), (b"rzz", true)] {
        for value in [vec![], values::seal(key, &[0, 1, 8])] {
            let damaged = tree.copy();
            damaged.map().write().insert(key.to_vec(), value);
            assert_eq!(fault_count(&log, &damaged) > 0, is_met, "{key:?}");
        }
    }
}

#[test]
fn a_tree_of_another_store_or_without_a_manifest_is_refused() {
    for twin in Twin::both() {
        let (index, _) = twin.open();
        Log::default().append_to(&index, &["a"]);
        checkpoint(&index);
        index.close();
        let foreign = Index::open(twin.tree(), StoreId::from_bytes([8; 16]), options());
        assert!(matches!(foreign, Err(IndexFault::Foreign)));
        drop(foreign);
        assert!(twin.open().1.is_some());
    }
    let (_, tree) = indexed();
    tree.map().write().remove(&b"c"[..]);
    let opened = Index::open(Box::new(tree), store(), options());
    assert!(matches!(opened, Err(IndexFault::Damaged { .. })));
}

#[test]
fn a_tree_that_lost_all_but_the_manifest_gives_faults() {
    let (log, tree) = indexed();
    tree.map().write().retain(|key, _| key == b"c");
    assert!(fault_count(&log, &tree) >= 2 * log.streams.len());
}

#[test]
fn a_sled_file_that_is_damaged_gives_a_fault_or_right_answers() {
    if cfg!(miri) {
        return;
    }
    let whole = tempfile::tempdir().unwrap();
    let log = sled_log(whole.path());
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        for file in ["conf", "db"] {
            let mut bytes = std::fs::read(whole.path().join(file)).unwrap();
            if file == "db" {
                let place = random.usize(..bytes.len());
                bytes[place] ^= 1 << random.u32(..8);
            }
            std::fs::write(dir.path().join(file), bytes).unwrap();
        }
        ask_all(&log, dir.path());
    }
}

fn ask_all(log: &Log, path: &std::path::Path) {
    let opened = open_sled(path, 1 << 20).and_then(|tree| Index::open(tree, store(), options()));
    let Ok((index, end)) = opened else { return };
    add(&index, log.entries_from(end), log.end());
    for question in log.questions() {
        let _ = question(&index);
    }
}

fn sled_log(dir: &std::path::Path) -> Log {
    let tree = open_sled(dir, 1 << 20).unwrap();
    let (index, _) = Index::open(tree, store(), options()).unwrap();
    let mut log = Log::default();
    for n in 0..40 {
        log.append_to(&index, &[format!("s{}", n % 30), "long".into()]);
        log.append_to(&index, &["long"; 20]);
        checkpoint(&index);
    }
    index.close();
    log
}
