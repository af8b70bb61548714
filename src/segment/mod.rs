//! Segment files: what they are called, how they are read, and how they are sealed.
//!
//! Owns a single segment. Knows nothing of other segments, of appends in flight, or of what is
//! visible.

mod ahead;
mod blocks;
mod cell;
mod checked;
mod digest;
mod file;
mod salvage;
mod scan;
mod seal;
mod search;
mod shared;
mod spares;
mod touches;
mod window;

pub(crate) use ahead::ReadAhead;
pub(crate) use blocks::{Blocks, LOT_COUNT_MAX};
pub(crate) use digest::digest_of;
pub(crate) use file::{SegmentFile, name_of, parse_name, records_start, wide};
pub(crate) use salvage::{Place, Salvaged, Salvager};
pub(crate) use scan::{Link, Scanner};
pub(crate) use seal::{seal, write_footer};
pub(crate) use search::{begins_with, find_record, find_witness};
pub(crate) use shared::Shared;
pub(crate) use window::{RUN_LEN_MAX, Window};

/// The folder of the segments.
pub(crate) const FOLDER: &str = "log";
