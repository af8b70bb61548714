//! `annals-dump`: shows what is in a store without touching it.
//!
//! Owns the arguments, the exit codes, and what goes to which stream. How a store is read and how
//! it is shown is in [`annals::inspect`]. `docs/dump.md` is the page for its users.

use std::error::Error as _;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use annals::inspect::{
    Inspection, consumer_table, json_line, segment_file, segment_table, stream_table, text_line,
};
use annals::{Error, Event, Position};
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  damage was found: what is sound was printed, and what is not is named on stderr
  2  wrong arguments
  3  not a store, or one of a newer format
  4  the operating system refused to read or to write";

/// Shows what is in an annals store, also beside a running application and if it is damaged.
///
/// Reads the files of the store and nothing else: takes no lock, uses no index, writes nothing.
#[derive(Debug, Parser)]
#[command(name = "annals-dump", version, after_help = EXIT_CODES, color = ColorChoice::Never)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints events, one a line, in the order of their positions
    #[command(after_help = "Example, the last three events of a stream, for jq:\n  \
        annals-dump events quakes.annals --stream us --reverse --limit 3 --format jsonl | jq .data")]
    Events(Events),
    /// Lists the streams with their counts, places, times and bytes, by reading all events
    #[command(after_help = "Example, the streams with most events first:\n  \
        annals-dump streams quakes.annals | sort --reverse --numeric-sort")]
    Streams(Input),
    /// Lists the segment files, by reading their headers and footers
    #[command(after_help = "Example:\n  annals-dump segments quakes.annals")]
    Segments(Input),
    /// Lists the consumers: how far each has committed, how far that is behind, what it has parked
    #[command(after_help = "Example:\n  annals-dump consumers shop.annals")]
    Consumers(Input),
}

#[derive(Args, Debug)]
struct Input {
    /// The directory of the store
    store: PathBuf,
    /// How to print: for people, or as one JSON object a line
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Jsonl,
}

#[derive(Args, Debug)]
struct Events {
    #[command(flatten)]
    input: Input,
    /// Print only events of this stream
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Begin before the event at this position; with --reverse, go back from there
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,
    /// Print at most so many events
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Print the newest events first
    #[arg(long)]
    reverse: bool,
}

