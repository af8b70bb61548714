//! Reading a record: from bytes that may be anything to one that could not be if they were bad.

use crate::event::{ContentType, EventParts};
use crate::format::fields::{Fault, Fields};
use crate::format::record::{
    ALIGNMENT, CHECKSUM_LEN, FLAG_BATCH_END, FLAG_KEY, FLAG_PROGRESS, FLAG_TAGS, FLAGS_PADDING,
    FLAGS_UNUSED, HEADER_LEN, LEN_MIN, PADDING_SHIFT, PROGRESS_POSITION_LEN, UNKNOWN,
    checksum_from,
};
use crate::types::{EventId, NameKind, Position, Revision, Timestamp, check_name, is_plain};

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordFault {
    /// The record has `len` bytes and there are fewer.
    Short {
        /// Bytes needed from the start of the record.
        len: usize,
    },
    /// The bytes are not those of a record.
    Bad(Fault),
}

impl From<Fault> for RecordFault {
    fn from(fault: Fault) -> Self {
        Self::Bad(fault)
    }
}

/// What is known of bytes that are read as a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    Nothing,
    /// They were read as one before, and found to be right.
    Checked,
}

/// A record that was read and found to be one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) checksum: u32,
    /// Checksum of the record before.
    pub(crate) previous: u32,
    /// Bytes of the whole record.
    pub(crate) len: u32,
    /// The durable end of the log when the record was written, if it was known.
    pub(crate) witness: Option<Position>,
    /// Its fields and, as offsets in the bytes it was read from, its parts.
    pub(crate) parts: EventParts,
}

/// What bytes claim that may be a record or anything else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) position: Position,
    /// Bytes of the whole record.
    pub(crate) len: u64,
    pub(crate) recorded_at: Timestamp,
    pub(crate) witness: Option<Position>,
}

/// The fixed fields of a record, as they stand there.
pub(super) struct Header {
    pub(super) checksum: u32,
    pub(super) previous: u32,
    pub(super) len: u32,
    pub(super) flags: u8,
    pub(super) content_type: u8,
    pub(super) stream_len: u8,
    pub(super) type_len: u8,
    pub(super) position: u64,
    pub(super) revision: u64,
    pub(super) recorded_at: i64,
    pub(super) id: u128,
    pub(super) undurable_count: u32,
    pub(super) metadata_len: u32,
}

impl Header {
    #[inline]
    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, Fault> {
        let mut fields = Fields::new(bytes);
        Ok(Self {
            checksum: fields.u32()?,
            previous: fields.u32()?,
            len: fields.u32()?,
            flags: fields.u8()?,
            content_type: fields.u8()?,
            stream_len: fields.u8()?,
            type_len: fields.u8()?,
            position: fields.u64()?,
            revision: fields.u64()?,
            recorded_at: fields.i64()?,
            id: fields.u128()?,
            undurable_count: fields.u32()?,
            metadata_len: fields.u32()?,
        })
    }

    #[inline]
    pub(super) fn id(&self) -> EventId {
        EventId::from_bytes(self.id.to_le_bytes())
    }

    /// The durable end that the record witnesses, or a fault if it claims one before the start.
    #[inline]
    fn witness(&self) -> Result<Option<Position>, Fault> {
        if self.undurable_count == UNKNOWN {
            return Ok(None);
        }
        self.position
            .checked_sub(u64::from(self.undurable_count))
            .map(|end| Some(Position::new(end)))
            .ok_or(Fault("a durable end within the log"))
    }
}

impl Record {
    /// The length of the record at the start of `bytes`, before anything but its bounds has
    /// been checked.
    #[inline]
    fn len_of(header: &Header) -> Result<usize, Fault> {
        let len = usize::try_from(header.len).map_err(|_| Fault("a length in range"))?;
        if len < LEN_MIN || !len.is_multiple_of(ALIGNMENT) {
            return Err(Fault("the length of a record"));
        }
        Ok(len)
    }

