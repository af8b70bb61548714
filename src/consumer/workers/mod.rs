//! Workers: handling the events of one consumer in parallel.
//!
//! Owns what is promised to handlers, and the threads. Which event is handled when is in `board`.

mod board;
mod committing;
mod group;
mod handling;
mod reading;
mod shared;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::format::PENDING_COUNT_MAX;

pub use group::{WorkerGroup, WorkerStats};

/// Why a handler has failed: anything that is an error, or a text.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// What is called for each event.
type Handler = dyn Fn(&Delivery) -> Result<(), HandlerError> + Send + Sync;
/// What tells the key of an event.
type KeyOf = dyn Fn(&Event) -> u64 + Send + Sync;

/// An event that is handed to a handler.
#[derive(Clone, Debug)]
pub struct Delivery {
    event: Event,
    attempt: u32,
    is_replay: bool,
}

impl Delivery {
    pub(super) fn new(event: Event, attempt: u32, is_replay: bool) -> Self {
        Self { event, attempt, is_replay }
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Which attempt this is, from 1. Counted since the workers were started; for an event that was
    /// put aside, since it was first tried.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether the event was there already when the consumer was opened: it may have been handled
    /// before, and perhaps what it causes outside should not be caused again.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.is_replay
    }
}

/// What becomes of an event whose handler fails, or panics, as often as it is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The workers stop, and [`WorkerGroup::wait`] says why. The event is given again when the
    /// consumer next runs. Nothing is skipped.
    #[default]
    Stop,
    /// It is put aside, durably and by reference, and the others go on, also later ones of its key.
    /// [`Consumer::parked`](crate::Consumer::parked) lists it.
    Park,
    /// The same, and later events of its key are put aside as well, until it was
    /// [handled](crate::Consumer::retry_parked) or [dismissed](crate::Consumer::dismiss_parked):
    /// none of them overtakes it.
    HoldBack,
}

/// How the events of a consumer are handled in parallel. For
/// [`Consumer::run`](crate::Consumer::run).
///
/// Events of one key, by default of one stream, are handled in order and one at a time; those of
/// different keys at once. They may be done in any order, and what is done is committed as it is,
/// continually: also what is done behind an event that is not. So a crash repeats only what was in
/// flight, at most [`Workers::in_flight_max`] events, and skips nothing.
///
/// ```
/// use std::time::Duration;
/// use annals::{Expected, NewEvent, OnFailure, Store, Workers};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path().join("shop.annals"))?;
/// for cart in ["cart-1", "cart-2", "cart-3"] {
///     store.append(cart, Expected::Any, [NewEvent::text("item-added", "a teapot")])?;
/// }
/// let workers = Workers::new(4)
///     .retries(3, Duration::from_millis(10)..=Duration::from_secs(1))
///     .on_failure(OnFailure::Park);
/// let (done, all_done) = std::sync::mpsc::channel();
/// let group = store.consumer("mailer").open()?.run(workers, move |delivery| {
///     println!("{}: {}", delivery.event().stream(), delivery.event().event_type());
///     done.send(())
/// })?;
/// assert_eq!(all_done.iter().take(3).count(), 3);
/// group.stop(Duration::from_secs(10))?; // commits what is done
/// assert_eq!(store.consumers()?[0].committed, store.end());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Workers {
    count: usize,
    in_flight_count_max: usize,
    key: Arc<KeyOf>,
    retry_count: u32,
    backoff: RangeInclusive<Duration>,
    on_failure: OnFailure,
}

impl Workers {
    /// `count` workers, each a thread; two more threads read and commit.
    pub fn new(count: usize) -> Self {
        Self {
            count,
            in_flight_count_max: count.saturating_mul(4).clamp(256, PENDING_COUNT_MAX),
            key: Arc::new(|event| xxh3_64(event.stream().as_bytes())),
            retry_count: 0,
            backoff: Duration::from_millis(10)..=Duration::from_secs(10),
            on_failure: OnFailure::Stop,
        }
    }

    /// How many events may be in flight: read and not yet committed. From the number of workers to
    /// 1,000. Default: 256, or four times the number of workers if that is more, and 1,000 at most.
    ///
    /// It bounds what a crash repeats, and the memory.
    pub fn in_flight_max(mut self, count: usize) -> Self {
        self.in_flight_count_max = count;
        self
    }

    /// What tells which events must be handled in order. Default: their stream.
    ///
    /// Keys are compared by a hash of 64 bits: two that have the same one are handled as one.
    pub fn key<K: AsRef<[u8]>>(
        mut self,
        key: impl Fn(&Event) -> K + Send + Sync + 'static,
    ) -> Self {
        self.key = Arc::new(move |event| xxh3_64(key(event).as_ref()));
        self
    }

    /// How often a handler that fails is tried again for the same event, and how long to wait before:
    /// the start of `backoff` first, then twice as long each time, up to its end. Default: never.
    ///
    /// Meanwhile other keys are handled, and none of the same.
    pub fn retries(mut self, count: u32, backoff: RangeInclusive<Duration>) -> Self {
        self.retry_count = count;
        self.backoff = backoff;
        self
    }

    /// What becomes of an event that was tried in vain. Default: [`OnFailure::Stop`].
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// These workers, if they are in their ranges.
    fn checked(mut self) -> Result<Self> {
        let refuse = |option, reason| Err(Error::InvalidOption { option, reason });
        if self.count == 0 || self.count > PENDING_COUNT_MAX {
            return refuse("workers", "must be from 1 to 1,000");
        }
        if self.in_flight_count_max == 0 || self.in_flight_count_max > PENDING_COUNT_MAX {
            return refuse("in_flight_max", "must be from 1 to 1,000");
        }
        self.in_flight_count_max = self.in_flight_count_max.max(self.count);
        Ok(self)
    }

    /// How long to wait before the attempt that follows after `attempt`.
    fn pause_after(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.backoff.start().saturating_mul(factor).min(*self.backoff.end())
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("count", &self.count)
            .field("in_flight_max", &self.in_flight_count_max)
            .field("retry_count", &self.retry_count)
            .field("backoff", &self.backoff)
            .field("on_failure", &self.on_failure)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_end() {
        let ms = Duration::from_millis;
        let workers = Workers::new(1).retries(9, ms(10)..=ms(50));
        let pauses = [1, 2, 3, 4, 40, u32::MAX].map(|attempt| workers.pause_after(attempt));
        assert_eq!(pauses, [10, 20, 40, 50, 50, 50].map(ms));
    }

    #[test]
    fn workers_out_of_range_are_refused_by_name() {
        for (workers, name) in [
            (Workers::new(0), "workers"),
            (Workers::new(1_001), "workers"),
            (Workers::new(1).in_flight_max(0), "in_flight_max"),
            (Workers::new(1).in_flight_max(1_001), "in_flight_max"),
        ] {
            match workers.checked() {
                Err(Error::InvalidOption { option, .. }) => assert_eq!(option, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
