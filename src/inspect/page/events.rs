//! The parts of the page that are about events.

use std::fmt::Write as _;

use crate::inspect::notation::{counted, grouped, power_size, share, size, span, span_ns, time};
use crate::inspect::page::charts::{self, Column, Ink};
use crate::inspect::page::html::{Side, card, name, nothing, table};
use crate::inspect::{NameCount, NameCounts, SizeStep, Statistics};
use crate::types::Timestamp;

/// The most types, and streams, that are listed.
const NAMES_MAX: usize = 12;
/// Rows of a table that a chart takes the room of.
const CHART_ROWS: usize = 5;
/// The most sizes that are written below a chart.
const SIZES_MAX: usize = 7;

/// A chart with numbers at its lines, and `below` it what its columns are.
fn figure(columns: &[Column], title: &str, below: &str) -> String {
    let chart = charts::columns(columns, title);
    let labels: Vec<_> =
        chart.lines.iter().map(|(height, number)| (*height, grouped(*number))).collect();
    let width = labels.iter().map(|(_, label)| label.len()).max().unwrap_or(1);
    let mut html = format!(
        "<figure class=\"chart\" style=\"--label:{width}ch\">\n<div class=\"plot\">\n{}\n\
         <div class=\"lines\" aria-hidden=\"true\"><span style=\"bottom:0\">0</span>",
        chart.svg
    );
    for (height, label) in labels {
        let (percent, tenth) = (height / 10, height % 10);
        let _ = write!(html, "<span style=\"bottom:{percent}.{tenth}%\">{label}</span>");
    }
    let _ = write!(html, "</div>\n</div>\n{below}\n</figure>");
    html
}

/// Events over time.
pub(super) fn over_time(statistics: &Statistics) -> String {
    let steps = &statistics.over_time;
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else {
        return card("time", "Events over time", "", &nothing("There are no events yet."));
    };
    let step_ns = span_ns(first.from, first.until);
    let read_until = match statistics.last_recorded_at {
        Some(last) if !statistics.is_complete => last,
        _ => Timestamp::MAX,
    };
    let columns: Vec<_> = steps
        .iter()
        .map(|step| {
            let (events, payloads) = (counted(step.event_count, "event"), size(step.payload_len));
            let from = time(step.from, step_ns);
            let (tip, behind) = match step.from {
                begins if begins > read_until => (format!("from {from}: not read"), Ink::Lost),
                _ => (format!("from {from}: {events}, {payloads}"), Ink::Tip),
            };
            Column { value: step.event_count, tip, behind }
        })
        .collect();
    let most = steps.iter().map(|step| step.event_count).max().unwrap_or(0);
    let (from, until) = (time(first.from, step_ns), time(last.until, step_ns));
    let title = format!(
        "Columns: {} from {from} to {until}, at most {} in a step of {}",
        counted(statistics.event_count, "event"),
        grouped(most),
        span(step_ns)
    );
    let middle = steps.get(steps.len() / 2).filter(|_| steps.len() > 2);
    let middle = middle.map_or(String::new(), |step| time(step.from, step_ns));
    let below = match steps.len() {
        1 => format!("<p class=\"below one\"><time>{from}</time></p>"),
        _ => format!(
            "<p class=\"below\"><time>{from}</time><time>{middle}</time><time>{until}</time></p>"
        ),
    };
    let unread = if last.from > read_until { "; what could not be read is tinted" } else { "" };
    let aside = format!("in steps of {}{unread}", span(step_ns));
    card("time", "Events over time", &aside, &figure(&columns, &title, &below))
}

