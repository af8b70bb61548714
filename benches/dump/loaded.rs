//! The store that is read, and the lines that are imported.
#![expect(clippy::disallowed_types, reason = "lines are written to a file")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use annals::{Batch, Durability, Options};

use crate::Bench;
use crate::common::{BATCH_LEN, Pool, Result, settle};
use crate::program::program;

/// A closed store, and what it exports.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) path: PathBuf,
    /// Lines of the store, in batches of a thousand events.
    pub(crate) lines: PathBuf,
    /// Lines of the same events, each a batch.
    pub(crate) single_lines: PathBuf,
    pub(crate) event_count: u64,
}

/// How many events have their payloads from a pool, over and over.
const POOL_LEN: usize = 64 * BATCH_LEN;

/// What the rows of this run share, which the first of them loads.
pub(crate) fn loaded(bench: &Bench) -> Result<&Loaded> {
    if let Some(there) = bench.shared.loaded.get() {
        return Ok(there);
    }
    let new = Loaded::new(&bench.dir, bench.size.pick(2_000, 20))?;
    Ok(bench.shared.loaded.get_or_init(|| new))
}

impl Loaded {
    /// A store of so many batches.
    fn new(dir: &Path, batch_count: usize) -> Result<Self> {
        let pool = Pool::new(POOL_LEN);
        let (path, single) = (dir.join("loaded"), dir.join("single"));
        load(&path, pool.batches(BATCH_LEN).iter().cycle().take(batch_count))?;
        load(&single, pool.batches(1).iter().cycle().take(batch_count * BATCH_LEN))?;
        let loaded = Self {
            lines: exported(&path, dir.join("lines"))?,
            single_lines: exported(&single, dir.join("single-lines"))?,
            path,
            event_count: u64::try_from(batch_count * BATCH_LEN)?,
        };
        fs::remove_dir_all(single)?;
        settle(dir)?;
        Ok(loaded)
    }

    /// The segment files, in their order.
    pub(crate) fn segments(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.path.join("log"))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
        paths.sort();
        Ok(paths)
    }
}

fn load<'a>(path: &Path, batches: impl Iterator<Item = &'a Batch>) -> Result<()> {
    let store = Options::new().durability(Durability::Buffered).open(path)?;
    for batch in batches {
        store.append_batch(batch)?;
    }
    Ok(store.close()?)
}

/// Exports a store to a file.
pub(crate) fn exported(store: &Path, lines: PathBuf) -> Result<PathBuf> {
    let mut command = program(&["export".as_ref(), store.as_os_str()]);
    let status = command.stdout(File::create(&lines)?).status()?;
    if status.success() { Ok(lines) } else { Err(format!("export ended with {status}").into()) }
}
