//! LMDB: three databases, synced with every commit, by default two syncs each.
//!
//! Positions and times are appended, which LMDB has a flag for.

use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn};

use crate::Result;
use crate::event::Event;
use crate::places::{Places, encode, payload_in, position_in, position_key, stream_key, time_key};
use crate::store::{Mode, Store, Use};
use crate::sum::Sum;

/// The size of the address space that the file may fill.
const MAP_LEN: usize = 64 << 30;

type Table<'e> = Database<'e, Bytes, Bytes>;

pub fn open(dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_LEN).max_dbs(3);
    if mode == Mode::Bulk {
        // SAFETY: nothing but a crash of the system makes unsynced pages dangerous, and this
        // directory is made anew for each run.
        unsafe { options.flags(EnvFlags::NO_SYNC) };
    }
    // SAFETY: nothing else changes the file, which is in a directory of this program's own.
    let env = unsafe { options.open(dir)? };
    let transaction = env.write_txn()?;
    let [records, streams, times] = env
        .create_databases_and_commit(transaction, |maker, transaction| {
            let mut make = |name| maker.create_database::<Bytes, Bytes>(transaction, Some(name));
            let tables = [make("records")?, make("streams")?, make("times")?];
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tables))
        })?
        .unwrap_commit();
    work(&Lmdb { env: &env, records, streams, times, places: Places::new() })
}

struct Lmdb<'e> {
    env: &'e Env,
    records: Table<'e>,
    streams: Table<'e>,
    times: Table<'e>,
    places: Places,
}

impl Lmdb<'_> {
    fn add(&self, sum: &mut Sum, reading: &RoTxn<'_>, position: u64) -> Result<()> {
        let record = self.records.get(reading, &position_key(position))?;
        sum.add(payload_in(record.ok_or("a position without a record")?));
        Ok(())
    }
}

impl Store for Lmdb<'_> {
    fn append(&self, events: &[Event<'_>], time_ns: Option<u64>) -> Result<()> {
        let mut writing = self.env.write_txn()?;
        let mut record = Vec::new();
        for (event, place) in self.places.give(events, time_ns) {
            let position = position_key(place.position);
            encode(event, place, &mut record);
            self.records.put_with_flags(&mut writing, PutFlags::APPEND, &position, &record)?;
            let by_stream = stream_key(event.stream, place.revision);
            self.streams.put(&mut writing, &by_stream, &position)?;
            let by_time = time_key(place.time_ns, place.position);
            self.times.put_with_flags(&mut writing, PutFlags::APPEND, &by_time, &[])?;
        }
        Ok(writing.commit()?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }

    fn replay(&self) -> Result<Sum> {
        let reading = self.env.read_txn()?;
        let mut sum = Sum::default();
        for item in self.records.iter(&reading)? {
            sum.add(payload_in(item?.1));
        }
        Ok(sum)
    }

    fn read_stream(&self, stream: &str) -> Result<Sum> {
        let reading = self.env.read_txn()?;
        let mut sum = Sum::default();
        for item in self.streams.prefix_iter(&reading, stream.as_bytes())? {
            self.add(&mut sum, &reading, position_in(item?.1))?;
        }
        Ok(sum)
    }

    fn read_since(&self, time_ns: u64, count: usize) -> Result<Sum> {
        let reading = self.env.read_txn()?;
        let mut sum = Sum::default();
        let found = self.times.get_greater_than_or_equal_to(&reading, &time_key(time_ns, 0))?;
        let Some((time, _)) = found else { return Ok(sum) };
        let first = position_key(position_in(time));
        let since = (Bound::Included(first.as_slice()), Bound::Unbounded);
        for item in self.records.range(&reading, &since)?.take(count) {
            sum.add(payload_in(item?.1));
        }
        Ok(sum)
    }

    fn read_last(&self, stream: &str) -> Result<Sum> {
        let reading = self.env.read_txn()?;
        let mut sum = Sum::default();
        let end = stream_key(stream, u64::MAX);
        match self.streams.get_lower_than_or_equal_to(&reading, &end)? {
            Some((key, position)) if key.starts_with(stream.as_bytes()) => {
                self.add(&mut sum, &reading, position_in(position))?;
            }
            _ => {}
        }
        Ok(sum)
    }
}
