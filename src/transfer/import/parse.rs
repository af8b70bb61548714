//! Lines made into events, by a thread of its own where one can be had.
//!
//! Owns how far reading may be ahead of appending.

use std::io::BufRead;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, scope};

use crate::error::Result;
use crate::sync::Mutex;
use crate::transfer::import::incoming::Incoming;
use crate::transfer::import::lines::Lines;
use crate::transfer::import::{Reader, latest};
use crate::types::Timestamp;

/// The most events that are handed over at once.
const CHUNK_COUNT: usize = 512;
/// Bytes of lines after which what there is is handed over.
const CHUNK_LEN: u64 = 256 << 10;
/// Chunks that may wait to be appended.
const WAITING_CHUNKS_MAX: usize = 4;

/// Events of lines that follow each other.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Each with the number of its line.
    pub(super) events: Vec<(u64, Incoming)>,
    /// How many lines were read so far.
    pub(super) line_count: u64,
    /// How many bytes were read so far.
    pub(super) read_len: u64,
    /// What ends the input after these events, if anything does.
    pub(super) end: Option<Result<()>>,
}

/// Reads lines and makes events of them.
#[derive(Debug)]
pub(super) struct Parser<'a, R> {
    lines: Lines<R>,
    reader: &'a Reader,
    /// The latest time at which anything can have happened.
    latest: Timestamp,
}

impl<'a, R: BufRead + Send> Parser<'a, R> {
    pub(super) fn new(input: R, reader: &'a Reader) -> Self {
        Self { lines: Lines::new(input), reader, latest: latest() }
    }

    /// Hands one chunk after the other to `take`, until the input ends or `take` breaks.
    pub(super) fn run(self, mut take: impl FnMut(Chunk) -> ControlFlow<()>) {
        let parser = Mutex::new(self);
        scope(|threads| {
            let (sender, receiver) = sync_channel(WAITING_CHUNKS_MAX);
            let send = || {
                let sender = sender;
                parser.lock().send(&sender);
            };
            let builder = Builder::new().name("annals-parse".to_owned());
            match builder.spawn_scoped(threads, send) {
                Ok(thread) => {
                    take_all(receiver, &mut take);
                    // A scope waits until its threads are done, and not until they are gone.
                    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
                }
                Err(_) => parser.lock().take_turns(&mut take),
            }
        });
    }

    /// The same without a thread.
    fn take_turns(&mut self, take: &mut impl FnMut(Chunk) -> ControlFlow<()>) {
        loop {
            let chunk = self.chunk();
            let is_last = chunk.end.is_some();
            if take(chunk).is_break() || is_last {
                return;
            }
        }
    }

    fn send(&mut self, to: &SyncSender<Chunk>) {
        loop {
            let chunk = self.chunk();
            let is_last = chunk.end.is_some();
            // Whoever takes chunks may have had enough.
            if to.send(chunk).is_err() || is_last {
                return;
            }
        }
    }

    /// The next chunk. Reads no further once it has an end.
    fn chunk(&mut self) -> Chunk {
        let mut chunk = Chunk::default();
        // An input may come line by line, for days.
        self.latest = latest();
        let start = self.lines.read_len();
        while chunk.end.is_none()
            && chunk.events.len() < CHUNK_COUNT
            && self.lines.read_len() - start < CHUNK_LEN
        {
            match self.event() {
                Ok(Some(event)) => chunk.events.push(event),
                Ok(None) => chunk.end = Some(Ok(())),
                Err(error) => chunk.end = Some(Err(error)),
            }
        }
        (chunk.line_count, chunk.read_len) = (self.lines.count(), self.lines.read_len());
        chunk
    }

    fn event(&mut self) -> Result<Option<(u64, Incoming)>> {
        let Some(line) = self.lines.next()? else { return Ok(None) };
        let read = self.reader.read(line.number, line.bytes, self.latest);
        read.map(|event| Some((line.number, event))).map_err(|fault| fault.in_line(line.number))
    }
}

fn take_all(chunks: Receiver<Chunk>, take: &mut impl FnMut(Chunk) -> ControlFlow<()>) {
    for chunk in chunks {
        if take(chunk).is_break() {
            return;
        }
    }
}
