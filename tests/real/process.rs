//! Processes that a test starts, hears, and ends.
//!
//! Owns how they are told what to do, how they tell what they have done, and that none outlives
//! its deadline.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::run;

/// The test that a process runs which was started by another.
const TEST: &str = "a_process_that_a_test_has_started_plays_its_part";
const PART: &str = "ANNALS_TEST_PART";
const PLACE: &str = "ANNALS_TEST_PLACE";

/// What this process was started for and where, if a test has started it.
pub(crate) fn part() -> Option<(String, PathBuf)> {
    Some((env::var(PART).ok()?, PathBuf::from(env::var_os(PLACE)?)))
}

/// A process that plays a part, run by the program and its arguments that `around` names, if any.
pub(crate) fn command(part: &str, place: &Path, around: &[String]) -> Command {
    let this = env::current_exe().unwrap();
    let mut command = match around {
        [] => Command::new(this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
    };
    command.args([TEST, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(PART, part).env(PLACE, place);
    // cargo names many folders there, and all of them would be searched under strace.
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// Tells the process that has started this one a line, in one piece.
///
/// By `writev`, which the store never calls: faults in its calls must not strike here.
pub(crate) fn tell(line: &str) {
    static OUT: OnceLock<File> = OnceLock::new();
    let out = OUT.get_or_init(|| {
        let file = File::from(std::io::stdout().as_fd().try_clone_to_owned().unwrap());
        write_line(&file, &format!("PID {}", std::process::id()));
        file
    });
    write_line(out, line);
}

fn write_line(mut out: &File, line: &str) {
    let line = format!("@{line}\n");
    assert_eq!(out.write_vectored(&[IoSlice::new(line.as_bytes())]).unwrap(), line.len());
}

/// Makes calls that do nothing, more of each kind than the main thread of a test does: faults are
/// counted out for each thread, and the later ones strike the thread that has called this alone.
pub(crate) fn get_ahead_of_main_thread() {
    for _ in 0..40 {
        let mut nothing = fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
        nothing.write_all(b"nothing").unwrap();
        assert_eq!(nothing.read(&mut [0]).unwrap(), 0);
        assert_eq!(nothing.read_at(&mut [0], 0).unwrap(), 0);
        assert_eq!(nothing.metadata().unwrap().len(), 0);
    }
}

/// A process that was started.
pub(crate) struct Running {
    process: Process,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
    errors: JoinHandle<String>,
}

/// A process that ends with the test, should that fail.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a process has ended, and what it has told.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) lines: Vec<String>,
    pub(crate) errors: String,
    /// Whether it was killed because it had not ended in time.
    pub(crate) is_late: bool,
    pub(crate) took: Duration,
}

impl Running {
    /// Starts a process. `hear` is called for each line that it tells.
    pub(crate) fn start(mut command: Command, hear: impl Fn(&str) + Send + 'static) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (told, mut errors) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in BufReader::new(told).lines() {
                let line = line.unwrap();
                if let Some((_, line)) = line.split_once('@') {
                    hear(line);
                    heard.lock().unwrap().push(line.to_owned());
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            errors.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { process: Process(process), lines, reader, errors }
    }

    /// Whether it has told a line that begins so.
    pub(crate) fn has_told(&self, start: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line.starts_with(start))
    }

    /// Waits until it has told a line that begins so, or has ended.
    pub(crate) fn wait_for(&mut self, start: &str, time: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < time && self.process.0.try_wait().unwrap().is_none() {
            if self.has_told(start) {
                return true;
            }
            thread::sleep(Duration::from_micros(500));
        }
        self.has_told(start)
    }

    /// Kills it; if it runs under another program, that one ends with it.
    pub(crate) fn kill(&mut self) {
        let lines = self.lines.lock().unwrap();
        let told = lines.iter().find_map(|line| line.strip_prefix("PID "));
        if told.is_none_or(|pid| pid == self.process.0.id().to_string()) {
            self.process.0.kill().unwrap();
        } else if let Some(pid) = told {
            run("kill", &["-9", pid]);
        }
    }

    /// Waits for its end, and kills it if that takes longer than `time`.
    pub(crate) fn end(mut self, time: Duration) -> Ended {
        let begun = Instant::now();
        let mut is_late = false;
        let status = loop {
            if let Some(status) = self.process.0.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > time && !is_late {
                is_late = true;
                self.kill();
            }
            thread::sleep(Duration::from_millis(1));
        };
        self.reader.join().unwrap();
        let errors = self.errors.join().unwrap();
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        Ended { status, lines, errors, is_late, took: begun.elapsed() }
    }
}

impl Ended {
    pub(crate) fn has_told(&self, start: &str) -> bool {
        self.lines.iter().any(|line| line.starts_with(start))
    }

    /// What it has told after this word, each time.
    pub(crate) fn told<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' '))
    }

    /// Whether this crate or its tests have panicked. What sled does is not meant: its panics are
    /// caught.
    pub(crate) fn has_panicked(&self) -> bool {
        let places = self.errors.lines().filter(|line| line.contains("panicked at "));
        places.map(|line| line.contains("/registry/")).any(|elsewhere| !elsewhere)
    }

    /// Whether something of sled has panicked.
    pub(crate) fn has_sled_panicked(&self) -> bool {
        self.errors.lines().any(|line| line.contains("panicked at ") && line.contains("/sled-"))
    }
}
