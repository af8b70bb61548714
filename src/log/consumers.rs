//! Reading the files of consumers: where each of them is, and what it has put aside.
//!
//! Owns when such a file is sound and of this store. What follows if it is not is for whoever asks.

use std::io;

use crate::directory::{Directory, TEMPORARY_PREFIX, read_small};
use crate::error::{Error, Result};
use crate::format::{Fault, PARKED_FILE_LEN_MAX, ParkedFile, SLOTS_LEN, Slot};
use crate::types::StoreId;

/// The folder of the consumers' places.
pub(crate) const CONSUMERS: &str = "consumers";

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

/// The place that the file `name` keeps; `None` if there is no such file.
///
/// # Errors
///
/// [`Error::CorruptFile`] if it is damaged or of another store.
pub(crate) fn read_slot(
    directory: &dyn Directory,
    store: StoreId,
    name: &str,
) -> Result<Option<Slot>> {
    read(directory, name, SLOTS_LEN, |bytes| match Slot::latest(bytes)? {
        slot if slot.store == store => Ok(slot),
        _ => Err(Fault("a consumer of this store")),
    })
}

/// What the file `name` says is put aside; `None` if there is no such file.
///
/// # Errors
///
/// [`Error::CorruptFile`] if it is damaged or of another store.
pub(crate) fn read_parked(
    directory: &dyn Directory,
    store: StoreId,
    name: &str,
) -> Result<Option<ParkedFile>> {
    read(directory, name, PARKED_FILE_LEN_MAX, |bytes| match ParkedFile::decode(bytes)? {
        list if list.store == store => Ok(list),
        _ => Err(Fault("parked events of this store")),
    })
}

fn read<T>(
    directory: &dyn Directory,
    name: &str,
    len_max: usize,
    decode: impl FnOnce(&[u8]) -> Result<T, Fault>,
) -> Result<Option<T>> {
    let name = format!("{CONSUMERS}/{name}");
    let path = directory.path_of(&name);
    let bytes = read_small(directory, &name, len_max).map_err(Error::io("read", &path))?;
    let decoded = bytes.map(|bytes| decode(&bytes)).transpose();
    decoded.map_err(|fault| Error::CorruptFile { path, expected: fault.0 })
}
