//! The events that every store is given.
//!
//! Owns their shape and their order, which depend on a seed and nothing else.

use fastrand::Rng;

/// How many streams there are.
pub const STREAM_COUNT: usize = 10_000;
/// Bytes of a stream's name.
pub const STREAM_LEN: usize = 20;
/// Bytes of a payload.
pub const PAYLOAD_LEN: usize = 256;
/// How many different payloads there are. They take 1 MiB, which stays in a processor's cache.
const PAYLOAD_COUNT: usize = 4096;
const TYPES: [&str; 4] = ["order-placed", "payment-sent", "item-removed", "cart-cleared"];

/// An event to append.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The number of its stream, below [`STREAM_COUNT`].
    pub stream_number: usize,
    pub stream: &'a str,
    pub event_type: &'a str,
    pub id: [u8; 16],
    pub payload: &'a [u8],
}

/// What events are put together from, made before any clock runs.
pub struct Pool {
    streams: Vec<String>,
    payloads: Vec<Vec<u8>>,
}

impl Pool {
    pub fn new() -> Self {
        let mut random = Rng::with_seed(0);
        let streams = (0..STREAM_COUNT).map(|number| format!("customer-order-{number:05}"));
        let payloads = (0..PAYLOAD_COUNT).map(|_| payload(&mut random));
        Self { streams: streams.collect(), payloads: payloads.collect() }
    }

    /// The events of one producer, without end. The same for the same seed.
    pub fn events(&self, seed: u64) -> Events<'_> {
        Events { pool: self, random: Rng::with_seed(seed) }
    }

    /// The name of a stream.
    pub fn stream(&self, number: usize) -> &str {
        &self.streams[number]
    }
}

/// Events without end. From [`Pool::events`].
pub struct Events<'a> {
    pool: &'a Pool,
    random: Rng,
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let stream_number = self.random.usize(..STREAM_COUNT);
        Some(Event {
            stream_number,
            stream: &self.pool.streams[stream_number],
            event_type: TYPES[self.random.usize(..TYPES.len())],
            id: self.random.u128(..).to_be_bytes(),
            payload: &self.pool.payloads[self.random.usize(..PAYLOAD_COUNT)],
        })
    }
}

/// JSON of [`PAYLOAD_LEN`] bytes.
fn payload(random: &mut Rng) -> Vec<u8> {
    let mut text = format!(
        r#"{{"order":{:08},"customer":"c-{:06}","currency":"EUR","total":{}.{:02},"items":["#,
        random.u32(..100_000_000),
        random.u32(..1_000_000),
        random.u32(10..1000),
        random.u32(..100),
    );
    text += &format!(r#"{{"sku":"{:08x}","count":{}}}],"note":""#, random.u32(..), random.u8(1..9));
    while text.len() < PAYLOAD_LEN - 2 {
        text.push(random.lowercase());
    }
    text += "\"}";
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_lengths_that_are_promised() {
        let pool = Pool::new();
        for event in pool.events(7).take(10_000) {
            let lens = (event.stream.len(), event.event_type.len(), event.payload.len());
            assert_eq!(lens, (STREAM_LEN, 12, PAYLOAD_LEN));
        }
    }
}
