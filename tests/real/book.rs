//! What was tried and what was acknowledged, and the comparison with a store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use annals::{Event, Result, Store};

use super::script::parts_of;
use crate::common::{Seen, count};

/// What is known of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was handed in, and nothing was heard of it: it may be there.
    Tried,
    /// It was acknowledged, with this first position.
    There(u64),
    /// It was reported as undone, and must never be there.
    Undone,
    /// Its outcome was reported as unknown: it may be there.
    Unknown,
}

/// What is known of every batch, by its number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    fates: BTreeMap<u64, Fate>,
}

impl Book {
    pub(crate) fn set(&mut self, number: u64, fate: Fate) {
        let before = self.fates.insert(number, fate);
        assert!(matches!(before, None | Some(Fate::Tried)), "{number} has met its fate before");
    }

    /// Writes down what a process has told; lines about other things are left alone.
    pub(crate) fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let fate = match words[0] {
            "TRY" => Fate::Tried,
            "ACK" => Fate::There(number(2)),
            "UNDONE" => Fate::Undone,
            "UNKNOWN" => Fate::Unknown,
            _ => return,
        };
        self.set(number(1), fate);
    }

    pub(crate) fn hear_all(&mut self, lines: &[String]) {
        for line in lines {
            self.hear(line);
        }
    }

    /// The first number that was not used.
    pub(crate) fn next(&self) -> u64 {
        self.fates.last_key_value().map_or(0, |(number, _)| number + 1)
    }

    /// How many batches are known to be there.
    pub(crate) fn acknowledged_count(&self) -> usize {
        self.fates.values().filter(|fate| matches!(fate, Fate::There(_))).count()
    }

    /// Where the book of a store is kept: beside it.
    fn path(store: &Path) -> PathBuf {
        store.with_extension("book")
    }

    pub(crate) fn save(&self, store: &Path) {
        let line = |(number, fate): (&u64, &Fate)| match fate {
            Fate::Tried => format!("TRY {number}\n"),
            Fate::There(position) => format!("ACK {number} {position}\n"),
            Fate::Undone => format!("UNDONE {number}\n"),
            Fate::Unknown => format!("UNKNOWN {number}\n"),
        };
        fs::write(Self::path(store), self.fates.iter().map(line).collect::<String>()).unwrap();
    }

    /// The book of a store; an empty one if there is none.
    pub(crate) fn load(store: &Path) -> Self {
        let mut book = Self::default();
        let text = fs::read_to_string(Self::path(store)).unwrap_or_default();
        text.lines().for_each(|line| book.hear(line));
        book
    }
}

/// Checks that a store holds whole batches, each once, all that were acknowledged, none that was
/// undone and none that nobody tried, and that streams and times lead to the same events.
///
/// # Errors
///
/// That of a read. What was read until then was right.
pub(crate) fn compare(store: &Store, book: &Book) -> Result<()> {
    let events = collect(store.read_all())?;
    assert_eq!(count(&events), store.end().get(), "the end");
    assert!((0..).zip(&events).all(|(position, event)| event.position == position), "dense");
    assert!(events.is_sorted_by_key(|event| event.recorded_at), "times increase");
    compare_batches(&events, book);
    let mut streams = BTreeMap::<_, Vec<_>>::new();
    for event in &events {
        streams.entry(&*event.stream).or_default().push(event.clone());
    }
    for (name, expected) in &streams {
        assert!((0..).zip(expected).all(|(revision, event)| event.revision == revision), "{name}");
        assert!(collect(store.read_stream(name))? == *expected, "{name}");
        let mut backwards = collect(store.read_stream(name).backwards())?;
        backwards.reverse();
        assert!(backwards == *expected, "{name} backwards");
        assert_eq!(store.stream_end(name)?.get(), count(expected), "the end of {name}");
    }
    let listed: Vec<_> =
        store.streams().map(|info| Ok(info?.name().to_owned())).collect::<Result<_>>()?;
    assert!(listed.iter().eq(streams.keys()), "{listed:?}");
    if let Some(event) = events.get(events.len() / 2) {
        let first = events.partition_point(|earlier| earlier.recorded_at < event.recorded_at);
        assert_eq!(store.position_at(event.recorded_at)?.get(), count(&events[..first]));
    }
    Ok(())
}

fn collect(events: impl Iterator<Item = Result<Event>>) -> Result<Vec<Seen>> {
    events.map(|event| event.map(|event| Seen::of(&event))).collect()
}

fn compare_batches(events: &[Seen], book: &Book) {
    let mut found = BTreeMap::new();
    for batch in events.split_inclusive(|event| event.ends_batch) {
        let first = &batch[0];
        let number = first.event_type.parse().unwrap();
        assert!(batch.last().unwrap().ends_batch, "half of batch {number}");
        let parts: Vec<_> = batch
            .iter()
            .map(|event| (event.stream.clone(), String::from_utf8(event.payload.clone()).unwrap()))
            .collect();
        assert!(parts == parts_of(number), "batch {number} is not as it was appended");
        assert_eq!(found.insert(number, first.position), None, "batch {number} is there twice");
        match book.fates.get(&number) {
            Some(Fate::There(position)) => assert_eq!(first.position, *position, "{number}"),
            Some(Fate::Tried | Fate::Unknown) => {}
            Some(Fate::Undone) => panic!("batch {number} was undone, and came back"),
            None => panic!("nobody appended batch {number}"),
        }
    }
    for (number, fate) in &book.fates {
        let is_lost = matches!(fate, Fate::There(_)) && !found.contains_key(number);
        assert!(!is_lost, "batch {number} was acknowledged, and is gone: {fate:?}");
    }
}
