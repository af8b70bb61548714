//! The simulated file system as a process sees it, with what of it no sync has covered yet.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use crate::directory::simulated::faults::{Call, Fault};

/// A file, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(usize);

/// A change to a file's bytes that no sync has covered.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                content.resize(content.len().max(end), 0);
                if let Some(place) = content.get_mut(*offset..end) {
                    place.copy_from_slice(bytes);
                }
            }
            Self::SetLen(len) => content.resize(*len, 0),
        }
    }
}

/// A change to the entries of a folder that no sync has covered.
#[derive(Clone, Debug)]
pub(super) enum EntryChange {
    Create { name: String, file: FileId },
    Rename { from: String, to: String, file: FileId },
    Remove { name: String },
}

impl EntryChange {
    pub(super) fn apply(&self, entries: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Create { name, file } => {
                entries.insert(name.clone(), *file);
            }
            Self::Rename { from, to, file } => {
                entries.remove(from);
                entries.insert(to.clone(), *file);
            }
            Self::Remove { name } => {
                entries.remove(name);
            }
        }
    }

    fn is_in(&self, folder: &str) -> bool {
        let name = match self {
            Self::Create { name, .. } | Self::Remove { name } => name,
            Self::Rename { to, .. } => to,
        };
        super::folder_of(name) == folder
    }
}

/// A file's bytes, as a process sees them and as the medium has them.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) seen: Vec<u8>,
    pub(super) medium: Vec<u8>,
    /// From `medium` to `seen`, but for what a failed sync has dropped.
    pub(super) unsynced: Vec<Change>,
    /// Where places begin that a failed sync was to fill first: no write there reaches the medium
    /// any more, whatever syncs say, until the file is cut to there or the system restarted.
    pub(super) barred_from: Option<usize>,
    /// Bytes that the medium does not give any more.
    pub(super) spoilt: Range<u64>,
    /// Whether it was said that nothing of it will be read soon.
    is_let_go: bool,
}

/// Bytes of a file that get their place on the medium at once.
const BLOCK_LEN: usize = 512;

impl File {
    /// A file that is on the medium.
    pub(super) fn settled(bytes: Vec<u8>) -> Self {
        Self { seen: bytes.clone(), medium: bytes, ..Self::default() }
    }

    /// What of a change reaches the medium if it is written.
    pub(super) fn as_it_lands(&self, change: &Change) -> Change {
        match (change, self.barred_from) {
            (Change::Write { offset, bytes }, Some(bar)) => {
                let open = bar.saturating_sub(*offset).min(bytes.len());
                let bytes = bytes.get(..open).unwrap_or_default().to_vec();
                Change::Write { offset: *offset, bytes }
            }
            (change, _) => change.clone(),
        }
    }

    /// Bars the places that a write was to fill which was dropped, where the medium had none yet.
    fn bar(&mut self, dropped: &Change, medium_len: usize) {
        if let Change::Write { offset, bytes } = dropped {
            let from = medium_len.next_multiple_of(BLOCK_LEN).max(*offset);
            if from < offset + bytes.len() {
                self.barred_from = Some(self.barred_from.map_or(from, |bar| bar.min(from)));
            }
        }
    }
}

/// The simulated file system.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) files: Vec<File>,
    pub(super) entries: BTreeMap<String, FileId>,
    pub(super) durable_entries: BTreeMap<String, FileId>,
    pub(super) unsynced_entries: Vec<EntryChange>,
    pub(super) folders: BTreeSet<String>,
    pub(super) durable_folders: BTreeSet<String>,
    locks: BTreeSet<String>,
    faults: Vec<Fault>,
    call_count: u64,
    /// The number of calls after which the process is dead.
    dies_after: Option<u64>,
}

