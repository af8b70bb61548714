//! Cursors: readers that stand between events.
//!
//! Owns how a place, a time or a stream is found and read from there. Log and index meet here
//! for reading, and every answer of the index is checked against the record it points to. Holds
//! no lock between two events.

mod all;
mod backwards;
mod filter;
mod follow;
#[cfg(feature = "async")]
mod follow_async;
mod later;
mod near;
mod page;
mod revisions;
mod seek;
mod source;
mod stream;
mod streams;
mod times;

pub use all::Cursor;
pub(crate) use filter::Filter;
pub(crate) use follow::sealed;
pub use follow::{Follow, Followable, Followed};
#[cfg(feature = "async")]
pub use follow_async::AsyncFollow;
pub(crate) use later::LaterIndex;
pub(crate) use source::Source;
pub use stream::StreamCursor;
pub use streams::{StreamInfo, Streams};

/// Which way a cursor moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forwards,
    Backwards,
}