    /// What the bytes at `start` in `block` claim, if they could be the header of a record.
    /// Nothing is checked but that the header does not contradict itself.
    pub(crate) fn claim(block: &[u8], start: usize) -> Option<Claim> {
        let header = block.get(start..)?.first_chunk::<HEADER_LEN>()?;
        let header = Header::decode(header).ok()?;
        let len = Self::len_of(&header).ok()?;
        let parts_len = usize::from(header.stream_len)
            + usize::from(header.type_len)
            + usize::try_from(header.metadata_len).ok()?;
        let fits = HEADER_LEN.checked_add(parts_len)? <= len;
        let names = header.stream_len > 0 && header.type_len > 0;
        let witness = header.witness().ok()?;
        let position = Position::new(header.position);
        (fits && names && header.flags & FLAGS_UNUSED == 0).then_some(Claim {
            position,
            len: u64::from(header.len),
            recorded_at: Timestamp::from_nanos(header.recorded_at),
            witness,
        })
    }

    /// Reads the record that begins at `start` in `block`; `seed` is that of its store.
    ///
    /// Checks all that the record says of itself (rules 1, 2 and 5 of `docs/format.md`,
    /// section 3); whether it is the *next* record is for the reader to check.
    pub(crate) fn decode(block: &[u8], start: usize, seed: u32) -> Result<Self, RecordFault> {
        let mut record = Self::none();
        record.read(block, start, seed, Trust::Nothing).map(|()| record)
    }

    /// What stands where no record was read yet.
    pub(crate) fn none() -> Self {
        Self { checksum: 0, previous: 0, len: 0, witness: None, parts: EventParts::none() }
    }

    /// As [`Self::decode`], into this one; what is said to have been checked is not checked again.
    #[inline]
    pub(crate) fn read(
        &mut self,
        block: &[u8],
        start: usize,
        seed: u32,
        trust: Trust,
    ) -> Result<(), RecordFault> {
        let bytes = block.get(start..).unwrap_or_default();
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(RecordFault::Short { len: HEADER_LEN });
        };
        let header = Header::decode(header)?;
        let len = Self::len_of(&header)?;
        let bytes = bytes.get(..len).ok_or(RecordFault::Short { len })?;
        let covered = bytes.get(CHECKSUM_LEN..).unwrap_or_default();
        if trust == Trust::Nothing {
            check_sum(seed, covered, header.checksum)?;
        }
        self.checksum = header.checksum;
        self.previous = header.previous;
        self.len = header.len;
        self.witness = header.witness()?;
        Ok(Body::new(bytes, start, trust)?.read(&header, &mut self.parts)?)
    }

    /// The stream of the record, which was read from `block`.
    pub(crate) fn stream<'a>(&self, block: &'a [u8]) -> &'a str {
        let wide = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = block.get(wide(self.parts.stream_start)..wide(self.parts.stream_end));
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }

    /// What the batch that ends with the record, which was read from `block`, says of a consumer:
    /// its name, and that every event before the position is done.
    pub(crate) fn progress<'a>(&self, block: &'a [u8]) -> Option<(&'a str, Position)> {
        let wide = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        // The length of a key stands before it.
        let has_key = self.parts.key_end > self.parts.key_start;
        let end = wide(self.parts.key_start).checked_sub(usize::from(has_key))?;
        let bytes = block.get(wide(self.parts.type_end)..end)?;
        let (len, rest) = bytes.split_first()?;
        let (name, position) = rest.split_at_checked(usize::from(*len))?;
        let position = Fields::new(position).u64().ok().map(Position::new)?;
        std::str::from_utf8(name).ok().map(|name| (name, position))
    }

    /// The checksum that a record with these bytes should have; `seed` is that of its store.
    pub(crate) fn checksum_of(bytes: &[u8], seed: u32) -> u32 {
        checksum_from(seed, bytes.get(CHECKSUM_LEN..).unwrap_or_default())
    }

    /// The position after this one.
    #[inline]
    pub(crate) fn end(&self) -> Position {
        self.parts.position.next()
    }
}

