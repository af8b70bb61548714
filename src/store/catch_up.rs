//! Making an index know what the log holds.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::Record;
use crate::index::{Index, IndexFault};
use crate::log::{Log, Segments};
use crate::options::Progress;
use crate::report::IndexTrouble;
use crate::segment::Scanner;
use crate::types::{Address, Entry, LogEnd, Position};

/// Events that are given to the index at once, or a few more: batches stay whole.
const CHUNK_COUNT: usize = 4_096;
/// Names that are remembered, so that events of a stream share one.
const NAMES_COUNT_MAX: usize = 64 << 10;

/// Adds to `index` all events from `checkpoint` on, or all there are, and returns how many.
pub(super) fn catch_up(
    index: &Index,
    log: &Log,
    segments: &Segments,
    checkpoint: Option<&LogEnd>,
    progress: Option<&Progress>,
) -> Result<u64, IndexTrouble> {
    let end = segments.visible();
    let begin = checkpoint.map_or(Position::START, |checkpoint| checkpoint.position);
    if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.position >= end.position) {
        let same = checkpoint.position == end.position && checkpoint.checksum == end.checksum;
        return if same { Ok(0) } else { Err(IndexTrouble::OtherLog) };
    }
    let total = end.position.since(begin);
    let scanner = match checkpoint {
        Some(checkpoint) => segments.scan_from(checkpoint),
        None => segments.scan(Position::START),
    };
    let mut filler = Filler { index, log, names: HashSet::new(), entries: Vec::new(), read: begin };
    let outcome = scanner.and_then(|scanner| {
        filler.fill(segments, scanner, end.position, |position| {
            if let Some(progress) = progress {
                progress.report(position.since(begin), total);
            }
        })
    });
    match (outcome, index.fault()) {
        (_, Some(fault)) => Err(IndexTrouble::Failed { detail: fault.to_string() }),
        (Ok(()), None) => Ok(total),
        // What follows the checkpoint does not follow from it.
        (Err(Error::Corrupt { .. }), None) if checkpoint.is_some() && filler.read == begin => {
            Err(IndexTrouble::OtherLog)
        }
        (Err(error), None) => Err(IndexTrouble::LogUnreadable { detail: error.to_string() }),
    }
}

/// Hands to the tree of an index what it has in memory.
///
/// # Errors
///
/// If what it names cannot be made durable. A failure of the index is kept with it.
pub(super) fn write_checkpoint(index: &Index, log: &Log) -> Result<()> {
    if let Some(end) = index.freeze() {
        // A checkpoint bears witness, so what it names must be durable.
        log.sync_to(end.position)?;
        // What opening finds noted must not fall behind the index, which it then need not ask.
        if log.note_to(end.position).is_err() {
            index.mark_broken(IndexFault::NoNote);
        }
        let _ = index.write_frozen();
    }
    Ok(())
}

/// Gives events to an index, chunk by chunk.
struct Filler<'a> {
    index: &'a Index,
    log: &'a Log,
    names: HashSet<Arc<str>>,
    entries: Vec<Entry>,
    /// The position up to which the log was read.
    read: Position,
}

impl Filler<'_> {
    fn fill(
        &mut self,
        segments: &Segments,
        mut scanner: Scanner,
        end: Position,
        report: impl Fn(Position),
    ) -> Result<()> {
        while scanner.position() < end {
            scanner = segments.cross(scanner)?;
            let file = segments.file(scanner.segment())?;
            let limit = segments.limit(&file)?;
            let stop = segments.after(scanner.segment()).map_or(end, |next| next.min(end));
            while scanner.position() < stop {
                let (record, address) = scanner.read(limit)?;
                self.add(&record, scanner.stream(&record), address);
                self.read = scanner.position();
                if self.entries.len() >= CHUNK_COUNT || scanner.position() == stop {
                    self.hand_over(scanner.end());
                    report(scanner.position());
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, record: &Record, stream: &str, address: Address) {
        let stream = self.names.get(stream).cloned().unwrap_or_else(|| self.remember(stream));
        self.entries.push(Entry {
            stream,
            revision: record.parts.revision,
            position: record.parts.position,
            recorded_at: record.parts.recorded_at,
            address,
        });
    }

    fn remember(&mut self, stream: &str) -> Arc<str> {
        if self.names.len() >= NAMES_COUNT_MAX {
            self.names.clear();
        }
        let name: Arc<str> = stream.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// Gives the entries to the index, if the last one ended its batch.
    fn hand_over(&mut self, end: Option<LogEnd>) {
        let Some(end) = end else { return };
        self.index.add(&self.entries, end);
        self.entries.clear();
        if self.index.is_checkpoint_due() {
            // A failure is kept with the index.
            let _ = write_checkpoint(self.index, self.log);
            while self.index.tidy().unwrap_or(false) {}
        }
    }
}
