//! One consumer, as all who have it open share it.
//!
//! Owns who may move it, what a move is checked against, and in which order what it says becomes
//! durable: first the log, then the events that were put aside, then the place.

use std::sync::Arc;

use crate::consumer::found::FoundConsumer;
use crate::consumer::keeper::{Keeper, ToKeep};
use crate::consumer::parked::ParkedList;
use crate::consumer::place::Place;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::event::{Progress, Receipt};
use crate::format::ParkedEntry;
use crate::log::Log;
use crate::sync::{Mutex, MutexGuard};
use crate::trace::{span, tell};
use crate::types::{Position, Timestamp};

/// How many events may follow the place from which on the log is looked through for what batches say
/// of a consumer, before that place is moved: so many take a fraction of a second to read.
const LOG_EVENT_COUNT_MAX: u64 = 64 << 10;

/// A consumer.
#[derive(Debug)]
pub(super) struct Entry {
    name: Box<str>,
    state: Mutex<State>,
}

/// What becomes of a consumer.
#[derive(Debug)]
pub(super) struct State {
    pub(super) keeper: Keeper,
    pub(super) parked: ParkedList,
    pub(super) place: Place,
    /// The number of the opening that may move it.
    owner: u64,
    /// From where on the log is looked through for what batches say of it, as it was kept.
    log_from: Option<Position>,
    /// The end of the last batch that has moved it.
    batch_end: Position,
    /// Whether a batch has moved it since its place was last kept.
    is_unkept: bool,
    /// Whether it is not known what became of a batch that moves it: only the log can tell, once the
    /// store is reopened.
    is_uncertain: bool,
    commit_count: u64,
    standing: Standing,
}

/// Whether a consumer can be moved at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open,
    Deleted,
    /// Its store is.
    Closed,
}

/// What an entry needs to move.
pub(super) struct With<'a> {
    pub(super) log: &'a Log,
    pub(super) now: Timestamp,
    /// The end of what readers see.
    pub(super) visible: Position,
}

impl Entry {
    /// A consumer that was just made, and whose place is kept.
    pub(super) fn new(name: &str, keeper: Keeper, parked: ParkedList) -> Self {
        let place = Place::at(keeper.last().position);
        let state = State {
            keeper,
            parked,
            place,
            owner: 0,
            log_from: None,
            batch_end: Position::START,
            is_unkept: false,
            is_uncertain: false,
            commit_count: 0,
            standing: Standing::Open,
        };
        Self { name: name.into(), state: Mutex::new(state) }
    }

