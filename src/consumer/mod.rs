//! Consumers: named, durable places in the log, and who moves them.
//!
//! Owns the folder `consumers`: where each consumer is, which events it has put aside, and who may
//! say so. Knows nothing of appending: a batch that moves a consumer is appended by the store.

mod builder;
mod entry;
mod feed;
mod found;
mod info;
mod keeper;
mod lag;
mod opened;
mod parked;
mod place;
mod registry;
mod retrying;
mod workers;

pub use builder::ConsumerBuilder;
pub(crate) use found::{FoundConsumer, find_consumers};
pub use info::ConsumerInfo;
pub use lag::Lag;
pub use opened::Consumer;
pub use parked::ParkedEvent;
pub(crate) use registry::Consumers;
pub use retrying::Retried;
pub use workers::{Delivery, HandlerError, OnFailure, WorkerGroup, WorkerStats, Workers};
