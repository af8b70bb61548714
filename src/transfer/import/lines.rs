//! The lines of an input.

use std::io::{BufRead, Read as _};
use std::path::Path;

use crate::error::{Error, Result};
use crate::segment::wide;
use crate::transfer::import::incoming::LineFault;

/// The most bytes of a line: a payload of 1 GiB, the most that a store can take, has less in base64.
const LINE_LEN_MAX: u64 = 2 << 30;
/// What some programs begin a file with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads lines that are not empty, one after the other into the same memory.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    /// How many lines were read.
    count: u64,
    /// How many bytes were read.
    read_len: u64,
}

/// A line, and its number.
#[derive(Debug)]
pub(super) struct NumberedLine<'a> {
    /// From 1 on.
    pub(super) number: u64,
    pub(super) bytes: &'a [u8],
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: Vec::new(), count: 0, read_len: 0 }
    }

    /// How many lines were read.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes were read.
    pub(super) fn read_len(&self) -> u64 {
        self.read_len
    }

    /// The next line that has anything but white space, without what ends it.
    pub(super) fn next(&mut self) -> Result<Option<NumberedLine<'_>>> {
        loop {
            self.line.clear();
            let mut limited = self.input.by_ref().take(LINE_LEN_MAX + 1);
            let read = limited.read_until(b'\n', &mut self.line);
            let len = wide(read.map_err(Error::io("read", Path::new("the input")))?);
            if len == 0 {
                return Ok(None);
            }
            self.count += 1;
            self.read_len += len;
            if len > LINE_LEN_MAX {
                return Err(LineFault::new("it has more than 2 GiB").in_line(self.count));
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        let (number, line) = (self.count, self.line.trim_ascii());
        let marked = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| number == 1);
        Ok(Some(NumberedLine { number, bytes: marked.unwrap_or(line) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_empty_ones_left_out() {
        let mut lines = Lines::new("\u{feff}a\r\n\n \t\nb  c\nd".as_bytes());
        let mut read = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            read.push((line.number, String::from_utf8(line.bytes.to_vec()).unwrap()));
        }
        let expected = [(1, "a"), (4, "b  c"), (5, "d")].map(|(n, line)| (n, line.to_owned()));
        assert_eq!(read, expected);
        assert_eq!(lines.read_len, 16);
    }
}
