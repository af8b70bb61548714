//! Which events are read, and how: as they follow each other, or past whatever is damaged.
//!
//! Owns what is wanted and what is given. Where records stand is found by cursors and segments.

mod salvage;
mod selection;
mod time_argument;

pub use salvage::Salvaged;
pub use selection::{Selected, Selection};
pub use time_argument::{TIME_FORMS, parse_time};
