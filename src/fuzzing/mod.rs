//! What the fuzz targets run, and `tests/fuzz_corpus.rs` again over their corpus.
//!
//! Each function takes any bytes, does what they say, and panics if a promise of
//! `docs/durability.md` does not hold. Not part of the interface of this crate.

mod damage;
mod disk;
mod facts;
mod input;
mod lines;
mod operations;
mod reading;
mod record;
mod segment;
mod store;

pub use lines::lines;
pub use operations::operations;
pub use record::record;
pub use segment::segment;
pub use store::store;

/// A target: its name, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, each with the name of its folder in `fuzz/corpus`.
pub const TARGETS: [Target; 5] = [
    ("record", record),
    ("segment", segment),
    ("store", store),
    ("operations", operations),
    ("lines", lines),
];
