//! Moving events between stores, files and other programs.
//!
//! A [`Backup`] is a copy of a store that may be in use, brought up to date again and again.
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

mod backup;
#[cfg(feature = "json")]
mod import;

pub use backup::{Backup, BackupProgress, BackupReport, Link, SegmentTally};
#[cfg(feature = "json")]
pub use import::{
    CloudEvents, Completeness, Import, ImportProgress, LineFormat, PlainLines, TimeUnit,
};
