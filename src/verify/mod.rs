//! Checking every byte of a store, and saying what is wrong where.
//!
//! [`Store::verify`](crate::Store::verify) does it beside whoever appends and reads;
//! [`Inspection::verify`](crate::inspect::Inspection::verify) without opening the store, also
//! where [`Store::open`](crate::Store::open) refuses it. Nothing is changed: what can be mended is
//! mended by a [`RepairPlan`](crate::RepairPlan). What the operating system has in its memory is
//! read from there, as always: damage of the medium below that shows once it has let go of it.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use annals::{Expected, NewEvent, Store};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("shop.annals");
//! let store = Store::open(&path)?;
//! store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
//!
//! let report = store.verify()?;
//! assert!(report.is_sound());
//! assert_eq!(report.event_count, 1);
//!
//! // A long check can be watched, and ended.
//! let report = store.verify_watched(|progress| {
//!     println!("{} of {}", progress.done, progress.total);
//!     ControlFlow::Continue(())
//! })?;
//! assert!(report.is_complete);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod damaged;
mod files;
mod fingerprint;
mod index;
mod meta;
mod revisions;
mod walk;

use std::ops::{ControlFlow, Range};

use crate::error::Error;
use crate::format::Record;
use crate::index::Index;
use crate::log::Segments;
use crate::types::{Address, LogEnd, Position};
use crate::verify::fingerprint::Fingerprint;

pub(crate) use damaged::{Damaged, is_damage};
pub(crate) use meta::{FoundMeta, find_meta};
pub(crate) use walk::{MayBeUnsealed, Walked, walk};

/// The most damages that a report tells one by one.
const DAMAGES_MAX: usize = 1_000;
/// Events between two calls of whoever watches.
const WATCH_INTERVAL: u64 = 1 << 12;

/// What a check of a store has found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The end of the log when the check began. What was appended later was not checked.
    pub end: Position,
    /// Events that were read and are sound.
    pub event_count: u64,
    /// Segments that were read.
    pub segment_count: u64,
    /// Segments whose digest was computed and is that of their footer.
    pub sealed_count: u64,
    /// What is damaged or missing, in the order of the log; at most 1,000 of them.
    pub damages: Vec<Damage>,
    /// How many damages there are.
    pub damage_count: u64,
    /// Whether the index agrees with the log.
    pub index: IndexCheck,
    /// Whether everything was checked: `false` if whoever watched has ended it.
    pub is_complete: bool,
}

impl Report {
    /// Whether everything was checked and nothing is wrong. An index that is wrong or missing
    /// harms no event, but counts: the next opening should build it anew.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let index = matches!(self.index, IndexCheck::Agrees | IndexCheck::NotChecked);
        self.is_complete && self.damage_count == 0 && index
    }
}

/// Something in a store that is not as it was written.
#[derive(Debug)]
#[non_exhaustive]
pub struct Damage {
    /// What is wrong where: [`Error::Corrupt`] in a segment, [`Error::CorruptFile`] or
    /// [`Error::NewerFormat`] in another file, [`Error::Io`] where the operating system cannot read.
    pub error: Error,
    /// The events that cannot be read for that reason. Empty if all can, as when a footer is
    /// damaged.
    pub positions: Range<Position>,
}

/// Whether the index agrees with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexCheck {
    /// It knows every event, each at its place, and nothing else.
    Agrees,
    /// It gave a wrong answer. From now on reads scan the log until the store is opened anew,
    /// which builds another index.
    Wrong {
        /// What was wrong with it.
        what: &'static str,
    },
    /// There is none, or it had failed before: reads scan the log.
    Unavailable,
    /// It was not compared: the log is damaged, or the check was ended, or none was opened.
    NotChecked,
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being checked.
    pub step: Step,
    /// Events of this step that are done.
    pub done: u64,
    /// Events of this step in all.
    pub total: u64,
}

/// A part of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The segments are read.
    Log,
    /// The index is compared with what was read.
    Index,
    /// The segments are read again to check the revisions of more streams: without an index, some
    /// 900,000 of them are checked at a time.
    Revisions,
}

