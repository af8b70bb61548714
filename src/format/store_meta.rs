//! `store.meta`: what a store is.
//!
//! Owns the byte layout of `docs/format.md`, section 1.

use crate::format::VERSION;
use crate::format::fields::{BlockWriter, Fault, Fields};
use crate::types::{StoreId, StoreKey, Timestamp};

/// Bytes of the file.
pub(crate) const META_LEN: usize = 64;
const MAGIC: [u8; 8] = *b"annals\r\n";

/// What a store is, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreMeta {
    pub(crate) key: StoreKey,
    pub(crate) created_at: Timestamp,
}

impl StoreMeta {
    pub(crate) fn encode(&self) -> Vec<u8> {
        BlockWriter::new(MAGIC)
            .u32(VERSION)
            .u32(0)
            .bytes(self.key.id.as_bytes())
            .i64(self.created_at.as_nanos())
            .u32(self.key.seed)
            .finish(META_LEN)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() != META_LEN {
            return Err(Fault("a file of 64 bytes"));
        }
        let mut fields = Fields::of_block(bytes, META_LEN, MAGIC)?;
        if fields.u32()? != VERSION {
            return Err(Fault("a format version that this release knows"));
        }
        fields.no_flags()?;
        let id = StoreId::from_bytes(fields.array()?);
        let created_at = Timestamp::from_nanos(fields.i64()?);
        let key = StoreKey { id, seed: fields.u32()? };
        fields.zeroes(16)?;
        Ok(Self { key, created_at })
    }

    /// The format version that the file claims, whatever else is in it; `None` if it is no
    /// `store.meta` at all. A newer version may lay out the rest in another way.
    pub(crate) fn version_of(bytes: &[u8]) -> Option<u32> {
        Fields::new(bytes.strip_prefix(&MAGIC)?).u32().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fields::tests::every_damage_is_a_fault;

    #[test]
    fn every_damage_to_store_meta_is_a_fault() {
        let meta = StoreMeta {
            key: StoreKey { id: StoreId::from_bytes([7; 16]), seed: 77 },
            created_at: Timestamp::from_nanos(-5),
        };
        assert_eq!(StoreMeta::decode(&meta.encode()), Ok(meta));
        assert_eq!(StoreMeta::version_of(&meta.encode()), Some(1));
        every_damage_is_a_fault(&meta.encode(), StoreMeta::decode);
    }
}
