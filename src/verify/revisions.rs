//! Checking without an index that the revisions of each stream count from 0 and skip none.
//!
//! Owns how that is done in bounded memory, whatever the number of streams: by the hashes of
//! their names, part by part, and the log is read once for each part.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, scope};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::error::Error;
use crate::format::Record;
use crate::log::Segments;
use crate::sync::Mutex;
use crate::types::{Address, LogEnd, Position};
use crate::verify::walk::{MayBeUnsealed, walk};
use crate::verify::{Damage, Step, Teller, Watch};

/// How many streams are looked at in one part. They take some 35 MB, and half as much again while
/// the table grows.
const STREAMS_MAX: usize = 900_000;
/// Records that the thread which checks is told of at once.
const CHUNK_COUNT: usize = 4_096;
/// How often as many may wait.
const WAITING_CHUNKS_MAX: usize = 4;

/// Takes keys that are hashes for what they are.
#[derive(Clone, Copy, Debug, Default)]
struct OwnHash(u64);

impl BuildHasher for OwnHash {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for OwnHash {
    /// No key comes as bytes.
    fn write(&mut self, _: &[u8]) {}

    /// One half: a table has far less than so many places.
    fn write_u128(&mut self, hash: u128) {
        self.0 = u64::try_from(hash & u128::from(u64::MAX)).unwrap_or_default();
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What a record says of its place in its stream.
#[derive(Debug)]
struct Claim {
    /// Of the stream's name.
    hash: u128,
    revision: u64,
    address: Address,
    position: Position,
}

impl Claim {
    fn of(stream: &str, record: &Record, address: Address, seed: u64) -> Self {
        Self {
            hash: xxh3_128_with_seed(stream.as_bytes(), seed),
            revision: record.parts.revision.get(),
            address,
            position: record.parts.position,
        }
    }
}

/// What the next revisions must be, of the streams in one part.
#[derive(Debug)]
pub(super) struct Revisions {
    next: HashMap<u128, u64, OwnHash>,
    /// The first hash of the part.
    from: u128,
    /// The last hash of the part.
    to: u128,
    streams_max: usize,
    /// What names are hashed with: nobody who makes names up knows it.
    seed: u64,
    /// Where the first revision stands that is not the next one.
    fault: Option<(Address, Position)>,
}

impl Revisions {
    pub(super) fn new() -> Self {
        Self::part(0, STREAMS_MAX, RandomState::new().hash_one(0))
    }

    fn part(from: u128, streams_max: usize, seed: u64) -> Self {
        let (next, to) = (HashMap::default(), u128::MAX);
        Self { next, from, to, streams_max, seed, fault: None }
    }

    fn check(&mut self, claim: &Claim) {
        if !self.is_next(claim.hash, claim.revision) {
            self.fault.get_or_insert((claim.address, claim.position));
        }
    }

    fn is_next(&mut self, hash: u128, revision: u64) -> bool {
        if !(self.from..=self.to).contains(&hash) {
            return true;
        }
        let next = self.next.entry(hash).or_default();
        let is_next = *next == revision;
        *next = revision.saturating_add(1);
        if self.next.len() > self.streams_max {
            self.shrink();
        }
        is_next
    }

    /// Leaves the upper half of the part to a later one.
    fn shrink(&mut self) {
        let to = self.from.midpoint(self.to);
        self.to = to;
        self.next.retain(|hash, _| *hash <= to);
    }

    /// The part after this one.
    fn following(&self) -> Option<Self> {
        Some(Self::part(self.to.checked_add(1)?, self.streams_max, self.seed))
    }
}

/// Begins the check while `read` reads the log and tells of each record, on a thread beside it if one
/// can be had.
pub(super) fn check_beside<T>(read: impl FnOnce(Tell<'_>) -> T) -> (T, Revisions) {
    let mut revisions = Revisions::new();
    let seed = revisions.seed;
    let checked = Mutex::new(&mut revisions);
    let outcome = scope(|threads| {
        let (sender, receiver) = sync_channel::<Vec<Claim>>(WAITING_CHUNKS_MAX);
        let check = || {
            let mut revisions = checked.lock();
            receiver.into_iter().flatten().for_each(|claim| revisions.check(&claim));
        };
        let builder = Builder::new().name("annals-revisions".to_owned());
        let Ok(thread) = builder.spawn_scoped(threads, check) else {
            let mut revisions = checked.lock();
            return read(&mut |stream, record, address| {
                revisions.check(&Claim::of(stream, record, address, seed));
            });
        };
        let mut claims = Vec::with_capacity(CHUNK_COUNT);
        let outcome = read(&mut |stream, record, address| {
            claims.push(Claim::of(stream, record, address, seed));
            if claims.len() == CHUNK_COUNT {
                let chunk = std::mem::replace(&mut claims, Vec::with_capacity(CHUNK_COUNT));
                // That thread ends when there is no more to come, and not before.
                let _ = sender.send(chunk);
            }
        });
        let _ = sender.send(claims);
        drop(sender);
        // A scope waits until its threads are done, and not until they are gone.
        thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        outcome
    });
    (outcome, revisions)
}

/// Is told of every record: its stream, the record, and where it stands.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&str, &Record, Address);

/// Finishes the check that `revisions` has begun on a log without damage, and returns what is
/// wrong, if anything is.
pub(super) fn check_all(
    mut revisions: Revisions,
    segments: &Segments,
    end: &LogEnd,
    watch: &mut Watch<'_>,
) -> ControlFlow<(), Option<Damage>> {
    loop {
        if let Some((address, position)) = revisions.fault {
            let expected = "the next revision of its stream";
            let Address { segment, offset } = address;
            let error = Error::Corrupt { segment, offset, expected };
            return ControlFlow::Continue(Some(Damage { error, positions: position..position }));
        }
        let Some(next) = revisions.following() else { return ControlFlow::Continue(None) };
        revisions = next;
        let mut teller = Teller::new(watch, Step::Revisions, end.position);
        let mut visit = |record: &Record, stream: &str, address| {
            revisions.check(&Claim::of(stream, record, address, revisions.seed));
            teller.count()
        };
        let walked = walk(segments, end, MayBeUnsealed::Last, &mut visit);
        if !walked.is_complete {
            return ControlFlow::Break(());
        }
        // What has become damaged since is that, and no revision that is missing.
        if let Some(damage) = walked.damages.into_iter().next() {
            return ControlFlow::Continue(Some(damage));
        }
        teller.finish()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks these revisions of streams, three streams at a time, and returns in how many parts
    /// that was done if all were in order.
    fn parts_for(revisions: &[(&str, u64)]) -> Option<u32> {
        let mut part = Revisions::part(0, 3, 7);
        for count in 1.. {
            for (stream, revision) in revisions {
                if !part.is_next(xxh3_128_with_seed(stream.as_bytes(), 7), *revision) {
                    return None;
                }
            }
            let Some(next) = part.following() else { return Some(count) };
            part = next;
        }
        None
    }

    #[test]
    fn revisions_in_order_are_so_in_one_part_or_many() {
        assert_eq!(parts_for(&[("a", 0), ("b", 0), ("a", 1), ("a", 2), ("b", 1)]), Some(1));
        let names: Vec<_> = (0..40).map(|n| n.to_string()).collect();
        let twice: Vec<_> =
            [0, 1].iter().flat_map(|r| names.iter().map(|name| (name.as_str(), *r))).collect();
        let parts = parts_for(&twice).unwrap();
        assert!(parts >= 14, "{parts} parts of at most three streams");
    }

    #[test]
    fn a_revision_that_is_not_the_next_one_is_found_in_whatever_part() {
        let names: Vec<_> = (0..40).map(|n| n.to_string()).collect();
        for wrong in &names {
            let revisions: Vec<_> = names
                .iter()
                .flat_map(|name| {
                    [(name.as_str(), 0), (name.as_str(), 1 + u64::from(name == wrong))]
                })
                .collect();
            assert_eq!(parts_for(&revisions), None, "{wrong}");
        }
    }
}
