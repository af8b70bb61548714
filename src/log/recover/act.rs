//! The act: what recovery writes, once it is decided.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use crate::directory::{Directory, RandomFile, TEMPORARY_PREFIX};
use crate::error::{Error, Result};
use crate::log::decide::Decision;
use crate::log::recover::{Note, UnrecoveredLog};
use crate::log::sealer::{Full, Sealer};
use crate::log::writer::Writer;
use crate::log::{Begin, CLEAN_NOTE, CONSUMERS, LOCK, QUARANTINE, Segments};
use crate::report::{RecoveryReport, TornTail};
use crate::segment::{FOLDER, SegmentFile, wide};

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
    pub(super) fn act(
        mut self,
        decision: Decision,
        segment_len_max: u64,
        report: &mut RecoveryReport,
    ) -> Result<Begin> {
        let noted = report.was_closed;
        let witness = self.witness();
        let lock = self.directory.open_to_write(LOCK);
        let lock = lock.map_err(Error::io("open", &self.directory.path_of(LOCK)))?;
        let mut active =
            SegmentFile::open_to_write(&*self.directory, self.key, self.active.base())?;
        let mut full = None;
        if !noted {
            remove_leftovers(&*self.directory);
            self.sync_entries()?;
            self.remove_note()?;
            if decision == Decision::Cut {
                report.torn_tail = Some(self.keep_aside()?);
            }
            let end = self.valid_end.address.offset;
            report.rewritten_len = end.saturating_sub(self.unproven_offset);
            if report.rewritten_len > 0 {
                if let Some((next, end)) = self.move_tail(segment_len_max)? {
                    active.set_len(end.address.offset)?;
                    (active, full) = (next, Some(Full::ending(end)));
                } else {
                    (active, report.is_durable) = self.write_again(active, &*lock)?;
                }
            }
            let end = self.valid_end.address.offset;
            active.set_len(end)?;
            active.sync()?;
            if report.is_durable && self.has_word(&*lock)? {
                lock.set_len(0).map_err(Error::io("cut", &self.directory.path_of(LOCK)))?;
            }
        }
        let sealer = Arc::new(Sealer::new(Arc::clone(&self.directory), self.key));
        // The oldest first. Those that cannot be sealed, for want of room for instance, stay with it.
        for full in self.unsealed.iter().rev() {
            sealer.add(*full);
        }
        report.sealed_count = sealer.seal();
        if let Some(full) = full {
            sealer.add(full);
        }
        let segments = Arc::new(Segments::new(
            Arc::clone(&self.directory),
            self.key,
            self.bases,
            self.valid_end,
        ));
        let writer =
            Writer::new(self.directory, lock, Arc::new(active), noted, Arc::clone(&sealer));
        Ok(Begin {
            segments,
            end: self.valid_end,
            last_offset: self.last_offset,
            not_durable_from: (!report.is_durable).then(|| witness.unwrap_or_default()),
            writer,
            sealer,
            durable_note: self.durable_note,
        })
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
    ///
    /// Returns the file, and whether it is on the medium now.
    fn write_again(
        &self,
        active: SegmentFile,
        lock: &dyn RandomFile,
    ) -> Result<(SegmentFile, bool)> {
        let end = self.valid_end.address.offset;
        match SegmentFile::renew(&*self.directory, self.key, active.base(), end) {
            // Without room for a copy the old places must do, which they do if no sync has failed.
            // If one has, what the store has may yet be lost, and no append may stand behind it.
            Err(error) if has_no_room(&error) => {
                let has_failed = self.has_word(lock)? || active.sync().is_err();
                copy_range(&self.active, self.unproven_offset, end, |bytes, offset| {
                    active.write_all_at(bytes, offset)
                })?;
                Ok((active, !has_failed))
            }
            renewed => Ok((renewed.map_err(Error::io("write again", active.path()))?, true)),
        }
    }

    /// Whether the process that had the store open before has left word that a sync failed.
    fn has_word(&self, lock: &dyn RandomFile) -> Result<bool> {
        let len = lock.len();
        Ok(len.map_err(Error::io("read the length of", &self.directory.path_of(LOCK)))? > 0)
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
pub(super) fn copy_range(
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

/// Whether there was no room for a file, or no more of it for this user.
pub(in crate::log) fn has_no_room(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Removes files that were to take the place of others when the process ended. They take up room
/// and nothing else, so what cannot be removed may stay.
fn remove_leftovers(directory: &dyn Directory) {
    for folder in ["", FOLDER, CONSUMERS, QUARANTINE] {
        let names = directory.list(folder).unwrap_or_default();
        for name in names.iter().filter(|name| name.starts_with(TEMPORARY_PREFIX)) {
            let name = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let _ = directory.remove(&name);
        }
    }
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
