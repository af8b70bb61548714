//! `import`: JSON Lines into a store.

use std::io::{self, BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use annals::transfer::{CloudEvents, Import as Importing, LineFormat, PlainLines, TimeUnit};
use annals::{Options, Store};
use clap::{Args, ValueEnum};

use crate::findings::{Finding, REFUSED, Stop};
use crate::output::Out;
use crate::progress::Bar;

/// Bytes that are read at once.
const READ_LEN: usize = 256 << 10;
/// The most bytes of a payload that a store takes, whatever its application allows itself.
const PAYLOAD_LEN_MAX: u32 = 1 << 30;
/// For the index, so that memory stays small however large the store becomes.
const INDEX_CACHE_LEN: u64 = 8 << 20;
const READ_CACHE_LEN: u64 = 2 << 20;
const CHECKPOINT_EVENT_COUNT: u64 = 64 << 10;

/// Appends events from JSON Lines to a store, which is created if there is none
///
/// Ended by whatever, it goes on where it was when it is begun again: lines whose events are in the
/// store already, from the first line on, are passed over. A file that grows can be imported now and
/// then.
#[derive(Args, Debug)]
#[command(after_help = "Examples, a copy of a store, and a log with one JSON object a line:\n  \
    annals-dump export shop.annals | annals-dump import copy.annals\n  \
    annals-dump import web.annals access.jsonl --format plain --stream-field user.id \\\n      \
        --type GET --time-field at")]
pub(crate) struct Import {
    /// The directory of the store
    store: PathBuf,
    /// The file to read; standard input if there is none, or -
    input: Option<PathBuf>,
    /// What the lines are: of export, CloudEvents, or JSON objects of any kind
    #[arg(long, value_enum, default_value_t)]
    format: InputFormat,
    /// Of export: give events the positions and revisions that come next, whatever theirs were
    #[arg(long)]
    renumber: bool,
    /// The field that names the stream, such as user.id. Of CloudEvents, subject or else source
    #[arg(long, value_name = "FIELD", conflicts_with = "stream")]
    stream_field: Option<String>,
    /// Of plain lines: one stream for all
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Of plain lines: the field that names the type
    #[arg(long, value_name = "FIELD", conflicts_with = "type_name")]
    type_field: Option<String>,
    /// Of plain lines: one type for all [default: line]
    #[arg(long = "type", value_name = "NAME")]
    type_name: Option<String>,
    /// Of plain lines: the field with the time. Without it, events are recorded now
    #[arg(long, value_name = "FIELD")]
    time_field: Option<String>,
    /// What times are: RFC 3339, or numbers of these units since 1970
    #[arg(long, value_enum, value_name = "UNIT", default_value_t, requires = "time_field")]
    time_unit: Unit,
    /// Of plain lines: the name by which these lines are known again [default: the path of the file]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The most bytes of a segment file, and so of a batch [default: 128 MiB]
    #[arg(long, value_name = "BYTES")]
    segment_len: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    #[default]
    Jsonl,
    Cloudevents,
    Plain,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Unit {
    #[default]
    Rfc3339,
    S,
    Ms,
    Us,
    Ns,
}

impl From<Unit> for TimeUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Rfc3339 => Self::Rfc3339,
            Unit::S => Self::Seconds,
            Unit::Ms => Self::Millis,
            Unit::Us => Self::Micros,
            Unit::Ns => Self::Nanos,
        }
    }
}

