//! How a store is opened.
//!
//! Owns the defaults and the ranges of every option.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};

/// The least and most bytes that [`Options::segment_len_max`] takes.
const SEGMENT_LEN_RANGE: std::ops::RangeInclusive<u64> = 4 << 10..=1 << 40;
/// The most bytes that [`Options::payload_len_max`] takes: lengths of records are 32 bits wide.
const PAYLOAD_LEN_MAX: u32 = 1 << 30;

/// When an append returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// When the events are on the medium: no crash takes them back.
    #[default]
    Sync,
    /// When the events are visible and with the operating system. The end of the process takes
    /// nothing back; a crash of the system or a loss of power may take back whole batches from
    /// the end, down to the last [`Store::sync`](crate::Store::sync) or append with [`Durability::Sync`].
    Buffered,
}

/// What is called while an index is built: with events indexed so far, and events to index.
#[derive(Clone)]
pub(crate) struct Progress(Arc<dyn Fn(u64, u64) + Send + Sync>);

impl Progress {
    pub(crate) fn report(&self, done: u64, total: u64) {
        (self.0)(done, total);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// How a store is opened. Every option has a default that loses nothing.
///
/// ```no_run
/// use annals::{Durability, Options};
///
/// let store = Options::new()
///     .durability(Durability::Buffered)
///     .segment_len_max(16 << 20)
///     .open("quakes.annals")?;
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) durability: Durability,
    pub(crate) sync_interval: Option<Duration>,
    pub(crate) segment_len_max: u64,
    pub(crate) payload_len_max: u32,
    pub(crate) checkpoint_event_count: u64,
    pub(crate) index_cache_len: u64,
    pub(crate) read_cache_len: u64,
    pub(crate) page_cache_len: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) progress: Option<Progress>,
    /// Whether the index is built anew, whatever there is of it.
    pub(crate) rebuilds_index: bool,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            create: true,
            durability: Durability::Sync,
            sync_interval: None,
            segment_len_max: 128 << 20,
            payload_len_max: 16 << 20,
            // If each is in a stream of its own, they are in a table of 131,072 places, which is doubled
            // once seven eighths of it are taken.
            checkpoint_event_count: 96 << 10,
            index_cache_len: 64 << 20,
            read_cache_len: 32 << 20,
            page_cache_len: 1 << 30,
            clock: Arc::new(SystemClock),
            progress: None,
            rebuilds_index: false,
        }
    }

    /// Whether a store is created where there is none. Default: yes. Without it, a path that
    /// does not exist or is an empty directory is [`Error::NotAStore`].
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// When appends return, if they do not say so themselves. Default: [`Durability::Sync`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The longest that events which are appended with [`Durability::Buffered`] stay without a sync,
    /// but for the time that a sync takes. Default: none, which leaves it to
    /// [`Store::sync`](crate::Store::sync), to appends with [`Durability::Sync`], and to syncs that
    /// happen now and then in any case, at the latest after some 20 MiB.
    ///
    /// A loss of power then takes back what was appended in the last interval, and no more. If such a
    /// sync fails, the next append says so: [`Error::Poisoned`]. A simulated store, which has no
    /// threads, syncs after each append if this is set.
    #[must_use]
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = Some(interval);
        self
    }

    /// The most bytes of a segment file, from 4 KiB to 1 TiB. Default: 128 MiB.
    ///
    /// A batch must fit into one segment, of which 160 bytes are its frame. Small segments mean
    /// more files and more pauses to begin the next; large ones mean more to scan after a crash.
    /// May differ from one opening to the next.
    #[must_use]
    pub fn segment_len_max(mut self, bytes: u64) -> Self {
        self.segment_len_max = bytes;
        self
    }

    /// The most bytes of a payload, and of the metadata of an event, up to 1 GiB.
    /// Default: 16 MiB.
    ///
    /// Limits appends only: what is in the store can always be read.
    #[must_use]
    pub fn payload_len_max(mut self, bytes: u32) -> Self {
        self.payload_len_max = bytes;
        self
    }

    /// After how many events the index takes over from memory what it needs to find them, at
    /// least 1. Default: 98,304.
    ///
    /// More events mean more memory (8 to 16 bytes each, up to 64 more for one of 4 KiB and more that
    /// is a batch by itself, and for each of their streams some 60 bytes and its name; twice that
    /// while a checkpoint is written, and eight times while an index is built anew) and more to read
    /// again when a store is opened that was not closed. So many streams make a checkpoint due as well
    /// that they take 37 bytes for each of so many events, at 44 bytes and the name for a stream: with
    /// names of 20 bytes that is somewhat more than half as many as events.
    #[must_use]
    pub fn checkpoint_event_count(mut self, events: u64) -> Self {
        self.checkpoint_event_count = events;
        self
    }

    /// How many bytes the index may use to keep what it has read. Default: 64 MiB.
    ///
    /// A sixteenth is for sled, which holds the index and takes it as a hint: it may use many times
    /// as much. Of the rest, half is for filters, which tell without reading that a stream is new, and
    /// take two bytes for each stream, or somewhat less where there are many; an eighth of that half is for
    /// one over much of the index, once many streams were made since the store was opened. A sixteenth is
    /// for where the parts of the index begin: some 100 bytes for each KiB of it that were asked for. What
    /// is left is for such parts themselves, checked and ready to be searched, which take two or three
    /// times what they have on disk; but filters that need more take up to four sevenths of it. What does not
    /// fit is read from sled when it is asked for, in some 100 µs instead of one: by default from some
    /// twenty million streams on, each of which counts once, or once more for each time that it was appended
    /// to after long.
    #[must_use]
    pub fn index_cache_len(mut self, bytes: u64) -> Self {
        self.index_cache_len = bytes;
        self
    }

    /// How many bytes readers may use to share what several of them read. Default: 32 MiB.
    ///
    /// Blocks of events of which the checksums were verified are kept there, so that consumers which
    /// follow the end, or read the same events at about the same time, read and verify each block
    /// about once. Events of streams that are read over and over are kept one by one: some 40,000 of 500
    /// bytes in 32 MiB. A reader that is alone in its part of the log uses memory of its own instead,
    /// some 130 KiB. Less than 2 MiB make blocks smaller; with less than 16 KiB nothing is shared.
    ///
    /// With room for all that is read again and again, a fifth more than it has in the log, it is put there the
    /// second time, which takes longer, and read from there from then on: two to four times as fast as from
    /// the system's page cache.
    #[must_use]
    pub fn read_cache_len(mut self, bytes: u64) -> Self {
        self.read_cache_len = bytes;
        self
    }

    /// How many bytes of the segments that this process has filled last stay in the page cache of the
    /// system, the one that is being filled aside. Default: 1 GiB.
    ///
    /// Without it a load of many gigabytes would fill that cache, in the place of what this program and
    /// others read, and of memory that a container or a virtual machine may have to ask for: so the
    /// system is told of a segment that was filled before those that it need not be kept. Whoever reads
    /// it has it read from the medium, and kept from then on as the system sees fit. No more than 4,096
    /// segments are kept, however small. [`u64::MAX`] leaves everything to the system, as all but Linux do
    /// in any case.
    #[must_use]
    pub fn page_cache_len(mut self, bytes: u64) -> Self {
        self.page_cache_len = bytes;
        self
    }

    /// The clock that recorded times come from. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Calls `progress` with the number of events indexed so far and the number to index, while
    /// a missing or broken index is rebuilt or one that lags behind catches up on opening, or one
    /// that has failed since is replaced. Default: none.
    ///
    /// That may be after [`Options::open`] has returned, by a thread of the store's own. What
    /// `progress` calls must not be this store. If it panics, the index cannot be used.
    #[must_use]
    pub fn on_index_progress(
        mut self,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> Self {
        self.progress = Some(Progress(Arc::new(progress)));
        self
    }

    /// Checks that every option is in its range.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |option, reason| Err(Error::InvalidOption { option, reason });
        if !SEGMENT_LEN_RANGE.contains(&self.segment_len_max) {
            return refuse("segment_len_max", "must be from 4 KiB to 1 TiB");
        }
        if self.payload_len_max > PAYLOAD_LEN_MAX {
            return refuse("payload_len_max", "must be at most 1 GiB");
        }
        if self.checkpoint_event_count == 0 {
            return refuse("checkpoint_event_count", "must be at least 1");
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        for (options, name) in [
            (Options::new().segment_len_max(100), "segment_len_max"),
            (Options::new().segment_len_max(u64::MAX), "segment_len_max"),
            (Options::new().payload_len_max(u32::MAX), "payload_len_max"),
            (Options::new().checkpoint_event_count(0), "checkpoint_event_count"),
        ] {
            match options.check() {
                Err(Error::InvalidOption { option, .. }) => assert_eq!(option, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
