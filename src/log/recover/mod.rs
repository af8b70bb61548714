//! Opening a log: scan, then decide, then act.
//!
//! Owns the scan, which only reads, and the act, which alone writes. The decision between them
//! is in `decide`.

mod act;
mod scan;

use std::sync::Arc;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::format::{Fault, SegmentHeader};
use crate::log::decide::{Decision, Evidence, Tail, Witnesses, decide};
use crate::log::{Begin, Segments};
use crate::report::{IndexRecovery, RecoveryReport};
use crate::segment::SegmentFile;
use crate::types::{LogEnd, Position, StoreId};

/// A log that was scanned and not yet put right. Nothing can be read from it or appended to it.
#[derive(Debug)]
pub(crate) struct UnrecoveredLog {
    directory: Arc<dyn Directory>,
    store: StoreId,
    bases: Vec<Position>,
    active: Arc<SegmentFile>,
    /// End of the last whole batch.
    valid_end: LogEnd,
    tail: Tail,
    witnesses: Witnesses,
    /// Why the scan stopped.
    stopped_by: Error,
    scanned_count: u64,
    /// Where the first record stands that no record is known to have been durable from on.
    unproven_offset: u64,
    /// Full segments without a footer, and their ends.
    unsealed: Vec<(Position, LogEnd)>,
    note: Note,
}

/// The note of a clean close, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// There is none.
    Absent,
    /// It names this store and this end.
    Valid(LogEnd),
    /// There is one that says nothing.
    Useless,
}

impl UnrecoveredLog {
    /// Adds what the index knows to have been durable.
    pub(crate) fn add_index_checkpoint(&mut self, position: Position) {
        self.witnesses.index_checkpoint = Some(position);
    }

    /// Decides what the end of the log is, and puts it right if that loses nothing that was
    /// acknowledged.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], having changed nothing, if something durable is damaged or missing.
    pub(crate) fn recover(self) -> Result<(Begin, RecoveryReport)> {
        let Self { tail, witnesses, .. } = self;
        let evidence = Evidence { valid_end: self.valid_end.position, tail, witnesses };
        let decision = decide(&evidence);
        if decision == Decision::Refuse {
            return Err(self.refusal());
        }
        let was_closed = self.note == Note::Valid(self.valid_end) && tail == Tail::Nothing;
        let mut report = RecoveryReport {
            created: false,
            was_closed,
            end: self.valid_end.position,
            scanned_count: self.scanned_count,
            torn_tail: None,
            rewritten_len: 0,
            sealed_count: 0,
            witness: witnesses.highest(),
            index: IndexRecovery::Current,
        };
        let begin = self.act(decision, &mut report)?;
        Ok((begin, report))
    }

    /// The log as it can be read without changing anything, and what recovery would refuse to
    /// go on with.
    pub(crate) fn look(self) -> (Segments, Option<Error>) {
        let evidence = Evidence {
            valid_end: self.valid_end.position,
            tail: self.tail,
            witnesses: self.witnesses,
        };
        let Self { directory, store, bases, valid_end, .. } = &self;
        let segments = Segments::new(Arc::clone(directory), *store, bases.clone(), *valid_end);
        let refused = decide(&evidence) == Decision::Refuse;
        (segments, refused.then(|| self.refusal()))
    }

    /// The error that says where the log is damaged.
    fn refusal(self) -> Error {
        let fault = match self.tail {
            Tail::Nothing => Fault("a record that was durable"),
            Tail::Footer => Fault("another segment after this one"),
            Tail::Bytes => return self.stopped_by,
        };
        self.active.corrupt(self.valid_end.address.offset, fault)
    }
}

/// Creates the first segment of a new store.
pub(crate) fn create(directory: &dyn Directory, store: StoreId) -> Result<()> {
    SegmentFile::create(directory, &SegmentHeader::first(store)).map(|_| ())
}
