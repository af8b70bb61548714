//! The target `store`: a small store whose files are damaged before it is opened, or while it is
//! open.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::event::{Batch, Expected, NewEvent};
use crate::format::{
    PARKED_SUFFIX, SLOT_LEN_MIN, SegmentHeader, mend_block, mend_checksums, mend_links,
};
use crate::fuzzing::damage::{Filler, damage};
use crate::fuzzing::disk::{KEY, Ticks, empty_store, options, sure};
use crate::fuzzing::facts::{Fact, end_of, stream_end};
use crate::fuzzing::input::Input;
use crate::fuzzing::reading::{Oracle, facts_in, inspect, read};
use crate::inspect::Inspection;
use crate::log::{CLEAN_NOTE, CONSUMERS, DURABLE_NOTE, LOCK, META, QUARANTINE};
use crate::options::Durability;
use crate::segment::{FOLDER, name_of, parse_name};
use crate::simulation::Simulation;
use crate::store::Store;
use crate::types::{EventId, Position};

/// Bytes that say something of a note of how far the log was durable.
const DURABLE_SLOT_LEN: usize = 72;

type Files = BTreeMap<String, Vec<u8>>;

/// What a store is like before it is damaged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    batch_count: u8,
    /// How the events of one shape differ from those of another.
    seed: u8,
    ending: u8,
}

impl Shape {
    pub(super) fn take(input: &mut Input<'_>) -> Self {
        let (count, seed) = (input.byte(), input.byte());
        Self { batch_count: count % 8 + 1, seed: seed / 4, ending: seed % 4 }
    }

    /// The store, and what was appended to it.
    pub(super) fn build(self) -> (Simulation, Vec<Fact>) {
        let disk = empty_store();
        let clock = Ticks::default();
        let store = sure(disk.open(&options(&clock)));
        let mut random = fastrand::Rng::with_seed(self.seed.into());
        for n in 0..self.batch_count {
            clock.put(i64::from(n) * 10);
            sure(store.append_batch(some_batch(&mut random)));
        }
        let facts = facts_in(&store);
        match self.ending {
            0 => sure(store.close()),
            1 => {
                sure(store.close());
                return (disk.without_index(), facts);
            }
            2 => return (disk.crash(0), facts),
            _ => return (disk.crash(1), facts),
        }
        (disk, facts)
    }
}

fn some_batch(random: &mut fastrand::Rng) -> Batch {
    let mut batch = Batch::new().durability(Durability::Sync);
    for _ in 0..random.usize(1..=3) {
        let stream = ["a", "bb", "cart-42", "購物車"].get(random.usize(..4));
        let payload = vec![random.u8(..); random.usize(..1_200)];
        let event = NewEvent::bytes("type", payload)
            .id(EventId::from_bytes([random.u8(..); 16]))
            .metadata(vec![7; random.usize(..4)])
            .idempotency_key(vec![8; random.usize(..4)]);
        let event = if random.bool() { event.tag("tag") } else { event };
        batch = batch.append(*stream.unwrap_or(&"a"), Expected::Any, [event]);
    }
    batch
}

/// Damages the files of a store, reads it in every way, appends to it and opens it again.
///
/// # Panics
///
/// If an event is given that was not appended at its place, if a read ends early without an
/// error, or if a store that is refused is changed. Where checksums were made to fit, only if
/// something panics on its own.
pub fn store(input: &[u8]) {
    let mut input = Input::new(input);
    let mode = input.byte();
    let choice = usize::from(input.byte());
    let (disk, facts) = Shape::take(&mut input).build();
    let oracle = if mode.is_multiple_of(2) { Oracle::Exact } else { Oracle::Ends };
    let undamaged = disk.files().into_iter().collect();
    let visit = Visit { disk, undamaged, facts, oracle, choice, clock: Ticks::default() };
    if mode & 2 == 0 {
        visit.damage(&mut input);
    } else {
        // What is damaged under an open store may be in its hands already.
        let store = sure(visit.open());
        visit.damage(&mut input);
        visit.read(&store);
    }
    visit.inspect_and_open(mode & 4 != 0);
}

/// A store that is damaged, and what it should hold.
struct Visit {
    disk: Simulation,
    undamaged: Files,
    facts: Vec<Fact>,
    oracle: Oracle,
    choice: usize,
    clock: Ticks,
}

impl Visit {
    fn is_exact(&self) -> bool {
        self.oracle == Oracle::Exact
    }

    fn open(&self) -> Result<Store> {
        self.disk.open(&options(&self.clock).create(false))
    }

