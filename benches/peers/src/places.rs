//! The places of events in stores that do not give them out themselves, and how key-value stores
//! keep an event.
//!
//! Owns positions, revisions and times, and the bytes of keys and records.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::{Event, STREAM_COUNT, STREAM_LEN};

/// Where an event is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub position: u64,
    pub revision: u64,
    pub time_ns: u64,
}

/// Gives out places, from any number of threads.
///
/// This is less than an event store must do, and so in favour of the peers: no lookup tells where
/// a stream ends, and positions are given out before the commit, so that readers of a store with
/// concurrent commits may see a later event before an earlier one.
pub struct Places {
    next: AtomicU64,
    last_time_ns: AtomicU64,
    revisions: Vec<AtomicU64>,
}

impl Places {
    pub fn new() -> Self {
        let revisions = (0..STREAM_COUNT).map(|_| AtomicU64::new(0)).collect();
        Self { next: AtomicU64::new(0), last_time_ns: AtomicU64::new(0), revisions }
    }

    /// Gives places to a batch, which is recorded at `time_ns`, or now.
    pub fn give<'a, 'e>(
        &'a self,
        events: &'a [Event<'e>],
        time_ns: Option<u64>,
    ) -> impl Iterator<Item = (&'a Event<'e>, Place)> {
        let count = u64::try_from(events.len()).expect("a length fits into 64 bits");
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let time_ns = self.forwards(time_ns.unwrap_or_else(now_ns));
        (first..).zip(events).map(move |(position, event)| {
            let revision = self.revisions[event.stream_number].fetch_add(1, Ordering::Relaxed);
            (event, Place { position, revision, time_ns })
        })
    }

    /// A time that is not before any that was given out.
    fn forwards(&self, time_ns: u64) -> u64 {
        self.last_time_ns.fetch_max(time_ns, Ordering::Relaxed).max(time_ns)
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    u64::try_from(since.as_nanos()).expect("it is before 2554")
}

/// The key of a record.
pub fn position_key(position: u64) -> [u8; 8] {
    position.to_be_bytes()
}

/// The key that finds a position by stream and revision.
pub fn stream_key(stream: &str, revision: u64) -> [u8; STREAM_LEN + 8] {
    let mut key = [0; STREAM_LEN + 8];
    key[..STREAM_LEN].copy_from_slice(stream.as_bytes());
    key[STREAM_LEN..].copy_from_slice(&revision.to_be_bytes());
    key
}

/// The key that finds a position by time. Its value is nothing.
pub fn time_key(time_ns: u64, position: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&time_ns.to_be_bytes());
    key[8..].copy_from_slice(&position.to_be_bytes());
    key
}

/// The position that a time's key or a stream's value ends with.
pub fn position_in(bytes: &[u8]) -> u64 {
    bytes.last_chunk().map_or(u64::MAX, |position| u64::from_be_bytes(*position))
}

/// Bytes of a record before the names: time, id, revision, and the lengths of two names.
const NAMES_AT: usize = 8 + 16 + 8 + 2;

/// Writes into `record` all of an event but its position, which is the key.
pub fn encode(event: &Event<'_>, place: Place, record: &mut Vec<u8>) {
    let len_of = |name: &str| u8::try_from(name.len()).expect("names are short");
    record.clear();
    record.extend_from_slice(&place.time_ns.to_be_bytes());
    record.extend_from_slice(&event.id);
    record.extend_from_slice(&place.revision.to_be_bytes());
    record.extend_from_slice(&[len_of(event.stream), len_of(event.event_type)]);
    record.extend_from_slice(event.stream.as_bytes());
    record.extend_from_slice(event.event_type.as_bytes());
    record.extend_from_slice(event.payload);
}

/// The payload in a record that [`encode`] wrote.
pub fn payload_in(record: &[u8]) -> &[u8] {
    let names_len = usize::from(record[NAMES_AT - 2]) + usize::from(record[NAMES_AT - 1]);
    &record[NAMES_AT + names_len..]
}
