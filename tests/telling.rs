//! What a store tells of itself: in numbers, and to `tracing`.
#![cfg(feature = "tracing")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use annals::simulation::{Call, Fault, Simulation};
use annals::{Durability, Expected, NewEvent, Options, Position, Workers};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Book {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<AtomicU64>,
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Book {
    fn add(&self, metadata: &Metadata<'_>, visit: impl FnOnce(&mut Fields)) {
        assert_eq!(metadata.target(), "annals");
        let mut fields = Fields(String::new());
        visit(&mut fields);
        let name = if metadata.is_span() { metadata.name() } else { "-" };
        let line = format!("{} {name}{}", metadata.level(), fields.0);
        self.lines.lock().unwrap().push(line);
    }

    #[track_caller]
    fn assert_has(&self, words: &[&str]) {
        let lines = self.lines.lock().unwrap();
        let has = |line: &String| words.iter().all(|word| line.contains(word));
        assert!(lines.iter().any(has), "no {words:?} in {lines:#?}");
    }
}

impl Subscriber for Book {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.add(span.metadata(), |fields| span.record(fields));
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.add(event.metadata(), |fields| event.record(fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn what_happens_to_a_store_is_told_and_nothing_of_what_is_in_it() {
    let book = Book::default();
    let disk = Simulation::new();
    tracing::subscriber::set_global_default(book.clone()).unwrap();
    let store = disk.open(&Options::new().segment_len_max(4 << 10)).unwrap();
    book.assert_has(&["INFO", "opened", "created=true", "end=0"]);
    for n in 0..40 {
        let event = NewEvent::text("secret-type", format!("secret {n} {}", "x".repeat(100)));
        store.append("secret-stream", Expected::Any, [event]).unwrap();
    }
    book.assert_has(&["TRACE", "group", "events=1", "syncs=true"]);
    book.assert_has(&["DEBUG", "began a segment"]);
    book.assert_has(&["DEBUG", "sealed"]);
    let mut consumer = store.consumer("billing").open().unwrap();
    book.assert_has(&["DEBUG", "opened", "consumer=\"billing\"", "at=0"]);
    consumer.reset_to(30).unwrap();
    book.assert_has(&["INFO", "reset", "to=30"]);
    let group = consumer.run(Workers::new(1), |delivery| {
        if delivery.event().position() < Position::new(39) { Ok(()) } else { Err("no customer") }
    });
    group.unwrap().wait().unwrap_err();
    book.assert_has(&["DEBUG", "handle", "position=38", "attempt=1"]);
    book.assert_has(&["TRACE", "commit"]);
    book.assert_has(&["WARN", "a handler failed", "position=39", "error=no customer"]);
    book.assert_has(&["ERROR", "workers stop", "billing"]);
    disk.inject(Fault::next(Call::Sync, std::io::ErrorKind::Other));
    store.append("secret-stream", Expected::Any, [NewEvent::text("t", "")]).unwrap_err();
    book.assert_has(&["ERROR", "takes no more appends", "durable_end=40"]);
    store.close().unwrap();
    book.assert_has(&["INFO", "closed"]);
    let lines = book.lines.lock().unwrap();
    assert!(!lines.iter().any(|line| line.contains("secret")), "{lines:#?}");
}

#[test]
fn numbers_tell_how_a_store_does() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new().segment_len_max(4 << 10)).unwrap();
    let append = |durability| {
        let events = (0..3).map(|_| NewEvent::text("t", "x".repeat(100)));
        let batch = annals::Batch::new().append("s", Expected::Any, events).durability(durability);
        store.append_batch(batch).unwrap();
    };
    assert_eq!(store.stats().appended_event_count, 0);
    (0..10).for_each(|_| append(Durability::Sync));
    let stats = store.stats();
    assert_eq!((stats.end, stats.durable_end), (Position::new(30), Position::new(30)));
    assert_eq!((stats.appended_event_count, stats.group_count, stats.sync_count), (30, 10, 10));
    assert!(stats.appended_len > 3_000 && stats.segment_count > 1, "{stats:?}");
    assert!(stats.takes_appends && stats.is_index_usable && stats.unsynced_len == 0);
    append(Durability::Buffered);
    let stats = store.stats();
    assert_eq!((stats.end, stats.durable_end), (Position::new(33), Position::new(30)));
    assert!(stats.unsynced_len > 300 && stats.sync_count == 10, "{stats:?}");
    store.sync().unwrap();
    assert_eq!(store.stats().durable_end, Position::new(33));
    disk.inject(Fault::next(Call::Sync, std::io::ErrorKind::Other));
    store.append("s", Expected::Any, [NewEvent::text("t", "")]).unwrap_err();
    assert!(!store.stats().takes_appends);
    assert_eq!(store.stats().end, Position::new(33));
}
