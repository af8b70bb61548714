//! What producers hand in and consumers get.
//!
//! Owns the public shape of an event. Knows nothing of how a record is laid out on disk.

mod content;
mod new_event;
mod stored;

mod batch;

pub use batch::{Batch, Expected, Receipt};
pub(crate) use batch::BatchPart;
pub use content::ContentType;
pub use new_event::NewEvent;
pub use stored::{Event, Tags};
pub(crate) use stored::{Block, EventParts};
