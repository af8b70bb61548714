//! What was read: how much, and whether it was the right bytes.

use std::time::{Duration, Instant};

use crate::common::Result;

/// A number of events, and the sum of their payloads.
///
/// Both sides add up every byte of every payload, so that neither gains by handing out bytes that
/// nobody has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) event_count: u64,
    payload_sum: u64,
}

impl Sum {
    /// Of one payload.
    pub(crate) fn of(payload: &[u8]) -> Self {
        let mut sum = Self::default();
        sum.add(payload);
        sum
    }

    /// Adds an event with this payload.
    pub(crate) fn add(&mut self, payload: &[u8]) {
        let (words, rest) = payload.as_chunks::<8>();
        let mut sum = 0_u64;
        for word in words {
            sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
        for byte in rest {
            sum = sum.wrapping_add(u64::from(*byte));
        }
        self.event_count += 1;
        self.payload_sum = self.payload_sum.wrapping_add(sum);
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            event_count: self.event_count + other.event_count,
            payload_sum: self.payload_sum.wrapping_add(other.payload_sum),
        }
    }

    /// Fails unless it is `expected`.
    pub(crate) fn check(self, expected: Self) -> Result<()> {
        if self == expected {
            return Ok(());
        }
        Err(format!("{self:?} was read, where {expected:?} was appended").into())
    }
}

/// Lets `read` read what must be `expected`, and returns how long that took.
pub(crate) fn timed(expected: Sum, read: impl FnOnce() -> Result<Sum>) -> Result<Duration> {
    let started = Instant::now();
    let found = read()?;
    let elapsed = started.elapsed();
    found.check(expected)?;
    Ok(elapsed)
}