/// Who is told of progress, and may end the check.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

/// Counts events of a step, and tells of them now and then.
struct Teller<'a, 'w> {
    watch: &'a mut Watch<'w>,
    progress: Progress,
}

impl<'a, 'w> Teller<'a, 'w> {
    fn new(watch: &'a mut Watch<'w>, step: Step, end: Position) -> Self {
        Self { watch, progress: Progress { step, done: 0, total: end.get() } }
    }

    /// Says that one more event is done.
    fn count(&mut self) -> ControlFlow<()> {
        self.count_to(self.progress.done + 1)
    }

    /// Says that so many events are done.
    fn count_to(&mut self, done: u64) -> ControlFlow<()> {
        let before = self.progress.done / WATCH_INTERVAL;
        self.progress.done = done;
        if done / WATCH_INTERVAL == before {
            return ControlFlow::Continue(());
        }
        (self.watch)(&self.progress)
    }

    fn finish(self) -> ControlFlow<()> {
        (self.watch)(&self.progress)
    }
}

/// Checks the log in `segments` up to `end`, the other files beside it, and `index` if there is
/// one.
pub(crate) fn verify(
    segments: &Segments,
    end: &LogEnd,
    may_be_unsealed: MayBeUnsealed<'_>,
    index: Option<&Index>,
    mut watch: Watch<'_>,
) -> Report {
    let mut fingerprint = Fingerprint::default();
    let mut teller = Teller::new(&mut watch, Step::Log, end.position);
    let (mut walked, revisions) = if index.is_some() {
        let mut visit = |record: &Record, stream: &str, address: Address| {
            fingerprint.add(stream, record.parts.revision, address);
            teller.count()
        };
        (walk(segments, end, may_be_unsealed, &mut visit), None)
    } else {
        let (walked, revisions) = revisions::check_beside(|tell| {
            let mut visit = |record: &Record, stream: &str, address: Address| {
                tell(stream, record, address);
                teller.count()
            };
            walk(segments, end, may_be_unsealed, &mut visit)
        });
        (walked, Some(revisions))
    };
    walked.is_complete = walked.is_complete && teller.finish().is_continue();
    let mut report = report(end, walked);
    for damage in files::check(segments, end) {
        report.add(damage);
    }
    if report.damage_count > 0 || !report.is_complete {
        return report;
    }
    let checked = match (index, revisions) {
        (Some(index), _) => index::check(index, segments, end, &fingerprint, &mut watch)
            .map_continue(|check| report.index = check),
        (None, Some(of_log)) => revisions::check_all(of_log, segments, end, &mut watch)
            .map_continue(|fault| {
                if let Some(damage) = fault {
                    report.add(damage);
                }
            }),
        (None, None) => ControlFlow::Continue(()),
    };
    report.is_complete = checked.is_continue();
    report
}

fn report(end: &LogEnd, walked: Walked) -> Report {
    Report {
        end: end.position,
        event_count: walked.event_count,
        segment_count: walked.segment_count,
        sealed_count: walked.sealed_count,
        damages: walked.damages,
        damage_count: walked.damage_count,
        index: IndexCheck::NotChecked,
        is_complete: walked.is_complete,
    }
}

impl Report {
    /// Adds a damage that was found otherwise, unless its place is known already.
    pub(crate) fn add(&mut self, damage: Damage) {
        let is_known = self.damages.iter().any(|known| same_place(&known.error, &damage.error));
        if is_known {
            return;
        }
        self.damage_count += 1;
        if self.damages.len() < DAMAGES_MAX {
            self.damages.push(damage);
        }
    }
}

fn same_place(a: &Error, b: &Error) -> bool {
    match (a, b) {
        (
            Error::Corrupt { segment, offset, .. },
            Error::Corrupt { segment: other_segment, offset: other_offset, .. },
        ) => (segment, offset) == (other_segment, other_offset),
        _ => false,
    }
}
