//! Checking the files beside the log.

use crate::error::{Error, Result};
use crate::format::PARKED_SUFFIX;
use crate::log::{META, Segments, list_consumers, read_meta, read_parked, read_slot};
use crate::types::LogEnd;
use crate::verify::Damage;

/// What is wrong with `store.meta` and with the places of consumers.
pub(super) fn check(segments: &Segments, end: &LogEnd) -> Vec<Damage> {
    let mut errors = Vec::new();
    errors.extend(check_meta(segments).err());
    match list_consumers(&**segments.directory()) {
        Ok(names) => {
            errors.extend(names.iter().filter_map(|name| check_consumer(segments, name).err()));
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

fn check_consumer(segments: &Segments, name: &str) -> Result<()> {
    let (directory, store) = (&**segments.directory(), segments.store());
    // One that was removed meanwhile is not there to be damaged.
    if name.ends_with(PARKED_SUFFIX) {
        read_parked(directory, store, name).map(drop)
    } else {
        read_slot(directory, store, name).map(drop)
    }
}
