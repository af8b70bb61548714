//! What there is of each segment file.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::format::{Fault, SegmentHeader};
use crate::inspect::Inspection;
use crate::inspect::notation::{Align, table};
use crate::segment::{Scanner, SegmentFile, name_of};
use crate::types::{Position, Timestamp};

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SegmentState {
    /// The last one, which events are appended to.
    Active,
    /// Followed by another, and not sealed yet.
    Full,
    /// Ended by a footer, and never changed again.
    Sealed,
}

impl fmt::Display for SegmentState {
    /// Writes `active`, `full` or `sealed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Full => "full",
            Self::Sealed => "sealed",
        })
    }
}

/// What there is of a segment. From [`Inspection::segments`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSummary {
    /// The position of its first event, which names its file: see [`segment_file`].
    pub first: Position,
    /// The position after that of its last event.
    pub end: Position,
    /// The recorded time of its first event; `None` if it has none.
    pub first_recorded_at: Option<Timestamp>,
    /// The recorded time of its last event; `None` if it has none.
    pub last_recorded_at: Option<Timestamp>,
    /// Bytes of the file.
    pub file_len: u64,
    /// What it is.
    pub state: SegmentState,
    /// The digest of its records that its footer names, XXH3 of 128 bits; `None` if it is not
    /// sealed.
    pub digest: Option<u128>,
}

impl SegmentSummary {
    /// The digest in hexadecimal.
    pub(super) fn digest_text(&self) -> Option<String> {
        self.digest.map(|digest| format!("{digest:032x}"))
    }

    /// How many events it has.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.end.since(self.first)
    }
}

/// The file of the segment that begins at `first`, relative to the store's directory.
#[must_use]
pub fn segment_file(first: Position) -> String {
    name_of(first)
}

impl Inspection {
    /// What there is of each segment, in the order of positions, by reading headers and footers.
    /// Events are not read, but for the first of a segment that is not sealed.
    ///
    /// A segment that is damaged at these places is an error, and the next one follows.
    pub fn segments(&self) -> impl Iterator<Item = Result<SegmentSummary>> {
        let next = self.bases.iter().skip(1).copied().map(Some).chain([None]);
        self.bases.iter().zip(next).map(|(first, next)| match next {
            Some(next) => self.followed(*first, next),
            None => self.last(*first),
        })
    }

    /// The summary of a segment that another follows.
    fn followed(&self, first: Position, next: Position) -> Result<SegmentSummary> {
        let seen = self.segments_seen();
        let file = seen.file(first)?;
        let header = file.header()?;
        let Some(footer) = file.footer()? else {
            // What is wrong with the next one is said of that.
            let next_header = seen.file(next).and_then(|file| file.header()).ok();
            return Ok(SegmentSummary {
                first,
                end: next,
                first_recorded_at: Some(first_recorded_at(&file, &header)?),
                last_recorded_at: next_header.map(|header| header.recorded_before),
                file_len: file.len()?,
                state: SegmentState::Full,
                digest: None,
            });
        };
        if footer.end() != next {
            let fault = Fault("a segment that ends where the next one begins");
            return Err(file.corrupt(footer.offset, fault));
        }
        Ok(SegmentSummary {
            first,
            end: next,
            first_recorded_at: Some(footer.first_recorded_at),
            last_recorded_at: Some(footer.last_recorded_at),
            file_len: file.len()?,
            state: SegmentState::Sealed,
            digest: Some(footer.digest),
        })
    }

    /// The summary of the last segment, as far as it can be read.
    fn last(&self, first: Position) -> Result<SegmentSummary> {
        let seen = self.segments_seen();
        let file = seen.file(first)?;
        let header = file.header()?;
        let end = seen.visible();
        let has_events = end.position > first;
        let first_time = || first_recorded_at(&file, &header);
        Ok(SegmentSummary {
            first,
            end: end.position.max(first),
            first_recorded_at: has_events.then(first_time).transpose()?,
            last_recorded_at: has_events.then_some(end.recorded_at),
            file_len: file.len()?,
            state: SegmentState::Active,
            digest: None,
        })
    }
}

/// The recorded time of a segment's first record.
fn first_recorded_at(file: &Arc<SegmentFile>, header: &SegmentHeader) -> Result<Timestamp> {
    let mut scanner = Scanner::from_header(Arc::clone(file), header);
    let (record, _) = scanner.read(file.len()?)?;
    Ok(record.parts.recorded_at)
}

/// A table of segments for people: a header, then one line for each, with line feeds.
#[must_use]
pub fn segment_table(segments: &[SegmentSummary]) -> String {
    let columns = [
        ("file", Align::Left),
        ("state", Align::Left),
        ("first", Align::Right),
        ("end", Align::Right),
        ("events", Align::Right),
        ("file bytes", Align::Right),
        ("first recorded at", Align::Left),
        ("last recorded at", Align::Left),
        ("digest", Align::Left),
    ];
    let rows: Vec<_> = segments.iter().map(row).collect();
    table(columns, &rows)
}

fn row(segment: &SegmentSummary) -> [String; 9] {
    let time = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| time.to_string());
    [
        segment_file(segment.first),
        segment.state.to_string(),
        segment.first.to_string(),
        segment.end.to_string(),
        segment.event_count().to_string(),
        segment.file_len.to_string(),
        time(segment.first_recorded_at),
        time(segment.last_recorded_at),
        segment.digest_text().unwrap_or_else(|| "-".to_owned()),
    ]
}
