//! What the benchmarks have in common.
//!
//! Owns the life of a run, from its arguments to its exit code. Knows nothing of what is measured.

mod args;
mod events;
mod figures;
mod machine;
mod place;
mod records;
mod rounds;
mod stats;

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

pub(crate) use args::Size;
pub(crate) use events::{
    BATCH_LEN, EVENT_TYPE, PAYLOAD_LEN, Pool, STREAM_COUNT, STREAM_LEN, Sample, batch_of,
    stream_name,
};
pub(crate) use figures::Row;
pub(crate) use machine::{bytes_fetched, peak_memory, reset_peak_memory};
pub(crate) use place::{Usage, settle, usage};
pub(crate) use records::{
    CHECKSUM_LEN, Encoder, POSITION_AT, RECORD_LEN, records_len, split_record,
};
pub(crate) use rounds::{Run, interleave};
pub(crate) use stats::{Latencies, Spread, float, median, percentile};

use args::Args;

/// What a benchmark returns, with any error: all end the run, and none is handled.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What a row may ask of the run it is part of.
#[derive(Debug)]
pub(crate) struct Bench<S = ()> {
    pub(crate) size: Size,
    /// Where stores and other files go.
    pub(crate) dir: PathBuf,
    /// What the rows of this run share.
    pub(crate) shared: S,
    rounds: Option<NonZeroUsize>,
}

impl<S> Bench<S> {
    /// How many rounds to run: as the arguments say, or else `default`, or two in a quick run,
    /// so that each order is seen once.
    pub(crate) fn rounds(&self, default: usize) -> usize {
        self.rounds.map_or(self.size.pick(default, 2), NonZeroUsize::get)
    }

    /// This program, as a process that does `job` in `dir`.
    pub(crate) fn child(&self, job: &str, dir: &Path) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--child", job, "--dir"]).arg(dir);
        if self.size == Size::Quick {
            command.arg("--quick");
        }
        Ok(command)
    }
}

/// A row of a benchmark: its name, and what measures it. `None` if that cannot be measured on
/// this machine.
pub(crate) type Measure<S = ()> = (&'static str, fn(&Bench<S>) -> Result<Option<Row>>);

/// What a process does that a row has started, by the name of its job.
pub(crate) type Child<S = ()> = fn(&str, &Bench<S>) -> Result<()>;

/// Runs the benchmark `name`: the rows that the arguments ask for, each printed when it is done
/// and added to `target/annals-bench/NAME.jsonl`. A process that a row has started runs `child`.
pub(crate) fn run<S: Default>(name: &str, rows: &[Measure<S>], child: Child<S>) -> ExitCode {
    let names: Vec<_> = rows.iter().map(|(row, _)| *row).collect();
    let args = match Args::parse(std::env::args_os().skip(1), &names) {
        Ok(args) => args,
        Err(wrong) => {
            eprintln!("{wrong}\n{}", args::usage(name, &names));
            return ExitCode::from(2);
        }
    };
    match measure(name, rows, args, child) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure<S: Default>(name: &str, rows: &[Measure<S>], args: Args, child: Child<S>) -> Result<()> {
    let bench = |dir| Bench { size: args.size, dir, shared: S::default(), rounds: args.rounds };
    if let Some(job) = &args.child {
        return child(job, &bench(args.dir.unwrap_or_default()));
    }
    let results = place::results_dir()?;
    let scratch = place::scratch_in(args.dir.as_deref().unwrap_or(&results))?;
    let mut lines = figures::Lines::create(&results.join(format!("{name}.jsonl")))?;
    println!("{}", machine::facts(scratch.path()));
    if args.size == Size::Quick {
        println!("a quick run: too little is measured for the figures to mean much");
    }
    let bench = bench(scratch.path().to_owned());
    for (row, measure) in rows {
        if args.only.is_empty() || args.only.iter().any(|only| only == row) {
            match measure(&bench).map_err(|error| format!("{row}: {error}"))? {
                Some(row) => lines.add(&row, args.size)?,
                None => eprintln!("{row}: left out, because it cannot be measured here"),
            }
        }
    }
    drop(bench);
    Ok(scratch.close()?)
}
