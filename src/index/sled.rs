//! The tree in sled.
//!
//! The only module that names sled. Owns how it is configured, and keeps its errors, panics and
//! silences to itself: sled 0.34.7 panics on most damage to its file, so every call is under
//! `catch_unwind`; and after a write that failed it may wait for ever, with locks that others need,
//! and make whoever applies a batch to any sled database of the process wait. So it is written on a
//! thread that can be left behind, and read on another meanwhile. Knows nothing of what the tree
//! holds.

use std::fmt;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::IndexFault;
use super::tree::{Change, Pair, Tree};
use crate::sync::{AtomicU64, Begun, Mutex, Ordering, Worker};

/// How often sled hands what it holds to the operating system. Never: it would hold gigabytes.
const FLUSH_INTERVAL_MS: u64 = 1_000;
/// How often a page that is read is asked for. sled counts what it has in memory only once a page's
/// queue, one of 256, has taken 64 accesses, and lets go of nothing before: 16,384 different pages
/// of some 9 KB, whatever its cache may hold. So each is asked for as often that few pages fill
/// a queue.
const ACCESS_COUNT: usize = 16;
/// How long sled's lock may still be held by threads of a database that was just let go.
const RELEASE_WAIT: Duration = Duration::from_millis(10);
const RELEASE_WAIT_COUNT_MAX: u32 = 300;
/// How long a call may take, closing the database included, before it is given up.
const CALL_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long opening a database may take: sled reads what it has written since its last snapshot.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(60);

/// Opens the tree in the directory `path`, or makes it, with a cache of about `cache_len`
/// bytes; what sled takes in all may be several times that.
pub(crate) fn open_sled(path: &Path, cache_len: u64) -> Result<Box<dyn Tree>, IndexFault> {
    let [writer, reader] = ["annals-index", "annals-index-read"].map(Worker::start);
    let (writer, reader) =
        (writer.map_err(IndexFault::failed)?, reader.map_err(IndexFault::failed)?);
    let path = path.to_owned();
    let opened = writer.run(OPEN_WAIT_MAX, move || open(&path, cache_len));
    let database = opened.unwrap_or(Err(IndexFault::NoAnswer))?;
    Ok(Box::new(SledTree::new(database, [writer, reader])))
}

fn open(path: &Path, cache_len: u64) -> Result<Database, IndexFault> {
    let mut wait_count = 0;
    loop {
        match caught(|| Database::open(path, cache_len)) {
            Err(fault) if is_locked(&fault) && wait_count < RELEASE_WAIT_COUNT_MAX => {
                wait_count += 1;
                thread::sleep(RELEASE_WAIT);
            }
            opened => return opened,
        }
    }
}

/// sled has no error of its own for a lock that is held.
fn is_locked(fault: &IndexFault) -> bool {
    let IndexFault::Failed { cause } = fault else { return false };
    cause.kind() == io::ErrorKind::Other && cause.to_string().contains("could not acquire lock")
}

/// Runs `call` and makes a fault of its error or panic.
///
/// What a panic leaves behind is not looked at again: the index is broken from then on, and the
/// tree is only dropped.
fn caught<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexFault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| IndexFault::failed(error.into())),
        Err(_) => Err(IndexFault::Panicked),
    }
}

struct Database {
    db: sled::Db,
    tree: sled::Tree,
}

impl Database {
    fn open(path: &Path, cache_len: u64) -> sled::Result<Self> {
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(cache_len)
            .flush_every_ms(Some(FLUSH_INTERVAL_MS))
            .open()?;
        let tree = db.open_tree("runs")?;
        Ok(Self { db, tree })
    }
}

struct SledTree {
    /// There until it is dropped.
    database: Option<Arc<Database>>,
    writer: Worker,
    reader: Worker,
    /// The last call to `writer`, until someone has waited for it.
    begun: Mutex<Option<Begun<Result<(), IndexFault>>>>,
    /// Calls to `writer` that have not returned, or never will, or have failed.
    writes: Arc<AtomicU64>,
}

