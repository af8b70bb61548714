//! annals with its default options.

use std::path::Path;

use annals::{
    Batch, ContentType, Durability, EventId, Expected, NewEvent, Options, Store as Log, Timestamp,
};

use crate::Result;
use crate::event::Event;
use crate::store::{Mode, Store, Use};
use crate::sum::Sum;

pub fn open(dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    let durability = match mode {
        Mode::Bulk => Durability::Buffered,
        Mode::Durable | Mode::Read => Durability::Sync,
    };
    let log = Options::new().durability(durability).open(dir)?;
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
        sum(self.0.read_all())
    }

    fn read_stream(&self, stream: &str) -> Result<Sum> {
        sum(self.0.read_stream(stream))
    }

    fn read_since(&self, time_ns: u64, count: usize) -> Result<Sum> {
        sum(self.0.read_all().recorded(timestamp(time_ns)..).take(count))
    }

    fn read_last(&self, stream: &str) -> Result<Sum> {
        sum(self.0.read_stream(stream).backwards().take(1))
    }
}

fn new_event(event: &Event<'_>) -> NewEvent {
    NewEvent::new(event.event_type, ContentType::Json, event.payload)
        .id(EventId::from_bytes(event.id))
}

fn timestamp(time_ns: u64) -> Timestamp {
    Timestamp::from_nanos(time_ns.cast_signed())
}

fn sum(events: impl Iterator<Item = annals::Result<annals::Event>>) -> Result<Sum> {
    let mut sum = Sum::default();
    for event in events {
        sum.add(event?.payload());
    }
    Ok(sum)
}
