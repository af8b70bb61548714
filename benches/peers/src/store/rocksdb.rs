//! RocksDB: three column families, a log that is synced with every commit.
//!
//! Commits of several threads share a sync, as RocksDB does by itself.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRawIterator, Options, WriteBatch, WriteOptions,
};

use crate::Result;
use crate::event::Event;
use crate::places::{Places, encode, payload_in, position_in, position_key, stream_key, time_key};
use crate::store::{Mode, Store, Use};
use crate::sum::Sum;

const RECORDS: &str = "records";
const STREAMS: &str = "streams";
const TIMES: &str = "times";
const CACHE_LEN: usize = 1 << 30;
const MEMTABLE_LEN: usize = 256 << 20;
const BLOCK_LEN: usize = 8 << 10;

pub fn open(dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let cache = Cache::new_lru_cache(CACHE_LEN);
    let families = [RECORDS, STREAMS, TIMES]
        .map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)));
    let db = DB::open_cf_descriptors(&options, dir, families)?;
    let mut writing = WriteOptions::default();
    writing.set_sync(mode == Mode::Durable);
    work(&Rocks { db, writing, places: Places::new() })
}

fn family_options(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_size(BLOCK_LEN);
    blocks.set_block_cache(cache);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(MEMTABLE_LEN);
    options.set_compression_type(DBCompressionType::None);
    options
}

struct Rocks {
    db: DB,
    writing: WriteOptions,
    places: Places,
}

impl Rocks {
    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("it was opened with the database")
    }

    /// Adds up the events at these positions, which are in order.
    fn sum_of(&self, positions: &[[u8; 8]]) -> Result<Sum> {
        let mut sum = Sum::default();
        for found in self.db.batched_multi_get_cf(self.family(RECORDS), positions, true) {
            sum.add(payload_in(&found?.ok_or("a position without a record")?));
        }
        Ok(sum)
    }
}

/// Adds up the records from where `iterator` is, but not more than `count` of them.
fn sum(iterator: &mut DBRawIterator<'_>, count: usize) -> Result<Sum> {
    let mut sum = Sum::default();
    for _ in 0..count {
        let Some(record) = iterator.value() else { break };
        sum.add(payload_in(record));
        iterator.next();
    }
    iterator.status()?;
    Ok(sum)
}

impl Store for Rocks {
    fn append(&self, events: &[Event<'_>], time_ns: Option<u64>) -> Result<()> {
        let (records, streams, times) =
            (self.family(RECORDS), self.family(STREAMS), self.family(TIMES));
        let mut batch = WriteBatch::default();
        let mut record = Vec::new();
        for (event, place) in self.places.give(events, time_ns) {
            let position = position_key(place.position);
            encode(event, place, &mut record);
            batch.put_cf(records, position, &record);
            batch.put_cf(streams, stream_key(event.stream, place.revision), position);
            batch.put_cf(times, time_key(place.time_ns, place.position), []);
        }
        Ok(self.db.write_opt(batch, &self.writing)?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.db.flush_wal(true)?)
    }

    fn replay(&self) -> Result<Sum> {
        let mut iterator = self.db.raw_iterator_cf(self.family(RECORDS));
        iterator.seek_to_first();
        sum(&mut iterator, usize::MAX)
    }

    fn read_stream(&self, stream: &str) -> Result<Sum> {
        let mut positions = Vec::new();
        let mut iterator = self.db.raw_iterator_cf(self.family(STREAMS));
        iterator.seek(stream_key(stream, 0));
        while let Some((key, value)) = iterator.item()
            && key.starts_with(stream.as_bytes())
        {
            positions.push(position_key(position_in(value)));
            iterator.next();
        }
        iterator.status()?;
        self.sum_of(&positions)
    }

    fn read_since(&self, time_ns: u64, count: usize) -> Result<Sum> {
        let mut times = self.db.raw_iterator_cf(self.family(TIMES));
        times.seek(time_key(time_ns, 0));
        let Some(first) = times.key().map(position_in) else { return Ok(Sum::default()) };
        let mut records = self.db.raw_iterator_cf(self.family(RECORDS));
        records.seek(position_key(first));
        sum(&mut records, count)
    }

    fn read_last(&self, stream: &str) -> Result<Sum> {
        let mut iterator = self.db.raw_iterator_cf(self.family(STREAMS));
        iterator.seek_for_prev(stream_key(stream, u64::MAX));
        match iterator.item() {
            Some((key, value)) if key.starts_with(stream.as_bytes()) => {
                self.sum_of(&[position_key(position_in(value))])
            }
            _ => Ok(Sum::default()),
        }
    }
}
