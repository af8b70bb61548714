//! What was read: how much, and whether it was the right bytes.

use serde::{Deserialize, Serialize};

/// A number of events, and the sum of their payloads.
///
/// Every reader adds up every byte, so that no store gains by handing out bytes that it has not
/// fetched, and what different stores read can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub events: u64,
    pub payload_sum: u64,
}

impl Sum {
    /// Adds an event with this payload.
    pub fn add(&mut self, payload: &[u8]) {
        let (words, rest) = payload.as_chunks::<8>();
        let mut sum = 0_u64;
        for word in words {
            sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
        for byte in rest {
            sum = sum.wrapping_add(u64::from(*byte));
        }
        self.events += 1;
        self.payload_sum = self.payload_sum.wrapping_add(sum);
    }
}