impl SledTree {
    fn new(database: Database, [writer, reader]: [Worker; 2]) -> Self {
        let database = Some(Arc::new(database));
        Self { database, writer, reader, begun: Mutex::new(None), writes: Arc::default() }
    }

    fn database(&self) -> Result<Arc<Database>, IndexFault> {
        self.database.clone().ok_or(IndexFault::Closed)
    }

    /// Makes a call that only reads: here, if nobody writes.
    fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Database) -> sled::Result<T> + Send + 'static,
    ) -> Result<T, IndexFault> {
        let database = self.database()?;
        if self.writes.load(Ordering::Acquire) == 0 {
            return caught(|| call(&database));
        }
        let read = self.reader.run(CALL_WAIT_MAX, move || caught(|| call(&database)));
        read.unwrap_or(Err(IndexFault::NoAnswer))
    }

    /// Begins a call that writes, once the one before has returned, and fails if that did.
    fn begin_write(
        &self,
        call: impl FnOnce(&Database) -> sled::Result<()> + Send + 'static,
    ) -> Result<(), IndexFault> {
        let mut begun = self.begun.lock();
        settle(&mut begun)?;
        let (database, writes) = (self.database()?, Arc::clone(&self.writes));
        writes.fetch_add(1, Ordering::AcqRel);
        let call = move || {
            let written = caught(|| call(&database));
            // Who learns of a failure only later must not read where it may wait for ever.
            if written.is_ok() {
                writes.fetch_sub(1, Ordering::AcqRel);
            }
            written
        };
        *begun = Some(self.writer.begin(call).ok_or(IndexFault::NoAnswer)?);
        Ok(())
    }

    fn write(
        &self,
        call: impl FnOnce(&Database) -> sled::Result<()> + Send + 'static,
    ) -> Result<(), IndexFault> {
        self.begin_write(call)?;
        settle(&mut self.begun.lock())
    }
}

/// Waits for the call that was begun, if there is one, and says what has become of it.
fn settle(begun: &mut Option<Begun<Result<(), IndexFault>>>) -> Result<(), IndexFault> {
    let Some(begun) = begun.take() else { return Ok(()) };
    begun.wait(CALL_WAIT_MAX).unwrap_or(Err(IndexFault::NoAnswer))
}

impl fmt::Debug for SledTree {
    /// sled's own would print everything that it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledTree").finish_non_exhaustive()
    }
}

impl Drop for SledTree {
    /// Whoever closes a store must not wait for ever: the thread is left behind then, and sled's
    /// files stay locked.
    fn drop(&mut self) {
        let Some(database) = self.database.take() else { return };
        let close = move || {
            // A panic here has nobody to go to, and what it is about can be rebuilt.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let _ = database.db.flush();
                drop(database);
            }));
        };
        let _ = self.writer.run(CALL_WAIT_MAX, close);
    }
}

fn owned((key, value): (sled::IVec, sled::IVec)) -> Pair {
    (key.to_vec(), value.to_vec())
}

impl Tree for SledTree {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        let key = key.to_vec();
        self.read(move |database| Ok(database.tree.get(key)?.map(|value| value.to_vec())))
    }

    fn last_in(&self, keys: Range<&[u8]>) -> Result<Option<Pair>, IndexFault> {
        if keys.start >= keys.end {
            return Ok(None);
        }
        let keys = keys.start.to_vec()..keys.end.to_vec();
        self.read(move |database| {
            let found = database.tree.range(keys).next_back().transpose()?.map(owned);
            if let Some((key, _)) = &found {
                for _ in 1..ACCESS_COUNT {
                    database.tree.get(key)?;
                }
            }
            Ok(found)
        })
    }

    fn scan(&self, keys: Range<&[u8]>, count_max: usize) -> Result<Vec<Pair>, IndexFault> {
        if keys.start >= keys.end {
            return Ok(Vec::new());
        }
        let keys = keys.start.to_vec()..keys.end.to_vec();
        self.read(move |database| {
            let pairs = database.tree.range(keys).take(count_max);
            pairs.map(|pair| pair.map(owned)).collect()
        })
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        self.write(|database| make(changes, database))
    }

    fn begin(&self, changes: Vec<Change>) -> Result<(), IndexFault> {
        self.begin_write(|database| make(changes, database))
    }
}

