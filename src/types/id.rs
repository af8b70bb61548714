//! Identities: of an event, and of a store.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::Timestamp;

/// The identity of an event: 16 bytes, by default a UUID of version 7.
///
/// annals keeps it and hands it back. It does not check that an id is used once only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

impl EventId {
    /// An id made of these bytes, whatever they mean to the producer.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of this id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Characters of an id that is written as a UUID is.
    #[cfg(feature = "json")]
    pub(crate) const TEXT_LEN: usize = uuid::fmt::Hyphenated::LENGTH;

    /// What [`Display`](fmt::Display) writes, in memory that is lent for it.
    #[cfg(feature = "json")]
    pub(crate) fn hyphenated<'a>(&self, text: &'a mut [u8; Self::TEXT_LEN]) -> &'a str {
        Uuid::from_bytes(self.0).hyphenated().encode_lower(text)
    }

    /// A UUID of version 7: the milliseconds of `time`, then random bits of `random`.
    ///
    /// A time before 1970 counts as 1970, which such a UUID cannot go below.
    pub(crate) fn version_7(time: Timestamp, random: &mut fastrand::Rng) -> Self {
        let ms = u64::try_from(time.as_nanos() / 1_000_000).unwrap_or(0);
        let mut bits = [0; 10];
        random.fill(&mut bits);
        Self(uuid::Builder::from_unix_timestamp_millis(ms, &bits).into_uuid().into_bytes())
    }
}

impl fmt::Display for EventId {
    /// Writes the form `018f4d2c-…` of a UUID, in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = crate::Error;

    /// Reads any form of a UUID.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text)
            .map(|id| Self(id.into_bytes()))
            .map_err(|_| crate::Error::InvalidId { text: text.to_owned() })
    }
}

/// The identity of a store, drawn at random when it is created.
///
/// Every segment carries it, so that a segment of another store cannot be taken for one of ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId([u8; 16]);

impl StoreId {
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of this id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) fn random(time: Timestamp, random: &mut fastrand::Rng) -> Self {
        Self(EventId::version_7(time, random).0)
    }
}

impl fmt::Display for StoreId {
    /// Writes the form of a UUID, in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a store's records are told by: its id, and what their checksums begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreKey {
    pub(crate) id: StoreId,
    /// Drawn at random when the store is created, and shown nowhere: bytes that come from
    /// elsewhere cannot be made to pass for records of this store.
    pub(crate) seed: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_7_that_tells_its_time() {
        let mut random = fastrand::Rng::with_seed(1);
        let id = EventId::version_7(Timestamp::from_millis(0x0102_0304_0506), &mut random);
        let text = id.to_string();
        assert!(text.starts_with("01020304-0506-7"), "{text}");
        assert_eq!(text.parse::<EventId>().unwrap(), id);
    }

    #[test]
    fn ids_of_one_millisecond_differ() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut ids: Vec<_> =
            (0..1_000).map(|_| EventId::version_7(Timestamp::from_nanos(7), &mut random)).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1_000);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        assert!("cart-42".parse::<EventId>().is_err());
    }
}
