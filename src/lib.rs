//! A durable embedded event store.
#![forbid(unsafe_code)]

mod clock;
mod error;
mod event;
mod index;
mod options;
mod types;

pub use clock::{Clock, SystemClock};
pub use error::{Error, Result};
pub use event::{Batch, ContentType, Event, Expected, NewEvent, Receipt, Tags};
pub use options::{Durability, Options};
pub use types::{EventId, NAME_LEN_MAX, NameFault, NameKind, Position, Revision, StoreId, Timestamp};
