//! Carrying out a repair.
//!
//! Owns the order in which files are changed: at every moment the store is as it was, or marked
//! as one that a repair has not finished.

use crate::directory::{copy_file, read_small};
use crate::error::{Error, Result};
use crate::format::SegmentHeader;
use crate::log::{CLEAN_NOTE, CONSUMERS, DURABLE_NOTE, META, QUARANTINE};
use crate::segment::{FOLDER, SegmentFile, name_of, seal};
use crate::store::repair::{Cut, REPAIRING, RepairPlan, RepairReport, Reset};
use crate::types::{Address, LogEnd, Position};

/// What the folders of kept files are called, with a number after it.
const KEPT: &str = "repair-";
const REPORT: &str = "report.txt";
/// The most bytes that are kept of what stands in the place of a footer.
const FOOTER_KEPT_LEN_MAX: usize = 64 << 10;

impl RepairPlan {
    /// Does what was planned, and says what was done. The next opening builds another index if
    /// the log was cut.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if something cannot be written; [`Error::Corrupt`] if it has changed since it
    /// was read. Until copies of all that is to be changed are there, which takes room, the store
    /// stays as it was; what is cut or sealed is written once more after that. After that, a repair that was not finished, also by the end of the process,
    /// leaves a store that is refused until another repair is: that goes on where this one has
    /// stopped, and tells only what it does itself. The whole report is beside the files that were
    /// kept.
    pub fn carry_out(mut self) -> Result<RepairReport> {
        if !self.is_needed() {
            return Ok(self.report);
        }
        if self.is_more_than_unfinished() {
            let kept = self.keep()?;
            self.replace(REPAIRING, b"")?;
            self.change(&kept)?;
        }
        self.remove(REPAIRING)?;
        Ok(self.report)
    }

    fn change(&mut self, kept: &str) -> Result<()> {
        if let Some(meta) = self.meta.take() {
            self.replace(META, &meta.encode())?;
        }
        if let Some(cut) = self.cut.take() {
            self.cut(&cut, kept)?;
        }
        for end in &self.to_seal {
            seal(&self.cut_segment(end)?.into(), end)?;
        }
        for reset in &self.consumers {
            self.reset(reset)?;
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

    /// Makes a folder that can be inspected as a store, with a report of what is about to be done
    /// and a copy of all that will be written over. Until that is there the store is as it was.
    fn keep(&mut self) -> Result<String> {
        self.create_folder(QUARANTINE)?;
        let path = self.directory.path_of(QUARANTINE);
        let names = self.directory.list(QUARANTINE).map_err(Error::io("list", &path))?;
        let numbers = names.iter().filter_map(|name| name.strip_prefix(KEPT)?.parse::<u64>().ok());
        let number = numbers.max().unwrap_or(0).saturating_add(1);
        let kept = format!("{QUARANTINE}/{KEPT}{number:04}");
        self.report.kept_in = Some(self.directory.path_of(&kept));
        if let Err(error) = self.copy_originals(&kept) {
            // What was copied takes up room that may be what is wanting.
            let _ = self.directory.remove_folder(&kept);
            return Err(error);
        }
        Ok(kept)
    }

    fn copy_originals(&self, kept: &str) -> Result<()> {
        for folder in [String::new(), format!("/{FOLDER}"), format!("/{CONSUMERS}")] {
            self.create_folder(&format!("{kept}{folder}"))?;
        }
        self.replace(&format!("{kept}/{REPORT}"), self.report.to_string().as_bytes())?;
        if let Some(meta) = &self.meta {
            if self.has(META)? {
                self.copy(META, &format!("{kept}/{META}.damaged"))?;
            }
            self.replace(&format!("{kept}/{META}"), &meta.encode())?;
        } else {
            self.copy(META, &format!("{kept}/{META}"))?;
        }
        let mut names: Vec<_> =
            self.consumers.iter().map(|reset| format!("{CONSUMERS}/{}", reset.name)).collect();
        if let Some(cut) = &self.cut {
            names.extend(cut.has_segment.then(|| name_of(cut.end.address.segment)));
            for note in [CLEAN_NOTE, DURABLE_NOTE] {
                names.extend(self.has(note)?.then(|| note.to_owned()));
            }
        }
        names.iter().try_for_each(|name| self.copy(name, &format!("{kept}/{name}")))?;
        self.to_seal.iter().try_for_each(|end| self.copy_footer(end, kept))
    }

    /// Copies what stands in the place of a footer.
    fn copy_footer(&self, end: &LogEnd, kept: &str) -> Result<()> {
        let segment = end.address.segment;
        let file = SegmentFile::open_to_read(&*self.directory, self.key, segment)?;
        let mut bytes = vec![0; FOOTER_KEPT_LEN_MAX];
        let len = file.read_at(&mut bytes, end.address.offset)?;
        bytes.truncate(len);
        self.replace(&format!("{kept}/{}.footer", name_of(segment)), &bytes)
    }

    /// Ends the log, and takes away everything that bears witness to more.
    fn cut(&self, cut: &Cut, kept: &str) -> Result<()> {
        self.move_segments(&cut.later, kept)?;
        if cut.has_segment {
            self.cut_segment(&cut.end)?;
        } else {
            SegmentFile::create(&*self.directory, self.key, &SegmentHeader::first(self.key))?;
        }
        self.remove(CLEAN_NOTE)?;
        self.remove(DURABLE_NOTE)?;
        let moved = self.place.move_aside(&*self.directory);
        moved.map_err(|_| Error::Io {
            operation: "move",
            path: self.directory.path().join("index"),
            source: std::io::ErrorKind::Other.into(),
        })
    }

    /// Ends a segment where the log ends, durably. Not in its place: a backup may have the same file
    /// under a name of its own, and must stay as it is.
    fn cut_segment(&self, end: &LogEnd) -> Result<SegmentFile> {
        let Address { segment, offset } = end.address;
        SegmentFile::renewed(&*self.directory, self.key, segment, offset)
    }

    fn move_segments(&self, bases: &[Position], kept: &str) -> Result<()> {
        bases.iter().try_for_each(|base| self.move_to(&name_of(*base), kept))
    }

    fn copy(&self, name: &str, to: &str) -> Result<()> {
        let path = self.directory.path_of(name);
        copy_file(&*self.directory, name, to).map_err(Error::io("copy", &path))
    }

    /// Puts a consumer to the end of the log, or takes its file away if that cannot be read.
    fn reset(&self, reset: &Reset) -> Result<()> {
        let name = format!("{CONSUMERS}/{}", reset.name);
        match &reset.bytes {
            Some(bytes) => self.replace(&name, bytes),
            None => self.remove(&name),
        }
    }
}
