//! The segments that were filled last, which stay in the system's page cache.
//!
//! Owns how many those are. Whatever is appended goes through that cache, and would in the end fill it
//! with what nobody may ever read, in the place of what is read. So the system is told of each segment
//! once enough was appended after it; whoever reads it then has it read from the medium.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::directory::Directory;
use crate::segment::SegmentFile;
use crate::types::{Position, StoreKey};

/// The most segments that are counted. Those before are let go of, however small all are.
const SEGMENT_COUNT_MAX: usize = 4 << 10;

/// Sealed segments of the end of the log, which this process has filled.
#[derive(Debug)]
pub(super) struct Recent {
    directory: Arc<dyn Directory>,
    key: StoreKey,
    /// First positions and lengths, the oldest first.
    segments: VecDeque<(Position, u64)>,
    /// Bytes of all of them.
    len: u64,
    len_max: u64,
}

impl Recent {
    pub(super) fn new(directory: Arc<dyn Directory>, key: StoreKey) -> Self {
        Self { directory, key, segments: VecDeque::new(), len: 0, len_max: u64::MAX }
    }

    /// Sets how many bytes of what was sealed last are kept from now on; [`u64::MAX`] keeps everything.
    pub(super) fn keep(&mut self, bytes: u64) {
        self.len_max = bytes;
    }

    /// Takes note of the next segment, which was sealed.
    pub(super) fn add(&mut self, base: Position, len: u64) {
        if self.len_max == u64::MAX {
            return;
        }
        self.segments.push_back((base, len));
        self.len = self.len.saturating_add(len);
        while self.len > self.len_max || self.segments.len() > SEGMENT_COUNT_MAX {
            let Some((base, len)) = self.segments.pop_front() else { return };
            self.len = self.len.saturating_sub(len);
            // One that is not there any more, or that the system keeps all the same, is no matter.
            if let Ok(file) = SegmentFile::open_to_read(&*self.directory, self.key, base) {
                file.will_not_read();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::SimulatedDirectory;
    use crate::format::SegmentHeader;
    use crate::segment::name_of;
    use crate::types::{StoreId, Timestamp};

    /// Seals segments of these lengths, of which the last `len_max` bytes are kept, and returns which
    /// were let go of.
    fn let_go(lens: &[u64], len_max: u64) -> Vec<u64> {
        let disk = SimulatedDirectory::new();
        disk.create_folder("log").unwrap();
        let key = StoreKey { id: StoreId::from_bytes([3; 16]), seed: 5 };
        let mut recent = Recent::new(Arc::new(disk.clone()), key);
        recent.keep(len_max);
        let bases = (0..).map(Position::new);
        for (len, base) in lens.iter().zip(bases.clone()) {
            let recorded_before = Timestamp::from_nanos(7);
            let header = SegmentHeader { store: key.id, base, recorded_before, chain: 5 };
            SegmentFile::create(&disk, key, &header).unwrap();
            recent.add(base, *len);
        }
        let names = disk.names_let_go();
        let bases = bases.take(lens.len()).filter(|base| names.contains(&name_of(*base)));
        bases.map(Position::get).collect()
    }

    #[test]
    fn segments_are_let_go_of_once_enough_was_sealed_after_them() {
        assert_eq!(let_go(&[], 0), [0; 0]);
        assert_eq!(let_go(&[10, 10, 10], 0), [0, 1, 2]);
        assert_eq!(let_go(&[10, 10, 10], 29), [0]);
        assert_eq!(let_go(&[10, 10, 10], 30), [0; 0]);
        assert_eq!(let_go(&[1, 1, 30], 29), [0, 1, 2]);
        assert_eq!(let_go(&[30, 1, 1], 29), [0]);
        assert_eq!(let_go(&[u64::MAX, 1, 1], u64::MAX), [0; 0]);
    }

    #[test]
    fn no_more_than_so_many_segments_are_counted() {
        let lens = vec![0; SEGMENT_COUNT_MAX + 2];
        assert_eq!(let_go(&lens, 10), [0, 1]);
        assert_eq!(let_go(&lens, u64::MAX), [0; 0]);
    }

    #[test]
    fn a_segment_that_is_not_there_is_no_matter() {
        let key = StoreKey { id: StoreId::from_bytes([3; 16]), seed: 5 };
        let mut recent = Recent::new(Arc::new(SimulatedDirectory::new()), key);
        recent.keep(0);
        recent.add(Position::START, 10);
        assert!(recent.segments.is_empty() && recent.len == 0);
    }
}
