//! What is known of the machine and of this process, where `/proc` tells it.

use std::fs;
use std::io;
use std::path::Path;

const UNKNOWN: &str = "unknown";

/// One line about the processor, the memory and the file system that `dir` is on.
pub(super) fn facts(dir: &Path) -> String {
    let model = value_of("/proc/cpuinfo", "model name").unwrap_or_else(|| UNKNOWN.to_owned());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = value_of("/proc/meminfo", "MemTotal").unwrap_or_else(|| UNKNOWN.to_owned());
    let system = file_system_of(dir).unwrap_or_else(|| UNKNOWN.to_owned());
    format!("cpu: {model}, cores: {cores}, memory: {memory}, file system: {system}")
}

/// The most memory that this process has had at once, in bytes, mapped pages of files included.
pub(crate) fn peak_memory() -> Option<u64> {
    let text = value_of("/proc/self/status", "VmHWM")?;
    let kib: u64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Makes [`peak_memory`] begin again with what this process has now.
pub(crate) fn reset_peak_memory() -> io::Result<()> {
    fs::write("/proc/self/clear_refs", "5")
}

/// How many bytes this process has had fetched from storage so far, because they were not in
/// memory.
pub(crate) fn bytes_fetched() -> Option<u64> {
    value_of("/proc/self/io", "read_bytes")?.parse().ok()
}

/// What stands after `name` and a colon in a file.
fn value_of(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// The type of the file system with the longest mount point above `dir`.
fn file_system_of(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounts.filter(|(point, _)| dir.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map(|(_, system)| system.to_owned())
}
