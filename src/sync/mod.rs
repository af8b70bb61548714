//! Locks, and the other places where threads meet.
//!
//! Owns where they come from: `parking_lot` and the standard library; or, in a build with
//! `--cfg shuttle`, the scheduler under which `tests/schedules.rs` tries out the orders in which
//! threads may run, which knows of no [`Worker`]. Knows nothing of what they guard.

mod bell;
#[cfg(shuttle)]
mod scheduled;
mod worker;

/// As the standard library has them, poison and all.
mod plain {
    #[cfg(shuttle)]
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    #[cfg(not(shuttle))]
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
}

pub(crate) use self::bell::Bell;
pub(crate) use self::worker::{Begun, Worker};

#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(shuttle)]
pub(crate) use scheduled::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
