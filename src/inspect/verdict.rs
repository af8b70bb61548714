//! What a check of a store has found, as text and as JSON Lines.

use std::fmt::Write as _;
#[cfg(feature = "json")]
use std::ops::Range;
#[cfg(feature = "json")]
use std::path::Path;

use crate::error::Error;
use crate::inspect::notation::escaped;
#[cfg(feature = "json")]
use crate::inspect::notation::{Object, Quoted, error_text};
use crate::inspect::segment_file;
#[cfg(feature = "json")]
use crate::log::CONSUMERS;
#[cfg(feature = "json")]
use crate::types::Position;
use crate::verify::{Damage, Report};

/// What a check has found, for people: a line for each damage, then one that sums up, with line
/// feeds.
#[must_use]
pub fn report_text(report: &Report) -> String {
    let mut text = String::new();
    for damage in &report.damages {
        text += &damage_text(damage);
    }
    let told = u64::try_from(report.damages.len()).unwrap_or(u64::MAX);
    if report.damage_count > told {
        let _ = writeln!(text, "and {} more", report.damage_count - told);
    }
    let verdict = match (report.damage_count, report.is_complete) {
        (0, true) => "sound".to_owned(),
        (0, false) => "not checked to the end".to_owned(),
        (count, _) => counted(count, "damage"),
    };
    let Report { end, event_count, segment_count, sealed_count, .. } = report;
    let _ = writeln!(
        text,
        "{verdict}: {event_count} of {end} events read in {}, {sealed_count} of them sealed",
        counted(*segment_count, "segment")
    );
    text
}

/// So many of what is called `what`.
fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn damage_text(damage: &Damage) -> String {
    let mut text = format!("damage: {}", escaped(&damage.error.to_string()));
    if let Error::Corrupt { segment, .. } = &damage.error {
        let _ = write!(text, " ({})", segment_file(*segment));
    }
    let (start, end) = (damage.positions.start, damage.positions.end);
    match end.since(start) {
        0 => {}
        1 => {
            let _ = write!(text, "; event {start} cannot be read");
        }
        count => {
            let last = end.get() - 1;
            let _ = write!(text, "; {count} events cannot be read, {start} to {last}");
        }
    }
    text.push('\n');
    text
}

#[cfg(feature = "json")]
impl Damage {
    /// The damage as one line of JSON, without a line feed, with the fields `v`, `finding`
    /// (`damage`), `file`, `offset` (bytes in it; `null` if that is not known), `expected` or
    /// `error`, and `positions`: the first position that cannot be read for that reason and the one
    /// after the last, equal if all can.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut line = String::new();
        let mut object = Object::versioned(&mut line);
        object.value("finding", Quoted("damage"));
        match &self.error {
            Error::Corrupt { segment, offset, expected } => {
                object.string("file", &segment_file(*segment));
                object.number("offset", *offset);
                object.string("expected", expected);
            }
            Error::CorruptFile { path, expected } => {
                object.string("file", &in_store(path));
                object.value("offset", "null");
                object.string("expected", expected);
            }
            other => {
                object.value("file", "null");
                object.value("offset", "null");
                object.string("error", &error_text(other));
            }
        }
        push_positions(&mut object, &self.positions);
        object.finish();
        line
    }
}

/// The name of a file in its store, whose folders are not more than one deep.
#[cfg(feature = "json")]
fn in_store(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().and_then(Path::file_name).filter(|folder| *folder == CONSUMERS);
    folder.map_or_else(|| name.clone().into_owned(), |_| format!("{CONSUMERS}/{name}"))
}

#[cfg(feature = "json")]
fn push_positions(object: &mut Object<'_>, positions: &Range<Position>) {
    object.value("positions", format_args!("[{},{}]", positions.start, positions.end));
}

#[cfg(feature = "json")]
impl Report {
    /// What sums up the check as one line of JSON, without a line feed, with the fields `v`,
    /// `finding` (`summary`), `is_sound`, `is_complete`, `end_position`, `event_count`,
    /// `segment_count`, `sealed_count` and `damage_count`.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut line = String::new();
        let mut object = Object::versioned(&mut line);
        object.value("finding", Quoted("summary"));
        object.value("is_sound", self.is_sound());
        object.value("is_complete", self.is_complete);
        object.number("end_position", self.end.get());
        object.number("event_count", self.event_count);
        object.number("segment_count", self.segment_count);
        object.number("sealed_count", self.sealed_count);
        object.number("damage_count", self.damage_count);
        object.finish();
        line
    }
}
