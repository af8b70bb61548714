//! The row of the most memory that a process has while it appends in bulk.
#![expect(clippy::print_stdout, reason = "the process that is measured tells its figures so")]

use crate::batches::{Names, batches, payloads};
use crate::common::{BATCH_LEN, Bench, Result, Row, batch_of, peak_memory};
use crate::rigs::{Syncs, bulk, check, fill};

pub(crate) const MEMORY: &str = "memory-20m";

const FEW: &str = "10k_streams";
const PAIRS: &str = "2_per_stream";
const MB: f64 = 1e6;

/// Peaks of a process, in bytes.
struct Peaks {
    /// When all but the store was there.
    before: f64,
    after: f64,
}

/// Measured in processes of their own, because what this one has had once counts for ever.
pub(crate) fn memory(bench: &Bench) -> Result<Option<Row>> {
    if peak_memory().is_none() {
        return Ok(None);
    }
    let (few, pairs) = (measure(bench, FEW)?, measure(bench, PAIRS)?);
    let row = Row::new(MEMORY, "MB", &[few.after.max(pairs.after) / MB])
        .field("events", batch_count(bench) * BATCH_LEN)
        .figure(format!("{FEW}_mb"), few.after / MB)
        .figure(format!("{FEW}_baseline_mb"), few.before / MB)
        .figure(format!("{PAIRS}_mb"), pairs.after / MB)
        .figure(format!("{PAIRS}_baseline_mb"), pairs.before / MB);
    Ok(Some(row))
}

fn batch_count(bench: &Bench) -> usize {
    bench.size.pick(20_000, 50)
}

fn measure(bench: &Bench, job: &str) -> Result<Peaks> {
    let output = bench.child(job, &bench.dir)?.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    let text = String::from_utf8(output.stdout)?;
    let (before, after) = text.trim().split_once(' ').ok_or("no figures from the process")?;
    Ok(Peaks { before: before.parse()?, after: after.parse()? })
}

/// What the process does: appends, and prints its peaks before the store was opened and when it
/// is closed.
pub(crate) fn child(job: &str, bench: &Bench) -> Result<()> {
    let batch_count = batch_count(bench);
    let names = match job {
        FEW => Names::Few,
        PAIRS => Names::InTurn(u64::try_from(batch_count * BATCH_LEN / 2)?),
        _ => return Err(format!("there is no job {job}").into()),
    };
    let payloads = payloads();
    let peak = || peak_memory().ok_or("the peak of memory cannot be read");
    let before = peak()?;
    let batches = batches(names, &payloads, batch_count).map(batch_of);
    let filled = fill(&bench.dir, &Syncs::AtTheEnd.options(), |store| bulk(store, batches))?;
    println!("{before} {}", peak()?);
    check(&filled.path, filled.run.event_count)?;
    filled.remove()
}
