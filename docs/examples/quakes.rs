//! A week of real earthquakes: appended durably, the store closed and opened again, and the events
//! replayed by position, by stream and by time.
//!
//! ```text
//! cargo run --release --example quakes [PATH]
//! ```
//!
//! Each quake is appended to the stream of the network that reported it, when it happened and again
//! when it was revised. PATH is where the store goes, and must not hold one yet. Without it, the store
//! goes to the system's temporary directory and replaces that of the run before.
//!
//! Where the data comes from: `docs/examples/data/README.md`.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use annals::{Batch, Event, Expected, NewEvent, Position, Store, Timestamp};
use serde::{Deserialize, Serialize};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const WEEK: &str = include_str!("data/usgs-week.jsonl");
const RECORDED: &str = "quake-recorded";
const REVISED: &str = "quake-revised";

/// Columns of the longest bar.
const BAR_WIDTH: u64 = 40;

/// One line of the data, and the payload of its events. The data tells only the last state of a
/// quake, so both of its events carry the same. What says most comes first, for `annals-dump`.
#[derive(Serialize, Deserialize)]
struct Quake {
    mag: f64,
    #[serde(rename = "magType")]
    mag_type: String,
    place: String,
    depth_km: f64,
    #[serde(rename = "type")]
    kind: String,
    status: String,
    /// When it happened, in milliseconds since 1970.
    time: i64,
    /// When its entry was last revised, in milliseconds since 1970.
    updated: i64,
    /// The network that reported it.
    net: String,
    id: String,
    sig: i64,
    lon: f64,
    lat: f64,
}

/// An event to append, and the time to record it with.
struct Fact<'a> {
    at_ms: i64,
    event_type: &'static str,
    quake: &'a Quake,
}

