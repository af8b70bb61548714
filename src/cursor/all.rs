//! The cursor over all events.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::Arc;

use crate::cursor::times::Times;
use crate::cursor::{Direction, Source};
use crate::error::Result;
use crate::event::Event;
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
    #[expect(dead_code, reason = "holding it keeps the store open")]
    store: Arc<dyn Debug + Send + Sync>,
    direction: Direction,
    /// Where it was put, if it was.
    from: Option<Position>,
    times: Times,
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
    /// Events just before `position`, for reading backwards.
    before: VecDeque<Event>,
    failed: bool,
}

impl Cursor {
    pub(crate) fn new(source: Arc<Source>, store: Arc<dyn Debug + Send + Sync>) -> Self {
        Self {
            source,
            store,
            direction: Direction::Forwards,
            from: None,
            times: Times::default(),
            place: None,
        }
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

    /// Gives the events from the last to the first.
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
        let found = self.first_place();
        let failed = found.is_err();
        let position = *found.as_ref().unwrap_or(&self.next_position());
        self.place = Some(Place { failed, ..Place::at(position) });
        found.map(|_| ())
    }

    /// Finds the place to begin at.
    fn first_place(&self) -> Result<Position> {
        let visible = self.source.visible()?.position;
        let at = |time| self.source.position_at(time);
        match self.direction {
            Direction::Forwards => {
                let from = self.from.unwrap_or_default();
                self.times.since.map_or(Ok(from), |time| at(time).map(|p| p.max(from)))
            }
            Direction::Backwards => {
                let from = self.from.unwrap_or(visible).min(visible);
                self.times.until.map_or(Ok(from), |time| at(time).map(|p| p.min(from)))
            }
        }
    }

    fn next_forwards(source: &Source, place: &mut Place, times: &Times) -> Result<Option<Event>> {
        source.check_open()?;
        loop {
            if place.position >= place.stop && !place.look_up(source)? {
                return Ok(None);
            }
            let Some(scanner) = &mut place.scanner else { return Ok(None) };
            let (record, _) = scanner.read(place.limit)?;
            let time = record.parts.recorded_at;
            if times.ends_before(time) {
                // What follows is later still. Asked again, the cursor must find the same.
                place.scanner = None;
                place.stop = place.position;
                return Ok(None);
            }
            place.position = record.end();
            // An event can be too early if there was none late enough when the cursor began.
            if !times.begins_after(time) {
                return Ok(Some(scanner.event(&record)));
            }
        }
    }

    fn next_backwards(source: &Source, place: &mut Place, times: &Times) -> Result<Option<Event>> {
        source.check_open()?;
        if place.before.is_empty() {
            place.before = source.events_before(place.position)?;
        }
        match place.before.pop_back() {
            Some(event) if !times.begins_after(event.recorded_at()) => {
                place.position = event.position();
                Ok(Some(event))
            }
            _ => Ok(None),
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
            before: VecDeque::new(),
            failed: false,
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
            None => source.locate(self.position)?,
        };
        let file = source.segments().file(scanner.segment())?;
        self.limit = source.segments().limit(&file)?;
        self.stop = source.stop(&scanner, visible);
        self.scanner = Some(scanner);
        Ok(true)
    }
}

impl Iterator for Cursor {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.place.is_none()
            && let Err(error) = self.begin()
        {
            return Some(Err(error));
        }
        let place = self.place.as_mut().filter(|place| !place.failed)?;
        let next = match self.direction {
            Direction::Forwards => Self::next_forwards(&self.source, place, &self.times),
            Direction::Backwards => Self::next_backwards(&self.source, place, &self.times),
        };
        place.failed = next.is_err();
        next.transpose()
    }
}
