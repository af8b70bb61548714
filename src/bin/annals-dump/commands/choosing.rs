//! Which events a command prints, and how: what `events` and `tail` have in common.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use annals::inspect::{Inspection, Salvaged, Selection, TIME_FORMS, parse_time};
use annals::{Clock as _, Error, Options, Position, ReadOnlyStore, SystemClock, Timestamp};
use clap::{Args, ValueEnum};

use crate::commands::printer::Printer;
use crate::findings::{Finding, Stop, of_reading, tell};
use crate::output::Out;

/// The events to print.
#[derive(Args, Debug)]
pub(super) struct Chosen {
    /// The directory of the store
    pub(super) store: PathBuf,
    /// Print only events of this stream; may be given more than once
    #[arg(long, value_name = "NAME")]
    stream: Vec<String>,
    /// Print only events of streams whose names begin with this
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Print only events of this type; may be given more than once
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Vec<String>,
    /// Print only events at this position and later, in either direction
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,
    /// Print only events before this position, in either direction
    #[arg(long, value_name = "POSITION")]
    to: Option<Position>,
    /// Print only events recorded at this time or later: 2018-02-07T01:26:13Z, 2018-02-07, 2h ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Print only events recorded before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: EventFormat,
    /// Go on with what is appended, once it is durable
    #[arg(long, conflicts_with_all = ["to", "until", "keep_going"])]
    pub(super) follow: bool,
    /// Go on behind damage, and name what is lost on stderr
    #[arg(long)]
    pub(super) keep_going: bool,
}

/// How events are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum EventFormat {
    /// One line each, for people
    #[default]
    Text,
    /// One JSON object a line
    Jsonl,
    #[value(help = "One JSON object a line, by the JSON event format of CloudEvents 1.0")]
    Cloudevents,
    /// A line each, then the payload as hexdump shows bytes
    Hex,
    /// As JSON Lines of which nothing is lost: those of export
    #[value(skip)]
    Exact,
}

fn time(text: &str) -> Result<Timestamp, String> {
    parse_time(text, SystemClock.now()).map_err(|_| format!("expected {TIME_FORMS}"))
}

impl Chosen {
    /// What the arguments select, from the first to the last.
    pub(super) fn selection(&self) -> Selection {
        let mut selection = Selection::new();
        if !self.stream.is_empty() {
            selection = selection.streams(&self.stream);
        }
        if let Some(prefix) = &self.prefix {
            selection = selection.stream_prefix(prefix);
        }
        if !self.event_type.is_empty() {
            selection = selection.event_types(&self.event_type);
        }
        if let Some(position) = self.from {
            selection = selection.from(position);
        }
        if let Some(position) = self.to {
            selection = selection.to(position);
        }
        if let Some(time) = self.since {
            selection = selection.since(time);
        }
        if let Some(time) = self.until {
            selection = selection.until(time);
        }
        selection
    }

    /// The first position that is wanted.
    pub(super) fn from(&self) -> Position {
        self.from.unwrap_or_default()
    }

    /// Prints what of `store` is selected, past damage if that is wanted.
    pub(super) fn print(
        &self,
        store: &Inspection,
        selection: &Selection,
        out: &mut Out,
    ) -> Result<Vec<Finding>, Stop> {
        let mut printer = Printer::new(self.format, store.id(), out);
        if self.keep_going {
            return salvage(store, selection, &mut printer);
        }
        let stopped_by = printer.all(&mut store.select(selection))?;
        Ok(of_reading(store, stopped_by.as_slice()))
    }

    /// Prints what is selected, and what is appended from then on.
    pub(super) fn follow(
        &self,
        store: &ReadOnlyStore,
        selection: &Selection,
        out: &mut Out,
    ) -> Result<Vec<Finding>, Stop> {
        let mut selected = selection.of(store.read_all());
        let mut printer = Printer::new(self.format, store.id(), out);
        loop {
            if let Some(error) = printer.all(&mut selected)? {
                return Ok(vec![Finding::from(&error)]);
            }
            // Whoever reads is not kept waiting for what is there.
            printer.out.flush()?;
            if selected.is_over() {
                return Ok(Vec::new());
            }
            selected.wait(Duration::MAX)?;
        }
    }

    /// The store, to be followed.
    pub(super) fn open_to_follow(&self) -> Result<ReadOnlyStore, Stop> {
        Ok(Options::new().open_read_only(&self.store)?)
    }
}

/// Prints all that is sound, and says what is not while it comes to that.
pub(super) fn salvage(
    store: &Inspection,
    selection: &Selection,
    printer: &mut Printer<'_>,
) -> Result<Vec<Finding>, Stop> {
    let (mut written, mut exit_code) = (Ok(()), 0);
    let mut is_end_told = false;
    store.salvage(selection, |salvaged| match salvaged {
        Salvaged::Event(event) => {
            written = printer.print(event);
            if written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        Salvaged::Lost(damage) => {
            let finding = Finding::from(&damage.error);
            is_end_told |=
                store.damage().is_some_and(|at_end| is_same_place(at_end, &damage.error));
            exit_code = exit_code.max(finding.exit_code);
            let (start, end) = (damage.positions.start, damage.positions.end);
            let lost = match end.since(start) {
                0 => "no event is lost".to_owned(),
                1 => format!("event {start} is lost"),
                count => format!("{count} events are lost, {start}..{end}"),
            };
            tell(&format!("{}: {lost}", finding.text));
            ControlFlow::Continue(())
        }
    });
    written?;
    let mut findings = if is_end_told { Vec::new() } else { of_reading(store, &[]) };
    findings.push(Finding::told(exit_code));
    Ok(findings)
}

/// Whether two errors speak of the same byte, though they may expect something else there.
fn is_same_place(a: &Error, b: &Error) -> bool {
    let place = |error: &Error| match error {
        Error::Corrupt { segment, offset, .. } => Some((*segment, *offset)),
        _ => None,
    };
    place(a).is_some() && place(a) == place(b)
}
