//! Torn tail or damage: the decision, as a pure function of named evidence.
//!
//! Owns `docs/format.md`, section 9. Reads nothing and changes nothing.

use crate::report::Witness;
use crate::types::Position;

/// Places that were durable, each from something that can only name such places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Witnesses {
    pub(crate) segment_header: Option<Position>,
    pub(crate) segment_footer: Option<Position>,
    pub(crate) record: Option<Position>,
    pub(crate) clean_close: Option<Position>,
    pub(crate) durable_note: Option<Position>,
    pub(crate) consumer: Option<Position>,
    pub(crate) index_checkpoint: Option<Position>,
}

impl Witnesses {
    /// The highest place named, and by what.
    pub(crate) fn highest(&self) -> Option<(Position, Witness)> {
        [
            (self.segment_header, Witness::SegmentHeader),
            (self.segment_footer, Witness::SegmentFooter),
            (self.record, Witness::Record),
            (self.clean_close, Witness::CleanClose),
            (self.durable_note, Witness::DurableNote),
            (self.consumer, Witness::Consumer),
            (self.index_checkpoint, Witness::IndexCheckpoint),
        ]
        .into_iter()
        .filter_map(|(position, witness)| Some((position?, witness)))
        .max_by_key(|(position, _)| *position)
    }
}

/// What stands after the valid end in the last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing but zeroes, with which segments are prepared.
    Nothing,
    /// Bytes that are not a whole batch that follows.
    Bytes,
    /// A footer, so another segment must follow and does not.
    Footer,
}

/// All that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    /// End of the last whole batch that a scan has reached.
    pub(crate) valid_end: Position,
    pub(crate) tail: Tail,
    pub(crate) witnesses: Witnesses,
    /// Whether a witness that names the valid end names another record before it.
    pub(crate) contradicted: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Go on from the valid end.
    GoOn,
    /// Cut what comes after the valid end, then go on.
    Cut,
    /// Touch nothing: something durable is damaged or missing.
    Refuse,
}

/// Decides what to do with the end of the log.
pub(crate) fn decide(evidence: &Evidence) -> Decision {
    let highest = evidence.witnesses.highest();
    let is_above = highest.is_some_and(|(position, _)| position > evidence.valid_end);
    if is_above || evidence.contradicted {
        return Decision::Refuse;
    }
    match evidence.tail {
        Tail::Nothing => Decision::GoOn,
        Tail::Bytes => Decision::Cut,
        Tail::Footer => Decision::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every witness is absent, below the valid end, at it, or above it; every tail; a
    /// contradiction or none.
    #[test]
    fn every_combination_of_evidence_is_decided() {
        let valid_end = Position::new(10);
        let places = [None, Some(9), Some(10), Some(11)].map(|place| place.map(Position::new));
        let mut decided = 0;
        for (tail, contradicted) in [Tail::Nothing, Tail::Bytes, Tail::Footer]
            .into_iter()
            .flat_map(|tail| [(tail, false), (tail, true)])
        {
            for n in 0..4_usize.pow(7) {
                let place = |digit: u32| places[n / 4_usize.pow(digit) % 4];
                let witnesses = Witnesses {
                    segment_header: place(0),
                    record: place(1),
                    clean_close: place(2),
                    consumer: place(3),
                    index_checkpoint: place(4),
                    segment_footer: place(5),
                    durable_note: place(6),
                };
                let above = (0..7).any(|digit| place(digit) > Some(valid_end));
                let expected = match tail {
                    _ if above || contradicted => Decision::Refuse,
                    Tail::Footer => Decision::Refuse,
                    Tail::Nothing => Decision::GoOn,
                    Tail::Bytes => Decision::Cut,
                };
                let evidence = Evidence { valid_end, tail, witnesses, contradicted };
                assert_eq!(decide(&evidence), expected);
                decided += 1;
            }
        }
        assert_eq!(decided, 98_304);
    }

    #[test]
    fn the_highest_witness_counts_and_is_named() {
        let mut witnesses = Witnesses::default();
        assert_eq!(witnesses.highest(), None);
        witnesses.record = Some(Position::new(3));
        witnesses.consumer = Some(Position::new(5));
        assert_eq!(witnesses.highest(), Some((Position::new(5), Witness::Consumer)));
    }
}
