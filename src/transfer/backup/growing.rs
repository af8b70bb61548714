//! Bringing the log of a copy up to the end of the original.
//!
//! Owns the order in which segments come: at every moment a copy that is a store already can be opened,
//! and has what it had, or more. A sealed segment must be followed by another one, which must follow
//! from all of it. So each new one comes without its footer first, and is linked or sealed when the
//! next one is there. In a copy that is no store yet, sealed segments are linked at once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::directory::{Directory, RandomFile, TEMPORARY_PREFIX, is_absence};
use crate::error::{Error, Result};
use crate::format::{Fault, Footer};
use crate::segment::{FOLDER, SegmentFile, name_of, seal, wide};
use crate::transfer::backup::destination::Found;
use crate::transfer::backup::original::{Original, Piece, read_to};
use crate::transfer::backup::{BackupProgress, BackupReport, Link, Watch, remove};
use crate::types::{LogEnd, Position};

/// Bytes that are copied at once.
const BLOCK_LEN: usize = 1 << 20;
/// The folder of the index.
const INDEX: &str = "index";

/// Why the copy has not come to its end.
#[derive(Debug)]
pub(super) enum Halt {
    /// Whoever watches has ended it.
    Broken,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Step<T = ()> = Result<T, Halt>;

/// The log of a copy while it grows.
pub(super) struct Growing<'a> {
    original: &'a Original,
    copy: &'a dyn Directory,
    link: Link,
    found: &'a Found,
    report: &'a mut BackupReport,
    watch: Watch<'a>,
    progress: BackupProgress,
    /// Segments that were put there out of order, without their footers.
    placed: BTreeSet<Position>,
}

impl<'a> Growing<'a> {
    pub(super) fn new(
        original: &'a Original,
        copy: &'a dyn Directory,
        link: Link,
        found: &'a Found,
        report: &'a mut BackupReport,
        watch: Watch<'a>,
    ) -> Result<Self> {
        let progress = BackupProgress { done_len: 0, total_len: original.len()? };
        let placed = BTreeSet::new();
        Ok(Self { original, copy, link, found, report, watch, progress, placed })
    }

    /// Brings every segment.
    pub(super) fn grow(mut self) -> Step {
        let bases = self.original.bases();
        match &self.found.end {
            Some(end) => {
                self.take_back(end)?;
                self.place_moved(end)?;
            }
            None => self.remove_others()?,
        }
        let next = bases.iter().skip(1).copied().map(Some).chain([None]);
        let mut full = None;
        for (base, next) in bases.iter().zip(next) {
            let piece = self.original.piece(*base, next)?;
            let is_sealed = self.keeps(&piece)? || self.links_at_once(&piece)?;
            if !is_sealed {
                self.bring(&piece)?;
            }
            // Another one follows it now.
            if let Some(full) = full.take() {
                self.seal(&full)?;
            }
            full = Some(piece).filter(|piece| piece.is_full && !is_sealed);
        }
        Ok(())
    }

    /// Recovery moves what was not durable to a segment of its own, though a copy may have it in the
    /// one before. Brings the ones that were begun so, the last one first: the log is read to where
    /// the next segment begins, so that the copy has all that it had meanwhile.
    fn place_moved(&mut self, end: &LogEnd) -> Step {
        let original = self.original;
        let is_moved = |base: &Position| end.address.segment < *base && *base < end.position;
        let bases = original.bases();
        let next = bases.iter().skip(1).copied().map(Some).chain([None]);
        let moved: Vec<_> = bases.iter().zip(next).filter(|(base, _)| is_moved(base)).collect();
        if moved.is_empty() {
            return Ok(());
        }
        // It knows other places.
        match self.copy.remove_folder(INDEX) {
            Err(error) if !is_absence(&error) => {
                return Err(Error::io("remove", &self.copy.path_of(INDEX))(error).into());
            }
            _ => {}
        }
        for (base, next) in moved.into_iter().rev() {
            let piece = original.piece(*base, next)?;
            self.place(&piece)?;
            self.placed.insert(*base);
        }
        Ok(())
    }

    /// Takes back the last segment of the copy if the original has taken it back: one without events,
    /// whose entry could not be synced. The one before is not sealed any more.
    fn take_back(&mut self, end: &LogEnd) -> Step {
        let base = end.address.segment;
        let original = self.original;
        let Some(before) = original.bases().iter().rfind(|other| **other < base) else {
            return Ok(());
        };
        if end.position != base || original.bases().binary_search(&base).is_ok() {
            return Ok(());
        }
        self.place(&original.piece_to(*before, base)?)?;
        Ok(remove(self.copy, &name_of(base))?)
    }

    /// Removes the segments of a copy that is no store yet, if the original has them no more.
    fn remove_others(&self) -> Step {
        let is_other = |base: &&Position| self.original.bases().binary_search(base).is_err();
        for base in self.found.bases.iter().filter(is_other) {
            remove(self.copy, &name_of(*base))?;
        }
        Ok(())
    }

    /// Whether the copy has a segment as it should be; then it stays.
    fn keeps(&mut self, piece: &Piece) -> Step<bool> {
        let base = piece.file.base();
        if self.found.bases.binary_search(&base).is_err() || self.placed.contains(&base) {
            return Ok(false);
        }
        let file = SegmentFile::open_to_read(self.copy, self.original.key(), base)?;
        let is_kept = if piece.is_full {
            file.header().is_ok() && file.footer()?.is_some_and(|footer| fits(&footer, piece))
        } else {
            // All before its end is what the original has.
            self.found.end == Some(piece.end) && file.len()? == piece.end.address.offset
        };
        if is_kept {
            let len = file.len()?;
            self.report.kept.add(len);
            self.is_done(len)?;
        }
        Ok(is_kept)
    }

