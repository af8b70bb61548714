//! Moving events between stores, files and other programs.
//!
//! An [`Import`] reads JSON Lines: those of another store, as
//! [`push_exact_json_line`](crate::inspect::push_exact_json_line) writes them, byte for byte the same
//! facts; CloudEvents; or any JSON objects. Begun again after it was ended, by whatever, it goes on
//! where it was. The program `annals-dump` is made of this module and [`inspect`](crate::inspect).
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use annals::inspect::push_exact_json_line;
//! use annals::transfer::{Import, LineFormat};
//! use annals::{Expected, NewEvent, Store};
//!
//! # let dir = tempfile::tempdir()?;
//! let store = Store::open(dir.path().join("shop.annals"))?;
//! store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
//! let mut lines = String::new();
//! for event in store.read_all() {
//!     push_exact_json_line(&mut lines, event?.view());
//!     lines.push('\n');
//! }
//!
//! let copy = Store::open(dir.path().join("copy.annals"))?;
//! let mut import = Import::new(LineFormat::Exact);
//! import.run(&copy, lines.as_bytes())?;
//! assert_eq!(import.progress().imported_count, 1);
//! assert_eq!(copy.read_stream("cart-42").next().unwrap()?.payload(), b"a teapot");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "json")]
mod cloud;
#[cfg(feature = "json")]
mod exact;
#[cfg(feature = "json")]
mod fields;
#[cfg(feature = "json")]
mod import;
#[cfg(feature = "json")]
mod incoming;
#[cfg(feature = "json")]
mod known;
#[cfg(feature = "json")]
mod lines;
#[cfg(feature = "json")]
mod load;
#[cfg(feature = "json")]
mod parse;
#[cfg(feature = "json")]
mod plain;

#[cfg(feature = "json")]
pub use cloud::CloudEvents;
#[cfg(feature = "json")]
pub use import::{Completeness, Import, ImportProgress, LineFormat};
#[cfg(feature = "json")]
pub use plain::{PlainLines, TimeUnit};
