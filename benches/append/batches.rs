//! Batches that are made while they are asked for, because there are too many names in them to
//! keep.

use crate::common::{BATCH_LEN, Pool, STREAM_COUNT, Sample, stream_name};

/// How many events have their payloads from a pool, over and over.
const POOL_LEN: usize = 8 * BATCH_LEN;

/// Which streams events go to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Names {
    /// Each to a new one.
    New,
    /// To [`STREAM_COUNT`] streams at random.
    Few,
    /// One to each of so many streams, and then another one to each.
    InTurn(u64),
}

/// Where payloads come from.
pub(crate) fn payloads() -> Pool {
    Pool::new(POOL_LEN)
}

/// So many batches of [`BATCH_LEN`] events.
pub(crate) fn batches(
    names: Names,
    payloads: &Pool,
    batch_count: usize,
) -> impl Iterator<Item = Vec<Sample>> + '_ {
    let mut random = fastrand::Rng::with_seed(3);
    let mut numbers = 0..;
    let mut payloads = payloads.samples().iter().cycle();
    (0..batch_count).map(move |_| {
        let payloads = payloads.by_ref().take(BATCH_LEN);
        let sample = |like: &Sample| {
            let number: u64 = numbers.next().unwrap_or_default();
            let n = match names {
                Names::New => number,
                Names::Few => random.u64(..STREAM_COUNT),
                Names::InTurn(count) => number % count,
            };
            Sample { stream: stream_name(n), payload: like.payload.clone() }
        };
        payloads.map(sample).collect()
    })
}
