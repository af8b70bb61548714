//! The target `lines`: whatever is imported.

use crate::fuzzing::disk::{Ticks, empty_store, options, sure};
use crate::fuzzing::input::Input;
use crate::inspect::push_exact_json_line;
use crate::store::Store;
use crate::transfer::{CloudEvents, Import, LineFormat, PlainLines, TimeUnit};

/// Imports any bytes as lines of a format, and then what the store exports into another one.
///
/// # Panics
///
/// If importing the same bytes again appends anything, or if a store of what was exported does not
/// export the same.
pub fn lines(input: &[u8]) {
    let mut input = Input::new(input);
    let kind = input.byte() % 5;
    let plain = PlainLines::by_stream_field("s").type_field("t.u");
    let format = match kind {
        0 | 1 => LineFormat::Exact,
        2 => LineFormat::CloudEvents(CloudEvents::new()),
        3 => LineFormat::Plain(plain.time_field("at", TimeUnit::Rfc3339)),
        _ => LineFormat::Plain(plain.time_field("at", TimeUnit::Seconds)),
    };
    let import = || {
        let import = Import::new(format.clone());
        if kind == 1 { import.renumbered() } else { import }
    };
    let (text, clock) = (input.rest(), Ticks::default());
    let store = sure(empty_store().open(&options(&clock)));
    let mut first = import();
    let imported = first.run(&store, text);
    assert_eq!(first.progress().imported_count, store.end().get());
    let mut second = import();
    let again = second.run(&store, text);
    assert_eq!(second.progress().imported_count, 0, "{imported:?}, then {again:?}");
    let lines = export(&store);
    let copy = sure(empty_store().open(&options(&clock)));
    sure(Import::new(LineFormat::Exact).run(&copy, lines.as_bytes()));
    assert_eq!(export(&copy), lines);
}

fn export(store: &Store) -> String {
    let mut lines = String::new();
    for event in store.read_all() {
        push_exact_json_line(&mut lines, sure(event).view());
        lines.push('\n');
    }
    lines
}
