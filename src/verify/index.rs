//! Comparing the index with the log.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::Error;
use crate::index::{Index, IndexFault, Mark, Seek};
use crate::log::Segments;
use crate::segment::Window;
use crate::types::{LogEnd, Revision};
use crate::verify::fingerprint::Fingerprint;
use crate::verify::{IndexCheck, Step, Teller, Watch, is_damage};

/// How many streams, and how many addresses of one, are asked for at once.
const PAGE_COUNT: u64 = 4_096;
/// Bytes that are read for the event of a mark.
const POINT_LEN: usize = 4 << 10;
/// One nanosecond later is the next time there can be.
const TICK: std::time::Duration = std::time::Duration::from_nanos(1);

/// Why a comparison ended early.
enum End {
    Cancelled,
    Wrong(&'static str),
    /// The index failed meanwhile.
    Failed,
}

impl From<IndexFault> for End {
    fn from(fault: IndexFault) -> Self {
        match fault {
            IndexFault::Damaged { what } => Self::Wrong(what),
            _ => Self::Failed,
        }
    }
}

/// Whether `index` knows the events that `logged` was made of, which are all before `end`. One
/// that gave a wrong answer gives none any more.
pub(super) fn check(
    index: &Index,
    segments: &Segments,
    end: &LogEnd,
    logged: &Fingerprint,
    watch: &mut Watch<'_>,
) -> ControlFlow<(), IndexCheck> {
    if index.has_failed() {
        return ControlFlow::Continue(IndexCheck::Unavailable);
    }
    let mut teller = Teller::new(watch, Step::Index, end.position);
    let compared = indexed(index, end, &mut teller).and_then(|indexed| {
        let same = if indexed == *logged { Ok(()) } else { Err(End::Wrong(OTHER_EVENTS)) };
        same.and_then(|()| check_marks(index, segments, end))
    });
    ControlFlow::Continue(match compared {
        Ok(()) => {
            teller.finish()?;
            IndexCheck::Agrees
        }
        Err(End::Cancelled) => return ControlFlow::Break(()),
        Err(End::Failed) => IndexCheck::Unavailable,
        Err(End::Wrong(what)) => {
            index.mark_broken(IndexFault::Damaged { what });
            IndexCheck::Wrong { what }
        }
    })
}

const OTHER_EVENTS: &str = "it has other events, or the same at other places";
const NO_EVENT: &str = "a mark without its event";
const NO_MARK: &str = "a mark that cannot be found by its time";

/// The fingerprint of all that the index knows before `end`.
fn indexed(index: &Index, end: &LogEnd, teller: &mut Teller<'_, '_>) -> Result<Fingerprint, End> {
    let mut indexed = Fingerprint::default();
    let page_count = usize::try_from(PAGE_COUNT).unwrap_or(usize::MAX);
    let mut after: Option<String> = None;
    loop {
        let streams = index.streams("", after.as_deref(), page_count)?;
        let Some((last, _)) = streams.last() else { return Ok(indexed) };
        after = Some(last.clone());
        for (stream, stream_end) in &streams {
            add_stream(&mut indexed, index, stream, *stream_end, end)?;
            if teller.count_to(indexed.count()).is_break() {
                return Err(End::Cancelled);
            }
        }
    }
}

fn add_stream(
    indexed: &mut Fingerprint,
    index: &Index,
    stream: &str,
    stream_end: Revision,
    end: &LogEnd,
) -> Result<(), End> {
    let mut next = Revision::START;
    while next < stream_end {
        let until = next.plus(PAGE_COUNT).min(stream_end);
        for address in index.addresses(stream, next..until)? {
            // What is appended meanwhile stands behind what was read.
            if address >= end.address {
                return Ok(());
            }
            indexed.add(stream, next, address);
            next = next.next();
        }
        if next < until {
            return Err(End::Wrong(OTHER_EVENTS));
        }
    }
    Ok(())
}

/// Checks that every mark before `end` speaks of the event that stands there, and is found by
/// its time too.
fn check_marks(index: &Index, segments: &Segments, end: &LogEnd) -> Result<(), End> {
    let mut window: Option<Window> = None;
    let mut next = end.position.previous();
    while let Some(position) = next {
        let Some(mark) = index.mark_before(Seek::Position(position))? else { break };
        if mark.position > position || !is_true(&mark, segments, &mut window) {
            return Err(End::Wrong(NO_EVENT));
        }
        let by_time = index.mark_before(Seek::Time(mark.recorded_at.plus(TICK)))?;
        if by_time.is_none_or(|found| found.recorded_at != mark.recorded_at) {
            return Err(End::Wrong(NO_MARK));
        }
        next = mark.position.previous();
    }
    Ok(())
}

fn is_true(mark: &Mark, segments: &Segments, window: &mut Option<Window>) -> bool {
    let file = match segments.file(mark.address.segment) {
        Ok(file) => file,
        // What cannot be read now says nothing of the index.
        Err(error) => return !is_damage(&error),
    };
    let Ok(limit) = segments.limit(&file) else { return true };
    let mut of_file = window
        .take()
        .filter(|window| Arc::ptr_eq(window.file(), &file))
        .unwrap_or_else(|| Window::new(file, POINT_LEN));
    let record = of_file.record_at(mark.address.offset, limit);
    *window = Some(of_file);
    match record {
        Ok(record) => {
            (record.parts.position, record.parts.recorded_at) == (mark.position, mark.recorded_at)
        }
        // All records are sound, so none stands there.
        Err(Error::Corrupt { .. }) => false,
        Err(_) => true,
    }
}
