//! A durable embedded event store.
#![forbid(unsafe_code)]

mod clock;
mod cursor;
mod directory;
mod error;
mod event;
mod format;
mod index;
mod log;
mod options;
mod report;
mod segment;
mod store;
mod types;

pub use clock::{Clock, SystemClock};
pub use cursor::{Cursor, StreamCursor, StreamInfo, Streams};
pub use error::{Error, Result};
pub use event::{Batch, ContentType, Event, Expected, NewEvent, Receipt, Tags};
pub use options::{Durability, Options};
pub use report::{IndexRecovery, RecoveryReport, TornTail, Witness};
pub use store::Store;
pub use types::{
    EventId, NAME_LEN_MAX, NameFault, NameKind, Position, Revision, StoreId, Timestamp,
};
