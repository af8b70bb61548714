//! The segments of a store in their order, and how far readers may go.
//!
//! Owns which segments there are, a bounded number of their open files, and the visible end.
//! Shared by the writer and by every reader; holds no lock while a file is read.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
#[cfg(feature = "async")]
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::format::Fault;
#[cfg(feature = "async")]
use crate::log::wakers::{WakerId, Wakers};
use crate::segment::{
    FOLDER, Link, Scanner, SegmentFile, Shared, Window, parse_name, records_start,
};
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, RwLock};
use crate::types::{Address, LogEnd, Position, StoreId, StoreKey};

/// How many files of segments stay open for readers.
const OPEN_FILES_MAX: usize = 32;

/// The segments of a store, as readers see them.
#[derive(Debug)]
pub(crate) struct Segments {
    directory: Arc<dyn Directory>,
    key: StoreKey,
    /// First positions, ascending. Never empty.
    bases: RwLock<Vec<Position>>,
    /// Files used last, the most recent at the back.
    open: Mutex<VecDeque<Arc<SegmentFile>>>,
    /// Whether another process writes, which may put others in the place of files that readers have.
    are_tracked: AtomicBool,
    visible: RwLock<LogEnd>,
    /// How many wait for the visible end to move.
    waiter_count: AtomicU64,
    /// Held by who begins to wait, and by who tells them, so that none is told before it waits.
    waiting: Mutex<()>,
    moved: Condvar,
    /// Tasks that wait for the same.
    #[cfg(feature = "async")]
    wakers: Wakers,
    shared: Arc<Shared>,
}

/// Lists the first positions of the segments in a store's directory, ascending.
pub(crate) fn list_bases(directory: &dyn Directory) -> Result<Vec<Position>> {
    let names = match directory.list(FOLDER) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("list", &directory.path_of(FOLDER))(error)),
    };
    let mut bases: Vec<_> = names.iter().filter_map(|name| parse_name(name)).collect();
    bases.sort_unstable();
    Ok(bases)
}

