//! Reading single records where the index says that they are.

use crate::cursor::Source;
use crate::cursor::page::{Page, Run};
use crate::error::{Error, Result};
use crate::event::EventView;
use crate::format::Record;
use crate::segment::Window;
use crate::types::{Address, Revision};

/// So many records in blocks of other readers say that more are there. One alone is, now and then,
/// where few blocks are kept.
const SHARED_COUNT_MIN: u32 = 2;

/// Where single records are read, and up to which offset there.
#[derive(Debug)]
pub(crate) struct Near {
    window: Window,
    limit: u64,
    /// The one that was read last. It stays in its place: to move it costs too much.
    record: Record,
    /// How many records were found in blocks of other readers, one after the other.
    shared_count: u32,
}

impl Near {
    /// The event of the record that was read last.
    pub(super) fn view(&self) -> EventView<'_> {
        self.window.view(&self.record)
    }

    /// Brings nearer what is read next, if that is likely to be found where the last records were: in
    /// memory.
    pub(super) fn prepare(&self, page: &mut Page) {
        if self.shared_count >= SHARED_COUNT_MIN
            && let Some(lot) = page.next_lot()
        {
            self.window.bring_nearer(lot);
        }
    }

    fn count_shared(&mut self) {
        let count = self.shared_count.saturating_add(1);
        self.shared_count = if self.window.is_shared() { count } else { 0 };
    }
}

impl Source {
    /// Reads the record of a revision at an address that the index gave, which is the last one of
    /// `near` then; `false` if something else stands there, so that the index is wrong.
    ///
    /// # Errors
    ///
    /// What reading gives, also if it is the log that lacks the segment of that address.
    pub(crate) fn record_at(
        &self,
        near: &mut Option<Near>,
        (address, run): (Address, Run),
        (stream, revision): (&str, Revision),
    ) -> Result<bool> {
        // The limit is looked up again only when it must be: that may be a system call.
        let is_near = |near: &Near| {
            near.window.file().base() == address.segment && address.offset < near.limit
        };
        if !near.as_ref().is_some_and(is_near) {
            let window = match self.segments.window(address.segment) {
                Err(error) if error.is_missing_file() => {
                    return self.segments.reach(address.segment).map(|()| false);
                }
                other => other?,
            };
            *near = Some(Near {
                limit: self.segments.limit(window.file())?,
                window,
                record: Record::none(),
                shared_count: near.as_ref().map_or(0, |near| near.shared_count),
            });
        }
        let Some(near) = near else { return Ok(false) };
        let Near { window, limit, record, .. } = near;
        window.cover_run(&run, *limit)?;
        match window.read(record, address.offset, *limit) {
            Ok(()) => {}
            Err(error @ Error::Corrupt { .. }) if self.is_record_there(address)? => {
                return Err(error);
            }
            Err(Error::Corrupt { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        near.count_shared();
        let event = near.view();
        Ok(event.revision() == revision && event.stream_bytes() == stream.as_bytes())
    }

    /// Whether a scan of the segment comes to `address`, so that a record should begin there.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the segment is damaged before that.
    pub(super) fn is_record_there(&self, address: Address) -> Result<bool> {
        let mut scanner = self.segments.scan(address.segment)?;
        let limit = self.segments.limit(scanner.file())?;
        let stop = self.stop(&scanner, self.segments.visible().position);
        while scanner.offset() < address.offset && scanner.position() < stop {
            scanner.read(limit)?;
        }
        Ok(scanner.offset() == address.offset && scanner.position() < stop)
    }
}
