//! A segment's file: its name, its header, its footer.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::directory::{Directory, RandomFile};
use crate::error::{Error, Result};
use crate::format::{FOOTER_LEN, Fault, Footer, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::segment::{FOLDER, Scanner};
use crate::types::{Position, StoreId, StoreKey, Timestamp};

/// Bytes that are looked through at once.
const BLOCK_LEN: usize = 64 << 10;
const SUFFIX: &str = ".seg";
/// Digits of the first position in a file name: as many as the largest has.
const DIGITS: usize = 20;

/// The name of the segment that begins at `base`, in the store's directory.
pub(crate) fn name_of(base: Position) -> String {
    format!("{FOLDER}/{:0DIGITS$}{SUFFIX}", base.get())
}

/// The first position of the segment with this name in its folder; `None` for another file.
pub(crate) fn parse_name(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(SUFFIX)?;
    let all_digits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// The open file of one segment.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    key: StoreKey,
    base: Position,
    path: PathBuf,
    file: Arc<dyn RandomFile>,
    /// Its length once it was full.
    full_len: OnceLock<u64>,
}

impl SegmentFile {
    pub(crate) fn open_to_read(
        directory: &dyn Directory,
        key: StoreKey,
        base: Position,
    ) -> Result<Self> {
        let name = name_of(base);
        let path = directory.path_of(&name);
        let file = directory.open_to_read(&name).map_err(Error::io("open", &path))?;
        Ok(Self { key, base, path, file, full_len: OnceLock::new() })
    }

    /// A segment that is in a file of another name, which is at `path` for messages.
    pub(crate) fn of_file(
        key: StoreKey,
        base: Position,
        path: PathBuf,
        file: Arc<dyn RandomFile>,
    ) -> Self {
        Self { key, base, path, file, full_len: OnceLock::new() }
    }

    pub(crate) fn open_to_write(
        directory: &dyn Directory,
        key: StoreKey,
        base: Position,
    ) -> Result<Self> {
        let name = name_of(base);
        let path = directory.path_of(&name);
        let file = directory.open_to_write(&name).map_err(Error::io("open", &path))?;
        Ok(Self { key, base, path, file, full_len: OnceLock::new() })
    }

    /// Creates a segment that holds a header and no record, durably.
    pub(crate) fn create(
        directory: &dyn Directory,
        key: StoreKey,
        header: &SegmentHeader,
    ) -> Result<Self> {
        Self::create_with(directory, key, header, &[])
    }

    /// Creates a segment that holds a header and these records, durably: a crash leaves all of it
    /// or nothing.
    pub(crate) fn create_with(
        directory: &dyn Directory,
        key: StoreKey,
        header: &SegmentHeader,
        records: &[u8],
    ) -> Result<Self> {
        let name = name_of(header.base);
        let path = directory.path_of(&name);
        let bytes = [&header.encode(), records].concat();
        let file = directory.replace(&name, &bytes).map_err(Error::io("create", &path))?;
        Ok(Self { key, base: header.base, path, file, full_len: OnceLock::new() })
    }

    /// What the first segment says of the store that it belongs to, whichever that is, and when
    /// its first event was recorded; 1970 if it has none.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if its header is damaged, or its first record is not of that store.
    pub(crate) fn first_of_any_store(directory: &dyn Directory) -> Result<(StoreKey, Timestamp)> {
        let unknown = StoreKey { id: StoreId::from_bytes([0; 16]), seed: 0 };
        let mut file = Self::open_to_read(directory, unknown, Position::START)?;
        let header = file.any_header()?;
        file.key = StoreKey { id: header.store, seed: header.chain };
        file.header()?;
        let (key, len) = (file.key, file.len()?);
        if file.end_of_bytes(records_start())? == records_start() {
            return Ok((key, Timestamp::from_nanos(0)));
        }
        let (record, _) = Scanner::from_header(Arc::new(file), &header).read(len)?;
        Ok((key, record.parts.recorded_at))
    }

    /// Writes the first `len` bytes of a segment again, to other places of the medium, durably.
    pub(crate) fn renew(
        directory: &dyn Directory,
        key: StoreKey,
        base: Position,
        len: u64,
    ) -> io::Result<Self> {
        let name = name_of(base);
        let file = directory.renew(&name, len)?;
        Ok(Self { key, base, path: directory.path_of(&name), file, full_len: OnceLock::new() })
    }

    /// The same, with an error that says what was done.
    pub(crate) fn renewed(
        directory: &dyn Directory,
        key: StoreKey,
        base: Position,
        len: u64,
    ) -> Result<Self> {
        let path = directory.path_of(&name_of(base));
        Self::renew(directory, key, base, len).map_err(Error::io("write again", &path))
    }

    /// Bytes in the file of the segment that begins at `base`, whatever is in it.
    pub(crate) fn len_of(directory: &dyn Directory, base: Position) -> Result<u64> {
        let name = name_of(base);
        let path = directory.path_of(&name);
        let file = directory.open_to_read(&name).map_err(Error::io("open", &path))?;
        file.len().map_err(Error::io("read the length of", &path))
    }

    /// Makes sure, durably, that there is no segment that begins at `base`.
    pub(crate) fn remove(directory: &dyn Directory, base: Position) -> io::Result<()> {
        directory.remove(&name_of(base))
    }

    /// The same with another file in the place of its own.
    #[cfg(test)]
    pub(super) fn with_file<F: RandomFile + 'static>(
        &self,
        wrap: impl FnOnce(Arc<dyn RandomFile>) -> Arc<F>,
    ) -> Self {
        let (key, base, path) = (self.key, self.base, self.path.clone());
        Self { key, base, path, file: wrap(Arc::clone(&self.file)), full_len: OnceLock::new() }
    }

    /// The store that the segment belongs to.
    pub(crate) fn key(&self) -> StoreKey {
        self.key
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Position of the first record.
    pub(crate) fn base(&self) -> Position {
        self.base
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.file.len().map_err(Error::io("read the length of", &self.path))
    }

    /// Its length when this was first asked, once no more is appended to it. It may have been cut
    /// since, behind its records.
    pub(crate) fn full_len(&self) -> Result<u64> {
        if let Some(len) = self.full_len.get() {
            return Ok(*len);
        }
        self.len().map(|len| *self.full_len.get_or_init(|| len))
    }

    /// Says that these bytes will be read soon.
    pub(crate) fn will_read(&self, offset: u64, len: u64) {
        self.file.will_read(offset, len);
    }

    /// Says that nothing of it will be read soon.
    pub(crate) fn will_not_read(&self) {
        self.file.will_not_read();
    }

    /// Reads until `buffer` is full or the file ends; returns how many bytes were read.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buffer, offset).map_err(Error::io("read", &self.path))
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(Error::io("write", &self.path))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync().map_err(Error::io("sync", &self.path))
    }

    pub(crate) fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(Error::io("cut", &self.path))
    }

    fn any_header(&self) -> Result<SegmentHeader> {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        self.read_at(&mut bytes, 0)?;
        SegmentHeader::decode(&bytes).map_err(|fault| self.corrupt(0, fault))
    }

    /// Reads the header, and checks that it is that of this segment of this store.
    pub(crate) fn header(&self) -> Result<SegmentHeader> {
        let header = self.any_header()?;
        if header.store != self.key.id {
            return Err(self.corrupt(0, Fault("a segment of this store")));
        }
        if header.base != self.base {
            return Err(self.corrupt(0, Fault("the first position that the file is named by")));
        }
        Ok(header)
    }

    /// Where the bytes from `start` on end, but for zeroes, which a segment may be prepared with.
    pub(crate) fn end_of_bytes(&self, start: u64) -> Result<u64> {
        let mut block = vec![0; BLOCK_LEN];
        let (mut offset, mut end) = (start, start);
        loop {
            let len = self.read_at(&mut block, offset)?;
            let Some(bytes) = block.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = offset + wide(last) + 1;
            }
            offset += wide(len);
        }
        Ok(end)
    }

    /// Reads the footer; `None` if the file does not end in one.
    pub(crate) fn footer(&self) -> Result<Option<Footer>> {
        let Some(offset) = self.len()?.checked_sub(wide(FOOTER_LEN)) else { return Ok(None) };
        let mut bytes = [0; FOOTER_LEN];
        self.read_at(&mut bytes, offset)?;
        let footer = Footer::decode(&bytes).ok();
        Ok(footer.filter(|footer| {
            footer.store == self.key.id && footer.base == self.base && footer.offset == offset
        }))
    }

    /// The error that says that the bytes at `offset` are not what they should be.
    pub(crate) fn corrupt(&self, offset: u64, Fault(expected): Fault) -> Error {
        Error::Corrupt { segment: self.base, offset, expected }
    }
}

