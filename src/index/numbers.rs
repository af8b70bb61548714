//! Numbers of a variable length: seven bits a byte, lowest first.

use super::IndexFault;

const NUMBER_BITS: u32 = 7;
const MORE: u8 = 0x80;
const MALFORMED: IndexFault = IndexFault::damaged("a number is malformed");

/// Adds `number`, in 1 to 10 bytes.
pub(super) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= NUMBER_BITS;
        if number == 0 {
            bytes.push(low & !MORE);
            return;
        }
        bytes.push(low | MORE);
    }
}

/// Adds a length.
pub(super) fn put_len(bytes: &mut Vec<u8>, len: usize) {
    put_number(bytes, u64::try_from(len).unwrap_or(u64::MAX));
}

/// Takes a number off the front of `bytes`.
#[inline]
pub(super) fn take_number(bytes: &mut &[u8]) -> Result<u64, IndexFault> {
    // Most numbers have one byte or two.
    match **bytes {
        [low, ref rest @ ..] if low & MORE == 0 => {
            *bytes = rest;
            Ok(u64::from(low))
        }
        [low, high, ref rest @ ..] if high & MORE == 0 => {
            *bytes = rest;
            Ok(u64::from(low & !MORE) | u64::from(high) << NUMBER_BITS)
        }
        _ => take_long(bytes),
    }
}

fn take_long(bytes: &mut &[u8]) -> Result<u64, IndexFault> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(MALFORMED)?;
        *bytes = rest;
        let part = u64::from(byte & !MORE);
        let shifted = part << shift;
        if shifted >> shift != part {
            return Err(MALFORMED);
        }
        number |= shifted;
        if byte & MORE == 0 {
            return Ok(number);
        }
    }
    Err(MALFORMED)
}

/// Takes a length off the front of `bytes`, and then as many bytes.
pub(super) fn take_bytes<'b>(bytes: &mut &'b [u8]) -> Result<&'b [u8], IndexFault> {
    let len = usize::try_from(take_number(bytes)?).map_err(|_| MALFORMED)?;
    let (taken, rest) = bytes.split_at_checked(len).ok_or(MALFORMED)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_reads_back_and_leaves_what_follows() {
        for number in (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            bytes.push(7);
            let mut left = &bytes[..];
            assert_eq!(take_number(&mut left).unwrap(), number);
            assert_eq!(left, [7]);
        }
    }

    #[test]
    fn numbers_without_an_end_or_over_64_bits_and_lengths_without_bytes_are_faults() {
        for bytes in [&b""[..], &[0x80], &[0xff; 10], &[0xff; 11], &[3, 1, 2]] {
            assert!(take_bytes(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
