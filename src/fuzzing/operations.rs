//! The target `operations`: what a program does with a store, what fails meanwhile, and what is
//! left after a crash.

mod model;

use crate::clock::Clock;
use crate::error::Error;
use crate::event::{Batch, Expected, NewEvent};
use crate::fuzzing::disk::{Ticks, empty_store, options};
use crate::fuzzing::facts::stream_end;
use crate::fuzzing::input::Input;
use crate::fuzzing::operations::model::{Model, Part};
use crate::fuzzing::reading::{Oracle, glance, read};
use crate::options::Durability;
use crate::simulation::{Call, Fault, Simulation};
use crate::store::Store;
use crate::types::{EventId, Timestamp};

const STREAMS: [&str; 4] = ["a", "bb", "cart-42", "購物車"];
const CALLS: [Call; 11] = [
    Call::Open,
    Call::Create,
    Call::Read,
    Call::Write,
    Call::Sync,
    Call::SetLen,
    Call::Rename,
    Call::Remove,
    Call::CreateFolder,
    Call::SyncFolder,
    Call::List,
];
/// The most operations of one run.
const COUNT_MAX: usize = 64;

/// Does one thing after the other with a store: appends with all that can be expected of a
/// stream, syncs, reads, restarts, crashes, calls that fail; and checks it against a list.
///
/// # Panics
///
/// If anything is not as the list says: an event that was acknowledged as durable is gone, one
/// that was undone is there, a batch is there in part, a place was skipped or used twice, or two
/// ways to read do not agree.
pub fn operations(input: &[u8]) {
    let mut run = Run {
        input: Input::new(input),
        disk: empty_store(),
        store: None,
        clock: Ticks::default(),
        model: Model::default(),
        trouble: Trouble::None,
        may_be_poisoned: false,
    };
    run.open();
    for _ in 0..COUNT_MAX {
        if run.input.is_empty() {
            break;
        }
        run.step();
    }
    let seed = run.input.byte();
    run.crash(seed.into());
    run.read();
}

/// What may make a call fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    None,
    /// Faults were injected.
    Faults,
    /// The process dies, or is dead already.
    Dying,
}

struct Run<'a> {
    input: Input<'a>,
    disk: Simulation,
    /// `None` if it could not be opened.
    store: Option<Store>,
    clock: Ticks,
    model: Model,
    trouble: Trouble,
    /// Whether the index may have asked for a sync on its own, which then failed.
    may_be_poisoned: bool,
}

