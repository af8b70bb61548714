//! What a store must hold, as a list.

use crate::error::{Error, Result};
use crate::event::{Expected, NewEvent, Receipt};
use crate::fuzzing::facts::{Fact, end_of, stream_end};
use crate::options::Durability;
use crate::types::{Position, Timestamp};

/// The events of a batch for one stream.
pub(super) struct Part {
    pub(super) stream: &'static str,
    pub(super) expected: Expected,
    pub(super) events: Vec<NewEvent>,
}

/// What was appended, and what was promised of it.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// What is visible.
    pub(super) facts: Vec<Fact>,
    /// A batch that was neither acknowledged nor undone.
    unknown: Vec<Fact>,
    /// How many of the facts no crash may take back.
    durable_count: usize,
    /// How many of the facts must be there when the store is next opened.
    least_count: usize,
    pub(super) is_poisoned: bool,
    number: u32,
}

impl Model {
    /// A number that no event has had before.
    pub(super) fn number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// The time of the last event, or 0.
    pub(super) fn last_time(&self) -> Timestamp {
        self.facts.last().map_or(Timestamp::from_nanos(0), |fact| fact.recorded_at)
    }

    /// The time that the next batch gets, if it may be appended.
    pub(super) fn next_time(&self, given: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let last = self.facts.last().map(|fact| fact.recorded_at.as_nanos());
        let earliest = last.map_or(Timestamp::MIN, |last| Timestamp::from_nanos(last + 1));
        given.unwrap_or_else(|| now.max(earliest))
    }

    /// Takes note of what became of a batch. Returns an error that says nothing of the batch.
    pub(super) fn appended(
        &mut self,
        parts: Vec<Part>,
        recorded_at: Timestamp,
        durability: Durability,
        appended: Result<Receipt>,
    ) -> Result<()> {
        let holds = |part: &Part| part.expected.holds(stream_end(&self.facts, part.stream));
        let is_expected = parts.iter().all(holds);
        let is_later = self.facts.last().is_none_or(|last| recorded_at > last.recorded_at);
        match appended {
            Ok(receipt) => {
                assert!(is_expected && is_later, "{receipt:?}");
                self.accept(self.facts_of(parts, recorded_at), &receipt);
                if durability == Durability::Sync {
                    self.all_durable();
                }
                Ok(())
            }
            Err(Error::Conflict { stream, expected, actual }) => {
                assert_eq!(actual, stream_end(&self.facts, &stream));
                assert!(!expected.holds(actual) && !is_expected);
                Ok(())
            }
            Err(Error::TimeWentBack { last, .. }) => {
                assert!(is_expected && !is_later && last == self.last_time());
                Ok(())
            }
            Err(error) => {
                if matches!(error, Error::OutcomeUnknown { .. }) {
                    assert!(is_expected && is_later && !self.is_poisoned);
                    self.unknown = self.facts_of(parts, recorded_at);
                    self.is_poisoned = true;
                }
                Err(error)
            }
        }
    }

    fn accept(&mut self, facts: Vec<Fact>, receipt: &Receipt) {
        assert!(!self.is_poisoned, "a poisoned store takes no appends");
        assert_eq!(receipt.first(), end_of(&self.facts));
        assert_eq!(receipt.recorded_at(), facts.first().map_or(Timestamp::MIN, |f| f.recorded_at));
        let first = facts.first().map(|fact| fact.revision);
        assert_eq!(Some(receipt.revisions().start), first);
        self.facts.extend(facts);
        assert_eq!(receipt.end(), end_of(&self.facts));
    }

    fn facts_of(&self, parts: Vec<Part>, recorded_at: Timestamp) -> Vec<Fact> {
        let mut batch = Vec::new();
        for Part { stream, events, .. } in parts {
            for event in events {
                let in_batch = stream_end(&batch, stream).get();
                let revision = stream_end(&self.facts, stream).plus(in_batch);
                let (stream, ends_batch) = (stream.to_owned(), false);
                batch.push(Fact { stream, revision, recorded_at, ends_batch, event });
            }
        }
        if let Some(last) = batch.last_mut() {
            last.ends_batch = true;
        }
        batch
    }

    /// All that is visible is durable now.
    pub(super) fn all_durable(&mut self) {
        self.durable_count = self.facts.len();
    }

    /// The store was closed, or its process ended: nothing is lost.
    pub(super) fn ended(&mut self) {
        self.least_count = self.facts.len();
    }

    /// A crash may have taken back what is not durable.
    pub(super) fn crashed(&mut self) {
        self.least_count = self.durable_count;
    }

    /// Takes note of what was found when the store was opened. What it shows then is durable,
    /// unless it says otherwise.
    pub(super) fn opened(&mut self, end: Position, is_durable: bool) {
        self.facts.append(&mut self.unknown);
        let count = usize::try_from(end.get()).unwrap_or(usize::MAX);
        let least = self.least_count;
        assert!(count >= least, "{count} of {least} events are left");
        assert!(count <= self.facts.len(), "{count} events are there that were not appended");
        self.facts.truncate(count);
        assert!(self.facts.last().is_none_or(|last| last.ends_batch), "half a batch is left");
        self.is_poisoned = !is_durable;
        if is_durable {
            self.all_durable();
        }
    }
}
