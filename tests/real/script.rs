//! What the processes do with a store: batches with numbers, from which all that is in them follows.

use std::collections::BTreeMap;
use std::path::Path;

use annals::{Batch, Durability, Error, Event, Expected, NewEvent, Options, Store};

use super::book::{Book, Fate, compare};
use super::process::{get_ahead_of_main_thread, tell};

/// Options that make a few appends roll segments and write checkpoints.
pub(crate) fn options() -> Options {
    Options::new().segment_len_max(4 << 10).page_cache_len(0).checkpoint_event_count(9)
}

/// How many bytes the payload of batch `number` is filled up to.
fn payload_len(number: u64) -> usize {
    let len = if number % 11 == 3 { 2_500 } else { number * 97 % 700 };
    usize::try_from(len).unwrap()
}

/// The streams and payloads of a batch.
pub(crate) fn parts_of(number: u64) -> Vec<(String, String)> {
    let count = if number % 11 == 3 { 1 } else { number % 3 + 1 };
    let part = |at: u64| {
        let stream = if at == 2 { "shared".to_owned() } else { format!("stream-{}", number % 5) };
        (stream, format!("{number}/{at} {}", ".".repeat(payload_len(number))))
    };
    (0..count).map(part).collect()
}

/// Where the streams of a store end.
pub(crate) type Ends = BTreeMap<String, u64>;

/// A batch that expects of its streams what `ends` says, or anything.
pub(crate) fn batch_of(number: u64, ends: Option<&Ends>) -> Batch {
    let mut batch = Batch::new();
    for (stream, payload) in parts_of(number) {
        let end = |ends: &Ends| ends.get(&stream).copied().unwrap_or(0);
        let expected = ends.map_or(Expected::Any, |ends| Expected::Exact(end(ends)));
        batch = batch.append(stream, expected, [NewEvent::text(number.to_string(), payload)]);
    }
    batch
}

/// Appends batch `number`, and tells before and after.
pub(crate) fn append(store: &Store, number: u64, batch: &Batch) -> Fate {
    tell(&format!("TRY {number}"));
    let (line, fate) = match store.append_batch(batch) {
        Ok(receipt) => {
            let position = receipt.first().get();
            (format!("ACK {number} {position}"), Fate::There(position))
        }
        Err(Error::OutcomeUnknown { source }) => {
            (format!("UNKNOWN {number} {source}"), Fate::Unknown)
        }
        Err(error @ (Error::Io { .. } | Error::Poisoned | Error::Closed)) => {
            let word = if matches!(error, Error::Poisoned) { "poisoned" } else { "failed" };
            (format!("UNDONE {number} {word} {error}"), Fate::Undone)
        }
        Err(error) => panic!("batch {number}: {error:?}"),
    };
    tell(&line);
    fate
}

/// One opening of a store, by one thread.
pub(crate) struct Session<'a> {
    store: &'a Store,
    book: &'a mut Book,
    /// Known if everything could be read.
    ends: Option<Ends>,
    undone_count: u64,
}

impl<'a> Session<'a> {
    pub(crate) fn new(store: &'a Store, book: &'a mut Book) -> Self {
        Self { store, book, ends: ends_of(store), undone_count: 0 }
    }

    /// How many appends were undone.
    pub(crate) fn undone_count(&self) -> u64 {
        self.undone_count
    }

    /// Appends the next batch.
    pub(crate) fn append(&mut self, durability: Durability) -> Fate {
        let number = self.book.next();
        let batch = batch_of(number, self.ends.as_ref()).durability(durability);
        let fate = append(self.store, number, &batch);
        self.book.set(number, fate);
        self.undone_count += u64::from(fate == Fate::Undone);
        if let (Fate::There(_), Some(ends)) = (fate, &mut self.ends) {
            for (stream, _) in parts_of(number) {
                *ends.entry(stream).or_default() += 1;
            }
        }
        fate
    }

    /// Reads everything. Errors of the medium are told, and wrong events are a panic.
    pub(crate) fn compare(&self) {
        match compare(self.store, self.book) {
            Ok(()) => tell("READ"),
            Err(error @ Error::Io { .. }) => tell(&format!("UNREAD {error}")),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn sync(&self) {
        match self.store.sync() {
            Ok(()) => tell("SYNCED"),
            Err(error @ (Error::OutcomeUnknown { .. } | Error::Poisoned | Error::Io { .. })) => {
                tell(&format!("UNSYNCED {error}"));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn ends_of(store: &Store) -> Option<Ends> {
    let mut ends = Ends::new();
    for event in store.read_all() {
        let name = event.as_ref().map(Event::stream).ok()?.to_owned();
        *ends.entry(name).or_default() += 1;
    }
    Some(ends)
}

/// Opens a store; one more time if that fails.
pub(crate) fn open(path: &Path) -> Option<Store> {
    for _ in 0..2 {
        match options().open(path) {
            Ok(store) => {
                tell(&format!("OPEN {:?}", store.recovery().index));
                return Some(store);
            }
            Err(error @ Error::Io { .. }) => tell(&format!("SHUT {error}")),
            Err(error) => panic!("{error:?}"),
        }
    }
    tell("REFUSED");
    None
}

/// Opens the store, appends, reads and closes it, and all of that once more.
pub(crate) fn play(path: &Path) {
    let mut book = Book::load(path);
    get_ahead_of_main_thread();
    tell("BEGIN");
    for _ in 0..2 {
        let Some(store) = open(path) else { continue };
        let mut session = Session::new(&store, &mut book);
        for n in 0..7 {
            session.append(if n % 4 == 1 { Durability::Buffered } else { Durability::Sync });
        }
        session.append(Durability::Buffered);
        session.sync();
        session.append(Durability::Buffered);
        session.compare();
        tell(&match store.close() {
            Ok(()) => "CLOSED".to_owned(),
            Err(error) => format!("UNCLOSED {error}"),
        });
    }
    tell("DONE");
}

/// Appends to a store, and ends without closing it.
pub(crate) fn leave_open(path: &Path) -> ! {
    let store = options().open(path).unwrap();
    for number in 0..12 {
        append(&store, number, &batch_of(number, None));
    }
    std::process::exit(0);
}

/// Opens a store that nothing happens to any more, twice: it holds what the book says, and takes
/// what is new.
pub(crate) fn check(path: &Path) {
    let mut book = Book::load(path);
    for _ in 0..2 {
        let store = options().open(path).unwrap();
        tell(&format!("OPEN {:?}", store.recovery()));
        compare(&store, &book).unwrap();
        let mut session = Session::new(&store, &mut book);
        for _ in 0..3 {
            session.append(Durability::Sync);
        }
        compare(&store, &book).unwrap();
        store.close().unwrap();
    }
    tell("DONE");
}