impl Run<'_> {
    fn step(&mut self) {
        match self.input.byte() % 16 {
            0..6 => self.append(),
            6 => self.sync(),
            7 => self.read(),
            8 => self.reopen(),
            9 => self.kill(),
            10 => {
                let seed = self.input.byte();
                self.crash(seed.into());
            }
            11 | 12 => self.inject(),
            13 => self.heal(),
            14 => {
                let count = self.disk.call_count() + u64::from(self.input.byte() % 32);
                self.disk.die_after(count);
                self.trouble = Trouble::Dying;
            }
            _ => self.clock.put(i64::from(self.input.byte().cast_signed()) * 16),
        }
    }

    /// Whether an error is one that the trouble explains.
    fn explain(&self, error: &Error) {
        let explained = match error {
            Error::Io { .. } | Error::OutcomeUnknown { .. } => self.trouble != Trouble::None,
            Error::Poisoned => self.model.is_poisoned || self.may_be_poisoned,
            _ => false,
        };
        assert!(explained, "{error:?}, and {:?}", self.trouble);
    }

    fn append(&mut self) {
        let (batch, parts) = self.batch();
        let time = self.input.byte();
        let last = self.model.last_time();
        let given = match time % 8 {
            0 => Some(last.plus(std::time::Duration::from_nanos(time.into()))),
            _ => None,
        };
        let durability = if time & 8 == 0 { Durability::Sync } else { Durability::Buffered };
        let batch = batch.durability(durability);
        let batch = given.into_iter().fold(batch, Batch::recorded_at);
        let Some(store) = &self.store else { return };
        let recorded_at = self.model.next_time(given, self.now());
        let appended = store.append_batch(batch);
        match self.model.appended(parts, recorded_at, durability, appended) {
            Ok(()) => self.may_be_poisoned |= self.trouble != Trouble::None,
            Err(error) => self.explain(&error),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A batch of up to four events.
    fn batch(&mut self) -> (Batch, Vec<Part>) {
        let mut batch = Batch::new();
        let mut parts = Vec::new();
        let shape = self.input.byte();
        for n in 0..=shape % 3 {
            let byte = self.input.byte();
            let stream = STREAMS.get(usize::from(byte % 4)).copied().unwrap_or("a");
            let expected = match byte / 4 % 8 {
                0..4 => Expected::Any,
                4 => Expected::NoStream,
                5 => Expected::Exists,
                6 => Expected::Exact(stream_end(&self.model.facts, stream).get()),
                _ => Expected::Exact(self.input.byte().into()),
            };
            let count = if n == 0 { 1 + shape / 64 % 2 } else { byte / 64 % 2 };
            let events: Vec<_> = (0..count).map(|_| self.event()).collect();
            batch = batch.append(stream, expected, events.clone());
            parts.push(Part { stream, expected, events });
        }
        (batch, parts)
    }

    /// An event that is not the same as any before.
    fn event(&mut self) -> NewEvent {
        let number = self.model.number();
        let len = usize::from(self.input.byte()) * 3;
        let mut payload = number.to_string().into_bytes();
        payload.resize(payload.len().max(len), b'.');
        let mut id = [0; 16];
        for (byte, digit) in id.iter_mut().zip(number.to_string().bytes()) {
            *byte = digit;
        }
        NewEvent::bytes("step", payload).id(EventId::from_bytes(id))
    }

    fn sync(&mut self) {
        let Some(store) = &self.store else { return };
        match store.sync() {
            Ok(()) => self.model.all_durable(),
            Err(error) => {
                self.model.is_poisoned |= matches!(error, Error::OutcomeUnknown { .. });
                self.explain(&error);
            }
        }
    }

    fn read(&mut self) {
        let choice = usize::from(self.input.byte());
        let Some(store) = &self.store else { return };
        for error in read(store, &self.model.facts, Oracle::Exact, choice) {
            self.explain(&error);
        }
    }

    fn reopen(&mut self) {
        if let Some(store) = self.store.take() {
            match store.close() {
                Ok(()) => self.model.all_durable(),
                Err(error) => self.explain(&error),
            }
        }
        self.model.ended();
        self.open();
    }

    /// Opens the store, and finds out what there is.
    fn open(&mut self) {
        match self.disk.open(&options(&self.clock)) {
            Ok(store) => {
                let is_durable = store.recovery().is_durable;
                self.model.opened(store.end(), is_durable);
                self.may_be_poisoned = !is_durable;
                if self.trouble != Trouble::Dying {
                    self.heal();
                    let errors = glance(&store, &self.model.facts);
                    assert!(errors.is_empty(), "{errors:?}");
                }
                self.store = Some(store);
            }
            Err(error) => self.explain(&error),
        }
    }

    fn kill(&mut self) {
        let restarted = self.disk.restart();
        self.model.ended();
        self.go_on_with(restarted);
    }

    /// A loss of power: what was not durable may be gone.
    fn crash(&mut self, seed: u64) {
        let crashed = self.disk.crash(seed);
        self.model.crashed();
        self.go_on_with(crashed);
    }

    fn go_on_with(&mut self, disk: Simulation) {
        self.store = None;
        self.disk = if self.input.byte() % 4 == 3 { disk.without_index() } else { disk };
        self.trouble = Trouble::None;
        self.open();
        assert!(self.store.is_some());
    }

    fn inject(&mut self) {
        let (which, how) = (usize::from(self.input.byte()), self.input.byte());
        let Some(call) = CALLS.get(which % CALLS.len()).copied() else { return };
        // Only creations fail for want of room. Recovery then takes places that may be lost if it has
        // not heard of a failed sync, and with every other call failing too it might not.
        let kind = match call {
            Call::Create => std::io::ErrorKind::StorageFull,
            _ => std::io::ErrorKind::Other,
        };
        let fault = Fault::next(call, kind).after(u64::from(how % 16));
        let fault = if how & 64 == 0 { fault } else { fault.forever() };
        self.disk.inject(fault);
        self.trouble = self.trouble.max(Trouble::Faults);
    }

    fn heal(&mut self) {
        self.disk.heal();
        if self.trouble == Trouble::Faults {
            self.trouble = Trouble::None;
        }
    }
}
