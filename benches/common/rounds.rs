//! Rounds, in which all sides of a row take turns, so that what slows the machine down for a while
//! slows down all of them.

use std::time::Duration;

use crate::common::stats::{Latencies, float, median};
use crate::common::{Result, Spread};

/// What came of one timed run of one side.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) event_count: u64,
    pub(crate) elapsed: Duration,
    /// How long single appends or reads took, if they were timed.
    pub(crate) latencies: Option<Latencies>,
    /// How many events each thread had; empty if that was not counted.
    pub(crate) by_thread: Vec<u64>,
}

impl Run {
    /// A run of which only the whole was timed.
    pub(crate) fn new(event_count: u64, elapsed: Duration) -> Self {
        Self { event_count, elapsed, latencies: None, by_thread: Vec::new() }
    }

    /// Events in a second.
    pub(crate) fn rate(&self) -> f64 {
        float(self.event_count) / self.elapsed.as_secs_f64()
    }

    /// One figure of each run.
    pub(crate) fn each(runs: &[Self], figure: impl Fn(&Self) -> f64) -> Vec<f64> {
        runs.iter().map(figure).collect()
    }

    pub(crate) fn rates(runs: &[Self]) -> Vec<f64> {
        Self::each(runs, Self::rate)
    }

    /// The count of events of a usual run.
    pub(crate) fn usual_count(runs: &[Self]) -> u64 {
        let mut counts: Vec<_> = runs.iter().map(|run| run.event_count).collect();
        counts.sort_unstable();
        counts.get(counts.len() / 2).copied().unwrap_or_default()
    }

    /// One figure of the latencies of each run; NaN where there are none.
    pub(crate) fn each_latency(runs: &[Self], figure: impl Fn(&Latencies) -> f64) -> Vec<f64> {
        Self::each(runs, |run| run.latencies.as_ref().map_or(f64::NAN, &figure))
    }

    /// The latencies of a usual run, and the longest of all.
    pub(crate) fn latencies(runs: &[Self]) -> Latencies {
        let usual = |figure: fn(&Latencies) -> f64| median(&Self::each_latency(runs, figure));
        Latencies {
            p50: usual(|run| run.p50),
            p99: usual(|run| run.p99),
            p99_9: usual(|run| run.p99_9),
            max: Spread::of(&Self::each_latency(runs, |run| run.max)).max,
        }
    }
}

/// Runs every side once a round, in an order that turns about each round, and returns for each
/// what came of its rounds.
pub(crate) fn interleave<T, const N: usize>(
    rounds: usize,
    mut sides: [&mut dyn FnMut() -> Result<T>; N],
) -> Result<[Vec<T>; N]> {
    let mut results = [const { Vec::new() }; N];
    for round in 0..rounds {
        let mut turns: Vec<_> = sides.iter_mut().zip(&mut results).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for (side, results) in turns {
            results.push(side()?);
        }
    }
    Ok(results)
}
