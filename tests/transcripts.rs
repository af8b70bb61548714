//! The transcripts of the documentation are what the program prints: every block of `console` in
//! `docs/dump.md`, and those of the README that run it, from the first to the last in one folder.
#![cfg(all(feature = "cli", unix))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command, and what the page says that it prints.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    command: String,
    printed: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The steps in the blocks of a page that are marked as `console`.
fn steps_of(page: &str) -> Vec<Step> {
    let (mut steps, mut is_inside) = (Vec::<Step>::new(), false);
    for (at, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            is_inside = line == "```console";
        } else if is_inside {
            let continues = steps.last().is_some_and(|step| step.command.ends_with('\\'));
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    line: at + 1,
                    command: command.to_owned(),
                    printed: Vec::new(),
                }),
                (None, Some(step)) if continues => step.command.extend(["\n", line]),
                (None, Some(step)) => step.printed.push(line.to_owned()),
                (None, None) => panic!("line {} is no command", at + 1),
            }
        }
    }
    steps
}

/// Whether `text` is what `pattern` says, in which `[..]` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.split_at(at + part.len()).1;
    }
    true
}

/// Runs steps one after the other in a folder of their own, beside the data that they name.
fn replay(name: &str, steps: &[Step]) {
    let place = tempfile::tempdir().unwrap();
    let data = Path::new("docs/examples/data/usgs-week.jsonl");
    fs::create_dir_all(place.path().join(data.parent().unwrap())).unwrap();
    for copy in [data, Path::new("usgs-week.jsonl")] {
        fs::copy(root().join(data), place.path().join(copy)).unwrap();
    }
    let program = PathBuf::from(env!("CARGO_BIN_EXE_annals-dump"));
    let mut path = program.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap());
    for Step { line, command, printed } in steps {
        let shell = Command::new("sh")
            .args(["-c", &format!("{{ {command}\n}} 2>&1")])
            .current_dir(place.path())
            .env("PATH", &path)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("CLICOLOR_FORCE")
            .output()
            .unwrap();
        let said = String::from_utf8(shell.stdout).unwrap();
        let said: Vec<_> = said.lines().collect();
        let is_same = said.len() == printed.len()
            && printed.iter().zip(&said).all(|(pattern, text)| matches(pattern, text));
        assert!(is_same, "{name}, line {line}: $ {command}\nprints\n{}", said.join("\n"));
    }
}

#[test]
fn the_page_of_the_program_shows_what_it_prints() {
    let steps = steps_of(&fs::read_to_string(root().join("docs/dump.md")).unwrap());
    assert!(steps.len() > 20, "only {} commands were seen", steps.len());
    replay("docs/dump.md", &steps);
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let steps = steps_of(&fs::read_to_string(root().join("README.md")).unwrap());
    let of_program = |step: &Step| !step.command.starts_with("cargo ");
    let steps: Vec<_> = steps.into_iter().filter(of_program).collect();
    assert!(steps.len() > 1, "only {} commands were seen", steps.len());
    replay("README.md", &steps);
}

#[test]
fn a_pattern_matches_what_it_says_and_nothing_else() {
    for (pattern, text, is_match) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a[..]", "abc", true),
        ("a[..]c", "abc", true),
        ("a[..]c", "abcd", false),
        ("[..]b[..]", "abc", true),
        ("[..]x[..]", "abc", false),
        ("", "", true),
    ] {
        assert_eq!(matches(pattern, text), is_match, "{pattern} {text}");
    }
}

#[test]
fn commands_and_what_they_print_are_told_apart() {
    let page = "text\n```console\n$ a \\\n  b\nc\n$ d\n```\n$ e\n```sh\n$ f\n```\n";
    let step = |line, command: &str, printed: &[&str]| Step {
        line,
        command: command.to_owned(),
        printed: printed.iter().map(|&line| line.to_owned()).collect(),
    };
    assert_eq!(steps_of(page), [step(3, "a \\\n  b", &["c"]), step(6, "d", &[])]);
}
