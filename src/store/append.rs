//! Appending: what is checked, and what each event gets.

use std::array;

use crate::error::{Error, Result};
use crate::event::{Batch, BatchPart, NewEvent, Progress, Receipt};
use crate::format::{ToRecord, progress_len_max, record_len, tags_len};
use crate::log::Assign;
use crate::store::Inner;
use crate::store::ends::{Slot, StreamEnd, StreamEnds};
use crate::types::{EventId, NAME_LEN_MAX, NameKind, Position, Timestamp, check_name};

/// Streams that are looked for together before any of them is waited for.
const GUESSED_AT_ONCE: usize = 16;

impl Inner {
    /// Appends a batch, and what it says of a consumer.
    pub(super) fn append(&self, batch: &Batch, progress: Option<&Progress>) -> Result<Receipt> {
        let durability = batch.durability.unwrap_or(self.options.durability);
        let len = self.check(batch, progress)?;
        // It is told of what is appended, so it must know what was before.
        self.source.index();
        let receipt =
            self.log.append(len, durability, |assign| self.assign(batch, progress, assign))?;
        self.maintenance.after_append();
        self.renewal.after_append();
        Ok(receipt)
    }

    /// Checks all that does not depend on what is in the store, and returns how many bytes the
    /// records will have.
    pub(super) fn check(&self, batch: &Batch, progress: Option<&Progress>) -> Result<u64> {
        if batch.is_empty() {
            return Err(Error::EmptyBatch);
        }
        let mut len = 0_u64;
        for part in &batch.parts {
            check_name(NameKind::Stream, &part.stream)?;
            for event in &part.events {
                self.check_event(event)?;
                len += wide(record_len(&part.stream, event, None));
            }
        }
        len += wide(progress.map_or(0, progress_len_max));
        check_len("the batch", len, self.log.batch_len_max())?;
        Ok(len)
    }

    /// Checks an event by itself.
    #[cfg(feature = "json")]
    pub(super) fn check_one(&self, stream: &str, event: &NewEvent) -> Result<()> {
        check_name(NameKind::Stream, stream)?;
        self.check_event(event)?;
        let len = wide(record_len(stream, event, None));
        check_len("the event", len, self.log.batch_len_max())
    }

    fn check_event(&self, event: &NewEvent) -> Result<()> {
        check_name(NameKind::EventType, &event.event_type)?;
        for tag in &event.tags {
            check_name(NameKind::Tag, tag)?;
        }
        if !event.content_type.is_assigned() {
            return Err(Error::ReservedContentType { code: event.content_type.code() });
        }
        let len_max = u64::from(self.options.payload_len_max);
        check_len("the payload", wide(event.payload.len()), len_max)?;
        check_len("the metadata", wide(event.metadata.len()), len_max)?;
        check_len("all tags", wide(tags_len(event)), u64::from(u16::MAX))?;
        check_len("the idempotency key", wide(event.idempotency_key.len()), u64::from(u8::MAX))
    }

    /// Checks what depends on what is in the store; then gives every event its place.
    pub(super) fn assign(
        &self,
        batch: &Batch,
        progress: Option<&Progress>,
        assign: &mut Assign<'_>,
    ) -> Result<Receipt> {
        // Held by one at a time in any case, for the log is.
        let mut ends = self.ends.lock();
        // Looked at first: an index that takes the place of another meanwhile has taken in that much.
        let visible_end = assign.visible_end();
        let index = self.source.index();
        // An index that answers nothing has taken nothing in; the log, which is read then, has all
        // that is visible.
        let is_usable = !index.has_failed();
        let known_end = if is_usable { index.taken_end().min(visible_end) } else { visible_end };
        if ends.begin(assign.retractions(), known_end) {
            index.take_in();
        }
        let slots = self.check_expected(batch, &mut ends)?;
        let recorded_at = self.time_of(batch, assign)?;
        let first = assign.end().position;
        let end = first.plus(wide(batch.len()));
        let mut random = self.random.lock();
        let mut revisions = Vec::with_capacity(batch.parts.len());
        for (part, slot) in batch.parts.iter().zip(slots) {
            let Some(StreamEnd { hash, end: start }) = ends.at(slot) else { continue };
            let mut revision = *start;
            for event in &part.events {
                let position = assign.end().position;
                let record = ToRecord {
                    stream: &part.stream,
                    event,
                    id: event.id.unwrap_or_else(|| EventId::version_7(recorded_at, &mut random)),
                    position,
                    revision,
                    recorded_at,
                    previous: assign.end().checksum,
                    durable_end: assign.durable_end(),
                    ends_batch: position.next() == end,
                    progress: progress.filter(|_| position.next() == end),
                    seed: self.seed,
                };
                assign.push(*hash, &record);
                revision = revision.next();
            }
            revisions.push(*start..revision);
            ends.advance(slot, revision, end);
        }
        Ok(Receipt { positions: first..end, revisions, recorded_at })
    }

