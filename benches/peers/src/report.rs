//! What comes of a run: a table for people, and lines of JSON for programs.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::Result;
use crate::arguments::{self, Plan};
use crate::store::Peer;
use crate::work::{Outcome, Work};

/// One run of one workload on one store.
pub struct Row {
    pub work: Work,
    pub peer: &'static Peer,
    pub round: usize,
    pub outcome: Outcome,
}

/// A row as it is written, one a line.
#[derive(Serialize)]
struct Line<'a> {
    /// When the run began, in seconds since 1970: the same for all its rows.
    run: u64,
    work: &'a str,
    store: &'a str,
    version: &'a str,
    note: &'a str,
    round: usize,
    scale: f64,
    unit: &'a str,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// Where the rows of one run go.
pub struct Report {
    run: u64,
    scale: f64,
    rounds: usize,
    path: PathBuf,
}

impl Report {
    pub fn create(plan: &Plan) -> Result<Self> {
        let dir = arguments::output_dir()?;
        fs::create_dir_all(&dir)?;
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(Self { run, scale: plan.scale, rounds: plan.rounds, path: dir.join("peers.jsonl") })
    }

    /// The file of JSON Lines, to which every run adds its own.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a row to the file.
    pub fn record(&self, row: &Row) -> Result<()> {
        let line = Line {
            run: self.run,
            work: row.work.name(),
            store: row.peer.name,
            version: row.peer.version(),
            note: row.peer.note,
            round: row.round,
            scale: self.scale,
            unit: row.work.unit(),
            outcome: &row.outcome,
        };
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        Ok(writeln!(file, "{}", serde_json::to_string(&line)?)?)
    }

    /// Prints the table of a workload: a line per store, the best first.
    pub fn print(&self, work: Work, rows: &[Row]) {
        let mut stores: Vec<&'static Peer> = Vec::new();
        for row in rows {
            if !stores.iter().any(|peer| peer.name == row.peer.name) {
                stores.push(row.peer);
            }
        }
        let mut lines: Vec<Summary> = stores.iter().map(|peer| Summary::of(peer, rows)).collect();
        lines.sort_by(|a, b| b.median.total_cmp(&a.median));
        let (name, about, unit) = (work.name(), work.about(), work.unit());
        println!("{name}: {about}; {} rounds, scale {}", self.rounds, self.scale);
        println!(
            "  {:<18} {unit:>10} {:>10} {:>10} {:>9} {:>9} {:>12}  note",
            "store", "least", "most", "p50 µs", "p99 µs", "disk B/event"
        );
        for line in &lines {
            line.print();
        }
        println!();
    }
}

/// The rounds of one store taken together.
struct Summary {
    peer: &'static Peer,
    least: f64,
    median: f64,
    most: f64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    disk_bytes_per_event: Option<f64>,
}

impl Summary {
    fn of(peer: &'static Peer, rows: &[Row]) -> Self {
        let outcomes = || rows.iter().filter(|row| row.peer.name == peer.name).map(|r| &r.outcome);
        let rates = || outcomes().map(|outcome| outcome.per_second);
        Self {
            peer,
            least: rates().fold(f64::INFINITY, f64::min),
            median: median(rates()).unwrap_or(0.0),
            most: rates().fold(0.0, f64::max),
            p50_us: median(outcomes().filter_map(|outcome| outcome.p50_us)),
            p99_us: median(outcomes().filter_map(|outcome| outcome.p99_us)),
            disk_bytes_per_event: median(outcomes().filter_map(|o| o.disk_bytes_per_event)),
        }
    }

    fn print(&self) {
        let store = format!("{} {}", self.peer.name, self.peer.version());
        let [median, least, most] = [self.median, self.least, self.most].map(grouped);
        let or_dash = |figure: Option<f64>, digits: usize| {
            figure.map_or("-".to_owned(), |figure| format!("{figure:.digits$}"))
        };
        let [p50, p99] = [self.p50_us, self.p99_us].map(|figure| or_dash(figure, 1));
        let disk = or_dash(self.disk_bytes_per_event, 0);
        let line = format!(
            "  {store:<18} {median:>10} {least:>10} {most:>10} {p50:>9} {p99:>9} {disk:>12}  {}",
            self.peer.note
        );
        println!("{}", line.trim_end());
    }
}

/// The middle of some figures; of an even number of them, the mean of the two in the middle.
fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let high = *figures.get(middle)?;
    if figures.len() % 2 == 1 { Some(high) } else { Some((figures[middle - 1] + high) / 2.0) }
}

/// A figure without a fraction, its digits in groups of three.
fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        for (figures, expected) in [
            (&[][..], None),
            (&[3.0][..], Some(3.0)),
            (&[4.0, 1.0][..], Some(2.5)),
            (&[9.0, 1.0, 2.0][..], Some(2.0)),
        ] {
            assert_eq!(median(figures.iter().copied()), expected);
        }
    }

    #[test]
    fn digits_come_in_threes() {
        for (figure, expected) in [(7.4, "7"), (999.0, "999"), (1_234_567.0, "1,234,567")] {
            assert_eq!(grouped(figure), expected);
        }
    }
}
