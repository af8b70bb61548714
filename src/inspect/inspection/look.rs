//! Finding the end of a log that someone may be writing meanwhile.
//!
//! The files are read one after the other while they change, so a first look may take for damage
//! what is none. Owns what is believed.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::log::{Segments, UnrecoveredLog, list_bases};
use crate::types::{LogEnd, Position, StoreKey};
use crate::verify::{Damaged, is_damage};

/// How often the log is looked at until two looks agree that it is damaged. The last look is
/// believed in any case: nothing is written that long without a whole batch being seen.
const LOOKS_MAX: usize = 10;
/// How long to wait between two looks: longer than a write and a roll take, as a rule.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// A log as it was seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// What can be read.
    pub(super) segments: Segments,
    /// First positions of all segment files.
    pub(super) bases: Vec<Position>,
    pub(super) damage: Option<Error>,
    /// Where the log is known to have ended, though it may not be readable up to there.
    pub(super) known_end: LogEnd,
    pub(super) trailing_len: u64,
    /// Whether the note of a clean close stands, and nothing contradicts it.
    pub(super) was_closed: bool,
}

impl Seen {
    fn of_damaged(
        directory: &Arc<dyn Directory>,
        key: StoreKey,
        bases: Vec<Position>,
        damage: Error,
    ) -> Result<Self> {
        let Damaged { segments, known_end } = Damaged::look(directory, key, bases.clone(), None)?;
        let damage = Some(damage);
        Ok(Self { segments, bases, damage, known_end, trailing_len: 0, was_closed: false })
    }
}

/// Looks at the log in `directory`. Damage is believed once two looks in a row, `pause` apart,
/// have found the same.
pub(super) fn look(directory: &Arc<dyn Directory>, key: StoreKey, pause: Duration) -> Result<Seen> {
    let mut seen = look_once(directory, key)?;
    for _ in 1..LOOKS_MAX {
        if seen.damage.is_none() {
            break;
        }
        thread::sleep(pause);
        let next = look_once(directory, key)?;
        let same = is_same(&seen, &next);
        seen = next;
        if same {
            break;
        }
    }
    Ok(seen)
}

fn is_same(a: &Seen, b: &Seen) -> bool {
    let damage = |seen: &Seen| seen.damage.as_ref().map(ToString::to_string);
    a.bases == b.bases
        && a.segments.visible() == b.segments.visible()
        && a.trailing_len == b.trailing_len
        && damage(a) == damage(b)
}

fn look_once(directory: &Arc<dyn Directory>, key: StoreKey) -> Result<Seen> {
    match UnrecoveredLog::scan(Arc::clone(directory), key) {
        Ok(log) => {
            let mut was_closed = log.was_closed();
            let (segments, refused) = log.look();
            let bases = segments.bases();
            // What the log goes on behind is not damaged: it has just been written.
            let goes_on = goes_on(&**directory, &segments).unwrap_or(false);
            if let Some(damage) = refused.filter(|_| !goes_on) {
                return Seen::of_damaged(directory, key, bases, damage);
            }
            let end = segments.visible();
            let mut trailing_len = 0;
            if goes_on {
                was_closed = false;
            } else {
                let offset = end.address.offset;
                trailing_len = segments.file(end.address.segment)?.end_of_bytes(offset)? - offset;
            }
            Ok(Seen { segments, bases, damage: None, known_end: end, trailing_len, was_closed })
        }
        Err(error) if is_damage(&error) => {
            Seen::of_damaged(directory, key, list_bases(&**directory)?, error)
        }
        Err(error) => Err(error),
    }
}

/// Whether a whole batch follows from the end of `segments` by now, or another segment.
fn goes_on(directory: &dyn Directory, segments: &Segments) -> Result<bool> {
    let end = segments.visible();
    let mut scanner = segments.scan_from(&end)?;
    let limit = segments.file(end.address.segment)?.len()?;
    while scanner.read(limit).is_ok() {
        if scanner.end().is_some() {
            return Ok(true);
        }
    }
    // A segment that begins right at the end can only be a later one if this one has records.
    let rolled = end.position > end.address.segment
        && list_bases(directory)?.binary_search(&end.position).is_ok();
    if !rolled {
        return Ok(false);
    }
    let header = segments.file(end.position)?.header()?;
    Ok(header.chain == end.checksum && header.recorded_before == end.recorded_at)
}

#[cfg(test)]
mod tests {
    use crate::inspect::Inspection;
    use crate::{Durability, Expected, NewEvent, Options};

    /// Segments of 4 KiB make the writer roll and seal all the time.
    #[test]
    fn a_store_that_is_being_written_never_looks_damaged() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("busy.annals");
        let options = Options::new().durability(Durability::Buffered).segment_len_max(4 << 10);
        let store = options.open(&path).unwrap();
        let write = || {
            for _ in 0..1_500 {
                let events = (0..3).map(|n| NewEvent::text("said", "word ".repeat(n * 20)));
                store.append("talk", Expected::Any, events).unwrap();
            }
        };
        std::thread::scope(|scope| {
            let writer = scope.spawn(write);
            let mut last_end = 0;
            while !writer.is_finished() {
                let beside = Inspection::open(&path).unwrap();
                let end = beside.end().get();
                assert_eq!(beside.damage().map(ToString::to_string), None, "at {end}");
                assert!(end >= last_end && end.is_multiple_of(3), "{last_end}, then {end}");
                let new = beside.events().from(last_end).map(Result::unwrap).count();
                assert_eq!(u64::try_from(new).unwrap(), end - last_end);
                last_end = end;
            }
        });
        let beside = Inspection::open(&path).unwrap();
        assert_eq!((beside.end(), beside.trailing_len()), (store.end(), 0));
        assert!(beside.segments().all(|segment| segment.is_ok()));
    }
}
