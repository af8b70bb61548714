//! File systems that are made for a test: in memory, or on a loop device over a file in memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Runs a program; says whether it succeeded.
pub(crate) fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Unmounts a file system, once the last of those who use it has let go.
pub(crate) fn unmount(root: &Path) {
    for _ in 0..500 {
        if run("umount", &[root.to_str().unwrap()]) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{} stays in use", root.display());
}

/// A file system in memory, of a size that may change.
pub(crate) struct Memory {
    root: PathBuf,
}

impl Memory {
    /// Mounts one at `root`, which it makes; `None` with a message if that cannot be done here.
    pub(crate) fn mount(root: &Path, kib: u64) -> Option<Self> {
        fs::create_dir_all(root).unwrap();
        let size = format!("size={kib}k");
        if !run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", root.to_str().unwrap()]) {
            eprintln!("skipped: a file system in memory cannot be mounted here");
            return None;
        }
        Some(Self { root: root.to_owned() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes it larger or smaller.
    pub(crate) fn resize(root: &Path, kib: u64) {
        let size = format!("remount,size={kib}k");
        assert!(run("mount", &["-o", &size, root.to_str().unwrap()]));
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if !run("umount", &[self.root.to_str().unwrap()]) {
            run("umount", &["-l", self.root.to_str().unwrap()]);
        }
    }
}

/// Which file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

/// What becomes of the file system's own log when power is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Log {
    Lost,
    /// It is written first, so that lengths are on the medium whose bytes are not.
    Flushed,
}

/// A file system in a file, that can lose power.
pub(crate) struct FileSystem {
    place: PathBuf,
}

impl FileSystem {
    /// Makes one of `mib` MiB in the folder `place`, and mounts it; `None` with a message if that
    /// cannot be done here.
    pub(crate) fn make(place: &Path, kind: Kind, mib: u64) -> Option<Self> {
        let file_system = Self { place: place.to_owned() };
        let image = file_system.image();
        File::create(&image).unwrap().set_len(mib << 20).unwrap();
        fs::create_dir_all(file_system.root()).unwrap();
        let image = image.to_str().unwrap();
        let made = match kind {
            // No room is kept back for root, who runs this.
            Kind::Ext4 => run("mkfs.ext4", &["-qF", "-b", "4096", "-m", "0", image]),
            Kind::Xfs => run("mkfs.xfs", &["-qf", image]),
        };
        if !(run("xfs_io", &["-V"]) && made && file_system.mount()) {
            eprintln!("skipped: {kind:?} on a loop device cannot be had here");
            return None;
        }
        Some(file_system)
    }

    /// The file that it is in.
    pub(crate) fn image(&self) -> PathBuf {
        self.place.join("image")
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> PathBuf {
        self.place.join("root")
    }

    fn mount(&self) -> bool {
        let (image, root) = (self.image(), self.root());
        run("mount", &["-o", "loop", image.to_str().unwrap(), root.to_str().unwrap()])
    }

    pub(crate) fn lose_power(&self, log: Log) {
        let command = match log {
            Log::Lost => "shutdown",
            Log::Flushed => "shutdown -f",
        };
        assert!(run("xfs_io", &["-x", "-c", command, self.root().to_str().unwrap()]));
    }

    /// Lets its device take one page at once. A loop device calls a write a success of which the file
    /// behind it took a part; of a page, that takes all or nothing.
    pub(crate) fn write_page_by_page(&self) {
        let image = self.image();
        let output = Command::new("losetup").arg("-j").arg(&image).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let device = text.split(':').next().unwrap().trim_start_matches("/dev/").to_owned();
        fs::write(format!("/sys/block/{device}/queue/max_sectors_kb"), "4").unwrap();
    }

    /// Unmounts it and mounts it again: nothing is left in the page cache.
    pub(crate) fn come_back(&self) {
        unmount(&self.root());
        assert!(self.mount(), "the file system can be mounted again");
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        let root = self.root();
        if !run("umount", &[root.to_str().unwrap()]) {
            run("umount", &["-l", root.to_str().unwrap()]);
        }
    }
}
