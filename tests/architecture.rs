//! Holds the layers of `docs/architecture.md`: a module uses only modules below it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the bottom up. Modules of one layer do not know each other, but for those at
/// the bottom, which are one vocabulary.
const LAYERS: [&[&str]; 10] = [
    &["types", "error", "event", "options", "clock", "report", "sync", "trace"],
    &["format", "directory"],
    &["segment"],
    &["log", "index"],
    &["cursor", "verify"],
    &["consumer"],
    &["store", "inspect"],
    &["transfer"],
    &["simulation"],
    &["fuzzing"],
];

/// All Rust files of the library, by path below `src`.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

/// The code of a file: no comments, and not the tests at its end.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().take_while(|line| !line.ends_with("mod tests {"));
    lines.filter(|line| !line.trim_start().starts_with("//"))
}

/// The module that a file belongs to: its first folder, or its name.
fn module_of(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules of this crate that a line names.
fn named(line: &str) -> Vec<String> {
    let starts = line.match_indices("crate::").map(|(at, found)| &line[at + found.len()..]);
    let words = starts.map(|rest| {
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    });
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect()
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn a_module_uses_only_modules_below_it() {
    let mut uses = 0;
    for (file, text) in sources() {
        let module = module_of(&file);
        if module == "lib" || module == "bin" {
            continue;
        }
        let layer = layer_of(&module)
            .unwrap_or_else(|| panic!("{} is in no layer: add it to LAYERS", file.display()));
        for other in code(&text).flat_map(named).filter(|other| *other != module) {
            let below = layer_of(&other).unwrap_or_else(|| panic!("{other} is in no layer"));
            let allowed = below < layer || (below == 0 && layer == 0);
            assert!(allowed, "{} uses {other}, which is not below it", file.display());
            uses += 1;
        }
    }
    assert!(uses > 50, "only {uses} uses were seen: does this test still read the code?");
}

/// Checks that only these files have `word` in their code.
fn only_in(word: &str, allowed: &[&str]) {
    let mut seen = false;
    let is_test = |file: &Path| file.iter().any(|part| part == "tests" || part == "tests.rs");
    // The program is a user of the library, and reads and writes what is no file of a store.
    let is_library = |file: &Path| !file.starts_with("bin");
    let files = sources().into_iter().filter(|(file, _)| is_library(file) && !is_test(file));
    for (file, text) in files {
        if code(&text).any(|line| line.contains(word)) {
            let name = file.to_str().unwrap();
            assert!(allowed.contains(&name), "{word} is in {name}");
            seen = true;
        }
    }
    assert!(seen, "{word} is nowhere: does this test still read the code?");
}

#[test]
fn only_one_file_does_file_io() {
    only_in("std::fs", &["directory/disk.rs"]);
}

#[test]
fn locks_come_from_one_module_that_a_scheduler_can_stand_in_for() {
    only_in("parking_lot::", &["sync/mod.rs"]);
    only_in("shuttle::", &["sync/mod.rs", "sync/scheduled.rs"]);
    only_in("std::sync::atomic", &["sync/mod.rs"]);
}

#[test]
fn only_one_file_names_sled() {
    only_in("sled::", &["index/sled.rs", "index/mod.rs"]);
}

#[test]
fn only_the_format_and_the_values_of_the_index_know_byte_order() {
    only_in(
        "_le_bytes",
        &[
            "format/fields.rs",
            "format/record.rs",
            "format/record/read.rs",
            "format/footer.rs",
            "format/mend.rs",
            "index/numbers.rs",
            "index/values.rs",
        ],
    );
}

#[test]
fn the_page_on_durability_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/durability.md")).unwrap();
    let mut tests: String = sources().into_iter().map(|(_, text)| text).collect();
    for entry in fs::read_dir(root.join("tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            tests += &fs::read_to_string(path).unwrap();
        }
    }
    let words = page.split('`').skip(1).step_by(2);
    let names: Vec<_> =
        words.filter(|word| word.matches('_').count() > 3 && !word.contains(' ')).collect();
    assert!(names.len() > 40, "only {} tests are named", names.len());
    for name in names {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

#[test]
fn the_page_on_the_architecture_is_short_and_names_every_module() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.lines().count() < 200);
    for module in LAYERS.iter().flat_map(|layer| layer.iter()) {
        assert!(page.contains(&format!("`{module}`")), "{module} is not on the page");
    }
}
