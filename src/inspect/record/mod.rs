//! One record with all that frames it, as it stands on disk.
//!
//! Owns what is found out of it. What its bytes mean is known to the format.

#[cfg(feature = "json")]
mod json;
mod text;

use std::ops::Range;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::format::{Record, RecordPart, record_parts};
use crate::inspect::Inspection;
use crate::inspect::inspection::Piece;
use crate::segment::{Salvaged, Salvager};
use crate::types::Position;

/// The most bytes that are read of a record that is damaged.
const DAMAGED_LEN_MAX: usize = 4 << 10;

/// What stands where the record of an event should. From [`Inspection::record`].
#[derive(Debug)]
#[non_exhaustive]
pub enum FoundRecord {
    /// A sound record.
    Sound(Box<ShownRecord>),
    /// Something else.
    Damaged(DamagedRecord),
}

/// A record, and what is known of its place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShownRecord {
    /// The event.
    pub event: Event,
    /// The first position of its segment, which names its file.
    pub segment: Position,
    /// Byte offset in that file.
    pub offset: u64,
    /// All bytes of the record.
    pub bytes: Vec<u8>,
    /// Its checksum, as it stands there.
    pub checksum: u32,
    /// Its checksum, computed of its bytes.
    pub computed_checksum: u32,
    /// The checksum of the record before, as it stands in this one.
    pub chain: u32,
    /// The checksum of the record before, as it stands in that one or, for the first record of a
    /// segment, in the header; `None` if that is damaged.
    pub checksum_before: Option<u32>,
    /// The durability witness: every event before this position was known to be durable when this
    /// record was written; `None` if nothing was known.
    pub durable_end: Option<Position>,
    /// The positions of its batch; `None` if a record of it is damaged.
    pub batch: Option<Range<Position>>,
    /// The consumer that its batch has moved, and to where.
    pub progress: Option<(String, Position)>,
}

/// What stands where a record should.
#[derive(Debug)]
#[non_exhaustive]
pub struct DamagedRecord {
    /// What is wrong, and where.
    pub error: Error,
    /// The events that cannot be read for that reason.
    pub positions: Range<Position>,
    /// The first position of the segment that should have it, which names its file.
    pub segment: Position,
    /// Byte offset in that file.
    pub offset: u64,
    /// Bytes from there to the next sound record, or to where the records should end.
    pub len: u64,
    /// The first of those bytes, at most 4,096.
    pub bytes: Vec<u8>,
}

impl Inspection {
    /// The record of the event at `position`, or what stands there in its place; `None` if the log
    /// does not reach that far. Reads its segment from the first record on.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] from reading its bytes once more.
    pub fn record(&self, position: Position) -> Result<Option<FoundRecord>> {
        let pieces = self.pieces();
        if position >= self.known_end().position {
            return Ok(None);
        }
        if let Some(missing) = self.missing_first(&pieces)
            && missing.positions.contains(&position)
        {
            let damaged = DamagedRecord::without_bytes(missing.error, missing.positions);
            return Ok(Some(FoundRecord::Damaged(damaged)));
        }
        let piece = pieces.iter().find(|piece| (piece.base..piece.stop).contains(&position));
        piece.map(|piece| self.record_of(piece, position)).transpose()
    }

