//! What producers hand in and consumers get.
//!
//! Owns the public shape of an event. Knows nothing of how a record is laid out on disk.

mod batch;
mod buffer;
mod content;
mod new_event;
mod stored;
mod view;

pub use batch::{Batch, Expected, Receipt};
pub(crate) use batch::{BatchPart, Progress};
pub(crate) use buffer::Buffer;
pub use content::ContentType;
pub use new_event::NewEvent;
pub(crate) use stored::{Block, EventParts};
pub use stored::{Event, Tags};
pub use view::EventView;
