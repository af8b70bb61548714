//! `annals-dump` on stores of every kind: the golden ones, an empty one, one that is larger than the
//! memory it may take, and ones that are damaged in every way that a byte or a file can be.
//!
//! Some damages by default; all of them with `ANNALS_SWEEP=all`.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use annals::{Durability, Expected, NewEvent, Options};
use common::{Book, all_files, place, small};

/// Every command that only looks, as it is run on each store.
const LOOKING: [&[&str]; 13] = [
    &["events"],
    &["events", "--format", "jsonl", "--keep-going"],
    &["events", "--format", "cloudevents", "--reverse"],
    &["events", "--format", "hex", "--keep-going", "--reverse"],
    &["tail", "-n", "2"],
    &["show", "1"],
    &["streams", "--sort", "events"],
    &["segments"],
    &["consumers"],
    &["stats"],
    &["verify"],
    &["verify", "--format", "jsonl"],
    &["export", "--keep-going"],
];
/// How many damages are tried by default.
const SAMPLE_COUNT: usize = 40;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// Runs a command on the store at `path`.
fn run(args: &[&str], path: &Path) -> Output {
    let (command, options) = args.split_first().unwrap();
    // What stands at the place of `show` comes after the store.
    let mut program = Command::new(env!("CARGO_BIN_EXE_annals-dump"));
    program.arg(command).arg(path).args(options).stdin(Stdio::null());
    program.output().unwrap()
}

/// What all commands print of the golden stores.
fn printed() -> String {
    let mut all = String::new();
    for store in ["store", "consumed"] {
        for args in LOOKING {
            let output = run(args, &golden().join(store));
            let code = output.status.code().unwrap();
            all.extend(["$ ", &args.join(" "), " ", store, "\n"]);
            all += &String::from_utf8(output.stdout).unwrap();
            all += &String::from_utf8(output.stderr).unwrap();
            all.extend(["exit code ", &code.to_string(), "\n\n"]);
        }
    }
    all
}

#[test]
fn what_is_printed_of_the_golden_stores_is_what_it_was() {
    let expected = fs::read_to_string(golden().join("dump.txt")).unwrap();
    let printed = printed();
    for (line, (now, then)) in printed.lines().zip(expected.lines()).enumerate() {
        assert_eq!(now, then, "line {}", line + 1);
    }
    assert_eq!(printed.lines().count(), expected.lines().count());
}

/// Writes what is printed of the golden stores, to be looked at before it is committed.
#[test]
#[ignore = "what is printed changes only when it is meant to"]
fn write_what_is_printed_of_the_golden_stores() {
    fs::write(golden().join("dump.txt"), printed()).unwrap();
}

#[test]
fn an_empty_store_is_no_trouble_to_any_command() {
    let place = place();
    let path = place.path().join("empty");
    small().open(&path).unwrap().close().unwrap();
    for args in LOOKING {
        let output = run(args, &path);
        let err = String::from_utf8(output.stderr).unwrap();
        // There is no event to show.
        let expected = i32::from(args[0] == "show");
        assert_eq!(output.status.code(), Some(expected), "{args:?}: {err}");
        assert_eq!(err.is_empty(), expected == 0, "{args:?}: {err}");
    }
}

/// Address space for the program, its code and its stacks included, in KiB: less than the store has.
#[cfg(target_os = "linux")]
const MEMORY_KIB: u64 = 130_000;
/// What is run with no more than that. In hexadecimal, so much would take minutes.
#[cfg(target_os = "linux")]
const LIMITED: [&[&str]; 6] = [
    &["export"],
    &["tail", "-n", "2"],
    &["show", "149", "--format", "raw"],
    &["streams"],
    &["stats"],
    &["verify"],
];

