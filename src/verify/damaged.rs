//! What there is of a log that opening refuses.

use std::io;
use std::sync::Arc;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::log::{Segments, witnessed_end};
use crate::segment::{Salvaged, Salvager, SegmentFile, records_start};
use crate::types::{Address, LogEnd, Position, StoreKey};

/// A log that is damaged or incomplete, as far as it is there.
#[derive(Debug)]
pub(crate) struct Damaged {
    /// Every segment that there is, up to the last sound batch of the last one that has any.
    /// Cursors tell of the damage where they come to it, and can be put behind it.
    pub(crate) segments: Segments,
    /// Where the log is known to have ended, though it may not be readable up to there.
    pub(crate) known_end: LogEnd,
}

/// Whether an error says that something is damaged. A segment that was listed and is not there
/// was taken back just now, or is missing.
pub(crate) fn is_damage(error: &Error) -> bool {
    match error {
        Error::Corrupt { .. } | Error::CorruptFile { .. } => true,
        Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

impl Damaged {
    /// Looks at the segments with these first positions. `witness` is how far the log is known to
    /// have been durable, from elsewhere than the files that are looked at.
    pub(crate) fn look(
        directory: &Arc<dyn Directory>,
        key: StoreKey,
        bases: Vec<Position>,
        witness: Option<Position>,
    ) -> Result<Self> {
        let mut end = LogEnd::start(key.seed, records_start());
        for base in bases.iter().rev() {
            match last_end(&**directory, key, *base) {
                Ok(found) => {
                    end = found;
                    break;
                }
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let last = bases.last().copied().unwrap_or_default();
        let len = SegmentFile::len_of(&**directory, last).unwrap_or(end.address.offset);
        let witness = witness.max(witnessed_end(&**directory, key.id)?);
        let known_end = LogEnd {
            position: witness.unwrap_or_default().max(end.position).max(last),
            address: Address { segment: last, offset: len },
            ..end
        };
        let segments = Segments::new(Arc::clone(directory), key, bases, end);
        Ok(Self { segments, known_end })
    }
}

/// The end of the last sound batch of a segment, whatever is damaged before it.
fn last_end(directory: &dyn Directory, key: StoreKey, base: Position) -> Result<LogEnd> {
    let file = Arc::new(SegmentFile::open_to_read(directory, key, base)?);
    let len = file.len()?;
    let (mut salvager, header) = Salvager::new(file, Position::new(u64::MAX), Some(len))?;
    // Behind a header that is damaged there may be records all the same.
    if let Err(error) = header
        && !is_damage(&error)
    {
        return Err(error);
    }
    let mut end = salvager.end();
    loop {
        match salvager.advance() {
            Salvaged::Record => end = salvager.end().or(end),
            Salvaged::Gap(error, _) if !is_damage(&error) => return Err(error),
            Salvaged::Gap(..) => {}
            Salvaged::End => break,
        }
    }
    let expected = "a whole batch";
    end.ok_or(Error::Corrupt { segment: base, offset: records_start(), expected })
}
