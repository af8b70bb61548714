//! The small values that everything else speaks in: places, times, names.
//!
//! Owns their ranges and how they are written as text. Knows nothing of bytes on disk.

mod entry;
mod id;
mod name;
mod names;
mod position;
mod timestamp;

pub(crate) use entry::{Entries, Entry, LogEnd};
pub(crate) use id::StoreKey;
pub use id::{EventId, StoreId};
pub use name::{CONSUMER_NAME_LEN_MAX, NAME_LEN_MAX, NameFault, NameKind};
pub(crate) use name::{check_name, is_plain};
pub(crate) use names::{Guess, NameHash, NameHasher, Names};
pub(crate) use position::Address;
pub use position::{Position, Revision};
pub use timestamp::Timestamp;
