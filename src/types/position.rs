//! Places in the log and in a stream.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

macro_rules! place {
    ($(#[$doc:meta])* $name:ident, $start:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            #[doc = $start]
            pub const START: Self = Self(0);

            /// The place with the number `n`.
            #[must_use]
            pub const fn new(n: u64) -> Self {
                Self(n)
            }

            /// The number of this place, which is also how many events stand before it.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The place one later. Stays where it is at `u64::MAX`, which no log reaches.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The place one earlier, or `None` at the start.
            #[must_use]
            pub const fn previous(self) -> Option<Self> {
                match self.0.checked_sub(1) {
                    Some(n) => Some(Self(n)),
                    None => None,
                }
            }

            /// The place `count` events later. Stops at `u64::MAX`.
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }

            /// How many events stand from `earlier` (included) up to here (excluded);
            /// 0 if `earlier` is not earlier.
            #[must_use]
            pub const fn since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl From<u64> for $name {
            fn from(n: u64) -> Self {
                Self(n)
            }
        }

        impl From<$name> for u64 {
            fn from(place: $name) -> Self {
                place.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

place!(
    /// The place of an event among all events of a store.
    ///
    /// 0-based and dense: the first event has position 0, none is skipped, none is ever used
    /// twice. As the end of a range it is exclusive.
    Position,
    "The position of the first event."
);

place!(
    /// The place of an event in its stream.
    ///
    /// 0-based and dense, like [`Position`]. A stream that holds `n` events has revisions
    /// `0..n`, so its end is `n`.
    Revision,
    "The revision of a stream's first event."
);

/// Where a record stands: the segment, named by its first position, and the byte in its file.
///
/// Addresses are ordered as positions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address {
    /// First position of the segment, which names its file.
    pub(crate) segment: Position,
    /// Byte offset of the record in that file.
    pub(crate) offset: u64,
}
