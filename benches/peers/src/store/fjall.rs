//! fjall: three keyspaces, a journal that is synced with every commit.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::Result;
use crate::event::Event;
use crate::places::{Places, encode, payload_in, position_in, position_key, stream_key, time_key};
use crate::store::{Mode, Store, Use};
use crate::sum::Sum;

const CACHE_LEN: u64 = 512 << 20;

pub fn open(dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    let db = Database::builder(dir).cache_size(CACHE_LEN).open()?;
    let [records, streams, times] = ["records", "streams", "times"]
        .map(|name| db.keyspace(name, KeyspaceCreateOptions::default));
    work(&Fjall {
        records: records?,
        streams: streams?,
        times: times?,
        db,
        durability: (mode == Mode::Durable).then_some(PersistMode::SyncData),
        places: Places::new(),
    })
}

struct Fjall {
    records: Keyspace,
    streams: Keyspace,
    times: Keyspace,
    db: Database,
    durability: Option<PersistMode>,
    places: Places,
}

impl Fjall {
    fn add(&self, sum: &mut Sum, position: &[u8]) -> Result<()> {
        let record = self.records.get(position)?.ok_or("a position without a record")?;
        sum.add(payload_in(&record));
        Ok(())
    }
}

impl Store for Fjall {
    fn append(&self, events: &[Event<'_>], time_ns: Option<u64>) -> Result<()> {
        let mut batch = self.db.batch().durability(self.durability);
        let mut record = Vec::new();
        for (event, place) in self.places.give(events, time_ns) {
            let position = position_key(place.position);
            encode(event, place, &mut record);
            batch.insert(&self.records, position, record.as_slice());
            batch.insert(&self.streams, stream_key(event.stream, place.revision), position);
            batch.insert(&self.times, time_key(place.time_ns, place.position), []);
        }
        Ok(batch.commit()?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncData)?)
    }

    fn replay(&self) -> Result<Sum> {
        let mut sum = Sum::default();
        for item in self.records.iter() {
            sum.add(payload_in(&item.value()?));
        }
        Ok(sum)
    }

    fn read_stream(&self, stream: &str) -> Result<Sum> {
        let mut sum = Sum::default();
        for item in self.streams.prefix(stream) {
            self.add(&mut sum, &item.value()?)?;
        }
        Ok(sum)
    }

    fn read_since(&self, time_ns: u64, count: usize) -> Result<Sum> {
        let mut sum = Sum::default();
        let Some(first) = self.times.range(time_key(time_ns, 0)..).next() else { return Ok(sum) };
        let first = position_key(position_in(&first.key()?));
        for item in self.records.range(first..).take(count) {
            sum.add(payload_in(&item.value()?));
        }
        Ok(sum)
    }

    fn read_last(&self, stream: &str) -> Result<Sum> {
        let mut sum = Sum::default();
        if let Some(last) = self.streams.prefix(stream).next_back() {
            self.add(&mut sum, &last.value()?)?;
        }
        Ok(sum)
    }
}
