//! The act: what recovery writes, once it is decided.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::log::decide::Decision;
use crate::log::recover::{Note, UnrecoveredLog};
use crate::log::sealer::Sealer;
use crate::log::writer::Writer;
use crate::log::{Begin, CLEAN_NOTE, QUARANTINE, Segments};
use crate::report::{RecoveryReport, TornTail};
use crate::segment::{FOLDER, SegmentFile, seal, wide};

/// How the names of files end that hold a torn tail.
const SUFFIX: &str = ".tail";
/// The most bytes that are kept of one torn tail.
const KEPT_LEN_MAX: u64 = 16 << 20;
/// How many torn tails are kept; older ones make room.
const KEPT_FILES_MAX: usize = 16;
/// Bytes that are written again at once.
const REWRITE_LEN: usize = 1 << 20;

impl UnrecoveredLog {
    /// Makes the medium hold exactly the log up to its valid end, and nothing after it.
    pub(super) fn act(self, decision: Decision, report: &mut RecoveryReport) -> Result<Begin> {
        let noted = report.was_closed;
        let mut active =
            SegmentFile::open_to_write(&*self.directory, self.key, self.active.base())?;
        if !noted {
            self.sync_entries()?;
            self.remove_note()?;
            if decision == Decision::Cut {
                report.torn_tail = Some(self.keep_aside()?);
            }
            let end = self.valid_end.address.offset;
            report.rewritten_len = end.saturating_sub(self.unproven_offset);
            if report.rewritten_len > 0 {
                active = self.write_again(active)?;
            }
            active.set_len(end)?;
            active.sync()?;
        }
        report.sealed_count = self.seal_unsealed()?;
        let segments = Arc::new(Segments::new(
            Arc::clone(&self.directory),
            self.key,
            self.bases,
            self.valid_end,
        ));
        let sealer = Arc::new(Sealer::default());
        let writer = Writer::new(self.directory, Arc::new(active), noted, Arc::clone(&sealer));
        Ok(Begin { segments, end: self.valid_end, last_offset: self.last_offset, writer, sealer })
    }

    /// Seals full segments that a crash has left open, and returns how many. One that cannot be
    /// sealed, for want of room for instance, is tried again when the store is next opened.
    fn seal_unsealed(&self) -> Result<u64> {
        let mut full = Vec::new();
        for (base, end) in &self.unsealed {
            full.push((
                Arc::new(SegmentFile::open_to_write(&*self.directory, self.key, *base)?),
                *end,
            ));
        }
        // The oldest first, so that no sealed segment follows one that is not.
        full.reverse();
        let sealed = full.iter().take_while(|(file, end)| seal(file, end).is_ok()).count();
        Ok(wide(sealed))
    }

    /// Makes durable which files there are: a process that was killed while it created one may
    /// have left the entry in memory only, and what follows relies on it.
    fn sync_entries(&self) -> Result<()> {
        for folder in [FOLDER, ""] {
            let path = self.directory.path_of(folder);
            self.directory.sync_folder(folder).map_err(Error::io("sync", &path))?;
        }
        Ok(())
    }

    /// Removes a note that does not tell the truth, or soon will not.
    fn remove_note(&self) -> Result<()> {
        if self.note == Note::Absent {
            return Ok(());
        }
        let path = self.directory.path_of(CLEAN_NOTE);
        self.directory.remove(CLEAN_NOTE).map_err(Error::io("remove", &path))
    }

    /// Writes again, byte for byte, what is valid and not proved durable: it may be in the page
    /// cache only, and after a failed sync no later one would write it.
    ///
    /// Not to the places where it was to stand: ext4 says Ok to syncs of what is written again
    /// where a sync has failed, and goes on taking these places for empty.
    fn write_again(&self, active: SegmentFile) -> Result<SegmentFile> {
        let end = self.valid_end.address.offset;
        match SegmentFile::renew(&*self.directory, self.key, active.base(), end) {
            // Without room for a copy it is the old places or no store.
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                copy_range(&self.active, self.unproven_offset, end, |bytes, offset| {
                    active.write_all_at(bytes, offset)
                })?;
                Ok(active)
            }
            renewed => renewed.map_err(Error::io("write again", active.path())),
        }
    }

    /// Keeps what is about to be cut, as far as that is worth it and can be done.
    fn keep_aside(&self) -> Result<TornTail> {
        let (segment, offset) = (self.active.base(), self.valid_end.address.offset);
        let len = self.active.end_of_bytes(offset)? - offset;
        let mut tail = TornTail { segment, offset, len, kept_in: None };
        if len > KEPT_LEN_MAX {
            return Ok(tail);
        }
        let mut bytes = Vec::new();
        copy_range(&self.active, offset, offset + len, |block, _| {
            bytes.extend_from_slice(block);
            Ok(())
        })?;
        if !bytes.is_empty() {
            // Not being able to keep it, on a full disk for instance, must not stop recovery.
            let name = format!("{QUARANTINE}/{:020}-{offset:020}{SUFFIX}", segment.get());
            tail.kept_in = keep(&*self.directory, &name, &bytes).ok();
        }
        Ok(tail)
    }
}

/// Hands the bytes of a range to `each`, block by block.
fn copy_range(
    file: &SegmentFile,
    start: u64,
    end: u64,
    mut each: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let len =
        usize::try_from(end.saturating_sub(start)).map_or(REWRITE_LEN, |len| len.min(REWRITE_LEN));
    let mut block = vec![0; len];
    let mut offset = start;
    while offset < end {
        let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let read = file.read_at(&mut block, offset)?.min(left);
        let Some(bytes) = block.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        each(bytes, offset)?;
        offset += wide(bytes.len());
    }
    Ok(())
}

fn keep(directory: &dyn Directory, name: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
    directory.create_folder(QUARANTINE)?;
    let mut kept = directory.list(QUARANTINE)?;
    // What a repair has kept is not ours to remove.
    kept.retain(|name| name.ends_with(SUFFIX));
    kept.sort_unstable();
    let too_many = (kept.len() + 1).saturating_sub(KEPT_FILES_MAX);
    for old in kept.iter().take(too_many) {
        directory.remove(&format!("{QUARANTINE}/{old}"))?;
    }
    directory.replace(name, bytes)?;
    Ok(directory.path_of(name))
}
