//! A consumer that someone has open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::consumer::entry::Entry;
use crate::consumer::feed::Feed;
use crate::consumer::place::Place;
use crate::consumer::workers::{Delivery, HandlerError, WorkerGroup, Workers};
use crate::consumer::{Consumers, Lag, ParkedEvent, Retried, retrying};
use crate::cursor::{Cursor, Filter, Follow, Followable, Source, sealed};
use crate::error::Result;
use crate::event::{Event, Progress, Receipt};
use crate::types::Position;

/// A named reader whose place is kept: after a restart it goes on where it has committed.
///
/// From [`Store::consumer`](crate::Store::consumer). It gives events in the order of their positions;
/// [`Consumer::commit`] says which are done. What was not committed when the process ends is given
/// again: each event at least once. Where that matters, append what they cause with
/// [`Store::append_and_commit`](crate::Store::append_and_commit); or keep the place together with what
/// they cause, in one transaction of another database, and read with a [`Cursor`] from there.
///
/// What it gives is durable, unless it was appended with
/// [`Durability::Buffered`](crate::Durability::Buffered). Committing makes it so; whoever keeps places
/// elsewhere calls [`Store::sync`](crate::Store::sync) before.
///
/// As an iterator it ends at the visible end, and goes on when asked again, as
/// [`Cursor`] does. It keeps its store open.
///
/// ```
/// use annals::{Expected, NewEvent, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("shop.annals");
/// let store = Store::open(&path)?;
/// for item in ["a teapot", "a cup"] {
///     store.append("cart-42", Expected::Any, [NewEvent::text("item-added", item)])?;
/// }
/// let mut billing = store.consumer("billing").event_types(["item-added"]).open()?;
/// let event = billing.next().unwrap()?;
/// billing.commit(event.position().next())?;
/// drop((billing, store)); // or the process ends
///
/// let mut billing = Store::open(&path)?.consumer("billing").open()?;
/// assert_eq!(billing.next().unwrap()?.payload(), b"a cup");
/// assert_eq!(billing.lag()?.event_count, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Consumer {
    pub(super) consumers: Arc<Consumers>,
    pub(super) entry: Arc<Entry>,
    /// The number of this opening.
    pub(super) owner: u64,
    pub(super) feed: Feed,
    replay_end: Position,
}

impl Consumer {
    pub(super) fn open(
        consumers: Arc<Consumers>,
        entry: Arc<Entry>,
        cursor: Cursor,
        filter: Filter,
    ) -> Result<Self> {
        let replay_end = consumers.source.visible()?.position;
        let owner = entry.open();
        let from = entry.look().place.watermark();
        let feed = Feed::new(cursor.from(from), filter);
        Ok(Self { consumers, entry, owner, feed, replay_end })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.entry.name()
    }

    /// What is committed: every event before it is done.
    #[must_use]
    pub fn committed(&self) -> Position {
        self.entry.look().place.watermark()
    }

    /// The position it stands before: all that is before was given to it, or passed because it is not
    /// to be given.
    #[must_use]
    pub fn next_position(&self) -> Position {
        self.feed.next_position()
    }

    /// The end of the log when the consumer was opened. Events before it are a replay: they were there
    /// already, and perhaps were given before.
    #[must_use]
    pub fn replay_end(&self) -> Position {
        self.replay_end
    }

