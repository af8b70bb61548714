//! Runs the bodies of the fuzz targets again over what fuzzing has found worth keeping: the
//! corpus, and every input that once showed a bug.
#![cfg(feature = "fuzzing")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use annals::fuzzing::TARGETS;

/// The most bytes of a file that is kept.
const LEN_MAX: usize = 4 << 10;
/// The most files of a target that are kept, so that this test takes seconds.
const COUNT_MAX: usize = 60;

/// Runs a target over every file of a folder, and returns how many there are.
fn replay(folder: &Path, target: fn(&[u8])) -> usize {
    let Ok(files) = fs::read_dir(folder) else { return 0 };
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        let input = fs::read(&path).unwrap();
        assert!(input.len() <= LEN_MAX, "{} is large", path.display());
        let run = catch_unwind(|| target(&input));
        assert!(run.is_ok(), "{} shows a bug", path.display());
        count += 1;
    }
    count
}

#[test]
fn every_target_holds_over_its_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    // A package that was published has no corpus with it.
    if !root.exists() {
        return;
    }
    for (name, target) in TARGETS {
        let count = replay(&root.join("corpus").join(name), target);
        assert!((1..=COUNT_MAX).contains(&count), "{name} has {count} files");
    }
}

#[test]
fn no_input_that_once_showed_a_bug_shows_it_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    for (name, target) in TARGETS {
        replay(&root.join(name), target);
    }
}

#[test]
fn every_target_has_a_file_and_takes_no_input_for_an_answer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    for (name, target) in TARGETS {
        target(&[]);
        assert!(!root.exists() || root.join(name).with_extension("rs").exists(), "{name}");
    }
}
