//! Making an index know what the log holds.
//!
//! Owns how the work is shared: one thread reads the log, one adds to the index what it has read,
//! and one writes checkpoints meanwhile. Where there may be no threads, one after the other.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, Scope, scope};

use crate::error::{Error, Result};
use crate::index::{Index, IndexFault};
use crate::log::{Log, Segments};
use crate::options::Progress;
use crate::report::IndexTrouble;
use crate::segment::Scanner;
use crate::sync::{AtomicBool, Ordering};
use crate::trace::span;
use crate::types::{Address, Entries, Entry, LogEnd, NameHasher, Position};

/// Events that are given to the index at once, or a few more: batches stay whole.
const CHUNK_COUNT: usize = 4_096;
/// Chunks that may wait to be added.
const WAITING_CHUNKS_MAX: usize = 4;
/// Fewer events than this are not worth a thread.
const SHARED_COUNT_MIN: u64 = 16_384;
/// Checkpoints that are written as one: a stream that is in several of them costs as much in each.
const CHECKPOINTS_AT_ONCE: u64 = 4;

/// Who shares the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workers {
    /// Whoever calls.
    Caller,
    /// The caller and threads beside it.
    Threads,
}

/// What an index is to be made to know.
#[derive(Debug)]
pub(super) struct CatchUp<'a> {
    pub(super) index: &'a Index,
    pub(super) log: &'a Log,
    pub(super) segments: &'a Segments,
    pub(super) progress: Option<&'a Progress>,
    pub(super) workers: Workers,
    /// Whether it is to end before it is done.
    pub(super) is_cancelled: &'a AtomicBool,
}

/// Events that follow each other, the last of which ends its batch.
struct Chunk {
    entries: Entries,
    end: LogEnd,
}

