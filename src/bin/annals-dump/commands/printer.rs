//! Events on standard output.

use std::io::{self, Write as _};
use std::ops::ControlFlow;

use annals::inspect::{
    Selected, TextStyles, push_cloud_event, push_exact_json_line, push_hex_event, push_json_line,
    push_text_line,
};
use annals::{Error, EventView, StoreId};
use anstyle::{AnsiColor, Style};

use crate::commands::choosing::EventFormat;
use crate::findings::Stop;
use crate::output::Out;

/// Prints events, each with the same memory as the one before.
#[derive(Debug)]
pub(super) struct Printer<'a> {
    format: EventFormat,
    store: StoreId,
    styles: TextStyles,
    text: String,
    pub(super) out: &'a mut Out,
}

impl<'a> Printer<'a> {
    pub(super) fn new(format: EventFormat, store: StoreId, out: &'a mut Out) -> Self {
        let styles = if out.is_colored { styles() } else { TextStyles::default() };
        Self { format, store, styles, text: String::new(), out }
    }

    pub(super) fn print(&mut self, event: EventView<'_>) -> io::Result<()> {
        let text = &mut self.text;
        text.clear();
        match self.format {
            EventFormat::Text => push_text_line(text, event, &self.styles),
            EventFormat::Jsonl => push_json_line(text, event),
            EventFormat::Cloudevents => push_cloud_event(text, event, self.store),
            EventFormat::Exact => push_exact_json_line(text, event),
            EventFormat::Hex => push_hex_event(text, event, &self.styles),
        }
        // A hex dump is more than one line, and ends its last.
        if self.format != EventFormat::Hex {
            text.push('\n');
        }
        self.out.write_all(text.as_bytes())
    }

    /// Prints all events that there are for now, and returns what has ended that early.
    pub(super) fn all(&mut self, selected: &mut Selected) -> Result<Option<Error>, Stop> {
        let mut printed = Ok(());
        let visited = selected.visit(|event| {
            printed = self.print(event);
            if printed.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        printed?;
        Ok(visited.err())
    }
}

fn styles() -> TextStyles {
    TextStyles::default()
        .place(Style::new().dimmed())
        .stream(AnsiColor::Cyan.on_default())
        .event_type(AnsiColor::Green.on_default())
        .reset(anstyle::Reset)
}
