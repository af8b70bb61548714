//! An event as a line: of text, in hexadecimal, as JSON, as a `CloudEvent`.
//!
//! Owns what of an event is written, and in which order.

#[cfg(feature = "json")]
mod cloud;
mod hex;
#[cfg(feature = "json")]
mod json;
mod text;

#[cfg(feature = "json")]
pub use cloud::{cloud_event, push_cloud_event};
pub use hex::push_hex_event;
#[cfg(feature = "json")]
pub use json::{json_line, push_exact_json_line, push_json_line};
pub use text::{TextStyles, push_text_line, text_line};
