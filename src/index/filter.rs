//! Filters: which streams a run does *not* have, told from memory.
//!
//! Owns the bits of a filter, and how it is cut into parts. A filter says of every stream that was
//! added that it may be there, and of about one in a thousand others with 16 bits for each stream, one
//! in a hundred with ten.
//!
//! A Bloom filter whose bits for one name are all in one line of 64 bytes, so that asking it costs
//! one access to memory.

use std::hint::black_box;

use crate::types::NameHash;

/// Bytes of a part, but of a filter that has one only.
const PART_LEN: usize = 2 << 10;
const LINE_LEN: usize = 64;
/// Bits that are set for a name: as many as there are groups of nine bits in its second hash.
const PROBE_COUNT: u32 = 7;
const PROBE_BITS: u32 = 9;
const PROBE_MASK: u64 = 511;
const _: () = assert!(LINE_LEN * 8 == 512 && PROBE_COUNT * PROBE_BITS <= u64::BITS);
/// An odd number without a pattern, which spreads what is multiplied by it over all bits.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// The number below `count` that the upper half of `hash` stands for.
fn scaled(hash: u64, count: usize) -> usize {
    let scaled = (hash >> 32).saturating_mul(u64::try_from(count).unwrap_or(0)) >> 32;
    usize::try_from(scaled).unwrap_or(0)
}

/// The part, of `count`, that knows of a name.
pub(super) fn part_of(hash: NameHash, count: usize) -> usize {
    scaled(hash.get(), count)
}

/// The line, of `count`, that knows of a name.
fn line_of(hash: NameHash, count: usize) -> usize {
    scaled(hash.get() << 32, count)
}

/// The bytes of its line and their bits that are set for a name.
fn probes(hash: NameHash) -> impl Iterator<Item = (usize, u8)> {
    let hash = hash.get();
    let mixed = (hash ^ (hash >> 29)).wrapping_mul(SPREAD);
    (0..PROBE_COUNT).map(move |n| {
        let bit = (mixed >> (n * PROBE_BITS)) & PROBE_MASK;
        (usize::try_from(bit >> 3).unwrap_or(0), 1 << (bit & 7))
    })
}

/// As many bytes as a processor fetches at once, and where it does.
#[repr(align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([u8; LINE_LEN]);

/// A part of a filter.
#[derive(Clone, Debug)]
pub(super) struct Part {
    lines: Box<[Line]>,
}

impl Part {
    fn empty(line_count: usize) -> Self {
        Self { lines: vec![Line([0; LINE_LEN]); line_count].into_boxed_slice() }
    }

    /// The part with these bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let (lines, _) = bytes.as_chunks();
        Self { lines: lines.iter().map(|line| Line(*line)).collect() }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size_of_val::<[Line]>(&self.lines));
        self.lines.iter().for_each(|line| bytes.extend_from_slice(&line.0));
        bytes
    }

    /// Bytes that it takes in memory.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(size_of_val::<[Line]>(&self.lines)).unwrap_or(u64::MAX)
    }

    /// Whether a stream may be in the run that this part is of. A part without a line says yes.
    ///
    /// Looks at all bits, though one that is not set would do: which one that is cannot be foreseen,
    /// the answer can.
    pub(super) fn may_have(&self, hash: NameHash) -> bool {
        self.line(hash).is_none_or(|Line(line)| {
            let is_set = |(at, bit)| line.get(at).is_some_and(|byte: &u8| byte & bit != 0);
            probes(hash).fold(true, |all, probe| all & is_set(probe))
        })
    }

    /// Looks at where it would tell of a name, so that it is in the processor's cache when it is asked.
    pub(super) fn touch(&self, hash: NameHash) {
        black_box(self.line(hash).and_then(|Line(line)| line.first().copied()));
    }

    fn line(&self, hash: NameHash) -> Option<&Line> {
        self.lines.get(line_of(hash, self.lines.len()))
    }

    fn add(&mut self, hash: NameHash) {
        let at = line_of(hash, self.lines.len());
        let Some(Line(line)) = self.lines.get_mut(at) else { return };
        for (at, bit) in probes(hash) {
            if let Some(byte) = line.get_mut(at) {
                *byte |= bit;
            }
        }
    }
}

/// A filter that is being made.
#[derive(Debug)]
pub(super) struct Filter {
    parts: Vec<Part>,
}

impl Filter {
    /// An empty filter for about `stream_count` streams, with so many bits for each.
    pub(super) fn for_count(stream_count: u64, bits_per_stream: u64) -> Self {
        let bit_count = stream_count.saturating_mul(bits_per_stream);
        let len = usize::try_from(bit_count.div_ceil(8)).unwrap_or(0);
        let count = len.div_ceil(PART_LEN).max(1);
        let line_count = len.div_ceil(count).div_ceil(LINE_LEN).clamp(1, PART_LEN / LINE_LEN);
        Self { parts: vec![Part::empty(line_count); count] }
    }

    pub(super) fn add(&mut self, hash: NameHash) {
        let at = part_of(hash, self.parts.len());
        if let Some(part) = self.parts.get_mut(at) {
            part.add(hash);
        }
    }

    pub(super) fn into_parts(self) -> Vec<Part> {
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NameHasher, StoreId};

    fn hash(n: u64) -> NameHash {
        NameHasher::of(StoreId::from_bytes([3; 16])).hash(&format!("stream-{n}"))
    }

    fn says(parts: &[Part], hash: NameHash) -> bool {
        parts[part_of(hash, parts.len())].may_have(hash)
    }

    #[test]
    fn a_filter_knows_all_that_was_added_and_few_others() {
        let counts = [1, 7, 100, 2_000, 2_049, 50_000];
        for (count, bits) in counts.into_iter().flat_map(|count| [(count, 16), (count, 10)]) {
            let mut filter = Filter::for_count(count, bits);
            (0..count).for_each(|n| filter.add(hash(n)));
            let parts = filter.into_parts();
            assert!((0..count).all(|n| says(&parts, hash(n))), "{count}");
            let wrong = (count..count + 20_000).filter(|n| says(&parts, hash(*n))).count();
            let wrong_max = if bits == 16 { 100 } else { 500 };
            assert!(wrong < wrong_max, "{count}: {wrong} of 20000");
            let len: u64 = parts.iter().map(Part::len).sum();
            assert!(len <= 64 + count * (bits + 4) / 8, "{count}: {len}");
            let read: Vec<_> =
                parts.iter().map(|part| Part::from_bytes(&part.to_bytes())).collect();
            assert!((0..count).all(|n| says(&read, hash(n))), "{count}");
        }
    }

    #[test]
    fn a_part_that_lost_its_bytes_says_yes() {
        for bytes in [&[][..], &[0; 63]] {
            assert!(Part::from_bytes(bytes).may_have(hash(7)));
        }
        for bytes in [&[0; 64][..], &[0; 100]] {
            assert!(!Part::from_bytes(bytes).may_have(hash(7)));
        }
    }
}
