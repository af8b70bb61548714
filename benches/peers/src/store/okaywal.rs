//! okaywal: a bare log, of which the entries can be read in order when it is opened, and nothing
//! else can be asked. An entry is a batch, a chunk of it an event.
//!
//! Never checkpointed, since a checkpoint throws away what it covers.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use okaywal::{
    Configuration, Entry, EntryId, LogManager, LogVoid, ReadChunkResult, SegmentReader,
    WriteAheadLog,
};

use crate::Result;
use crate::event::Event;
use crate::places::{Places, encode, payload_in, position_key};
use crate::store::{Mode, Store, Use};
use crate::sum::Sum;

/// It fills so much with zeroes when it is created.
const PREALLOCATED_LEN: u32 = 256 << 20;

pub fn open(dir: &Path, mode: Mode, work: Use<'_>) -> Result<()> {
    // To open it is to read all of it, so for reading that is left to the replay.
    let log = match mode {
        Mode::Durable => Some(configuration(dir).open(LogVoid)?),
        Mode::Read => None,
        Mode::Bulk => return Err(cannot()),
    };
    work(&Okaywal { dir: dir.to_owned(), log: log.clone(), places: Places::new() })?;
    Ok(log.map_or(Ok(()), WriteAheadLog::shutdown)?)
}

fn configuration(dir: &Path) -> Configuration {
    Configuration::default_for(dir)
        .preallocate_bytes(PREALLOCATED_LEN)
        .checkpoint_after_bytes(u64::MAX)
}

struct Okaywal {
    dir: PathBuf,
    log: Option<WriteAheadLog>,
    places: Places,
}

/// Adds up the events of entries.
#[derive(Debug, Default)]
struct Reader {
    sum: Arc<Mutex<Sum>>,
    /// The event that was read last, kept for its memory.
    event: Vec<u8>,
}

impl LogManager for Reader {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let mut sum = self.sum.lock().expect("no thread has panicked");
        while let ReadChunkResult::Chunk(mut chunk) = entry.read_chunk()? {
            self.event.clear();
            chunk.read_to_end(&mut self.event)?;
            if !chunk.check_crc()? {
                return Err(io::ErrorKind::InvalidData.into());
            }
            sum.add(payload_in(&self.event[size_of::<u64>()..]));
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        Err(io::Error::other("a checkpoint throws events away"))
    }
}

fn cannot() -> Box<dyn std::error::Error + Send + Sync> {
    "okaywal cannot do this".into()
}

impl Store for Okaywal {
    fn append(&self, events: &[Event<'_>], time_ns: Option<u64>) -> Result<()> {
        let mut entry = self.log.as_ref().ok_or_else(cannot)?.begin_entry()?;
        let mut record = Vec::new();
        for (event, place) in self.places.give(events, time_ns) {
            encode(event, place, &mut record);
            record.splice(..0, position_key(place.position));
            entry.write_chunk(&record)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Err(cannot())
    }

    fn replay(&self) -> Result<Sum> {
        let reader = Reader::default();
        let sum = Arc::clone(&reader.sum);
        configuration(&self.dir).open(reader)?.shutdown()?;
        let sum = *sum.lock().expect("no thread has panicked");
        Ok(sum)
    }

    fn read_stream(&self, _: &str) -> Result<Sum> {
        Err(cannot())
    }

    fn read_since(&self, _: u64, _: usize) -> Result<Sum> {
        Err(cannot())
    }

    fn read_last(&self, _: &str) -> Result<Sum> {
        Err(cannot())
    }
}
