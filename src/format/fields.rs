//! Fixed fields, one after the other, in bytes.
//!
//! Owns how an integer is read and written, and the frame of the small fixed blocks: a magic in
//! front, a checksum of all before it at the end.

use crate::format::checksum;

/// What bytes should have been and are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) &'static str);

/// Bytes of the checksum that ends a block.
const CHECKSUM_LEN: usize = size_of::<u32>();

/// Reads fields off the front of bytes.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The fields between `magic` and the checksum, once both have been found right.
    pub(crate) fn of_block(bytes: &'a [u8], len: usize, magic: [u8; 8]) -> Result<Self, Fault> {
        let block = bytes.get(..len).ok_or(Fault("a whole block"))?;
        let rest = block.strip_prefix(&magic).ok_or(Fault("the magic of its kind"))?;
        let (covered, stored) =
            block.split_last_chunk::<CHECKSUM_LEN>().ok_or(Fault("a whole block"))?;
        if checksum(covered) != u32::from_le_bytes(*stored) {
            return Err(Fault("bytes that match their checksum"));
        }
        Ok(Self(rest))
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(Fault("a whole field"))?;
        self.0 = rest;
        Ok(*field)
    }

    /// Takes the next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (field, rest) = self.0.split_at_checked(len).ok_or(Fault("a whole field"))?;
        self.0 = rest;
        Ok(field)
    }

    /// Fails unless all fields of a block were taken.
    pub(crate) fn end_of_block(&self) -> Result<(), Fault> {
        if self.0.len() == CHECKSUM_LEN { Ok(()) } else { Err(Fault("a block of its length")) }
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes 16 bytes: in halves, for as an array they would be copied in pieces that the processor
    /// has to wait for.
    #[inline]
    pub(crate) fn u128(&mut self) -> Result<u128, Fault> {
        let (low, high) = (self.u64()?, self.u64()?);
        Ok(u128::from(high) << u64::BITS | u128::from(low))
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Result<i64, Fault> {
        self.array().map(i64::from_le_bytes)
    }

    /// Takes `len` bytes that are kept for later and must be zero.
    pub(crate) fn zeroes(&mut self, len: usize) -> Result<(), Fault> {
        let field = self.take(len)?;
        if field.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(Fault("zeroes")) }
    }

    /// Takes a field of flags, none of which version 1 knows.
    pub(crate) fn no_flags(&mut self) -> Result<(), Fault> {
        if self.u32()? == 0 { Ok(()) } else { Err(Fault("only flags that this release knows")) }
    }
}

/// Writes fields into a block that begins with a magic and ends with a checksum.
pub(crate) struct BlockWriter(Vec<u8>);

impl BlockWriter {
    pub(crate) fn new(magic: [u8; 8]) -> Self {
        Self(magic.to_vec())
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u32(self, n: u32) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    pub(crate) fn u64(self, n: u64) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    pub(crate) fn i64(self, n: i64) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    /// Fills up with zeroes and ends with the checksum, so that there are `len` bytes in all.
    pub(crate) fn finish(mut self, len: usize) -> Vec<u8> {
        assert!(self.0.len() + CHECKSUM_LEN <= len, "the fields fit into the block");
        self.0.resize(len - CHECKSUM_LEN, 0);
        let sum = checksum(&self.0);
        self.u32(sum).0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Fault;

    /// Checks that every flipped bit and every cut of `bytes` is a fault.
    pub(crate) fn every_damage_is_a_fault<T: std::fmt::Debug>(
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> Result<T, Fault>,
    ) {
        decode(bytes).expect("undamaged bytes");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "cut to {len}");
        }
    }
}