/// Walks over the parts of a record's body.
struct Body<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What to add to an offset in the record to get one in its block.
    base: u32,
    trust: Trust,
}

impl<'a> Body<'a> {
    /// The body of a record with these bytes, which stands at `start` in its block.
    #[inline]
    fn new(bytes: &'a [u8], start: usize, trust: Trust) -> Result<Self, Fault> {
        // So that no offset of a part is beyond, and none has to be looked at again.
        let fits = start.checked_add(bytes.len()).is_some_and(|end| u32::try_from(end).is_ok());
        let base = u32::try_from(start).ok().filter(|_| fits);
        let base = base.ok_or(Fault("a block below 4 GiB"))?;
        Ok(Self { bytes, at: HEADER_LEN, base, trust })
    }

    #[inline]
    fn read(mut self, header: &Header, parts: &mut EventParts) -> Result<(), Fault> {
        if header.flags & FLAGS_UNUSED != 0 {
            return Err(Fault("only flags that this release knows"));
        }
        parts.position = Position::new(header.position);
        parts.revision = Revision::new(header.revision);
        parts.recorded_at = Timestamp::from_nanos(header.recorded_at);
        parts.id = header.id();
        parts.content_type = ContentType::from_code(header.content_type);
        parts.ends_batch = header.flags & FLAG_BATCH_END != 0;
        if header.flags & (FLAG_KEY | FLAG_TAGS | FLAG_PROGRESS) == 0 {
            return self.read_usual(header, parts);
        }
        parts.stream_start = self.offset()?;
        self.names(header.stream_len, header.type_len)?;
        parts.stream_end = parts.stream_start.saturating_add(u32::from(header.stream_len));
        parts.type_end = self.offset()?;
        if header.flags & FLAG_PROGRESS != 0 {
            self.progress(parts.ends_batch)?;
        }
        parts.key_start = self.key(header.flags & FLAG_KEY != 0)?;
        parts.key_end = self.offset()?;
        parts.tags_start = self.tags(header.flags & FLAG_TAGS != 0)?;
        parts.tags_end = self.offset()?;
        let metadata_len = usize::try_from(header.metadata_len).unwrap_or(usize::MAX);
        self.take(metadata_len)?;
        parts.metadata_end = self.offset()?;
        parts.payload_end =
            self.payload(usize::from((header.flags & FLAGS_PADDING) >> PADDING_SHIFT))?;
        Ok(())
    }

    /// The rest of a record that has nothing that most have not. The same as step by step, with one
    /// look at whether all of it fits.
    #[inline]
    fn read_usual(&mut self, header: &Header, parts: &mut EventParts) -> Result<(), Fault> {
        let fault = Fault("parts that fit into their record");
        let names_start = self.offset()?;
        self.names(header.stream_len, header.type_len)?;
        let padding = u32::from((header.flags & FLAGS_PADDING) >> PADDING_SHIFT);
        let stream_end = names_start.saturating_add(u32::from(header.stream_len));
        let type_end = stream_end.saturating_add(u32::from(header.type_len));
        let metadata_end = type_end.checked_add(header.metadata_len).ok_or(fault)?;
        let record_end = self.base.saturating_add(header.len);
        let payload_end = record_end.saturating_sub(padding);
        if metadata_end > payload_end {
            return Err(fault);
        }
        parts.stream_start = names_start;
        parts.stream_end = stream_end;
        (parts.type_end, parts.key_start, parts.key_end) = (type_end, type_end, type_end);
        (parts.tags_start, parts.tags_end) = (type_end, type_end);
        (parts.metadata_end, parts.payload_end) = (metadata_end, payload_end);
        let last = self.bytes.last_chunk().map_or(0, |last| u64::from_le_bytes(*last));
        let padded = last.checked_shr(u64::BITS - padding * u8::BITS).unwrap_or(0);
        if self.trust == Trust::Nothing && padded != 0 {
            return Err(Fault("padding of zeroes"));
        }
        Ok(())
    }

