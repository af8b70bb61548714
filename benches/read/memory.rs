//! The row of what cursors hold that are open.
#![expect(clippy::print_stdout, reason = "the process that is measured tells its figures so")]

use std::ops::ControlFlow;

use annals::{Cursor, Options};

use crate::Bench;
use crate::common::{Result, Row, peak_memory, reset_peak_memory};
use crate::loaded::loaded;

pub(crate) const CURSORS: &str = "memory-100-cursors";

const VISITING: &str = "visiting";
const OWNED: &str = "owned";
const CURSOR_COUNT: u64 = 100;
const MB: f64 = 1e6;

/// The most memory that a process has had, in bytes.
struct Peaks {
    /// When the store was open.
    before: f64,
    after: f64,
}

/// Measured in processes of their own, because what this one has had once counts for ever.
pub(crate) fn cursors(bench: &Bench) -> Result<Option<Row>> {
    if peak_memory().is_none() || reset_peak_memory().is_err() {
        return Ok(None);
    }
    let (visiting, owned) = (measure(bench, VISITING)?, measure(bench, OWNED)?);
    let growth = |peaks: &Peaks| (peaks.after - peaks.before) / MB;
    let row = Row::new(CURSORS, "MB", &[growth(&visiting).max(growth(&owned))])
        .field("cursors", CURSOR_COUNT)
        .field("events_of_each", events_of_each(bench))
        .figure("visiting_mb", growth(&visiting))
        .figure("visiting_baseline_mb", visiting.before / MB)
        .figure("owned_mb", growth(&owned))
        .figure("owned_baseline_mb", owned.before / MB);
    Ok(Some(row))
}

fn events_of_each(bench: &Bench) -> u64 {
    bench.size.pick(5_000, 100)
}

fn measure(bench: &Bench, job: &str) -> Result<Peaks> {
    let output = bench.child(job, &loaded(bench)?.path)?.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    let text = String::from_utf8(output.stdout)?;
    let (before, after) = text.trim().split_once(' ').ok_or("no figures from the process")?;
    Ok(Peaks { before: before.parse()?, after: after.parse()? })
}

/// What the process does: opens the store and cursors in different places of it, each of which
/// reads on a little and stays, and prints its peaks before the first cursor and after the last.
pub(crate) fn child(job: &str, bench: &Bench) -> Result<()> {
    let read: fn(&mut Cursor, u64) -> Result<u64> = match job {
        VISITING => visit,
        OWNED => take,
        _ => return Err(format!("there is no job {job}").into()),
    };
    let peak = || peak_memory().ok_or("the peak of memory cannot be read");
    let event_count = events_of_each(bench);
    let store = Options::new().create(false).open(&bench.dir)?;
    // Waits until the index is open.
    let end = store.recovery().end.get();
    reset_peak_memory()?;
    let before = peak()?;
    let stride = (end - event_count) / CURSOR_COUNT;
    let mut open = Vec::new();
    for number in 0..CURSOR_COUNT {
        let start = number * stride;
        let mut cursor = store.read_all().from(start);
        let end = read(&mut cursor, start + event_count)?;
        if (end, cursor.next_position().get()) != (start + event_count, end) {
            return Err(format!("a cursor has read from {start} to {end}").into());
        }
        open.push(cursor);
    }
    println!("{before} {}", peak()?);
    drop(open);
    Ok(store.close()?)
}

/// Reads up to the position `end`, and returns where that was.
fn visit(cursor: &mut Cursor, end: u64) -> Result<u64> {
    let mut reached = 0;
    cursor.visit(|event| {
        reached = event.position().get() + 1;
        if reached < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(reached)
}

/// As [`visit`], with events of its own.
fn take(cursor: &mut Cursor, end: u64) -> Result<u64> {
    for event in cursor {
        let reached = event?.position().get() + 1;
        if reached >= end {
            return Ok(reached);
        }
    }
    Err("the log ends too early".into())
}
