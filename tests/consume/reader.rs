//! A consumer that reads, commits, notes in batches how far it is, is reset, taken over and deleted.

use annals::{Consumer, ConsumerInfo, Durability, Error, Result, Store};

use super::{Given, Ledger, Noted, Places};
use crate::common::assert_error;

/// A consumer and its model.
#[derive(Debug)]
pub(crate) struct Reader {
    name: String,
    given: Given,
    consumer: Option<Consumer>,
    /// Before this, everything was given.
    next: u64,
    committed: u64,
    places: Places,
}

impl Reader {
    pub(crate) fn new(name: &str, given: Given) -> Self {
        let places = Places::none(name);
        Self { name: name.to_owned(), given, consumer: None, next: 0, committed: 0, places }
    }

    /// Does something, and fails if the store does.
    pub(crate) fn step(
        &mut self,
        store: &Store,
        ledger: &mut Ledger,
        random: &mut fastrand::Rng,
    ) -> Result<()> {
        if self.consumer.is_none() {
            return self.open(store, ledger, random);
        }
        match random.u32(..16) {
            0..6 => self.read(ledger, random.usize(1..8)),
            6..9 => self.commit(ledger, random),
            9..11 => self.note(store, ledger, random),
            11 => self.reset(ledger, random),
            12 => self.take_over(store, ledger, random),
            13 => {
                self.refuse(ledger);
                Ok(())
            }
            14 => {
                self.drop_it();
                Ok(())
            }
            _ => self.delete(store, ledger, random),
        }
    }

    fn open(
        &mut self,
        store: &Store,
        ledger: &mut Ledger,
        random: &mut fastrand::Rng,
    ) -> Result<()> {
        let (end, time) = (ledger.end(), ledger.some_time(random));
        let builder = self.given.tell(store.consumer(&*self.name));
        let (builder, start) = match random.u32(..4) {
            0 => (builder, 0),
            1 => (builder.from_end(), end),
            2 => (builder.from_time(time), ledger.position_at(time)),
            _ => {
                let start = random.u64(..=end);
                (builder.from_position(start), start)
            }
        };
        let known = self.places.now(ledger);
        let opened = builder.open();
        if known.is_none() {
            let created = opened.as_ref().map(drop).map_err(|_| Error::Closed);
            self.places.put(Some(start), ledger, &created);
        }
        let consumer = opened?;
        let place = Consumer::committed(&consumer).get();
        assert_eq!(place, known.unwrap_or(start), "{}", self.name);
        assert_eq!((consumer.next_position().get(), consumer.replay_end().get()), (place, end));
        if known.is_none() {
            ledger.made_durable(start);
        }
        (self.next, self.committed) = (place, place);
        self.consumer = Some(consumer);
        Ok(())
    }

    /// Reads, and compares each event with the one that must come.
    fn read(&mut self, ledger: &Ledger, count: usize) -> Result<()> {
        let given = self.given;
        let consumer = self.consumer.as_mut().unwrap();
        for _ in 0..count {
            let wanted = ledger.from(self.next).find(|(_, event)| given.takes(event));
            let event = consumer.next().transpose()?;
            let found = event.map(|event| (event.position().get(), Noted::of(&event)));
            assert_eq!(found.as_ref().map(|(at, event)| (*at, event)), wanted, "{}", self.name);
            self.next = wanted.map_or(ledger.end(), |(position, _)| position + 1);
            assert_eq!(consumer.next_position().get(), self.next, "{}", self.name);
        }
        Ok(())
    }

    /// Reads all that there is, and commits it.
    pub(crate) fn finish(
        &mut self,
        store: &Store,
        ledger: &mut Ledger,
        random: &mut fastrand::Rng,
    ) {
        if self.consumer.is_none() {
            self.open(store, ledger, random).unwrap();
        }
        self.read(ledger, ledger.events.len() + 1).unwrap();
        self.consumer.as_mut().unwrap().commit_delivered().unwrap();
        assert_eq!(self.consumer.as_ref().unwrap().lag().unwrap().event_count, 0);
    }

    fn commit(&mut self, ledger: &mut Ledger, random: &mut fastrand::Rng) -> Result<()> {
        let place = random.u64(self.committed..=self.next);
        let committed = self.consumer.as_mut().unwrap().commit(place);
        // To commit what is committed does nothing, and promises nothing.
        if place > self.committed {
            self.places.put(Some(place), ledger, &committed);
            committed?;
            ledger.made_durable(place);
        } else {
            committed?;
        }
        self.committed = place;
        assert_eq!(self.consumer.as_ref().unwrap().committed().get(), place);
        Ok(())
    }

    fn note(
        &mut self,
        store: &Store,
        ledger: &mut Ledger,
        random: &mut fastrand::Rng,
    ) -> Result<()> {
        let place = random.u64(self.committed..=self.next);
        let note = ledger.draft("notes", "note", &self.places.note(place));
        let durability = if random.bool() { Durability::Sync } else { Durability::Buffered };
        let consumer = self.consumer.as_mut().unwrap();
        ledger
            .append(&[note], durability, |batch| store.append_and_commit(batch, consumer, place))?;
        assert_eq!(Consumer::committed(consumer).get(), place);
        self.committed = place;
        Ok(())
    }

    fn reset(&mut self, ledger: &mut Ledger, random: &mut fastrand::Rng) -> Result<()> {
        let place = random.u64(..=ledger.end());
        let reset = self.consumer.as_mut().unwrap().reset_to(place);
        self.places.put(Some(place), ledger, &reset);
        reset?;
        ledger.made_durable(place);
        (self.next, self.committed) = (place, place);
        Ok(())
    }

    fn take_over(
        &mut self,
        store: &Store,
        ledger: &mut Ledger,
        random: &mut fastrand::Rng,
    ) -> Result<()> {
        let mut old = self.consumer.take().unwrap();
        self.open(store, ledger, random)?;
        assert_error!(old.commit(old.next_position()), Error::TakenOver { .. });
        Ok(())
    }

    /// Tries what it may not do.
    fn refuse(&mut self, ledger: &Ledger) {
        let consumer = self.consumer.as_mut().unwrap();
        assert_error!(consumer.commit(ledger.end() + 1), Error::BeyondEnd { .. });
        assert_error!(consumer.reset_to(ledger.end() + 1), Error::BeyondEnd { .. });
        if self.next < ledger.end() {
            assert_error!(consumer.commit(self.next + 1), Error::CommitRefused { .. });
        }
        if self.committed > 0 {
            assert_error!(consumer.commit(self.committed - 1), Error::CommitRefused { .. });
        }
    }

    fn delete(
        &mut self,
        store: &Store,
        ledger: &mut Ledger,
        random: &mut fastrand::Rng,
    ) -> Result<()> {
        let deleted = store.delete_consumer(&self.name);
        let done = deleted.as_ref().map(drop).map_err(|_| Error::Closed);
        self.places.put(None, ledger, &done);
        assert!(deleted?, "{} was there", self.name);
        let mut old = self.consumer.take().unwrap();
        if random.bool() {
            self.open(store, ledger, random)?;
        }
        assert_error!(old.commit(old.next_position()), Error::TakenOver { .. });
        Ok(())
    }

    /// Lets go of it, without a word.
    pub(crate) fn drop_it(&mut self) {
        self.consumer = None;
    }

    /// Compares its place with where it may be once the store is opened again.
    pub(crate) fn reopened(&mut self, infos: &[ConsumerInfo], ledger: &Ledger) {
        self.places.reopened(infos, ledger);
    }
}
