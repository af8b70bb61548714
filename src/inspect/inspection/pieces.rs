//! The segments of a store, each as far as its records should reach.
//!
//! Owns what is looked at where records may be damaged: the files as they are in the directory now.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::SegmentHeader;
use crate::inspect::Inspection;
use crate::segment::{Salvager, SegmentFile};
use crate::types::Position;
use crate::verify::Damage;

/// A segment, and where its records should end.
#[derive(Clone, Copy, Debug)]
pub(in crate::inspect) struct Piece {
    pub(in crate::inspect) base: Position,
    pub(in crate::inspect) stop: Position,
    /// Offset before which they must end, if that is not for the file to say.
    limit: Option<u64>,
}

impl Inspection {
    /// All segments that should have events.
    pub(in crate::inspect) fn pieces(&self) -> Vec<Piece> {
        let end = self.known_end();
        let bases = self.bases.iter().copied().filter(|base| *base <= end.address.segment);
        let next = bases.clone().skip(1).map(Some).chain([None]);
        let piece = |(base, next): (Position, Option<Position>)| Piece {
            base,
            stop: next.unwrap_or(end.position).max(base),
            limit: if next.is_none() { Some(end.address.offset) } else { None },
        };
        bases.zip(next).map(piece).collect()
    }

    /// The file of a segment: not one that is open already, for what is in the directory counts.
    pub(in crate::inspect) fn file(&self, base: Position) -> Result<Arc<SegmentFile>> {
        let segments = self.segments_seen();
        SegmentFile::open_to_read(&**segments.directory(), segments.key(), base).map(Arc::new)
    }

    /// Begins to read a segment; its header, or what is wrong with it, comes along.
    pub(in crate::inspect) fn salvager(
        &self,
        piece: &Piece,
    ) -> Result<(Salvager, Result<SegmentHeader>)> {
        Salvager::new(self.file(piece.base)?, piece.stop, piece.limit)
    }

    /// What there is to say if the first segments are missing.
    pub(in crate::inspect) fn missing_first(&self, pieces: &[Piece]) -> Option<Damage> {
        let end = pieces.first().map_or(self.known_end().position, |piece| piece.base);
        let expected = "the first segment";
        let error = Error::Corrupt { segment: Position::START, offset: 0, expected };
        (end > Position::START).then_some(Damage { error, positions: Position::START..end })
    }
}
