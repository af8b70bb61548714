//! A directory in memory that fails and crashes as a real one may.
//!
//! Owns the model of a file system between two syncs: what a process sees, what the medium has,
//! and every state that a crash may leave. Deterministic: the same calls, faults and seed give the
//! same bytes.
//!
//! The model:
//! - a write reaches the medium whole, in part (any of its sectors, or up to any byte), or not at
//!   all, until a sync of its file returns; writes that no sync separates reach it in any order;
//! - a new length may reach the medium without the bytes, which are zero then, and so may a cut
//!   not reach it;
//! - a file that was created, renamed or removed may be so on the medium or not, until a sync of
//!   its folder returns;
//! - a sync that fails may have written any part, and what it has not written is never written
//!   again, though the process goes on seeing it, until it lets go of the file;
//! - where such a sync was to fill new places, even bytes that are written again there stay off the
//!   medium, and the syncs that are to bring them there return without an error (ext4), until the
//!   file is cut or the system restarted.

mod crash;
mod faults;
mod world;

use std::io;
#[cfg(test)]
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::directory::{Directory, Lock, RandomFile, TEMPORARY_PREFIX};
use crate::sync::Mutex;

pub use faults::{Call, Fault};
use world::{FileId, World};

/// A directory in memory. Clones are the same directory.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedDirectory {
    world: Arc<Mutex<World>>,
    path: PathBuf,
}

impl SimulatedDirectory {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        Self::of(World::default())
    }

    fn of(world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)), path: PathBuf::from("simulated") }
    }

    /// How many calls have been made that change something.
    pub(crate) fn call_count(&self) -> u64 {
        self.world.lock().call_count()
    }

    /// Makes a call fail.
    pub(crate) fn inject(&self, fault: Fault) {
        self.world.lock().inject(fault);
    }

    /// Lets every call succeed again.
    pub(crate) fn heal(&self) {
        self.world.lock().heal();
    }

    /// Ends the process after `count` calls that change something: every later call fails and
    /// changes nothing.
    pub(crate) fn die_after(&self, count: u64) {
        self.world.lock().die_after(count);
    }

    /// One of the states that a crash now may leave on the medium, chosen by `seed`.
    pub(crate) fn crashed(&self, seed: u64) -> Self {
        Self::of(crash::crashed(&self.world.lock(), &mut fastrand::Rng::with_seed(seed)))
    }

    /// Whether a crash now can leave one state only.
    pub(crate) fn is_settled(&self) -> bool {
        self.world.lock().is_settled()
    }

    /// The state after the end of the process alone: nothing is lost, no lock is held, and what a
    /// failed sync has dropped is still only in memory.
    pub(crate) fn restarted(&self) -> Self {
        Self::of(self.world.lock().restarted())
    }

    /// All files with their bytes, as a process sees them.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.world.lock().files()
    }

    /// Names of the files of which it was said that they will not be read soon.
    #[cfg(test)]
    pub(crate) fn names_let_go(&self) -> Vec<String> {
        self.world.lock().names_let_go()
    }

    /// Lets these bytes of a file not be read any more, whatever is restarted: a medium that fails.
    /// None, to let all be read again.
    #[cfg(test)]
    pub(crate) fn spoil(&self, name: &str, bytes: Range<u64>) {
        self.world.lock().spoil(name, bytes).unwrap();
    }

    /// How many files are open, with the few locks and clones of this that there are.
    #[cfg(test)]
    pub(crate) fn open_count(&self) -> usize {
        Arc::strong_count(&self.world)
    }

    /// Puts bytes in the place of a file, on the medium: damage, or an older copy.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.world.lock().put(name, bytes);
    }

    /// Takes a file off the medium.
    pub(crate) fn take(&self, name: &str) {
        self.world.lock().take(name);
    }
}

/// An open file of a simulated directory.
#[derive(Debug)]
struct SimulatedFile {
    world: Arc<Mutex<World>>,
    id: FileId,
}

impl RandomFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.world.lock();
        world.call(Call::Read)?;
        world.read(self.id, buffer, offset)
    }

    fn will_not_read(&self) {
        self.world.lock().let_go(self.id);
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.world.lock();
        match world.call(Call::Write) {
            Ok(()) => world.write(self.id, bytes, offset),
            Err(error) if world.is_dead() => return Err(error),
            Err(error) => {
                // A write that fails may have written a part.
                let part = bytes.get(..world.short_len(bytes.len())).unwrap_or_default();
                world.write(self.id, part, offset);
                return Err(error);
            }
        }
        world.called();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.world.lock();
        match world.call(Call::Sync) {
            Ok(()) => world.sync(self.id),
            Err(error) if world.is_dead() => return Err(error),
            Err(error) => {
                world.fail_sync(self.id);
                return Err(error);
            }
        }
        world.called();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.world.lock().len(self.id))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.world.lock();
        world.call(Call::SetLen)?;
        world.set_len(self.id, len);
        world.called();
        Ok(())
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
struct SimulatedLock {
    world: Arc<Mutex<World>>,
    name: String,
}

