//! Reading `store.meta`: whether there is a store, which one, and whether this release knows it.

use crate::directory::{Directory, read_small};
use crate::error::{Error, Result};
use crate::format::{META_LEN, StoreMeta, VERSION};

/// The file that says what the store is. With it, the store exists.
pub(crate) const META: &str = "store.meta";

/// Reads what the store says of itself; `None` if it does not exist yet.
///
/// # Errors
///
/// [`Error::NewerFormat`] if a later release wrote it, [`Error::CorruptFile`] if nobody did.
pub(crate) fn read_meta(directory: &dyn Directory) -> Result<Option<StoreMeta>> {
    let path = directory.path_of(META);
    let bytes = read_small(directory, META, META_LEN).map_err(Error::io("read", &path))?;
    let Some(bytes) = bytes else { return Ok(None) };
    match StoreMeta::decode(&bytes) {
        Ok(meta) => Ok(Some(meta)),
        Err(fault) => match StoreMeta::version_of(&bytes) {
            Some(found) if found > VERSION => {
                Err(Error::NewerFormat { path, found, supported: VERSION })
            }
            _ => Err(Error::CorruptFile { path, expected: fault.0 }),
        },
    }
}
