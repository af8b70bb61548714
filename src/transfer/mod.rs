//! Moving events between stores, files and other programs.

mod backup;

pub use backup::{Backup, BackupProgress, BackupReport, Link, SegmentTally};
