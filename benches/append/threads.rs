//! Threads that append one event after the other, each append timed.

use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::common::{Latencies, Result, Run};

/// How long each thread goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Span {
    /// For so many appends.
    Appends(u64),
    /// Until so much time has passed.
    Time(Duration),
}

/// Latencies that are written down before memory must grow.
const LATENCIES_LEN: usize = 128 << 10;

/// Lets `thread_count` threads call `append` over and over, with the number of the thread and how
/// often it has called before.
pub(crate) fn run(
    thread_count: usize,
    span: Span,
    append: impl Fn(usize, usize) -> Result<()> + Sync,
) -> Result<Run> {
    // Held until all threads are there. Dropped by a panic as well, so that none waits for ever.
    let gate = RwLock::new(());
    let closed = gate.write();
    let (append, gate) = (&append, &gate);
    let (times_ns, elapsed) = std::thread::scope(|scope| {
        let thread = |n| {
            scope.spawn(move || {
                drop(gate.read());
                call(span, |nth| append(n, nth))
            })
        };
        let threads: Vec<_> = (0..thread_count).map(thread).collect();
        let started = Instant::now();
        drop(closed);
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Vec<u64>>>| {
            thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))
        };
        let times_ns: Result<Vec<_>> = threads.into_iter().map(join).collect();
        (times_ns, started.elapsed())
    });
    let times_ns = times_ns?;
    let by_thread = times_ns.iter().map(|times| Ok(u64::try_from(times.len())?));
    let by_thread: Vec<_> = by_thread.collect::<Result<_>>()?;
    let mut run = Run::new(by_thread.iter().sum(), elapsed);
    run.by_thread = by_thread;
    run.latencies = Some(Latencies::of(times_ns.concat())?);
    Ok(run)
}

/// Calls `append` as long as `span` says, and returns how long each call took, in nanoseconds.
fn call(span: Span, append: impl Fn(usize) -> Result<()>) -> Result<Vec<u64>> {
    let mut times_ns = Vec::with_capacity(LATENCIES_LEN);
    let started = Instant::now();
    let mut before = started;
    let goes_on = |count: usize, now: Instant| match span {
        Span::Appends(appends) => u64::try_from(count).is_ok_and(|count| count < appends),
        Span::Time(time) => now.duration_since(started) < time,
    };
    while goes_on(times_ns.len(), before) {
        append(times_ns.len())?;
        let after = Instant::now();
        times_ns.push(u64::try_from(after.duration_since(before).as_nanos())?);
        before = after;
    }
    Ok(times_ns)
}