impl CatchUp<'_> {
    /// Adds to the index all events from `checkpoint` on, or all there are, and returns how many.
    pub(super) fn run(&self, checkpoint: Option<&LogEnd>) -> Result<u64, IndexTrouble> {
        let end = self.segments.visible();
        let begin = checkpoint.map_or(Position::START, |checkpoint| checkpoint.position);
        if let Some(checkpoint) = checkpoint.filter(|known| known.position >= end.position) {
            let same = checkpoint.position == end.position && checkpoint.checksum == end.checksum;
            return if same { Ok(0) } else { Err(IndexTrouble::OtherLog) };
        }
        let range = Range { checkpoint, begin, end: end.position };
        let total = end.position.since(begin);
        let is_shared = self.workers == Workers::Threads && total >= SHARED_COUNT_MIN;
        let shared = if is_shared { self.share(&range) } else { None };
        let (outcome, read) = shared.unwrap_or_else(|| self.work(&range));
        match (outcome, self.index.fault()) {
            (_, Some(fault)) => Err(IndexTrouble::Failed { detail: fault.to_string() }),
            (Ok(()), None) if !self.is_wanted() => Err(IndexTrouble::LogNotDurable),
            (Ok(()), None) => Ok(total),
            (Err(error), None) => match checkpoint.filter(|_| read == begin) {
                // Nothing follows from the checkpoint: it may be of another log.
                Some(checkpoint) if self.contradicts(checkpoint).unwrap_or(false) => {
                    Err(IndexTrouble::OtherLog)
                }
                _ => Err(IndexTrouble::LogUnreadable { detail: error.to_string() }),
            },
        }
    }

    /// Whether the log, which is longer, has not come by `checkpoint`. Reads one segment up to there.
    ///
    /// # Errors
    ///
    /// If that cannot be told, for the log is damaged before it, or lacks what was there.
    fn contradicts(&self, checkpoint: &LogEnd) -> Result<bool> {
        let Address { segment, offset } = checkpoint.address;
        let mut scanner = match self.segments.scan(segment) {
            Err(error) if error.is_missing_file() => {
                return self.segments.reach(segment).map(|()| true);
            }
            other => other?,
        };
        let limit = self.segments.limit(scanner.file())?;
        let next = self.segments.after(segment);
        let stop = next.map_or(checkpoint.position, |next| next.min(checkpoint.position));
        while scanner.offset() < offset && scanner.position() < stop {
            scanner.advance(limit)?;
        }
        Ok(scanner.end().as_ref() != Some(checkpoint))
    }

    /// Does it all, and says how far it has read.
    fn work(&self, range: &Range<'_>) -> (Result<()>, Position) {
        let mut reader = Reader::new(self.segments);
        let outcome = reader.read(range, |mut chunk| {
            self.add(range, &chunk);
            if self.index.holds_checkpoints(CHECKPOINTS_AT_ONCE)
                && let Some(end) = self.index.freeze()
            {
                self.write(end);
            }
            chunk.entries.clear();
            self.go_on(chunk.entries)
        });
        (outcome, reader.position)
    }

    /// Does it with the help of threads; `None` if none can be had, and nothing was done.
    fn share(&self, range: &Range<'_>) -> Option<(Result<()>, Position)> {
        scope(|scope| {
            let (chunks, received) = sync_channel(WAITING_CHUNKS_MAX);
            let (rooms, emptied) = channel();
            let read = move || {
                let mut reader = Reader::new(self.segments);
                let outcome = reader.read(range, |chunk| give(&chunks, &emptied, chunk));
                (outcome, reader.position)
            };
            let builder = Builder::new().name("annals-index-read".to_owned());
            let reader = builder.spawn_scoped(scope, read).ok()?;
            let writer = Writer::start(self, scope);
            self.add_all(range, received, &rooms, writer.as_ref());
            Some(reader.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    fn add_all(
        &self,
        range: &Range<'_>,
        received: Receiver<Chunk>,
        rooms: &Sender<Entries>,
        writer: Option<&Writer>,
    ) {
        for mut chunk in received {
            self.add(range, &chunk);
            if self.index.holds_checkpoints(CHECKPOINTS_AT_ONCE) {
                self.checkpoint(writer);
            }
            chunk.entries.clear();
            // An index that has failed learns no more: the reader is told by that this ends.
            let ControlFlow::Continue(room) = self.go_on(chunk.entries) else { return };
            let _ = rooms.send(room);
        }
    }

    fn add(&self, range: &Range<'_>, chunk: &Chunk) {
        self.index.add(&chunk.entries, chunk.end);
        self.index.take_in();
        if let Some(progress) = self.progress {
            let done = chunk.end.position.since(range.begin);
            progress.report(done, range.end.since(range.begin));
        }
    }

    fn go_on(&self, room: Entries) -> ControlFlow<(), Entries> {
        if self.index.has_failed() || !self.is_wanted() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(room)
    }

    /// Whether there is a use in going on. A log that cannot be synced lets no checkpoint be written, and
    /// memory would grow.
    fn is_wanted(&self) -> bool {
        !self.is_cancelled.load(Ordering::Relaxed) && self.log.takes_appends()
    }

    /// Has a checkpoint written, once the one before it is.
    fn checkpoint(&self, writer: Option<&Writer>) {
        if let Some(writer) = writer {
            // If it is gone, it has failed, and whoever joins it is told.
            let _ = writer.idle.recv();
        }
        let Some(end) = self.index.freeze() else { return };
        match writer {
            Some(writer) => _ = writer.ends.send(end),
            None => self.write(end),
        }
    }

    /// Writes what was frozen up to `end`, and merges what has become much.
    fn write(&self, end: LogEnd) {
        let end = end.position;
        if self.log.may_reach(end) {
            // A failure is kept with the index.
            let _ = write_frozen(self.index, end, |end| bear_witness(self.log, end));
        }
        while self.index.tidy().unwrap_or(false) {}
    }
}

/// The thread that writes checkpoints.
struct Writer {
    /// Says each time that it has nothing to do.
    idle: Receiver<()>,
    /// Takes the end of what is to be written.
    ends: Sender<LogEnd>,
}

impl Writer {
    /// Starts it, if a thread can be had.
    fn start<'s>(work: &'s CatchUp<'_>, scope: &'s Scope<'s, '_>) -> Option<Self> {
        let ((is_idle, idle), (ends, wanted)) = (channel(), channel());
        let write = move || {
            while is_idle.send(()).is_ok() {
                let Ok(end) = wanted.recv() else { return };
                work.write(end);
            }
        };
        let builder = Builder::new().name("annals-index-write".to_owned());
        builder.spawn_scoped(scope, write).ok().map(|_| Self { idle, ends })
    }
}

/// Gives a chunk to whoever adds it, and takes the memory of another.
fn give(
    chunks: &SyncSender<Chunk>,
    emptied: &Receiver<Entries>,
    chunk: Chunk,
) -> ControlFlow<(), Entries> {
    match chunks.send(chunk) {
        Ok(()) => ControlFlow::Continue(emptied.try_recv().unwrap_or_default()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// What keeps an index from naming what it was handed.
#[derive(Debug)]
pub(super) enum Unwitnessed {
    /// The log could not be made durable so far.
    NotDurable(Error),
    /// What opening finds noted may be behind that.
    NoNote,
}

/// Makes the log durable up to `end`, and the note of that as well: what opening finds noted must not fall
/// behind the index, which it then need not ask.
pub(super) fn bear_witness(log: &Log, end: Position) -> Result<(), Unwitnessed> {
    log.sync_to(end).map_err(Unwitnessed::NotDurable)?;
    log.note_to(end).map_err(|_| Unwitnessed::NoNote)
}

/// Hands to the tree of an index what was frozen, which ends at `end`, once `witness` has returned.
///
/// # Errors
///
/// If what it names cannot be made durable. A failure of the index is kept with it.
pub(super) fn write_frozen(
    index: &Index,
    end: Position,
    witness: impl FnOnce(Position) -> Result<(), Unwitnessed>,
) -> Result<()> {
    span!(DEBUG, "checkpoint", end = end.get());
    let mut outcome = Ok(());
    let _ = index.write_frozen(|| match witness(end) {
        Ok(()) => Ok(true),
        Err(Unwitnessed::NoNote) => Err(IndexFault::NoNote),
        Err(Unwitnessed::NotDurable(error)) => {
            outcome = Err(error);
            Ok(false)
        }
    });
    outcome
}

/// What is to be read.
struct Range<'a> {
    checkpoint: Option<&'a LogEnd>,
    begin: Position,
    end: Position,
}

/// Reads events for an index, chunk by chunk.
struct Reader<'a> {
    segments: &'a Segments,
    hasher: NameHasher,
    entries: Entries,
    /// The position up to which the log was read.
    position: Position,
}

impl<'a> Reader<'a> {
    fn new(segments: &'a Segments) -> Self {
        let hasher = NameHasher::of(segments.store());
        Self { segments, hasher, entries: Entries::default(), position: Position::START }
    }

    /// Hands to `give` all events of a range, and takes memory for the next of them, until it breaks
    /// off.
    fn read(
        &mut self,
        range: &Range<'_>,
        mut give: impl FnMut(Chunk) -> ControlFlow<(), Entries>,
    ) -> Result<()> {
        self.position = range.begin;
        let segments = self.segments;
        let mut scanner = match range.checkpoint {
            Some(checkpoint) => segments.scan_from(checkpoint)?,
            None => segments.scan(Position::START)?,
        };
        while scanner.position() < range.end {
            scanner = segments.cross(scanner)?;
            let limit = segments.limit(scanner.file())?;
            let stop =
                segments.after(scanner.segment()).map_or(range.end, |next| next.min(range.end));
            while scanner.position() < stop {
                self.take(&mut scanner, limit)?;
                let is_full = self.entries.len() >= CHUNK_COUNT || scanner.position() == stop;
                let Some(end) = scanner.end().filter(|_| is_full) else { continue };
                let entries = std::mem::take(&mut self.entries);
                match give(Chunk { entries, end }) {
                    ControlFlow::Continue(room) => self.entries = room,
                    ControlFlow::Break(()) => return Ok(()),
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, scanner: &mut Scanner, limit: u64) -> Result<()> {
        let (record, address) = scanner.read(limit)?;
        self.position = scanner.position();
        let name = scanner.stream(&record);
        let entry = Entry {
            hash: self.hasher.hash(name),
            revision: record.parts.revision,
            position: record.parts.position,
            recorded_at: record.parts.recorded_at,
            address,
        };
        self.entries.push(name, entry);
        Ok(())
    }
}
