//! Rows of the bytes that events take up on the disk once their store is closed.

use crate::batches::{Names, batches, payloads};
use crate::common::{
    BATCH_LEN, Bench, EVENT_TYPE, PAYLOAD_LEN, Result, Row, STREAM_LEN, Spread, Usage, batch_of,
    float, usage,
};
use crate::rigs::{Syncs, bulk, check, fill};

pub(crate) const TEN_THOUSAND: &str = "disk-10k-streams";
pub(crate) const PAIRS: &str = "disk-2-per-stream";

/// What an event consists of, without what says where its parts are: beside its names and its
/// payload an id, a time, a content type and a checksum.
const FIELDS_LEN: usize = PAYLOAD_LEN
    + EVENT_TYPE.len()
    + STREAM_LEN
    + size_of::<u128>()
    + size_of::<i64>()
    + size_of::<u8>()
    + size_of::<u32>();
const _: () = assert!(FIELDS_LEN == 317);

pub(crate) fn ten_thousand_streams(bench: &Bench) -> Result<Option<Row>> {
    measure(bench, TEN_THOUSAND, Names::Few)
}

pub(crate) fn two_per_stream(bench: &Bench) -> Result<Option<Row>> {
    let streams = u64::try_from(batch_count(bench) * BATCH_LEN / 2)?;
    measure(bench, PAIRS, Names::InTurn(streams))
}

fn batch_count(bench: &Bench) -> usize {
    bench.size.pick(2_000, 50)
}

/// Measured once: nothing in it depends on how long anything takes, or little.
fn measure(bench: &Bench, name: &'static str, names: Names) -> Result<Option<Row>> {
    let payloads = payloads();
    let batches = batches(names, &payloads, batch_count(bench)).map(batch_of);
    let filled = fill(&bench.dir, &Syncs::AtTheEnd.options(), |store| bulk(store, batches))?;
    let (all, log) = (usage(&filled.path)?, usage(&filled.path.join("log"))?);
    let index = usage(&filled.path.join("index"))?;
    let event_count = filled.run.event_count;
    check(&filled.path, event_count)?;
    filled.remove()?;

    let each = |bytes: u64| float(bytes) / float(event_count);
    let (value, bare) = ([each(all.allocated)], [float(u64::try_from(FIELDS_LEN)?)]);
    let parts = |row: Row, name: &str, usage: Usage| {
        row.figure(format!("{name}_allocated"), each(usage.allocated))
            .figure(format!("{name}_len"), each(usage.len))
    };
    let row = Row::new(name, "bytes/event", &value)
        .bare(&bare)
        .ratio(Spread::of_ratios(&value, &bare))
        .field("events", event_count)
        .figure("len", each(all.len));
    Ok(Some(parts(parts(row, "log", log), "index", index)))
}