    /// The next event; waits until there is one, for `timeout` at most, and then says `None`.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed), also if the store is closed meanwhile;
    /// [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Io`](crate::Error::Io) from reading.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Event>> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(event) = self.feed.next()? {
                return Ok(Some(event));
            }
            let left =
                deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if self.feed.has_failed() || !self.feed.wait(left)? {
                return Ok(None);
            }
        }
    }

    /// Commits that every event before `position` is done, durably: for the event that was just done,
    /// that is `event.position().next()`. One small write and one sync; what of the log before `position` is not
    /// durable yet is made so first. Committing what is committed does nothing.
    ///
    /// # Errors
    ///
    /// Having changed nothing: [`Error::CommitRefused`](crate::Error::CommitRefused) if `position` is
    /// before what is committed, or after [`Consumer::next_position`];
    /// [`Error::BeyondEnd`](crate::Error::BeyondEnd) if it is after the end of the log;
    /// [`Error::TakenOver`](crate::Error::TakenOver), [`Error::Closed`](crate::Error::Closed); and if the
    /// log cannot be made durable, [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) or
    /// [`Error::Poisoned`](crate::Error::Poisoned). After [`Error::Io`](crate::Error::Io) a restart finds
    /// either place, and it may be tried again.
    pub fn commit(&mut self, position: impl Into<Position>) -> Result<()> {
        let (with, delivered) = (self.consumers.with()?, self.next_position());
        self.entry.commit(self.owner, position.into(), delivered, &with)
    }

    /// Commits all that was given, and what was passed because it is not to be given: of a filtered
    /// consumer, only this says that it has seen the end.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::commit`].
    pub fn commit_delivered(&mut self) -> Result<()> {
        self.commit(self.next_position())
    }

    /// Puts the consumer to any position of the log, back or ahead, durably. It gives the event there
    /// next.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::commit`], but for `CommitRefused`.
    pub fn reset_to(&mut self, position: impl Into<Position>) -> Result<()> {
        let position = position.into();
        self.entry.reset(self.owner, position, &self.consumers.with()?)?;
        self.feed.put(position);
        Ok(())
    }

    /// Goes on with what is appended, and waits for it. [`Follow::get_mut`] gives the consumer, to
    /// commit.
    #[must_use]
    pub fn follow(self) -> Follow<Self> {
        Follow::new(self)
    }

    /// How far what is committed is behind the end of the log. Reads one record, and the length of
    /// each segment in between.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Io`](crate::Error::Io) from reading,
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn lag(&self) -> Result<Lag> {
        let place = self.entry.look().place.clone();
        self.consumers.lag(&place)
    }

    /// How often its place was moved since the store was opened.
    #[must_use]
    pub fn commit_count(&self) -> u64 {
        self.entry.look().commit_count()
    }

    /// The events that were put aside, in the order of their positions.
    #[must_use]
    pub fn parked(&self) -> Vec<ParkedEvent> {
        self.entry.look().parked.entries().map(ParkedEvent::from).collect()
    }

    /// Lets go of an event that was put aside, durably; says whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error::TakenOver`](crate::Error::TakenOver), [`Error::Io`](crate::Error::Io),
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn dismiss_parked(&mut self, position: impl Into<Position>) -> Result<bool> {
        let with = self.consumers.with()?;
        self.entry.change_parked(self.owner, &with, |parked, _| parked.take(position.into()))
    }

    /// Calls `handler` for each event that was put aside, in the order of their positions. Those that it
    /// handles are let go of, durably; the others stay, and so do later ones of the same key where
    /// workers hold those back. Moves nothing else.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::dismiss_parked`], and [`Error::Corrupt`](crate::Error::Corrupt) from reading
    /// an event. What was handled before stays so. A handler that fails is no error.
    pub fn retry_parked<E: Into<HandlerError>>(
        &mut self,
        mut handler: impl FnMut(&Delivery) -> Result<(), E>,
    ) -> Result<Retried> {
        retrying::retry(self, &mut |delivery| handler(delivery).map_err(Into::into))
    }

    /// Handles events on threads of their own, from what is committed on, until they are stopped, or
    /// fail.
    ///
    /// See [`Workers`] for what is promised.
    ///
    /// # Errors
    ///
    /// [`Error::TakenOver`](crate::Error::TakenOver), [`Error::Closed`](crate::Error::Closed),
    /// [`Error::InvalidOption`](crate::Error::InvalidOption), and [`Error::Io`](crate::Error::Io) if a
    /// thread cannot be started.
    pub fn run<E: Into<HandlerError>>(
        self,
        workers: Workers,
        handler: impl Fn(&Delivery) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<WorkerGroup> {
        let handler = move |delivery: &Delivery| handler(delivery).map_err(Into::into);
        WorkerGroup::start(self, workers, Arc::new(handler))
    }

    /// Moves the consumer with a batch that `append` appends.
    pub(crate) fn append(
        &mut self,
        position: Position,
        append: impl FnOnce(Progress) -> Result<Receipt>,
    ) -> Result<Receipt> {
        let (with, delivered) = (self.consumers.with()?, self.next_position());
        self.entry.append(self.owner, position, delivered, &with, append)
    }

    /// Whether it is one of these consumers.
    pub(crate) fn belongs_to(&self, consumers: &Arc<Consumers>) -> bool {
        Arc::ptr_eq(&self.consumers, consumers)
    }

    /// What is done, as it is kept.
    pub(super) fn place(&self) -> Place {
        self.entry.look().place.clone()
    }
}

impl Followable for Consumer {}

impl sealed::Sealed for Consumer {
    fn wait_for_next(&self, timeout: Duration) -> Result<bool> {
        self.feed.wait(timeout)
    }

    fn is_at_end_for_ever(&self) -> bool {
        self.feed.has_failed()
    }

    #[expect(private_interfaces, reason = "nobody outside can name this trait")]
    fn reads_from(&self) -> &Arc<Source> {
        &self.consumers.source
    }
}

impl Iterator for Consumer {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.feed.next().transpose()
    }
}

impl Drop for Consumer {
    /// Keeps what batches have said of its place. If that fails, it is found in the log.
    fn drop(&mut self) {
        if !std::thread::panicking()
            && let Ok(with) = self.consumers.with()
        {
            let _ = self.entry.settle(Some(self.owner), &with);
        }
    }
}