    fn record_of(&self, piece: &Piece, position: Position) -> Result<FoundRecord> {
        let (mut salvager, header) = match self.salvager(piece) {
            Ok(opened) => opened,
            Err(error) => {
                let damaged = DamagedRecord::without_bytes(error, piece.base..piece.stop);
                return Ok(FoundRecord::Damaged(damaged));
            }
        };
        let mut checksum_before = header.ok().map(|header| header.chain);
        let mut batch_start = Some(piece.base);
        loop {
            let (offset, at) = salvager.place();
            match salvager.advance() {
                Salvaged::Record if at == position => {
                    let mut shown = ShownRecord::of(&salvager, (piece.base, offset), self.seed())?;
                    shown.checksum_before = checksum_before;
                    let end = batch_end(&mut salvager);
                    shown.batch = batch_start.zip(end).map(|(start, end)| start..end);
                    return Ok(FoundRecord::Sound(Box::new(shown)));
                }
                Salvaged::Record => {
                    let record = salvager.record();
                    checksum_before = Some(record.checksum);
                    if record.parts.ends_batch {
                        batch_start = Some(record.end());
                    }
                }
                Salvaged::Gap(error, positions) if positions.contains(&position) => {
                    let damaged = DamagedRecord::of(&salvager, (piece.base, offset), error);
                    return Ok(FoundRecord::Damaged(DamagedRecord { positions, ..damaged }));
                }
                Salvaged::Gap(..) => (checksum_before, batch_start) = (None, None),
                Salvaged::End => {
                    let expected = "a segment that reaches as far as the log does";
                    let error = Error::Corrupt { segment: piece.base, offset, expected };
                    let damaged = DamagedRecord::of(&salvager, (piece.base, offset), error);
                    return Ok(FoundRecord::Damaged(damaged));
                }
            }
        }
    }

    fn seed(&self) -> u32 {
        self.segments_seen().key().seed
    }
}

/// Where the batch of the record that was read last ends.
fn batch_end(salvager: &mut Salvager) -> Option<Position> {
    loop {
        let record = salvager.record();
        if record.parts.ends_batch {
            return Some(record.end());
        }
        if !matches!(salvager.advance(), Salvaged::Record) {
            return None;
        }
    }
}

impl DamagedRecord {
    fn without_bytes(error: Error, positions: Range<Position>) -> Self {
        let segment = positions.start;
        Self { error, positions, segment, offset: 0, len: 0, bytes: Vec::new() }
    }

    /// What stands at `offset`, where `salvager` has just found no record.
    fn of(salvager: &Salvager, (segment, offset): (Position, u64), error: Error) -> Self {
        let (next, at) = salvager.place();
        let end = if next == offset { salvager.end_place().0 } else { next };
        let len = end.saturating_sub(offset);
        let shown = usize::try_from(len).unwrap_or(usize::MAX).min(DAMAGED_LEN_MAX);
        // What cannot be read is not shown.
        let bytes = salvager.bytes(offset, shown).unwrap_or_default();
        Self { error, positions: at..at, segment, offset, len, bytes }
    }

    /// The parts that the bytes claim to have, the names of which
    /// `docs/format.md` explains.
    #[must_use]
    pub fn fields(&self) -> Vec<RecordField> {
        record_parts(&self.bytes).into_iter().map(RecordField::from).collect()
    }
}

/// A named part of the bytes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordField {
    /// What it is.
    pub name: &'static str,
    /// Which bytes of the record.
    pub bytes: Range<usize>,
    /// What it says; empty where the bytes say it themselves.
    pub value: String,
}

impl From<RecordPart> for RecordField {
    fn from(part: RecordPart) -> Self {
        Self { name: part.name, bytes: part.start..part.end, value: part.value }
    }
}

impl ShownRecord {
    /// The record that `salvager` has just read at `offset`.
    fn of(salvager: &Salvager, (segment, offset): (Position, u64), seed: u32) -> Result<Self> {
        let record = *salvager.record();
        let bytes = salvager.bytes(offset, usize::try_from(record.len).unwrap_or(0))?;
        let progress = salvager.progress().map(|(name, position)| (name.to_owned(), position));
        Ok(Self {
            event: salvager.view().to_event(),
            segment,
            offset,
            checksum: record.checksum,
            computed_checksum: Record::checksum_of(&bytes, seed),
            bytes,
            chain: record.previous,
            checksum_before: None,
            durable_end: record.witness,
            batch: None,
            progress,
        })
    }

    /// The parts of its bytes, the names of which `docs/format.md` explains.
    #[must_use]
    pub fn fields(&self) -> Vec<RecordField> {
        record_parts(&self.bytes).into_iter().map(RecordField::from).collect()
    }
}
