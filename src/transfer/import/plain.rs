//! Lines that are JSON objects of any kind: someone's own log.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::event::{ContentType, NewEvent};
use crate::transfer::import::fields::{Fields, text_of};
use crate::transfer::import::incoming::{Incoming, LineFault};
use crate::types::{EventId, Timestamp};

/// How JSON objects of any kind become events: where in them the stream stands, the type and the
/// time. The whole object is the payload.
///
/// A field within another is named with dots, `user.id` for instance. A stream or a type may be a
/// string, a number or a boolean.
#[derive(Clone, Debug)]
pub struct PlainLines {
    stream: Named,
    event_type: Named,
    time: Option<TimeField>,
    source: String,
}

/// Where a name is from.
#[derive(Clone, Debug)]
enum Named {
    /// From the field at this path.
    Field(String),
    /// The same for all.
    All(String),
}

/// What the numbers count in which times are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeUnit {
    /// There are none: times are strings in RFC 3339.
    #[default]
    Rfc3339,
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// Nanoseconds since 1970.
    Nanos,
}

#[derive(Clone, Debug)]
struct TimeField {
    path: String,
    unit: TimeUnit,
}

impl PlainLines {
    /// Events of the streams that stand in the field at `path`.
    #[must_use]
    pub fn by_stream_field(path: impl Into<String>) -> Self {
        Self::in_streams(Named::Field(path.into()))
    }

    /// Events that all go into one stream.
    #[must_use]
    pub fn in_stream(stream: impl Into<String>) -> Self {
        Self::in_streams(Named::All(stream.into()))
    }

    fn in_streams(stream: Named) -> Self {
        let event_type = Named::All("line".to_owned());
        Self { stream, event_type, time: None, source: String::new() }
    }

    /// The type of each event stands in the field at `path`.
    #[must_use]
    pub fn type_field(mut self, path: impl Into<String>) -> Self {
        self.event_type = Named::Field(path.into());
        self
    }

    /// All events are of this type. Default: `line`.
    #[must_use]
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Named::All(event_type.into());
        self
    }

    /// The time of each event stands in the field at `path`. Default: events are recorded when they
    /// are imported.
    #[must_use]
    pub fn time_field(mut self, path: impl Into<String>, unit: TimeUnit) -> Self {
        self.time = Some(TimeField { path: path.into(), unit });
        self
    }

    /// Names where the lines come from, the path of a file for instance. Default: nothing.
    ///
    /// The id of an event is made of this, of the number of its line, and of the line: so the same
    /// lines of the same source are known when they are imported again, and equal lines at the same
    /// place in two files are not taken for one. What replaces a file whose lines are not all
    /// different, a log that was rotated for instance, wants another name.
    #[must_use]
    pub fn source(mut self, name: impl Into<String>) -> Self {
        self.source = name.into();
        self
    }

    /// Reads the line with this number.
    pub(super) fn read(&self, number: u64, line: &[u8]) -> Result<Incoming, LineFault> {
        let fields: Fields<'_> = serde_json::from_slice(line)
            .map_err(|error| LineFault::of_json("it is not a JSON object", &error))?;
        let stream = self.stream.of(&fields);
        let stream = stream.ok_or_else(|| LineFault::new("it has no field for its stream"))?;
        let event_type = self.event_type.of(&fields);
        let event_type =
            event_type.ok_or_else(|| LineFault::new("it has no field for its type"))?;
        let time = self.time.as_ref().map(|time| time.of(&fields)).transpose()?;
        let id = id_of(&[self.source.as_bytes(), number.to_string().as_bytes(), line]);
        let event = NewEvent::new(event_type, ContentType::Json, line).id(id);
        Ok(Incoming { stream, id, event, time, place: None })
    }
}

/// An id that is made of what an event is known by: a UUID of version 8, which no one else makes.
pub(super) fn id_of(parts: &[&[u8]]) -> EventId {
    let mut known_by = Vec::new();
    for part in parts {
        // With its length before it, no part can be taken for the end of another.
        known_by.extend_from_slice(part.len().to_string().as_bytes());
        known_by.push(b':');
        known_by.extend_from_slice(part);
    }
    let bytes = Uuid::from_u128(xxh3_128(&known_by)).into_bytes();
    EventId::from_bytes(uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes())
}

impl Named {
    fn of(&self, fields: &Fields<'_>) -> Option<String> {
        match self {
            Self::Field(path) => text_of(fields.at(path)?).map(String::from),
            Self::All(name) => Some(name.clone()),
        }
    }
}

impl TimeField {
    fn of(&self, fields: &Fields<'_>) -> Result<Timestamp, LineFault> {
        let value = fields.at(&self.path).and_then(text_of);
        let text = value.ok_or_else(|| LineFault::new("it has no field for its time"))?;
        match self.unit {
            TimeUnit::Rfc3339 => text
                .parse()
                .map_err(|error| LineFault::because("the field for its time has none", error)),
            unit => unit.time(&text).ok_or_else(|| {
                LineFault::new("the field for its time has no number, or too large a one")
            }),
        }
    }
}

impl TimeUnit {
    /// Decimal digits of a nanosecond that the unit has.
    fn digits(self) -> usize {
        match self {
            Self::Rfc3339 | Self::Nanos => 0,
            Self::Micros => 3,
            Self::Millis => 6,
            Self::Seconds => 9,
        }
    }

    /// The time that a decimal number tells. No digit is lost, as it would be in floating point;
    /// those beyond nanoseconds are cut.
    fn time(self, number: &str) -> Option<Timestamp> {
        let (sign, digits) = match number.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let fraction = fraction.get(..self.digits()).unwrap_or(fraction);
        let ns: i128 = format!("{whole}{fraction:0<width$}", width = self.digits()).parse().ok()?;
        i64::try_from(sign * ns).ok().map(Timestamp::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_becomes_a_time_without_losing_a_digit() {
        let ns = |unit: TimeUnit, number| unit.time(number).map(Timestamp::as_nanos);
        assert_eq!(ns(TimeUnit::Seconds, "1517966773.840000001"), Some(1_517_966_773_840_000_001));
        assert_eq!(ns(TimeUnit::Seconds, "1.5"), Some(1_500_000_000));
        assert_eq!(ns(TimeUnit::Seconds, "-0.25"), Some(-250_000_000));
        assert_eq!(ns(TimeUnit::Millis, "1517966773840"), Some(1_517_966_773_840_000_000));
        assert_eq!(ns(TimeUnit::Millis, "1.5000009"), Some(1_500_000));
        assert_eq!(ns(TimeUnit::Micros, "7"), Some(7_000));
        assert_eq!(ns(TimeUnit::Nanos, "7.9"), Some(7));
        for number in ["", "-", "1e3", "0x7", "1.", ".5", "99999999999", "NaN", "--1"] {
            assert_eq!(ns(TimeUnit::Seconds, number), None, "{number}");
        }
    }

    #[test]
    fn an_id_tells_lines_sources_and_numbers_apart() {
        let id = |source: &str, number, line: &str| {
            let lines = PlainLines::in_stream("s").source(source);
            lines.read(number, line.as_bytes()).unwrap().id
        };
        let one = id("a.log", 1, "{}");
        assert_eq!(one, id("a.log", 1, "{}"));
        let others = [id("b.log", 1, "{}"), id("a.log", 2, "{}"), id("a.log", 1, "{ }")];
        assert!(!others.contains(&one));
        assert_eq!(one.to_string().as_bytes()[14], b'8', "{one}");
    }
}
