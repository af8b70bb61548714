//! Repairing a damaged store: explicit, lossy, never automatic.
//!
//! Owns what a repair decides and what it tells. What it writes is in `act`; how damage is found
//! is in `verify`.

mod act;
mod report;

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

pub use report::RepairReport;

use crate::directory::{Directory, DiskDirectory, Lock, read_small};
use crate::error::{Error, Result};
use crate::format::{PARKED_FILE_LEN_MAX, PARKED_SUFFIX, ParkedFile, SLOTS_LEN, Slot, StoreMeta};
use crate::log::{CONSUMERS, Segments, UnrecoveredLog, list_bases, list_consumers};
use crate::options::Options;
use crate::segment::SegmentFile;
use crate::store::open::take_lock;
use crate::store::open_index::IndexPlace;
use crate::types::{LogEnd, Position, StoreKey};
use crate::verify::{Damaged, FoundMeta, MayBeUnsealed, Walked, find_meta, is_damage, walk};

/// There from the first change of a repair to its last. A store that has it is not opened: it may
/// lack what bears witness to what it has lost.
pub(crate) const REPAIRING: &str = "repairing";

/// What a repair of a store would do. Nothing is changed before [`RepairPlan::carry_out`].
///
/// A repair gives back a store that opens: it cuts the log before the first damage to a record,
/// and keeps everything after that, whole segments and the rest of a damaged one, in a folder of
/// its own below `quarantine/`. That folder can be read with
/// [`Inspection`](crate::inspect::Inspection), so that what is sound behind the damage can be
/// appended again, at new positions. What costs no event is mended: a lost or damaged
/// `store.meta`, footers. A segment whose records are all sound and whose digest is another one is
/// reported and left: no one can tell which of the two is right.
///
/// ```
/// use annals::{Expected, NewEvent, RepairPlan, Store};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("shop.annals");
/// # let store = Store::open(&path)?;
/// # store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
/// # store.close()?;
/// # std::fs::remove_file(path.join("store.meta"))?;
/// assert!(Store::open(&path).is_err());
///
/// let plan = RepairPlan::make(&path)?;
/// println!("{}", plan.report());
/// let report = plan.carry_out()?;
/// assert!(report.removed.is_empty());
///
/// let store = Store::open(&path)?;
/// assert_eq!(store.end().get(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RepairPlan {
    directory: Arc<dyn Directory>,
    place: IndexPlace,
    key: StoreKey,
    report: RepairReport,
    /// What to write as `store.meta`, if it is damaged.
    meta: Option<StoreMeta>,
    cut: Option<Cut>,
    /// Where sound segments end that need another footer.
    to_seal: Vec<LogEnd>,
    consumers: Vec<Reset>,
    is_unfinished: bool,
    /// What was planned is still so when it is carried out.
    _lock: Box<dyn Lock>,
}

/// Where the log is to end.
#[derive(Debug)]
struct Cut {
    end: LogEnd,
    /// Segments that begin at or behind the end, and are moved away.
    later: Vec<Position>,
    /// Whether the segment that is cut is there and has a sound header: only the first may not.
    has_segment: bool,
}

/// A file of a consumer that cannot stay as it is.
#[derive(Debug)]
struct Reset {
    name: String,
    /// What takes its place; nothing, if what is there cannot be read.
    bytes: Option<Vec<u8>>,
}

impl Reset {
    /// Puts a consumer to `end`, if its place is after that or cannot be read.
    fn of_slots(name: String, slot: Option<Slot>, end: Position) -> Option<Self> {
        if slot.as_ref().is_some_and(|slot| slot.position <= end) {
            return None;
        }
        let slot = slot.map(|slot| Slot {
            position: end,
            generation: slot.generation.saturating_add(1),
            pending: slot.pending.into_iter().filter(|position| *position < end).collect(),
            ..slot
        });
        Some(Self { name, bytes: slot.map(|slot| slot.file()) })
    }

    /// Lets go of parked events from `end` on, if there are any, or of a list that cannot be read.
    fn of_parked(name: String, list: Option<ParkedFile>, end: Position) -> Option<Self> {
        let stays = |list: &ParkedFile| list.entries.iter().all(|entry| entry.position < end);
        if list.as_ref().is_some_and(stays) {
            return None;
        }
        let list = list.map(|mut list| {
            list.entries.retain(|entry| entry.position < end);
            list
        });
        Some(Self { name, bytes: list.map(|list| list.encode()) })
    }
}

