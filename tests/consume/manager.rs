//! A process manager: it answers each question once, in their order.

use annals::{Consumer, ConsumerInfo, Durability, Error, Result, Store};

use super::{Ledger, Noted};
use crate::common::assert_error;

pub(crate) const NAME: &str = "manager";

/// A process manager. What it must know is in the log.
#[derive(Debug, Default)]
pub(crate) struct Manager {
    consumer: Option<Consumer>,
}

impl Manager {
    /// Does something, and fails if the store does.
    pub(crate) fn step(
        &mut self,
        store: &Store,
        ledger: &mut Ledger,
        random: &mut fastrand::Rng,
    ) -> Result<()> {
        match (&mut self.consumer, random.u32(..12)) {
            (None, _) => self.open(store, ledger)?,
            (Some(_), 0) => self.consumer = None,
            (Some(_), 1) => {
                let mut old = self.consumer.take();
                self.open(store, ledger)?;
                let draft = ledger.draft("answers", "answer", "nobody");
                let old = old.as_mut().unwrap();
                let place = old.next_position();
                let refused = ledger.append(&[draft], Durability::Sync, |batch| {
                    store.append_and_commit(batch, old, place)
                });
                assert_error!(refused, Error::TakenOver { .. });
            }
            (Some(consumer), 2) => {
                // Any place between the last answer and the next question says the same.
                let answered = ledger.answered().len();
                let next = ledger.questions().nth(answered).map_or(ledger.end(), |(at, _)| at);
                let place = random.u64(Consumer::committed(consumer).get().min(next)..=next);
                consumer.reset_to(place)?;
                ledger.made_durable(place);
            }
            _ => _ = self.answer(store, ledger, random)?,
        }
        Ok(())
    }

    fn open(&mut self, store: &Store, ledger: &Ledger) -> Result<()> {
        let consumer = store.consumer(NAME).event_types(["question"]).open()?;
        check(Consumer::committed(&consumer).get(), ledger);
        self.consumer = Some(consumer);
        Ok(())
    }

    /// Answers one question or two; says whether there were any.
    fn answer(
        &mut self,
        store: &Store,
        ledger: &mut Ledger,
        random: &mut fastrand::Rng,
    ) -> Result<bool> {
        let consumer = self.consumer.as_mut().unwrap();
        let questions: Vec<_> =
            consumer.by_ref().take(random.usize(1..3)).collect::<Result<_>>()?;
        let Some(last) = questions.last() else {
            if random.bool() {
                consumer.commit_delivered()?;
                ledger.made_durable(Consumer::committed(consumer).get());
            }
            return Ok(false);
        };
        let answered = ledger.answered().len();
        let wanted: Vec<_> = ledger.questions().skip(answered).take(questions.len()).collect();
        let found: Vec<_> = questions.iter().map(Noted::of).collect();
        assert!(wanted.iter().map(|(_, event)| *event).eq(&found), "{found:?} {wanted:?}");
        let draft =
            |question: &Noted| ledger.draft("answers", "answer", &question.number.to_string());
        let answers: Vec<_> = found.iter().map(draft).collect();
        let durability = if random.bool() { Durability::Sync } else { Durability::Buffered };
        let place = last.position().next();
        ledger.append(&answers, durability, |batch| {
            store.append_and_commit(batch, consumer, place)
        })?;
        check(Consumer::committed(consumer).get(), ledger);
        Ok(true)
    }

    /// Answers all that there is.
    pub(crate) fn finish(
        &mut self,
        store: &Store,
        ledger: &mut Ledger,
        random: &mut fastrand::Rng,
    ) {
        if self.consumer.is_none() {
            self.open(store, ledger).unwrap();
        }
        while self.answer(store, ledger, random).unwrap() {}
        let asked = ledger.questions().map(|(_, event)| event.number.to_string());
        assert!(asked.eq(ledger.answered()), "each question is answered once, in their order");
    }

    pub(crate) fn drop_it(&mut self) {
        self.consumer = None;
    }

    /// Checks where it is once the store is opened again.
    pub(crate) fn reopened(infos: &[ConsumerInfo], ledger: &Ledger) {
        let info = infos.iter().find(|info| info.name == NAME);
        check(info.map_or(0, |info| info.committed.get()), ledger);
    }
}

/// Checks that what is before its place is answered, and nothing else is.
fn check(place: u64, ledger: &Ledger) {
    let before = ledger.questions().filter(|(position, _)| *position < place);
    let before: Vec<_> = before.map(|(_, event)| event.number.to_string()).collect();
    assert_eq!(before, ledger.answered(), "what is before {place}, and what is answered");
}
