//! `show`: one event whole, with all that frames it on disk.

use std::io::Write as _;
use std::path::PathBuf;

use annals::Position;
use annals::inspect::{DamagedRecord, FoundRecord, Inspection, ShownRecord, push_hex_dump};
use clap::{Args, ValueEnum};

use crate::findings::{FOUND, Finding, Stop, of_reading};
use crate::output::Out;

/// Shows one event whole: all fields, its payload, and the bytes of its record
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    annals-dump show quakes.annals 1567\n  \
    annals-dump show quakes.annals 1567 --format raw > payload.json")]
pub(crate) struct Show {
    /// The directory of the store
    store: PathBuf,
    /// The position of the event
    position: Position,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: ShowFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ShowFormat {
    /// Everything, for people
    #[default]
    Text,
    /// One JSON object
    Jsonl,
    /// The bytes of the record as hexdump shows them
    Hex,
    /// The bytes of the payload, and nothing else
    Raw,
}

impl Show {
    pub(crate) fn run(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let store = Inspection::open(&self.store)?;
        match store.record(self.position)? {
            Some(FoundRecord::Sound(record)) => {
                self.sound(&record, out)?;
                Ok(of_reading(&store, &[]))
            }
            Some(FoundRecord::Damaged(record)) => {
                self.damaged(&record, out)?;
                Ok(of_reading(&store, &[record.error]))
            }
            _ => {
                let (position, end) = (self.position, store.end());
                let text =
                    format!("there is no event at position {position}: the log ends at {end}");
                let mut findings = vec![Finding { text, exit_code: FOUND }];
                findings.extend(of_reading(&store, &[]));
                Ok(findings)
            }
        }
    }

    fn sound(&self, record: &ShownRecord, out: &mut Out) -> Result<(), Stop> {
        match self.format {
            ShowFormat::Text => out.write_all(record.text().as_bytes())?,
            ShowFormat::Jsonl => out.line(&record.json_line())?,
            ShowFormat::Hex => out.write_all(hex(&record.bytes).as_bytes())?,
            ShowFormat::Raw => out.write_all(record.event.payload())?,
        }
        Ok(())
    }

    /// Prints what there is, where that is no data that a program would take for an event.
    fn damaged(&self, record: &DamagedRecord, out: &mut Out) -> Result<(), Stop> {
        match self.format {
            ShowFormat::Text => out.write_all(record.text().as_bytes())?,
            ShowFormat::Hex => out.write_all(hex(&record.bytes).as_bytes())?,
            ShowFormat::Jsonl | ShowFormat::Raw => {}
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    push_hex_dump(&mut text, bytes);
    text
}
