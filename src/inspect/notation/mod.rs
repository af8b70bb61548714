//! How things are written, whatever they are of: text, numbers, bytes, tables, errors, objects of JSON.
//!
//! Owns what is said in the same way in several rooms. Knows nothing of events and stores.

mod error;
mod escape;
#[cfg(feature = "cli")]
mod figures;
mod hex;
#[cfg(feature = "json")]
mod object;
mod table;

pub use error::error_text;
pub use escape::escaped_text;
#[cfg(feature = "json")]
pub(in crate::inspect) use escape::push_escaped;
pub(in crate::inspect) use escape::{escaped, is_unprintable, push_lines, push_text};
#[cfg(feature = "cli")]
pub(in crate::inspect) use figures::{
    counted, grouped, power_size, scaled, share, short_time, size, span, span_ns, time,
};
pub(in crate::inspect) use hex::push_columns;
pub use hex::push_hex_dump;
#[cfg(feature = "json")]
pub(crate) use object::{LINE_VERSION, Object};
#[cfg(feature = "json")]
pub(in crate::inspect) use object::{Quoted, is_hidden};
pub(in crate::inspect) use table::{Align, table};
