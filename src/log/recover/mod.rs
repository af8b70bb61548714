//! Opening a log: scan, then decide, then act.
//!
//! Owns the scan, which only reads, and the act, which alone writes. The decision between them
//! is in `decide`.

mod act;
mod move_tail;
mod scan;

pub(super) use act::has_no_room;
pub(crate) use scan::witnessed_end;
pub(super) use scan::{end_of_full, start_of_last};

use std::sync::Arc;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::format::{CleanNote, DurableNote, Fault, SegmentHeader};
use crate::log::decide::{Decision, Evidence, Tail, Witnesses, decide};
use crate::log::sealer::Full;
use crate::log::segments::list_bases;
use crate::log::{Begin, META, Segments};
use crate::report::{IndexRecovery, RecoveryReport};
use crate::segment::{SegmentFile, records_start};
use crate::types::{LogEnd, Position, StoreKey};

/// A log that was scanned and not yet put right. Nothing can be read from it or appended to it.
#[derive(Debug)]
pub(crate) struct UnrecoveredLog {
    directory: Arc<dyn Directory>,
    key: StoreKey,
    bases: Vec<Position>,
    active: Arc<SegmentFile>,
    /// End of the last whole batch.
    valid_end: LogEnd,
    /// Offset of the record before that; 0 if there is none in the last segment.
    last_offset: u64,
    tail: Tail,
    witnesses: Witnesses,
    /// Whether a witness names another last record than there is.
    contradicted: bool,
    /// Why the scan stopped.
    stopped_by: Error,
    scanned_count: u64,
    /// Where the scan began.
    scanned_from: LogEnd,
    /// Where the first record stands that no record is known to have been durable from on.
    unproven_offset: u64,
    /// Full segments that are not known to be sealed, the last one first.
    unsealed: Vec<Full>,
    note: Note,
    /// How far the log was noted to be durable.
    durable_note: Option<DurableNote>,
}

/// The note of a clean close, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// There is none.
    Absent,
    /// It names this store and this end.
    Valid(CleanNote),
    /// There is one that says nothing.
    Useless,
}

impl UnrecoveredLog {
    /// Adds what the index knows to have been durable. One that names other records than there
    /// are is of a copy that went another way, and is built anew.
    pub(crate) fn add_index_checkpoint(&mut self, position: Position) {
        self.witnesses.index_checkpoint = Some(position);
    }

    /// How far a note says that the log was durable, if there is one. No index knows more then.
    pub(crate) fn noted_end(&self) -> Option<Position> {
        self.durable_note.map(|note| note.place.end)
    }

    /// Decides what the end of the log is, and puts it right if that loses nothing that was
    /// acknowledged. A full segment has `segment_len_max` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], having changed nothing, if something durable is damaged or missing.
    pub(crate) fn recover(self, segment_len_max: u64) -> Result<(Begin, RecoveryReport)> {
        let witnesses = self.witnesses;
        let decision = decide(&self.evidence());
        if decision == Decision::Refuse {
            return Err(self.refusal());
        }
        let was_closed = self.was_closed();
        let mut report = RecoveryReport {
            created: false,
            was_closed,
            end: self.valid_end.position,
            scanned_count: self.scanned_count,
            torn_tail: None,
            rewritten_len: 0,
            is_durable: true,
            sealed_count: 0,
            witness: witnesses.highest(),
            index: IndexRecovery::Current,
        };
        let begin = self.act(decision, segment_len_max, &mut report)?;
        Ok((begin, report))
    }

    /// The log as it can be read without changing anything, and what recovery would refuse to
    /// go on with.
    pub(crate) fn look(self) -> (Segments, Option<Error>) {
        let refused = decide(&self.evidence()) == Decision::Refuse;
        let Self { directory, key, bases, valid_end, .. } = &self;
        let segments = Segments::new(Arc::clone(directory), *key, bases.clone(), *valid_end);
        (segments, refused.then(|| self.refusal()))
    }

    /// How far the log is known to have been durable.
    pub(crate) fn witness(&self) -> Option<Position> {
        self.witnesses.highest().map(|(position, _)| position)
    }

    /// Whether the store was closed, and nothing was written since.
    pub(crate) fn was_closed(&self) -> bool {
        self.tail == Tail::Nothing && self.is_noted()
    }

    /// Whether the note of a clean close names this end.
    fn is_noted(&self) -> bool {
        let Note::Valid(note) = self.note else { return false };
        let LogEnd { position, address, checksum, .. } = self.valid_end;
        (note.end, note.address, note.checksum) == (position, address, checksum)
    }

    fn evidence(&self) -> Evidence {
        let Self { valid_end, tail, witnesses, contradicted, .. } = self;
        Evidence {
            valid_end: valid_end.position,
            tail: *tail,
            witnesses: *witnesses,
            contradicted: *contradicted,
        }
    }

    /// The error that says where the log is damaged.
    fn refusal(self) -> Error {
        let fault = match self.tail {
            _ if self.contradicted => Fault("the record that was the last one before"),
            Tail::Nothing => Fault("a record that was durable"),
            Tail::Footer => Fault("another segment after this one"),
            Tail::Bytes => return self.stopped_by,
        };
        self.active.corrupt(self.valid_end.address.offset, fault)
    }
}

/// Makes sure that a directory without `store.meta` holds no log, but at most the empty segment
/// that a creation begins with: a lost `store.meta` must not cost the events.
pub(crate) fn refuse_segments(directory: &dyn Directory) -> Result<()> {
    let path = directory.path_of(META);
    let expected = "the file that belongs to the segments in log";
    for base in list_bases(directory)? {
        let len = SegmentFile::len_of(directory, base)?;
        if base != Position::START || len > records_start() {
            return Err(Error::CorruptFile { path, expected });
        }
    }
    Ok(())
}

/// Creates the first segment of a new store.
pub(crate) fn create(directory: &dyn Directory, key: StoreKey) -> Result<()> {
    SegmentFile::create(directory, key, &SegmentHeader::first(key)).map(|_| ())
}
