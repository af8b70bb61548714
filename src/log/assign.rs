//! Giving places: to the events of one batch, in the group that takes batches.

use crate::format::{ToRecord, encode_record};
use crate::log::commit::State;
use crate::segment::records_start;
use crate::types::{Address, Entry, LogEnd, NameHash, Position};

/// Gives the events of one batch their places.
#[derive(Debug)]
pub(crate) struct Assign<'a> {
    state: &'a mut State,
    /// The end of the log after the events added so far.
    end: LogEnd,
    rolls: bool,
    bytes_before: usize,
    entries_before: usize,
    finished: bool,
}

impl<'a> Assign<'a> {
    pub(super) fn new(state: &'a mut State, rolls: bool) -> Self {
        let mut end = state.forming.end;
        if rolls {
            end.address = Address { segment: end.position, offset: records_start() };
        }
        let (bytes_before, entries_before) =
            (state.forming.bytes.len(), state.forming.entries.len());
        Self { state, end, rolls, bytes_before, entries_before, finished: false }
    }

    /// The end of the log, of all that has been assigned.
    pub(crate) fn end(&self) -> &LogEnd {
        &self.end
    }

    /// The durable end of the log, as it is known now.
    pub(crate) fn durable_end(&self) -> Position {
        self.state.durable
    }

    /// The end of what readers see, and of what whoever follows the log was told of.
    pub(crate) fn visible_end(&self) -> Position {
        self.state.written.position
    }

    /// How often places that had been given were taken back: of events that could not be written.
    pub(crate) fn retractions(&self) -> u64 {
        self.state.retractions
    }

    /// Adds the next event of the batch, of a stream whose name has this hash.
    pub(crate) fn push(&mut self, hash: NameHash, record: &ToRecord<'_>) {
        let forming = &mut self.state.forming;
        let len_before = forming.bytes.len();
        self.end.checksum = encode_record(record, &mut forming.bytes);
        let entry = Entry {
            hash,
            revision: record.revision,
            position: record.position,
            recorded_at: record.recorded_at,
            address: self.end.address,
        };
        forming.entries.push(record.stream, entry);
        let len = forming.bytes.len() - len_before;
        self.end.address.offset += u64::try_from(len).unwrap_or(u64::MAX);
        self.end.position = record.position.next();
        self.end.recorded_at = record.recorded_at;
    }

    /// Makes the batch part of the group.
    pub(super) fn finish(mut self) {
        self.finished = true;
        let forming = &mut self.state.forming;
        forming.rolls |= self.rolls;
        forming.end = self.end;
    }
}

impl Drop for Assign<'_> {
    /// Takes back what was added, if the batch was given up.
    fn drop(&mut self) {
        if !self.finished {
            self.state.forming.bytes.truncate(self.bytes_before);
            self.state.forming.entries.truncate(self.entries_before);
        }
    }
}
