//! Medians and percentiles.

use crate::common::Result;

/// The least, the middle and the greatest of some figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(figures: &[f64]) -> Self {
        let (min, max) = figures
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), f| (min.min(*f), max.max(*f)));
        Self { min, median: median(figures), max }
    }

    /// Of the ratios of figures that were measured in the same round.
    pub(crate) fn of_ratios(above: &[f64], below: &[f64]) -> Self {
        let ratios: Vec<_> = above.iter().zip(below).map(|(above, below)| above / below).collect();
        Self::of(&ratios)
    }
}

/// The figure in the middle, or the mean of the two there; NaN if there are none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len().saturating_sub(1) / 2..=sorted.len() / 2);
    middle.map_or(f64::NAN, |middle| middle.iter().sum::<f64>() / float_len(middle.len()))
}

/// The figure that so many of a thousand do not exceed; NaN if there are none.
pub(crate) fn percentile(figures: &[f64], permille: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * permille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// A count as a figure.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "figures are rounded")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

fn float_len(len: usize) -> f64 {
    float(u64::try_from(len).unwrap_or(u64::MAX))
}

/// How long the appends or reads of one run took, each by itself, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latencies {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

impl Latencies {
    /// From all times, in nanoseconds.
    pub(crate) fn of(mut times_ns: Vec<u64>) -> Result<Self> {
        times_ns.sort_unstable();
        let us = |permille: usize| {
            let rank = (times_ns.len() * permille).div_ceil(1000);
            let time = times_ns.get(rank.saturating_sub(1)).ok_or("nothing was timed")?;
            Ok::<_, &str>(float(*time) / 1e3)
        };
        Ok(Self { p50: us(500)?, p99: us(990)?, p99_9: us(999)?, max: us(1000)? })
    }
}
