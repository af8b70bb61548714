//! A store on one page of HTML.
//!
//! Owns what is on the page and in which order. What it looks like is in `page.css`. The page loads
//! nothing and runs nothing, and says so to the browser.

mod charts;
mod events;
mod files;
mod html;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;

use crate::error::Error;
use crate::inspect::notation::{counted, error_text, grouped, short_time, size, span, span_ns};
use crate::inspect::page::html::escape;
use crate::inspect::{ConsumerSummary, Inspection, NameCounts, SegmentSummary, Statistics};
use crate::types::Timestamp;

/// The most findings that are listed.
const FINDINGS_MAX: usize = 200;

const STYLE: &str = include_str!("page.css");

/// A store as one page of HTML, which needs nothing but itself: totals, events over time, by type, by
/// stream and by size, segments, consumers, and what is not as it should be.
///
/// `path` is what the page says the store's path is, and `made_at` when it was made. `statistics` and
/// `stopped_by` are what [`Inspection::statistics`] has given of `store`. Segments and consumers are
/// read by this function.
///
/// Returns the page, and each error that is told of on it but for [`Inspection::damage`]: `stopped_by`,
/// and those from reading segments and consumers.
///
/// Everything from the store is escaped. Of types and streams the 12 with most events are listed, of
/// segments the last 30, of consumers and of findings the first 200.
#[must_use]
pub fn report_page(
    store: &Inspection,
    path: &Path,
    made_at: Timestamp,
    statistics: &Statistics,
    stopped_by: Option<Error>,
) -> (String, Vec<Error>) {
    let mut errors = Vec::from_iter(stopped_by);
    let (mut segments, mut consumers) = (Vec::new(), Vec::new());
    for segment in store.segments() {
        match segment {
            Ok(segment) => segments.push(segment),
            Err(error) => errors.push(error),
        }
    }
    match store.consumers() {
        Ok((found, damaged)) => {
            consumers = found;
            errors.extend(damaged);
        }
        Err(error) => errors.push(error),
    }
    let mut said = HashSet::new();
    errors.retain(|error| said.insert(error.to_string()));
    let page = Page { store, path, made_at, statistics, segments, consumers };
    (page.html(&findings(&errors, store)), errors)
}

/// Something that whoever reads the page should know.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// It is not as it was written, or cannot be read.
    Bad(String),
    /// It is no damage.
    Note(String),
}

fn findings(errors: &[Error], store: &Inspection) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut told_before = HashSet::new();
    for error in errors.iter().chain(store.damage()) {
        let text = error_text(error);
        if told_before.insert(text.clone()) && told_before.len() <= FINDINGS_MAX {
            findings.push(Finding::Bad(text));
        }
    }
    if let Some(more) = told_before.len().checked_sub(FINDINGS_MAX).filter(|more| *more > 0) {
        findings.push(Finding::Bad(format!("and {more} more")));
    }
    if store.trailing_len() > 0 {
        findings.push(Finding::Note(format!(
            "{} after the end of the log are no whole batch: left by a crash, and cut when the \
             store is next opened, or just being written",
            counted(store.trailing_len(), "byte")
        )));
    }
    findings
}

/// What is on a page.
struct Page<'a> {
    store: &'a Inspection,
    path: &'a Path,
    made_at: Timestamp,
    statistics: &'a Statistics,
    segments: Vec<SegmentSummary>,
    consumers: Vec<ConsumerSummary>,
}

