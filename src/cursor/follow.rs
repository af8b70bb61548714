//! Following: a cursor that waits for what is appended.
//!
//! Owns when it waits and when it is over. What was there and what comes later is read by the same
//! cursor, in the same way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cursor::{Cursor, Source, StreamCursor};
use crate::error::{Error, Result};
use crate::event::Event;

/// What is followed.
pub(crate) mod sealed {
    use super::{Arc, Duration, Event, Result, Source};

    pub trait Sealed: Iterator<Item = Result<Event>> {
        /// Waits until there may be one, and says whether there may.
        fn wait_for_next(&self, timeout: Duration) -> Result<bool>;
        /// Whether there will never be another one.
        fn is_at_end_for_ever(&self) -> bool;
        /// What it reads from.
        #[expect(private_interfaces, reason = "nobody outside can name this trait")]
        fn reads_from(&self) -> &Arc<Source>;
    }
}

/// What can be followed: [`Cursor`], [`StreamCursor`], [`Consumer`](crate::Consumer).
pub trait Followable: sealed::Sealed {}

impl Followable for Cursor {}
impl Followable for StreamCursor {}

impl sealed::Sealed for Cursor {
    fn wait_for_next(&self, timeout: Duration) -> Result<bool> {
        self.wait(timeout)
    }

    fn is_at_end_for_ever(&self) -> bool {
        self.is_over()
    }

    #[expect(private_interfaces, reason = "nobody outside can name this trait")]
    fn reads_from(&self) -> &Arc<Source> {
        self.source()
    }
}

impl sealed::Sealed for StreamCursor {
    fn wait_for_next(&self, timeout: Duration) -> Result<bool> {
        self.wait(timeout)
    }

    fn is_at_end_for_ever(&self) -> bool {
        self.is_over()
    }

    #[expect(private_interfaces, reason = "nobody outside can name this trait")]
    fn reads_from(&self) -> &Arc<Source> {
        self.source()
    }
}

/// What [`Follow`] gives.
#[derive(Clone, Debug)]
pub enum Followed {
    /// The next event.
    Event(Event),
    /// Every event that there is was given: what comes next was not there yet when this was said.
    /// It comes once for each time that all was given, also if there was nothing to give at first.
    CaughtUp,
}

impl Followed {
    /// Whether all that there is was given.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        matches!(self, Self::CaughtUp)
    }

    /// The event, if it is one.
    #[must_use]
    pub fn event(self) -> Option<Event> {
        match self {
            Self::Event(event) => Some(event),
            Self::CaughtUp => None,
        }
    }
}

/// A cursor that goes on with what is appended, and waits for it. From [`Cursor::follow`],
/// [`StreamCursor::follow`] and [`Consumer::follow`](crate::Consumer::follow).
///
/// As an iterator it blocks until there is something to give, and ends when the store is closed, at
/// once and whatever was not given yet; when
/// its range of times is over, backwards at the start, and after an error. It gives [`Followed::CaughtUp`]
/// whenever all that is there was given. While it waits it holds no lock and costs nothing; dropping it
/// leaves nothing behind. It keeps its store open.
///
/// ```
/// use annals::{Expected, Followed, NewEvent, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path().join("shop.annals"))?;
/// let mut follow = store.read_all().follow();
/// assert!(matches!(follow.next(), Some(Ok(Followed::CaughtUp))));
///
/// store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
/// let event = follow.next().unwrap()?.event().unwrap();
/// assert_eq!(event.payload(), b"a teapot");
///
/// store.close()?;
/// assert!(follow.next().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Follow<C> {
    cursor: C,
    /// Whether it was said that all was given.
    is_caught_up: bool,
    failed: bool,
}

impl<C: Followable> Follow<C> {
    pub(crate) fn new(cursor: C) -> Self {
        Self { cursor, is_caught_up: false, failed: false }
    }

    /// The cursor, which stands where this has come to.
    #[must_use]
    pub fn get_ref(&self) -> &C {
        &self.cursor
    }

    /// The cursor. What it gives by itself is not given here.
    pub fn get_mut(&mut self) -> &mut C {
        &mut self.cursor
    }

    /// The cursor, not following any more.
    #[must_use]
    pub fn into_inner(self) -> C {
        self.cursor
    }

    /// What it reads from.
    #[cfg(feature = "async")]
    pub(super) fn source(&self) -> &Arc<Source> {
        self.cursor.reads_from()
    }

    /// Whether nothing can come any more: the range of times is over, or backwards the start was
    /// reached, or there was an error.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.failed || self.cursor.is_at_end_for_ever()
    }

    /// The next event, or the word that there is none for now; `None` if `timeout` has passed before
    /// there was one, or if it [is over](Follow::is_over).
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], also if the store is closed meanwhile; [`Error::Corrupt`] and [`Error::Io`]
    /// from reading. It is over then.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Followed>> {
        // Too far away to be told is never.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(followed) = self.next_now()? {
                return Ok(Some(followed));
            }
            let left =
                deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if self.is_over() {
                return Ok(None);
            }
            let waited = self.cursor.wait_for_next(left);
            self.failed = waited.is_err();
            if !waited? {
                return Ok(None);
            }
        }
    }

    /// What can be given without waiting.
    pub(super) fn next_now(&mut self) -> Result<Option<Followed>> {
        if self.failed {
            return Ok(None);
        }
        match self.cursor.next().transpose() {
            Ok(Some(event)) => {
                self.is_caught_up = false;
                Ok(Some(Followed::Event(event)))
            }
            Ok(None) if !self.is_caught_up => {
                self.is_caught_up = true;
                Ok(Some(Followed::CaughtUp))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.failed = true;
                Err(error)
            }
        }
    }
}

impl<C: Followable> Iterator for Follow<C> {
    type Item = Result<Followed>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_timeout(Duration::MAX) {
            Err(Error::Closed) => None,
            other => other.transpose(),
        }
    }
}

impl Cursor {
    /// Goes on with what is appended, and waits for it.
    #[must_use]
    pub fn follow(self) -> Follow<Self> {
        Follow::new(self)
    }
}

impl StreamCursor {
    /// Goes on with what is appended to the stream, and waits for it.
    #[must_use]
    pub fn follow(self) -> Follow<Self> {
        Follow::new(self)
    }
}
