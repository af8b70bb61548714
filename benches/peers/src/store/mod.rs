//! The stores that are compared, each behind the same few calls.
//!
//! Owns the list of them, and what is said about each in every table.

mod annals;
mod fjall;
mod lmdb;
mod okaywal;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
mod sqlite;

use std::path::Path;

use crate::Result;
use crate::event::Event;
use crate::sum::Sum;

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Appends of which each is durable when it returns.
    Durable,
    /// Appends that are durable after [`Store::sync`], all at once.
    Bulk,
    /// Reading what an earlier opening has appended.
    Read,
}

/// An open store.
pub trait Store: Sync {
    /// Appends a batch, as one atomic step, recorded at `time_ns` since 1970 or else now.
    fn append(&self, events: &[Event<'_>], time_ns: Option<u64>) -> Result<()>;

    /// Makes durable what was appended in [`Mode::Bulk`].
    fn sync(&self) -> Result<()>;

    /// Reads all events in the order of their positions.
    fn replay(&self) -> Result<Sum>;

    /// Reads all events of a stream in the order of their revisions.
    fn read_stream(&self, stream: &str) -> Result<Sum>;

    /// Reads `count` events from the first that was recorded at `time_ns` or later.
    fn read_since(&self, time_ns: u64, count: usize) -> Result<Sum>;

    /// Reads the last event of a stream.
    fn read_last(&self, stream: &str) -> Result<Sum>;
}

/// What is done with an open store.
pub type Use<'a> = &'a mut dyn FnMut(&dyn Store) -> Result<()>;

/// A store that can be opened.
pub struct Peer {
    pub name: &'static str,
    /// The crate that it is used through.
    package: &'static str,
    /// Whether it finds events by stream and time.
    pub has_lookups: bool,
    /// Whether it can append without a sync and catch up later.
    pub skips_syncs: bool,
    /// Whether it differs from another one in settings of reads alone, so that nothing else is
    /// measured of it.
    pub only_reads: bool,
    /// What a reader of its figures must know.
    pub note: &'static str,
    /// Opens the store in a directory, creates it if the directory is empty, hands it to the
    /// function, and closes it.
    pub open: fn(&Path, Mode, Use<'_>) -> Result<()>,
}

pub static PEERS: &[Peer] = &[
    Peer {
        name: "annals",
        package: "annals",
        has_lookups: true,
        skips_syncs: true,
        only_reads: false,
        note: "",
        open: annals::open,
    },
    Peer {
        name: "annals-1gib",
        package: "annals",
        has_lookups: true,
        skips_syncs: true,
        only_reads: true,
        note: "with a cache of 1 GiB",
        open: annals::open_cached,
    },
    #[cfg(feature = "rocksdb")]
    Peer {
        name: "rocksdb",
        package: "rocksdb",
        has_lookups: true,
        skips_syncs: true,
        only_reads: false,
        note: "",
        open: rocksdb::open,
    },
    Peer {
        name: "sqlite",
        package: "rusqlite",
        has_lookups: true,
        skips_syncs: true,
        only_reads: false,
        note: "",
        open: sqlite::open,
    },
    Peer {
        name: "lmdb",
        package: "heed",
        has_lookups: true,
        skips_syncs: true,
        only_reads: false,
        note: "",
        open: lmdb::open,
    },
    Peer {
        name: "redb",
        package: "redb",
        has_lookups: true,
        skips_syncs: true,
        only_reads: false,
        note: "",
        open: redb::open,
    },
    Peer {
        name: "fjall",
        package: "fjall",
        has_lookups: true,
        skips_syncs: true,
        only_reads: false,
        note: "",
        open: fjall::open,
    },
    Peer {
        name: "sled",
        package: "sled",
        has_lookups: true,
        skips_syncs: true,
        only_reads: false,
        note: "NOT durable: its flush does not flush the device",
        open: sled::open,
    },
    Peer {
        name: "okaywal",
        package: "okaywal",
        has_lookups: false,
        skips_syncs: false,
        only_reads: false,
        note: "a bare log: finds nothing by position, stream or time",
        open: okaywal::open,
    },
];

impl Peer {
    /// The version that this program was built with.
    pub fn version(&self) -> &'static str {
        let lock = include_str!("../../Cargo.lock");
        let name = format!("name = \"{}\"", self.package);
        let after = lock.lines().skip_while(|line| *line != name).nth(1);
        let version = after.and_then(|line| line.strip_prefix("version = "));
        version.map_or("unknown", |quoted| quoted.trim_matches('"'))
    }
}

/// The peer with this name.
pub fn named(name: &str) -> Result<&'static Peer> {
    if name == "rocksdb" && !cfg!(feature = "rocksdb") {
        return Err("this program was built without RocksDB: see its feature `rocksdb`".into());
    }
    let found = PEERS.iter().find(|peer| peer.name == name);
    found.ok_or_else(|| format!("there is no store {name}; --help names them").into())
}