impl Page<'_> {
    fn html(&self, findings: &[Finding]) -> String {
        let mut html = self.head();
        self.push_header(&mut html, findings);
        html.push_str("<main>\n");
        push_findings(&mut html, findings);
        self.push_totals(&mut html);
        html.push_str(&events::over_time(self.statistics));
        html.push_str(&events::by_kind(self.statistics));
        html.push_str(&files::segments(&self.segments, self.statistics.segment_count));
        html.push_str(&files::consumers(&self.consumers, self.store.end()));
        html.push_str("</main>\n");
        let _ = write!(
            html,
            "<footer><p>Made by annals-dump {} at <time>{}</time>. Times are in UTC. Beside a \
             running application this is the log as it was then.</p></footer>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION"),
            short_time(self.made_at)
        );
        html
    }

    /// The last part of the path, or all of it if that has no name.
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(OsStr::new(""));
        let name = if name.is_empty() { self.path.as_os_str() } else { name };
        escape(&name.to_string_lossy())
    }

    fn head(&self) -> String {
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{} · annals</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
            self.name()
        )
    }

    fn push_header(&self, html: &mut String, findings: &[Finding]) {
        let is_bad = findings.iter().any(|finding| matches!(finding, Finding::Bad(_)));
        let (class, state) = match is_bad {
            true => ("bad", "damage found"),
            false if self.statistics.is_complete => ("good", "every event reads well"),
            false => ("", "not all events were read"),
        };
        let _ = write!(
            html,
            "<header class=\"head\">\n<p class=\"kind\">annals event store</p>\n\
             <h1><bdi>{}</bdi></h1>\n<p class=\"state {class}\">{state}</p>\n<dl class=\"facts\">\n\
             <div><dt>Path</dt><dd><bdi>{}</bdi></dd></div>\n\
             <div><dt>Id</dt><dd><code>{}</code></dd></div>\n\
             <div><dt>Created</dt><dd><time>{}</time></dd></div>\n</dl>\n</header>\n",
            self.name(),
            escape(&self.path.to_string_lossy()),
            self.store.id(),
            short_time(self.store.created_at())
        );
    }

    fn push_totals(&self, html: &mut String) {
        let of = self.statistics;
        let mean = of.payload_len.checked_div(of.event_count).unwrap_or(0);
        let at_least = if of.types.is_exact { "" } else { "≥ " };
        let largest = |counts: &NameCounts| {
            let count = counts.names.first().map_or(0, |name| name.event_count);
            format!("largest: {}", counted(count, "event"))
        };
        let (length, times) = match (of.first_recorded_at, of.last_recorded_at) {
            (Some(first), Some(last)) if first < last => {
                let day = |at| short_time(at).split('T').next().unwrap_or_default().to_owned();
                let (from, until) = (day(first), day(last));
                let whole = |day: &str| format!("<time>{day}</time>");
                let days = if from == until {
                    whole(&from)
                } else {
                    format!("{} to {}", whole(&from), whole(&until))
                };
                (span(span_ns(first, last)), days)
            }
            (Some(first), _) => ("one moment".to_owned(), short_time(first)),
            _ => ("–".to_owned(), "no event yet".to_owned()),
        };
        let figures = [
            ("Events", grouped(of.event_count), format!("in {}", counted(of.batch_count, "batch"))),
            ("Streams", grouped(of.streams.name_count), largest(&of.streams)),
            ("Types", format!("{at_least}{}", grouped(of.types.name_count)), largest(&of.types)),
            ("Payloads", size(of.payload_len), format!("{} an event", size(mean))),
            (
                "Log on disk",
                size(of.log_len),
                format!("in {}", counted(of.segment_count, "segment")),
            ),
            ("Time", length, times),
        ];
        html.push_str("<dl class=\"figures\" aria-label=\"Totals\">\n");
        for (name, figure, aside) in figures {
            let _ = writeln!(
                html,
                "<div><dt>{name}</dt><dd><strong>{figure}</strong><span>{aside}</span></dd></div>"
            );
        }
        html.push_str("</dl>\n");
    }
}

fn push_findings(html: &mut String, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let is_bad = findings.iter().any(|finding| matches!(finding, Finding::Bad(_)));
    let (class, heading) = if is_bad { ("bad", "Findings") } else { ("", "To know") };
    let _ = write!(html, "<section class=\"findings {class}\">\n<h2>{heading}</h2>\n<ul>\n");
    for finding in findings {
        let (Finding::Bad(text) | Finding::Note(text)) = finding;
        let _ = writeln!(html, "<li>{}</li>", escape(text));
    }
    html.push_str("</ul>\n");
    if is_bad {
        html.push_str(
            "<p>Counts and charts show what could be read before the first damage in the log.</p>\n",
        );
    }
    html.push_str("</section>\n");
}
