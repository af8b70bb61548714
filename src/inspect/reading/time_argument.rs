//! Times as people give them: absolute, or relative to now.

use jiff::Span;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

use crate::error::{Error, Result};
use crate::types::Timestamp;

/// What [`parse_time`] reads, in words.
pub const TIME_FORMS: &str = "a time as in 2018-02-07T01:26:13Z or 2018-02-07T02:26:13+01:00, a date \
    as in 2018-02-07 (midnight UTC), now, today, yesterday (midnight UTC), or how long ago, as in \
    90s ago, 2h 30m ago, 3 days ago";

/// Characters of a date.
const DATE_LEN: usize = "2018-02-07".len();

/// Reads a time: RFC 3339 with any offset; a date, which is its midnight in UTC; `now`, `today` and
/// `yesterday`; or how long before `now` it is, such as `90s ago`, `2h 30m ago` or `3 days ago`. Days,
/// months and years are counted in the calendar of UTC.
///
/// ```
/// use annals::Timestamp;
/// use annals::inspect::parse_time;
///
/// let now: Timestamp = "2018-02-07T01:26:13Z".parse()?;
/// assert_eq!(parse_time("2018-02-06", now)?, parse_time("yesterday", now)?);
/// assert_eq!(parse_time("90m ago", now)?, "2018-02-06T23:56:13Z".parse()?);
/// # Ok::<(), annals::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::InvalidTime`] if the text is none of those, or the time is before 1677 or after 2262.
pub fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp> {
    let fault = || Error::InvalidTime { text: text.to_owned() };
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let instant = jiff::Timestamp::from_nanosecond(i128::from(now.as_nanos()));
    // No calendar but that of UTC, which needs no list of time zones.
    let now = Offset::UTC.to_datetime(instant.map_err(|_| fault())?);
    let time = match text {
        "now" => Some(now),
        "today" => Some(midnight(now.date())),
        "yesterday" => now.date().yesterday().ok().map(midnight),
        _ if text.ends_with("ago") => before(now, text),
        _ => date(text).map(midnight),
    };
    let time = time.and_then(|time| Offset::UTC.to_timestamp(time).ok()).ok_or_else(fault)?;
    i64::try_from(time.as_nanosecond()).map(Timestamp::from_nanos).map_err(|_| fault())
}

/// So long before `now`.
fn before(now: DateTime, text: &str) -> Option<DateTime> {
    let span: Span = text.parse().ok()?;
    now.checked_add(span).ok()
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|_| text.len() == DATE_LEN)
}

/// What a day begins with.
fn midnight(date: Date) -> DateTime {
    date.at(0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2018-03-01T01:26:13.840Z".parse().unwrap()
    }

    fn read(text: &str) -> String {
        parse_time(text, now()).map_or_else(|error| error.to_string(), |time| time.to_string())
    }

    #[test]
    fn times_and_dates_are_read_as_they_are_written() {
        for (text, expected) in [
            ("2018-02-07T01:26:13.84Z", "2018-02-07T01:26:13.840000000Z"),
            ("2018-02-07T01:26:13+02:00", "2018-02-06T23:26:13.000000000Z"),
            ("2018-02-07 01:26:13-08:30", "2018-02-07T09:56:13.000000000Z"),
            ("  2018-02-07 ", "2018-02-07T00:00:00.000000000Z"),
            ("1969-12-31", "1969-12-31T00:00:00.000000000Z"),
            // The second that was inserted counts as the one before it.
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000000000Z"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn relative_times_count_back_from_now_in_utc() {
        for (text, expected) in [
            ("now", "2018-03-01T01:26:13.840000000Z"),
            ("today", "2018-03-01T00:00:00.000000000Z"),
            ("yesterday", "2018-02-28T00:00:00.000000000Z"),
            ("2h ago", "2018-02-28T23:26:13.840000000Z"),
            ("90s ago", "2018-03-01T01:24:43.840000000Z"),
            ("2 hours, 30 minutes ago", "2018-02-28T22:56:13.840000000Z"),
            ("3 days ago", "2018-02-26T01:26:13.840000000Z"),
            ("1 week ago", "2018-02-22T01:26:13.840000000Z"),
            ("1 month ago", "2018-02-01T01:26:13.840000000Z"),
            ("2 years ago", "2016-03-01T01:26:13.840000000Z"),
            ("500ms ago", "2018-03-01T01:26:13.340000000Z"),
            ("0s ago", "2018-03-01T01:26:13.840000000Z"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_or_out_of_range_is_refused() {
        for text in [
            "",
            "ago",
            "soon",
            "tomorrow",
            "2h",
            "-2h",
            "-2h ago",
            "+2h ago",
            "two hours ago",
            "2 parsecs ago",
            "2018",
            "2018-2-7",
            "20180207",
            "2018-W06-3",
            "2018-02-30",
            "2018-02-07T01:26:13",
            "2018-02-07T25:00:00Z",
            "2018-02-07T01:26:61Z",
            "1500-01-01",
            "9999-12-31",
            "1000 years ago",
            "99999999999999999999h ago",
            "9223372036854775807s ago",
        ] {
            assert!(parse_time(text, now()).is_err(), "{text}: {}", read(text));
        }
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        for now in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(parse_time("now", now).unwrap(), now);
            assert_eq!(parse_time("yesterday", now).is_ok(), now == Timestamp::MAX);
        }
    }
}
