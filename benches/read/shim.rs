//! Stands in for calls that the library does not have yet.

use std::ops::ControlFlow;
use std::time::Duration;

use annals::{Cursor, Event, Options, StreamCursor};

pub(crate) trait Visit: Iterator<Item = annals::Result<Event>> + Sized {
    fn visit(&mut self, mut visit: impl FnMut(Event) -> ControlFlow<()>) -> annals::Result<()> {
        for event in self {
            if visit(event?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Visit for Cursor {}
impl Visit for StreamCursor {}

pub(crate) trait Wait {
    fn wait(&self, timeout: Duration) -> annals::Result<bool>;
}

impl Wait for Cursor {
    fn wait(&self, _timeout: Duration) -> annals::Result<bool> {
        std::thread::yield_now();
        Ok(true)
    }
}

pub(crate) trait ReadCache {
    #[must_use]
    fn read_cache_len(self, bytes: u64) -> Self;
}

impl ReadCache for Options {
    fn read_cache_len(self, _bytes: u64) -> Self {
        self
    }
}