/// Why printing ended early.
enum Stop {
    /// The store cannot be read at all.
    Store(Error),
    /// Standard output takes no more.
    Output(io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// What is to be said on stderr once all that is sound has been printed.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    text: String,
    exit_code: u8,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = run(&arguments.command, &mut out);
    let flushed = out.flush();
    let findings = match printed.and_then(|findings| Ok(flushed.map(|()| findings)?)) {
        Ok(findings) => findings,
        Err(Stop::Store(error)) => vec![Finding::from(&error)],
        // Whoever reads has had enough, as `head` does.
        Err(Stop::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Vec::new(),
        Err(Stop::Output(error)) => {
            let text = format!("cannot write to standard output: {error}");
            vec![Finding { text, exit_code: 4 }]
        }
    };
    let mut said = io::stderr().lock();
    for finding in &findings {
        // If stderr cannot be written to there is no one left to tell.
        let _ = writeln!(said, "annals-dump: {}", finding.text);
    }
    ExitCode::from(findings.iter().map(|finding| finding.exit_code).max().unwrap_or(0))
}

fn run(command: &Command, out: &mut impl Write) -> Result<Vec<Finding>, Stop> {
    let (Command::Events(Events { input, .. })
    | Command::Streams(input)
    | Command::Segments(input)
    | Command::Consumers(input)) = command;
    let store = Inspection::open(&input.store)?;
    let errors = match command {
        Command::Events(events) => print_events(&store, events, out)?,
        Command::Streams(_) => print_streams(&store, input.format, out)?,
        Command::Segments(_) => print_segments(&store, input.format, out)?,
        Command::Consumers(_) => print_consumers(&store, input.format, out)?,
    };
    Ok(findings(&errors, store.damage(), store.trailing_len()))
}

fn print_events(
    store: &Inspection,
    events: &Events,
    out: &mut impl Write,
) -> Result<Vec<Error>, Stop> {
    let mut cursor = store.events();
    if let Some(position) = events.from {
        cursor = cursor.from(position);
    }
    if events.reverse {
        cursor = cursor.backwards();
    }
    let is_wanted = |event: &Event| events.stream.as_ref().is_none_or(|of| event.stream() == of);
    let wanted = cursor.filter(|event| event.as_ref().map_or(true, is_wanted));
    for event in wanted.take(events.limit.unwrap_or(usize::MAX)) {
        let line = match (event, events.input.format) {
            (Err(error), _) => return Ok(vec![error]),
            (Ok(event), Format::Text) => text_line(&event),
            (Ok(event), Format::Jsonl) => json_line(&event),
        };
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(Vec::new())
}

fn print_streams(
    store: &Inspection,
    format: Format,
    out: &mut impl Write,
) -> Result<Vec<Error>, Stop> {
    let (streams, stopped_by) = store.streams();
    match format {
        Format::Text => out.write_all(stream_table(&streams).as_bytes())?,
        Format::Jsonl => {
            for stream in &streams {
                writeln!(out, "{}", stream.json_line())?;
            }
        }
    }
    Ok(stopped_by.into_iter().collect())
}

fn print_segments(
    store: &Inspection,
    format: Format,
    out: &mut impl Write,
) -> Result<Vec<Error>, Stop> {
    let (mut segments, mut errors) = (Vec::new(), Vec::new());
    for segment in store.segments() {
        match segment {
            Ok(segment) => segments.push(segment),
            Err(error) => errors.push(error),
        }
    }
    match format {
        Format::Text => out.write_all(segment_table(&segments).as_bytes())?,
        Format::Jsonl => {
            for segment in &segments {
                writeln!(out, "{}", segment.json_line())?;
            }
        }
    }
    Ok(errors)
}

fn print_consumers(
    store: &Inspection,
    format: Format,
    out: &mut impl Write,
) -> Result<Vec<Error>, Stop> {
    let (consumers, errors) = store.consumers()?;
    match format {
        Format::Text => out.write_all(consumer_table(&consumers).as_bytes())?,
        Format::Jsonl => {
            for consumer in &consumers {
                writeln!(out, "{}", consumer.json_line())?;
            }
        }
    }
    Ok(errors)
}

/// What is to be said of what reading has come upon, and of what was found before at the end of
/// the log.
fn findings(errors: &[Error], damage: Option<&Error>, trailing_len: u64) -> Vec<Finding> {
    let mut findings: Vec<_> = errors.iter().chain(damage).map(Finding::from).collect();
    findings.dedup();
    if findings.is_empty() && trailing_len > 0 {
        let text = format!(
            "note: the last {trailing_len} bytes are no whole batch: left by a crash, and cut when \
             the store is next opened, or just being written"
        );
        findings.push(Finding { text, exit_code: 0 });
    }
    findings
}

impl From<&Error> for Finding {
    /// Says what went wrong, where, and why.
    fn from(error: &Error) -> Self {
        let mut text = error.to_string();
        if let Error::Corrupt { segment, .. } = error {
            text.extend([" (", &segment_file(*segment), ")"]);
        }
        let mut cause = error.source();
        while let Some(error) = cause {
            text.extend([": ", &error.to_string()]);
            cause = error.source();
        }
        Self { text, exit_code: exit_code(error) }
    }
}

fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Corrupt { .. } | Error::CorruptFile { .. } => 1,
        Error::NotAStore { .. } | Error::NewerFormat { .. } => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn corrupt(offset: u64) -> Error {
        Error::Corrupt { segment: Position::new(7), offset, expected: "a whole record" }
    }

    #[test]
    fn the_arguments_hang_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn damage_is_said_once_with_its_file() {
        let found = findings(&[corrupt(64)], Some(&corrupt(64)), 40);
        let text = "segment 7 is corrupt at byte 64: expected a whole record \
                    (log/00000000000000000007.seg)";
        assert_eq!(found, [Finding { text: text.to_owned(), exit_code: 1 }]);
        assert_eq!(findings(&[corrupt(64)], Some(&corrupt(80)), 0).len(), 2);
    }

    #[test]
    fn a_cause_is_named() {
        let source = io::Error::other("the cable is out");
        let error = Error::Io { operation: "read", path: "a/b".into(), source };
        let text = "cannot read a/b: the cable is out".to_owned();
        assert_eq!(Finding::from(&error), Finding { text, exit_code: 4 });
    }

    #[test]
    fn bytes_after_the_end_are_a_note_and_no_damage() {
        let [note] = &findings(&[], None, 40)[..] else { panic!("one note") };
        assert!(note.text.starts_with("note: the last 40 bytes are no whole batch"));
        assert_eq!(note.exit_code, 0);
        assert_eq!(findings(&[], None, 0), []);
    }
}