    /// Finds where each stream ends, and checks that it is as the batch expects. All are looked for before
    /// any is checked: that may fail, if the index is no help and the log is damaged.
    fn check_expected(&self, batch: &Batch, ends: &mut StreamEnds) -> Result<Vec<Slot>> {
        let slots = self.find_ends(&batch.parts, ends)?;
        for (BatchPart { stream, expected, .. }, slot) in batch.parts.iter().zip(&slots) {
            let actual = ends.at(*slot).map(|stream| stream.end).unwrap_or_default();
            if !expected.holds(actual) {
                let (stream, expected) = (stream.clone(), *expected);
                return Err(Error::Conflict { stream, expected, actual });
            }
        }
        Ok(slots)
    }

    /// The slot of each part's stream.
    fn find_ends(&self, parts: &[BatchPart], ends: &mut StreamEnds) -> Result<Vec<Slot>> {
        let mut slots = Vec::with_capacity(parts.len());
        let mut rest = parts;
        while !rest.is_empty() {
            let (near, _) = rest.split_at(rest.len().min(GUESSED_AT_ONCE));
            let guesses: [_; GUESSED_AT_ONCE] = array::from_fn(|n| {
                let hash = near.get(n).map(|part| self.hasher.hash(&part.stream))?;
                Some((hash, ends.guess(hash)))
            });
            let looked_for = near.iter().zip(guesses.into_iter().flatten());
            let found = slots.len();
            slots.extend(
                looked_for.map_while(|(part, (hash, guess))| {
                    ends.find_guessed(guess, hash, &part.stream)
                }),
            );
            rest = parts.get(slots.len()..).unwrap_or_default();
            if slots.len() - found < near.len() {
                self.learn_ends(rest, ends)?;
            }
        }
        Ok(slots)
    }

    /// Remembers where those streams end that are not remembered. They have no events that the index
    /// does not know.
    fn learn_ends(&self, parts: &[BatchPart], ends: &mut StreamEnds) -> Result<()> {
        let hashed = parts.iter().map(|part| (self.hasher.hash(&part.stream), &*part.stream));
        let unknown: Vec<_> =
            hashed.filter(|(hash, stream)| ends.find(*hash, stream).is_none()).collect();
        let found = self.source.ends_taken_in(&unknown)?;
        for ((hash, stream), end) in unknown.into_iter().zip(found) {
            // The batch may name it twice.
            if ends.find(hash, stream).is_none() {
                let (len, max) = (wide(stream.len()), wide(NAME_LEN_MAX));
                ends.remember(stream, StreamEnd { hash, end }).ok_or(Error::TooLarge {
                    what: "the stream's name",
                    len,
                    max,
                })?;
            }
        }
        Ok(())
    }

    /// The recorded time of the batch, which is later than that of the batch before.
    fn time_of(&self, batch: &Batch, assign: &Assign<'_>) -> Result<Timestamp> {
        let end = assign.end();
        let (last, is_first) = (end.recorded_at, end.position == Position::START);
        let earliest = match last.as_nanos().checked_add(1) {
            _ if is_first => Timestamp::MIN,
            Some(ns) => Timestamp::from_nanos(ns),
            None => {
                let given = batch.recorded_at.unwrap_or_else(|| self.options.clock.now());
                return Err(Error::TimeWentBack { given, last });
            }
        };
        match batch.recorded_at {
            Some(given) if given < earliest => Err(Error::TimeWentBack { given, last }),
            Some(given) => Ok(given),
            None => Ok(self.options.clock.now().max(earliest)),
        }
    }
}

fn check_len(what: &'static str, len: u64, max: u64) -> Result<()> {
    if len > max { Err(Error::TooLarge { what, len, max }) } else { Ok(()) }
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
