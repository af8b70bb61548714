//! The values of the tree, sealed with a checksum.
//!
//! Owns the seal, and the encoding of the manifest. sled has been seen
//! to lose and to change data, so a value is never looked at before its seal is. The checksum
//! covers the key too: a value found under another key is none.

use bincode::{DefaultOptions, Options};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::IndexFault;

const SEAL_LEN: usize = size_of::<u32>();
/// The most bytes of the manifest.
const VALUE_LEN_MAX: u64 = 64 << 10;

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

/// The value that holds `body` under `key`.
pub(super) fn seal(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(SEAL_LEN + body.len());
    value.extend_from_slice(&checksum(key, body).to_le_bytes());
    value.extend_from_slice(body);
    value
}

/// What `value`, found under `key`, holds.
pub(super) fn unseal<'v>(key: &[u8], value: &'v [u8]) -> Result<&'v [u8], IndexFault> {
    match value.split_first_chunk::<SEAL_LEN>() {
        Some((seal, body)) if u32::from_le_bytes(*seal) == checksum(key, body) => Ok(body),
        _ => Err(IndexFault::damaged("a value does not match its checksum")),
    }
}

/// The same, of a value that is not needed any more.
pub(super) fn unseal_whole(key: &[u8], mut value: Vec<u8>) -> Result<Vec<u8>, IndexFault> {
    unseal(key, &value)?;
    value.drain(..SEAL_LEN);
    Ok(value)
}

/// Numbers of a fixed width, little-endian; nothing may follow.
fn codec() -> impl Options {
    DefaultOptions::new().with_fixint_encoding().with_limit(VALUE_LEN_MAX)
}

/// The sealed value that holds `content` under `key`.
pub(super) fn encode<T: Serialize>(key: &[u8], content: &T) -> Result<Vec<u8>, IndexFault> {
    let body =
        codec().serialize(content).map_err(|_| IndexFault::damaged("a value cannot be encoded"))?;
    Ok(seal(key, &body))
}

/// The content of the sealed value found under `key`.
pub(super) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, IndexFault> {
    codec()
        .deserialize(unseal(key, value)?)
        .map_err(|_| IndexFault::damaged("a value does not hold what its key says"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_under_its_own_key_only() {
        let value = encode(b"key", &7_u64).unwrap();
        assert_eq!(value.len(), 12);
        assert_eq!(decode::<u64>(b"key", &value).unwrap(), 7);
        assert!(decode::<u64>(b"kez", &value).is_err());
        assert!(decode::<u32>(b"key", &value).is_err());
    }

    #[test]
    fn a_flipped_bit_or_a_lost_byte_is_a_fault() {
        let value = encode(b"key", &7_u64).unwrap();
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<u64>(b"key", &flipped).is_err(), "{bit}");
        }
        for len in 0..value.len() {
            assert!(decode::<u64>(b"key", &value[..len]).is_err(), "{len}");
        }
    }
}
