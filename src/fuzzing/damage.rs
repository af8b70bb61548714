//! Damage to the bytes of a file.

use crate::fuzzing::input::Input;

/// Where bytes come from that are written over others.
///
/// A fuzzer sees what checksums are compared with, and learns to write those. What it can choose
/// byte by byte proves nothing of checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filler {
    /// From a generator that the input gives the seed of.
    Random,
    /// From the input.
    Chosen,
}

impl Filler {
    fn take(self, input: &mut Input<'_>, len: usize) -> Vec<u8> {
        match self {
            Self::Chosen => input.bytes(len).to_vec(),
            Self::Random => {
                let mut bytes = vec![0; len];
                fastrand::Rng::with_seed(u64::from(input.byte())).fill(&mut bytes);
                bytes
            }
        }
    }
}

/// Damages `bytes` in one way, which the input says.
pub(super) fn damage(bytes: &mut Vec<u8>, input: &mut Input<'_>, filler: Filler) {
    let kind = input.byte() % 9;
    let at = input.below(bytes.len() + 1);
    let len = usize::from(input.byte());
    match kind {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (len % 8);
            }
        }
        2 => write_over(bytes, at, &filler.take(input, len)),
        3 => write_over(bytes, at, &vec![input.byte(); len * 8]),
        4 => bytes.truncate(at),
        5 => bytes.extend_from_slice(&filler.take(input, len)),
        6 => bytes.resize(bytes.len() + len * 8, 0),
        7 => {
            let from = input.below(bytes.len() + 1);
            let part: Vec<_> = bytes.iter().skip(from).take(len * 8).copied().collect();
            write_over(bytes, at, &part);
        }
        _ => {
            let end = bytes.len().min(at + len * 8);
            bytes.drain(at..end);
        }
    }
}

/// Writes `part` over what stands at `at`, as far as there is something.
fn write_over(bytes: &mut [u8], at: usize, part: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(part) {
        *byte = *new;
    }
}
