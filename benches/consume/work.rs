//! What a handler does for each event.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Result, float};

/// What is checksummed over and over.
const BUFFER: [u8; 256] = [7; 256];
/// How long the checksums of one event should take, on a processor that does nothing else.
const BURN_NS: u64 = 20_000;
/// How many checksums are timed at once, and how often. The shortest time counts: others ran
/// meanwhile in the longer ones.
const TRIED_COUNT: u64 = 1_000;
const TRY_COUNT: usize = 5_000;

/// What is done for each event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Burn(Burn),
    Sleep(Duration),
}

impl Work {
    pub(crate) fn run(self) {
        match self {
            Self::Burn(burn) => burn.run(),
            Self::Sleep(time) => thread::sleep(time),
        }
    }
}

/// A fixed number of checksums, however long they take: two threads that share a processor need
/// twice the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burn {
    hash_count: u64,
    /// What they take on a processor that does nothing else, in microseconds.
    pub(crate) time_us: f64,
}

impl Burn {
    /// So many checksums as take the time that they should.
    pub(crate) fn calibrated() -> Result<Self> {
        let times = (0..TRY_COUNT).map(|_| {
            let started = Instant::now();
            hash(TRIED_COUNT);
            started.elapsed()
        });
        let shortest_ns = u64::try_from(times.min().unwrap_or_default().as_nanos())?;
        let hash_count = (BURN_NS * TRIED_COUNT).checked_div(shortest_ns);
        let hash_count = hash_count.filter(|count| *count > 0).ok_or("no time was measured")?;
        let time_us = float(shortest_ns * hash_count) / float(TRIED_COUNT) / 1e3;
        Ok(Self { hash_count, time_us })
    }

    fn run(self) {
        hash(self.hash_count);
    }
}

fn hash(count: u64) {
    for _ in 0..count {
        black_box(crc32fast::hash(black_box(&BUFFER)));
    }
}
