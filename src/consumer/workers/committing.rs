//! Committing what workers have done.
//!
//! Owns when that is done: at once if nothing is under way, and for many events together otherwise.

use std::time::{Duration, Instant};

use crate::consumer::workers::shared::Shared;
use crate::error::Result;

/// How long a commit waits for more to be done, so that it covers many.
const COMMIT_DELAY: Duration = Duration::from_millis(5);
/// How long it may take until it is committed that events were passed which are not to be handled.
const PASSED_COMMIT_INTERVAL: Duration = Duration::from_secs(1);

impl Shared {
    /// Commits what is done, over and over, and a last time when all is done that was begun.
    pub(super) fn commit(&self) -> Result<()> {
        loop {
            let is_last = self.wait_for_commit();
            let mut progress = self.board.lock();
            if progress.board.is_ahead() {
                let (place, parked) = progress.board.begin_commit();
                drop(progress);
                // If the store was closed, what is done is given again when it is next opened.
                let with = self.consumers.with()?;
                self.entry.advance(self.owner, place.clone(), &parked, &with)?;
                self.board.lock().board.end_commit(place);
                self.room.notify_one();
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Waits until there is something to commit; says whether that is all there will be.
    fn wait_for_commit(&self) -> bool {
        let mut progress = self.board.lock();
        // When there was something to commit first.
        let mut since = None;
        loop {
            if self.is_stopping() && (progress.is_abandoned || !progress.board.is_running()) {
                return true;
            }
            if progress.board.is_commit_due() {
                return false;
            }
            if !progress.board.is_ahead() {
                self.done.wait(&mut progress);
                since = None;
                continue;
            }
            let is_done = progress.board.has_finished();
            let delay = if is_done { COMMIT_DELAY } else { PASSED_COMMIT_INTERVAL };
            let deadline = *since.get_or_insert_with(Instant::now) + delay;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let _ = self.done.wait_for(&mut progress, left);
        }
    }
}
