//! Reading single records where the index says that they are.

use crate::cursor::Source;
use crate::cursor::page::Run;
use crate::cursor::source::is_missing;
use crate::error::{Error, Result};
use crate::format::Record;
use crate::segment::Window;
use crate::types::{Address, Revision};

/// Where single records are read, and up to which offset there.
#[derive(Debug)]
pub(crate) struct Near {
    pub(crate) window: Window,
    limit: u64,
}

impl Source {
    /// Reads the record of a revision at an address that the index gave, which is in the window of
    /// `near` then; `None` if something else stands there, so that the index is wrong.
    pub(crate) fn record_at(
        &self,
        near: &mut Option<Near>,
        (address, run): (Address, Run),
        (stream, revision): (&str, Revision),
    ) -> Result<Option<Record>> {
        // The limit is looked up again only when it must be: that may be a system call.
        let is_near = |near: &Near| {
            near.window.file().base() == address.segment && address.offset < near.limit
        };
        if !near.as_ref().is_some_and(is_near) {
            let window = match self.segments.window(address.segment) {
                Err(error) if is_missing(&error) => return Ok(None),
                other => other?,
            };
            *near = Some(Near { limit: self.segments.limit(window.file())?, window });
        }
        let Some(Near { window, limit }) = near else { return Ok(None) };
        if run.start() != run.end() {
            window.cover_run(&run, *limit)?;
        }
        let record = match window.record_at(address.offset, *limit) {
            Ok(record) => record,
            Err(error @ Error::Corrupt { .. }) if self.is_record_there(address)? => {
                return Err(error);
            }
            Err(Error::Corrupt { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_right = record.parts.revision == revision && window.stream(&record) == stream;
        Ok(Some(record).filter(|_| is_right))
    }

    /// Whether a scan of the segment comes to `address`, so that a record should begin there.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the segment is damaged before that.
    pub(super) fn is_record_there(&self, address: Address) -> Result<bool> {
        let mut scanner = self.segments.scan(address.segment)?;
        let file = self.segments.file(address.segment)?;
        let limit = self.segments.limit(&file)?;
        let stop = self.stop(&scanner, self.segments.visible().position);
        while scanner.offset() < address.offset && scanner.position() < stop {
            scanner.read(limit)?;
        }
        Ok(scanner.offset() == address.offset && scanner.position() < stop)
    }
}
