//! A projection: balances of accounts in `SQLite`, made from the log and kept up to date, with each
//! event counted exactly once.
//!
//! ```text
//! cargo run --release --example projection
//! ```
//!
//! The balances, and the place in the log that they have come to, are written in one transaction. So
//! they agree whatever interrupts the program, and the next run goes on from that place. A consumer of
//! the store is not needed: it would keep the place where the transaction cannot reach it.
#![expect(clippy::print_stdout, reason = "the example prints how far the projection has come")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::{env, fs, process};

use annals::{Batch, Event, Expected, NewEvent, Position, Store};
use rusqlite::{Connection, params};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The most events in one transaction. With more, there are fewer syncs, and more is done again
/// after an interruption.
const TRANSACTION_COUNT_MAX: usize = 200;

fn main() -> Result<()> {
    let path = env::temp_dir().join(format!("annals-projection-{}", process::id()));
    fs::create_dir(&path)?;
    let store = Store::open(path.join("bank.annals"))?;
    append_deposits(&store, 1_000)?;

    // The first run ends at an event in the middle of a transaction, which is rolled back.
    let crashed = run(&store, &path, Some(Position::new(700)));
    let crash = crashed.err().ok_or("the first run has not ended early")?;
    let database = open_database(&path)?;
    println!("first run:  {crash}; kept what comes before {}", position(&database)?);
    assert_eq!(position(&database)?, Position::new(600), "three transactions");
    assert_ne!(balances(&database)?, balances_of_log(&store)?);

    // The second run does again what was rolled back, and goes on with the rest, and what is new.
    append_deposits(&store, 50)?;
    run(&store, &path, None)?;
    println!("second run: caught up at {}", position(&database)?);
    assert_eq!(position(&database)?, store.end());
    assert_eq!(balances(&database)?, balances_of_log(&store)?);
    println!("as the log has it: {:?}", balances(&database)?);

    store.close()?;
    Ok(fs::remove_dir_all(path)?)
}

/// Brings the projection up to date. With `crash_at` it fails before that event is applied, as if the
/// process ended there.
fn run(store: &Store, path: &Path, crash_at: Option<Position>) -> Result<()> {
    let mut database = open_database(path)?;
    let mut follow = store.read_all().from(position(&database)?).follow();
    let mut events = Vec::new();
    while let Some(followed) = follow.next().transpose()? {
        let is_caught_up = followed.is_caught_up();
        events.extend(followed.event());
        if is_caught_up || events.len() == TRANSACTION_COUNT_MAX {
            let position = follow.get_ref().next_position();
            apply(&mut database, &events, position, crash_at)?;
            events.clear();
        }
        if is_caught_up {
            // A service would go on, and wait for what is appended.
            break;
        }
    }
    Ok(())
}

/// Applies the events before `position` in one transaction; one that is dropped is rolled back.
///
/// The events are durable, as readers see no others, unless they were appended with
/// `Durability::Buffered`. Then `Store::sync` belongs before the commit: the database must not
/// know of events that a crash may take out of the log.
fn apply(
    database: &mut Connection,
    events: &[Event],
    position: Position,
    crash_at: Option<Position>,
) -> Result<()> {
    let transaction = database.transaction()?;
    let mut deposit = transaction.prepare(
        "INSERT INTO balances VALUES (?1, ?2)
         ON CONFLICT (account) DO UPDATE SET cents = cents + excluded.cents",
    )?;
    for event in events {
        if crash_at == Some(event.position()) {
            return Err(format!("interrupted at {}", event.position()).into());
        }
        // Not idempotent: an event that is applied twice would show.
        deposit.execute(params![event.stream(), event.decode::<i64>()?])?;
    }
    drop(deposit);
    transaction.execute(
        "INSERT OR REPLACE INTO progress VALUES ('balances', ?1)",
        [i64::try_from(position.get())?],
    )?;
    Ok(transaction.commit()?)
}

fn open_database(path: &Path) -> Result<Connection> {
    let database = Connection::open(path.join("balances.sqlite"))?;
    database.execute_batch(
        "CREATE TABLE IF NOT EXISTS balances (account TEXT PRIMARY KEY, cents INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS progress (name TEXT PRIMARY KEY, position INTEGER NOT NULL);",
    )?;
    Ok(database)
}

/// Where the projection goes on: the start, if it has never run.
fn position(database: &Connection) -> Result<Position> {
    let sql = "SELECT coalesce(max(position), 0) FROM progress WHERE name = 'balances'";
    let position: i64 = database.query_row(sql, [], |row| row.get(0))?;
    Ok(Position::new(position.try_into()?))
}

fn balances(database: &Connection) -> Result<BTreeMap<String, i64>> {
    let mut rows = database.prepare("SELECT account, cents FROM balances")?;
    let balances = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(balances.collect::<rusqlite::Result<_>>()?)
}

/// The balances as the log tells them, to compare with.
fn balances_of_log(store: &Store) -> Result<BTreeMap<String, i64>> {
    let mut balances = BTreeMap::new();
    for event in store.read_all() {
        let event = event?;
        *balances.entry(event.stream().to_owned()).or_default() += event.decode::<i64>()?;
    }
    Ok(balances)
}

fn append_deposits(store: &Store, count: i64) -> Result<()> {
    let mut batch = Batch::new();
    for cents in 1..=count {
        let account = format!("account-{}", cents % 3);
        batch = batch.append(account, Expected::Any, [NewEvent::json("deposited", &cents)?]);
    }
    store.append_batch(batch)?;
    Ok(())
}
