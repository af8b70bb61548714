//! The manifest: how far the tree has come, and which runs it holds.
//!
//! Owns its bytes. It is the one key that is ever written again, and it is written after what it
//! speaks of: what else is in the tree is a leftover of a crash, and true, for only what is durable
//! is written at all.

use serde::{Deserialize, Serialize};

use super::run::RunMeta;
use super::{IndexFault, values};
use crate::types::{Address, LogEnd, Position, StoreId, Timestamp};

/// Counts changes of what the keys and values mean.
const INDEX_VERSION: u32 = 2;
/// The most parts of a filter that are believed: memory is taken for each.
const PART_COUNT_MAX: u32 = 1 << 20;

/// How far the tree has come, and its runs, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) end: LogEnd,
    pub(super) runs: Vec<RunMeta>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    store: [u8; 16],
    position: u64,
    segment: u64,
    offset: u64,
    checksum: u32,
    recorded_at: i64,
    runs: Vec<StoredRun>,
}

#[derive(Serialize, Deserialize)]
struct StoredRun {
    id: u64,
    level: u8,
    base: u64,
    part_count: u32,
}

impl Manifest {
    /// The sealed value of the manifest under `key`.
    pub(super) fn encode(&self, key: &[u8], store: StoreId) -> Result<Vec<u8>, IndexFault> {
        let stored_run = |run: &RunMeta| StoredRun {
            id: run.id,
            level: run.level,
            base: run.base.get(),
            part_count: run.part_count,
        };
        let stored = Stored {
            version: INDEX_VERSION,
            store: *store.as_bytes(),
            position: self.end.position.get(),
            segment: self.end.address.segment.get(),
            offset: self.end.address.offset,
            checksum: self.end.checksum,
            recorded_at: self.end.recorded_at.as_nanos(),
            runs: self.runs.iter().map(stored_run).collect(),
        };
        values::encode(key, &stored)
    }

    /// Reads the value found under `key`, which must be of `store`.
    pub(super) fn decode(key: &[u8], value: &[u8], store: StoreId) -> Result<Self, IndexFault> {
        let stored: Stored = values::decode(key, value)?;
        if stored.version != INDEX_VERSION || stored.store != *store.as_bytes() {
            return Err(IndexFault::Foreign);
        }
        if stored.runs.iter().any(|run| run.part_count > PART_COUNT_MAX) {
            return Err(IndexFault::damaged("a filter of too many parts"));
        }
        let run = |run: &StoredRun| RunMeta {
            id: run.id,
            level: run.level,
            base: Position::new(run.base),
            part_count: run.part_count,
        };
        Ok(Self {
            end: LogEnd {
                position: Position::new(stored.position),
                address: Address { segment: Position::new(stored.segment), offset: stored.offset },
                checksum: stored.checksum,
                recorded_at: Timestamp::from_nanos(stored.recorded_at),
            },
            runs: stored.runs.iter().map(run).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_take_too_much_memory_is_a_fault() {
        let store = StoreId::from_bytes([7; 16]);
        let decoded = |part_count| {
            let run = RunMeta { id: 3, level: 1, base: Position::START, part_count };
            let manifest = Manifest { end: LogEnd::start(7, 64), runs: vec![run] };
            let value = manifest.encode(b"c", store).unwrap();
            Manifest::decode(b"c", &value, store).map(|decoded| assert_eq!(decoded, manifest))
        };
        decoded(PART_COUNT_MAX).unwrap();
        assert!(matches!(decoded(PART_COUNT_MAX + 1), Err(IndexFault::Damaged { .. })));
    }
}
