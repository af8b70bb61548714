//! The events that are measured with: all of one shape, none like another.

use annals::{Batch, ContentType, Expected, NewEvent};
use fastrand::Rng;

pub(crate) const EVENT_TYPE: &str = "order-placed";
pub(crate) const PAYLOAD_LEN: usize = 256;
pub(crate) const STREAM_LEN: usize = 20;
pub(crate) const BATCH_LEN: usize = 1000;
/// How many streams there are, where a row does not say otherwise.
pub(crate) const STREAM_COUNT: u64 = 10_000;

/// Odd, so that multiplying by it gives every name of [`NAME_BITS`] bits once.
const SCRAMBLE: u64 = 0x9E37_79B9_7F4A_7C15;
const NAME_BITS: u32 = 60;
const WORDS: [&str; 12] = [
    "kettle", "teapot", "saucer", "gift", "blue", "green", "fragile", "express", "pick-up",
    "invoice", "voucher", "return",
];

/// What is to be appended, for a side that knows no batches.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) stream: String,
    pub(crate) payload: Vec<u8>,
}

/// Events in [`STREAM_COUNT`] streams at random, made before anything is timed and then used over
/// and over. The same ones each time.
#[derive(Debug)]
pub(crate) struct Pool {
    samples: Vec<Sample>,
}

impl Pool {
    pub(crate) fn new(event_count: usize) -> Self {
        let mut random = Rng::with_seed(1);
        let sample = |_| Sample {
            stream: stream_name(random.u64(..STREAM_COUNT)),
            payload: payload(&mut random),
        };
        Self { samples: (0..event_count).map(sample).collect() }
    }

    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The same events in batches of `batch_len`.
    pub(crate) fn batches(&self, batch_len: usize) -> Vec<Batch> {
        self.samples.chunks(batch_len).map(|samples| batch_of(samples.to_vec())).collect()
    }
}

/// The name of stream `n`. Names do not sort as their numbers do.
pub(crate) fn stream_name(n: u64) -> String {
    let scrambled = n.wrapping_mul(SCRAMBLE) & ((1 << NAME_BITS) - 1);
    format!("cart-{scrambled:015x}")
}

/// A text like JSON, of [`PAYLOAD_LEN`] bytes.
fn payload(random: &mut Rng) -> Vec<u8> {
    let (customer, cents) = (random.u32(..), random.u32(100..100_000));
    let mut text = format!(r#"{{"customer":{customer},"cents":{cents},"note":""#);
    while text.len() < PAYLOAD_LEN {
        text += random.choice(WORDS).unwrap_or_default();
        text += " ";
    }
    text.truncate(PAYLOAD_LEN - 2);
    text += r#""}"#;
    text.into_bytes()
}

/// A batch of these events, each of which may be of any stream.
pub(crate) fn batch_of(samples: impl IntoIterator<Item = Sample>) -> Batch {
    samples.into_iter().fold(Batch::new(), |batch, Sample { stream, payload }| {
        let event = NewEvent::new(EVENT_TYPE, ContentType::Json, payload);
        batch.append(stream, Expected::Any, [event])
    })
}