    #[inline]
    fn offset(&self) -> Result<u32, Fault> {
        u32::try_from(self.at)
            .ok()
            .and_then(|at| at.checked_add(self.base))
            .ok_or(Fault("a block below 4 GiB"))
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let fault = Fault("parts that fit into their record");
        let end = self.at.checked_add(len).ok_or(fault)?;
        let part = self.bytes.get(self.at..end).ok_or(fault)?;
        self.at = end;
        Ok(part)
    }

    /// Passes the names of the stream and of the type.
    #[inline]
    fn names(&mut self, stream_len: u8, type_len: u8) -> Result<(), Fault> {
        let names = self.take(usize::from(stream_len) + usize::from(type_len))?;
        if self.trust == Trust::Checked || (stream_len > 0 && type_len > 0 && is_plain(names)) {
            return Ok(());
        }
        let stream_len = usize::from(stream_len);
        check_name_bytes(NameKind::Stream, names.get(..stream_len).unwrap_or_default())?;
        check_name_bytes(NameKind::EventType, names.get(stream_len..).unwrap_or_default())
    }

    /// Passes what a batch says of a consumer.
    fn progress(&mut self, ends_batch: bool) -> Result<(), Fault> {
        let len = self.take(1)?.first().copied().unwrap_or(0);
        let name = self.take(usize::from(len))?;
        self.take(PROGRESS_POSITION_LEN)?;
        if !ends_batch {
            return Err(Fault("a consumer's progress at the end of a batch"));
        }
        match self.trust {
            Trust::Checked => Ok(()),
            Trust::Nothing => check_name_bytes(NameKind::Consumer, name),
        }
    }

    /// Where the key starts. It is passed.
    #[inline]
    fn key(&mut self, present: bool) -> Result<u32, Fault> {
        if !present {
            return self.offset();
        }
        let len = self.take(1)?.first().copied().unwrap_or(0);
        if len == 0 {
            return Err(Fault("an idempotency key that has bytes"));
        }
        let start = self.offset()?;
        self.take(usize::from(len))?;
        Ok(start)
    }

    /// Where the tags start. They are passed.
    #[inline]
    fn tags(&mut self, present: bool) -> Result<u32, Fault> {
        if !present {
            return self.offset();
        }
        let len = Fields::new(self.take(2)?).array().map(u16::from_le_bytes)?;
        let start = self.offset()?;
        let tags = self.take(usize::from(len))?;
        if tags.is_empty() {
            return Err(Fault("tags where there are said to be some"));
        }
        if self.trust == Trust::Nothing {
            check_tags(tags)?;
        }
        Ok(start)
    }

    /// Where the payload ends; what is left must be the padding.
    #[inline]
    fn payload(&mut self, padding: usize) -> Result<u32, Fault> {
        let left = self.bytes.len() - self.at;
        let len = left.checked_sub(padding).ok_or(Fault("parts that fit into their record"))?;
        self.take(len)?;
        let end = self.offset()?;
        let padding = self.take(padding)?;
        if self.trust == Trust::Nothing && padding.iter().any(|byte| *byte != 0) {
            return Err(Fault("padding of zeroes"));
        }
        Ok(end)
    }
}

fn check_tags(mut tags: &[u8]) -> Result<(), Fault> {
    while let Some((len, rest)) = tags.split_first() {
        let (tag, rest) =
            rest.split_at_checked(usize::from(*len)).ok_or(Fault("tags in their bounds"))?;
        check_name_bytes(NameKind::Tag, tag)?;
        tags = rest;
    }
    Ok(())
}

fn check_name_bytes(kind: NameKind, bytes: &[u8]) -> Result<(), Fault> {
    let fault = Fault("a name in UTF-8 without control characters");
    let name = std::str::from_utf8(bytes).map_err(|_| fault)?;
    check_name(kind, name).map_err(|_| fault)
}

/// Fails unless `sum` is the checksum of `covered`.
#[inline]
fn check_sum(seed: u32, covered: &[u8], sum: u32) -> Result<(), Fault> {
    if checksum_from(seed, covered) != sum {
        return Err(Fault("a record that matches its checksum"));
    }
    Ok(())
}
