//! Numbers, sizes, times and spans as people read them.

use crate::types::Timestamp;

const SECOND_NS: u128 = 1_000_000_000;

/// A number with a comma between thousands.
pub(in crate::inspect) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and what it counts, whose plural ends in `s` or `es`.
pub(in crate::inspect) fn counted(number: u64, what: &str) -> String {
    let ending = match number {
        1 => "",
        _ if what.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {what}{ending}", grouped(number))
}

/// Bytes in the unit that leaves at most three digits before the point, and a tenth below 100.
pub(in crate::inspect) fn size(len: u64) -> String {
    if len < 1024 {
        return format!("{} B", grouped(len));
    }
    let mut unit_len = 1_u128;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        unit_len *= 1024;
        let tenths = rounded(u128::from(len) * 10, unit_len);
        if tenths < 1_000 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        let whole = rounded(u128::from(len), unit_len);
        if whole < 1024 {
            return format!("{} {unit}", grouped(u64::try_from(whole).unwrap_or(len)));
        }
    }
    // No length in 64 bits comes here.
    format!("{len} B")
}

/// A length that is a power of two, which needs no tenths.
pub(in crate::inspect) fn power_size(len: u64) -> String {
    size(len).replace(".0 ", " ")
}

fn rounded(number: u128, by: u128) -> u128 {
    (number + by / 2) / by
}

/// How much `part` is of `whole`, in per cent with a tenth.
pub(in crate::inspect) fn share(part: u64, whole: u64) -> String {
    let tenths = rounded(u128::from(part) * 1_000, u128::from(whole.max(1)));
    match tenths {
        0 if part > 0 => "< 0.1 %".to_owned(),
        tenths => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// Nanoseconds between two times.
pub(in crate::inspect) fn span_ns(from: Timestamp, until: Timestamp) -> u128 {
    let span = i128::from(until.as_nanos()) - i128::from(from.as_nanos());
    u128::try_from(span).unwrap_or(0)
}

/// A span of time in its two largest units.
pub(in crate::inspect) fn span(ns: u128) -> String {
    let (minute, hour, day) = (60 * SECOND_NS, 3_600 * SECOND_NS, 86_400 * SECOND_NS);
    let two = |large: u128, large_name: &str, small: u128, small_name: &str| {
        let all = ns / small;
        let (larges, smalls) = (all / (large / small), all % (large / small));
        let larges = u64::try_from(larges).map_or_else(|_| larges.to_string(), grouped);
        match smalls {
            0 => format!("{larges} {large_name}"),
            smalls => format!("{larges} {large_name} {smalls} {small_name}"),
        }
    };
    let tenths = |unit: u128, name: &str| {
        let tenths = ns * 10 / unit;
        match tenths % 10 {
            0 => format!("{} {name}", tenths / 10),
            tenth => format!("{}.{tenth} {name}", tenths / 10),
        }
    };
    match ns {
        _ if ns >= 365 * day => two(365 * day, "y", day, "d"),
        _ if ns >= day => two(day, "d", hour, "h"),
        _ if ns >= hour => two(hour, "h", minute, "min"),
        _ if ns >= minute => two(minute, "min", SECOND_NS, "s"),
        _ if ns >= SECOND_NS => tenths(SECOND_NS, "s"),
        _ if ns >= 1_000_000 => tenths(1_000_000, "ms"),
        _ if ns >= 1_000 => tenths(1_000, "µs"),
        _ => format!("{ns} ns"),
    }
}

/// A time without the digits of a second that do not matter over steps of `step_ns`.
pub(in crate::inspect) fn time(time: Timestamp, step_ns: u128) -> String {
    let digit_count = match step_ns {
        SECOND_NS.. => 0,
        1_000_000.. => 3,
        1_000.. => 6,
        _ => 9,
    };
    let text = time.to_string();
    match text.split_once('.') {
        Some((seconds, _)) if digit_count == 0 => format!("{seconds}Z"),
        Some((seconds, digits)) => {
            format!("{seconds}.{}Z", digits.get(..digit_count).unwrap_or(digits))
        }
        None => text,
    }
}

/// A time to the second.
pub(in crate::inspect) fn short_time(at: Timestamp) -> String {
    time(at, SECOND_NS)
}

/// How many of `room` units stand for `part` if all of them stand for `whole`. At least one, unless
/// there is nothing.
pub(in crate::inspect) fn scaled(part: u64, whole: u64, room: u32) -> u32 {
    let units = rounded(u128::from(part) * u128::from(room), u128::from(whole.max(1)));
    let units = u32::try_from(units).map_or(room, |units| units.min(room));
    if part > 0 { units.max(1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let shown = [0, 999, 1_000, 123_456, 1_234_567, u64::MAX].map(grouped);
        let expected = ["0", "999", "1,000", "123,456", "1,234,567", "18,446,744,073,709,551,615"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn one_is_not_several() {
        assert_eq!([counted(1, "event"), counted(0, "event")], ["1 event", "0 events"]);
        assert_eq!(counted(1_000, "batch"), "1,000 batches");
    }

    #[test]
    fn sizes_have_the_unit_that_makes_them_short() {
        let sizes = [0, 1_023, 1_024, 1_536, 102_348, 102_400, 1_048_575, 1_048_576, u64::MAX];
        let expected = [
            "0 B", "1,023 B", "1.0 KiB", "1.5 KiB", "99.9 KiB", "100 KiB", "1.0 MiB", "1.0 MiB",
            "16.0 EiB",
        ];
        assert_eq!(sizes.map(size), expected);
    }

    #[test]
    fn shares_are_rounded_and_what_is_there_is_not_nothing() {
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(2, 2), "100.0 %");
        assert_eq!(share(1, 1_000_000), "< 0.1 %");
        assert_eq!(share(0, 0), "0.0 %");
    }

    #[test]
    fn spans_are_told_in_two_units() {
        let second = SECOND_NS;
        let spans = [0, 850, 1_500, 2_000_000, 12 * second, 90 * second, 10_020 * second];
        let expected = ["0 ns", "850 ns", "1.5 µs", "2 ms", "12 s", "1 min 30 s", "2 h 47 min"];
        assert_eq!(spans.map(span), expected);
        assert_eq!(span(7 * 86_400 * second - 1), "6 d 23 h");
        assert_eq!(span(span_ns(Timestamp::MIN, Timestamp::MAX)), "584 y 343 d");
        assert_eq!(span_ns(Timestamp::MAX, Timestamp::MIN), 0);
    }

    #[test]
    fn times_have_the_digits_that_matter() {
        let at = Timestamp::from_nanos(1_517_966_773_840_000_001);
        assert_eq!(short_time(at), "2018-02-07T01:26:13Z");
        assert_eq!(time(at, 50_000_000), "2018-02-07T01:26:13.840Z");
        assert_eq!(time(at, 1), "2018-02-07T01:26:13.840000001Z");
    }

    #[test]
    fn what_is_there_shows_and_nothing_passes_the_room() {
        assert_eq!([scaled(0, 9, 40), scaled(1, 1 << 40, 40), scaled(9, 9, 40)], [0, 1, 40]);
        assert_eq!(scaled(u64::MAX, 1, u32::MAX), u32::MAX);
        assert_eq!(scaled(7, 0, 10), 10);
    }
}
