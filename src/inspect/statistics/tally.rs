//! Counts by name, in bounded memory.

use crate::types::{NameHasher, Names};

/// The most names that are counted at a time.
const NAMES_MAX: usize = 1 << 16;

/// Events by name: by type, or by stream. Part of a [`Statistics`](crate::inspect::Statistics).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameCounts {
    /// Those with most events first, and by the byte order of their names if they have as many.
    /// At most 65,536 of them.
    pub names: Vec<NameCount>,
    /// How many names there are. Of types, if [`Self::is_exact`] is false: at least so many.
    pub name_count: u64,
    /// Whether every name is there with its exact counts. That is so up to 65,536 names. Of more,
    /// those with fewest events are let go of now and then: the counts of those that came later, or
    /// came back, are at least what is said, and at most [`NameCount::event_count_max`].
    pub is_exact: bool,
}

/// The events of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameCount {
    /// The type, or the stream.
    pub name: String,
    /// Events that were counted: all of them, or at least so many.
    pub event_count: u64,
    /// There are not more events than that. The same number if the count is exact.
    pub event_count_max: u64,
    /// Bytes of the payloads of the events that were counted.
    pub payload_len: u64,
}

/// Counts as they grow.
///
/// When there are too many names, those whose events can be fewest go, half of them or more. What
/// comes later may have been among them, so it may have had as many events as any that went. This
/// is the algorithm `SpaceSaving`, but that many go at once instead of one for each that comes.
#[derive(Debug)]
pub(super) struct Tally {
    hasher: NameHasher,
    counts: Names<Counts>,
    names_max: usize,
    /// No name that is not in `counts` has had more events.
    missed_max: u64,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    event_count: u64,
    payload_len: u64,
    /// Events that it may have had before it was counted.
    missed_max: u64,
}

impl Counts {
    fn event_count_max(&self) -> u64 {
        self.event_count + self.missed_max
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Self::with_room(NAMES_MAX)
    }

    fn with_room(names_max: usize) -> Self {
        Self { hasher: NameHasher::random(), counts: Names::default(), names_max, missed_max: 0 }
    }

    /// Counts one more event.
    pub(super) fn add(&mut self, name: &str, payload_len: u64) {
        let hash = self.hasher.hash(name);
        if let Some(counts) = self.counts.get_mut(hash, name) {
            counts.event_count += 1;
            counts.payload_len += payload_len;
            return;
        }
        if self.counts.len() >= self.names_max {
            self.let_go();
        }
        let counts = Counts { event_count: 1, payload_len, missed_max: self.missed_max };
        // Names of records are never too long for it.
        let _ = self.counts.insert_new(hash, name, counts);
    }

    /// Forgets the names that can have no more events than half of them.
    fn let_go(&mut self) {
        let counts = self.counts.iter().map(|(_, counts)| counts.event_count_max());
        let mut counts: Vec<_> = counts.collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        // All of them that have as many: which ones are kept must not depend on how they are hashed.
        let mut kept = Names::default();
        for (name, counts) in self.counts.iter() {
            if counts.event_count_max() > *median {
                let _ = kept.insert_new(self.hasher.hash(name), name, *counts);
            }
        }
        self.counts = kept;
        self.missed_max = self.missed_max.max(*median);
    }

    /// What was counted, of `name_count` names if that is known.
    pub(super) fn finish(self, name_count: Option<u64>) -> NameCounts {
        let is_exact = self.missed_max == 0;
        let seen_count = if is_exact { self.counts.len() } else { self.names_max };
        let seen_count = u64::try_from(seen_count).unwrap_or(u64::MAX);
        let mut names: Vec<_> = self
            .counts
            .iter()
            .map(|(name, counts)| NameCount {
                name: name.to_owned(),
                event_count: counts.event_count,
                event_count_max: counts.event_count_max(),
                payload_len: counts.payload_len,
            })
            .collect();
        names.sort_unstable_by(|a, b| {
            b.event_count.cmp(&a.event_count).then_with(|| a.name.cmp(&b.name))
        });
        NameCounts { names, name_count: name_count.unwrap_or(seen_count), is_exact }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn tallied<'a>(names_max: usize, names: impl IntoIterator<Item = &'a str>) -> NameCounts {
        let mut tally = Tally::with_room(names_max);
        for name in names {
            tally.add(name, 10);
            assert!(tally.counts.len() <= names_max);
        }
        tally.finish(None)
    }

    #[test]
    fn counts_are_exact_while_there_is_room() {
        let counts = tallied(3, ["b", "a", "c", "c", "b", "c"]);
        let shown: Vec<_> =
            counts.names.iter().map(|n| (&*n.name, n.event_count, n.payload_len)).collect();
        assert_eq!(shown, [("c", 3, 30), ("b", 2, 20), ("a", 1, 10)]);
        assert_eq!((counts.name_count, counts.is_exact), (3, true));
        assert!(counts.names.iter().all(|n| n.event_count_max == n.event_count));
    }

    #[test]
    fn a_heavy_name_keeps_its_exact_count_among_any_number_of_light_ones() {
        let light: Vec<_> = (0..10_000).map(|n| format!("cart-{n}")).collect();
        let names = light.iter().flat_map(|name| ["heavy", name]);
        let counts = tallied(100, names);
        assert!(!counts.is_exact);
        let heavy = &counts.names[0];
        assert_eq!((&*heavy.name, heavy.event_count), ("heavy", 10_000));
        assert_eq!(heavy.event_count_max, 10_000);
        assert_eq!(counts.name_count, 100, "at least so many");
    }

    proptest! {
        #[test]
        fn the_true_count_is_between_the_two_that_are_told(
            names in prop::collection::vec(0_u8..40, 0..400),
            names_max in 1_usize..50,
        ) {
            let names: Vec<_> = names.into_iter().map(|n| n.to_string()).collect();
            let mut exact = BTreeMap::<&str, u64>::new();
            for name in &names {
                *exact.entry(name).or_default() += 1;
            }
            let counts = tallied(names_max, names.iter().map(String::as_str));
            for name in &counts.names {
                let exact = exact[name.name.as_str()];
                prop_assert!(name.event_count <= exact && exact <= name.event_count_max);
            }
            if exact.len() <= names_max {
                prop_assert!(counts.is_exact && counts.names.len() == exact.len());
            }
        }
    }
}
