//! annals with its default options, and with a cache as large as its peers have.

use std::ops::ControlFlow;
use std::path::Path;

use annals::{
    Batch, ContentType, Durability, EventId, EventView, Expected, NewEvent, Options, Store as Log,
    Timestamp,
};

use crate::Result;
use crate::event::Event;
use crate::store::{Mode, Store, Use};
use crate::sum::Sum;

/// Bytes of blocks of the log that its readers share: as many as its peers have.
const CACHE_LEN: u64 = 1 << 30;

pub fn open(dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    open_with(Options::new(), dir, mode, work)
}

/// With the cache.
pub fn open_cached(dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    open_with(Options::new().read_cache_len(CACHE_LEN), dir, mode, work)
}

fn open_with(options: Options, dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    let durability = match mode {
        Mode::Bulk => Durability::Buffered,
        Mode::Durable | Mode::Read => Durability::Sync,
    };
    let log = options.durability(durability).open(dir)?;
    work(&Annals(log.clone()))?;
    Ok(log.close()?)
}

struct Annals(Log);

impl Store for Annals {
    fn append(&self, events: &[Event<'_>], time_ns: Option<u64>) -> Result<()> {
        let mut batch = Batch::new();
        for event in events {
            batch = batch.append(event.stream, Expected::Any, [new_event(event)]);
        }
        if let Some(time_ns) = time_ns {
            batch = batch.recorded_at(timestamp(time_ns));
        }
        self.0.append_batch(batch)?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.0.sync()?)
    }

    fn replay(&self) -> Result<Sum> {
        let mut sum = Sum::default();
        self.0.read_all().visit(|event| add(&mut sum, &event, u64::MAX))?;
        Ok(sum)
    }

    fn read_stream(&self, stream: &str) -> Result<Sum> {
        let mut sum = Sum::default();
        self.0.read_stream(stream).visit(|event| add(&mut sum, &event, u64::MAX))?;
        Ok(sum)
    }

    fn read_since(&self, time_ns: u64, count: usize) -> Result<Sum> {
        let (mut sum, count) = (Sum::default(), u64::try_from(count)?);
        let mut cursor = self.0.read_all().recorded(timestamp(time_ns)..);
        cursor.visit(|event| add(&mut sum, &event, count))?;
        Ok(sum)
    }

    fn read_last(&self, stream: &str) -> Result<Sum> {
        let mut sum = Sum::default();
        if let Some(event) = self.0.read_stream(stream).backwards().next() {
            sum.add(event?.payload());
        }
        Ok(sum)
    }
}

fn new_event(event: &Event<'_>) -> NewEvent {
    NewEvent::new(event.event_type, ContentType::Json, event.payload)
        .id(EventId::from_bytes(event.id))
}

fn timestamp(time_ns: u64) -> Timestamp {
    Timestamp::from_nanos(time_ns.cast_signed())
}

/// Adds an event, and goes on until there are `count`.
fn add(sum: &mut Sum, event: &EventView<'_>, count: u64) -> ControlFlow<()> {
    sum.add(event.payload());
    if sum.events < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
