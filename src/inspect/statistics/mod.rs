//! How many events there are: in all, by type, by stream, by time, by size.
//!
//! Owns what is counted. Events are looked at one by one and none is kept.

#[cfg(feature = "json")]
mod json;
mod tally;
#[cfg(feature = "cli")]
mod text;

use std::ops::ControlFlow;

use crate::error::Error;
use crate::event::EventView;
use crate::inspect::Inspection;
use crate::inspect::statistics::tally::Tally;
use crate::types::{Revision, Timestamp};
use crate::verify::{Progress, Step};

pub use tally::{NameCount, NameCounts};
#[cfg(feature = "cli")]
pub use text::{Paint, statistics_text};

/// How many steps of time there are, at most.
const TIME_STEP_COUNT: u8 = 60;
/// Events between two calls of whoever watches.
const WATCH_INTERVAL: u64 = 1 << 12;

/// How many events there are, of what kind, and when. From [`Inspection::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Events that were read.
    pub event_count: u64,
    /// Batches that they were appended in.
    pub batch_count: u64,
    /// Bytes of their payloads.
    pub payload_len: u64,
    /// Segment files of the log.
    pub segment_count: u64,
    /// Bytes of all segment files that can be opened. The index and the consumers are not counted.
    pub log_len: u64,
    /// The recorded time of the first event.
    pub first_recorded_at: Option<Timestamp>,
    /// The recorded time of the last event.
    pub last_recorded_at: Option<Timestamp>,
    /// Events by their type.
    pub types: NameCounts,
    /// Events by their stream. How many streams there are is exact always.
    pub streams: NameCounts,
    /// Events by the time they were recorded at: 60 steps of the same length, to a nanosecond, from
    /// the first event to the end of the log. Fewer if there are fewer nanoseconds, none if there
    /// are no events.
    pub over_time: Vec<TimeStep>,
    /// Events by the size of their payloads: 0 bytes, 1, 2 to 3, 4 to 7 and so on, from the smallest
    /// that there is to the largest.
    pub payload_sizes: Vec<SizeStep>,
    /// Whether all events were read: `false` after an error, and if whoever watched has ended it.
    pub is_complete: bool,
}

/// The events that were recorded in a step of time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeStep {
    /// When the step begins.
    pub from: Timestamp,
    /// When it has ended: the next one begins then. [`Timestamp::MAX`] if there is no later time.
    pub until: Timestamp,
    /// Events that were recorded in it.
    pub event_count: u64,
    /// Bytes of their payloads.
    pub payload_len: u64,
}

/// The events whose payloads are of a size.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeStep {
    /// The smallest size, in bytes: 0, or a power of two.
    pub from_len: u64,
    /// The size after the largest one, in bytes.
    pub until_len: u64,
    /// Events whose payloads are of these sizes.
    pub event_count: u64,
    /// Bytes of these payloads.
    pub payload_len: u64,
}

impl Inspection {
    /// Counts the events, in one pass over the log.
    ///
    /// If they cannot all be read, what was read before that, and the error. Takes memory for the
    /// 65,536 heaviest types and streams at most, which is some 60 MB where names are as long as they
    /// may be; see [`NameCounts::is_exact`].
    #[must_use]
    pub fn statistics(&self) -> (Statistics, Option<Error>) {
        self.statistics_watched(|_| ControlFlow::Continue(()))
    }