impl Import {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let mut import = Importing::new(self.line_format()?);
        if self.renumber {
            import = import.renumbered();
        }
        // A file that cannot be read is no reason to create a store.
        let (input, len) = self.open_input()?;
        let store = self.open_to_write()?;
        let bar = Bar::new("importing", len);
        let imported = import.run_watched(&store, input, |progress| {
            bar.set(progress.read_len);
            ControlFlow::Continue(())
        });
        bar.finish();
        let closed = store.close();
        out.line(&said(&import))?;
        imported?;
        closed?;
        Ok(Vec::new())
    }

    fn line_format(&self) -> Result<LineFormat, Stop> {
        if self.renumber && self.format != InputFormat::Jsonl {
            return Err(Finding::usage("only lines of export have numbers to be changed").into());
        }
        match self.format {
            InputFormat::Jsonl => {
                self.refuse_options_of_plain()?;
                Ok(LineFormat::Exact)
            }
            InputFormat::Cloudevents => {
                self.refuse_options_of_plain()?;
                let cloud = CloudEvents::new();
                Ok(LineFormat::CloudEvents(match &self.stream_field {
                    Some(path) => cloud.stream_field(path),
                    None => cloud,
                }))
            }
            InputFormat::Plain => self.plain_lines().map(LineFormat::Plain),
        }
    }

    fn refuse_options_of_plain(&self) -> Result<(), Stop> {
        let has_field = self.stream_field.is_some() && self.format == InputFormat::Jsonl;
        let is_given = has_field
            || self.stream.is_some()
            || self.type_field.is_some()
            || self.type_name.is_some()
            || self.time_field.is_some()
            || self.source.is_some();
        if !is_given {
            return Ok(());
        }
        let text = "streams, types and times of these lines stand in them: options that name fields, \
                    and --source, are for --format plain";
        Err(Finding::usage(text).into())
    }

    fn plain_lines(&self) -> Result<PlainLines, Stop> {
        let lines = match (&self.stream_field, &self.stream) {
            (Some(path), _) => PlainLines::by_stream_field(path),
            (None, Some(name)) => PlainLines::in_stream(name),
            (None, None) => {
                return Err(
                    Finding::usage("--format plain needs --stream-field or --stream").into()
                );
            }
        };
        let lines = match (&self.type_field, &self.type_name) {
            (Some(path), _) => lines.type_field(path),
            (None, Some(name)) => lines.event_type(name),
            (None, None) => lines,
        };
        let lines = match &self.time_field {
            Some(path) => lines.time_field(path, self.time_unit.into()),
            None => lines,
        };
        Ok(lines.source(self.source_name()?))
    }

    /// What plain lines are known by again: two files with the same name are not the same.
    fn source_name(&self) -> Result<String, Stop> {
        let of_file = || {
            let path = self.file()?;
            let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            whole.to_str().map(str::to_owned)
        };
        let text = "plain lines need --source, the name by which they are known again, if they do not \
                    come from a file whose name is text";
        let name = self.source.clone().or_else(of_file);
        name.ok_or_else(|| Finding::usage(text).into())
    }

    /// Opens the store to append to it, with as little memory as that takes.
    fn open_to_write(&self) -> Result<Store, Stop> {
        let mut options = Options::new()
            .payload_len_max(PAYLOAD_LEN_MAX)
            .checkpoint_event_count(CHECKPOINT_EVENT_COUNT)
            .index_cache_len(INDEX_CACHE_LEN)
            .read_cache_len(READ_CACHE_LEN);
        if let Some(len) = self.segment_len {
            options = options.segment_len_max(len);
        }
        Ok(options.open(&self.store)?)
    }

    fn file(&self) -> Option<&Path> {
        self.input.as_deref().filter(|path| *path != Path::new("-"))
    }

    /// What is read, and how many bytes it has if that is known.
    #[expect(clippy::disallowed_types, reason = "it is no file of a store")]
    fn open_input(&self) -> Result<(Box<dyn BufRead + Send>, u64), Stop> {
        let Some(path) = self.file() else {
            let stdin = BufReader::with_capacity(READ_LEN, io::stdin());
            return Ok((Box::new(stdin), 0));
        };
        let opened = std::fs::File::open(path).and_then(|file| match file.metadata()? {
            found if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            found => Ok((found.len(), file)),
        });
        let (len, file) = opened.map_err(|error| {
            let text = format!("cannot read {}: {error}", path.display());
            Finding { text, exit_code: REFUSED }
        })?;
        Ok((Box::new(BufReader::with_capacity(READ_LEN, file)), len))
    }
}

/// What was done, for people.
fn said(import: &Importing) -> String {
    let progress = import.progress();
    let events = match progress.imported_count {
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    };
    let batches = match progress.batch_count {
        1 => "1 batch".to_owned(),
        count => format!("{count} batches"),
    };
    let mut parts = vec![format!("imported {events} in {batches}")];
    if progress.known_count > 0 {
        parts.push(format!("{} there already", progress.known_count));
    }
    if progress.moved_count > 0 {
        parts.push(format!(
            "{} recorded later than at their own time, which is not after that of the event before",
            progress.moved_count
        ));
    }
    parts.join("; ")
}
