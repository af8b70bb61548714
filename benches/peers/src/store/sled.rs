//! sled: one tree, whose keys begin with what they are for, since its batches are atomic in one
//! tree only. Flushed after every commit.
//!
//! Its flush hands the bytes to the disk, but never tells the disk to keep them: what a disk has
//! in a volatile cache is lost with the power. So its figures are those of a lesser promise.

use std::path::Path;

use sled::{Batch, Config, Db, IVec, Mode as Goal};

use crate::Result;
use crate::event::Event;
use crate::places::{Places, encode, payload_in, position_in, position_key, stream_key, time_key};
use crate::store::{Mode, Store, Use};
use crate::sum::Sum;

const RECORDS: u8 = b'r';
const STREAMS: u8 = b's';
const TIMES: u8 = b't';
const CACHE_LEN: u64 = 1 << 30;

pub fn open(dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    let config = Config::new().path(dir).cache_capacity(CACHE_LEN).mode(Goal::HighThroughput);
    let db = config.open()?;
    work(&Sled { db, flushes: mode == Mode::Durable, places: Places::new() })
}

struct Sled {
    db: Db,
    flushes: bool,
    places: Places,
}

/// A key that begins with what it is for.
fn key(table: u8, rest: &[u8]) -> Vec<u8> {
    [&[table], rest].concat()
}

impl Sled {
    fn add(&self, sum: &mut Sum, position: &[u8]) -> Result<()> {
        let record = self.db.get(key(RECORDS, position))?.ok_or("a position without a record")?;
        sum.add(payload_in(&record));
        Ok(())
    }
}

/// Adds up records.
fn sum(items: impl Iterator<Item = sled::Result<(IVec, IVec)>>) -> Result<Sum> {
    let mut sum = Sum::default();
    for item in items {
        sum.add(payload_in(&item?.1));
    }
    Ok(sum)
}

impl Store for Sled {
    fn append(&self, events: &[Event<'_>], time_ns: Option<u64>) -> Result<()> {
        let mut batch = Batch::default();
        let mut record = Vec::new();
        for (event, place) in self.places.give(events, time_ns) {
            let position = position_key(place.position);
            encode(event, place, &mut record);
            batch.insert(key(RECORDS, &position), record.as_slice());
            batch.insert(key(STREAMS, &stream_key(event.stream, place.revision)), &position);
            batch.insert(key(TIMES, &time_key(place.time_ns, place.position)), &[]);
        }
        self.db.apply_batch(batch)?;
        if self.flushes {
            self.db.flush()?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.db.flush()?;
        Ok(())
    }

    fn replay(&self) -> Result<Sum> {
        sum(self.db.scan_prefix([RECORDS]))
    }

    fn read_stream(&self, stream: &str) -> Result<Sum> {
        let mut sum = Sum::default();
        for item in self.db.scan_prefix(key(STREAMS, stream.as_bytes())) {
            self.add(&mut sum, &item?.1)?;
        }
        Ok(sum)
    }

    fn read_since(&self, time_ns: u64, count: usize) -> Result<Sum> {
        let since = key(TIMES, &time_key(time_ns, 0))..;
        let Some(first) = self.db.range(since).next() else { return Ok(Sum::default()) };
        let first = key(RECORDS, &position_key(position_in(&first?.0)));
        sum(self.db.range(first..key(STREAMS, &[])).take(count))
    }

    fn read_last(&self, stream: &str) -> Result<Sum> {
        let mut sum = Sum::default();
        if let Some(last) = self.db.scan_prefix(key(STREAMS, stream.as_bytes())).next_back() {
            self.add(&mut sum, &last?.1)?;
        }
        Ok(sum)
    }
}
