//! What a store says of itself, also where `store.meta` is lost.

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::format::StoreMeta;
use crate::log::{META, list_bases, read_meta};
use crate::segment::SegmentFile;
use crate::verify::is_damage;

/// What a store says of itself, by `store.meta` or, if that is lost, by its first segment.
#[derive(Debug)]
pub(crate) struct FoundMeta {
    pub(crate) meta: StoreMeta,
    /// What is wrong with `store.meta`, if it had to be made out from the first segment. The time of
    /// creation is that of the first event then.
    pub(crate) lost: Option<Error>,
}

/// Finds out what the store in `directory` says of itself.
///
/// # Errors
///
/// [`Error::NotAStore`]; [`Error::NewerFormat`]; [`Error::CorruptFile`] if `store.meta` is lost and the
/// first segment does not tell it either, or if the two are of different stores; [`Error::Io`].
pub(crate) fn find_meta(directory: &dyn Directory) -> Result<FoundMeta> {
    let lost = match read_meta(directory) {
        Ok(Some(meta)) => {
            return check_meta(directory, meta).map(|()| FoundMeta { meta, lost: None });
        }
        Ok(None) if list_bases(directory)?.is_empty() => {
            return Err(Error::NotAStore { path: directory.path().to_owned() });
        }
        Ok(None) => {
            let expected = "the file that belongs to the segments in log";
            Error::CorruptFile { path: directory.path_of(META), expected }
        }
        Err(error @ Error::CorruptFile { .. }) => error,
        Err(error) => return Err(error),
    };
    match SegmentFile::first_of_any_store(directory) {
        Ok((key, created_at)) => {
            Ok(FoundMeta { meta: StoreMeta { key, created_at }, lost: Some(lost) })
        }
        Err(error) if is_damage(&error) => Err(lost),
        Err(error) => Err(error),
    }
}

/// Refuses a `store.meta` of another store: with it, every segment would be taken for foreign.
fn check_meta(directory: &dyn Directory, meta: StoreMeta) -> Result<()> {
    match SegmentFile::first_of_any_store(directory) {
        Ok((key, _)) if key != meta.key => {
            let expected = "the store that the first segment is of";
            Err(Error::CorruptFile { path: directory.path_of(META), expected })
        }
        Err(error) if !is_damage(&error) => Err(error),
        _ => Ok(()),
    }
}
