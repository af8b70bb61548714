//! Memory that readers have read into and are done with, for those that begin.
//!
//! Owns how much of it is kept. Knows nothing of what was read.
//!
//! Memory must hold zeroes before it is read into. A reader that wants a few dozen events, as most do
//! that look something up, would take longer for that than for a good part of its work.

use crate::event::Buffer;
use crate::sync::Mutex;

/// How many pieces of memory are kept at most.
const COUNT_MAX: usize = 4;
/// The most bytes of each. Who reads more has more to do than to get memory, and whoever keeps one
/// event keeps all that it was read into.
const LEN_MAX: usize = 64 << 10;

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    kept: Mutex<Vec<Buffer>>,
}

impl Spares {
    /// Memory that was used before, if there is some; else none yet.
    pub(super) fn take(&self) -> Buffer {
        self.kept.lock().pop().unwrap_or_default()
    }

    /// Keeps `buffer` for another reader, unless there are enough.
    pub(super) fn give_back(&self, buffer: Buffer) {
        if (1..=LEN_MAX).contains(&buffer.room()) {
            let mut kept = self.kept.lock();
            if kept.len() < COUNT_MAX {
                kept.push(buffer);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn rooms(&self) -> Vec<usize> {
        self.kept.lock().iter().map(Buffer::room).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(len: usize) -> Buffer {
        Buffer::from(vec![7; len])
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let spares = Spares::default();
        for len in [0, 1, LEN_MAX + 1, LEN_MAX, 2, 3, 4] {
            spares.give_back(buffer(len));
        }
        assert_eq!(spares.rooms(), [1, LEN_MAX, 2, 3]);
    }

    #[test]
    fn what_was_given_back_is_taken_once() {
        let spares = Spares::default();
        assert_eq!(spares.take().room(), 0);
        spares.give_back(buffer(9));
        assert_eq!(spares.take().room(), 9);
        assert_eq!(spares.take().room(), 0);
    }
}