#[test]
#[cfg(target_os = "linux")]
fn a_store_that_is_larger_than_the_memory_is_no_trouble_to_any_command() {
    let place = place();
    let path = place.path().join("large");
    let options = Options::new().durability(Durability::Buffered).segment_len_max(32 << 20);
    let store = options.open(&path).unwrap();
    for n in 0..150_u32 {
        let event = NewEvent::text(format!("t-{}", n % 7), "word ".repeat(200_000));
        store.append(&format!("s-{}", n % 9), Expected::Any, [event]).unwrap();
    }
    store.close().unwrap();
    for args in LIMITED {
        let script = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\" > /dev/null");
        let mut limited = Command::new("sh");
        limited.args(["-c", &script, env!("CARGO_BIN_EXE_annals-dump"), args[0]]);
        let output = limited.arg(&path).args(&args[1..]).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &*err), (Some(0), ""), "{args:?}");
    }
}

/// A damage to a file: its name and what becomes of its bytes; `None` if it is taken away.
type Damage = (PathBuf, Option<Vec<u8>>);

/// Each bit of each byte flipped, the file cut at each length, and taken away.
fn damages(name: &Path, bytes: &[u8]) -> Vec<Damage> {
    let flipped = (0..bytes.len()).map(|at| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1 << (at % 8);
        (name.to_owned(), Some(bytes))
    });
    let cut = (0..bytes.len()).map(|len| (name.to_owned(), Some(bytes[..len].to_vec())));
    flipped.chain(cut).chain([(name.to_owned(), None)]).collect()
}

#[test]
fn whatever_is_damaged_every_command_ends_as_it_should() {
    let place = place();
    let path = place.path().join("shop");
    let store = small().open(&path).unwrap();
    let mut book = Book::new(5);
    for n in 0..14 {
        book.append(&store, &[("cart", 1 + n % 3), ("購物車", 1)]);
    }
    let mut consumer = store.consumer("mailer").open().unwrap();
    consumer.next().unwrap().unwrap();
    consumer.commit(1).unwrap();
    store.close().unwrap();
    fs::remove_dir_all(path.join("index")).unwrap();
    let sound = run(&["events", "--format", "jsonl"], &path).stdout;
    let sound: BTreeSet<_> = std::str::from_utf8(&sound).unwrap().lines().collect();
    assert_eq!(sound.len(), book.events.len());
    let files = all_files(&path);
    let mut all: Vec<_> = files.iter().flat_map(|(name, bytes)| damages(name, bytes)).collect();
    if !env::var("ANNALS_SWEEP").is_ok_and(|what| what == "all") {
        fastrand::Rng::with_seed(11).shuffle(&mut all);
        all.truncate(SAMPLE_COUNT);
    }
    for (name, bytes) in all {
        match &bytes {
            Some(bytes) => fs::write(&name, bytes).unwrap(),
            None => fs::remove_file(&name).unwrap(),
        }
        let what = format!("{}, {:?}", name.display(), bytes.map(|bytes| bytes.len()));
        for args in LOOKING {
            check(args, &run(args, &path), &sound, &what);
        }
        fs::write(&name, &files[&name]).unwrap();
    }
}

/// Checks that a run on a damaged store has ended well, and printed nothing that is wrong.
fn check(args: &[&str], output: &Output, sound: &BTreeSet<&str>, what: &str) {
    let err = String::from_utf8(output.stderr.clone()).unwrap();
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1 | 3)), "{what}: {args:?} ended with {code:?}: {err}");
    assert!(!err.contains("panicked"), "{what}: {args:?}: {err}");
    // Whoever finds something says so, and who says something other than a note has found it.
    let is_told = err.lines().any(|line| !line.starts_with("annals-dump: note: "));
    assert_eq!(is_told, code != Some(0), "{what}: {args:?} ended with {code:?}: {err}");
    if args.contains(&"jsonl") && args[0] == "events" || args[0] == "export" {
        let wrong = out.lines().find(|line| !sound.contains(line));
        assert_eq!(wrong, None, "{what}: {args:?}");
    }
}