    /// Links a sealed segment, if the copy is no store yet and both can be one file.
    fn links_at_once(&mut self, piece: &Piece) -> Step<bool> {
        let is_linked = self.found.end.is_none() && self.link(piece)?;
        if is_linked {
            self.is_done(piece.file.len()?)?;
        }
        Ok(is_linked)
    }

    /// Makes a sealed segment one file with the original's, if that can be done.
    fn link(&mut self, piece: &Piece) -> Step<bool> {
        let Some(footer) = &piece.footer else { return Ok(false) };
        // It may have been sealed just now, and the footer be in memory only.
        if self.link == Link::Never || piece.file.sync().is_err() {
            return Ok(false);
        }
        let base = piece.file.base();
        if self.copy.link(piece.file.path(), &name_of(base)).is_err() {
            // Whatever the reason is: it is copied instead.
            return Ok(false);
        }
        let linked = SegmentFile::open_to_read(self.copy, self.original.key(), base)?;
        if linked.footer()?.as_ref() != Some(footer) {
            return Ok(false);
        }
        self.report.linked.add(linked.len()?);
        Ok(true)
    }

    /// Brings a segment without a footer.
    fn bring(&mut self, piece: &Piece) -> Step {
        if !self.placed.contains(&piece.file.base()) {
            self.place(piece)?;
        }
        if !piece.is_full {
            self.report.copied.add(piece.end.address.offset);
        }
        Ok(())
    }

    /// Ends a segment that another one follows.
    fn seal(&mut self, piece: &Piece) -> Step {
        if self.link(piece)? {
            return Ok(());
        }
        let (key, base) = (self.original.key(), piece.file.base());
        let mut file = SegmentFile::open_to_write(self.copy, key, base)?;
        if file.len()? != piece.end.address.offset {
            // A link that was made and is not what it should be is not to be written to.
            drop(file);
            self.place(piece)?;
            file = SegmentFile::open_to_write(self.copy, key, base)?;
        }
        let file = Arc::new(file);
        seal(&file, &piece.end)?;
        self.report.copied.add(file.len()?);
        Ok(())
    }

    /// Puts a copy of a segment, up to the end of its records, in the place of what has its name.
    fn place(&mut self, piece: &Piece) -> Step {
        let name = name_of(piece.file.base());
        let temporary =
            format!("{FOLDER}/{TEMPORARY_PREFIX}{}", name.rsplit('/').next().unwrap_or(&name));
        let placed = self.write(piece, &temporary).and_then(|()| {
            let path = self.copy.path_of(&name);
            Ok(self.copy.rename_file(&temporary, &name).map_err(Error::io("move", &path))?)
        });
        if placed.is_err() {
            // It takes up room. The next backup removes it as well.
            let _ = self.copy.remove(&temporary);
        }
        placed
    }

    fn write(&mut self, piece: &Piece, temporary: &str) -> Step {
        let path = self.copy.path_of(temporary);
        let file = self.copy.replace(temporary, b"").map_err(Error::io("create", &path))?;
        let mut digest = Xxh3::new();
        let mut block = vec![0; BLOCK_LEN];
        let (mut offset, end) = (0, piece.end.address.offset);
        while offset < end {
            let read = piece.file.read_at(&mut block, offset)?;
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let Some(bytes) = block.get(..read.min(left)).filter(|bytes| !bytes.is_empty()) else {
                let fault = Fault("the rest of the segment");
                return Err(piece.file.corrupt(offset, fault).into());
            };
            digest.update(bytes);
            file.write_all_at(bytes, offset).map_err(Error::io("write", &path))?;
            offset += wide(bytes.len());
            self.is_done(wide(bytes.len()))?;
        }
        match piece.footer {
            Some(footer) if footer.digest != digest.digest128() => {
                return Err(piece.file.corrupt(0, Fault("the bytes that were sealed")).into());
            }
            Some(_) => {}
            None => self.check_written(piece, &path, &file)?,
        }
        Ok(file.sync().map_err(Error::io("sync", &path))?)
    }

    /// Checks that what was written are the records that were seen: meanwhile, an opening of the
    /// original may have moved some of them, and sealed what was left.
    fn check_written(&self, piece: &Piece, path: &Path, file: &Arc<dyn RandomFile>) -> Step {
        let (key, base) = (self.original.key(), piece.file.base());
        let written = SegmentFile::of_file(key, base, path.to_owned(), Arc::clone(file));
        let (end, _) = read_to(&Arc::new(written), piece.end.position)?;
        if end == piece.end {
            return Ok(());
        }
        let fault = Fault("the records that were seen");
        Err(piece.file.corrupt(end.address.offset, fault).into())
    }

    /// Tells whoever watches that so many more bytes are done.
    fn is_done(&mut self, len: u64) -> Step {
        let progress = &mut self.progress;
        progress.done_len = progress.done_len.saturating_add(len).min(progress.total_len);
        if (self.watch)(progress).is_break() { Err(Halt::Broken) } else { Ok(()) }
    }
}

/// Whether a sealed segment of the copy is the original's.
fn fits(footer: &Footer, piece: &Piece) -> bool {
    let LogEnd { position, address, checksum, recorded_at } = piece.end;
    footer.end() == position
        && footer.offset == address.offset
        && footer.checksum == checksum
        && footer.last_recorded_at == recorded_at
        && piece.footer.is_none_or(|original| original == *footer)
}
