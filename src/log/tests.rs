//! The log by itself, with a stub that follows it.

use std::fmt;
use std::io::ErrorKind;
use std::sync::{Arc, OnceLock, Weak};

use super::*;
use crate::directory::{Call, Directory, Fault, SimulatedDirectory};
use crate::event::NewEvent;
use crate::format::{Footer, ToRecord};
use crate::segment::{FOLDER, parse_name};
use crate::types::{EventId, NameHasher, Revision, StoreId, StoreKey, Timestamp};

const SEGMENT_LEN_MAX: u64 = 4 << 10;
const KEY: StoreKey = StoreKey { id: StoreId::from_bytes([3; 16]), seed: 5 };

/// Does something to the log whenever it is told of events: while the group is written and not yet
/// taken note of.
struct Meanwhile {
    log: OnceLock<Weak<Log>>,
    act: fn(&Log),
}

impl Follow for Meanwhile {
    fn published(&self, _: &Entries, _: LogEnd) {
        if let Some(log) = self.log.get().and_then(Weak::upgrade) {
            (self.act)(&log);
        }
    }
}

impl Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meanwhile")
    }
}

/// An empty log, which `act` is done to in the middle of each append.
fn log_with(disk: &SimulatedDirectory, act: fn(&Log)) -> Arc<Log> {
    let directory: Arc<dyn Directory> = Arc::new(disk.clone());
    directory.create_folder(FOLDER).unwrap();
    directory.replace(LOCK, b"").unwrap();
    create(&*directory, KEY).unwrap();
    let scanned = UnrecoveredLog::scan(directory, KEY).unwrap();
    let (begin, _) = scanned.recover(SEGMENT_LEN_MAX).unwrap();
    let follower = Arc::new(Meanwhile { log: OnceLock::new(), act });
    let options = Options::new().segment_len_max(SEGMENT_LEN_MAX);
    let log = Arc::new(begin.start(&options, follower.clone()));
    follower.log.set(Arc::downgrade(&log)).unwrap();
    log
}

/// Appends one event of about a third of a segment.
fn append(log: &Log, durability: Durability) {
    // So that a footer begins in one block of the simulated medium, and ends in the next.
    let event = NewEvent::bytes("t", vec![7; 1_090]);
    let hash = NameHasher::of(KEY.id).hash("s");
    let assigned = log.append(1_200, durability, |assign| {
        let (end, durable_end) = (*assign.end(), assign.durable_end());
        assign.push(
            hash,
            &ToRecord {
                stream: "s",
                event: &event,
                id: EventId::from_bytes([9; 16]),
                position: end.position,
                revision: Revision::new(end.position.get()),
                recorded_at: Timestamp::from_nanos(i64::try_from(end.position.get()).unwrap()),
                previous: end.checksum,
                durable_end,
                ends_batch: true,
                progress: None,
                seed: KEY.seed,
            },
        );
        Ok(())
    });
    assigned.unwrap();
}

/// The count was set to 0 for the segment before, which needed no sync, and the thread that syncs now
/// and then slept without a time: the first events of a segment stayed without a sync for ever.
#[test]
fn a_sync_beside_a_roll_forgets_nothing_that_is_not_synced() {
    let disk = SimulatedDirectory::new();
    let log = log_with(&disk, |log| log.sync_behind().unwrap());
    for _ in 0..20 {
        append(&log, Durability::Buffered);
        assert!(log.unsynced_len() > 0 || disk.is_settled(), "{:?}", log.segments.bases());
    }
    assert!(log.segments.bases().len() > 3);
    log.sync_behind().unwrap();
    assert_eq!(log.unsynced_len(), 0);
    assert_eq!(log.durable_end(), log.segments.visible().position);
}

/// First positions of the segments, and of those that are sealed.
pub(crate) fn segments(disk: &SimulatedDirectory) -> (Vec<u64>, Vec<u64>) {
    let files = disk.files();
    let segments = files
        .iter()
        .filter_map(|(name, bytes)| Some((parse_name(name.strip_prefix("log/")?)?.get(), bytes)));
    let is_sealed = |bytes: &[u8]| {
        bytes.len().checked_sub(FOOTER_LEN).is_some_and(|at| Footer::decode(&bytes[at..]).is_ok())
    };
    let all: Vec<_> = segments.collect();
    let sealed = all.iter().filter(|(_, bytes)| is_sealed(bytes)).map(|(base, _)| *base).collect();
    (all.into_iter().map(|(base, _)| base).collect(), sealed)
}

/// The same places were written again, and a sync that said Ok was believed.
#[test]
fn a_footer_whose_sync_has_failed_is_written_to_other_places() {
    for after_roll in [false, true] {
        let disk = SimulatedDirectory::new();
        let log = log_with(&disk, |_| ());
        while segments(&disk).0.len() < 2 {
            append(&log, Durability::Buffered);
        }
        disk.inject(Fault::next(Call::Sync, ErrorKind::Other));
        log.seal();
        if after_roll {
            while segments(&disk).0.len() < 3 {
                append(&log, Durability::Buffered);
            }
            log.seal();
        } else {
            log.close().unwrap();
        }
        let (_, sealed) = segments(&disk);
        for seed in 0..50 {
            assert_eq!(segments(&disk.crashed(seed)).1, sealed, "{after_roll} {seed}");
        }
        assert_eq!(sealed.len(), 1 + usize::from(after_roll));
    }
}

/// Its sync was made after another process may have opened the log.
#[test]
fn who_waits_for_a_sync_alone_has_it_when_the_log_is_closed() {
    let disk = SimulatedDirectory::new();
    let log = log_with(&disk, |_| ());
    append(&log, Durability::Sync);
    // As it does while another group is written.
    let mut state = log.state.lock();
    state.forming.syncs = true;
    state.join();
    let outcome = Arc::clone(&state.forming.outcome);
    drop(state);
    log.close().unwrap();
    assert!(matches!(outcome.get(), Some(Ok(()))));
}
