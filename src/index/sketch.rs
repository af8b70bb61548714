//! Sketches: about how many different streams there are in several runs together.
//!
//! A `HyperLogLog` of 256 registers, which is right to 7 % or so: the filter of a merged run is
//! made for as many streams as there will be, which nobody has counted yet.

use crate::types::NameHash;

const REGISTER_COUNT: usize = 256;
const INDEX_BITS: u32 = 8;
/// What makes the estimate right on average, for this many registers.
const CORRECTION: f64 = 0.7213 / (1.0 + 1.079 / 256.0);

/// The greatest rank of a hash that each register has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sketch([u8; REGISTER_COUNT]);

impl Sketch {
    pub(super) const fn new() -> Self {
        Self([0; REGISTER_COUNT])
    }

    /// The sketch with these registers, if there are as many as it has.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn add(&mut self, hash: NameHash) {
        let hash = hash.get();
        let place = hash >> (u64::BITS - INDEX_BITS);
        let rank = (hash << INDEX_BITS).leading_zeros().min(u64::BITS - INDEX_BITS) + 1;
        if let Some(register) = self.0.get_mut(usize::try_from(place).unwrap_or(0)) {
            *register = (*register).max(u8::try_from(rank).unwrap_or(u8::MAX));
        }
    }

    /// Counts what `other` has seen as well.
    pub(super) fn join(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(other.0) {
            *mine = (*mine).max(others);
        }
    }

    /// About how many different hashes were added.
    pub(super) fn count(&self) -> u64 {
        let register_count = 256.0_f64;
        let sum: f64 = self.0.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
        let estimate = CORRECTION * register_count * register_count / sum;
        let empty_count: f64 = self.0.iter().map(|rank| f64::from(u8::from(*rank == 0))).sum();
        let is_small = estimate < 2.5 * register_count && empty_count > 0.0;
        rounded(if is_small {
            register_count * (register_count / empty_count).ln()
        } else {
            estimate
        })
    }
}

#[expect(clippy::as_conversions, reason = "there is no other way from a float to an integer")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: std::ops::Range<u64>) -> Sketch {
        let mut sketch = Sketch::new();
        for n in numbers {
            sketch.add(NameHash::of_number(xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())));
        }
        sketch
    }

    #[test]
    fn an_estimate_is_near_the_count() {
        assert_eq!(Sketch::new().count(), 0);
        for count in [1, 10, 100, 1_000, 10_000, 300_000] {
            let estimate = of(0..count).count();
            assert!(estimate.abs_diff(count) <= count / 5, "{count}: {estimate}");
        }
    }

    #[test]
    fn what_two_sketches_have_both_seen_counts_once() {
        let mut joined = of(0..20_000);
        joined.join(&of(10_000..30_000));
        assert_eq!(joined, of(0..30_000));
        assert_eq!(Sketch::from_bytes(joined.as_bytes()), Some(joined));
        assert_eq!(Sketch::from_bytes(&[0; 255]), None);
    }
}
