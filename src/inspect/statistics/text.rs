//! Statistics as text for people, with bars of block characters, 80 columns wide.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::inspect::notation::{
    counted, escaped, grouped, power_size, scaled, short_time, size, span, span_ns, time,
};
use crate::inspect::{NameCounts, Statistics, TimeStep};
use crate::types::Timestamp;

/// Eighths of a block, from the left.
const LYING: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
/// Eighths of a block, from the bottom.
const STANDING: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
const FULL: char = '█';

/// Lines of the columns over time.
const COLUMN_HEIGHT: u32 = 6;
/// Characters of the longest bar.
const BAR_WIDTH: u32 = 40;
/// Characters of the longest bar that a name stands after.
const NAMED_BAR_WIDTH: u32 = 24;
/// Columns of a count, or of what stands before bars.
const LABEL_WIDTH: usize = 14;
/// Columns of a name.
const NAME_WIDTH: usize = 38;

/// Whether charts have colours, which they choose themselves. For lines of events the caller chooses them,
/// with [`TextStyles`](crate::inspect::TextStyles).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Paint {
    /// It has none.
    Plain,
    /// Bars and headings do, by ANSI escape sequences.
    Colored,
}

impl Paint {
    fn bar(self, text: &str) -> String {
        self.painted(text, AnsiColor::Cyan.on_default())
    }

    fn heading(self, text: &str) -> String {
        self.painted(text, Style::new().bold())
    }

    fn aside(self, text: &str) -> String {
        self.painted(text, Style::new().dimmed())
    }

    fn painted(self, text: &str, style: Style) -> String {
        match self {
            Self::Colored if !text.is_empty() => format!("{style}{text}{style:#}"),
            _ => text.to_owned(),
        }
    }
}

/// Statistics as text for people: totals, then bars for events over time, sizes of payloads, and the
/// `top` types and streams with most events. With line feeds; no line is wider than 80 columns.
///
/// Characters in names are escaped as in [`text_line`](crate::inspect::text_line), and long names
/// are cut.
#[must_use]
pub fn statistics_text(statistics: &Statistics, top: usize, paint: Paint) -> String {
    let mut text = String::new();
    push_totals(&mut text, statistics, paint);
    if statistics.event_count > 0 {
        push_over_time(&mut text, &statistics.over_time, paint);
        push_sizes(&mut text, statistics, paint);
    }
    push_names(&mut text, "types", &statistics.types, top, paint);
    push_names(&mut text, "streams", &statistics.streams, top, paint);
    text
}

fn push_totals(text: &mut String, of: &Statistics, paint: Paint) {
    let at_least = if of.types.is_exact { "" } else { "≥ " };
    let mut rows = vec![
        ("events", grouped(of.event_count)),
        ("batches", grouped(of.batch_count)),
        ("streams", grouped(of.streams.name_count)),
        ("types", format!("{at_least}{}", grouped(of.types.name_count))),
        ("payloads", size(of.payload_len)),
        (
            "log on disk",
            format!("{} in {}", size(of.log_len), counted(of.segment_count, "segment")),
        ),
    ];
    if let (Some(first), Some(last)) = (of.first_recorded_at, of.last_recorded_at) {
        rows.push(("first event", short_time(first)));
        rows.push(("last event", format!("{}, {} later", short_time(last), between(first, last))));
    }
    for (name, value) in rows {
        let _ = writeln!(text, "{}{value}", paint.aside(&format!("{name:<LABEL_WIDTH$}")));
    }
}

fn between(first: Timestamp, last: Timestamp) -> String {
    span(span_ns(first, last))
}

/// Columns from left to right, with the greatest number at their side.
fn push_over_time(text: &mut String, steps: &[TimeStep], paint: Paint) {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return };
    let step_ns = span_ns(first.from, first.until);
    let title = format!("events over time, in steps of {}", span(step_ns));
    let _ = writeln!(text, "\n{}", paint.heading(&title));
    let most = steps.iter().map(|step| step.event_count).max().unwrap_or(0);
    let heights: Vec<_> =
        steps.iter().map(|step| scaled(step.event_count, most, COLUMN_HEIGHT * 8)).collect();
    for line in (0..COLUMN_HEIGHT).rev() {
        let columns: String = heights.iter().map(|height| part(*height, line, STANDING)).collect();
        let label = if line + 1 == COLUMN_HEIGHT { grouped(most) } else { String::new() };
        let label = paint.aside(&format!("{label:>LABEL_WIDTH$} │"));
        let _ = writeln!(text, "{label}{}", paint.bar(columns.trim_end()));
    }
    let axis = format!("{:>LABEL_WIDTH$} └{}", 0, "─".repeat(steps.len()));
    let _ = writeln!(text, "{}", paint.aside(&axis));
    let (from, until) = (time(first.from, step_ns), time(last.until, step_ns));
    let room = steps.len().saturating_sub(from.len());
    // A few steps have no room below them for two times.
    let until = if room > until.len() { format!("{until:>room$}") } else { String::new() };
    let times = format!("{:LABEL_WIDTH$}  {from}{until}", "");
    let _ = writeln!(text, "{}", paint.aside(&times));
}