/// Offset of the first record in every segment.
pub(crate) fn records_start() -> u64 {
    wide(SEGMENT_HEADER_LEN)
}

/// A length in memory as one in a file.
pub(crate) fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use std::ops::Range;

    use super::*;

    /// A file of which some bytes cannot be read, or are zeroes.
    #[derive(Debug)]
    pub(in crate::segment) struct Unreadable {
        file: Arc<dyn RandomFile>,
        bad: Range<u64>,
        gives_zeroes: bool,
    }

    impl Unreadable {
        pub(in crate::segment) fn new(file: Arc<dyn RandomFile>, bad: Range<u64>) -> Self {
            Self { file, bad, gives_zeroes: false }
        }

        pub(in crate::segment) fn giving_zeroes(self) -> Self {
            Self { gives_zeroes: true, ..self }
        }
    }

    impl RandomFile for Unreadable {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let end = offset + u64::try_from(buffer.len()).unwrap();
            let is_bad = offset < self.bad.end && self.bad.start < end;
            if is_bad && !self.gives_zeroes {
                return Err(io::Error::other("a bad sector"));
            }
            let read = self.file.read_at(buffer, offset)?;
            for (at, byte) in (offset..).zip(buffer) {
                *byte = if self.gives_zeroes && self.bad.contains(&at) { 0 } else { *byte };
            }
            Ok(read)
        }

        fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            self.file.write_all_at(bytes, offset)
        }

        fn sync(&self) -> io::Result<()> {
            self.file.sync()
        }

        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }
    }

    #[test]
    fn a_segment_is_named_by_its_first_position() {
        for n in [0, 7, u64::MAX] {
            let name = name_of(Position::new(n));
            let file_name = name.strip_prefix("log/").unwrap();
            assert_eq!(parse_name(file_name), Some(Position::new(n)));
        }
    }

    #[test]
    fn other_files_are_no_segments() {
        for name in [
            "",
            ".seg",
            "0.seg",
            "00000000000000000000",
            "0000000000000000000x.seg",
            "+0000000000000000000.seg",
            "99999999999999999999.seg",
            "00000000000000000000.seg.bak",
        ] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
