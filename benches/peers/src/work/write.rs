//! The workloads that write.
//!
//! Owns the clocks around appends, and the check that what was appended is there. Events are put
//! together before the clock runs; what a store needs to take them is its own time.

use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::disk;
use crate::event::{Event, Pool};
use crate::store::{Mode, Peer, Store};
use crate::sum::Sum;
use crate::syncs;
use crate::work::{Outcome, SEED, time_of};

/// Durable commits of one event each, for `time` after a warm-up of a fifth of it.
pub fn commits(peer: &Peer, dir: &Path, thread_count: usize, time: Duration) -> Result<Outcome> {
    disk::make_empty(dir)?;
    let pool = Pool::new();
    let appended = AtomicU64::new(0);
    let mut latencies = Vec::new();
    let closing = open_timed(peer, dir, Mode::Durable, &mut |store| {
        disk::settle(dir);
        let barrier = Barrier::new(thread_count);
        thread::scope(|scope| {
            let producers: Vec<_> = (SEED..)
                .take(thread_count)
                .map(|seed| {
                    let producer = Producer { store, pool: &pool, seed, appended: &appended };
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        producer.commit(time / 5, time)
                    })
                })
                .collect();
            for producer in producers {
                latencies.extend(producer.join().map_err(|_| "a producer has panicked")??);
            }
            Ok(())
        })
    })?;
    check(peer, dir, |found| found.events == appended.load(Ordering::Relaxed))?;
    let count = u64::try_from(latencies.len())?;
    Ok(Outcome { close_seconds: Some(closing), ..Outcome::new(count, time, latencies) })
}

/// One thread that commits.
struct Producer<'a> {
    store: &'a dyn Store,
    pool: &'a Pool,
    seed: u64,
    appended: &'a AtomicU64,
}

impl Producer<'_> {
    /// Commits until `warm_up` and `time` are over. Returns how long each commit took that ended
    /// after the one and before the other.
    fn commit(&self, warm_up: Duration, time: Duration) -> Result<Vec<Duration>> {
        let begin = Instant::now();
        let mut latencies = Vec::new();
        let mut count = 0;
        for event in self.pool.events(self.seed) {
            let before = Instant::now();
            if before - begin >= warm_up + time {
                break;
            }
            self.store.append(&[event], None)?;
            count += 1;
            let after = Instant::now();
            if (warm_up..warm_up + time).contains(&(after - begin)) {
                latencies.push(after - before);
            }
        }
        self.appended.fetch_add(count, Ordering::Relaxed);
        Ok(latencies)
    }
}

/// So many events in batches of so many. Without a sync each, there is one at the end.
pub fn batches(
    peer: &Peer,
    dir: &Path,
    mode: Mode,
    (event_count, batch_count): (usize, usize),
) -> Result<Outcome> {
    disk::make_empty(dir)?;
    let pool = Pool::new();
    let mut expected = Sum::default();
    let mut latencies = Vec::new();
    let mut syncing = Duration::ZERO;
    let closing = open_timed(peer, dir, mode, &mut |store| {
        disk::settle(dir);
        let mut events = pool.events(SEED);
        for batch in 0..event_count / batch_count {
            let events: Vec<Event<'_>> = events.by_ref().take(batch_count).collect();
            let before = Instant::now();
            store.append(&events, Some(time_of(batch)))?;
            latencies.push(before.elapsed());
            events.iter().for_each(|event| expected.add(event.payload));
        }
        if mode == Mode::Bulk {
            let before = Instant::now();
            store.sync()?;
            syncing = before.elapsed();
        }
        Ok(())
    })?;
    let bytes = disk::allocated(dir)? as f64;
    check(peer, dir, |found| *found == expected)?;
    let time = latencies.iter().sum::<Duration>() + syncing;
    Ok(Outcome {
        disk_bytes_per_event: Some(bytes / expected.events as f64),
        close_seconds: Some(closing),
        ..Outcome::new(expected.events, time, latencies)
    })
}

/// Commits of which [`syncs`] counts the syncs, between two files by which it finds them.
pub fn syncs(peer: &Peer, dir: &Path) -> Result<Outcome> {
    disk::make_empty(dir)?;
    let pool = Pool::new();
    (peer.open)(dir, Mode::Durable, &mut |store| {
        fs::write(dir.join(syncs::BEGIN), "")?;
        for event in pool.events(SEED).take(syncs::COMMIT_COUNT) {
            store.append(&[event], None)?;
        }
        Ok(fs::write(dir.join(syncs::END), "")?)
    })?;
    Ok(Outcome::default())
}

/// Opens a store, and returns how many seconds it took to close it.
fn open_timed(
    peer: &Peer,
    dir: &Path,
    mode: Mode,
    work: &mut dyn FnMut(&dyn Store) -> Result<()>,
) -> Result<f64> {
    let mut end = Instant::now();
    (peer.open)(dir, mode, &mut |store| {
        let done = work(store);
        end = Instant::now();
        done
    })?;
    Ok(end.elapsed().as_secs_f64())
}

/// Opens a store again, and checks what is in it.
fn check(peer: &Peer, dir: &Path, is_right: impl Fn(&Sum) -> bool) -> Result<()> {
    (peer.open)(dir, Mode::Read, &mut |store| {
        let found = store.replay()?;
        if is_right(&found) {
            return Ok(());
        }
        Err(format!("{} does not hold what it was given, but {found:?}", peer.name).into())
    })
}
