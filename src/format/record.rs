//! A record: one event with its place, its time, and what proves that it is the next one.
//!
//! Owns the byte layout of `docs/format.md`, section 3.

use crate::event::{ContentType, EventParts, NewEvent};
use crate::format::fields::{Fault, Fields};
use crate::types::{EventId, NameKind, Position, Revision, Timestamp, check_name, is_plain};

/// Bytes before the body.
pub(crate) const HEADER_LEN: usize = 64;
/// Bytes of the shortest record: a name and a type of one byte each, padded.
pub(crate) const LEN_MIN: usize = 72;
/// Every record begins and ends at a multiple of this.
pub(crate) const ALIGNMENT: usize = 8;
const CHECKSUM_LEN: usize = size_of::<u32>();

const FLAG_BATCH_END: u8 = 1;
const FLAG_KEY: u8 = 2;
const FLAG_TAGS: u8 = 4;
const PADDING_SHIFT: u32 = 3;
const FLAGS_UNUSED: u8 = 64 | 128;

/// An undurable count that says nothing.
const UNKNOWN: u32 = u32::MAX;

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

/// What to write as a record.
#[derive(Debug)]
pub(crate) struct ToRecord<'a> {
    pub(crate) stream: &'a str,
    pub(crate) event: &'a NewEvent,
    pub(crate) id: EventId,
    pub(crate) position: Position,
    pub(crate) revision: Revision,
    pub(crate) recorded_at: Timestamp,
    /// Checksum of the record before.
    pub(crate) previous: u32,
    /// The durable end of the log, as it is known now.
    pub(crate) durable_end: Position,
    pub(crate) ends_batch: bool,
    /// What the checksum begins with.
    pub(crate) seed: u32,
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

/// Bytes of the body, of which the names must have been checked.
fn body_len(stream: &str, event: &NewEvent) -> usize {
    let key_len = match event.idempotency_key.len() {
        0 => 0,
        len => 1 + len,
    };
    let tags_len = match tags_len(event) {
        0 => 0,
        len => 2 + len,
    };
    stream.len()
        + event.event_type.len()
        + key_len
        + tags_len
        + event.metadata.len()
        + event.payload.len()
}

/// Bytes of all tags with their lengths.
pub(crate) fn tags_len(event: &NewEvent) -> usize {
    event.tags.iter().map(|tag| 1 + tag.len()).sum()
}

/// Bytes of the record of `event` in `stream`.
pub(crate) fn encoded_len(stream: &str, event: &NewEvent) -> usize {
    (HEADER_LEN + body_len(stream, event)).next_multiple_of(ALIGNMENT)
}

/// Adds the record to `bytes` and returns its checksum.
///
/// The lengths of all parts must have been checked: what does not fit into its field is a bug.
pub(crate) fn encode(record: &ToRecord<'_>, bytes: &mut Vec<u8>) -> u32 {
    let ToRecord { stream, event, .. } = record;
    let start = bytes.len();
    let len = encoded_len(stream, event);
    let padding = len - HEADER_LEN - body_len(stream, event);
    let undurable = record.position.since(record.durable_end);

    bytes.reserve(len);
    bytes.extend_from_slice(&[0; CHECKSUM_LEN]);
    bytes.extend_from_slice(&record.previous.to_le_bytes());
    bytes.extend_from_slice(&field::<u32>(len).to_le_bytes());
    bytes.push(flags(record, padding));
    bytes.push(event.content_type.code());
    bytes.push(field(stream.len()));
    bytes.push(field(event.event_type.len()));
    bytes.extend_from_slice(&record.position.get().to_le_bytes());
    bytes.extend_from_slice(&record.revision.get().to_le_bytes());
    bytes.extend_from_slice(&record.recorded_at.as_nanos().to_le_bytes());
    bytes.extend_from_slice(record.id.as_bytes());
    bytes.extend_from_slice(&u32::try_from(undurable).unwrap_or(UNKNOWN).to_le_bytes());
    bytes.extend_from_slice(&field::<u32>(event.metadata.len()).to_le_bytes());
    encode_body(stream, event, bytes);
    bytes.resize(start + len, 0);

    let sum = checksum_from(record.seed, bytes.get(start + CHECKSUM_LEN..).unwrap_or_default());
    if let Some(place) = bytes.get_mut(start..start + CHECKSUM_LEN) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    sum
}

