//! Which events are wanted, and reading those.
//!
//! Owns how places, times and names are put together. Reading is the cursor's.

use std::ops::{ControlFlow, RangeBounds};
use std::time::Duration;

use crate::cursor::{Cursor, Filter};
use crate::error::Result;
use crate::event::{Event, EventView};
use crate::inspect::Inspection;
use crate::types::{Position, Timestamp};

/// Which events are wanted, in which direction, and how many. By default all, the oldest first.
///
/// What is said more than once with different methods must all hold.
///
/// ```
/// use annals::inspect::{Inspection, Selection};
/// use annals::{Expected, NewEvent, Store};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("shop.annals");
/// let store = Store::open(&path)?;
/// for text in ["a teapot", "a cup", "a spoon"] {
///     store.append("cart-42", Expected::Any, [NewEvent::text("item-added", text)])?;
/// }
/// let last_two = Selection::new().streams(["cart-42"]).backwards().limit(2);
/// let mut texts = Vec::new();
/// for event in Inspection::open(&path)?.select(&last_two) {
///     texts.push(event?.payload().to_vec());
/// }
/// assert_eq!(texts, [&b"a spoon"[..], b"a cup"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// In their byte order, each once; `None` if any will do.
    streams: Option<Vec<Box<str>>>,
    filter: Filter,
    pub(super) from: Position,
    pub(super) to: Option<Position>,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) is_backwards: bool,
    pub(super) limit: Option<u64>,
}

impl Selection {
    /// All events, from the first to the last.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only events of the streams with exactly these names; none, if there are none.
    #[must_use]
    pub fn streams(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut names: Vec<_> =
            names.into_iter().map(|name| name.into().into_boxed_str()).collect();
        names.sort_unstable();
        names.dedup();
        Self { streams: Some(names), ..self }
    }

    /// Only events of streams whose names begin with `prefix`.
    #[must_use]
    pub fn stream_prefix(self, prefix: impl Into<String>) -> Self {
        Self { filter: self.filter.with_prefix(prefix.into().into_boxed_str()), ..self }
    }

    /// Only events of these types; none, if there are none.
    #[must_use]
    pub fn event_types(self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let types = types.into_iter().map(|name| name.into().into_boxed_str()).collect();
        Self { filter: self.filter.with_types(types), ..self }
    }

    /// Only events at this position or later, in either direction. Those before are not read.
    #[must_use]
    pub fn from(self, position: impl Into<Position>) -> Self {
        Self { from: position.into(), ..self }
    }

    /// Only events before this position, in either direction. Those from it on are not read.
    #[must_use]
    pub fn to(self, position: impl Into<Position>) -> Self {
        Self { to: Some(position.into()), ..self }
    }

    /// Only events that were recorded at this time or later.
    #[must_use]
    pub fn since(self, time: Timestamp) -> Self {
        Self { since: Some(time), ..self }
    }

    /// Only events that were recorded before this time.
    #[must_use]
    pub fn until(self, time: Timestamp) -> Self {
        Self { until: Some(time), ..self }
    }

    /// The newest events first.
    #[must_use]
    pub fn backwards(self) -> Self {
        Self { is_backwards: true, ..self }
    }

    /// No more events than this.
    #[must_use]
    pub fn limit(self, count: u64) -> Self {
        Self { limit: Some(count), ..self }
    }

    /// Reads the events with `cursor`, which may be one of a [`Store`](crate::Store) or of a
    /// [`ReadOnlyStore`](crate::ReadOnlyStore). Where it was put, its direction and its range of
    /// times are replaced; what it filters by must hold as well.
    #[must_use]
    pub fn of(&self, cursor: Cursor) -> Selected {
        let cursor = cursor.recorded(self.times());
        let cursor = match (self.is_backwards, self.to) {
            (false, _) => cursor.from(self.from),
            (true, None) => cursor.backwards(),
            (true, Some(to)) => cursor.from(to).backwards(),
        };
        Selected { cursor, left: self.limit.unwrap_or(u64::MAX), selection: self.clone() }
    }

    fn times(&self) -> impl RangeBounds<Timestamp> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        (self.since.map_or(Unbounded, Included), self.until.map_or(Unbounded, Excluded))
    }

    /// Whether an event has one of the wanted names. Places and times are not looked at.
    #[inline]
    pub(super) fn takes(&self, event: &EventView<'_>) -> bool {
        let stream_fits = self.streams.as_ref().is_none_or(|streams| {
            let name = event.stream_bytes();
            streams.binary_search_by(|wanted| wanted.as_bytes().cmp(name)).is_ok()
        });
        stream_fits && self.filter.takes(event)
    }

    /// Whether an event at `position`, and all after it in this direction, are out of the range.
    fn has_passed(&self, position: Position) -> bool {
        if self.is_backwards {
            position < self.from
        } else {
            self.to.is_some_and(|to| position >= to)
        }
    }

    /// Whether no event can come before `position` or, backwards, from it on.
    fn ends_at(&self, position: Position) -> bool {
        if self.is_backwards {
            position <= self.from
        } else {
            self.to.is_some_and(|to| position >= to)
        }
    }
}

/// Reads the events of a [`Selection`]. From [`Selection::of`] and [`Inspection::select`].
///
/// As an iterator it ends as its cursor does: asked again later, it goes on with what has been
/// appended since, unless it [is over](Selected::is_over).
#[derive(Debug)]
pub struct Selected {
    cursor: Cursor,
    selection: Selection,
    left: u64,
}

impl Selected {
    /// Calls `visit` with one event after the other, each lent for that call, until it says
    /// [`Break`](ControlFlow::Break) or there are no more for now.
    ///
    /// # Errors
    ///
    /// Those of [`Cursor::visit`]. All events before were visited.
    pub fn visit(&mut self, mut visit: impl FnMut(EventView<'_>) -> ControlFlow<()>) -> Result<()> {
        if self.is_over() {
            return Ok(());
        }
        let Self { cursor, selection, left } = self;
        cursor.visit(|event| {
            let at = event.position();
            // A range of times may have begun behind that of positions.
            if selection.has_passed(at) {
                return ControlFlow::Break(());
            }
            let mut flow = ControlFlow::Continue(());
            if selection.takes(&event) {
                *left -= 1;
                flow = visit(event);
            }
            // What stands behind the range may be damaged, and need not be read.
            let place = if selection.is_backwards { at } else { at.next() };
            if *left == 0 || selection.ends_at(place) { ControlFlow::Break(()) } else { flow }
        })
    }

    /// Waits until there may be an event to give, as [`Cursor::wait`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Cursor::wait`].
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        self.cursor.wait(timeout)
    }

    /// Whether as many events were given as were wanted, or the range of positions is done.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left == 0 || self.selection.ends_at(self.cursor.next_position())
    }
}

impl Iterator for Selected {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut next = None;
        let visited = self.visit(|event| {
            next = Some(event.to_event());
            ControlFlow::Break(())
        });
        visited.map(|()| next).transpose()
    }
}

impl Inspection {
    /// Reads the events that are wanted.
    #[must_use]
    pub fn select(&self, selection: &Selection) -> Selected {
        selection.of(self.events())
    }
}
