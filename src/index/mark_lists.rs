//! Where the lists of marks in the tree begin, as far as it was learned from lists that were read.
//!
//! Owns these places in memory, within a bound. Lists are added at the end only, each after those
//! that are there, so what is known between two of them stays so.

use std::fmt;
use std::sync::Arc;

use super::budget::Budget;
use super::{Mark, Seek};
use crate::sync::RwLock;
use crate::types::Position;

/// A list of marks.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    /// Its first mark.
    pub(super) first: Mark,
    /// Given once: a list may be forgotten, and learned again as another.
    pub(super) slot: u32,
    /// Whether the next list here is the next one in the tree; that there is none, if it is the
    /// last.
    is_followed: bool,
}

/// What is known of where a seek leads.
#[derive(Debug)]
pub(super) enum Known {
    /// Into this list.
    List(List),
    /// Nowhere: all marks are later.
    Before,
    /// It must be looked up, and may be learned if no list was added since this count.
    Nothing { added_count: u64 },
}

/// Lists that are counted twice what they take: vectors that grow may hold as much again.
const LIST_LEN: u64 = 128;
const _: () = assert!(2 * size_of::<List>() <= 128);

/// The known lists of marks.
pub(super) struct MarkLists {
    lists: RwLock<Lists>,
    budget: Arc<Budget>,
}

/// What is known.
#[derive(Debug, Default)]
struct Lists {
    /// In their order, which is that of positions and that of times.
    known: Vec<List>,
    next_slot: u32,
    added_count: u64,
}

impl MarkLists {
    /// Knows nothing yet, and takes what it learns from `budget`.
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self { lists: RwLock::default(), budget: Arc::clone(budget) }
    }

    /// Which list has the last mark before `seek`.
    pub(super) fn find(&self, seek: Seek) -> Known {
        let lists = self.lists.read();
        let count = lists.known.partition_point(|list| seek.is_after(&list.first));
        match count.checked_sub(1).and_then(|at| lists.known.get(at)) {
            Some(list) if list.is_followed => Known::List(*list),
            None if lists
                .known
                .first()
                .is_some_and(|list| list.first.position == Position::START) =>
            {
                Known::Before
            }
            _ => Known::Nothing { added_count: lists.added_count },
        }
    }

    /// Learns that a list begins with `first`, and which mark the next one begins with, if there is
    /// one. Gives the slot of the list, or nothing if there is no room for it, or if lists were
    /// added since there were `added_count`.
    pub(super) fn learn(&self, first: Mark, next: Option<Mark>, added_count: u64) -> Option<u32> {
        let mut lists = self.lists.write();
        if lists.added_count != added_count {
            return None;
        }
        self.put_both(&mut lists, first, next).or_else(|| {
            // What is known may be of no use any more; what is asked for now is.
            self.forget(&mut lists);
            self.put_both(&mut lists, first, next)
        })
    }

    fn put_both(&self, lists: &mut Lists, first: Mark, next: Option<Mark>) -> Option<u32> {
        if let Some(next) = next {
            self.put(lists, next)?;
        }
        let at = self.put(lists, first)?;
        let list = lists.known.get_mut(at)?;
        list.is_followed = true;
        Some(list.slot)
    }

    /// Learns that lists which begin with these marks were added to the tree, after all others.
    pub(super) fn add(&self, firsts: impl Iterator<Item = Mark>) {
        let mut lists = self.lists.write();
        lists.added_count += 1;
        for first in firsts {
            let last = lists.known.last();
            if last.is_some_and(|last| last.first.position >= first.position) {
                // Left by a crash, and written again: what it was is of no matter.
                self.forget(&mut lists);
            }
            let Some(at) = self.put(&mut lists, first) else {
                // The one before would be taken for the last.
                self.forget(&mut lists);
                return;
            };
            if let Some(list) = lists.known.get_mut(at) {
                list.is_followed = true;
            }
        }
    }

    /// Lets go of everything.
    pub(super) fn clear(&self) {
        self.forget(&mut self.lists.write());
    }

    /// Adds a list unless it is known; says where it stands.
    fn put(&self, lists: &mut Lists, first: Mark) -> Option<usize> {
        let at = lists.known.partition_point(|list| list.first.position < first.position);
        if lists.known.get(at).is_some_and(|list| list.first.position == first.position) {
            return Some(at);
        }
        let slot = lists.next_slot;
        let next_slot = slot.checked_add(1)?;
        if !self.budget.take(LIST_LEN) {
            return None;
        }
        lists.next_slot = next_slot;
        lists.known.insert(at, List { first, slot, is_followed: false });
        Some(at)
    }

    fn forget(&self, lists: &mut Lists) {
        let len = u64::try_from(lists.known.len()).unwrap_or(u64::MAX).saturating_mul(LIST_LEN);
        self.budget.give_back(len);
        lists.known = Vec::new();
    }
}

impl Drop for MarkLists {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for MarkLists {
    /// Not what is known, which may be much.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MarkLists").finish_non_exhaustive()
    }
}
