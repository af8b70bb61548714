//! What of an input is in the store already, from an import before.

use std::ops::ControlFlow;

use crate::cursor::Cursor;
use crate::error::Result;
use crate::event::EventView;
use crate::store::Store;
use crate::transfer::import::incoming::{Incoming, LineFault};
use crate::types::Position;

/// Looks for the events of an input in the store, in their order.
///
/// An import appends the events of its input in their order, so what it has appended is how the
/// input begins, and stands in the store in the same order; with events of others between them, if
/// others append as well.
#[derive(Debug)]
pub(super) struct Known {
    cursor: Cursor,
    /// Where the store ended when the import began.
    end: Position,
    /// Whether there may be more.
    is_over: bool,
}

/// What an event is to an import.
#[derive(Debug)]
pub(super) enum Standing {
    /// It is to be appended.
    New,
    /// It is in the store.
    Known,
}

impl Known {
    pub(super) fn of(store: &Store) -> Self {
        Self { cursor: store.read_all(), end: store.end(), is_over: store.end() == Position::START }
    }

    /// Looks for an event behind the one that was found last.
    pub(super) fn find(&mut self, incoming: &Incoming) -> Result<Standing> {
        if self.is_over {
            return Ok(Standing::New);
        }
        let (mut is_found, end) = (false, self.end);
        self.cursor.visit(|event| {
            if event.position() >= end {
                return ControlFlow::Break(());
            }
            is_found = is_same(event, incoming);
            if is_found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        self.is_over = !is_found;
        Ok(if is_found { Standing::Known } else { Standing::New })
    }

    /// Looks for an event at the place where it was in the store that it comes from. What stands
    /// there must be that event.
    pub(super) fn expect(
        &mut self,
        incoming: &Incoming,
        position: Position,
    ) -> Result<Result<Standing, LineFault>> {
        if position >= self.end {
            return Ok(Ok(Standing::New));
        }
        if self.cursor.next_position() != position {
            self.cursor = self.cursor.anew(position);
        }
        let mut is_found = false;
        self.cursor.visit(|event| {
            is_found = is_same(event, incoming) && is_in_place(event, incoming);
            ControlFlow::Break(())
        })?;
        let other = LineFault::new("the store has another event at its position");
        Ok(if is_found { Ok(Standing::Known) } else { Err(other) })
    }
}

/// Whether an event in the store is the one that comes in, wherever it stands.
fn is_same(event: EventView<'_>, incoming: &Incoming) -> bool {
    let new = &incoming.event;
    event.id() == incoming.id
        && event.stream() == incoming.stream
        && event.event_type() == new.event_type
        && event.content_type() == new.content_type
        && event.payload() == new.payload
        && event.metadata() == new.metadata
        && event.idempotency_key().unwrap_or_default() == new.idempotency_key
        && event.tags().eq(new.tags.iter().map(String::as_str))
}

/// Whether it is at its place and has its time.
fn is_in_place(event: EventView<'_>, incoming: &Incoming) -> bool {
    Some(event.recorded_at()) == incoming.time
        && incoming.place.is_some_and(|place| {
            event.revision() == place.revision && event.ends_batch() == place.ends_batch
        })
}
