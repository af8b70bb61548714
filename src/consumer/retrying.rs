//! Handling again what was put aside.

use std::collections::HashSet;

use crate::consumer::Consumer;
use crate::consumer::parked::shortened;
use crate::consumer::workers::{Delivery, HandlerError};
use crate::error::{Error, Result};
use crate::format::ParkedEntry;
use crate::types::Position;

/// What became of events that were handled again. From
/// [`Consumer::retry_parked`](crate::Consumer::retry_parked).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retried {
    /// How many were handled, and let go of.
    pub handled_count: usize,
    /// How many stay: the handler failed, or one of their key is held back before them.
    pub left_count: usize,
}

pub(super) fn retry(
    consumer: &mut Consumer,
    handler: &mut dyn FnMut(&Delivery) -> Result<(), HandlerError>,
) -> Result<Retried> {
    let (owner, entry) = (consumer.owner, consumer.entry.clone());
    entry.check(owner)?;
    let parked: Vec<ParkedEntry> = entry.look().parked.entries().cloned().collect();
    let mut held = HashSet::new();
    let mut retried = Retried::default();
    for parked in parked {
        if held.contains(&parked.key) {
            retried.left_count += 1;
            continue;
        }
        let attempt = parked.attempt_count.saturating_add(1);
        let delivery = read(consumer, parked.position, attempt)?;
        match handler(&delivery) {
            Ok(()) => {
                let with = consumer.consumers.with()?;
                entry.change_parked(owner, &with, |list, _| list.take(parked.position))?;
                retried.handled_count += 1;
            }
            Err(error) => {
                if parked.holds {
                    held.insert(parked.key);
                }
                let reason = shortened(&error.to_string());
                let again = ParkedEntry { attempt_count: attempt, reason, ..parked };
                let with = consumer.consumers.with()?;
                entry.change_parked(owner, &with, |list, name| list.add(name, &[again]))?;
                retried.left_count += 1;
            }
        }
    }
    Ok(retried)
}

/// Reads one event again.
fn read(consumer: &Consumer, position: Position, attempt: u32) -> Result<Delivery> {
    let event = consumer.feed.everything_from(position).next()?;
    let end = consumer.replay_end();
    let event = event.ok_or(Error::BeyondEnd { position, end })?;
    Ok(Delivery::new(event, attempt, position < end))
}
