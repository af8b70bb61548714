//! The parts of the page that are about segments and consumers.

use std::fmt::Write as _;

use crate::inspect::notation::{counted, grouped, share, short_time, size};
use crate::inspect::page::charts::{self, Ink};
use crate::inspect::page::html::{Side, card, name, nothing, table};
use crate::inspect::{ConsumerSummary, SegmentState, SegmentSummary, segment_file};
use crate::types::{Position, Timestamp};

/// The most segments that are listed.
const SEGMENTS_MAX: usize = 30;
/// The most segments that have a part of the strip of their own.
const PARTS_MAX: usize = 400;
/// The most consumers that are listed.
const CONSUMERS_MAX: usize = 200;

/// The segments whose headers could be read, of so many that there are.
pub(super) fn segments(segments: &[SegmentSummary], count: u64) -> String {
    if segments.is_empty() {
        let text = "No segment could be read.";
        return card("segments", "Segments", "", &nothing(text));
    }
    let whole = segments.iter().map(|segment| segment.file_len).sum::<u64>();
    let states = [SegmentState::Sealed, SegmentState::Full, SegmentState::Active];
    let told: Vec<_> = states
        .into_iter()
        .filter_map(|state| {
            let of_state = segments.iter().filter(|segment| segment.state == state).count();
            let of_state = u64::try_from(of_state).unwrap_or(u64::MAX);
            (of_state > 0).then_some((state, of_state))
        })
        .collect();
    let words: Vec<_> =
        told.iter().map(|(state, count)| format!("{} {state}", grouped(*count))).collect();
    let title = format!("A strip of the log's {}: {}", size(whole), words.join(", "));
    let strip = charts::strip(&parts(segments), &title);
    let mut keys = String::new();
    for (state, count) in &told {
        let _ = write!(keys, "<li>{} {}</li>", mark(*state), grouped(*count));
    }
    let hidden = segments.len().saturating_sub(SEGMENTS_MAX);
    let rows: Vec<_> = segments.iter().skip(hidden).map(segment_row).collect();
    let columns = [
        ("file", Side::Left),
        ("state", Side::Left),
        ("positions", Side::Right),
        ("events", Side::Right),
        ("size", Side::Right),
        ("first event", Side::Left),
        ("last event", Side::Left),
    ];
    let caption = match hidden {
        0 => "All segments".to_owned(),
        _ => format!("The last {} of {}", rows.len(), counted(count, "segment")),
    };
    let html = format!(
        "<figure class=\"strip\">\n{strip}\n<figcaption><ul class=\"keys\">{keys}</ul>\
         <p>drawn to scale by bytes</p></figcaption>\n</figure>\n{}",
        table("files", &caption, columns, &rows)
    );
    let mut aside = size(whole);
    if hidden > 0 {
        let _ = write!(aside, "; the last {} of {} are listed", rows.len(), grouped(count));
    }
    let read_count = u64::try_from(segments.len()).unwrap_or(u64::MAX);
    if count > read_count {
        let _ = write!(aside, "; {} could not be read", grouped(count - read_count));
    }
    card("segments", "Segments", &aside, &html)
}

/// What the strip is made of: the segments, or, if there are very many, those of a state that are
/// beside each other as one.
fn parts(segments: &[SegmentSummary]) -> Vec<(u64, Ink, String)> {
    let ink = |state| match state {
        SegmentState::Sealed => Ink::Sealed,
        SegmentState::Full => Ink::Full,
        SegmentState::Active => Ink::Active,
    };
    let joined = |segment: &SegmentSummary, other: &SegmentSummary| {
        segments.len() > PARTS_MAX && segment.state == other.state
    };
    let runs = segments.chunk_by(joined);
    runs.filter_map(|run| {
        let first = run.first()?;
        let len = run.iter().map(|segment| segment.file_len).sum();
        let what = match run.len() {
            1 => segment_file(first.first),
            many => format!("{many} segments from {}", segment_file(first.first)),
        };
        let tip = format!("{what}: {}, {}", first.state, size(len));
        Some((len, ink(first.state), tip))
    })
    .collect()
}

fn mark(state: SegmentState) -> String {
    format!("<span class=\"state-of {state}\">{state}</span>")
}

fn segment_row(segment: &SegmentSummary) -> [String; 7] {
    let time = |at: Option<Timestamp>| {
        at.map_or("–".to_owned(), |at| format!("<time>{}</time>", short_time(at)))
    };
    let last = segment.end.previous().filter(|last| *last >= segment.first);
    let positions = last.map_or("–".to_owned(), |last| {
        format!("{} – {}", grouped(segment.first.get()), grouped(last.get()))
    });
    [
        format!("<code>{}</code>", segment_file(segment.first)),
        mark(segment.state),
        positions,
        grouped(segment.event_count()),
        size(segment.file_len),
        time(segment.first_recorded_at),
        time(segment.last_recorded_at),
    ]
}

/// The consumers, and how far each has come in a log that ends at `end`.
pub(super) fn consumers(consumers: &[ConsumerSummary], end: Position) -> String {
    if consumers.is_empty() {
        let text = "No consumer keeps a place in this store.";
        return card("consumers", "Consumers", "", &nothing(text));
    }
    let shown = consumers.get(..CONSUMERS_MAX).unwrap_or(consumers);
    let rows: Vec<_> = shown.iter().map(|consumer| consumer_row(consumer, end)).collect();
    let columns = [
        ("consumer", Side::Left),
        ("behind", Side::Right),
        ("done", Side::Right),
        ("committed", Side::Right),
        ("pending", Side::Right),
        ("parked", Side::Right),
        ("committed at", Side::Left),
    ];
    let aside = match consumers.len() - shown.len() {
        0 => "bars show how much of the log is done".to_owned(),
        _ => format!("the first {} of {} are listed", shown.len(), consumers.len()),
    };
    let html = table("names", "Where the consumers are", columns, &rows);
    card("consumers", "Consumers", &aside, &html)
}

fn consumer_row(consumer: &ConsumerSummary, end: Position) -> [String; 7] {
    let done = end.get().saturating_sub(consumer.lag_event_count);
    let of_all = if end.get() == 0 { "–".to_owned() } else { share(done, end.get()) };
    let count = |count: usize| grouped(u64::try_from(count).unwrap_or(u64::MAX));
    [
        format!("{}{}", name(&consumer.name), charts::bar(done, end.get())),
        grouped(consumer.lag_event_count),
        of_all,
        grouped(consumer.committed.get()),
        count(consumer.pending_count),
        count(consumer.parked_count),
        format!("<time>{}</time>", short_time(consumer.committed_at)),
    ]
}