    /// A consumer that was found.
    pub(super) fn found(directory: &Arc<dyn Directory>, name: &str, found: FoundConsumer) -> Self {
        let FoundConsumer { slot, parked, place, batch_end, log_from } = found;
        let (store, owner) = (slot.store, slot.owner);
        let keeper = Keeper::after(Arc::clone(directory), name, slot);
        let parked = ParkedList::of(Arc::clone(directory), name, store, parked);
        let Self { name, state } = Self::new(name, keeper, parked);
        let mut state = state.into_inner();
        state.is_unkept = batch_end.is_some();
        state.batch_end = batch_end.unwrap_or_default();
        (state.place, state.owner, state.log_from) = (place, owner, log_from);
        Self { name, state: Mutex::new(state) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The state, to be looked at.
    pub(super) fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The state, to be changed by the opening with the number `owner`, if that may still.
    fn hold(&self, owner: u64) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        match state.standing {
            Standing::Closed => Err(Error::Closed),
            Standing::Open if state.owner == owner => Ok(state),
            _ => Err(Error::TakenOver { consumer: self.name.to_string() }),
        }
    }

    /// Fails unless the opening with the number `owner` may still move the consumer.
    pub(super) fn check(&self, owner: u64) -> Result<()> {
        self.hold(owner).map(drop)
    }

    /// Opens the consumer, and returns the number of this opening: no earlier one can move it now.
    pub(super) fn open(&self) -> u64 {
        let mut state = self.state.lock();
        state.owner = state.owner.saturating_add(1);
        tell!(DEBUG, consumer = &*self.name, at = state.place.watermark().get(), "opened");
        state.owner
    }

    /// Moves the place forwards to `position`, which must not be after `delivered`.
    pub(super) fn commit(
        &self,
        owner: u64,
        position: Position,
        delivered: Position,
        with: &With<'_>,
    ) -> Result<()> {
        let mut state = self.hold(owner)?;
        let moves = state.check_move(&self.name, position, delivered, with)?;
        // A batch may have said so that is not durable yet, or a slot that was found and may be in the
        // page cache only.
        if moves || state.is_unkept || !state.keeper.is_sure() {
            // What batches say later counts as well.
            let log_from = state.log_from.map(|_| with.visible.max(state.batch_end));
            state.keep(Place::at(position), log_from, with)?;
            state.commit_count += 1;
        }
        Ok(())
    }

    /// Moves the place to any position of the log.
    pub(super) fn reset(&self, owner: u64, position: Position, with: &With<'_>) -> Result<()> {
        let mut state = self.hold(owner)?;
        check_within(position, with)?;
        // It is later than any batch, whatever became of that.
        let was_uncertain = std::mem::take(&mut state.is_uncertain);
        let kept = state.keep(Place::at(position), None, with);
        state.is_uncertain = was_uncertain && kept.is_err();
        kept?;
        tell!(INFO, consumer = &*self.name, to = position.get(), "reset");
        Ok(())
    }

    /// Puts events aside, and then moves the place; the events before it are done or put aside, but
    /// for those that are pending.
    pub(super) fn advance(
        &self,
        owner: u64,
        place: Place,
        parked: &[ParkedEntry],
        with: &With<'_>,
    ) -> Result<()> {
        let mut state = self.hold(owner)?;
        if !parked.is_empty() {
            // What is put aside must not be taken back: another event would be in its place.
            with.log.sync_to(place.end.max(state.batch_end))?;
        }
        state.parked.add(&self.name, parked)?;
        if place != state.place {
            state.keep(place, None, with)?;
            state.commit_count += 1;
        }
        Ok(())
    }

    /// Changes the list of events that were put aside.
    pub(super) fn change_parked<T>(
        &self,
        owner: u64,
        with: &With<'_>,
        change: impl FnOnce(&mut ParkedList, &str) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.hold(owner)?;
        if !state.keeper.is_sure() {
            // What is let go of must not come again, because the place that has passed it was in the
            // page cache only.
            let (place, log_from) = (state.place.clone(), state.log_from);
            state.keep(place, log_from, with)?;
        }
        change(&mut state.parked, &self.name)
    }

    /// Moves the place forwards with a batch that `append` appends: both are durable, or neither is.
    pub(super) fn append(
        &self,
        owner: u64,
        position: Position,
        delivered: Position,
        with: &With<'_>,
        append: impl FnOnce(Progress) -> Result<Receipt>,
    ) -> Result<Receipt> {
        let mut state = self.hold(owner)?;
        state.check_move(&self.name, position, delivered, with)?;
        if state.log_from.is_none() || !state.keeper.is_sure() {
            // From now on the log is looked through for it, if this process ends. What was found to
            // say so may be in the page cache only.
            let place = Place::at(state.place.watermark());
            state.keep(place, Some(with.visible), with)?;
        }
        // It stays so if this panics.
        let was_uncertain = std::mem::replace(&mut state.is_uncertain, true);
        let appended = append(Progress { consumer: self.name.clone(), position });
        let is_unknown = matches!(appended, Err(Error::OutcomeUnknown { .. }));
        state.is_uncertain = was_uncertain || is_unknown;
        let receipt = appended?;
        state.place = Place::at(position);
        state.batch_end = receipt.end();
        state.is_unkept = true;
        state.commit_count += 1;
        let read_from = state.log_from.unwrap_or_default();
        if receipt.end().since(read_from) > LOG_EVENT_COUNT_MAX {
            // If it fails, more of the log is looked through, and it is tried again.
            let place = state.place.clone();
            let _ = state.keep(place, Some(receipt.end()), with);
        }
        Ok(receipt)
    }

    /// Whether there is more of the log to be looked through for it than there should be.
    pub(super) fn is_log_long(&self, visible: Position) -> bool {
        let log_from = self.state.lock().log_from;
        log_from.is_some_and(|from| visible.since(from) > LOG_EVENT_COUNT_MAX)
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.state.lock().standing == Standing::Deleted
    }

    /// Keeps what batches have said of the place, so that the log need not be looked through for it.
    pub(super) fn settle(&self, owner: Option<u64>, with: &With<'_>) -> Result<()> {
        let mut state = self.state.lock();
        let may = state.standing == Standing::Open
            && !state.is_uncertain
            && owner.is_none_or(|owner| owner == state.owner);
        if !may || (!state.is_unkept && state.log_from.is_none()) {
            return Ok(());
        }
        let place = state.place.clone();
        state.keep(place, None, with)
    }

    /// Ends moving: the store is being closed.
    pub(super) fn close(&self, with: &With<'_>) {
        // What is not kept is found in the log again.
        let _ = self.settle(None, with);
        let mut state = self.state.lock();
        if state.standing == Standing::Open {
            state.standing = Standing::Closed;
        }
    }

    /// Deletes the consumer. Whoever has it open cannot move it any more. If only the list of what it
    /// has put aside could not be removed, it is deleted all the same.
    pub(super) fn delete(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.standing == Standing::Closed {
            return Err(Error::Closed);
        }
        // The place first: without it, the rest says nothing.
        state.keeper.remove()?;
        state.standing = Standing::Deleted;
        state.parked.remove()
    }
}

impl State {
    /// Whether a move to `position` changes anything; fails if it may not be.
    fn check_move(
        &self,
        name: &str,
        position: Position,
        delivered: Position,
        with: &With<'_>,
    ) -> Result<bool> {
        check_within(position, with)?;
        let committed = self.place.watermark();
        if position < committed || position > delivered {
            let consumer = name.to_owned();
            return Err(Error::CommitRefused { consumer, position, committed, delivered });
        }
        Ok(position > committed)
    }

    /// Makes the log durable up to `place` and to the last batch that speaks of it, and then the
    /// place.
    fn keep(&mut self, place: Place, log_from: Option<Position>, with: &With<'_>) -> Result<()> {
        with.log.sync_to(place.end.max(self.batch_end))?;
        let log_from = if self.is_uncertain { self.log_from } else { log_from };
        let (owner, at) = (self.owner, with.now);
        span!(TRACE, "commit", to = place.end.get(), pending = place.pending.len());
        self.keeper.keep(ToKeep { place: place.clone(), log_from, owner, at })?;
        (self.place, self.log_from, self.is_unkept) = (place, log_from, false);
        Ok(())
    }

    pub(super) fn commit_count(&self) -> u64 {
        self.commit_count
    }
}

/// Fails if `position` is after the end of what can be read.
pub(super) fn check_within(position: Position, with: &With<'_>) -> Result<()> {
    let end = with.visible;
    if position > end { Err(Error::BeyondEnd { position, end }) } else { Ok(()) }
}
