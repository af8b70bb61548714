//! Importing JSON Lines.

mod cloud;
mod exact;
mod fields;
mod incoming;
mod known;
mod lines;
mod load;
mod parse;
mod plain;

use std::io::BufRead;
use std::ops::ControlFlow;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::transfer::import::incoming::{Incoming, LineFault};
use crate::transfer::import::known::{Known, Standing};
use crate::transfer::import::load::{Load, Numbering};
use crate::transfer::import::parse::{Chunk, Parser};
use crate::types::Timestamp;

pub use cloud::CloudEvents;
pub use plain::{PlainLines, TimeUnit};

/// How far ahead of the clock an event may have happened, in nanoseconds: clocks differ. The store's
/// own times must not come to lie behind for long.
const AHEAD_MAX_NS: i64 = 86_400_000_000_000;

/// What the lines of an input are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LineFormat {
    /// Events of a store, as [`push_exact_json_line`](crate::inspect::push_exact_json_line) writes
    /// them.
    Exact,
    /// CloudEvents.
    CloudEvents(CloudEvents),
    /// JSON objects of any kind.
    Plain(PlainLines),
}

/// An import of JSON Lines into a store.
///
/// Events are appended in the order of their lines, in batches: those of the store that they come
/// from, or else events of one time, at most 1,000 of them. All is durable when
/// [`Import::run`] returns, whatever it returns, and every 16 MiB before that.
///
/// Of an input that begins as one that was imported before, only the rest is appended: its lines are
/// compared, in their order, with the events in the store, which are read for that. So an import that
/// was ended, by a kill or a loss of power, is simply begun again, and a file that grows can be
/// imported now and then. Events that others have appended meanwhile do no harm. From the first line
/// on whose event is not in the store, all are appended: what stands there in another order, or behind
/// lines that are new, is not found and appended again.
///
/// By default the lines of a store go into a store that is equal to it up to there, an empty one to
/// begin with, and become equal facts: the same positions, revisions, times, ids and batches, or
/// nothing. With [`Import::renumbered`] they go into any store, and get the positions and revisions
/// that come next there.
///
/// Where times are not those of the store, an event is recorded at its own time if that is after the
/// one of the event before, and otherwise one nanosecond after that: recorded times never go back.
/// [`ImportProgress::moved_count`] tells for how many that was so.
#[derive(Clone, Debug)]
pub struct Import {
    format: LineFormat,
    numbering: Numbering,
    progress: ImportProgress,
}

/// How far an import has come, and what it has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportProgress {
    /// Lines that were read, empty ones included.
    pub line_count: u64,
    /// Bytes of them.
    pub read_len: u64,
    /// Events that were in the store already.
    pub known_count: u64,
    /// Events that were appended.
    pub imported_count: u64,
    /// Batches that were appended.
    pub batch_count: u64,
    /// Events that were recorded later than at their own time.
    pub moved_count: u64,
}

/// Whether an import has come to the end of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completeness {
    /// It has.
    Whole,
    /// Whoever watched has ended it.
    Partial,
}

impl Import {
    /// An import of lines of this format.
    #[must_use]
    pub fn new(format: LineFormat) -> Self {
        let progress = ImportProgress::default();
        Self { format, numbering: Numbering::default(), progress }
    }

    /// Lets events that come from a store get other positions, revisions and, if theirs are not
    /// after all that is there, times: for a part of a store, or to bring two together. Other
    /// formats know no positions, and it changes nothing for them.
    #[must_use]
    pub fn renumbered(mut self) -> Self {
        self.numbering = Numbering::Anew;
        self
    }

    /// What the import has done so far, or had done when it ended.
    #[must_use]
    pub fn progress(&self) -> &ImportProgress {
        &self.progress
    }

    /// Imports all lines of `input` into `store`, which nobody else should append to meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidLine`](crate::Error::InvalidLine) if a line is no event, or does not fit into
    /// the store; also if the input ends within a batch. What an append fails with, and
    /// [`Error::Io`](crate::Error::Io) if the input cannot be read. What was before is in the store,
    /// in whole batches, and [`Import::progress`] tells how much.
    pub fn run(&mut self, store: &Store, input: impl BufRead + Send) -> Result<()> {
        self.run_watched(store, input, |_| ControlFlow::Continue(())).map(|_| ())
    }

