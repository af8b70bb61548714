//! The events that a consumer has put aside.
//!
//! Owns the byte layout of `docs/format.md`, section 7.

use crate::format::fields::{BlockWriter, Fault, Fields};
use crate::types::{Position, StoreId, Timestamp};

/// How the name of the file ends.
pub(crate) const PARKED_SUFFIX: &str = ".parked";
/// The most bytes of the file.
pub(crate) const PARKED_FILE_LEN_MAX: usize = 4 << 20;
/// How many events it may name.
pub(crate) const PARKED_COUNT_MAX: usize = 10_000;
/// The most bytes of a reason.
pub(crate) const REASON_LEN_MAX: usize = 255;
const FRAME_LEN: usize = 36;
const ENTRY_LEN: usize = 34;
const MAGIC: [u8; 8] = *b"annalprk";
const _: () = assert!(
    FRAME_LEN + PARKED_COUNT_MAX * (ENTRY_LEN + REASON_LEN_MAX) <= PARKED_FILE_LEN_MAX,
    "docs/format.md, section 7"
);

/// An event that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParkedEntry {
    pub(crate) position: Position,
    /// What stands for its key.
    pub(crate) key: u64,
    pub(crate) parked_at: Timestamp,
    /// How often it was tried; 0 if it was not, because one of the same key was put aside before.
    pub(crate) attempt_count: u32,
    /// Whether later events of the same key are put aside as well.
    pub(crate) holds: bool,
    /// Why; at most [`REASON_LEN_MAX`] bytes.
    pub(crate) reason: String,
}

/// All events that a consumer has put aside, in the order of their positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParkedFile {
    pub(crate) store: StoreId,
    pub(crate) entries: Vec<ParkedEntry>,
}

impl ParkedFile {
    /// The bytes of the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let count = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        let mut len = FRAME_LEN;
        let mut block = BlockWriter::new(MAGIC).bytes(self.store.as_bytes()).u64(count);
        for entry in &self.entries {
            let reason_len = u8::try_from(entry.reason.len()).unwrap_or_default();
            let reason = entry.reason.get(..usize::from(reason_len)).unwrap_or_default();
            block = block
                .u64(entry.position.get())
                .u64(entry.key)
                .i64(entry.parked_at.as_nanos())
                .u32(entry.attempt_count)
                .u32(u32::from(entry.holds))
                .bytes(&[0, reason_len])
                .bytes(reason.as_bytes());
            len += ENTRY_LEN + reason.len();
        }
        block.finish(len)
    }

    /// The list that the bytes of a file hold.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut fields = Fields::of_block(bytes, bytes.len(), MAGIC)?;
        let store = StoreId::from_bytes(fields.array()?);
        let count = usize::try_from(fields.u64()?).ok().filter(|count| *count <= PARKED_COUNT_MAX);
        let count = count.ok_or(Fault("at most 10,000 parked events"))?;
        let entries = (0..count).map(|_| entry(&mut fields)).collect::<Result<Vec<_>, _>>()?;
        fields.end_of_block()?;
        if !entries.is_sorted_by(|a, b| a.position < b.position) {
            return Err(Fault("parked events in the order of their positions"));
        }
        Ok(Self { store, entries })
    }
}

fn entry(fields: &mut Fields<'_>) -> Result<ParkedEntry, Fault> {
    let position = Position::new(fields.u64()?);
    let key = fields.u64()?;
    let parked_at = Timestamp::from_nanos(fields.i64()?);
    let attempt_count = fields.u32()?;
    let holds = match fields.u32()? {
        0 => false,
        1 => true,
        _ => return Err(Fault("only flags that this release knows")),
    };
    fields.zeroes(1)?;
    let reason_len = usize::from(fields.u8()?);
    let reason = std::str::from_utf8(fields.take(reason_len)?);
    let reason = reason.map_err(|_| Fault("a reason in UTF-8"))?.to_owned();
    Ok(ParkedEntry { position, key, parked_at, attempt_count, holds, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fields::tests::every_damage_is_a_fault;

    fn entry(position: u64, reason: &str) -> ParkedEntry {
        ParkedEntry {
            position: Position::new(position),
            key: 77,
            parked_at: Timestamp::from_nanos(-5),
            attempt_count: 3,
            holds: position.is_multiple_of(2),
            reason: reason.to_owned(),
        }
    }

    fn file(entries: &[ParkedEntry]) -> ParkedFile {
        ParkedFile { store: StoreId::from_bytes([3; 16]), entries: entries.to_vec() }
    }

    #[test]
    fn a_list_reads_back_as_it_was_written() {
        let long = "é".repeat(127);
        let lists = [vec![], vec![entry(4, "")], vec![entry(4, "no"), entry(9, &long)]];
        for list in lists {
            let file = file(&list);
            assert_eq!(ParkedFile::decode(&file.encode()), Ok(file));
        }
    }

    #[test]
    fn a_list_has_the_bytes_that_the_page_on_the_format_says() {
        let bytes = file(&[entry(4, "no")]).encode();
        let (frame, rest) = bytes.split_at(32);
        assert_eq!(frame, [&b"annalprk"[..], &[3; 16], &[1, 0, 0, 0, 0, 0, 0, 0]].concat());
        let entry = [&[4, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 0xfb][..], &[0xff; 7]];
        let end = [&[3, 0, 0, 0, 1, 0, 0, 0, 0, 2][..], b"no", &[112, 85, 233, 160]];
        assert_eq!(rest, [entry.concat(), end.concat()].concat());
    }

    #[test]
    fn every_damage_to_a_list_is_a_fault() {
        let bytes = file(&[entry(4, "no"), entry(9, "never")]).encode();
        every_damage_is_a_fault(&bytes, ParkedFile::decode);
        assert!(ParkedFile::decode(&[]).is_err());
        assert!(ParkedFile::decode(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn a_list_out_of_order_is_a_fault() {
        for list in [[entry(9, ""), entry(4, "")], [entry(4, ""), entry(4, "")]] {
            assert!(ParkedFile::decode(&file(&list).encode()).is_err());
        }
    }
}