impl Segments {
    /// The segments with these first positions, of which readers see what is before `visible`.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        key: StoreKey,
        bases: Vec<Position>,
        visible: LogEnd,
    ) -> Self {
        Self {
            directory,
            key,
            bases: RwLock::new(bases),
            open: Mutex::default(),
            are_tracked: AtomicBool::new(false),
            visible: RwLock::new(visible),
            waiter_count: AtomicU64::new(0),
            waiting: Mutex::default(),
            moved: Condvar::new(),
            #[cfg(feature = "async")]
            wakers: Wakers::default(),
            shared: Arc::default(),
        }
    }

    /// Expects files to be put in the place of others: another process writes.
    pub(crate) fn expect_renewal(&self) {
        self.are_tracked.store(true, Ordering::Release);
    }

    /// Lets readers share blocks, in `len_max` bytes of memory.
    pub(crate) fn share_blocks(&self, len_max: u64) {
        self.shared.keep_blocks(len_max);
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    pub(crate) fn store(&self) -> StoreId {
        self.key.id
    }

    pub(crate) fn key(&self) -> StoreKey {
        self.key
    }

    /// The visible end: readers see whole batches before it.
    pub(crate) fn visible(&self) -> LogEnd {
        *self.visible.read()
    }

    /// Moves the visible end to `end`, after `tell` has told of what becomes visible. Who waits must be
    /// [woken](Self::wake) after that, once nothing is held that they may ask for.
    ///
    /// Who learns of an event from whoever was told, and asks for the visible end then, finds the
    /// event before it.
    pub(crate) fn show(&self, end: LogEnd, tell: impl FnOnce()) {
        let mut visible = self.visible.write();
        tell();
        *visible = end;
    }

    /// Does something while the visible end stays where it is.
    pub(crate) fn hold<T>(&self, act: impl FnOnce(&LogEnd) -> T) -> T {
        act(&self.visible.write())
    }

    /// Tells all who wait, for the visible end has moved or there is another reason to look.
    pub(crate) fn wake(&self) {
        // Who begins to wait is counted first, and looks at the visible end after that.
        if self.waiter_count.load(Ordering::SeqCst) > 0 {
            drop(self.waiting.lock());
            self.moved.notify_all();
        }
        #[cfg(feature = "async")]
        self.wakers.wake_all();
    }

    /// Lets a task be woken, once, when [`Segments::wake`] is called next, in the place of `earlier`.
    /// The visible end must be looked at after that.
    #[cfg(feature = "async")]
    pub(crate) fn add_waker(&self, waker: &Waker, earlier: Option<WakerId>) -> WakerId {
        self.wakers.add(waker, earlier)
    }

    /// Lets a task not be woken.
    #[cfg(feature = "async")]
    pub(crate) fn forget_waker(&self, id: WakerId) {
        self.wakers.remove(id);
    }

    /// Whether any task waits to be woken.
    #[cfg(feature = "async")]
    pub(crate) fn has_wakers(&self) -> bool {
        !self.wakers.is_empty()
    }

    /// Waits until the visible end is after `position`, for `timeout` at most or until `is_over`;
    /// says whether it is.
    pub(crate) fn wait_beyond(
        &self,
        position: Position,
        timeout: Duration,
        is_over: impl Fn() -> bool,
    ) -> bool {
        let is_beyond = || self.visible().position > position;
        if is_beyond() {
            return true;
        }
        // Too far away to be told is never.
        let deadline = Instant::now().checked_add(timeout);
        self.waiter_count.fetch_add(1, Ordering::SeqCst);
        let mut waiting = self.waiting.lock();
        while !is_beyond() && !is_over() {
            match deadline {
                None => self.moved.wait(&mut waiting),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let _ = self.moved.wait_for(&mut waiting, left);
                }
            }
        }
        drop(waiting);
        self.waiter_count.fetch_sub(1, Ordering::SeqCst);
        is_beyond()
    }

    pub(crate) fn bases(&self) -> Vec<Position> {
        self.bases.read().clone()
    }

    /// Adds a segment after all others.
    pub(crate) fn add(&self, file: Arc<SegmentFile>) {
        self.bases.write().push(file.base());
        self.keep_open(file);
    }

    /// The first position of the first segment, which is 0 unless that is missing.
    fn first(&self) -> Position {
        self.bases.read().first().copied().unwrap_or_default()
    }

    /// The segment that holds `position`, or would: the last one that begins at it or before.
    pub(crate) fn holding(&self, position: Position) -> Position {
        let bases = self.bases.read();
        let after = bases.partition_point(|base| *base <= position);
        after.checked_sub(1).and_then(|at| bases.get(at)).copied().unwrap_or_default()
    }

    /// The segment after the one that begins at `base`.
    pub(crate) fn after(&self, base: Position) -> Option<Position> {
        let bases = self.bases.read();
        bases.get(bases.partition_point(|other| *other <= base)).copied()
    }

    /// The open file of the segment that begins at `base`.
    pub(crate) fn file(&self, base: Position) -> Result<Arc<SegmentFile>> {
        let mut open = self.open.lock();
        if let Some(at) = open.iter().position(|file| file.base() == base)
            && let Some(file) = open.remove(at)
        {
            open.push_back(Arc::clone(&file));
            return Ok(file);
        }
        drop(open);
        if base < self.first() {
            let expected = "the first segment";
            return Err(Error::Corrupt { segment: base, offset: 0, expected });
        }
        let file = Arc::new(SegmentFile::open_to_read(&*self.directory, self.key, base)?);
        file.header()?;
        self.keep_open(Arc::clone(&file));
        Ok(file)
    }

    /// Lets go of an open file, in whose place there may be another. Readers that have it let go of it
    /// where they ask what follows.
    pub(crate) fn forget(&self, base: Position) {
        self.open.lock().retain(|file| file.base() != base);
    }

    fn keep_open(&self, file: Arc<SegmentFile>) {
        let mut open = self.open.lock();
        open.retain(|other| other.base() != file.base());
        open.push_back(file);
        if open.len() > OPEN_FILES_MAX {
            open.pop_front();
        }
    }

    /// Up to where a reader may read in a segment: the visible end, or the end of the file of a
    /// segment that others follow. What is not a record there is found out by reading it.
    pub(crate) fn limit(&self, file: &SegmentFile) -> Result<u64> {
        let visible = self.visible();
        if visible.address.segment == file.base() {
            return Ok(visible.address.offset);
        }
        // One that nothing follows yet may grow: what recovery by another process has begun is known
        // before anything in it is visible.
        if self.after(file.base()).is_none() { file.len() } else { file.full_len() }
    }

    /// Begins to read at the first record of the segment that begins at `base`.
    pub(crate) fn scan(&self, base: Position) -> Result<Scanner> {
        let file = self.file(base)?;
        let link = Link::from_header(&file.header()?);
        Ok(Scanner::sharing(file, records_start(), link, self.shared()))
    }

    /// Begins to read at an address where the record at `position` stands.
    pub(crate) fn scan_at(&self, address: Address, position: Position) -> Result<Scanner> {
        let file = self.file(address.segment)?;
        Ok(Scanner::sharing(file, address.offset, Link::at(position), self.shared()))
    }

    /// Begins to read at an earlier end of the log, up to where the reader likes: what it sees that is
    /// not visible may be taken back, and is kept for nobody.
    pub(crate) fn scan_from(&self, end: &LogEnd) -> Result<Scanner> {
        let file = self.file(end.address.segment)?;
        Ok(Scanner::alone(file, end.address.offset, Link::from_end(end)))
    }

    /// A window on the segment that begins at `base`, for reading here and there.
    pub(crate) fn window(&self, base: Position) -> Result<Window> {
        Ok(Window::points(self.file(base)?, self.shared()))
    }

    /// Goes on with the next segment, if `scanner` has read all of its own; the next one must
    /// follow from it.
    ///
    /// Without it a scan that has come to the end of a segment finds no record there.
    pub(crate) fn cross(&self, scanner: Scanner) -> Result<Scanner> {
        match self.after(scanner.segment()) {
            Some(next) if next < scanner.position() => return self.find_moved(&scanner),
            Some(next) if next == scanner.position() => {}
            _ => return self.find_renewed(scanner),
        }
        let next = self.scan(scanner.position())?;
        let follows = match (scanner.end(), next.end()) {
            // A scan that began right here, in the middle of nothing, proves nothing.
            (None, _) => scanner.is_fresh(),
            (Some(end), Some(begin)) => {
                end.checksum == begin.checksum && end.recorded_at == begin.recorded_at
            }
            (Some(_), None) => false,
        };
        if follows {
            return Ok(next);
        }
        let fault = Fault("a segment that follows from the one before");
        Err(self.file(next.segment())?.corrupt(0, fault))
    }

    /// Goes on in the file that is in the place of the one that `scanner` has read, if there is another
    /// by now.
    fn find_renewed(&self, scanner: Scanner) -> Result<Scanner> {
        if !self.are_tracked.load(Ordering::Acquire) {
            return Ok(scanner);
        }
        let file = self.file(scanner.segment())?;
        if std::ptr::eq(&raw const *file, scanner.file()) {
            return Ok(scanner);
        }
        Ok(scanner.go_on_in(file, self.shared()))
    }

    /// Goes on where recovery by another process has moved what `scanner` has read last: to a
    /// segment of its own.
    fn find_moved(&self, scanner: &Scanner) -> Result<Scanner> {
        let file = self.file(self.holding(scanner.position()))?;
        let moved = moved_to(&file, scanner.position(), scanner.end().as_ref())?;
        // It has read what is not visible, too.
        Ok(moved.go_on_in(file, self.shared()))
    }
}

