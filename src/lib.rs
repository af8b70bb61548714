//! A durable embedded event store.
//!
//! Producers append *events*, immutable facts, to named *streams*. The events of all streams form
//! one *log*, in the order in which they were appended. Consumers read it with *cursors*: from any
//! position, stream or time, as often as they like, without either side knowing the other.
//!
//! ```
//! use annals::{Expected, NewEvent, Store};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("shop.annals");
//! let store = Store::open(path)?;
//! store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "a teapot")])?;
//!
//! for event in store.read_all() {
//!     let event = event?;
//!     println!("{} {} {}", event.position(), event.stream(), event.event_type());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to begin
//!
//! - [`Store`] is an open store, [`Options`] say how to open one.
//! - [`NewEvent`] goes in, alone or with others in a [`Batch`]; [`Expected`] says what a stream
//!   must be like; a [`Receipt`] says where the events are.
//! - [`Cursor`] and [`StreamCursor`] give [`Event`]s.
//! - A [`Consumer`] is a reader with a name and a place that is kept; [`Workers`] handle its events in
//!   parallel.
//! - [`Durability`] says what an append waits for, [`RecoveryReport`] what opening has found.
//! - [`Error`] says what went wrong, where, and what state it leaves.
//!
//! # Words
//!
//! A *position* is the place of an event among all events, a *revision* its place in its stream.
//! Both count from 0 and skip nothing; every *end* is one past the last. *Flush* means to the
//! operating system, *sync* to the medium.
//!
//! # Features
//!
//! `json` adds typed JSON payloads and JSON Lines of events, `cli` the program `annals-dump`,
//! `async` a stream of events and an append for asynchronous code, `tracing` spans and events of the
//! crate of that name, `simulation` a directory in memory that fails and crashes as a real one may.
//! All are off by default.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod consumer;
mod cursor;
mod directory;
mod error;
mod event;
mod format;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
pub mod inspect;
mod log;
mod options;
mod report;
mod segment;
#[cfg(feature = "simulation")]
pub mod simulation;
mod store;
mod sync;
mod trace;
pub mod transfer;
mod types;
pub mod verify;

pub use clock::{Clock, SystemClock};
pub use consumer::{
    Consumer, ConsumerBuilder, ConsumerInfo, Delivery, HandlerError, Lag, OnFailure, ParkedEvent,
    Retried, WorkerGroup, WorkerStats, Workers,
};
#[cfg(feature = "async")]
pub use cursor::AsyncFollow;
pub use cursor::{Cursor, Follow, Followable, Followed, StreamCursor, StreamInfo, Streams};
pub use error::{Error, Result};
pub use event::{Batch, ContentType, Event, EventView, Expected, NewEvent, Receipt, Tags};
pub use options::{Durability, Options};
pub use report::{IndexRecovery, IndexTrouble, RecoveryReport, TornTail, Witness};
#[cfg(feature = "async")]
pub use store::Appending;
pub use store::{ReadOnlyStore, RepairPlan, RepairReport, Stats, Store};
pub use types::{
    CONSUMER_NAME_LEN_MAX, EventId, NAME_LEN_MAX, NameFault, NameKind, Position, Revision, StoreId,
    Timestamp,
};

/// The README's programs, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
