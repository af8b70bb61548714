//! All consumers of an open store.
//!
//! Owns which there are, and that what batches in the log say of them is taken over before anyone
//! asks. Read when the first one is asked for: a store whose consumers nobody uses opens without.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Clock;
use crate::consumer::builder::Start;
use crate::consumer::entry::{Entry, With, check_within};
use crate::consumer::found::find_consumers;
use crate::consumer::info::ConsumerInfo;
use crate::consumer::keeper::{Keeper, ToKeep};
use crate::consumer::lag::{Lag, lag};
use crate::consumer::parked::ParkedList;
use crate::consumer::place::Place;
use crate::cursor::Source;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::format::consumer_file;
use crate::log::{CONSUMERS, Log};
use crate::sync::Mutex;
use crate::types::{NameKind, Position, Timestamp, check_name};

/// The consumers of a store.
#[derive(Debug)]
pub(crate) struct Consumers {
    pub(super) source: Arc<Source>,
    pub(super) log: Arc<Log>,
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_name: Option<BTreeMap<Box<str>, Found>>,
    is_closed: bool,
}

/// A consumer, as it was found.
#[derive(Clone, Debug)]
enum Found {
    Sound(Arc<Entry>),
    /// Its file says something that it should not.
    Damaged(&'static str),
}

impl Consumers {
    /// The consumers of the store that `source` reads and `log` appends to.
    pub(crate) fn new(source: Arc<Source>, log: Arc<Log>, clock: Arc<dyn Clock>) -> Self {
        let directory = Arc::clone(source.segments().directory());
        Self { source, log, directory, clock, entries: Mutex::default() }
    }

    /// The consumer `name`, which is created where `start` says if there is none.
    pub(super) fn open(&self, name: &str, start: Start) -> Result<Arc<Entry>> {
        check_name(NameKind::Consumer, name)?;
        self.with_entries(|entries| {
            match entries.get(name) {
                Some(Found::Sound(entry)) => return Ok(Arc::clone(entry)),
                Some(Found::Damaged(expected)) => return Err(self.damaged(name, expected)),
                None => {}
            }
            let entry = Arc::new(self.create(name, start)?);
            entries.insert(name.into(), Found::Sound(Arc::clone(&entry)));
            Ok(entry)
        })
    }

    /// Deletes the consumer `name`, and says whether there was one.
    pub(crate) fn delete(&self, name: &str) -> Result<bool> {
        check_name(NameKind::Consumer, name)?;
        self.with_entries(|entries| {
            match entries.get(name) {
                None => return Ok(false),
                Some(Found::Sound(entry)) => {
                    let deleted = entry.delete();
                    if entry.is_deleted() {
                        entries.remove(name);
                    }
                    return deleted.map(|()| true);
                }
                Some(Found::Damaged(_)) => {
                    let store = self.source.segments().store();
                    Keeper::new(Arc::clone(&self.directory), name, store).remove()?;
                    ParkedList::empty(Arc::clone(&self.directory), name, store).remove()?;
                }
            }
            entries.remove(name);
            Ok(true)
        })
    }

    /// All consumers, in the byte order of their names.
    pub(crate) fn list(&self) -> Result<Vec<ConsumerInfo>> {
        let found = self.with_entries(|entries| Ok(entries.clone()))?;
        let infos = found.into_iter().map(|(name, found)| match found {
            Found::Sound(entry) => self.info(&entry),
            Found::Damaged(expected) => Err(self.damaged(&name, expected)),
        });
        infos.collect()
    }

    fn info(&self, entry: &Entry) -> Result<ConsumerInfo> {
        let state = entry.look();
        let (place, last) = (state.place.clone(), state.keeper.last());
        let info = ConsumerInfo {
            name: entry.name().to_owned(),
            committed: place.watermark(),
            pending_count: place.pending.len(),
            parked_count: state.parked.len(),
            committed_at: last.committed_at,
            commit_count: state.commit_count(),
            lag: Lag::default(),
        };
        drop(state);
        Ok(ConsumerInfo { lag: self.lag(&place)?, ..info })
    }

    pub(super) fn lag(&self, place: &Place) -> Result<Lag> {
        lag(&self.source, place, self.clock.now())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What is needed to move a consumer.
    pub(super) fn with(&self) -> Result<With<'_>> {
        let visible = self.source.visible()?.position;
        Ok(With { log: &self.log, now: self.clock.now(), visible })
    }

    /// Ends moving, and keeps what is only in the log.
    pub(crate) fn close(&self) {
        let mut entries = self.entries.lock();
        entries.is_closed = true;
        let visible = self.source.segments().visible().position;
        let with = With { log: &self.log, now: self.clock.now(), visible };
        for found in entries.by_name.iter().flatten().map(|(_, found)| found) {
            if let Found::Sound(entry) = found {
                entry.close(&with);
            }
        }
    }

    fn damaged(&self, name: &str, expected: &'static str) -> Error {
        let path = self.directory.path_of(&format!("{CONSUMERS}/{}", consumer_file(name)));
        Error::CorruptFile { path, expected }
    }

    fn with_entries<T>(
        &self,
        work: impl FnOnce(&mut BTreeMap<Box<str>, Found>) -> Result<T>,
    ) -> Result<T> {
        self.source.check_open()?;
        let mut entries = self.entries.lock();
        if entries.is_closed {
            return Err(Error::Closed);
        }
        match &mut entries.by_name {
            Some(by_name) => work(by_name),
            empty => work(empty.insert(self.load()?)),
        }
    }

    fn create(&self, name: &str, start: Start) -> Result<Entry> {
        let with = self.with()?;
        let position = match start {
            Start::Beginning => Position::START,
            Start::End => with.visible,
            Start::Position(position) => position,
            // The end may have moved meanwhile.
            Start::Time(time) => self.source.position_at(time)?.min(with.visible),
        };
        check_within(position, &with)?;
        let folder = self.directory.create_folder(CONSUMERS);
        folder.map_err(Error::io("create", &self.directory.path_of(CONSUMERS)))?;
        let store = self.source.segments().store();
        let mut parked = ParkedList::empty(Arc::clone(&self.directory), name, store);
        // What is left of one that was deleted.
        parked.remove()?;
        with.log.sync_to(position)?;
        let mut keeper = Keeper::new(Arc::clone(&self.directory), name, store);
        let place = Place::at(position);
        keeper.keep(ToKeep { place, log_from: None, owner: 0, at: with.now })?;
        Ok(Entry::new(name, keeper, parked))
    }

    fn load(&self) -> Result<BTreeMap<Box<str>, Found>> {
        let found = find_consumers(&self.source)?;
        let known = found.into_iter().map(|(name, found)| {
            let found = match found {
                Ok(found) => Found::Sound(Arc::new(Entry::found(&self.directory, &name, found))),
                Err(expected) => Found::Damaged(expected),
            };
            (name, found)
        });
        let entries: BTreeMap<_, _> = known.collect();
        // So that the next one need not look through as much of the log.
        let with = self.with()?;
        for found in entries.values() {
            if let Found::Sound(entry) = found
                && entry.is_log_long(with.visible)
            {
                let _ = entry.settle(None, &with);
            }
        }
        Ok(entries)
    }
}