/// Begins to read at `position` in `file`, where recovery by another process has moved what was before:
/// all up to `end`, if that is known.
pub(super) fn moved_to(
    file: &Arc<SegmentFile>,
    position: Position,
    end: Option<&LogEnd>,
) -> Result<Scanner> {
    let link = Link::from_header(&file.header()?);
    let mut moved = Scanner::alone(Arc::clone(file), records_start(), link);
    let limit = file.len()?;
    while moved.position() < position {
        moved.advance(limit)?;
    }
    let is_same = |end: &LogEnd| moved.end().is_some_and(|other| other.checksum == end.checksum);
    if end.is_none_or(is_same) {
        return Ok(moved);
    }
    Err(file.corrupt(moved.offset(), Fault("the records that were there before")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::SimulatedDirectory;
    use crate::segment::name_of;
    use crate::types::Timestamp;

    /// Its length was taken for that of a segment that is full, and what was appended later for damage.
    #[test]
    fn a_segment_that_was_begun_and_is_not_visible_may_still_grow() {
        let directory: Arc<dyn Directory> = Arc::new(SimulatedDirectory::new());
        directory.create_folder(FOLDER).unwrap();
        let key = StoreKey { id: StoreId::from_bytes([3; 16]), seed: 5 };
        let base = Position::new(7);
        let address = Address { segment: Position::START, offset: 500 };
        let visible = LogEnd {
            position: Position::new(9),
            address,
            checksum: 1,
            recorded_at: Timestamp::MIN,
        };
        let file = directory.replace(&name_of(base), &[]).unwrap();
        file.write_all_at(&[0; 100], 0).unwrap();
        let bases = vec![Position::START];
        let segments = Segments::new(Arc::clone(&directory), key, bases, visible);
        let begun = Arc::new(SegmentFile::open_to_read(&*directory, key, base).unwrap());
        segments.add(Arc::clone(&begun));
        assert_eq!(segments.limit(&begun).unwrap(), 100);
        file.write_all_at(&[0; 100], 100).unwrap();
        assert_eq!(segments.limit(&begun).unwrap(), 200);
        // Once another follows, it is full.
        segments.bases.write().push(Position::new(20));
        assert_eq!(segments.limit(&begun).unwrap(), 200);
    }
}