    fn damage(&self, input: &mut Input<'_>) {
        let directory = self.disk.directory();
        for folder in [CONSUMERS, QUARANTINE] {
            sure(directory.create_folder(folder));
        }
        let older = self.files();
        let mut files = older.clone();
        while !input.is_empty() {
            damage_files(&mut files, &older, input, self.oracle);
        }
        for name in older.keys().filter(|name| !files.contains_key(*name)) {
            self.disk.take(name);
        }
        for (name, bytes) in files {
            if older.get(&name) != Some(&bytes) {
                self.disk.put(&name, bytes);
            }
        }
    }

    /// Reads the store in every way, and says whether all of it could be read.
    fn read(&self, store: &Store) -> bool {
        let errors = read(store, &self.facts, self.oracle, self.choice);
        only_damage(&errors);
        errors.is_empty()
    }

    /// Whether the note of a clean close is as it was left, so that nothing may be missing.
    fn is_vouched_for(&self) -> bool {
        let intact = |name| {
            let bytes = |files: &Files| files.get(name).cloned();
            bytes(&self.undamaged).filter(|was| Some(was) == bytes(&self.files()).as_ref())
        };
        intact(META).is_some() && intact(CLEAN_NOTE).is_some()
    }

    /// All files but that of the lock, which says nothing of what is in the store and is created
    /// whenever someone tries to open it.
    fn files(&self) -> Files {
        self.disk.files().into_iter().filter(|(name, _)| name != LOCK).collect()
    }

    /// Looks at the store from beside, opens it, and goes on with it if that can be.
    fn inspect_and_open(mut self, appends: bool) {
        let (before, vouched) = (self.files(), self.is_vouched_for());
        let directory: Arc<dyn Directory> = Arc::new(self.disk.directory().clone());
        let inspection = Inspection::of(&directory, Duration::ZERO);
        only_damage(inspection.as_ref().err());
        if let Ok(inspection) = &inspection {
            self.inspect(inspection);
        }
        let opened = self.open();
        only_damage(opened.as_ref().err());
        let Ok(store) = opened else {
            return assert!(self.files() == before, "a store that is refused was changed");
        };
        let inspection = sure(inspection);
        assert!(inspection.damage().is_none(), "{:?} was opened", inspection.damage());
        assert_eq!(inspection.end(), store.end());
        self.begin(&store, vouched);
        let all_read = self.read(&store);
        if appends {
            self.append(&store);
            consume(&store);
        }
        sure(store.close());
        match self.open() {
            Ok(store) => {
                let again = self.read(&store);
                assert!(again == all_read || !self.is_exact(), "reads fail now and then");
            }
            // Damage to a segment may matter only once the segment is full, and cannot be sealed.
            Err(error) => {
                assert!(!all_read || !self.is_exact(), "what could be read is lost: {error:?}");
                only_damage([&error]);
            }
        }
    }

    fn inspect(&self, inspection: &Inspection) {
        let end = usize::try_from(inspection.end().get()).unwrap_or(usize::MAX);
        let facts = self.facts.get(..end).unwrap_or(&self.facts);
        only_damage(&inspect(inspection, facts, self.oracle, self.choice));
        only_damage(inspection.damage());
    }

    /// Takes note of what is left of the events.
    fn begin(&mut self, store: &Store, vouched: bool) {
        if self.is_exact() {
            assert!(!vouched || store.end() == end_of(&self.facts), "events were lost in silence");
            assert!(store.end() <= end_of(&self.facts), "{:?} events are there", store.end());
            let end = usize::try_from(store.end().get()).unwrap_or(usize::MAX);
            self.facts.truncate(end);
            assert!(self.facts.last().is_none_or(|last| last.ends_batch), "half a batch is left");
        } else {
            self.facts = facts_in(store);
        }
    }

    fn append(&mut self, store: &Store) {
        let event = NewEvent::text("after", "the damage").id(EventId::from_bytes([9; 16]));
        match store.append("a", Expected::Any, [event.clone()]) {
            Ok(receipt) => {
                let fact = Fact {
                    stream: "a".to_owned(),
                    revision: stream_end(&self.facts, "a"),
                    recorded_at: receipt.recorded_at(),
                    ends_batch: true,
                    event,
                };
                if self.is_exact() {
                    let revisions = fact.revision..fact.revision.next();
                    assert_eq!(receipt.first(), end_of(&self.facts));
                    assert_eq!(receipt.revisions(), revisions);
                    assert!(self.facts.last().is_none_or(|f| f.recorded_at < fact.recorded_at));
                }
                self.facts.push(fact);
            }
            Err(Error::TimeWentBack { .. }) if !self.is_exact() => {}
            Err(error) => only_damage([&error]),
        }
    }
}

