//! The workloads.
//!
//! Owns their names and sizes, and what is measured of one run of one of them.

mod read;
mod write;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::store::{Mode, Peer};

/// Events of `batch-1000`, `bulk`, and of the stores that are read, in a full run.
const EVENT_COUNT: f64 = 2_000_000.0;
/// Seconds of a row that runs for a fixed time, in a full run.
const SECONDS: f64 = 4.0;
/// Events of a batch of `batch-1000` and `bulk`.
const BATCH_COUNT: usize = 1000;
/// Events of a batch of a store that is read. Those of a batch have the same time, so small
/// batches let `time-100` land in more places.
const LOAD_BATCH_COUNT: usize = 100;
/// The time of the first batch, and how far apart they are.
const TIME_START_NS: u64 = 1_700_000_000_000_000_000;
const TIME_STEP_NS: u64 = 1_000_000;
/// The first seed of the events that are written.
const SEED: u64 = 1;

/// Something to do with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Durable commits of one event each, from so many threads.
    Commits(usize),
    /// Durable batches.
    Batches,
    /// Batches, and one sync at the end.
    Bulk,
    /// Reading everything.
    Replay,
    /// Asking one kind of question, over and over.
    Query(Query),
    /// Not measured: writes the store that the reading workloads read.
    Load,
    /// Not measured: commits to count syncs by.
    Syncs,
}

/// What is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    Stream,
    Since,
    Last,
}

/// Every workload with its name, and what a table of it says. The first [`WORK_COUNT`] are those
/// that can be asked for.
const NAMES: [(Work, &str, &str); 11] = [
    (Work::Commits(1), "durable-1", "one thread, one event per durable commit"),
    (Work::Commits(16), "durable-16", "16 threads, one event per durable commit"),
    (Work::Commits(256), "durable-256", "256 threads, one event per durable commit"),
    (Work::Batches, "batch-1000", "batches of 1,000 events, each durable"),
    (Work::Bulk, "bulk", "batches of 1,000 events, one sync at the end"),
    (Work::Replay, "replay", "all events in the order of their positions"),
    (Work::Query(Query::Stream), "stream-200", "all events of a random stream (200 at scale 1)"),
    (Work::Query(Query::Since), "time-100", "100 events from a random time on"),
    (Work::Query(Query::Last), "last-of-stream", "the last event of a random stream"),
    (Work::Load, "load", "events to read"),
    (Work::Syncs, "syncs", "commits to count syncs by"),
];
const WORK_COUNT: usize = 9;

impl Work {
    pub const ALL: [Work; WORK_COUNT] = {
        let mut all = [Work::Load; WORK_COUNT];
        let mut i = 0;
        while i < WORK_COUNT {
            all[i] = NAMES[i].0;
            i += 1;
        }
        all
    };

    /// The workload that can be asked for by this name.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::any_named(name)?;
        if Self::ALL.contains(&found) { Ok(found) } else { Err(unknown(name)) }
    }

    /// The workload with this name, also one that cannot be asked for.
    pub fn any_named(name: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(_, of, _)| *of == name);
        found.map(|(work, _, _)| *work).ok_or_else(|| unknown(name))
    }

    pub fn name(self) -> &'static str {
        self.entry().1
    }

    pub fn about(self) -> &'static str {
        self.entry().2
    }

    /// What its rate counts.
    pub fn unit(self) -> &'static str {
        if matches!(self, Self::Query(_)) { "queries/s" } else { "events/s" }
    }

    /// Whether it reads what [`Work::Load`] has written.
    pub fn reads(self) -> bool {
        matches!(self, Self::Replay | Self::Query(_))
    }

    /// Whether `peer` can do it.
    pub fn suits(self, peer: &Peer) -> bool {
        match self {
            Self::Commits(_) | Self::Batches => !peer.only_reads,
            Self::Bulk => peer.skips_syncs && !peer.only_reads,
            Self::Query(_) => peer.has_lookups,
            Self::Replay | Self::Load | Self::Syncs => true,
        }
    }

    /// Does it in `dir`, and returns what was measured.
    pub fn run(self, peer: &Peer, dir: &Path, scale: f64) -> Result<Outcome> {
        let time = Duration::from_secs_f64(SECONDS * scale);
        // Rounds down, which the precision of a fraction does anyway.
        let event_count = ((EVENT_COUNT * scale) as usize).max(BATCH_COUNT);
        let load_mode = if peer.skips_syncs { Mode::Bulk } else { Mode::Durable };
        match self {
            Self::Commits(thread_count) => write::commits(peer, dir, thread_count, time),
            Self::Batches => write::batches(peer, dir, Mode::Durable, (event_count, BATCH_COUNT)),
            Self::Bulk => write::batches(peer, dir, Mode::Bulk, (event_count, BATCH_COUNT)),
            Self::Load => write::batches(peer, dir, load_mode, (event_count, LOAD_BATCH_COUNT)),
            Self::Replay => read::replay(peer, dir, event_count, time),
            Self::Query(query) => read::query(peer, dir, query, (event_count, time)),
            Self::Syncs => write::syncs(peer, dir),
        }
    }

    fn entry(self) -> &'static (Work, &'static str, &'static str) {
        NAMES.iter().find(|(work, _, _)| *work == self).expect("every workload is in the list")
    }
}

fn unknown(name: &str) -> Box<dyn std::error::Error + Send + Sync> {
    format!("there is no workload {name}; --help names them").into()
}

/// The time of the batch with this number.
fn time_of(batch: usize) -> u64 {
    TIME_START_NS + u64::try_from(batch).map_or(0, |batch| batch * TIME_STEP_NS)
}

/// What was measured of one run of one workload.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Events, or queries, that were measured.
    pub count: u64,
    pub seconds: f64,
    pub per_second: f64,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    /// Bytes allocated on disk after closing, per event.
    pub disk_bytes_per_event: Option<f64>,
    /// Seconds that closing the store took, which are in no other figure.
    pub close_seconds: Option<f64>,
}

impl Outcome {
    /// `count` things that took `seconds`, and how long each commit or query among them took.
    fn new(count: u64, seconds: Duration, mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            let at = latencies.len() * percent / 100;
            latencies.get(at).map(|latency| latency.as_secs_f64() * 1e6)
        };
        let seconds = seconds.as_secs_f64();
        Self {
            count,
            seconds,
            per_second: count as f64 / seconds,
            p50_us: percentile(50),
            p99_us: percentile(99),
            ..Self::default()
        }
    }
}
