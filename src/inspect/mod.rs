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

#[cfg(feature = "cli")]
mod bars;
#[cfg(feature = "json")]
mod cloud;
mod consumers;
mod escape;
#[cfg(feature = "cli")]
mod figures;
mod hex;
mod inspection;
#[cfg(feature = "json")]
mod json;
mod look;
#[cfg(feature = "cli")]
mod page;
mod record;
#[cfg(feature = "json")]
mod record_json;
mod salvage;
mod segments;
mod selection;
mod statistics;
#[cfg(feature = "json")]
mod statistics_json;
mod streams;
mod table;
mod tally;
mod text;
mod time_argument;
mod verdict;

#[cfg(feature = "cli")]
pub use bars::{Paint, statistics_text};
#[cfg(feature = "json")]
pub use cloud::{cloud_event, push_cloud_event};
pub use consumers::{ConsumerSummary, consumer_table};
pub use hex::{push_hex_dump, push_hex_event};
pub use inspection::Inspection;
#[cfg(feature = "json")]
pub(crate) use json::{LINE_VERSION, Object};
#[cfg(feature = "json")]
pub use json::{json_line, push_exact_json_line, push_json_line};
#[cfg(feature = "cli")]
pub use page::report_page;
pub use record::{DamagedRecord, FoundRecord, RecordField, ShownRecord};
pub use salvage::Salvaged;
pub use segments::{SegmentState, SegmentSummary, segment_file, segment_table};
pub use selection::{Selected, Selection};
pub use statistics::{SizeStep, Statistics, TimeStep};
pub use streams::{StreamOrder, StreamSummary, stream_table};
pub use tally::{NameCount, NameCounts};
pub use text::{TextStyles, escaped_text, push_text_line, text_line};
pub use time_argument::{TIME_FORMS, parse_time};
pub use verdict::report_text;
