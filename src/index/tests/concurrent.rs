//! Readers, one who appends and one who writes checkpoints, at the same time.

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::super::tree::{Change, Pair};
use super::*;

/// Events before `position` in each stream are what `index` must know of it, at least.
fn check_stream(index: &Index, log: &Log, name: &str, published: usize) {
    let known: Vec<_> =
        log.entries[..published].iter().filter(|entry| entry.stream == name).collect();
    let end = index.stream_end(name).unwrap();
    assert!(end >= Revision::new(u64::try_from(known.len()).unwrap()), "{name}");
    let addresses = index.addresses(name, Revision::START..Revision::new(u64::MAX)).unwrap();
    assert!(addresses.len() >= known.len() && log.streams[name].starts_with(&addresses));
    let half = Revision::new(u64::try_from(known.len() / 2).unwrap());
    let rest = index.addresses(name, half..end).unwrap();
    assert!(log.streams[name][known.len() / 2..].starts_with(&rest));
    assert!(rest.len() >= known.len() - known.len() / 2);
}

fn check_listing(index: &Index, log: &Log, published: usize) {
    let listed: BTreeMap<_, _> = index.streams("", None, usize::MAX).unwrap().into_iter().collect();
    for entry in &log.entries[..published] {
        assert!(listed[&entry.stream] > entry.revision, "{}", entry.stream);
    }
}

fn read(index: &Index, log: &Log, published: &AtomicUsize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    loop {
        let count = published.load(Ordering::Acquire);
        let stream = &log.entries[random.usize(..log.entries.len())].stream;
        check_stream(index, log, stream, count);
        if random.u8(..) < 16 {
            check_listing(index, log, count);
        }
        let entry = &log.entries[random.usize(..log.entries.len())];
        log.check_marks(index, entry).unwrap();
        if count == log.entries.len() {
            return;
        }
    }
}

/// New streams come all the time, so that readers meet streams that are just going to the tree.
fn log_of(count: usize) -> Log {
    let mut log = Log::default();
    for n in 0..count {
        log.append(&[format!("s{}", n / 10), "hot".to_owned(), format!("s{}", n / 17)]);
    }
    log
}

#[test]
fn readers_see_every_revision_while_it_moves() {
    // The second and the third with a filter over many runs.
    let kinds = [(0, 700, 500), (0, 700, 4 << 10), (1, 300, 4 << 10)];
    for (twin, count, cache_len_max) in kinds {
        let Some(twin) = Twin::both().into_iter().nth(twin) else { continue };
        let options = IndexOptions { cache_len_max, ..options() };
        let (index, _) = Index::open(twin.tree(), store(), options).unwrap();
        let (log, published, is_done) =
            (log_of(count), AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|seed| {
                    scope.spawn({
                        let (index, log, published) = (&index, &log, &published);
                        move || read(index, log, published, seed)
                    })
                })
                .collect();
            scope.spawn(|| {
                while !is_done.load(Ordering::Acquire) {
                    index.freeze();
                    index.write_frozen(|| Ok(true)).unwrap();
                    let _ = index.tidy().unwrap();
                    thread::yield_now();
                }
            });
            for batch in log.entries.chunks(3) {
                let end = usize::try_from(batch[2].position.get()).unwrap() + 1;
                add(&index, batch, log.end_at(end));
                published.store(end, Ordering::Release);
                thread::yield_now();
            }
            let results: Vec<_> = readers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            is_done.store(true, Ordering::Release);
            assert!(results.iter().all(Result::is_ok));
        });
        assert!(index.fault().is_none());
        log.check(&index);
    }
}

#[test]
fn readers_get_right_answers_or_the_fault_while_the_index_breaks_or_closes() {
    for round in 0..40 {
        let (index, _) = Twin::Memory(MemoryTree::default()).open();
        let mut log = Log::default();
        log.append_to(&index, &["a", "b"]);
        checkpoint(&index);
        log.append_to(&index, &["a", "b"]);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while log.questions().iter().all(|question| question(&index).is_ok()) {}
                });
            }
            thread::yield_now();
            if round % 2 == 0 {
                index.close();
            } else {
                index.mark_broken(IndexFault::Panicked);
            }
        });
    }
}

/// What happens between two reads of the tree.
pub(super) type Interruption = Box<dyn Fn() + Send + Sync>;

