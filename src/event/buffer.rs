//! Memory that bytes are read into, again and again.

use std::ops::Deref;

use crate::error::Result;

/// The bytes that were read last, and room for as many as ever were: memory must hold zeroes before
/// it is read into, and holds them once and for all.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// How many of them were read.
    len: usize,
}

impl Buffer {
    /// Lets `read` fill `len` bytes, and takes its word for how many it has. Holds none if it fails.
    pub(crate) fn fill(
        &mut self,
        len: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize>,
    ) -> Result<()> {
        self.len = 0;
        if len > self.bytes.len() {
            // What is there is not wanted: to let go of it spares moving it.
            self.bytes = Vec::new();
            self.bytes = vec![0; len];
        }
        let read_len = read(self.bytes.get_mut(..len).unwrap_or_default())?;
        self.len = read_len.min(len);
        Ok(())
    }

    /// How many bytes it can be filled with as it is.
    pub(crate) fn room(&self) -> usize {
        self.bytes.len()
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn fill_with(buffer: &mut Buffer, byte: u8, len: usize) {
        let read = |bytes: &mut [u8]| {
            bytes.fill(byte);
            Ok(bytes.len())
        };
        buffer.fill(len, read).unwrap();
    }

    #[test]
    fn a_buffer_holds_what_was_read_last_and_nothing_of_before() {
        let mut buffer = Buffer::default();
        fill_with(&mut buffer, 7, 5);
        assert_eq!(*buffer, [7; 5]);
        fill_with(&mut buffer, 8, 2);
        assert_eq!(*buffer, [8; 2]);
        assert_eq!(buffer.room(), 5);
        fill_with(&mut buffer, 9, 6);
        assert_eq!((&*buffer, buffer.room()), (&[9; 6][..], 6));
        buffer.fill(4, |_| Ok(3)).unwrap();
        assert_eq!(*buffer, [9; 3]);
    }

    #[test]
    fn a_buffer_that_could_not_be_filled_holds_nothing() {
        let mut buffer = Buffer::from(vec![7; 5]);
        assert!(buffer.fill(3, |_| Err(Error::Closed)).is_err());
        assert!(buffer.is_empty());
    }
}
