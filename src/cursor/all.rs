//! The cursor over all events.

use std::fmt::Debug;
use std::ops::{ControlFlow, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use crate::cursor::backwards::Before;
use crate::cursor::filter::Filter;
use crate::cursor::times::Times;
use crate::cursor::{Direction, Source, StreamCursor};
use crate::error::{Error, Result};
use crate::event::{Event, EventView};
use crate::segment::Scanner;
use crate::types::{Position, Timestamp};

/// Reads all events of a store, in the order of their positions or against it.
///
/// It stands between events: [`Cursor::next_position`] is the one it would give next, or, backwards,
/// the one it gave last. From that number another cursor can go on, also after a restart.
///
/// As an iterator it ends at the visible end. Asked again later it goes on with what has been
/// appended since. After an error it ends, until it is put elsewhere.
///
/// A cursor keeps its store open, holds no lock between two events, and may be sent to another
/// thread.
///
/// ```
/// use annals::{Expected, NewEvent, Position, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path().join("shop.annals"))?;
/// store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
///
/// let mut cursor = store.read_all().from(Position::START);
/// assert_eq!(cursor.next().unwrap()?.payload(), b"a teapot");
/// assert!(cursor.next().is_none());
/// assert_eq!(cursor.next_position(), Position::new(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cursor {
    source: Arc<Source>,
    /// Keeps the store open.
    store: Arc<dyn Debug + Send + Sync>,
    direction: Direction,
    /// Where it was put, if it was.
    from: Option<Position>,
    times: Times,
    filter: Filter,
    /// Where it is, once it has begun.
    place: Option<Place>,
}

/// Where a cursor is.
#[derive(Debug)]
struct Place {
    position: Position,
    /// Reads forwards from `position`.
    scanner: Option<Scanner>,
    /// Offset up to which `scanner` may read.
    limit: u64,
    /// Position at which `scanner` must look up again what follows.
    stop: Position,
    /// What is just before `position`, for reading backwards.
    before: Before,
    failed: bool,
    /// Whether all that it may give was given, whatever is appended.
    is_over: bool,
}

impl Cursor {
    pub(crate) fn new(source: Arc<Source>, store: Arc<dyn Debug + Send + Sync>) -> Self {
        Self {
            source,
            store,
            direction: Direction::Forwards,
            from: None,
            times: Times::default(),
            filter: Filter::default(),
            place: None,
        }
    }

    /// Gives only what `filter` takes.
    pub(crate) fn filtered(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// Puts the cursor before the event at `position`: forwards that is the first it gives,
    /// backwards the one before that. A position after the end is no error: forwards, the cursor
    /// gives nothing until events have come that far.
    ///
    /// Default: forwards the start, backwards the end.
    #[must_use]
    pub fn from(mut self, position: impl Into<Position>) -> Self {
        self.from = Some(position.into());
        self.place = None;
        self
    }

    /// Gives the events from the last to the first. It reads some ahead: up to 1,024, or 4 MiB of
    /// them.
    #[must_use]
    pub fn backwards(mut self) -> Self {
        self.direction = Direction::Backwards;
        self.place = None;
        self
    }

    /// Gives only events that were recorded in this range of times, `since..until` for instance.
    /// Those before it are not read.
    #[must_use]
    pub fn recorded(mut self, times: impl RangeBounds<Timestamp>) -> Self {
        self.times = Times::of(&times);
        self.place = None;
        self
    }

    /// Gives only events of these types; none, if there are none.
    ///
    /// Others are read and checked all the same, and [`Cursor::next_position`] passes them.
    #[must_use]
    pub fn event_types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let types = types.into_iter().map(|name| name.into().into_boxed_str()).collect();
        self.filter = self.filter.with_types(types);
        self
    }

