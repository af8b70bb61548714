//! The clock that recorded times come from.

use std::fmt;
use std::time::SystemTime;

use crate::types::Timestamp;

/// Tells the time. [`Options::clock`](crate::Options::clock) takes one.
///
/// It may stand still or go back: the store makes recorded times strictly increasing by itself.
/// A time far ahead, once recorded, holds all later ones above it. It is asked under the log's
/// lock, so it should answer at once.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}
