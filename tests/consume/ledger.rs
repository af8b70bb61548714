//! The list of what was appended, which a store must hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use annals::{
    Batch, Clock, Durability, Error, Event, Expected, NewEvent, Receipt, Result, Store, Timestamp,
};

/// A clock that says what it is told to.
#[derive(Clone, Debug, Default)]
pub(crate) struct TellingClock(Arc<AtomicI64>);

impl TellingClock {
    pub(crate) fn set(&self, ns: i64) {
        self.0.store(ns, Ordering::Relaxed);
    }
}

impl Clock for TellingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// An event that was appended. No two have the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) number: u64,
    pub(crate) stream: String,
    pub(crate) kind: String,
    /// What it is about: the number that it answers, or how far a consumer is.
    pub(crate) about: String,
}

impl Noted {
    pub(crate) fn of(event: &Event) -> Self {
        let text = str::from_utf8(event.payload()).unwrap();
        let (number, about) = text.split_once(' ').unwrap();
        Self {
            number: number.parse().unwrap(),
            stream: event.stream().to_owned(),
            kind: event.event_type().to_owned(),
            about: about.to_owned(),
        }
    }

    fn to_new(&self) -> NewEvent {
        NewEvent::text(&*self.kind, format!("{} {}", self.number, self.about))
    }
}

/// What was appended, in the order of positions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) events: Vec<Noted>,
    times: Vec<Timestamp>,
    /// No crash takes back what is before.
    durable_end: u64,
    /// What may be there or not once the store is reopened.
    doubtful: Vec<Noted>,
    next_number: u64,
}

impl Ledger {
    pub(crate) fn end(&self) -> u64 {
        size(&self.events)
    }

    pub(crate) fn doubtful_count(&self) -> u64 {
        size(&self.doubtful)
    }

    /// The events from a position on.
    pub(crate) fn from(&self, position: u64) -> impl Iterator<Item = (u64, &Noted)> {
        (0..).zip(&self.events).skip(usize::try_from(position).unwrap())
    }

    /// An event that is to be appended.
    pub(crate) fn draft(&mut self, stream: &str, kind: &str, about: &str) -> Noted {
        self.next_number += 1;
        let (stream, kind, about) = (stream.to_owned(), kind.to_owned(), about.to_owned());
        Noted { number: self.next_number, stream, kind, about }
    }

    /// Appends these events as one batch, by `append`, and takes note of what becomes of it.
    pub(crate) fn append(
        &mut self,
        drafts: &[Noted],
        durability: Durability,
        append: impl FnOnce(&Batch) -> Result<Receipt>,
    ) -> Result<()> {
        let add = |batch: Batch, event: &Noted| {
            batch.append(&*event.stream, Expected::Any, [event.to_new()])
        };
        let batch = drafts.iter().fold(Batch::new().durability(durability), add);
        let receipt = match append(&batch) {
            Ok(receipt) => receipt,
            Err(error) => {
                // These say that nothing was appended.
                if !matches!(error, Error::Poisoned | Error::TakenOver { .. }) {
                    self.doubtful = drafts.to_vec();
                }
                return Err(error);
            }
        };
        assert_eq!(
            (receipt.first().get(), receipt.end().get() - self.end()),
            (self.end(), size(drafts))
        );
        self.events.extend_from_slice(drafts);
        self.times.resize(self.events.len(), receipt.recorded_at());
        if durability == Durability::Sync {
            self.durable_end = self.end();
        }
        Ok(())
    }

    /// Nothing came of the batch that has failed.
    pub(crate) fn forget_doubtful(&mut self) {
        self.doubtful.clear();
    }

    /// Takes note that everything before `end` is durable.
    pub(crate) fn made_durable(&mut self, end: u64) {
        self.durable_end = self.durable_end.max(end);
    }

    /// Compares it with a store that was opened again, and goes by that from now on: what was not
    /// durable may be gone after a crash, and what was in doubt may be there.
    pub(crate) fn reopened(&mut self, store: &Store, after_crash: bool) {
        let found: Vec<_> = store.read_all().map(Result::unwrap).collect();
        let wanted = if after_crash { self.durable_end } else { self.end() };
        assert!(size(&found) >= wanted, "{} of {wanted} events are there", found.len());
        let known = self.events.iter().chain(&self.doubtful);
        assert!(found.len() <= known.clone().count(), "events that nobody has appended");
        for (event, known) in found.iter().zip(known) {
            assert_eq!(Noted::of(event), *known);
        }
        let added = found.len().saturating_sub(self.events.len());
        assert!(added == 0 || added == self.doubtful.len(), "a part of a batch");
        self.events = found.iter().map(Noted::of).collect();
        let times: Vec<_> = found.iter().map(Event::recorded_at).collect();
        assert!(self.times.iter().zip(&times).all(|(a, b)| a == b) && times.is_sorted());
        self.times = times;
        self.doubtful.clear();
        self.durable_end = self.end();
    }

    /// A time at which something was recorded, or about one.
    pub(crate) fn some_time(&self, random: &mut fastrand::Rng) -> Timestamp {
        let time = random.choice(&self.times).map_or(0, |time| time.as_nanos());
        Timestamp::from_nanos(time + random.i64(-1..2))
    }

    /// The first position that was recorded then or later.
    pub(crate) fn position_at(&self, time: Timestamp) -> u64 {
        size(&self.times[..self.times.partition_point(|other| *other < time)])
    }

    /// The number of the question that each answer answers, in the order of the answers.
    pub(crate) fn answered(&self) -> Vec<String> {
        let answers = self.events.iter().filter(|event| event.kind == "answer");
        answers.map(|event| event.about.clone()).collect()
    }

    /// The questions, with their positions.
    pub(crate) fn questions(&self) -> impl Iterator<Item = (u64, &Noted)> {
        self.from(0).filter(|(_, event)| event.kind == "question")
    }
}

pub(crate) fn size<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap()
}