fn push_sizes(text: &mut String, of: &Statistics, paint: Paint) {
    let _ = writeln!(text, "\n{}", paint.heading("payload sizes"));
    let most = of.payload_sizes.iter().map(|step| step.event_count).max().unwrap_or(0);
    for step in &of.payload_sizes {
        let label = match step.from_len {
            0 => "empty".to_owned(),
            len => format!("from {}", power_size(len)),
        };
        let label = paint.aside(&format!("{label:>LABEL_WIDTH$}"));
        let bar = lying(step.event_count, most, BAR_WIDTH);
        let count = grouped(step.event_count);
        let line = format!("{label} {count:>LABEL_WIDTH$} {}", paint.bar(&bar));
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn push_names(text: &mut String, what: &str, of: &NameCounts, top: usize, paint: Paint) {
    let shown = of.names.get(..top).unwrap_or(&of.names);
    if shown.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", paint.heading(&format!("{what} with most events")));
    let most = shown.iter().map(|name| name.event_count).max().unwrap_or(0);
    for name in shown {
        let is_exact = name.event_count == name.event_count_max;
        let mark = if is_exact { "" } else { "≥ " };
        let count = format!("{mark}{}", grouped(name.event_count));
        let bar = lying(name.event_count, most, NAMED_BAR_WIDTH);
        let room = usize::try_from(NAMED_BAR_WIDTH).unwrap_or(0);
        let bar = paint.bar(&format!("{bar:<room$}"));
        let shown = cut(&escaped(&name.name), NAME_WIDTH);
        let _ = writeln!(text, "{count:>LABEL_WIDTH$} {bar} {shown}");
    }
    let shown_count = u64::try_from(shown.len()).unwrap_or(u64::MAX);
    let rest = of.name_count.saturating_sub(shown_count);
    if rest > 0 {
        let at_least = if of.is_exact || what == "streams" { "" } else { "at least " };
        let line = format!("{:>LABEL_WIDTH$} {at_least}{} more {what}", "", grouped(rest));
        let _ = writeln!(text, "{}", paint.aside(&line));
    }
    if !of.is_exact {
        let note = format!("{:>LABEL_WIDTH$} too many {what} to count each exactly", "");
        let _ = writeln!(text, "{}", paint.aside(&note));
    }
}

/// A bar from the left.
fn lying(part_count: u64, most: u64, width: u32) -> String {
    let eighths = scaled(part_count, most, width * 8);
    let bar: String = (0..width).map(|place| part(eighths, place, LYING)).collect();
    bar.trim_end().to_owned()
}

/// The character at `place` of a bar of so many eighths.
fn part(eighths: u32, place: u32, parts: [char; 7]) -> char {
    match eighths.saturating_sub(place * 8) {
        0 => ' ',
        left => usize::try_from(left - 1).ok().and_then(|n| parts.get(n)).copied().unwrap_or(FULL),
    }
}

/// As much of `text` as has room in so many columns.
fn cut(text: &str, width: usize) -> String {
    if text.chars().map(columns).sum::<usize>() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let fits = |c: &char| {
        let left = room.checked_sub(columns(*c));
        room = left.unwrap_or(0);
        left.is_some()
    };
    let mut start: String = text.chars().take_while(fits).collect();
    start.push('…');
    start
}

/// Columns of a character in a terminal: two in the scripts and pictures that are wide, one
/// otherwise. Of characters that join the one before it says too much.
fn columns(c: char) -> usize {
    let is_wide = matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}');
    if is_wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_part_of_the_longest_to_an_eighth() {
        assert_eq!(lying(0, 80, 10), "");
        assert_eq!(lying(1, 80, 10), "▏");
        assert_eq!(lying(12, 80, 10), "█▌");
        assert_eq!(lying(80, 80, 10), "█".repeat(10));
        assert_eq!(lying(1, u64::MAX, 10), "▏", "what is there shows");
    }

    #[test]
    fn names_are_cut_by_their_columns() {
        assert_eq!(cut("cart-42", 7), "cart-42");
        assert_eq!(cut("cart-42!", 7), "cart-4…");
        assert_eq!(cut("購物車", 6), "購物車");
        assert_eq!(cut("購物車", 5), "購物…");
        assert_eq!(cut("購物車", 4), "購…");
        assert_eq!(cut("a購物車", 4), "a購…");
    }

    #[test]
    fn colours_are_there_only_if_they_are_wanted() {
        assert_eq!(Paint::Plain.bar("█"), "█");
        assert_eq!(Paint::Colored.bar("█"), "\u{1b}[36m█\u{1b}[0m");
        assert_eq!(Paint::Colored.bar(""), "");
    }
}
