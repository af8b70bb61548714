//! Following, for tasks of an asynchronous runtime.
//!
//! Owns how a task is woken, and that nothing of one that is gone stays behind.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::cursor::follow::{Follow, Followable, Followed};
use crate::error::{Error, Result};
use crate::log::WakerId;

/// What [`Follow`] gives, as a [`Stream`] of the `futures` crates. From [`Follow::into_async`].
///
/// It runs on any runtime and needs none: a task that waits is woken by whoever appends. It ends where
/// the iterator ends. What is there is read on the thread that polls, up to the next event that is to be
/// given: a filter that passes much makes a poll long, and so does a stream while the index is being
/// opened. What else a store or a consumer is asked, to commit or to
/// close for instance, waits for the disk on the thread that calls: runtimes have ways to be told of that, such
/// as tokio's `block_in_place`. Dropping it at any point leaves nothing behind, and
/// loses nothing: what it has not given, a cursor at [`Cursor::next_position`] gives.
///
/// [`Cursor::next_position`]: crate::Cursor::next_position
#[must_use = "a stream does nothing unless it is polled"]
pub struct AsyncFollow<C: Followable> {
    follow: Follow<C>,
    waker: Option<WakerId>,
}

impl<C: Followable> Follow<C> {
    /// The same, as a stream for asynchronous code.
    pub fn into_async(self) -> AsyncFollow<C> {
        AsyncFollow { follow: self, waker: None }
    }
}

impl<C: Followable> AsyncFollow<C> {
    /// What is followed.
    #[must_use]
    pub fn get_ref(&self) -> &C {
        self.follow.get_ref()
    }

    /// What is followed; to commit, for instance, which is done on the thread that calls.
    pub fn get_mut(&mut self) -> &mut C {
        self.follow.get_mut()
    }

    /// Whether nothing can come any more, as for [`Follow::is_over`].
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.follow.is_over()
    }

    fn forget_waker(&mut self) {
        if let Some(id) = self.waker.take() {
            self.follow.source().segments().forget_waker(id);
        }
    }

    fn next_or_wait(&mut self, context: &Context<'_>) -> Result<Option<Followed>> {
        if let Some(followed) = self.follow.next_now()? {
            return Ok(Some(followed));
        }
        // Whoever appends from now on wakes it, and what was appended before is seen.
        self.waker = Some(self.follow.source().watch(context.waker(), self.waker));
        self.follow.next_now()
    }
}

impl<C: Followable + Unpin> Stream for AsyncFollow<C> {
    type Item = Result<Followed>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        match this.next_or_wait(context) {
            Ok(Some(followed)) => Poll::Ready(Some(Ok(followed))),
            Ok(None) if this.follow.is_over() => {
                this.forget_waker();
                Poll::Ready(None)
            }
            Ok(None) => Poll::Pending,
            Err(Error::Closed) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl<C: Followable> Drop for AsyncFollow<C> {
    fn drop(&mut self) {
        self.forget_waker();
    }
}

impl<C: Followable + fmt::Debug> fmt::Debug for AsyncFollow<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncFollow").field(&self.follow).finish()
    }
}