fn narrow(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl World {
    /// Files and folders that are all on the medium.
    pub(super) fn settled(
        files: Vec<File>,
        entries: BTreeMap<String, FileId>,
        folders: BTreeSet<String>,
    ) -> Self {
        Self {
            files,
            durable_entries: entries.clone(),
            entries,
            durable_folders: folders.clone(),
            folders,
            ..Self::default()
        }
    }

    pub(super) fn call_count(&self) -> u64 {
        self.call_count
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(super) fn heal(&mut self) {
        self.faults.clear();
    }

    pub(super) fn die_after(&mut self, count: u64) {
        self.dies_after = Some(count);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dies_after.is_some_and(|count| self.call_count >= count)
    }

    /// Begins a call, which fails if it was made to.
    pub(super) fn call(&mut self, call: Call) -> io::Result<()> {
        let mut failed = self.is_dead().then_some(io::ErrorKind::Other);
        for fault in &mut self.faults {
            if fault.strikes(call) {
                assert!(!fault.panics, "a simulated {call:?} panics");
                failed = Some(fault.kind);
            }
        }
        failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Ends a call that has changed something.
    pub(super) fn called(&mut self) {
        self.call_count += 1;
    }

    /// How much of a write that fails is written: nothing, a part, or all of it.
    pub(super) fn short_len(&self, len: usize) -> usize {
        len * narrow(self.call_count % 5) / 4
    }

    fn file(&mut self, id: FileId) -> &mut File {
        if id.0 >= self.files.len() {
            self.files.resize_with(id.0 + 1, File::default);
        }
        let at = id.0;
        #[expect(clippy::indexing_slicing, reason = "made long enough just now")]
        &mut self.files[at]
    }

    pub(super) fn read(&mut self, id: FileId, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let File { seen, spoilt, .. } = self.file(id);
        let rest = seen.get(narrow(offset)..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        let end = offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if offset.max(spoilt.start) < end.min(spoilt.end) {
            return Err(io::ErrorKind::Other.into());
        }
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    /// Lets these bytes of a file not be read any more.
    #[cfg(test)]
    pub(super) fn spoil(&mut self, name: &str, spoilt: Range<u64>) -> io::Result<()> {
        let id = self.find(name)?;
        self.file(id).spoilt = spoilt;
        Ok(())
    }

    fn change(&mut self, id: FileId, change: Change) {
        let file = self.file(id);
        change.apply(&mut file.seen);
        file.unsynced.push(change);
    }

    pub(super) fn write(&mut self, id: FileId, bytes: &[u8], offset: u64) {
        self.change(id, Change::Write { offset: narrow(offset), bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, id: FileId, len: u64) {
        self.change(id, Change::SetLen(narrow(len)));
        let file = self.file(id);
        file.barred_from = file.barred_from.filter(|bar| *bar < narrow(len));
    }

    pub(super) fn sync(&mut self, id: FileId) {
        let file = self.file(id);
        for change in std::mem::take(&mut file.unsynced) {
            file.as_it_lands(&change).apply(&mut file.medium);
        }
        file.medium.resize(file.seen.len(), 0);
    }

    /// A sync that fails drops what it was to write: as if every second change had been written.
    pub(super) fn fail_sync(&mut self, id: FileId) {
        let file = self.file(id);
        let medium_len = file.medium.len();
        for (n, change) in std::mem::take(&mut file.unsynced).into_iter().enumerate() {
            if n % 2 == 1 {
                file.as_it_lands(&change).apply(&mut file.medium);
            } else {
                file.bar(&change, medium_len);
            }
        }
    }

    /// Lets go of what is in memory of a file: what a failed sync has dropped is not seen any more.
    pub(super) fn let_go(&mut self, id: FileId) {
        let file = self.file(id);
        let len = file.seen.len();
        file.seen.clone_from(&file.medium);
        for change in &file.unsynced {
            change.apply(&mut file.seen);
        }
        file.seen.resize(len, 0);
        file.is_let_go = true;
    }

    /// Names of the files that were let go of.
    #[cfg(test)]
    pub(super) fn names_let_go(&self) -> Vec<String> {
        let is_let_go = |id: &FileId| self.files.get(id.0).is_some_and(|file| file.is_let_go);
        self.entries.iter().filter(|(_, id)| is_let_go(id)).map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn len(&mut self, id: FileId) -> u64 {
        u64::try_from(self.file(id).seen.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn find(&self, name: &str) -> io::Result<FileId> {
        self.entries.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_entry(&mut self, change: EntryChange) {
        change.apply(&mut self.entries);
        self.unsynced_entries.push(change);
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<FileId> {
        if !self.folders.contains(super::folder_of(name)) && name.contains('/') {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = FileId(self.files.len());
        self.files.push(File::default());
        self.change_entry(EntryChange::Create { name: name.to_owned(), file });
        Ok(file)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(file) = self.entries.get(from).copied() {
            let (from, to) = (from.to_owned(), to.to_owned());
            self.change_entry(EntryChange::Rename { from, to, file });
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if self.entries.contains_key(name) {
            self.change_entry(EntryChange::Remove { name: name.to_owned() });
        }
    }

    /// Makes the entries of a folder durable, those of folders in it as well.
    pub(super) fn sync_folder(&mut self, folder: &str) {
        for change in std::mem::take(&mut self.unsynced_entries) {
            if change.is_in(folder) {
                change.apply(&mut self.durable_entries);
            } else {
                self.unsynced_entries.push(change);
            }
        }
        let inside = |name: &&String| super::folder_of(name) == folder;
        self.durable_folders.retain(|name| !inside(&name) || self.folders.contains(name));
        let new: Vec<_> = self.folders.iter().filter(inside).cloned().collect();
        self.durable_folders.extend(new);
    }

    pub(super) fn create_folder(&mut self, folder: &str) {
        self.folders.insert(folder.to_owned());
    }

    pub(super) fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        if !folder.is_empty() && !self.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names = self.entries.keys().chain(&self.folders);
        let inside = names.filter(|name| super::folder_of(name) == folder && !name.is_empty());
        Ok(inside.filter_map(|name| name.rsplit('/').next()).map(str::to_owned).collect())
    }

    /// Folders are renamed and removed only for the index, which is not kept here.
    pub(super) fn rename_folder(&mut self, from: &str, to: &str) -> io::Result<()> {
        if !self.folders.remove(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.folders.insert(to.to_owned());
        Ok(())
    }

    pub(super) fn remove_folder(&mut self, folder: &str) {
        self.folders.remove(folder);
    }

    pub(super) fn lock(&mut self, name: &str) -> bool {
        if !self.entries.contains_key(name) {
            self.put(name, Vec::new());
        }
        self.locks.insert(name.to_owned())
    }

    pub(super) fn unlock(&mut self, name: &str) {
        self.locks.remove(name);
    }

    /// Whether a crash can leave one state only.
    pub(super) fn is_settled(&self) -> bool {
        self.unsynced_entries.is_empty()
            && self.folders == self.durable_folders
            && self
                .entries
                .values()
                .all(|id| self.files.get(id.0).is_none_or(|file| file.unsynced.is_empty()))
    }

    /// The same files for another process: no locks, no faults.
    pub(super) fn restarted(&self) -> Self {
        Self {
            locks: BTreeSet::new(),
            faults: Vec::new(),
            dies_after: None,
            call_count: 0,
            ..self.clone()
        }
    }

    pub(super) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let bytes_of = |id: &FileId| self.files.get(id.0).map(|file| file.seen.clone());
        self.entries
            .iter()
            .map(|(name, id)| (name.clone(), bytes_of(id).unwrap_or_default()))
            .collect()
    }

    pub(super) fn put(&mut self, name: &str, bytes: Vec<u8>) {
        let id = FileId(self.files.len());
        self.files.push(File::settled(bytes));
        let folder = super::folder_of(name);
        if !folder.is_empty() {
            self.create_folder(folder);
            self.durable_folders.insert(folder.to_owned());
        }
        self.entries.insert(name.to_owned(), id);
        self.durable_entries.insert(name.to_owned(), id);
    }

    pub(super) fn take(&mut self, name: &str) {
        self.entries.remove(name);
        self.durable_entries.remove(name);
    }
}
