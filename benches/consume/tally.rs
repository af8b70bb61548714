//! What was handled, as all who handle events note it down.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::common::Result;
use crate::loaded::Loaded;

/// How often each event was handled, and the sum of the checksums of their payloads.
///
/// Both sides look at every byte of every payload.
#[derive(Debug)]
pub(crate) struct Tally {
    /// By position.
    handled_counts: Vec<AtomicU32>,
    payload_sum: AtomicU64,
}

impl Tally {
    /// Nothing handled, of so many events.
    pub(crate) fn new(event_count: u64) -> Result<Self> {
        let counts = std::iter::repeat_with(AtomicU32::default);
        let handled_counts = counts.take(usize::try_from(event_count)?).collect();
        Ok(Self { handled_counts, payload_sum: AtomicU64::default() })
    }

    /// Notes that the event at `position` was handled.
    pub(crate) fn add(&self, position: u64, payload: &[u8]) -> Result<()> {
        let count = self.handled_counts.get(usize::try_from(position)?);
        count.ok_or("there is no such position")?.fetch_add(1, Ordering::Relaxed);
        self.payload_sum.fetch_add(u64::from(crc32fast::hash(payload)), Ordering::Relaxed);
        Ok(())
    }

    /// Checks that each event was handled exactly once, with the payload that was appended.
    pub(crate) fn check(&self, loaded: &Loaded) -> Result<()> {
        let mut expected_sum = 0;
        for (position, count) in (0..).zip(&self.handled_counts) {
            let count = count.load(Ordering::Relaxed);
            if count != 1 {
                return Err(format!("event {position} was handled {count} times").into());
            }
            expected_sum += u64::from(crc32fast::hash(loaded.payload(position)?));
        }
        if self.payload_sum.load(Ordering::Relaxed) != expected_sum {
            return Err("an event was not given as it was appended".into());
        }
        Ok(())
    }
}
