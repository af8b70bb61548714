//! Where a consumer may be found once its store is opened again.

use annals::{ConsumerInfo, Result};

use super::Ledger;

/// A place that a restart may find.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// `None` if the consumer is not there.
    place: Option<u64>,
    /// From where on notes in the log have moved it further.
    notes_from: u64,
}

/// The places where a consumer may be: the last one where it is, as far as anyone can see, and those
/// that may come back because it is not known whether that one is on the medium.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    name: String,
    kept: Vec<Kept>,
}

impl Places {
    /// Those of a consumer that is not there.
    pub(crate) fn none(name: &str) -> Self {
        Self { name: name.to_owned(), kept: vec![Kept { place: None, notes_from: 0 }] }
    }

    /// What a batch says of the consumer.
    pub(crate) fn note(&self, place: u64) -> String {
        format!("{}@{place}", self.name)
    }

    fn of(&self, kept: &Kept, ledger: &Ledger) -> Option<u64> {
        let notes = ledger.from(kept.notes_from).filter(|(_, event)| event.kind == "note");
        let places = notes.filter_map(|(_, event)| {
            let place = event.about.strip_prefix(&*self.name)?.strip_prefix('@')?;
            Some(place.parse().unwrap())
        });
        kept.place.map(|place| places.fold(place, u64::max))
    }

    /// Where it is.
    pub(crate) fn now(&self, ledger: &Ledger) -> Option<u64> {
        self.of(self.kept.last().unwrap(), ledger)
    }

    /// Takes note that it was put to this place, or that this has failed.
    pub(crate) fn put(&mut self, place: Option<u64>, ledger: &Ledger, result: &Result<()>) {
        let kept = Kept { place, notes_from: ledger.end() };
        if result.is_ok() {
            // What is not known to be in the log may be there, and was said before.
            let notes_from = ledger.end() + ledger.doubtful_count();
            self.kept = vec![Kept { place, notes_from }, kept];
        } else {
            // Where it is has not changed.
            self.kept.insert(0, kept);
        }
    }

    /// Compares where it is found with where it may be, and goes by that.
    pub(crate) fn reopened(&mut self, infos: &[ConsumerInfo], ledger: &Ledger) {
        let info = infos.iter().find(|info| info.name == self.name);
        let place = info.map(|info| info.committed.get());
        let places: Vec<_> = self.kept.iter().map(|kept| self.of(kept, ledger)).collect();
        assert!(places.contains(&place), "{}: {place:?} is none of {places:?}", self.name);
        let found = Kept { place, notes_from: ledger.end() };
        // The others may come back with a crash, until it is put somewhere.
        let others = self.kept.iter().zip(&places).filter(|(_, other)| **other != place);
        self.kept = others.map(|(kept, _)| *kept).chain([found]).collect();
    }
}
