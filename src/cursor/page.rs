//! Addresses of a stream that the index was asked for at once.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

use crate::cursor::Direction;
use crate::segment::{LOT_COUNT_MAX, RUN_LEN_MAX};
use crate::types::{Address, Revision};

/// The most addresses that are asked for at once, as many as one block of the index has.
const COUNT_MAX: u64 = 256;
/// How many are asked for first backwards, where often only the last event is wanted.
const COUNT_MIN: u64 = 4;
/// How many times as many are asked for next.
const GROWTH: u64 = 8;
/// Records that have no more bytes than this between them are read at once: that costs less than
/// to read each.
const GAP_LEN_MAX: u64 = 2 << 10;

/// Offsets of the first and of the last record of those that are read at once.
pub(super) type Run = RangeInclusive<u64>;

/// Addresses of the next revisions in a direction.
#[derive(Debug)]
pub(super) struct Page {
    direction: Direction,
    addresses: VecDeque<Address>,
    /// How many to ask for next.
    count: u64,
    /// How many of the next addresses are in `run`.
    run_count: usize,
    run: Run,
    /// How many of the next addresses were given out as a lot.
    lot_count: usize,
}

impl Page {
    pub(super) fn new(direction: Direction) -> Self {
        let count = match direction {
            Direction::Forwards => COUNT_MAX,
            Direction::Backwards => COUNT_MIN,
        };
        Self {
            direction,
            addresses: VecDeque::new(),
            count,
            run_count: 0,
            run: 0..=0,
            lot_count: 0,
        }
    }

    /// A page that will be asked for one address.
    pub(super) fn of_one() -> Self {
        Self { count: 1, ..Self::new(Direction::Backwards) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.addresses.clear();
        (self.run_count, self.lot_count) = (0, 0);
    }

    /// The revisions to ask for so that `revision` is the next.
    pub(super) fn wanted(&self, revision: Revision) -> Range<Revision> {
        match self.direction {
            Direction::Forwards => revision..revision.plus(self.count),
            Direction::Backwards => {
                let end = revision.next();
                Revision::new(end.get().saturating_sub(self.count))..end
            }
        }
    }

    /// Takes the addresses of what was wanted, ascending.
    pub(super) fn fill(&mut self, addresses: Vec<Address>) {
        self.addresses = addresses.into();
        (self.run_count, self.lot_count) = (0, 0);
        self.count = self.count.saturating_mul(GROWTH).min(COUNT_MAX);
    }

    /// The next address, and what to read at once with it.
    pub(super) fn next(&mut self) -> Option<(Address, Run)> {
        if self.run_count == 0 {
            (self.run_count, self.run) = self.next_run()?;
        }
        self.run_count = self.run_count.saturating_sub(1);
        self.lot_count = self.lot_count.saturating_sub(1);
        let address = match self.direction {
            Direction::Forwards => self.addresses.pop_front(),
            Direction::Backwards => self.addresses.pop_back(),
        };
        address.map(|address| (address, self.run.clone()))
    }

    /// The next addresses, as many as are looked at together; `None` if there are still some of the
    /// last ones, or no two.
    pub(super) fn next_lot(&mut self) -> Option<impl Iterator<Item = Address>> {
        if self.lot_count > 0 || self.addresses.len() < 2 {
            return None;
        }
        self.lot_count = self.addresses.len().min(LOT_COUNT_MAX);
        let (direction, count) = (self.direction, self.lot_count);
        Some((0..count).filter_map(move |n| match direction {
            Direction::Forwards => self.addresses.get(n).copied(),
            Direction::Backwards => self.addresses.iter().rev().nth(n).copied(),
        }))
    }

    /// The next addresses that are near each other.
    fn next_run(&self) -> Option<(usize, Run)> {
        match self.direction {
            Direction::Forwards => run_of(self.addresses.iter()),
            Direction::Backwards => run_of(self.addresses.iter().rev()),
        }
    }
}

/// How many of the first addresses are near each other, and where they are.
fn run_of<'a>(addresses: impl Iterator<Item = &'a Address>) -> Option<(usize, Run)> {
    let mut addresses = addresses.copied();
    let first = addresses.next()?;
    let (mut count, mut last) = (1, first);
    for next in addresses {
        let is_near = next.segment == first.segment
            && next.offset.abs_diff(last.offset) <= GAP_LEN_MAX
            && next.offset.abs_diff(first.offset) <= RUN_LEN_MAX;
        if !is_near {
            break;
        }
        (count, last) = (count + 1, next);
    }
    Some((count, first.offset.min(last.offset)..=first.offset.max(last.offset)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Position;

    fn address(segment: u64, offset: u64) -> Address {
        Address { segment: Position::new(segment), offset }
    }

    fn given(mut page: Page, addresses: &[Address]) -> Vec<(u64, Run)> {
        page.fill(addresses.to_vec());
        std::iter::from_fn(|| page.next()).map(|(at, run)| (at.offset, run)).collect()
    }

    #[test]
    fn what_stands_near_each_other_is_read_at_once() {
        let there = [address(0, 64), address(0, 400), address(0, 9_000), address(7, 9_100)];
        let runs =
            [(64, 64..=400), (400, 64..=400), (9_000, 9_000..=9_000), (9_100, 9_100..=9_100)];
        assert_eq!(given(Page::new(Direction::Forwards), &there), runs);
        let mut back = given(Page::new(Direction::Backwards), &there);
        back.reverse();
        assert_eq!(back, runs);
    }

    #[test]
    fn no_run_has_more_bytes_than_it_may() {
        let there: Vec<_> = (0..200).map(|n| address(0, 64 + n * 1_000)).collect();
        for direction in [Direction::Forwards, Direction::Backwards] {
            for (at, run) in given(Page::new(direction), &there) {
                assert!(run.contains(&at) && run.end() - run.start() <= RUN_LEN_MAX);
            }
        }
    }

    #[test]
    fn every_address_is_in_one_lot_which_begins_with_the_next_one() {
        let there: Vec<_> = (0..40).map(|n| address(n / 20, 64 + n * 5_000)).collect();
        for direction in [Direction::Forwards, Direction::Backwards] {
            let mut page = Page::new(direction);
            page.fill(there.clone());
            let (mut in_lots, mut given) = (Vec::new(), Vec::new());
            loop {
                if let Some(lot) = page.next_lot() {
                    assert_eq!(in_lots.len(), given.len());
                    in_lots.extend(lot);
                    assert!(in_lots.len() - given.len() <= LOT_COUNT_MAX);
                }
                let Some((address, _)) = page.next() else { break };
                given.push(address);
            }
            assert_eq!((given.len(), &in_lots), (there.len(), &given));
        }
    }

    #[test]
    fn what_is_asked_for_alone_is_no_lot() {
        let mut page = Page::new(Direction::Backwards);
        page.fill(vec![address(0, 64)]);
        assert!(page.next_lot().is_none());
        page.fill(vec![address(0, 64), address(0, 500)]);
        page.next();
        assert!(page.next_lot().is_none());
    }

    #[test]
    fn backwards_few_addresses_are_asked_for_first() {
        let mut page = Page::new(Direction::Backwards);
        let wanted = |page: &Page, n| {
            let Range { start, end } = page.wanted(Revision::new(n));
            start.get()..end.get()
        };
        assert_eq!(wanted(&page, 99), 96..100);
        page.fill(vec![address(0, 64)]);
        assert_eq!(wanted(&page, 95), 64..96);
        assert_eq!(wanted(&page, 1), 0..2);
    }
}