    /// As [`Inspection::statistics`], and calls `watch` now and then, which may end it by returning
    /// [`ControlFlow::Break`].
    pub fn statistics_watched(
        &self,
        mut watch: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> (Statistics, Option<Error>) {
        let mut counter = Counter::new(self.over_time());
        let mut progress = Progress { step: Step::Log, done: 0, total: self.end().get() };
        let mut is_ended = false;
        let visited = self.events().visit(|event| {
            counter.add(&event);
            progress.done = event.position().next().get();
            if progress.done.is_multiple_of(WATCH_INTERVAL) {
                is_ended = watch(&progress).is_break();
            }
            if is_ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let is_complete = visited.is_ok() && !is_ended && watch(&progress).is_continue();
        let mut statistics = counter.finish();
        statistics.is_complete = is_complete;
        statistics.segment_count = u64::try_from(self.bases.len()).unwrap_or(u64::MAX);
        statistics.log_len = self.log_len();
        (statistics, visited.err())
    }

    fn log_len(&self) -> u64 {
        let segments = self.segments_seen();
        let lens = self.bases.iter().map(|base| segments.file(*base).and_then(|file| file.len()));
        // What cannot be opened is told of by whoever reads it.
        lens.filter_map(Result::ok).sum()
    }

    /// Empty steps from the first event to the end of the log.
    fn over_time(&self) -> Vec<TimeStep> {
        let mut first = None;
        let visited = self.events().visit(|event| {
            first = Some(event.recorded_at());
            ControlFlow::Break(())
        });
        match (visited, first) {
            (Ok(()), Some(first)) => time_steps(first, self.segments_seen().visible().recorded_at),
            _ => Vec::new(),
        }
    }
}

/// Steps of the same length from `first` to `last`, and no two that begin at the same time.
fn time_steps(first: Timestamp, last: Timestamp) -> Vec<TimeStep> {
    let start = i128::from(first.as_nanos());
    let span = (i128::from(last.as_nanos()) - start).max(0) + 1;
    let count = span.min(i128::from(TIME_STEP_COUNT));
    let edge = |n: i128| {
        let ns = i64::try_from(start + span * n / count);
        ns.map_or(Timestamp::MAX, Timestamp::from_nanos)
    };
    (0..count)
        .map(|n| TimeStep { from: edge(n), until: edge(n + 1), event_count: 0, payload_len: 0 })
        .collect()
}

/// Counts as they grow.
struct Counter {
    statistics: Statistics,
    types: Tally,
    streams: Tally,
    stream_count: u64,
    /// The step of the last event. Times never go back.
    step: usize,
    sizes: Vec<SizeStep>,
}

impl Counter {
    fn new(over_time: Vec<TimeStep>) -> Self {
        let none = || Tally::new().finish(None);
        let statistics = Statistics {
            event_count: 0,
            batch_count: 0,
            payload_len: 0,
            segment_count: 0,
            log_len: 0,
            first_recorded_at: None,
            last_recorded_at: None,
            types: none(),
            streams: none(),
            over_time,
            payload_sizes: Vec::new(),
            is_complete: false,
        };
        Self {
            statistics,
            types: Tally::new(),
            streams: Tally::new(),
            stream_count: 0,
            step: 0,
            sizes: size_steps(),
        }
    }

    fn add(&mut self, event: &EventView<'_>) {
        let payload_len = u64::try_from(event.payload().len()).unwrap_or(u64::MAX);
        let statistics = &mut self.statistics;
        statistics.event_count += 1;
        statistics.batch_count += u64::from(event.ends_batch());
        statistics.payload_len += payload_len;
        statistics.first_recorded_at.get_or_insert(event.recorded_at());
        statistics.last_recorded_at = Some(event.recorded_at());
        self.types.add(event.event_type(), payload_len);
        self.streams.add(event.stream(), payload_len);
        // The log was read from its start, so each stream has come by with its first event.
        self.stream_count += u64::from(event.revision() == Revision::START);
        let steps = &mut statistics.over_time;
        // What is recorded later than the end of the log was said to be counts for the last step.
        while self.step + 1 < steps.len()
            && steps.get(self.step).is_some_and(|step| step.until <= event.recorded_at())
        {
            self.step += 1;
        }
        if let Some(step) = steps.get_mut(self.step) {
            step.event_count += 1;
            step.payload_len += payload_len;
        }
        let size = usize::try_from(u64::BITS - payload_len.leading_zeros()).unwrap_or(0);
        if let Some(step) = self.sizes.get_mut(size) {
            step.event_count += 1;
            step.payload_len += payload_len;
        }
    }

    fn finish(self) -> Statistics {
        let mut statistics = self.statistics;
        statistics.types = self.types.finish(None);
        statistics.streams = self.streams.finish(Some(self.stream_count));
        let is_empty = |step: &SizeStep| step.event_count == 0;
        let mut sizes = self.sizes;
        let end = sizes.iter().rposition(|step| !is_empty(step)).map_or(0, |last| last + 1);
        sizes.truncate(end);
        statistics.payload_sizes = sizes.into_iter().skip_while(is_empty).collect();
        statistics
    }
}

/// One empty step for each number of bits that a size may have.
fn size_steps() -> Vec<SizeStep> {
    let edge = |bits: u32| 1_u64.checked_shl(bits).unwrap_or(u64::MAX);
    (0..=u64::BITS)
        .map(|bits| SizeStep {
            from_len: bits.checked_sub(1).map_or(0, edge),
            until_len: edge(bits),
            event_count: 0,
            payload_len: 0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(first: i64, last: i64) -> Vec<(i64, i64)> {
        let steps = time_steps(Timestamp::from_nanos(first), Timestamp::from_nanos(last));
        steps.iter().map(|step| (step.from.as_nanos(), step.until.as_nanos())).collect()
    }

    #[test]
    fn equal_times_are_one_step_and_a_few_nanoseconds_as_many() {
        assert_eq!(edges(7, 7), [(7, 8)]);
        assert_eq!(edges(7, 9), [(7, 8), (8, 9), (9, 10)]);
        assert_eq!(edges(9, 7), [(9, 10)], "the end of the log before its start");
    }

    #[test]
    fn steps_join_and_cover_all_that_can_be_told_of_time() {
        for (first, last) in [(0, 59), (-5, 1_000_000_007), (i64::MIN, i64::MAX)] {
            let edges = edges(first, last);
            assert_eq!(edges.len(), 60);
            assert_eq!(edges[0].0, first);
            assert_eq!(edges[59].1, last.saturating_add(1));
            assert!(edges.windows(2).all(|two| two[0].1 == two[1].0 && two[0].0 < two[0].1));
            let lens = edges.iter().map(|(from, until)| i128::from(*until) - i128::from(*from));
            let (least, most) = (lens.clone().min().unwrap(), lens.max().unwrap());
            assert!(most - least <= 1, "{least} to {most}");
        }
    }

    #[test]
    fn sizes_are_in_steps_of_powers_of_two() {
        let steps = size_steps();
        let edges: Vec<_> = steps.iter().map(|step| (step.from_len, step.until_len)).collect();
        assert_eq!(edges[..5], [(0, 1), (1, 2), (2, 4), (4, 8), (8, 16)]);
        assert_eq!(edges[64], (1 << 63, u64::MAX));
    }
}
