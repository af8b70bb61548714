//! Cells: a segment seen as parts of a fixed length, so that its readers come to the same ones, wherever
//! they began.
//!
//! A record is of the cell that it begins in.

use crate::segment::records_start;

/// Bytes of a cell, where there is room for many. Reads of more at once take no less time a byte.
pub(super) const CELL_LEN_MAX: u64 = 128 << 10;
/// Bytes that are read after the end of a cell, for the record that begins before it.
const OVERHANG_LEN: usize = 1 << 10;

/// The offset at which the cell after that of `offset` begins, if cells have `cell_len` bytes.
pub(super) fn cell_end(offset: u64, cell_len: u64) -> u64 {
    (offset / cell_len.max(1)).saturating_add(1).saturating_mul(cell_len)
}

/// The offset of the first byte of the cell of `offset` that may be of a record.
pub(super) fn cell_start(offset: u64, cell_len: u64) -> u64 {
    (offset / cell_len.max(1)).saturating_mul(cell_len).max(records_start())
}

/// How many bytes to read from `offset` on for the records that begin in its cell.
pub(super) fn len_of_cell_from(offset: u64, cell_len: u64) -> usize {
    let len = cell_end(offset, cell_len).saturating_sub(offset);
    usize::try_from(len).unwrap_or(usize::MAX).saturating_add(OVERHANG_LEN)
}
