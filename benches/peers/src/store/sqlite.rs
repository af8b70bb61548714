//! SQLite: one table and two indexes, a write-ahead log that is synced with every commit.
//!
//! One connection, which threads take in turn: with one each they would wait for each other too,
//! but by asking again and again.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, TransactionBehavior, params};

use crate::Result;
use crate::event::Event;
use crate::places::Places;
use crate::store::{Mode, Store, Use};
use crate::sum::Sum;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        revision INTEGER NOT NULL,
        time INTEGER NOT NULL,
        id BLOB NOT NULL,
        type TEXT NOT NULL,
        payload BLOB NOT NULL
    );
    CREATE UNIQUE INDEX IF NOT EXISTS streams ON events (stream, revision);
    CREATE INDEX IF NOT EXISTS times ON events (time);";
const INSERT: &str = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)";
const ALL: &str = "SELECT payload FROM events ORDER BY position";
const STREAM: &str = "SELECT payload FROM events WHERE stream = ? ORDER BY revision";
const LAST: &str = "SELECT payload FROM events WHERE stream = ? ORDER BY revision DESC LIMIT 1";
const SINCE: &str = "
    SELECT payload FROM events WHERE position >= (
        SELECT position FROM events WHERE time >= ? ORDER BY time, position LIMIT 1
    ) ORDER BY position LIMIT ?";
const CACHE_KIB: i64 = 512 << 10;
/// SQLite lowers it to what it was built with, which is 2 GiB.
const MMAP_LEN: i64 = 32 << 30;

pub fn open(dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    let db = Connection::open(dir.join("events.sqlite"))?;
    let journal: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if journal != "wal" {
        return Err(format!("the journal is {journal} and not a write-ahead log").into());
    }
    // NORMAL leaves out the sync of each commit, but not those of checkpoints.
    let synchronous = if mode == Mode::Bulk { "NORMAL" } else { "FULL" };
    db.pragma_update(None, "synchronous", synchronous)?;
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    db.query_row(&format!("PRAGMA mmap_size = {MMAP_LEN}"), [], |_| Ok(()))?;
    db.execute_batch(TABLE)?;
    work(&Sqlite { db: Mutex::new(db), places: Places::new() })
}

struct Sqlite {
    db: Mutex<Connection>,
    places: Places,
}

impl Sqlite {
    fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().expect("no thread has panicked")
    }

    /// Adds up the payloads that a query finds.
    fn sum(&self, query: &str, values: impl rusqlite::Params) -> Result<Sum> {
        let db = self.db();
        let mut query = db.prepare_cached(query)?;
        let mut rows = query.query(values)?;
        let mut sum = Sum::default();
        while let Some(row) = rows.next()? {
            sum.add(row.get_ref(0)?.as_blob()?);
        }
        Ok(sum)
    }
}

impl Store for Sqlite {
    fn append(&self, events: &[Event<'_>], time_ns: Option<u64>) -> Result<()> {
        let mut db = self.db();
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut insert = transaction.prepare_cached(INSERT)?;
        for (event, place) in self.places.give(events, time_ns) {
            insert.execute(params![
                place.position.cast_signed(),
                event.stream,
                place.revision.cast_signed(),
                place.time_ns.cast_signed(),
                event.id,
                event.event_type,
                event.payload,
            ])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }

    fn sync(&self) -> Result<()> {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let is_busy: bool = self.db().query_row(checkpoint, [], |row| row.get(0))?;
        if is_busy { Err("the checkpoint was not finished".into()) } else { Ok(()) }
    }

    fn replay(&self) -> Result<Sum> {
        self.sum(ALL, [])
    }

    fn read_stream(&self, stream: &str) -> Result<Sum> {
        self.sum(STREAM, [stream])
    }

    fn read_since(&self, time_ns: u64, count: usize) -> Result<Sum> {
        self.sum(SINCE, params![time_ns.cast_signed(), count.cast_signed()])
    }

    fn read_last(&self, stream: &str) -> Result<Sum> {
        self.sum(LAST, [stream])
    }
}
