//! A bell: many sleep until it rings for all of them.
//!
//! Owns how they are woken. The condition variables of `parking_lot` wake one, which wakes the next
//! when it lets go of the lock, and each time a processor that has gone idle meanwhile. Here all are
//! woken by one call to the system, and need no lock but one that nobody holds for long.

use std::sync::PoisonError;

use super::plain::{Condvar, Mutex, MutexGuard};

#[derive(Debug, Default)]
struct Word {
    /// It has rung, for all that there are and will be.
    is_for_all: bool,
    /// One is called that has not heard it yet.
    is_for_one: bool,
}

/// Where those sleep who wait for the same.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    word: Mutex<Word>,
    rings: Condvar,
}

impl Bell {
    fn word(&self) -> MutexGuard<'_, Word> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all who sleep. Whoever comes later does not sleep.
    pub(crate) fn ring(&self) {
        self.word().is_for_all = true;
        self.rings.notify_all();
    }

    /// Wakes one of those who sleep, or else the next one who comes.
    pub(crate) fn call_one(&self) {
        self.word().is_for_one = true;
        self.rings.notify_one();
    }

    /// Sleeps until it rings, or until this one is called.
    pub(crate) fn sleep(&self) {
        let mut word = self.word();
        while !word.is_for_all && !word.is_for_one {
            word = self.rings.wait(word).unwrap_or_else(PoisonError::into_inner);
        }
        word.is_for_one = false;
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::thread::scope;

    use super::*;
    use crate::sync::{AtomicU64, Ordering};

    #[test]
    fn one_is_called_and_all_are_rung_for() {
        let (bell, woken) = (Bell::default(), AtomicU64::new(0));
        let sleep = || {
            bell.sleep();
            woken.fetch_add(1, Ordering::SeqCst);
        };
        bell.call_one();
        sleep();
        scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(sleep)).collect();
            bell.call_one();
            while woken.load(Ordering::SeqCst) < 2 {
                std::thread::yield_now();
            }
            assert_eq!(woken.load(Ordering::SeqCst), 2);
            bell.ring();
            for thread in threads {
                thread.join().unwrap();
            }
        });
        sleep();
        assert_eq!(woken.load(Ordering::SeqCst), 10);
    }
}
