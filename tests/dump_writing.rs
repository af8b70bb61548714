//! The commands of `annals-dump` that check, mend and move, run as their users run them.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use annals::inspect::segment_file;
use annals::{IndexRecovery, Position, Store};
use common::dumper::Dumped;
use common::{Book, assert_agrees, place, small};
use tempfile::TempDir;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: place() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A closed store with several segments.
    fn filled(&self, name: &str) -> Book {
        let store = small().open(self.path(name)).unwrap();
        let mut book = Book::new(7);
        for n in 0..30 {
            book.append(&store, &[("cart", 1 + n % 3), ("購物車", 1), ("cart", n % 2)]);
        }
        store.close().unwrap();
        book
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals-dump"));
        command.args(args).current_dir(self.dir.path());
        command
    }

    fn run(&self, args: &[&str]) -> Dumped {
        Dumped::of(self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    fn run_with(&self, args: &[&str], input: &str) -> Dumped {
        let mut command = self.command(args);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let write = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        // Whoever stops at a bad line has no use for the rest.
        let _ = write.join().unwrap();
        Dumped::of(output)
    }

    fn events(&self, name: &str) -> u64 {
        let store = small().create(false).open(self.path(name)).unwrap();
        let end = store.end().get();
        store.close().unwrap();
        end
    }

    /// Flips a bit of a byte of a segment.
    fn damage(&self, name: &str, segment: u64, offset: usize) {
        let path = self.path(name).join(segment_file(Position::new(segment)));
        let mut bytes = fs::read(&path).unwrap();
        bytes[offset] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    fn second_segment(&self, name: &str) -> u64 {
        let mut names: Vec<_> = fs::read_dir(self.path(name).join("log"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names[1].trim_end_matches(".seg").parse().unwrap()
    }
}

#[test]
fn a_sound_store_is_verified_in_one_line() {
    let place = Place::new();
    let book = place.filled("shop");
    let out = place.run(&["verify", "shop"]).sound();
    let end = book.end();
    assert!(out.starts_with(&format!("sound: {end} of {end} events read in ")), "{out}");
    let line = place.run(&["verify", "shop", "--format", "jsonl"]).sound();
    let expected = format!(
        "{{\"v\":1,\"finding\":\"summary\",\"is_sound\":true,\"is_complete\":true,\
         \"end_position\":{end},\"event_count\":{end},"
    );
    assert!(line.starts_with(&expected), "{line}");
}

#[test]
fn every_damage_is_a_line_and_the_exit_code_is_1() {
    let place = Place::new();
    place.filled("shop");
    let second = place.second_segment("shop");
    place.damage("shop", 0, 200);
    place.damage("shop", second, 300);
    let out = place.run(&["verify", "shop"]).failed(1, "the store is damaged");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[0].starts_with("damage: segment 0 is corrupt at byte "), "{out}");
    assert!(lines[0].contains("cannot be read") && lines[0].contains(".seg)"), "{out}");
    assert!(lines[1].starts_with(&format!("damage: segment {second} ")), "{out}");
    assert!(lines[2].starts_with("2 damages: "), "{out}");
    let out = place.run(&["verify", "shop", "--format", "jsonl"]).failed(1, "the store is damaged");
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(first["finding"], "damage");
    assert_eq!(first["file"], segment_file(Position::START));
    assert!(first["positions"][1].as_u64() > first["positions"][0].as_u64(), "{first}");
    assert_eq!(out.lines().count(), 3);
}

#[test]
fn a_repair_that_loses_events_is_said_first_and_done_when_asked_for() {
    let place = Place::new();
    let book = place.filled("shop");
    let second = place.second_segment("shop");
    place.damage("shop", second, 300);
    assert_eq!(place.run(&["repair", "shop", "--dry-run"]).code, 1);
    let before = place.run(&["verify", "shop"]);
    let out = place.run(&["repair", "shop"]).failed(1, "nothing was changed");
    assert!(out.starts_with("would be done\ndamage: ") && out.contains("removed: "), "{out}");
    assert_eq!(place.run(&["verify", "shop"]), before);
    let out = place.run(&["repair", "shop", "--accept-loss"]).sound();
    assert!(out.starts_with("repaired\n") && out.contains("kept in: "), "{out}");
    let end = place.events("shop");
    assert!(end > 0 && end < book.end());
    place.run(&["verify", "shop"]).sound();
    assert!(place.run(&["repair", "shop"]).sound().starts_with("nothing to repair\n"));
}

#[test]
fn a_repair_that_loses_nothing_is_done_at_once() {
    let place = Place::new();
    let book = place.filled("shop");
    fs::remove_file(place.path("shop").join("store.meta")).unwrap();
    let out = place.run(&["repair", "shop", "--dry-run"]).failed(1, "needs a repair");
    assert!(out.contains("store.meta"), "{out}");
    place.run(&["repair", "shop"]).sound();
    assert_eq!(place.events("shop"), book.end());
}

#[test]
fn an_index_is_built_anew() {
    let place = Place::new();
    let book = place.filled("shop");
    let end = book.end();
    let out = place.run(&["rebuild-index", "shop"]).sound();
    assert_eq!(out, format!("built the index of {end} events\n"));
    assert!(place.path("shop").join("index.broken").is_dir());
    let store = small().create(false).open(place.path("shop")).unwrap();
    assert_eq!(store.recovery().index, IndexRecovery::Current);
    assert_agrees(&store, &book.events);
}

#[test]
fn commands_that_write_leave_a_store_alone_that_is_open_or_none() {
    let place = Place::new();
    place.filled("shop");
    let store = small().open(place.path("shop")).unwrap();
    fs::write(place.path("lines"), "{}\n").unwrap();
    for args in [
        &["repair", "shop"][..],
        &["rebuild-index", "shop"],
        &["import", "shop", "lines", "--format", "plain", "--stream", "s"],
    ] {
        place.run(args).failed(5, "is in use by another writer");
    }
    drop(store);
    fs::create_dir(place.path("other")).unwrap();
    fs::write(place.path("other").join("file"), "").unwrap();
    for args in [
        &["repair", "other"][..],
        &["rebuild-index", "other"],
        &["rebuild-index", "nowhere"],
        &["verify", "nowhere"],
        &["export", "nowhere"],
        &["import", "other", "lines", "--format", "plain", "--stream", "s"],
    ] {
        place.run(args).failed(3, "is not an annals store");
    }
    assert!(!place.path("nowhere").exists());
    // A file that cannot be read is no reason to create a store.
    place.run(&["import", "nowhere", "no-file"]).failed(4, "cannot read no-file");
    place.run(&["import", "nowhere", "other"]).failed(4, "cannot read other");
    assert!(!place.path("nowhere").exists());
}

#[test]
fn exporting_importing_and_exporting_again_gives_the_same_bytes() {
    let place = Place::new();
    let book = place.filled("shop");
    let lines = place.run(&["export", "shop"]).sound();
    let out = place.run_with(&["import", "copy"], &lines).sound();
    assert_eq!(out, format!("imported {} events in 30 batches\n", book.end()));
    assert_eq!(place.run(&["export", "copy"]).sound(), lines);
    let out = place.run_with(&["import", "copy", "-"], &lines).sound();
    assert_eq!(out, format!("imported 0 events in 0 batches; {} there already\n", book.end()));
    // By a file, and from a place on.
    let from = book.events.iter().position(|event| event.ends_batch).unwrap() + 1;
    let rest = place.run(&["export", "shop", "--from", &from.to_string()]).sound();
    assert_eq!(rest.lines().count(), book.events.len() - from);
    fs::write(place.path("rest"), rest).unwrap();
    place.run(&["import", "copy", "rest"]).sound();
    let part = place.run(&["export", "shop", "--prefix", "購"]).sound();
    assert_eq!(part.lines().count(), 30);
    place.run_with(&["import", "part"], &part).failed(1, "line 1 cannot be imported: its position");
    place.run_with(&["import", "part", "--renumber"], &part).sound();
    assert_eq!(place.events("part"), 30);
}

#[test]
fn an_export_of_a_damaged_store_ends_where_it_is_damaged() {
    let place = Place::new();
    let book = place.filled("shop");
    let second = place.second_segment("shop");
    place.damage("shop", second, 300);
    let ran = place.run(&["export", "shop"]);
    let (code, lines) = (ran.code, ran.out.lines().count());
    assert_eq!(code, 1, "{}", ran.err);
    assert!(ran.err.contains("is corrupt at byte"), "{}", ran.err);
    assert!(lines > 0 && lines < book.events.len());
    // Behind the damage there is more, which goes into another store at other places.
    let salvaged = place.run(&["export", "shop", "--keep-going"]);
    assert_eq!(salvaged.code, 1);
    assert!(salvaged.err.contains("lost"), "{}", salvaged.err);
    let rest = salvaged.out.lines().count();
    assert!(rest > lines && rest < book.events.len());
    place.run_with(&["import", "rest", "--renumber"], &salvaged.out).sound();
    assert_eq!(place.events("rest"), u64::try_from(rest).unwrap());
    // What is sound of it can be imported, up to its last whole batch.
    let imported = place.run_with(&["import", "copy"], &ran.out);
    assert!(imported.code == 0 || imported.err.contains("within the batch"), "{imported:?}");
}

#[test]
fn an_import_that_is_killed_goes_on_and_doubles_nothing() {
    let place = Place::new();
    let lines: Vec<_> =
        (0..30_000).map(|n| format!("{{\"n\":{n},\"s\":\"s-{}\"}}\n", n % 7)).collect();
    let lines = lines.concat();
    fs::write(place.path("log"), &lines).unwrap();
    let args = ["import", "copy", "log", "--format", "plain", "--stream-field", "s", "--type", "t"];
    let mut random = fastrand::Rng::with_seed(3);
    let (mut kill_count, mut longest) = (0, 4_000);
    loop {
        let mut child = place.command(&args).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.u64(0..longest)));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        let _ = child.kill();
        if child.wait().unwrap().success() {
            break;
        }
        kill_count += 1;
        longest = longest * 5 / 4;
    }
    assert!(kill_count > 5, "killed {kill_count} times");
    place.run(&args).sound();
    let store = Store::open(place.path("copy")).unwrap();
    assert_eq!(store.end().get(), 30_000);
    for (event, line) in store.read_all().zip(lines.lines()) {
        assert_eq!(event.unwrap().payload(), line.as_bytes());
    }
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn options_that_do_not_go_together_are_refused_before_anything_is_done() {
    let place = Place::new();
    fs::write(place.path("lines"), "").unwrap();
    for args in [
        &["import", "new", "lines", "--format", "plain"][..],
        &["import", "new", "lines", "--stream", "s"],
        &["import", "new", "lines", "--stream-field", "s"],
        &["import", "new", "lines", "--format", "cloudevents", "--type", "t"],
        &["import", "new", "lines", "--time-unit", "ms"],
        &["import", "new", "lines", "--format", "plain", "--stream", "s", "--stream-field", "f"],
        &["import", "new", "lines", "--format", "plain", "--stream", "s", "--renumber"],
        // What comes from no file has no name by which it is known again.
        &["import", "new", "--format", "plain", "--stream", "s"],
        &["repair", "new", "--dry-run", "--accept-loss"],
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(!ran.err.is_empty() && ran.out.is_empty());
    }
    assert!(!place.path("new").exists());
}

#[test]
fn a_bad_line_is_named_and_what_was_before_it_is_there() {
    let place = Place::new();
    place.filled("shop");
    let lines = place.run(&["export", "shop"]).sound();
    let bad: String = lines.split_inclusive('\n').take(20).chain(["{\"v\":1}\n"]).collect();
    let out = place.run_with(&["import", "copy"], &bad).failed(1, "line 21 cannot be imported");
    assert!(out.starts_with("imported "), "{out}");
    assert!(place.events("copy") > 10);
}

#[test]
fn equal_lines_of_two_files_with_one_name_are_two_events() {
    let place = Place::new();
    for folder in ["a", "b"] {
        fs::create_dir(place.path(folder)).unwrap();
        fs::write(place.path(folder).join("x.log"), "{\"msg\":\"start\"}\n").unwrap();
    }
    for (input, end) in [("a/x.log", 1), ("b/x.log", 2), ("./a/x.log", 2)] {
        place.run(&["import", "log", input, "--format", "plain", "--stream", "s"]).sound();
        assert_eq!(place.events("log"), end, "{input}");
    }
}

#[test]
fn what_an_input_says_does_nothing_to_a_terminal() {
    let place = Place::new();
    let ran = place.run_with(&["import", "copy"], "{\"v\":1,\"\\u001b[31mred\\u0007\":1}\n");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("\\u{1b}[31mred\\u{7}"), "{}", ran.err);
    assert!(!ran.err.trim_end().contains(char::is_control), "{:?}", ran.err);
}

#[test]
fn an_index_that_cannot_be_built_is_damage_to_the_log() {
    let place = Place::new();
    place.filled("shop");
    place.damage("shop", 0, 200);
    place
        .run(&["rebuild-index", "shop"])
        .failed(1, "the index could not be built: segment 0 is corrupt");
}

#[test]
fn completions_and_the_manual_name_every_command() {
    let place = Place::new();
    let help = place.run(&["--help"]).sound();
    let commands: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help" && !name.is_empty())
        .collect();
    assert!(commands.contains(&"events") && commands.contains(&"import"), "{commands:?}");
    let manual = place.run(&["man"]).sound();
    for name in &commands {
        let help = place.run(&[name, "--help"]).sound();
        assert!(help.contains("Example"), "{name} has no example");
        let named = format!("annals\\-dump {}", name.replace('-', "\\-"));
        assert!(manual.contains(&named), "{name} is not in the manual");
    }
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.run(&["completions", shell]).sound();
        assert!(commands.iter().all(|name| script.contains(name)), "{shell}");
    }
}
