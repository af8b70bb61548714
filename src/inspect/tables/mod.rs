//! What there is of each stream, segment and consumer: one row for each, as text and as JSON.
//!
//! Owns what is found out of each, and the columns.

mod consumers;
#[cfg(feature = "json")]
mod json;
mod segments;
mod streams;

pub use consumers::{ConsumerSummary, consumer_table};
pub use segments::{SegmentState, SegmentSummary, segment_file, segment_table};
pub use streams::{StreamOrder, StreamSummary, stream_table};
