//! Trees in sled.
//!
//! The only module that names sled. Owns how it is configured, and keeps its errors and panics
//! to itself: sled 0.34.7 panics on most damage to its file, so every call is under
//! `catch_unwind`. Knows nothing of what the trees hold.

use std::fmt;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::IndexFault;
use super::trees::{Pair, Tree, Trees};

/// How often sled hands what it holds to the operating system. Never: it would hold gigabytes.
const FLUSH_INTERVAL_MS: u64 = 1_000;
/// How long sled's lock may still be held by threads of a database that was just let go.
const RELEASE_WAIT: Duration = Duration::from_millis(10);
const RELEASE_WAIT_COUNT_MAX: u32 = 300;
/// How long closing a database may take.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Opens the trees in the directory `path`, or makes them, with a cache of about `cache_len`
/// bytes; what sled takes in all may be several times that.
pub(crate) fn open_sled(path: &Path, cache_len: u64) -> Result<Box<dyn Trees>, IndexFault> {
    let mut wait_count = 0;
    loop {
        match caught(|| Database::open(path, cache_len)) {
            Ok(database) => return Ok(Box::new(SledTrees { database: Some(database) })),
            Err(fault) if is_locked(&fault) && wait_count < RELEASE_WAIT_COUNT_MAX => {
                wait_count += 1;
                thread::sleep(RELEASE_WAIT);
            }
            Err(fault) => return Err(fault),
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
/// trees are only dropped.
fn caught<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexFault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| IndexFault::failed(error.into())),
        Err(_) => Err(IndexFault::Panicked),
    }
}

struct Database {
    db: sled::Db,
    postings: sled::Tree,
    ends: sled::Tree,
}

impl Database {
    fn open(path: &Path, cache_len: u64) -> sled::Result<Self> {
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(cache_len)
            .flush_every_ms(Some(FLUSH_INTERVAL_MS))
            .open()?;
        let postings = db.open_tree("postings")?;
        let ends = db.open_tree("ends")?;
        Ok(Self { db, postings, ends })
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        match tree {
            Tree::Postings => &self.postings,
            Tree::Ends => &self.ends,
        }
    }
}

struct SledTrees {
    /// There until it is dropped.
    database: Option<Database>,
}

impl SledTrees {
    fn call<T>(&self, call: impl FnOnce(&Database) -> sled::Result<T>) -> Result<T, IndexFault> {
        let database = self.database.as_ref().ok_or(IndexFault::Closed)?;
        caught(|| call(database))
    }
}

impl fmt::Debug for SledTrees {
    /// sled's own would print everything that it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledTrees").finish_non_exhaustive()
    }
}

impl Drop for SledTrees {
    fn drop(&mut self) {
        let Some(database) = self.database.take() else { return };
        let (done, closed) = mpsc::channel();
        let close = move || {
            // A panic here has nobody to go to, and what it is about can be rebuilt.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let _ = database.db.flush();
                drop(database);
            }));
            let _ = done.send(());
        };
        // After a failed write sled may wait for ever for what it could not write. Whoever closes
        // a store must not: the thread is left behind then, and sled's files stay locked.
        if thread::Builder::new().name("annals-index-close".to_owned()).spawn(close).is_ok() {
            let _ = closed.recv_timeout(CLOSE_WAIT_MAX);
        }
    }
}

fn owned((key, value): (sled::IVec, sled::IVec)) -> Pair {
    (key.to_vec(), value.to_vec())
}

impl Trees for SledTrees {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, IndexFault> {
        self.call(|database| Ok(database.tree(tree).get(key)?.map(|value| value.to_vec())))
    }

    fn last_in(&self, tree: Tree, keys: Range<&[u8]>) -> Result<Option<Pair>, IndexFault> {
        if keys.start >= keys.end {
            return Ok(None);
        }
        self.call(|database| {
            database.tree(tree).range(keys).next_back().transpose().map(|pair| pair.map(owned))
        })
    }

    fn scan(
        &self,
        tree: Tree,
        keys: Range<&[u8]>,
        count_max: usize,
    ) -> Result<Vec<Pair>, IndexFault> {
        if keys.start >= keys.end {
            return Ok(Vec::new());
        }
        self.call(|database| {
            let pairs = database.tree(tree).range(keys).take(count_max);
            pairs.map(|pair| pair.map(owned)).collect()
        })
    }

    fn apply(&self, tree: Tree, puts: Vec<Pair>) -> Result<(), IndexFault> {
        self.call(|database| {
            let mut batch = sled::Batch::default();
            for (key, value) in puts {
                batch.insert(key, value);
            }
            database.tree(tree).apply_batch(batch)
        })
    }
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
    fn trees_can_be_opened_again_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..20_u8 {
            let trees = open_sled(dir.path(), 1 << 20).unwrap();
            assert_eq!(trees.scan(Tree::Ends, &[]..&[0xff], 100).unwrap().len(), usize::from(n));
            trees.apply(Tree::Ends, vec![(vec![n], vec![n])]).unwrap();
        }
    }
}