/// Events by the size of their payloads.
fn by_size(statistics: &Statistics) -> String {
    let steps = &statistics.payload_sizes;
    let Some(largest) = steps.last() else {
        return card("sizes", "Payload sizes", "", &nothing("There are no events yet."));
    };
    let columns: Vec<_> = steps
        .iter()
        .map(|step| {
            let tip = format!("{}: {}", sizes(step), counted(step.event_count, "event"));
            Column { value: step.event_count, tip, behind: Ink::Tip }
        })
        .collect();
    let most = steps.iter().max_by_key(|step| step.event_count).unwrap_or(largest);
    let title = format!(
        "Columns: events by the size of their payloads. Most, {}, have {}",
        grouped(most.event_count),
        sizes(most)
    );
    let every = steps.len().div_ceil(SIZES_MAX).max(1);
    let mut below = String::from("<p class=\"below ticks\" aria-hidden=\"true\">");
    for (n, step) in steps.iter().enumerate() {
        let label = match step.from_len {
            _ if n % every != 0 => String::new(),
            0 => "empty".to_owned(),
            len => power_size(len),
        };
        let _ = write!(below, "<span>{label}</span>");
    }
    below.push_str("</p>");
    let aside = "each column up to twice the size it begins with";
    card("sizes", "Payload sizes", aside, &figure(&columns, &title, &below))
}

fn sizes(step: &SizeStep) -> String {
    match (step.from_len, step.until_len) {
        (0, _) => "no bytes".to_owned(),
        (1, _) => "1 byte".to_owned(),
        (from, until) => format!("{} to less than {}", power_size(from), power_size(until)),
    }
}

/// Events by type, by stream and by size. Types and streams are side by side where there is room, and
/// sizes below, or below the types if those are few.
pub(super) fn by_kind(statistics: &Statistics) -> String {
    let all = statistics.event_count;
    let types = names("Types", "type", &statistics.types, all);
    let streams = names("Streams", "stream", &statistics.streams, all);
    let sizes = by_size(statistics);
    let rows = |counts: &NameCounts| counts.names.len().min(NAMES_MAX);
    if rows(&statistics.types) + CHART_ROWS <= rows(&statistics.streams) {
        format!(
            "<div class=\"pair\">\n<div class=\"stack\">\n{types}{sizes}</div>\n{streams}</div>\n"
        )
    } else {
        format!("<div class=\"pair\">\n{types}{streams}</div>\n{sizes}")
    }
}

fn names(heading: &str, what: &str, counts: &NameCounts, all: u64) -> String {
    let shown = counts.names.get(..NAMES_MAX).unwrap_or(&counts.names);
    let most = shown.iter().map(|name| name.event_count).max().unwrap_or(0);
    if shown.is_empty() {
        return card("names", heading, "", &nothing("There are no events yet."));
    }
    let shown_count = u64::try_from(shown.len()).unwrap_or(u64::MAX);
    let rest = counts.name_count.saturating_sub(shown_count);
    let mut rows: Vec<_> = shown.iter().map(|name| row(name, most, all)).collect();
    if rest > 0 && counts.is_exact {
        let of = |count: fn(&NameCount) -> u64| {
            counts.names.iter().skip(shown.len()).map(count).sum::<u64>()
        };
        let (event_count, payload_len) = (of(|name| name.event_count), of(|name| name.payload_len));
        rows.push([
            format!("<span class=\"rest\">{} more</span>", grouped(rest)),
            grouped(event_count),
            share(event_count, all),
            size(payload_len),
        ]);
    }
    let columns = [
        (what, Side::Left),
        ("events", Side::Right),
        ("of all", Side::Right),
        ("payloads", Side::Right),
    ];
    let caption = format!("{heading} with most events");
    let mut html = table("names", &caption, columns, &rows);
    if !counts.is_exact {
        html.push_str(
            "\n<p class=\"note\">There are too many names to count each of them: counts with ≥ are at \
             least so large.</p>",
        );
    }
    let aside = if rest > 0 {
        format!("{} of {} with most events", grouped(shown_count), grouped(counts.name_count))
    } else {
        String::new()
    };
    card("names", heading, &aside, &html)
}

fn row(of: &NameCount, most: u64, all: u64) -> [String; 4] {
    let at_least = if of.event_count == of.event_count_max { "" } else { "≥ " };
    [
        format!("{}{}", name(&of.name), charts::bar(of.event_count, most)),
        format!("{at_least}{}", grouped(of.event_count)),
        format!("{at_least}{}", share(of.event_count, all)),
        format!("{at_least}{}", size(of.payload_len)),
    ]
}