    /// Gives only events of streams whose names begin with `prefix`, as [`Cursor::event_types`] does
    /// for types.
    #[must_use]
    pub fn stream_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.filter = self.filter.with_prefix(prefix.into().into_boxed_str());
        self
    }

    /// Puts the cursor before the event at `position`.
    pub(crate) fn put(&mut self, position: Position) {
        self.from = Some(position);
        self.place = None;
    }

    /// Another cursor over the same events, before the one at `position`.
    pub(crate) fn anew(&self, position: Position) -> Self {
        let (source, store) = (Arc::clone(&self.source), Arc::clone(&self.store));
        Self::new(source, store).from(position)
    }

    /// Whether there is an index that tells where the events of a stream are.
    pub(crate) fn has_index(&self) -> bool {
        self.source.is_index_usable()
    }

    /// A cursor over one stream of the same log.
    pub(crate) fn over_stream(&self, stream: &str) -> StreamCursor {
        StreamCursor::new(Arc::clone(&self.source), Arc::clone(&self.store), stream)
    }

    /// Whether there will never be another event to give.
    pub(super) fn is_over(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_over || place.failed)
    }

    /// What the cursor reads from.
    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The position it stands before: forwards, the next that it may give; backwards, the last
    /// that it gave.
    ///
    /// Before the first event was asked for, where it was put; backwards from the end, that is
    /// the end now.
    #[must_use]
    pub fn next_position(&self) -> Position {
        match (&self.place, self.from, self.direction) {
            (Some(place), _, _) => place.position,
            (None, Some(from), _) => from,
            (None, None, Direction::Forwards) => Position::START,
            (None, None, Direction::Backwards) => self.source.segments().visible().position,
        }
    }

    /// Goes to the place to begin at; where it was put, if that cannot be found.
    fn begin(&mut self) -> Result<()> {
        let begun = self.first_place();
        let failed = || Place { failed: true, ..Place::at(self.next_position()) };
        let (place, found) = match begun {
            Ok(place) => (place, Ok(())),
            Err(error) => (failed(), Err(error)),
        };
        self.place = Some(place);
        found
    }

    /// Finds the place to begin at.
    fn first_place(&self) -> Result<Place> {
        let source = &self.source;
        let visible = source.visible()?.position;
        match self.direction {
            Direction::Forwards => {
                let from = self.from.unwrap_or_default();
                let Some(time) = self.times.since else { return Ok(Place::at(from)) };
                let scanner = source.read_or_look(|| source.scanner_at(time, visible))?;
                let found = scanner.as_ref().map_or(visible, Scanner::position);
                let mut place = Place::at(found.max(from));
                if let Some(scanner) = scanner.filter(|_| found >= from) {
                    place.take_scanner(source, scanner, visible)?;
                }
                Ok(place)
            }
            Direction::Backwards => {
                let from = self.from.unwrap_or(visible).min(visible);
                let Some(time) = self.times.until else { return Ok(Place::at(from)) };
                source.position_at(time).map(|found| Place::at(found.min(from)))
            }
        }
    }

    /// Calls `visit` with one event after the other, each lent for that call, until it says
    /// [`Break`](ControlFlow::Break) or there are no more for now. The cursor stands after the last
    /// event that was visited.
    ///
    /// The same events as from the iterator, at less cost: nothing is counted or copied for any of
    /// them.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// # use annals::{Expected, NewEvent, Store};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path().join("shop.annals"))?;
    /// store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
    ///
    /// let mut payload_len = 0;
    /// store.read_all().visit(|event| {
    ///     payload_len += event.payload().len();
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(payload_len, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] or [`Error::Io`] from reading, [`Error::Closed`]. All events before were
    /// visited. After an error there are no more, until the cursor is put elsewhere.
    ///
    /// [`Error::Corrupt`]: crate::Error::Corrupt
    /// [`Error::Io`]: crate::Error::Io
    /// [`Error::Closed`]: crate::Error::Closed
    pub fn visit(&mut self, mut visit: impl FnMut(EventView<'_>) -> ControlFlow<()>) -> Result<()> {
        if self.place.is_none() {
            self.begin()?;
        }
        let Self { source, direction, times, filter, place, .. } = self;
        let Some(place) = place.as_mut().filter(|place| !place.failed) else { return Ok(()) };
        let mut take = |event: EventView<'_>| {
            if filter.takes(&event) { visit(event) } else { ControlFlow::Continue(()) }
        };
        let visited = match direction {
            Direction::Forwards => place.visit_forwards(source, times, &mut take),
            Direction::Backwards => place.visit_backwards(source, times, &mut take),
        };
        place.failed = visited.is_err();
        visited
    }

    /// The event that was read last, forwards.
    fn read_last(&self) -> Option<EventView<'_>> {
        self.place.as_ref()?.scanner.as_ref().map(Scanner::view)
    }

    /// The next event that is visited, to be kept.
    fn next_lent(&mut self) -> Option<Result<Event>> {
        let mut next = None;
        let visited = self.visit(|event| {
            next = Some(event.to_event());
            ControlFlow::Break(())
        });
        visited.map(|()| next).transpose()
    }

    /// Waits until there may be an event to give, for `timeout` at most, and says whether there may.
    /// Costs nothing while it waits.
    ///
    /// Looks at positions alone: with a filter, and with a range of times that is over, there may be
    /// none all the same. Backwards, nothing can come, and it says at once whether there is any before.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed), also if the store is closed meanwhile. With a
    /// [`ReadOnlyStore`](crate::ReadOnlyStore), which reads to learn what is new, also
    /// [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Io`](crate::Error::Io).
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let next = self.next_position();
        match self.direction {
            Direction::Forwards => self.source.wait_for(next, timeout),
            Direction::Backwards => self.source.check_open().map(|()| next > Position::START),
        }
    }
}

