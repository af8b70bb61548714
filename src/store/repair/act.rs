//! Carrying out a repair.
//!
//! Owns the order in which files are changed: at every moment the store is as it was, or marked
//! as one that a repair has not finished.

use crate::directory::{copy_file, read_small};
use crate::error::{Error, Result};
use crate::format::SegmentHeader;
use crate::log::{CLEAN_NOTE, CONSUMERS, META, QUARANTINE};
use crate::segment::{FOLDER, SegmentFile, name_of, seal};
use crate::store::repair::{Cut, REPAIRING, RepairPlan, RepairReport, Reset};
use crate::types::Position;

/// What the folders of kept files are called, with a number after it.
const KEPT: &str = "repair-";
const REPORT: &str = "report.txt";

impl RepairPlan {
    /// Does what was planned, and says what was done. The next opening builds another index if
    /// the log was cut.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if something cannot be written. A repair that was not finished, also by the
    /// end of the process, leaves a store that is refused until another repair is: that goes on
    /// where this one has stopped, and tells only what it does itself. The whole report is beside
    /// the files that were kept.
    pub fn carry_out(mut self) -> Result<RepairReport> {
        if !self.is_needed() {
            return Ok(self.report);
        }
        self.replace(REPAIRING, b"")?;
        if self.is_more_than_unfinished() {
            let kept = self.keep()?;
            self.change(&kept)?;
        }
        self.remove(REPAIRING)?;
        Ok(self.report)
    }

    fn change(&mut self, kept: &str) -> Result<()> {
        if let Some(meta) = self.meta.take() {
            if self.has(META)? {
                // Not moved: without any, the directory would not look like a store.
                self.copy(META, &format!("{kept}/{META}.damaged"))?;
            }
            self.replace(META, &meta.encode())?;
        }
        if let Some(cut) = self.cut.take() {
            self.cut(&cut, kept)?;
        }
        for end in &self.to_seal {
            let file = SegmentFile::open_to_write(&*self.directory, self.key, end.address.segment)?;
            file.set_len(end.address.offset)?;
            seal(&file.into(), end)?;
        }
        for reset in &self.consumers {
            self.reset(reset, kept)?;
        }
        Ok(())
    }

    fn has(&self, name: &str) -> Result<bool> {
        let path = self.directory.path_of(name);
        let read = read_small(&*self.directory, name, 0).map_err(Error::io("read", &path))?;
        Ok(read.is_some())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.directory.path_of(name);
        self.directory.replace(name, bytes).map_err(Error::io("write", &path)).map(|_| ())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.directory.remove(name).map_err(Error::io("remove", &self.directory.path_of(name)))
    }

    fn create_folder(&self, name: &str) -> Result<()> {
        let path = self.directory.path_of(name);
        self.directory.create_folder(name).map_err(Error::io("create", &path))
    }

    fn move_to(&self, name: &str, kept: &str) -> Result<()> {
        let path = self.directory.path_of(name);
        let to = format!("{kept}/{name}");
        self.directory.rename_file(name, &to).map_err(Error::io("move", &path))
    }

    /// Makes a folder for what is taken away, which can be inspected as a store, and writes there
    /// what is about to be done.
    fn keep(&mut self) -> Result<String> {
        self.create_folder(QUARANTINE)?;
        let path = self.directory.path_of(QUARANTINE);
        let names = self.directory.list(QUARANTINE).map_err(Error::io("list", &path))?;
        let numbers = names.iter().filter_map(|name| name.strip_prefix(KEPT)?.parse::<u64>().ok());
        let number = numbers.max().unwrap_or(0).saturating_add(1);
        let kept = format!("{QUARANTINE}/{KEPT}{number:04}");
        self.create_folder(&kept)?;
        self.report.kept_in = Some(self.directory.path_of(&kept));
        self.replace(&format!("{kept}/{REPORT}"), self.report.to_string().as_bytes())?;
        Ok(kept)
    }

    /// Ends the log, and takes away everything that bears witness to more.
    fn cut(&self, cut: &Cut, kept: &str) -> Result<()> {
        self.create_folder(&format!("{kept}/{FOLDER}"))?;
        self.copy(META, &format!("{kept}/{META}"))?;
        let first = cut.end.address.segment;
        if cut.has_segment {
            let file = SegmentFile::open_to_write(&*self.directory, self.key, first)?;
            if file.len()? > cut.end.address.offset {
                self.copy(&name_of(first), &format!("{kept}/{}", name_of(first)))?;
            }
            self.move_segments(&cut.later, kept)?;
            file.set_len(cut.end.address.offset)?;
            file.sync()?;
        } else {
            self.move_segments(&cut.later, kept)?;
            SegmentFile::create(&*self.directory, self.key, &SegmentHeader::first(self.key))?;
        }
        self.remove(CLEAN_NOTE)?;
        let moved = self.place.move_aside(&*self.directory);
        moved.map_err(|_| Error::Io {
            operation: "move",
            path: self.directory.path().join("index"),
            source: std::io::ErrorKind::Other.into(),
        })
    }

    fn move_segments(&self, bases: &[Position], kept: &str) -> Result<()> {
        bases.iter().try_for_each(|base| self.move_to(&name_of(*base), kept))
    }

    fn copy(&self, name: &str, to: &str) -> Result<()> {
        let path = self.directory.path_of(name);
        copy_file(&*self.directory, name, to).map_err(Error::io("copy", &path))
    }

    /// Puts a consumer to the end of the log, or takes its place away if that cannot be read.
    fn reset(&self, reset: &Reset, kept: &str) -> Result<()> {
        let name = format!("{CONSUMERS}/{}", reset.name);
        let Some(mut slot) = reset.slot else {
            self.create_folder(&format!("{kept}/{CONSUMERS}"))?;
            return self.move_to(&name, kept);
        };
        slot.position = self.report.end;
        slot.generation = slot.generation.saturating_add(1);
        self.replace(&name, &slot.file())
    }
}
