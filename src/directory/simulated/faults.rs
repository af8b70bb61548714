//! Calls that fail because someone wants to know what happens then.

use std::io;

/// A kind of call on a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Opening a file, or a lock.
    Open,
    /// Creating a file.
    Create,
    /// Reading from a file.
    Read,
    /// Writing to a file. One that fails may have written a part.
    Write,
    /// Making a file's bytes durable. After one that fails, what it has not written is lost to
    /// the medium, and later syncs do not tell.
    Sync,
    /// Cutting a file.
    SetLen,
    /// Renaming a file or a folder.
    Rename,
    /// Removing a file or a folder.
    Remove,
    /// Creating a folder.
    CreateFolder,
    /// Making the entries of a folder durable.
    SyncFolder,
    /// Listing a folder.
    List,
}

/// Makes calls of one kind fail.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// The kind of call.
    pub call: Call,
    /// How many calls of this kind succeed first.
    pub after: u64,
    /// How many calls fail then; [`u64::MAX`] for all.
    pub times: u64,
    /// What the call fails with.
    pub kind: io::ErrorKind,
    /// Whether the call panics rather than fail, and does nothing.
    pub panics: bool,
}

impl Fault {
    /// The next call of this kind fails, once.
    #[must_use]
    pub fn next(call: Call, kind: io::ErrorKind) -> Self {
        Self { call, after: 0, times: 1, kind, panics: false }
    }

    /// The call after `count` more of this kind fails.
    #[must_use]
    pub fn after(mut self, count: u64) -> Self {
        self.after = count;
        self
    }

    /// All later calls of this kind fail as well.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.times = u64::MAX;
        self
    }

    /// The calls panic rather than fail, to see what becomes of those who wait for the thread.
    #[must_use]
    pub fn panicking(mut self) -> Self {
        self.panics = true;
        self
    }

    /// Counts a call, and says whether it fails.
    pub(super) fn strikes(&mut self, call: Call) -> bool {
        if call != self.call {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        if self.times == 0 {
            return false;
        }
        if self.times != u64::MAX {
            self.times -= 1;
        }
        true
    }
}