impl Place {
    /// The place before `position`, where nothing has been looked up yet.
    fn at(position: Position) -> Self {
        Self {
            position,
            scanner: None,
            limit: 0,
            stop: position,
            before: Before::default(),
            failed: false,
            is_over: false,
        }
    }

    fn visit_forwards(
        &mut self,
        source: &Source,
        times: &Times,
        visit: &mut impl FnMut(EventView<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        source.check_open()?;
        while self.position < self.stop || self.look_up(source)? {
            let Some(scanner) = &mut self.scanner else { return Ok(()) };
            while self.position < self.stop {
                let time = match scanner.advance(self.limit) {
                    Ok(time) => time,
                    Err(error) => {
                        self.go_on_where_moved(source, error)?;
                        break;
                    }
                };
                if times.ends_before(time) {
                    // What follows is later still. Asked again, the cursor must find the same.
                    self.scanner = None;
                    self.stop = self.position;
                    self.is_over = true;
                    return Ok(());
                }
                self.position = scanner.position();
                // An event can be too early if there was none late enough when the cursor began.
                if !times.begins_after(time) && visit(scanner.view()).is_break() {
                    return Ok(());
                }
                source.check_open()?;
            }
        }
        Ok(())
    }

    fn visit_backwards(
        &mut self,
        source: &Source,
        times: &Times,
        visit: &mut impl FnMut(EventView<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        loop {
            source.check_open()?;
            let event = self.before.pop(source, self.position)?;
            let Some(event) = event.filter(|event| !times.begins_after(event.recorded_at())) else {
                self.is_over = true;
                return Ok(());
            };
            self.position = event.position();
            if visit(event.view()).is_break() {
                return Ok(());
            }
        }
    }

    /// Gets ready to read at `position`; `false` if that is not visible yet.
    fn look_up(&mut self, source: &Source) -> Result<bool> {
        let visible = source.visible()?.position;
        if self.position >= visible {
            return Ok(false);
        }
        let scanner = match self.scanner.take() {
            Some(scanner) => source.segments().cross(scanner)?,
            None => source.read_or_look(|| source.locate(self.position))?,
        };
        self.take_scanner(source, scanner, visible)?;
        Ok(true)
    }

    /// Gets ready to go on where recovery by another process has moved what is next; `error` is what is
    /// wrong with it where it was, if that is all there is.
    #[cold]
    fn go_on_where_moved(&mut self, source: &Source, error: Error) -> Result<()> {
        let is_damage = matches!(error, Error::Corrupt { .. });
        let Some(scanner) = self.scanner.take().filter(|_| is_damage) else { return Err(error) };
        let Some(scanner) = source.find_moved(scanner)? else { return Err(error) };
        let visible = source.segments().visible().position;
        self.take_scanner(source, scanner, visible)
    }

    /// Goes on with `scanner`, which stands at `position`, up to `visible`.
    fn take_scanner(&mut self, source: &Source, scanner: Scanner, visible: Position) -> Result<()> {
        self.limit = source.segments().limit(scanner.file())?;
        self.stop = source.stop(&scanner, visible);
        self.scanner = Some(scanner);
        Ok(())
    }
}

impl Iterator for Cursor {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.direction == Direction::Backwards {
            return self.next_lent();
        }
        let mut is_there = false;
        let visited = self.visit(|_| {
            is_there = true;
            ControlFlow::Break(())
        });
        match visited {
            // Made where it is wanted: to move an event costs as much as to make it.
            Ok(()) if is_there => Some(Ok(self.read_last()?.to_event())),
            Ok(()) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