fn main() -> ExitCode {
    match run(&mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done if that cannot be written either.
            _ = writeln!(io::stderr(), "quakes: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(out: &mut impl Write) -> Result<()> {
    let quakes = WEEK.lines().map(serde_json::from_str).collect::<Result<Vec<Quake>, _>>()?;
    let facts = facts_in_time_order(&quakes);
    let path = store_path()?;
    let (quake_count, event_count) = (grouped(quakes.len())?, grouped(facts.len())?);
    writeln!(out, "A week of earthquakes: {quake_count} of them (USGS, U.S. public domain)\n")?;

    let store = Store::open(&path)?;
    if store.end() != Position::START {
        return Err(format!("{} holds events already", path.display()).into());
    }
    writeln!(
        out,
        "Appending {event_count} events in time order, with a sync after each batch ..."
    )?;
    let (batch_count, append_took) = timed(|| append(&store, &facts))?;
    writeln!(out, "Closing the store, opening it again, replaying it from position 0 ...\n")?;
    let ((), close_took) = timed(|| Ok(store.close()?))?;
    let (store, open_took) = timed(|| Ok(Store::open(&path)?))?;
    let (replayed, replay_took) = timed(|| replay(&store))?;
    if store.end().get() != u64::try_from(facts.len())? || replayed.len() != quakes.len() {
        return Err("the store did not give back what it was given".into());
    }

    print_networks(out, &store, &replayed)?;
    print_magnitudes(out, &replayed)?;
    print_hour(out, &store, "2018-02-06T15:00:00Z".parse()?)?;
    print_backwards(out, &store, "us")?;

    writeln!(out, "What it took\n")?;
    let (batches, rate) = (grouped(batch_count)?, per_second(batch_count, append_took)?);
    let scanned = grouped(store.recovery().scanned_count)?;
    let mut took = |what, took: Duration, note: &str| {
        writeln!(out, "  {what:<6}  {:>8}  {note}", format!("{took:.1?}"))
    };
    took("append", append_took, &format!("{batches} batches, a sync each: {rate} a second"))?;
    took("close", close_took, "index written, note of a clean close left")?;
    took("open", open_took, &format!("{scanned} records scanned to find the end"))?;
    took("replay", replay_took, &format!("{event_count} events checked and decoded"))?;
    print_where(out, &path)
}

/// Each quake when it happened, and again when it was revised, if that was later.
fn facts_in_time_order(quakes: &[Quake]) -> Vec<Fact<'_>> {
    let mut facts = Vec::new();
    for quake in quakes {
        facts.push(Fact { at_ms: quake.time, event_type: RECORDED, quake });
        if quake.updated > quake.time {
            facts.push(Fact { at_ms: quake.updated, event_type: REVISED, quake });
        }
    }
    facts.sort_by_key(|fact| fact.at_ms);
    facts
}

/// Appends what happened at one time as one batch, and returns how many batches that made.
fn append(store: &Store, facts: &[Fact<'_>]) -> Result<usize> {
    let mut batch_count = 0;
    for moment in facts.chunk_by(|a, b| a.at_ms == b.at_ms) {
        let mut batch = Batch::new();
        for fact in moment {
            let event = NewEvent::json(fact.event_type, fact.quake)?;
            batch = batch
                .append(&fact.quake.net, Expected::Any, [event])
                .recorded_at(Timestamp::from_millis(fact.at_ms));
        }
        store.append_batch(batch)?;
        batch_count += 1;
    }
    Ok(batch_count)
}

/// Reads every event from the first position on, and returns the quakes.
fn replay(store: &Store) -> Result<Vec<Quake>> {
    let mut quakes = Vec::new();
    for event in store.read_all().from(Position::START) {
        let event = event?;
        let quake: Quake = event.decode()?;
        if event.event_type() == RECORDED {
            quakes.push(quake);
        }
    }
    Ok(quakes)
}

fn print_networks(out: &mut impl Write, store: &Store, quakes: &[Quake]) -> Result<()> {
    let mut networks = store.streams().collect::<annals::Result<Vec<_>>>()?;
    networks.sort_by_key(|network| std::cmp::Reverse(network.end()));
    let most = networks.first().map_or(0, |network| network.end().get());

    writeln!(out, "Events per network, and its largest quake\n")?;
    for network in &networks {
        let count = network.end().get();
        let of_it = quakes.iter().filter(|quake| quake.net == network.name());
        let largest = of_it.max_by(|a, b| a.mag.total_cmp(&b.mag));
        let Some(Quake { mag, place, .. }) = largest else { continue };
        let bar = bar(count, most, BAR_WIDTH / 2);
        writeln!(out, "  {}  {count:>4} {bar:<20}  {mag:>4.1}  {place}", network.name())?;
    }
    writeln!(out)?;
    Ok(())
}

fn print_magnitudes(out: &mut impl Write, quakes: &[Quake]) -> Result<()> {
    let bins: Vec<(f64, usize)> = (-2..13)
        .map(|half| f64::from(half) / 2.0)
        .map(|from| (from, quakes.iter().filter(|q| (from..from + 0.5).contains(&q.mag)).count()))
        .collect();
    let most = bins.iter().map(|(_, count)| *count).max().unwrap_or(0).try_into()?;

    writeln!(out, "Quakes by magnitude\n")?;
    for (from, count) in bins {
        let bar = bar(count.try_into()?, most, BAR_WIDTH);
        writeln!(out, "  {from:>4.1} to {:>4.1}  {count:>4} {bar}", from + 0.5)?;
    }
    writeln!(out)?;
    Ok(())
}

fn print_hour(out: &mut impl Write, store: &Store, since: Timestamp) -> Result<()> {
    let until = since.plus(Duration::from_secs(3_600));
    let in_hour = store.read_all().recorded(since..until).collect::<annals::Result<Vec<_>>>()?;
    let quakes: Vec<_> = in_hour.iter().filter(|event| event.event_type() == RECORDED).collect();

    let (day, from) = day_and_time(since);
    let (_, to) = day_and_time(until);
    writeln!(out, "Found by time: {day}, {from} to {to} UTC\n")?;
    for event in &quakes {
        let (_, time) = day_and_time(event.recorded_at());
        let Quake { mag, place, .. } = event.decode()?;
        writeln!(out, "  position {:>4}  {time}  {mag:>4.1}  {place}", event.position())?;
    }
    writeln!(out, "  and {} revisions of earlier quakes\n", in_hour.len() - quakes.len())?;
    Ok(())
}

fn print_backwards(out: &mut impl Write, store: &Store, stream: &str) -> Result<()> {
    writeln!(out, "The last five events of stream {stream:?}, latest first\n")?;
    for event in store.read_stream(stream).backwards().take(5) {
        let event: Event = event?;
        let (day, time) = day_and_time(event.recorded_at());
        let Quake { mag, place, .. } = event.decode()?;
        let (revision, event_type) = (event.revision(), event.event_type());
        writeln!(
            out,
            "  revision {revision:>3}  {day} {time}  {event_type:<14}  {mag:.1}  {place}"
        )?;
    }
    writeln!(out)?;
    Ok(())
}

fn print_where(out: &mut impl Write, path: &Path) -> Result<()> {
    let dump = "cargo run --release --features cli --bin annals-dump --";
    let path = path.display();
    writeln!(out, "\nThe store is kept at {path}. To look into it:\n")?;
    writeln!(out, "  {dump} streams {path}")?;
    writeln!(out, "  {dump} events {path} --stream us --reverse --limit 5")?;
    writeln!(out, "  {dump} events {path} --format jsonl")?;
    Ok(())
}

/// The path given to the program, or else a fresh one in the system's temporary directory.
///
/// What is deleted there is a store in a directory that has the mark of this example.
fn store_path() -> Result<PathBuf> {
    if let Some(path) = env::args_os().nth(1) {
        return Ok(path.into());
    }
    let home = env::temp_dir().join("annals-quakes");
    let (mark, store) = (home.join("made-by-example-quakes"), home.join("quakes.annals"));
    if fs::symlink_metadata(&home).is_err() {
        fs::create_dir(&home)?;
        fs::write(&mark, "The example `quakes` of annals replaces quakes.annals at each run.\n")?;
    }
    let is_file = |path| fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    let is_directory = |path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    if !is_directory(&home) || !is_file(&mark) {
        let home = home.display();
        return Err(format!("{home} is not of this example; name a path").into());
    }
    if is_directory(&store) {
        fs::remove_dir_all(&store)?;
    }
    Ok(store)
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let start = Instant::now();
    Ok((work()?, start.elapsed()))
}

/// A bar of `count / most` of `width` columns, to an eighth of a column.
fn bar(count: u64, most: u64, width: u64) -> String {
    let eighths = (count * width * 8).div_ceil(most.max(1));
    let full = "█".chars().cycle().take(usize::try_from(eighths / 8).unwrap_or(0));
    let part = "▏▎▍▌▋▊▉".chars().nth(usize::try_from(eighths % 8).unwrap_or(0).wrapping_sub(1));
    full.chain(part).collect()
}

/// Day and time of day in UTC, to the second.
fn day_and_time(time: Timestamp) -> (String, String) {
    let text = time.to_string();
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    (day.to_owned(), time.chars().take(8).collect())
}

/// A number with its digits in groups of three.
fn grouped(n: impl TryInto<u64, Error: Error + 'static>) -> Result<String> {
    let digits = n.try_into()?.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    Ok(text)
}

fn per_second(count: usize, took: Duration) -> Result<String> {
    let rate = u128::try_from(count)? * 1_000_000 / took.as_micros().max(1);
    grouped(rate)
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error and its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
