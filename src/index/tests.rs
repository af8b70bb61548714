//! What the index promises, over both twins of the tree.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::types::{Entry, NameHasher, Revision};

mod answers;
mod caching;
mod concurrent;
mod damage;
mod moving;

fn options() -> IndexOptions {
    IndexOptions { checkpoint_event_count: 10, mark_interval_len: 500, cache_len_max: 500 }
}

fn store() -> StoreId {
    StoreId::from_bytes([7; 16])
}

/// A tree that can be opened again.
enum Twin {
    Memory(MemoryTree),
    Sled(tempfile::TempDir),
}

impl Twin {
    fn both() -> Vec<Self> {
        let mut twins = vec![Self::Memory(MemoryTree::default())];
        if !cfg!(miri) {
            twins.push(Self::Sled(tempfile::tempdir().unwrap()));
        }
        twins
    }

    fn tree(&self) -> Box<dyn Tree> {
        match self {
            Self::Memory(tree) => Box::new(tree.clone()),
            Self::Sled(dir) => open_sled(&dir.path().join("index"), 1 << 20).unwrap(),
        }
    }

    fn open(&self) -> (Index, Option<LogEnd>) {
        Index::open(self.tree(), store(), options()).unwrap()
    }

    /// Opens the index and adds what it lacks.
    fn catch_up(&self, log: &Log) -> Index {
        let (index, end) = self.open();
        if !log.entries.is_empty() {
            add(&index, log.entries_from(end), log.end());
        }
        index
    }
}

/// What there is to index of one event, and its stream.
#[derive(Clone, Debug)]
struct Named {
    stream: String,
    entry: Entry,
}

impl Deref for Named {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

/// Adds entries, after which the log ends at `end`.
fn add(index: &Index, named: &[Named], end: LogEnd) {
    let mut entries = Entries::default();
    for Named { stream, entry } in named {
        entries.push(stream, *entry);
    }
    index.add(&entries, end);
}

/// A log that only keeps what there is to index.
#[derive(Default)]
struct Log {
    entries: Vec<Named>,
    streams: BTreeMap<String, Vec<Address>>,
    next: u64,
    segment: u64,
    batches: i64,
}

/// Events in a segment.
const SEGMENT_COUNT: u64 = 40;

impl Log {
    /// Appends a batch with an event of each of `names`, and gives its entries.
    fn append<S: AsRef<str>>(&mut self, names: &[S]) -> &[Named] {
        let start = self.entries.len();
        self.batches += 1;
        for name in names {
            self.append_one(name.as_ref());
        }
        &self.entries[start..]
    }

    fn append_one(&mut self, name: &str) {
        let position = u64::try_from(self.entries.len()).unwrap();
        if position % SEGMENT_COUNT == 0 {
            (self.segment, self.next) = (position, 64);
        }
        let address = Address { segment: Position::new(self.segment), offset: self.next };
        self.next += 72 + position % 5 * 8;
        let known = self.streams.entry(name.to_owned()).or_default();
        let entry = Entry {
            hash: NameHasher::of(store()).hash(name),
            revision: Revision::new(u64::try_from(known.len()).unwrap()),
            position: Position::new(position),
            recorded_at: Timestamp::from_nanos(self.batches * 10),
            address,
        };
        self.entries.push(Named { stream: name.to_owned(), entry });
        known.push(address);
    }

    fn end_at(&self, count: usize) -> LogEnd {
        let last = &self.entries[count - 1];
        LogEnd {
            position: last.position.next(),
            address: Address { segment: last.address.segment, offset: last.address.offset + 72 },
            checksum: u32::try_from(count).unwrap(),
            recorded_at: last.recorded_at,
        }
    }

    fn end(&self) -> LogEnd {
        self.end_at(self.entries.len())
    }

    fn entries_from(&self, end: Option<LogEnd>) -> &[Named] {
        let start = end.map_or(0, |end| end.position.get());
        &self.entries[usize::try_from(start).unwrap()..]
    }

    /// Appends a batch and indexes it.
    fn append_to<S: AsRef<str>>(&mut self, index: &Index, names: &[S]) {
        let start = self.entries.len();
        self.append(names);
        add(index, &self.entries[start..], self.end());
    }

    fn end_of(&self, name: &str) -> Revision {
        let count = self.streams.get(name).map_or(0, Vec::len);
        Revision::new(u64::try_from(count).unwrap())
    }

    /// Every question worth asking, each with a check of the answer, if there is one.
    fn questions(&self) -> Vec<Question<'_>> {
        let mut questions: Vec<Question<'_>> = Vec::new();
        for (name, addresses) in &self.streams {
            let count = u64::try_from(addresses.len()).unwrap();
            questions.push(Box::new(move |index| {
                assert_eq!(index.stream_end(name)?, Revision::new(count), "{name}");
                Ok(())
            }));
            for range in [0..u64::MAX, 0..count / 2, count / 2..count, count..count + 9, 255..257] {
                questions.push(Box::new(move |index| {
                    let revisions = Revision::new(range.start)..Revision::new(range.end);
                    let clip = |n: u64| usize::try_from(n.min(count)).unwrap();
                    let expected = &addresses[clip(range.start)..clip(range.end)];
                    assert_eq!(index.addresses(name, revisions)?, expected, "{name} {range:?}");
                    Ok(())
                }));
            }
        }
        questions.push(Box::new(|index| {
            let listed = index.streams("", None, usize::MAX)?;
            let names = self.streams.keys().map(|name| (name.clone(), self.end_of(name)));
            assert!(listed.into_iter().eq(names));
            Ok(())
        }));
        for entry in self.entries.iter().step_by(7) {
            questions.push(Box::new(|index| self.check_marks(index, entry)));
        }
        questions
    }

    /// Marks must stand where an event stands, and not after what is looked for.
    fn check_marks(&self, index: &Index, entry: &Entry) -> Result<(), IndexFault> {
        for seek in [Seek::Position(entry.position), Seek::Time(entry.recorded_at)] {
            let Some(mark) = index.mark_before(seek)? else { continue };
            let place = usize::try_from(mark.position.get()).unwrap();
            let marked = &self.entries[place];
            assert_eq!((mark.address, mark.recorded_at), (marked.address, marked.recorded_at));
            match seek {
                Seek::Position(position) => assert!(mark.position <= position),
                Seek::Time(time) => assert!(mark.recorded_at < time),
            }
        }
        Ok(())
    }

    fn check(&self, index: &Index) {
        self.questions().iter().for_each(|question| question(index).unwrap());
    }
}

type Question<'a> = Box<dyn Fn(&Index) -> Result<(), IndexFault> + 'a>;

fn checkpoint(index: &Index) -> LogEnd {
    let end = index.freeze().unwrap();
    index.write_frozen(|| Ok(true)).unwrap();
    end
}

/// Does all that there is to do in the tree.
fn tidy(index: &Index) {
    while index.tidy().unwrap() {}
}
