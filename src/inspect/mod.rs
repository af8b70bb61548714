//! Looking into a store without opening it, and showing what is there.
//!
//! An [`Inspection`] reads a store's files and changes none of them. It takes no lock and uses no
//! index, so it works beside a running application, in a directory that can only be read, and on a
//! store that is damaged or that [`Store::open`](crate::Store::open) refuses: what is sound up to
//! the first damage can be read and, with [`Inspection::salvage`], what is sound behind it. The
//! program `annals-dump` is made of this module.
//!
//! ```
//! use annals::inspect::{Inspection, text_line};
//! use annals::{Expected, NewEvent, Store};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("shop.annals");
//! let store = Store::open(&path)?;
//! store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
//!
//! let beside = Inspection::open(&path)?;
//! for event in beside.events() {
//!     let line = text_line(&event?);
//!     assert!(line.ends_with("cart-42@0  item-added  a teapot"));
//! }
//! assert!(beside.damage().is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod inspection;
mod lines;
mod notation;
#[cfg(feature = "cli")]
mod page;
mod reading;
mod record;
mod statistics;
mod tables;
mod verdict;

pub use inspection::Inspection;
pub use lines::{TextStyles, push_hex_event, push_text_line, text_line};
#[cfg(feature = "json")]
pub use lines::{cloud_event, json_line, push_cloud_event, push_exact_json_line, push_json_line};
#[cfg(feature = "json")]
pub(crate) use notation::{LINE_VERSION, Object};
pub use notation::{error_text, escaped_text, push_hex_dump};
#[cfg(feature = "cli")]
pub use page::report_page;
pub use reading::{Salvaged, Selected, Selection, TIME_FORMS, parse_time};
pub use record::{DamagedRecord, FoundRecord, RecordField, ShownRecord};
pub use statistics::{NameCount, NameCounts, SizeStep, Statistics, TimeStep};
#[cfg(feature = "cli")]
pub use statistics::{Paint, statistics_text};
pub use tables::{
    ConsumerSummary, SegmentState, SegmentSummary, StreamOrder, StreamSummary, consumer_table,
    segment_file, segment_table, stream_table,
};
pub use verdict::report_text;
