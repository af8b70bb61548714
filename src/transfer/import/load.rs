//! Batches on their way into a store.
//!
//! Owns which events become one batch, and when it was recorded.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::event::{Batch, Expected, Receipt};
use crate::format::record_len;
use crate::options::Durability;
use crate::segment::wide;
use crate::store::Store;
use crate::transfer::import::ImportProgress;
use crate::transfer::import::incoming::{Incoming, LineFault, Place};
use crate::types::{Position, Revision, Timestamp};

/// The most events that become one batch, where the input does not say what a batch is.
const BATCH_COUNT_MAX: usize = 1_000;
/// The most bytes of their records that do, unless the store takes less.
const BATCH_LEN_MAX: u64 = 1 << 20;
/// Bytes of records after which all is synced: what a loss of power may take back of an import.
const SYNC_LEN: u64 = 16 << 20;

/// Whether events keep the places that they had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Numbering {
    /// Position, revision and time are those of the input, or nothing is appended.
    #[default]
    Kept,
    /// They get others.
    Anew,
}

/// Collects events into batches and appends those.
#[derive(Debug)]
pub(super) struct Load<'a> {
    store: &'a Store,
    numbering: Numbering,
    /// Recorded time of the last event in the store.
    last: Option<Timestamp>,
    pending: Pending,
    /// Of each stream in that batch, the revision after the last one's.
    ends: HashMap<String, Revision>,
    /// The most bytes of what becomes one batch.
    batch_len_max: u64,
    unsynced_len: u64,
}

/// Events that are to be one batch.
#[derive(Debug, Default)]
struct Pending {
    batch: Batch,
    event_count: usize,
    /// Bytes of their records.
    len: u64,
    /// The number of the line of the first one.
    line: u64,
    /// When the first one was recorded, or happened.
    time: Option<Timestamp>,
    /// The place of the last one.
    place: Option<Place>,
}

impl<'a> Load<'a> {
    pub(super) fn new(store: &'a Store, numbering: Numbering) -> Result<Self> {
        let last = store.read_all().backwards().next().transpose()?;
        Ok(Self {
            store,
            numbering,
            last: last.map(|event| event.recorded_at()),
            pending: Pending::default(),
            ends: HashMap::default(),
            batch_len_max: store.batch_len_max().min(BATCH_LEN_MAX),
            unsynced_len: 0,
        })
    }

    /// Takes in the event of a line, and appends a batch when one is whole.
    pub(super) fn add(
        &mut self,
        line: u64,
        incoming: Incoming,
        progress: &mut ImportProgress,
    ) -> Result<()> {
        let place = incoming.place;
        if let Err(error) = self.store.check_event(&incoming.stream, &incoming.event) {
            return Err(LineFault::because(REFUSED, error).in_line(line));
        }
        let len = wide(record_len(&incoming.stream, &incoming.event, None));
        if place.is_some() && self.numbering == Numbering::Kept {
            self.check(line, &incoming)?;
        } else if !self.pending.takes(&incoming, self.batch_len_max.saturating_sub(len)) {
            self.append(progress)?;
        }
        let expected = self.expected(&incoming);
        self.pending.add(line, incoming, expected);
        self.pending.len += len;
        if place.is_some_and(|place| place.ends_batch) {
            self.append(progress)?;
        }
        Ok(())
    }

    /// Checks that an event can have the place that it had.
    fn check(&self, line: u64, incoming: &Incoming) -> Result<()> {
        let Some(place) = incoming.place else { return Ok(()) };
        let fault = match &self.pending.place {
            Some(_) if incoming.time != self.pending.time => {
                "its recorded_at is not that of the batch that it belongs to"
            }
            Some(before) if place.position != before.position.next() => NOT_NEXT,
            None if place.position != self.store.end() => NOT_AT_END,
            _ if self.ends.get(&incoming.stream).is_some_and(|end| *end != place.revision) => {
                "its revision does not follow from that of its stream's event before"
            }
            _ => return Ok(()),
        };
        Err(LineFault::new(fault).in_line(line))
    }

    /// What is expected of the stream of an event that keeps its place: about the stream as it was
    /// before the batch, so nothing from its second event on.
    fn expected(&mut self, incoming: &Incoming) -> Expected {
        let Some(place) = incoming.place.filter(|_| self.numbering == Numbering::Kept) else {
            return Expected::Any;
        };
        let end = place.revision.next();
        if let Some(known) = self.ends.get_mut(&incoming.stream) {
            *known = end;
            return Expected::Any;
        }
        if !place.ends_batch {
            self.ends.insert(incoming.stream.clone(), end);
        }
        Expected::from(place.revision)
    }