/// The checksum of `bytes` after those that `seed` is the checksum of.
#[inline]
pub(super) fn checksum_from(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// Fails unless `sum` is the checksum of `covered`.
#[inline]
fn check_sum(seed: u32, covered: &[u8], sum: u32) -> Result<(), Fault> {
    if checksum_from(seed, covered) != sum {
        return Err(Fault("a record that matches its checksum"));
    }
    Ok(())
}

/// A length as wide as its field.
#[expect(clippy::expect_used, reason = "lengths are checked before anything is encoded")]
fn field<T: TryFrom<usize>>(len: usize) -> T
where
    T::Error: std::fmt::Debug,
{
    T::try_from(len).expect("a length that was checked fits into its field")
}

fn flags(record: &ToRecord<'_>, padding: usize) -> u8 {
    let mut flags = field::<u8>(padding) << PADDING_SHIFT;
    if record.ends_batch {
        flags |= FLAG_BATCH_END;
    }
    if !record.event.idempotency_key.is_empty() {
        flags |= FLAG_KEY;
    }
    if !record.event.tags.is_empty() {
        flags |= FLAG_TAGS;
    }
    flags
}

fn encode_body(stream: &str, event: &NewEvent, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(stream.as_bytes());
    bytes.extend_from_slice(event.event_type.as_bytes());
    if !event.idempotency_key.is_empty() {
        bytes.push(field(event.idempotency_key.len()));
        bytes.extend_from_slice(&event.idempotency_key);
    }
    if !event.tags.is_empty() {
        bytes.extend_from_slice(&field::<u16>(tags_len(event)).to_le_bytes());
        for tag in &event.tags {
            bytes.push(field(tag.len()));
            bytes.extend_from_slice(tag.as_bytes());
        }
    }
    bytes.extend_from_slice(&event.metadata);
    bytes.extend_from_slice(&event.payload);
}

/// The fixed fields of a record, as they stand there.
struct Header {
    checksum: u32,
    previous: u32,
    len: u32,
    flags: u8,
    content_type: u8,
    stream_len: u8,
    type_len: u8,
    position: u64,
    revision: u64,
    recorded_at: i64,
    id: [u8; 16],
    undurable_count: u32,
    metadata_len: u32,
}

impl Header {
    #[inline]
    fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, Fault> {
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
            id: fields.array()?,
            undurable_count: fields.u32()?,
            metadata_len: fields.u32()?,
        })
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
        parts.id = EventId::from_bytes(header.id);
        parts.content_type = ContentType::from_code(header.content_type);
        parts.ends_batch = header.flags & FLAG_BATCH_END != 0;
        parts.stream_start = self.offset()?;
        self.names(header.stream_len, header.type_len)?;
        parts.stream_end = parts.stream_start.saturating_add(u32::from(header.stream_len));
        parts.type_end = self.offset()?;
        parts.key_start = self.key(header.flags & FLAG_KEY != 0)?;
        parts.key_end = self.offset()?;
        parts.tags_start = self.tags(header.flags & FLAG_TAGS != 0)?;
        parts.tags_end = self.offset()?;
        let metadata_len = usize::try_from(header.metadata_len).unwrap_or(usize::MAX);
        self.take(metadata_len)?;
        parts.metadata_end = self.offset()?;
        parts.payload_end = self.payload(usize::from(header.flags >> PADDING_SHIFT))?;
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

#[cfg(test)]
mod tests;
