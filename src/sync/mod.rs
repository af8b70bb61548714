//! Locks, and the other places where threads meet.
//!
//! Owns where they come from: `parking_lot` and the standard library; or, in a build with
//! `--cfg shuttle`, the scheduler under which `tests/schedules.rs` tries out the orders in which
//! threads may run. Knows nothing of what they guard.

#[cfg(shuttle)]
mod scheduled;

#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(shuttle)]
pub(crate) use scheduled::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
