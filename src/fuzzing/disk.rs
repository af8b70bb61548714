//! Simulated directories that hold a store which is the same in every run.

use std::sync::Arc;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::format::StoreMeta;
use crate::log::{META, create};
use crate::options::Options;
use crate::segment::FOLDER;
use crate::simulation::Simulation;
use crate::sync::Mutex;
use crate::types::{StoreId, StoreKey, Timestamp};

/// What every store here is told by.
pub(super) const KEY: StoreKey =
    StoreKey { id: StoreId::from_bytes([0x5A; 16]), seed: 0x1234_5678 };

/// The result of what cannot fail, because nothing was made to.
pub(super) fn sure<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("nothing was made to fail: {error:?}"))
}

/// A directory with a store that has no events.
pub(super) fn empty_store() -> Simulation {
    let disk = Simulation::new();
    let directory = disk.directory();
    sure(directory.create_folder(""));
    sure(directory.create_folder(FOLDER));
    sure(create(directory, KEY));
    let meta = StoreMeta { key: KEY, created_at: Timestamp::from_nanos(0) };
    sure(directory.replace(META, &meta.encode()));
    disk
}

/// Options that make many small files.
pub(super) fn options(clock: &Ticks) -> Options {
    Options::new()
        .segment_len_max(4 << 10)
        .page_cache_len(4 << 10)
        .checkpoint_event_count(8)
        .clock(clock.clone())
}

/// A clock that stands where it was put.
#[derive(Clone, Debug, Default)]
pub(super) struct Ticks(Arc<Mutex<i64>>);

impl Ticks {
    pub(super) fn put(&self, ns: i64) {
        *self.0.lock() = ns;
    }
}

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(*self.0.lock())
    }
}
