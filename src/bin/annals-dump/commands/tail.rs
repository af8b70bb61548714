//! `tail`: the last events.

use std::ops::ControlFlow;

use annals::inspect::{Inspection, Salvaged, Selected, Selection};
use annals::{Error, EventView, Position};
use clap::Args;

use crate::commands::choosing::Chosen;
use crate::findings::{Finding, Stop, of_reading};
use crate::output::Out;

/// Prints the last events, the oldest of them first
#[derive(Args, Debug)]
#[command(after_help = "Example, the last event of a type, and what comes from then on:\n  \
    annals-dump tail quakes.annals -n 1 --type quake-recorded --follow")]
pub(crate) struct Tail {
    #[command(flatten)]
    chosen: Chosen,
    /// How many events
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    count: u64,
}

impl Tail {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let selection = self.chosen.selection();
        let last = selection.clone().backwards().limit(self.count);
        if self.chosen.follow {
            let store = self.chosen.open_to_follow()?;
            // What is appended meanwhile is not passed over.
            let end = store.end()?;
            return match Found::by_reading(&mut last.to(end).of(store.read_all())) {
                Found { stopped_by: Some(error), .. } => Ok(vec![Finding::from(&error)]),
                Found { first, .. } => {
                    let from = first.unwrap_or_else(|| end.max(self.chosen.from()));
                    self.chosen.follow(&store, &selection.from(from), out)
                }
            };
        }
        let store = Inspection::open(&self.chosen.store)?;
        let found = if self.chosen.keep_going {
            Found::by_salvaging(&store, &last)
        } else {
            Found::by_reading(&mut store.select(&last))
        };
        let mut findings = match (found.first, found.count == self.count) {
            (Some(first), true) => self.chosen.print(&store, &selection.from(first), out)?,
            // All was read, so that whatever is lost there may be one of the last.
            _ if self.chosen.keep_going && self.count > 0 => {
                self.chosen.print(&store, &selection, out)?
            }
            (Some(first), false) => self.chosen.print(&store, &selection.from(first), out)?,
            (None, _) => of_reading(&store, &[]),
        };
        if let Some(error) = found.stopped_by {
            let finding = Finding::from(&error);
            if !findings.contains(&finding) {
                findings.insert(0, finding);
            }
        }
        Ok(findings)
    }
}

/// The first of the last events, found by reading backwards. Only its position is kept, so that there
/// may be any number of them.
#[derive(Debug, Default)]
struct Found {
    first: Option<Position>,
    count: u64,
    stopped_by: Option<Error>,
}

impl Found {
    fn by_reading(selected: &mut Selected) -> Self {
        let mut found = Self::default();
        let read = selected.visit(|event| found.take(event));
        Self { stopped_by: read.err(), ..found }
    }

    fn by_salvaging(store: &Inspection, last: &Selection) -> Self {
        let mut found = Self::default();
        store.salvage(last, |salvaged| match salvaged {
            Salvaged::Event(event) => found.take(event),
            Salvaged::Lost(_) => ControlFlow::Continue(()),
        });
        found
    }

    fn take(&mut self, event: EventView<'_>) -> ControlFlow<()> {
        self.first = Some(event.position());
        self.count += 1;
        ControlFlow::Continue(())
    }
}
