//! Checking the files beside the log.

use std::io;

use crate::directory::{Directory, TEMPORARY_PREFIX, read_small};
use crate::error::{Error, Result};
use crate::format::{PARKED_FILE_LEN_MAX, PARKED_SUFFIX, ParkedFile, SLOTS_LEN, Slot};
use crate::log::{CONSUMERS, META, Segments, read_meta};
use crate::types::LogEnd;
use crate::verify::Damage;

/// What is wrong with `store.meta` and with the places of consumers.
pub(super) fn check(segments: &Segments, end: &LogEnd) -> Vec<Damage> {
    let mut errors = Vec::new();
    errors.extend(check_meta(segments).err());
    match list_consumers(&**segments.directory()) {
        Ok(names) => {
            errors.extend(names.iter().filter_map(|name| {
                let check = if name.ends_with(PARKED_SUFFIX) { check_parked } else { check_slots };
                check(segments, name).err()
            }));
        }
        Err(error) => errors.push(error),
    }
    let at = end.position;
    errors.into_iter().map(|error| Damage { error, positions: at..at }).collect()
}

fn check_meta(segments: &Segments) -> Result<()> {
    let directory = &**segments.directory();
    let corrupt = |expected| Error::CorruptFile { path: directory.path_of(META), expected };
    let meta =
        read_meta(directory)?.ok_or_else(|| corrupt("the file that says what the store is"))?;
    if meta.key == segments.key() { Ok(()) } else { Err(corrupt("what it said before")) }
}

/// The names of the files of consumers: of their places, and of the events that they have parked.
pub(crate) fn list_consumers(directory: &dyn Directory) -> Result<Vec<String>> {
    match directory.list(CONSUMERS) {
        Ok(mut names) => {
            names.retain(|name| !name.starts_with(TEMPORARY_PREFIX));
            Ok(names)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("list", &directory.path_of(CONSUMERS))(error)),
    }
}

fn check_slots(segments: &Segments, name: &str) -> Result<()> {
    let directory = &**segments.directory();
    let name = format!("{CONSUMERS}/{name}");
    let path = directory.path_of(&name);
    let read = read_small(directory, &name, SLOTS_LEN).map_err(Error::io("read", &path))?;
    // One that was removed meanwhile is not there to be damaged.
    let Some(bytes) = read else { return Ok(()) };
    let corrupt = |expected| Err(Error::CorruptFile { path: path.clone(), expected });
    match Slot::latest(&bytes) {
        Err(fault) => corrupt(fault.0),
        Ok(slot) if slot.store != segments.store() => corrupt("a consumer of this store"),
        Ok(_) => Ok(()),
    }
}

fn check_parked(segments: &Segments, name: &str) -> Result<()> {
    let directory = &**segments.directory();
    let name = format!("{CONSUMERS}/{name}");
    let path = directory.path_of(&name);
    let read =
        read_small(directory, &name, PARKED_FILE_LEN_MAX).map_err(Error::io("read", &path))?;
    let Some(bytes) = read else { return Ok(()) };
    let corrupt = |expected| Err(Error::CorruptFile { path: path.clone(), expected });
    match ParkedFile::decode(&bytes) {
        Err(fault) => corrupt(fault.0),
        Ok(list) if list.store != segments.store() => corrupt("parked events of this store"),
        Ok(_) => Ok(()),
    }
}
