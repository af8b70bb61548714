//! What a crash may leave on the medium.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use crate::directory::simulated::world::{Change, File, World};

/// Bytes that a medium writes whole or not at all.
const SECTOR_LEN: usize = 512;

/// One of the states that a crash of `world` may leave, as the next process sees it.
pub(super) fn crashed(world: &World, random: &mut Rng) -> World {
    // Often everything or nothing survives; those states are few and must not be missed.
    let keep = match random.u8(..4) {
        0 => Keep::Nothing,
        1 => Keep::Everything,
        _ => Keep::Any,
    };
    let mut entries = world.durable_entries.clone();
    for change in &world.unsynced_entries {
        if keep.choose(random) {
            change.apply(&mut entries);
        }
    }
    let folders: BTreeSet<_> = world
        .durable_folders
        .iter()
        .chain(world.folders.iter().filter(|_| keep.choose(random)))
        .cloned()
        .collect();
    let is_reachable = |name: &str| {
        let folder = super::folder_of(name);
        folder.is_empty() || folders.contains(folder)
    };
    let entries: BTreeMap<_, _> =
        entries.into_iter().filter(|(name, _)| is_reachable(name)).collect();
    let files = world.files.iter().map(|file| file_after(file, keep, random)).collect();
    World::settled(files, entries, folders)
}

/// How much of what no sync has covered survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Nothing,
    Everything,
    /// Each change for itself.
    Any,
}

impl Keep {
    fn choose(self, random: &mut Rng) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Any => random.bool(),
        }
    }
}

fn file_after(file: &File, keep: Keep, random: &mut Rng) -> File {
    let mut medium = file.medium.clone();
    for change in file.unsynced.iter().map(|change| file.as_it_lands(change)) {
        match keep {
            Keep::Nothing => {}
            Keep::Everything => change.apply(&mut medium),
            Keep::Any => apply_part(&change, &mut medium, random),
        }
    }
    let mut left = File::settled(medium);
    left.spoilt = file.spoilt.clone();
    left
}

/// Lets any part of a change reach the medium.
fn apply_part(change: &Change, medium: &mut Vec<u8>, random: &mut Rng) {
    match (change, random.u8(..5)) {
        (_, 0) => {}
        (Change::Write { offset, bytes }, 1) => {
            // The length is there and the bytes are not.
            let end = offset + bytes.len();
            medium.resize(medium.len().max(end), 0);
        }
        (Change::Write { offset, bytes }, 2) => {
            let len = random.usize(..=bytes.len());
            let bytes = bytes.get(..len).unwrap_or_default().to_vec();
            Change::Write { offset: *offset, bytes }.apply(medium);
        }
        (Change::Write { offset, bytes }, 3) => {
            for (start, sector) in sectors(*offset, bytes) {
                if random.bool() {
                    Change::Write { offset: start, bytes: sector.to_vec() }.apply(medium);
                }
            }
        }
        (change, _) => change.apply(medium),
    }
}

/// The parts of a write that lie in one sector each, with where they begin.
fn sectors(offset: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut parts = Vec::new();
    let (mut start, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let len = (SECTOR_LEN - start % SECTOR_LEN).min(rest.len());
        let (sector, after) = rest.split_at(len);
        parts.push((start, sector));
        start += len;
        rest = after;
    }
    parts
}
