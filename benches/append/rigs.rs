//! One run of annals, in a store of its own, and one of the bare side.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use annals::{Batch, Durability, IndexRecovery, Options, Store};
use tempfile::TempDir;

use crate::bare::{BareFile, BareLog};
use crate::common::{Result, Run, Sample, records_len, settle, usage};
use crate::gathered::Gathered;
use crate::threads::{self, Span};

/// What a segment has beside its records: a header, and a footer once it is sealed.
const SEGMENT_HEADER_LEN: u64 = 64;
const SEGMENT_FOOTER_LEN: u64 = 96;

/// When a bulk of batches is synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Syncs {
    EachBatch,
    AtTheEnd,
}

impl Syncs {
    /// The options of annals that do so; all others are the defaults.
    pub(crate) fn options(self) -> Options {
        match self {
            Self::EachBatch => Options::new(),
            Self::AtTheEnd => Options::new().durability(Durability::Buffered),
        }
    }
}

/// A store that was filled and closed, and is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) run: Run,
    pub(crate) path: PathBuf,
    scratch: TempDir,
}

impl Filled {
    /// Removes the store.
    pub(crate) fn remove(self) -> Result<()> {
        Ok(self.scratch.close()?)
    }
}

/// Opens a new store in `dir`, lets `work` append to it, and closes it.
pub(crate) fn fill(
    dir: &Path,
    options: &Options,
    work: impl FnOnce(&Store) -> Result<Run>,
) -> Result<Filled> {
    let scratch = tempfile::Builder::new().prefix("store-").tempdir_in(dir)?;
    let path = scratch.path().join("store");
    settle(dir)?;
    let store = options.open(&path)?;
    let run = work(&store)?;
    store.close()?;
    Ok(Filled { run, path, scratch })
}

/// Lets `work` append to a new store in `dir`, checks what is there then, and removes it.
pub(crate) fn in_a_store(
    dir: &Path,
    options: &Options,
    work: impl FnOnce(&Store) -> Result<Run>,
) -> Result<Run> {
    let filled = fill(dir, options, work)?;
    check(&filled.path, filled.run.event_count)?;
    let Filled { run, scratch, .. } = filled;
    scratch.close()?;
    Ok(run)
}

/// Checks that a store that was closed has so many events, no byte more than they need, and an
/// index of them all.
pub(crate) fn check(path: &Path, event_count: u64) -> Result<()> {
    let log = usage(&path.join("log"))?;
    let sealed_count = log.file_count.saturating_sub(1);
    let frames = log.file_count * SEGMENT_HEADER_LEN + sealed_count * SEGMENT_FOOTER_LEN;
    let expected_len = records_len(event_count) + frames;
    if log.len != expected_len {
        return Err(format!("a log of {} bytes, which should have {expected_len}", log.len).into());
    }
    let store = Options::new().create(false).open(path)?;
    let end = store.end().get();
    if end != event_count {
        return Err(format!("{end} events are in a store that should have {event_count}").into());
    }
    match &store.recovery().index {
        IndexRecovery::Current => Ok(store.close()?),
        other => {
            Err(format!("the index was not complete when the store was closed: {other:?}").into())
        }
    }
}

/// Appends all `batches`. Timed until they are durable and the index has them all.
pub(crate) fn bulk<B: Borrow<Batch>>(
    store: &Store,
    batches: impl IntoIterator<Item = B>,
) -> Result<Run> {
    let started = Instant::now();
    let mut event_count = 0;
    for batch in batches {
        event_count = store.append_batch(batch.borrow())?.end().get();
    }
    store.sync()?;
    store.close()?;
    Ok(Run::new(event_count, started.elapsed()))
}

/// The bare side of [`bulk`].
pub(crate) fn bare_bulk<S: AsRef<[Sample]>>(
    file: &BareFile,
    syncs: Syncs,
    batches: impl IntoIterator<Item = S>,
) -> Result<Run> {
    let mut log = BareLog::new(file);
    let started = Instant::now();
    for batch in batches {
        log.append(batch.as_ref())?;
        if let Syncs::EachBatch = syncs {
            log.sync()?;
        }
    }
    log.sync()?;
    let run = Run::new(log.event_count(), started.elapsed());
    log.check()?;
    Ok(run)
}

/// Appends batches of one event each, durably, from `thread_count` threads that take them from
/// different places of one pool.
pub(crate) fn single(
    store: &Store,
    thread_count: usize,
    span: Span,
    pool: &[Batch],
) -> Result<Run> {
    let stride = pool.len() / thread_count;
    threads::run(thread_count, span, |thread, nth| {
        let batch = pool.get((thread * stride + nth) % pool.len()).ok_or("the pool is empty")?;
        store.append_batch(batch)?;
        Ok(())
    })
}

/// The bare side of [`single`].
pub(crate) fn bare_single(
    file: &BareFile,
    thread_count: usize,
    span: Span,
    pool: &[Sample],
) -> Result<Run> {
    let log = Gathered::new(file);
    let stride = pool.len() / thread_count;
    let run = threads::run(thread_count, span, |thread, nth| {
        let at = (thread * stride + nth) % pool.len();
        log.append(pool.get(at..=at).ok_or("the pool is empty")?)
    })?;
    let event_count = log.check()?;
    if event_count == run.event_count {
        Ok(run)
    } else {
        Err(format!("{event_count} events of {} are in the file", run.event_count).into())
    }
}
