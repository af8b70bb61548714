//! How far a consumer is behind.

use std::time::Duration;

use crate::consumer::place::Place;
use crate::cursor::Source;
use crate::error::{Error, Result};
use crate::segment::Scanner;
use crate::types::{LogEnd, Position, Timestamp};

/// How far a consumer is behind the end of the log. From [`Consumer::lag`](crate::Consumer::lag).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// Events that are not done. All of the store count, also those that its filter leaves out.
    pub event_count: u64,
    /// Bytes of segment files from the first of them to the end.
    pub len: u64,
    /// How long ago the first of them was recorded that is not damaged; zero if there is none, or if
    /// the clock says so.
    pub time: Duration,
}

/// How far a place is behind.
pub(super) fn lag(source: &Source, place: &Place, now: Timestamp) -> Result<Lag> {
    let end = source.visible()?;
    let from = place.watermark();
    let pending_count = u64::try_from(place.pending.len()).unwrap_or(u64::MAX);
    let event_count = end.position.since(place.end).saturating_add(pending_count);
    if from >= end.position {
        return Ok(Lag { event_count, ..Lag::default() });
    }
    let mut scanner = source.locate(from)?;
    scanner = source.segments().cross(scanner)?;
    let limit = source.segments().limit(scanner.file())?;
    let recorded_at = match scanner.peek(limit) {
        Err(error @ Error::Corrupt { .. }) => recorded_behind(source, error, &scanner, &end)?,
        peeked => Some(peeked?),
    };
    let len = len_between(source, (scanner.segment(), scanner.offset()), &end)?;
    let ns = recorded_at.map_or(0, |at| now.as_nanos().saturating_sub(at.as_nanos()));
    let time = Duration::from_nanos(u64::try_from(ns).unwrap_or(0));
    Ok(Lag { event_count, len, time })
}

/// When the first visible event was recorded behind the one that `scanner` has come to as damage, if there
/// is one: a consumer that this holds up stands right before it, and is to be seen there.
fn recorded_behind(
    source: &Source,
    error: Error,
    scanner: &Scanner,
    end: &LogEnd,
) -> Result<Option<Timestamp>> {
    let (segments, base) = (source.segments(), scanner.segment());
    let mut behind = match source.behind(error, base, &(scanner.position().next()..end.position)) {
        Err(Error::Corrupt { .. }) => {
            match segments.after(base).filter(|next| *next < end.position) {
                Some(next) => segments.scan(next)?,
                None => return Ok(None),
            }
        }
        behind => behind?,
    };
    behind.peek(segments.limit(behind.file())?).map(Some)
}

/// Bytes from a place to an end of the log.
fn len_between(source: &Source, (segment, offset): (Position, u64), end: &LogEnd) -> Result<u64> {
    let mut len = 0_u64;
    let mut base = segment;
    while base < end.address.segment {
        len = len.saturating_add(source.segments().file(base)?.full_len()?);
        let Some(next) = source.segments().after(base) else { break };
        base = next;
    }
    Ok(len.saturating_add(end.address.offset).saturating_sub(offset))
}
