//! redb: three tables, synced with every commit.

use std::path::Path;

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use crate::Result;
use crate::event::Event;
use crate::places::{Places, encode, payload_in};
use crate::store::{Mode, Store, Use};
use crate::sum::Sum;

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const STREAMS: TableDefinition<'_, (&str, u64), u64> = TableDefinition::new("streams");
const TIMES: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("times");
const CACHE_LEN: usize = 1 << 30;

pub fn open(dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    let db = Database::builder().set_cache_size(CACHE_LEN).create(dir.join("events.redb"))?;
    let durability = if mode == Mode::Bulk { Durability::None } else { Durability::Immediate };
    work(&Redb { db, durability, places: Places::new() })
}

struct Redb {
    db: Database,
    durability: Durability,
    places: Places,
}

type Records = ReadOnlyTable<u64, &'static [u8]>;

fn add(sum: &mut Sum, records: &Records, position: u64) -> Result<()> {
    let record = records.get(position)?.ok_or("a position without a record")?;
    sum.add(payload_in(record.value()));
    Ok(())
}

impl Store for Redb {
    fn append(&self, events: &[Event<'_>], time_ns: Option<u64>) -> Result<()> {
        let mut writing = self.db.begin_write()?;
        writing.set_durability(self.durability)?;
        {
            let mut records = writing.open_table(RECORDS)?;
            let mut streams = writing.open_table(STREAMS)?;
            let mut times = writing.open_table(TIMES)?;
            let mut record = Vec::new();
            for (event, place) in self.places.give(events, time_ns) {
                encode(event, place, &mut record);
                records.insert(place.position, record.as_slice())?;
                streams.insert((event.stream, place.revision), place.position)?;
                times.insert((place.time_ns, place.position), ())?;
            }
        }
        Ok(writing.commit()?)
    }

    fn sync(&self) -> Result<()> {
        // A commit that waits for the disk takes with it all those that did not.
        let mut writing = self.db.begin_write()?;
        writing.set_durability(Durability::Immediate)?;
        Ok(writing.commit()?)
    }

    fn replay(&self) -> Result<Sum> {
        let records = self.db.begin_read()?.open_table(RECORDS)?;
        let mut sum = Sum::default();
        for item in records.iter()? {
            sum.add(payload_in(item?.1.value()));
        }
        Ok(sum)
    }

    fn read_stream(&self, stream: &str) -> Result<Sum> {
        let reading = self.db.begin_read()?;
        let records = reading.open_table(RECORDS)?;
        let streams = reading.open_table(STREAMS)?;
        let mut sum = Sum::default();
        for item in streams.range((stream, 0)..=(stream, u64::MAX))? {
            add(&mut sum, &records, item?.1.value())?;
        }
        Ok(sum)
    }

    fn read_since(&self, time_ns: u64, count: usize) -> Result<Sum> {
        let reading = self.db.begin_read()?;
        let times = reading.open_table(TIMES)?;
        let mut sum = Sum::default();
        let Some(first) = times.range((time_ns, 0)..)?.next() else { return Ok(sum) };
        let (_, first) = first?.0.value();
        for item in reading.open_table(RECORDS)?.range(first..)?.take(count) {
            sum.add(payload_in(item?.1.value()));
        }
        Ok(sum)
    }

    fn read_last(&self, stream: &str) -> Result<Sum> {
        let reading = self.db.begin_read()?;
        let streams = reading.open_table(STREAMS)?;
        let mut sum = Sum::default();
        if let Some(last) = streams.range((stream, 0)..=(stream, u64::MAX))?.next_back() {
            add(&mut sum, &reading.open_table(RECORDS)?, last?.1.value())?;
        }
        Ok(sum)
    }
}