impl RepairPlan {
    /// Looks for what is damaged in the store at `path`, by reading all of it, and plans how to
    /// repair it. Holds the store's lock until it is carried out or dropped.
    ///
    /// No file of the store is changed, but for those of its index, which is opened to hear how
    /// far it knew the log.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if the store is open, [`Error::NotAStore`], [`Error::NewerFormat`];
    /// [`Error::CorruptFile`] if `store.meta` is damaged and so is the header of the first segment,
    /// which tells the same, or if one of them is of another store; [`Error::Io`] if something
    /// cannot be read: a medium that fails is no damage to cut at, copy the store to another first.
    pub fn make(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Err(Error::NotAStore { path: path.to_owned() });
        }
        Self::make_in(Arc::new(DiskDirectory::new(path)), IndexPlace::Sled)
    }

    /// Plans the repair of the store in `directory`, whose index is in `place`.
    pub(crate) fn make_in(directory: Arc<dyn Directory>, place: IndexPlace) -> Result<Self> {
        // Nothing is to be created where there is no store.
        find_meta(&*directory)?;
        let lock = take_lock(&*directory)?;
        let FoundMeta { meta, lost } = find_meta(&*directory)?;
        let is_rebuilt = lost.is_some();
        let key = meta.key;
        let opened = Options::new().open_index(&*directory, &place, key.id);
        let indexed_end = opened.checkpoint.map(|checkpoint| checkpoint.position);
        drop(opened);
        let survey = Survey::make(&directory, key, indexed_end)?;
        let path = directory.path_of(REPAIRING);
        let mark = read_small(&*directory, REPAIRING, 0).map_err(Error::io("read", &path))?;
        let mut plan = Self {
            report: RepairReport::nothing(survey.known_end.position),
            directory,
            place,
            key,
            meta: is_rebuilt.then_some(meta),
            cut: None,
            to_seal: Vec::new(),
            consumers: Vec::new(),
            is_unfinished: mark.is_some(),
            _lock: lock,
        };
        plan.decide(survey)?;
        Ok(plan)
    }

    /// What would be done, and lost.
    #[must_use]
    pub fn report(&self) -> &RepairReport {
        &self.report
    }

    /// Whether there is anything to do.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.is_unfinished || self.is_more_than_unfinished()
    }

    fn is_more_than_unfinished(&self) -> bool {
        self.meta.is_some()
            || self.cut.is_some()
            || !self.to_seal.is_empty()
            || !self.consumers.is_empty()
    }

    fn decide(&mut self, survey: Survey) -> Result<()> {
        let Survey { segments, known_end, walked, is_refused } = survey;
        let Walked { damages, sound_end, to_seal, is_whole, .. } = walked;
        let mut end = known_end.position;
        if is_refused || !is_whole {
            end = sound_end.position;
            self.cut = Some(self.cut_at(sound_end, &segments));
        }
        let is_before = |at: &LogEnd| at.position <= end && at.address != sound_end.address;
        self.to_seal = to_seal.into_iter().filter(is_before).collect();
        self.consumers = self.resets(end)?;
        self.report.end = end;
        self.report.removed = end..known_end.position;
        let lost = |range: &Range<Position>| !range.is_empty() && range.end > end;
        self.report.unreadable =
            damages.iter().map(|damage| damage.positions.clone()).filter(lost).collect();
        self.report.damages = damages;
        self.report.is_meta_rebuilt = self.meta.is_some();
        self.report.sealed = self.to_seal.iter().map(|at| at.address.segment).collect();
        self.report.consumers = self.consumers.iter().map(|reset| reset.name.clone()).collect();
        Ok(())
    }

    fn cut_at(&self, end: LogEnd, segments: &Segments) -> Cut {
        let first = end.address.segment;
        let header = SegmentFile::open_to_read(&*self.directory, self.key, first)
            .and_then(|file| file.header());
        let has_segment = header.is_ok();
        let mut later = segments.bases();
        later.retain(|base| *base > first || (!has_segment && *base == first));
        Cut { end, later, has_segment }
    }

    /// The files of consumers that speak of what is after `end`, or cannot be read.
    fn resets(&self, end: Position) -> Result<Vec<Reset>> {
        let mut resets = Vec::new();
        for name in list_consumers(&*self.directory)? {
            let is_parked = name.ends_with(PARKED_SUFFIX);
            let file = format!("{CONSUMERS}/{name}");
            let path = self.directory.path_of(&file);
            let len_max = if is_parked { PARKED_FILE_LEN_MAX } else { SLOTS_LEN };
            let read = read_small(&*self.directory, &file, len_max);
            let Some(bytes) = read.map_err(Error::io("read", &path))? else { continue };
            resets.extend(if is_parked {
                let list = ParkedFile::decode(&bytes).ok();
                Reset::of_parked(name, list.filter(|list| list.store == self.key.id), end)
            } else {
                let slot = Slot::latest(&bytes).ok();
                Reset::of_slots(name, slot.filter(|slot| slot.store == self.key.id), end)
            });
        }
        Ok(resets)
    }
}

/// What there is of the log.
struct Survey {
    segments: Segments,
    known_end: LogEnd,
    walked: Walked,
    is_refused: bool,
}

impl Survey {
    fn make(
        directory: &Arc<dyn Directory>,
        key: StoreKey,
        indexed_end: Option<Position>,
    ) -> Result<Self> {
        let scanned = UnrecoveredLog::scan(Arc::clone(directory), key).map(|mut log| {
            if let Some(position) = indexed_end {
                log.add_index_checkpoint(position);
            }
            (log.witness(), log.look())
        });
        let (segments, known_end, is_refused) = match scanned {
            Ok((_, (segments, None))) => {
                let end = segments.visible();
                (segments, end, false)
            }
            Ok((witness, (segments, Some(_)))) => {
                let bases = segments.bases();
                let Damaged { segments, known_end } =
                    Damaged::look(directory, key, bases, witness)?;
                (segments, known_end, true)
            }
            Err(error) if is_damage(&error) => {
                let bases = list_bases(&**directory)?;
                let Damaged { segments, known_end } =
                    Damaged::look(directory, key, bases, indexed_end)?;
                (segments, known_end, true)
            }
            Err(error) => return Err(error),
        };
        let mut walked = walk(&segments, &known_end, MayBeUnsealed::Last, &mut |_, _, _| {
            ControlFlow::Continue(())
        });
        if let Some(at) = walked.damages.iter().position(|damage| !is_damage(&damage.error)) {
            return Err(walked.damages.swap_remove(at).error);
        }
        Ok(Self { segments, known_end, walked, is_refused })
    }
}