    /// Appends what has come to be a batch, if anything has.
    pub(super) fn append(&mut self, progress: &mut ImportProgress) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.ends.clear();
        if pending.event_count == 0 {
            return Ok(());
        }
        let batch = pending.batch.durability(Durability::Buffered);
        let (batch, is_moved) = match (pending.time, pending.place, self.numbering) {
            (Some(time), Some(_), Numbering::Kept) => (batch.recorded_at(time), false),
            (Some(time), ..) => {
                let earliest = self.last.and_then(|last| last.as_nanos().checked_add(1));
                let recorded_at = time.max(earliest.map_or(time, Timestamp::from_nanos));
                (batch.recorded_at(recorded_at), recorded_at != time)
            }
            (None, ..) => (batch, false),
        };
        let appended = self.store.append_batch(&batch);
        let receipt = appended.map_err(|error| refuse(error, pending.line))?;
        if self.numbering == Numbering::Kept {
            check_positions(&receipt, pending.place, pending.line)?;
        }
        self.last = Some(receipt.recorded_at());
        let event_count = wide(pending.event_count);
        progress.imported_count += event_count;
        progress.batch_count += 1;
        progress.moved_count += if is_moved { event_count } else { 0 };
        self.unsynced_len += pending.len;
        if self.unsynced_len >= SYNC_LEN {
            self.unsynced_len = 0;
            self.store.sync()?;
        }
        Ok(())
    }

    /// Appends what came before a line that cannot be imported, unless that is a batch which the line
    /// belongs to.
    pub(super) fn append_before_fault(&mut self, progress: &mut ImportProgress) -> Result<()> {
        if self.pending.place.is_some() && self.numbering == Numbering::Kept {
            return Ok(());
        }
        self.append(progress)
    }

    /// Ends an input: what is no whole batch of a store is not appended.
    pub(super) fn finish(&mut self, progress: &mut ImportProgress) -> Result<()> {
        if self.pending.place.is_some() && self.numbering == Numbering::Kept {
            let fault = LineFault::new("the input ends within the batch that begins there");
            return Err(fault.in_line(self.pending.line));
        }
        self.append(progress)
    }
}

const REFUSED: &str = "the store refuses its event";
const NOT_NEXT: &str =
    "its position does not follow from that of the line before, in the same batch";
const NOT_AT_END: &str = "its position is not the end of the store: only with other positions and \
                          revisions can it go there";

impl Pending {
    /// Whether an event can be in this batch, which has room for it up to so many bytes.
    fn takes(&self, incoming: &Incoming, len_max: u64) -> bool {
        // One that does not say when it happened is taken to have happened with the one before.
        let is_same_time = incoming.time.is_none() || incoming.time == self.time;
        // The batches of a store stay what they are, even if not all of their events come.
        let is_full = self.event_count >= BATCH_COUNT_MAX || self.len > len_max;
        is_same_time && (incoming.place.is_some() || !is_full)
    }

    fn add(&mut self, line: u64, incoming: Incoming, expected: Expected) {
        let Incoming { stream, event, time, place, .. } = incoming;
        if self.event_count == 0 {
            self.line = line;
            self.time = time;
        }
        self.event_count += 1;
        self.place = place;
        self.batch.push(stream, expected, event);
    }
}

/// What a store that refuses a batch says of its first line. Failures of the store are its own.
fn refuse(error: Error, line: u64) -> Error {
    match error {
        Error::Io { .. }
        | Error::OutcomeUnknown { .. }
        | Error::Poisoned
        | Error::Closed
        | Error::Corrupt { .. } => error,
        refused => LineFault::because("the store refuses the batch that begins there", refused)
            .in_line(line),
    }
}

/// Checks that nobody else has appended meanwhile.
fn check_positions(receipt: &Receipt, last: Option<Place>, line: u64) -> Result<()> {
    let expected = last.map(|place| place.position.next());
    if expected.is_none_or(|end: Position| end == receipt.positions().end) {
        return Ok(());
    }
    let fault = "the store was appended to by someone else while the batch was imported";
    Err(LineFault::new(fault).in_line(line))
}
