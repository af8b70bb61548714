//! Fetching what is read next from the medium, while what is before it is looked at.
//!
//! Owns how far ahead that is. The system reads ahead by itself as well, but where much is to be done
//! with each byte it waits for whoever reads.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

use crate::segment::SegmentFile;

/// How far ahead of a reader is fetched.
const AHEAD_LEN: u64 = 32 << 20;
/// Bytes that are asked for at once: as much as systems take to heart.
const PIECE_LEN: u64 = 1 << 20;
/// A file with fewer bytes is not worth it.
const FILE_LEN_MIN: u64 = 4 << 20;

/// A range of a file that is to be fetched.
type Wanted = (Arc<SegmentFile>, Range<u64>);

/// Asks for what comes next in the files that are read from their start to their end, on a thread of
/// its own: to ask costs as much as to read what is there.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    /// `None` before it is worth a thread, and if none can be had.
    sender: Option<Sender<Wanted>>,
    /// Where in the file more is to be asked for, and up to where that was done.
    next: u64,
    asked: u64,
}

impl ReadAhead {
    pub(crate) fn new() -> Self {
        Self { sender: None, next: u64::MAX, asked: 0 }
    }

    /// Begins with another file, which is read up to `limit`.
    pub(crate) fn begin(&mut self, file: &Arc<SegmentFile>, limit: u64) {
        (self.next, self.asked) = (u64::MAX, 0);
        if limit < FILE_LEN_MIN {
            return;
        }
        if self.sender.is_none() {
            let (sender, receiver) = channel();
            let builder = Builder::new().name("annals-ahead".to_owned());
            // It ends with the last range once there is no more sender.
            self.sender = builder.spawn(move || ask(&receiver)).ok().map(|_| sender);
        }
        self.ask_from(file, 0, limit);
    }

    /// Takes note that the file was read up to `offset`.
    #[inline]
    pub(crate) fn reached(&mut self, file: &Arc<SegmentFile>, offset: u64, limit: u64) {
        if offset >= self.next {
            self.ask_from(file, offset, limit);
        }
    }

    fn ask_from(&mut self, file: &Arc<SegmentFile>, offset: u64, limit: u64) {
        let to = offset.saturating_add(AHEAD_LEN).min(limit);
        let wanted = self.asked.max(offset)..to;
        self.asked = to;
        self.next = if to < limit { offset.saturating_add(AHEAD_LEN / 2) } else { u64::MAX };
        if let Some(sender) = &self.sender {
            // A thread that is gone fetches nothing, and that is all.
            let _ = sender.send((Arc::clone(file), wanted));
        }
    }
}

fn ask(wanted: &Receiver<Wanted>) {
    for (file, range) in wanted {
        let mut offset = range.start;
        while offset < range.end {
            file.will_read(offset, PIECE_LEN.min(range.end - offset));
            offset = offset.saturating_add(PIECE_LEN);
        }
    }
}