/// A tree in which something happens just after one of the next reads.
#[derive(Clone, Default)]
pub(super) struct Interrupted {
    tree: MemoryTree,
    /// After as many reads it happens.
    pub(super) left: Arc<AtomicUsize>,
    pub(super) interruption: Arc<OnceLock<Interruption>>,
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree.fmt(f)
    }
}

impl Interrupted {
    fn read<T>(&self, read: impl FnOnce(&MemoryTree) -> T) -> T {
        let answer = read(&self.tree);
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1 {
            self.interruption.get().unwrap()();
        }
        answer
    }
}

impl Tree for Interrupted {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        self.read(|tree| tree.get(key))
    }

    fn last_in(&self, keys: Range<&[u8]>) -> Result<Option<Pair>, IndexFault> {
        self.read(|tree| tree.last_in(keys))
    }

    fn scan(&self, keys: Range<&[u8]>, count_max: usize) -> Result<Vec<Pair>, IndexFault> {
        self.read(|tree| tree.scan(keys, count_max))
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        self.tree.apply(changes)
    }
}

/// How far an interruption comes.
#[derive(Clone, Copy, Debug)]
enum Move {
    Add,
    Freeze,
    Write,
    Merge,
}

const STREAMS: [&str; 3] = ["known", "long", "new"];

/// An index with a part of `log` in its tree; the rest is added, and moved on, just after
/// read `count` of the tree.
fn interrupted_at(count: usize, goal: Move, log: &Arc<Log>, part: usize) -> Arc<Index> {
    let tree = Interrupted::default();
    let (index, _) = Index::open(Box::new(tree.clone()), store(), options()).unwrap();
    // As many runs as are merged once there is another one.
    for count in [part - 6, part - 5, part - 4, part - 3, part - 2, part - 1, part] {
        let known =
            index.indexed_end().map_or(0, |end| usize::try_from(end.position.get()).unwrap());
        add(&index, &log.entries[known..count], log.end_at(count));
        checkpoint(&index);
    }
    tidy(&index);
    let index = Arc::new(index);
    let (weak, log) = (Arc::downgrade(&index), Arc::clone(log));
    let interruption = move || {
        let index = weak.upgrade().unwrap();
        add(&index, &log.entries[part..], log.end());
        if !matches!(goal, Move::Add) {
            index.freeze().unwrap();
        }
        if matches!(goal, Move::Write | Move::Merge) {
            index.write_frozen(|| Ok(true)).unwrap();
        }
        if matches!(goal, Move::Merge) {
            tidy(&index);
        }
    };
    assert!(tree.interruption.set(Box::new(interruption)).is_ok());
    tree.left.store(count, Ordering::Relaxed);
    index
}

#[test]
fn what_moves_between_two_reads_of_the_tree_is_no_fault_and_no_wrong_answer() {
    let mut log = Log::default();
    log.append(&["known", "known"]);
    log.append(&["long"; 300]);
    let part = log.entries.len();
    log.append(&["new", "known", "new", "long"]);
    let log = Arc::new(log);
    let all = Revision::START..Revision::new(u64::MAX);
    for goal in [Move::Add, Move::Freeze, Move::Write, Move::Merge] {
        for (count, name) in (1..30).flat_map(|count| STREAMS.map(|name| (count, name))) {
            let what = format!("{goal:?} {count} {name}");
            let index = interrupted_at(count, goal, &log, part);
            let end = index.stream_end(name).expect(&what);
            let before = log.entries[..part].iter().filter(|entry| entry.stream == name).count();
            assert!(end == log.end_of(name) || end.get() == u64::try_from(before).unwrap());

            let index_of_addresses = interrupted_at(count, goal, &log, part);
            let addresses = index_of_addresses.addresses(name, all.clone()).expect(&what);
            assert!(log.streams[name].starts_with(&addresses) && addresses.len() >= before);

            let index_of_names = interrupted_at(count, goal, &log, part);
            let listed = index_of_names.streams("", None, 9).expect(&what);
            assert!(listed.len() >= 2 && listed.iter().all(|(name, end)| *end <= log.end_of(name)));

            for index in [index, index_of_addresses, index_of_names] {
                if index.indexed_end() == Some(log.end()) {
                    log.check(&index);
                    if index.freeze().is_none() {
                        index.write_frozen(|| Ok(true)).unwrap();
                    }
                    log.check(&index);
                }
            }
        }
    }
}