impl Lock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.world.lock().unlock(&self.name);
    }
}

impl SimulatedDirectory {
    fn open(&self, name: &str) -> io::Result<Arc<dyn RandomFile>> {
        let mut world = self.world.lock();
        world.call(Call::Open)?;
        let id = world.find(name)?;
        Ok(Arc::new(SimulatedFile { world: Arc::clone(&self.world), id }))
    }

    /// One call on the directory, which changes something.
    fn change<T>(
        &self,
        call: Call,
        change: impl FnOnce(&mut World) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut world = self.world.lock();
        world.call(call)?;
        let changed = change(&mut world)?;
        world.called();
        Ok(changed)
    }

    /// Writes a file and lets it take the place of `name`. What goes wrong once it is written is
    /// told as `later` says.
    fn place(
        &self,
        name: &str,
        bytes: &[u8],
        later: fn(io::Error) -> io::Error,
    ) -> io::Result<Arc<dyn RandomFile>> {
        let folder = folder_of(name);
        let separator = if folder.is_empty() { "" } else { "/" };
        // Two files may be placed at the same time, but none twice.
        let own = name.rsplit('/').next().unwrap_or(name);
        let temporary = format!("{folder}{separator}{TEMPORARY_PREFIX}{own}");
        let id = self.change(Call::Create, |world| world.create(&temporary))?;
        let file = SimulatedFile { world: Arc::clone(&self.world), id };
        let placed = file.write_all_at(bytes, 0).and_then(|()| {
            file.sync().map_err(later)?;
            let renamed = self.change(Call::Rename, |world| {
                world.rename(&temporary, name);
                Ok(())
            });
            renamed.map_err(later)
        });
        if let Err(error) = placed {
            // As a temporary file does when it is dropped; what fails then is not told.
            let mut world = self.world.lock();
            if !world.is_dead() {
                world.remove(&temporary);
            }
            return Err(error);
        }
        self.sync_folder_of(name).map_err(later)?;
        Ok(Arc::new(file))
    }

    fn sync_folder_of(&self, name: &str) -> io::Result<()> {
        Directory::sync_folder(self, folder_of(name))
    }
}

/// The folder that a name stands in; the directory itself is "".
fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Directory for SimulatedDirectory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut world = self.world.lock();
        world.call(Call::List)?;
        world.list(folder)
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        self.change(Call::CreateFolder, |world| {
            world.create_folder(folder);
            Ok(())
        })?;
        self.sync_folder_of(folder)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.change(Call::SyncFolder, |world| {
            world.sync_folder(folder);
            Ok(())
        })
    }

    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn RandomFile>> {
        self.open(name)
    }

    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn RandomFile>> {
        self.open(name)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<Arc<dyn RandomFile>> {
        self.place(name, bytes, |error| error)
    }

    fn renew(&self, name: &str, len: u64) -> io::Result<Arc<dyn RandomFile>> {
        let old = self.open(name)?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        if old.read_at(&mut bytes, 0)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.place(name, &bytes, io::Error::other)
    }

    /// Each simulated directory is a file system of its own.
    fn link(&self, _path: &Path, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::CrossesDevices.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(Call::Remove, |world| {
            world.remove(name);
            Ok(())
        })?;
        self.sync_folder_of(name)
    }

    fn rename_file(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(Call::Rename, |world| {
            world.find(from)?;
            world.rename(from, to);
            Ok(())
        })?;
        self.sync_folder_of(to)?;
        self.sync_folder_of(from)
    }

    fn rename_folder(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(Call::Rename, |world| world.rename_folder(from, to))?;
        self.sync_folder_of(to)
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        self.change(Call::Remove, |world| {
            world.remove_folder(folder);
            Ok(())
        })
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let mut world = self.world.lock();
        world.call(Call::Open)?;
        if !world.lock(name) {
            return Ok(None);
        }
        let (world, name) = (Arc::clone(&self.world), name.to_owned());
        Ok(Some(Box::new(SimulatedLock { world, name })))
    }
}
