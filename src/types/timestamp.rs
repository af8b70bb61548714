//! Points in time.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time: UTC nanoseconds since 1970-01-01T00:00:00Z.
///
/// Reaches from the year 1677 to 2262. Written and read as RFC 3339, with nanoseconds:
///
/// ```
/// use annals::Timestamp;
///
/// let time: Timestamp = "2018-02-07T01:26:13.840Z".parse()?;
/// assert_eq!(time.to_string(), "2018-02-07T01:26:13.840000000Z");
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time that can be told.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time that can be told.
    pub const MAX: Self = Self(i64::MAX);

    /// The time `ns` nanoseconds after 1970-01-01T00:00:00Z, or before it if negative.
    #[must_use]
    pub const fn from_nanos(ns: i64) -> Self {
        Self(ns)
    }

    /// The time `ms` milliseconds after 1970-01-01T00:00:00Z; [`Timestamp::MIN`] or
    /// [`Timestamp::MAX`] if that is out of range.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The time `duration` later, or [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let later = i128::try_from(duration.as_nanos()).map(|ns| i128::from(self.0) + ns);
        Self(later.ok().and_then(|ns| i64::try_from(ns).ok()).unwrap_or(i64::MAX))
    }

    /// The time `duration` earlier, or [`Timestamp::MIN`].
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let earlier = i128::try_from(duration.as_nanos()).map(|ns| i128::from(self.0) - ns);
        Self(earlier.ok().and_then(|ns| i64::try_from(ns).ok()).unwrap_or(i64::MIN))
    }
}

impl Timestamp {
    /// Adds to `text` what [`Display`](fmt::Display) writes, at less cost.
    pub(crate) fn push_to(self, text: &mut String) {
        const PRINTER: jiff::fmt::temporal::DateTimePrinter =
            jiff::fmt::temporal::DateTimePrinter::new().precision(Some(9));
        let written = jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .and_then(|time| PRINTER.print_timestamp(&time, &mut *text));
        debug_assert!(written.is_ok(), "every time of 64 bits of nanoseconds can be written");
    }
}

impl From<SystemTime> for Timestamp {
    /// Times out of range become [`Timestamp::MIN`] or [`Timestamp::MAX`].
    fn from(time: SystemTime) -> Self {
        let epoch = Self(0);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => epoch.plus(after),
            Err(before) => epoch.minus(before.duration()),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let distance = Duration::from_nanos(time.0.unsigned_abs());
        if time.0 < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => write!(f, "{time:.9}"),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = crate::Error;

    /// Reads RFC 3339, with any offset and up to nine digits of a second.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = || crate::Error::InvalidTime { text: text.to_owned() };
        let time: jiff::Timestamp = text.parse().map_err(|_| fault())?;
        i64::try_from(time.as_nanosecond()).map(Self).map_err(|_| fault())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_nanoseconds_in_utc() {
        assert_eq!(Timestamp::from_nanos(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(Timestamp::from_nanos(-1).to_string(), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(Timestamp::MIN.to_string(), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(Timestamp::MAX.to_string(), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn a_time_reads_back_as_it_was_written() {
        for ns in [i64::MIN, -1_500_000_001, -1, 0, 1, 1_517_966_773_840_000_000, i64::MAX] {
            let time = Timestamp::from_nanos(ns);
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
            #[cfg(feature = "json")]
            {
                let mut text = String::from("at ");
                time.push_to(&mut text);
                assert_eq!(text, format!("at {time}"));
            }
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "yesterday", "2018-02-07", "9999-01-01T00:00:00Z"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
