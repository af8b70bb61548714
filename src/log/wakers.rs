//! Tasks that wait for the visible end to move.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::sync::{AtomicU64, Mutex, Ordering};

/// What tells a waiting task from others. Of no use once it was woken.
#[derive(Debug, PartialEq, Eq, Hash, Clone, Copy)]
pub(crate) struct WakerId(u64);

/// The tasks that wait.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    waiting: Mutex<Waiting>,
    /// How many wait, to be looked at without the lock.
    count: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    by_id: HashMap<WakerId, Waker>,
    next_id: u64,
}

impl Wakers {
    /// Lets a task be woken once, in the place of `earlier`. Whoever calls this must look after it
    /// whether there is still something to wait for.
    pub(super) fn add(&self, waker: &Waker, earlier: Option<WakerId>) -> WakerId {
        let waker = waker.clone();
        let mut waiting = self.waiting.lock();
        let id = earlier.unwrap_or_else(|| {
            waiting.next_id += 1;
            WakerId(waiting.next_id)
        });
        // Cloning and dropping a waker calls code of others, which must find no lock held.
        let replaced = waiting.by_id.insert(id, waker);
        self.count(&waiting);
        drop(waiting);
        drop(replaced);
        id
    }

    /// Lets a task not be woken.
    pub(super) fn remove(&self, id: WakerId) {
        let mut waiting = self.waiting.lock();
        let removed = waiting.by_id.remove(&id);
        self.count(&waiting);
        drop(waiting);
        drop(removed);
    }

    /// Wakes all who wait. One that panics when it is woken harms no other, nor whoever has appended.
    pub(super) fn wake_all(&self) {
        if self.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        let by_id = std::mem::take(&mut waiting.by_id);
        self.count(&waiting);
        drop(waiting);
        for waker in by_id.into_values() {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    fn count(&self, waiting: &Waiting) {
        let count = u64::try_from(waiting.by_id.len()).unwrap_or(u64::MAX);
        self.count.store(count, Ordering::SeqCst);
    }
}