    /// As [`Import::run`], and calls `watch` now and then, which may end the import by
    /// returning [`ControlFlow::Break`], and says whether it did.
    ///
    /// # Errors
    ///
    /// As [`Import::run`].
    pub fn run_watched(
        &mut self,
        store: &Store,
        input: impl BufRead + Send,
        watch: impl FnMut(&ImportProgress) -> ControlFlow<()>,
    ) -> Result<Completeness> {
        self.progress = ImportProgress::default();
        let loaded = self.load(store, input, watch);
        // What was imported before an error is to stay as well.
        let synced = if self.progress.imported_count > 0 { store.sync() } else { Ok(()) };
        loaded.and_then(|completeness| synced.map(|()| completeness))
    }

    fn load(
        &mut self,
        store: &Store,
        input: impl BufRead + Send,
        mut watch: impl FnMut(&ImportProgress) -> ControlFlow<()>,
    ) -> Result<Completeness> {
        let mut known = Known::of(store);
        let mut load = Load::new(store, self.numbering)?;
        let reader = Reader { format: self.format.clone(), numbering: self.numbering };
        let mut ended = None;
        Parser::new(input, &reader).run(|chunk| {
            ended = self.take(chunk, &mut known, &mut load).transpose();
            if ended.is_none() && watch(&self.progress).is_continue() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        ended.unwrap_or(Ok(Completeness::Partial))
    }

    /// Appends the events of a chunk; at the end of the input, what has been waiting as well.
    fn take(
        &mut self,
        chunk: Chunk,
        known: &mut Known,
        load: &mut Load<'_>,
    ) -> Result<Option<Completeness>> {
        let (line_count, read_len, end) = (chunk.line_count, chunk.read_len, chunk.end);
        let taken = chunk
            .events
            .into_iter()
            .try_for_each(|(line, incoming)| self.take_one(line, incoming, known, load));
        self.progress.line_count = line_count;
        self.progress.read_len = read_len;
        match (taken, end) {
            (Ok(()), None) => Ok(None),
            (Ok(()), Some(Ok(()))) => {
                load.finish(&mut self.progress).map(|()| Some(Completeness::Whole))
            }
            (Err(error), _) | (Ok(()), Some(Err(error))) => {
                // A line that cannot be imported takes nothing with it that came before.
                if matches!(error, Error::InvalidLine { .. }) {
                    load.append_before_fault(&mut self.progress)?;
                }
                Err(error)
            }
        }
    }

    fn take_one(
        &mut self,
        line: u64,
        incoming: Incoming,
        known: &mut Known,
        load: &mut Load<'_>,
    ) -> Result<()> {
        let standing = self.standing(known, &incoming)?;
        match standing.map_err(|fault| fault.in_line(line))? {
            Standing::Known => self.progress.known_count += 1,
            Standing::New => load.add(line, incoming, &mut self.progress)?,
        }
        Ok(())
    }

    fn standing(
        &self,
        known: &mut Known,
        incoming: &Incoming,
    ) -> Result<Result<Standing, LineFault>> {
        match incoming.place {
            Some(place) if self.numbering == Numbering::Kept => {
                known.expect(incoming, place.position)
            }
            _ => known.find(incoming).map(Ok),
        }
    }
}

/// Makes events of lines.
#[derive(Debug)]
struct Reader {
    format: LineFormat,
    numbering: Numbering,
}

impl Reader {
    /// Reads a line; `latest` is the latest time at which anything can have happened.
    fn read(&self, number: u64, line: &[u8], latest: Timestamp) -> Result<Incoming, LineFault> {
        let incoming = match &self.format {
            // What keeps its place keeps its time as well.
            LineFormat::Exact if self.numbering == Numbering::Kept => return exact::read(line),
            LineFormat::Exact => exact::read(line)?,
            LineFormat::CloudEvents(cloud) => cloud.read(line)?,
            LineFormat::Plain(plain) => plain.read(number, line)?,
        };
        if incoming.time.is_some_and(|time| time > latest) {
            return Err(LineFault::new("its time is more than a day in the future"));
        }
        Ok(incoming)
    }
}

/// The latest time at which anything can have happened.
fn latest() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now().as_nanos().saturating_add(AHEAD_MAX_NS))
}