/// Not as a batch of sled's: that makes them in no order, which leaves pages in pieces that are read one
/// by one, and lets nobody read meanwhile.
fn make(changes: Vec<Change>, database: &Database) -> sled::Result<()> {
    for change in changes {
        match change {
            Change::Put((key, value)) => database.tree.insert(key, value)?,
            Change::Remove(key) => database.tree.remove(key)?,
        };
    }
    Ok(())
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_panic_or_an_error_of_sled_is_a_fault() {
        assert!(matches!(caught::<()>(|| panic!("as sled does")), Err(IndexFault::Panicked)));
        let error = || Err::<(), _>(sled::Error::ReportableBug(String::new()));
        assert!(matches!(caught(error), Err(IndexFault::Failed { .. })));
    }

    #[test]
    fn a_path_that_cannot_be_a_directory_is_a_fault() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(open_sled(file.path(), 1 << 20), Err(IndexFault::Failed { .. })));
    }

    #[test]
    fn a_tree_can_be_opened_again_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..20_u8 {
            let tree = open_sled(dir.path(), 1 << 20).unwrap();
            assert_eq!(tree.scan(&[]..&[0xff], 100).unwrap().len(), usize::from(n));
            tree.apply(vec![Change::Put((vec![n], vec![n]))]).unwrap();
        }
    }

    fn tree_in(dir: &Path) -> Option<SledTree> {
        let workers = [Worker::start("w").ok()?, Worker::start("r").ok()?];
        Some(SledTree::new(open(dir, 1 << 20).ok()?, workers))
    }

    /// sled has been seen to wait for ever for a write that had failed, with a lock held that
    /// other calls need.
    #[test]
    fn whoever_reads_while_a_write_hangs_is_not_made_to_wait_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree_in(dir.path()).unwrap();
        tree.writes.store(1, Ordering::Release);
        let caller = thread::current().id();
        let there = tree.read(move |_| Ok(thread::current().id() == caller)).unwrap();
        assert!(!there, "it is read on a thread that can be left behind");
        tree.writes.store(0, Ordering::Release);
        assert!(tree.read(move |_| Ok(thread::current().id() == caller)).unwrap());
        tree.write(|_| Ok(())).unwrap();
        assert_eq!(tree.writes.load(Ordering::Acquire), 0);
    }

    #[test]
    fn what_became_of_a_write_that_was_begun_is_told_before_the_next_one_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree_in(dir.path()).unwrap();
        let put = |key: u8| vec![Change::Put((vec![key], vec![key]))];
        for key in 0..100 {
            tree.begin(put(key)).unwrap();
        }
        tree.apply(put(100)).unwrap();
        assert_eq!(tree.scan(&[]..&[0xff], 1_000).unwrap().len(), 101);
        tree.begin_write(|_| Err(sled::Error::ReportableBug(String::new()))).unwrap();
        assert!(matches!(tree.apply(put(101)), Err(IndexFault::Failed { .. })));
        assert_eq!(tree.get(&[101]).unwrap(), None);
        tree.begin_write(|_| panic!("as sled does")).unwrap();
        assert!(matches!(tree.begin(put(101)), Err(IndexFault::Panicked)));
        assert_eq!(tree.get(&[101]).unwrap(), None);
        assert_eq!(tree.writes.load(Ordering::Acquire), 2, "nobody reads here any more");
    }
}
