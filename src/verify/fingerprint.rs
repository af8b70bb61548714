//! A number for a set of events and their places, whatever the order in which they are counted.

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::types::{Address, Revision};

/// An odd number without a pattern, which spreads what is multiplied by it over all bits.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Two sets with the same fingerprint are the same, as far as accidents go.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fingerprint {
    count: u64,
    /// The sum of the hashes: each event counts as often as it was added.
    sum: u128,
}

impl Fingerprint {
    pub(super) fn add(&mut self, stream: &str, revision: Revision, address: Address) {
        let place = [revision.get(), address.segment.get(), address.offset];
        let seed = place.iter().fold(0_u64, |mixed, number| {
            (mixed.rotate_left(29) ^ number).wrapping_add(1).wrapping_mul(SPREAD)
        });
        self.sum = self.sum.wrapping_add(xxh3_128_with_seed(stream.as_bytes(), seed));
        self.count += 1;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Position;

    fn of(events: &[(&str, u64, u64)]) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        for (stream, revision, offset) in events {
            let address = Address { segment: Position::START, offset: *offset };
            fingerprint.add(stream, Revision::new(*revision), address);
        }
        fingerprint
    }

    #[test]
    fn a_fingerprint_depends_on_every_event_and_not_on_their_order() {
        let one = of(&[("a", 0, 64), ("b", 0, 136)]);
        assert_eq!(one, of(&[("b", 0, 136), ("a", 0, 64)]));
        for other in [
            of(&[("a", 0, 64)]),
            of(&[("a", 0, 64), ("b", 1, 136)]),
            of(&[("a", 0, 64), ("b", 0, 144)]),
            of(&[("a", 0, 136), ("b", 0, 64)]),
            of(&[("a", 0, 64), ("b", 0, 136), ("b", 0, 136)]),
        ] {
            assert_ne!(one, other);
        }
    }
}