/// Opens consumers, whatever their files say, and lets them go on. None is ever after the end.
fn consume(store: &Store) {
    only_damage(store.consumers().as_ref().err());
    for name in ["one", "two"] {
        let mut consumer = match store.consumer(name).open() {
            Ok(consumer) => consumer,
            Err(error) => {
                only_damage([&error]);
                assert!(sure(store.delete_consumer(name)), "{name} is damaged, so it is there");
                sure(store.consumer(name).open())
            }
        };
        assert!(consumer.committed() <= store.end());
        only_damage(consumer.lag().as_ref().err());
        for event in consumer.by_ref().take(3) {
            only_damage(event.as_ref().err());
        }
        only_damage(consumer.commit_delivered().as_ref().err());
        let parked = consumer.parked();
        let retried = consumer.retry_parked(|_| Ok::<(), Error>(()));
        match retried {
            Ok(retried) => assert_eq!(retried.handled_count, parked.len()),
            // The list may name what the log does not have: it bears no witness.
            Err(Error::BeyondEnd { .. }) => {}
            Err(error) => only_damage([&error]),
        }
    }
}

/// Nothing was made to fail, so every error is about what stands in the files, or is missing.
fn only_damage<'a>(errors: impl IntoIterator<Item = &'a Error>) {
    for error in errors {
        let is_damage = match error {
            Error::Corrupt { .. }
            | Error::CorruptFile { .. }
            | Error::NotAStore { .. }
            // No checksum of this release can vouch for what a later one writes.
            | Error::NewerFormat { .. } => true,
            Error::Io { source, .. } => source.kind() == ErrorKind::NotFound,
            _ => false,
        };
        assert!(is_damage, "{error:?}");
    }
}

/// Damages files in one way, which the input says.
fn damage_files(files: &mut Files, older: &Files, input: &mut Input<'_>, oracle: Oracle) {
    let filler = if oracle == Oracle::Exact { Filler::Random } else { Filler::Chosen };
    let kind = input.byte() % 16;
    let Some(name) = some_name(files, input) else { return };
    match kind {
        0..8 => {
            if let Some(bytes) = files.get_mut(&name) {
                damage(bytes, input, filler);
            }
        }
        8 => {
            files.remove(&name);
        }
        9 => {
            let Some(other) = some_name(files, input) else { return };
            let (one, two) = (files.remove(&name), files.remove(&other));
            files.extend(two.map(|bytes| (name, bytes)));
            files.extend(one.map(|bytes| (other, bytes)));
        }
        10 => {
            let copy = files.get(&name).cloned().unwrap_or_default();
            files.insert(new_name(input), copy);
        }
        11 => {
            files.extend(older.get(&name).map(|bytes| (name, bytes.clone())));
        }
        _ if oracle == Oracle::Exact => {}
        12 | 13 => mend_links_of(files),
        _ => mend_checksums_of(files),
    }
}

fn some_name(files: &Files, input: &mut Input<'_>) -> Option<String> {
    let at = usize::from(input.byte()).checked_rem(files.len())?;
    files.keys().nth(at).cloned()
}

/// The name of a file that may be there or not.
fn new_name(input: &mut Input<'_>) -> String {
    let byte = input.byte();
    match byte % 8 {
        0 => META.to_owned(),
        1 => CLEAN_NOTE.to_owned(),
        2 if byte >= 128 => format!("{CONSUMERS}/one{PARKED_SUFFIX}"),
        2 => format!("{CONSUMERS}/one"),
        3 => format!("{CONSUMERS}/two"),
        4 => format!("{QUARANTINE}/one.tail"),
        5 => format!("{FOLDER}/.new-one"),
        6 => DURABLE_NOTE.to_owned(),
        _ => name_of(Position::new(input.byte().into())),
    }
}

fn mend_checksums_of(files: &mut Files) {
    for (name, bytes) in files {
        if name.starts_with(FOLDER) {
            mend_checksums(bytes, KEY.seed);
        } else if name.starts_with(CONSUMERS) && !name.ends_with(PARKED_SUFFIX) {
            mend_slots(bytes, SLOT_LEN_MIN);
        } else if name == DURABLE_NOTE {
            mend_slots(bytes, DURABLE_SLOT_LEN);
        } else {
            mend_block(bytes);
        }
    }
}

/// Mends two slots, which are the first `len` bytes of each half.
fn mend_slots(bytes: &mut [u8], len: usize) {
    let half = bytes.len() / 2;
    let (one, two) = bytes.split_at_mut(half);
    for slot in [one, two] {
        mend_block(slot.get_mut(..len).unwrap_or_default());
    }
}

/// Makes the segments follow from each other, whatever is in them.
fn mend_links_of(files: &mut Files) {
    let mut before = SegmentHeader::first(KEY);
    let prefix = format!("{FOLDER}/");
    // Names have as many digits as the longest number, so they are in the order of the numbers.
    for (name, bytes) in files {
        if let Some(base) = name.strip_prefix(&prefix).and_then(parse_name) {
            before = mend_links(bytes, KEY, &SegmentHeader { base, ..before });
        }
    }
}
