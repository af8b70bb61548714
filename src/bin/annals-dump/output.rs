//! Standard output: where data goes, and nothing else.

use std::io::{self, BufWriter, StdoutLock, Write};

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;

/// When text for people has colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    #[value(
        help = "On a terminal, unless NO_COLOR or CLICOLOR=0 is set; anywhere with CLICOLOR_FORCE"
    )]
    #[default]
    Auto,
    Always,
    Never,
}

/// Standard output, collected into large writes.
#[derive(Debug)]
pub(crate) struct Out {
    writer: BufWriter<StdoutLock<'static>>,
    /// Whether what is for people has colours.
    pub(crate) is_colored: bool,
}

impl Out {
    pub(crate) fn stdout(color: Color) -> Self {
        let is_colored = match color {
            Color::Auto => !matches!(AutoStream::choice(&io::stdout()), ColorChoice::Never),
            Color::Always => true,
            Color::Never => false,
        };
        Self { writer: BufWriter::with_capacity(64 << 10, io::stdout().lock()), is_colored }
    }

    /// Writes `bytes`.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// Writes `line` and a line feed.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.writer.write_all(line.as_bytes())?;
        self.writer.write_all(b"\n")
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
