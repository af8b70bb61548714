//! What the integration tests share: a place for a store, a book of what was appended to it, and
//! the comparison of the two.

#[cfg(feature = "cli")]
pub(crate) mod dumper;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use annals::{
    Batch, ContentType, Durability, Error, Event, EventId, Expected, NewEvent, Options, Position,
    Receipt, Result, Revision, Store, Timestamp,
};
use proptest::test_runner::Config;
use tempfile::TempDir;

/// Fails unless a result is an error of this very form.
macro_rules! assert_error {
    ($result:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            other => panic!("{} gave {other:?}", stringify!($result)),
        }
    };
}
pub(crate) use assert_error;

/// A directory that goes away with its test, in memory where the system has room for it there.
pub(crate) fn place() -> TempDir {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        if free_kib(&memory) > Some(400_000) { memory } else { env::temp_dir() }
    });
    tempfile::Builder::new().prefix("annals-").tempdir_in(base).unwrap()
}

fn free_kib(path: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(path).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

/// As many random cases as `PROPTEST_CASES` says, or as few as these.
pub(crate) fn cases(default: u32) -> Config {
    let asked = Config::default();
    let is_asked = env::var_os("PROPTEST_CASES").is_some();
    let cases = if is_asked { asked.cases } else { default };
    Config { cases, max_shrink_iters: 4_000, failure_persistence: None, ..asked }
}

/// Options that make many small files, and leave durability to those tests whose subject it is.
pub(crate) fn small() -> Options {
    Options::new().segment_len_max(4 << 10).durability(Durability::Buffered)
}

/// All that a reader can see of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) position: u64,
    pub(crate) stream: String,
    pub(crate) revision: u64,
    pub(crate) event_type: String,
    pub(crate) content_type: ContentType,
    pub(crate) payload: Vec<u8>,
    pub(crate) metadata: Vec<u8>,
    pub(crate) tags: Vec<String>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) id: EventId,
    pub(crate) recorded_at: Timestamp,
    pub(crate) ends_batch: bool,
}

impl Seen {
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            position: event.position().get(),
            stream: event.stream().to_owned(),
            revision: event.revision().get(),
            event_type: event.event_type().to_owned(),
            content_type: event.content_type(),
            payload: event.payload().to_owned(),
            metadata: event.metadata().to_owned(),
            tags: event.tags().map(str::to_owned).collect(),
            key: event.idempotency_key().map(<[u8]>::to_owned),
            id: event.id(),
            recorded_at: event.recorded_at(),
            ends_batch: event.ends_batch(),
        }
    }

    fn to_new(&self) -> NewEvent {
        let event = NewEvent::new(&*self.event_type, self.content_type, &*self.payload)
            .id(self.id)
            .metadata(&*self.metadata)
            .idempotency_key(self.key.clone().unwrap_or_default());
        self.tags.iter().fold(event, NewEvent::tag)
    }
}

/// What a store must hold, and a source of events to append. The same seed gives the same events.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) events: Vec<Seen>,
    random: fastrand::Rng,
}

impl Book {
    pub(crate) fn new(seed: u64) -> Self {
        Self { events: Vec::new(), random: fastrand::Rng::with_seed(seed) }
    }

    /// Appends one batch, with so many events for each of these streams, and writes it down.
    pub(crate) fn append(&mut self, store: &Store, parts: &[(&str, usize)]) -> Receipt {
        let parts: Vec<_> = parts.iter().map(|(s, count)| (*s, Expected::Any, *count)).collect();
        self.try_append(store, &parts, |batch| batch).unwrap()
    }

    /// Appends one batch, to which `finish` may add something, and writes it down if that is
    /// acknowledged.
    pub(crate) fn try_append(
        &mut self,
        store: &Store,
        parts: &[(&str, Expected, usize)],
        finish: impl FnOnce(Batch) -> Batch,
    ) -> Result<Receipt> {
        let mut batch = Batch::new();
        let mut drafts = Vec::new();
        for (stream, expected, count) in parts {
            let part: Vec<_> = (0..*count).map(|_| self.draft(stream)).collect();
            batch = batch.append(*stream, *expected, part.iter().map(Seen::to_new));
            drafts.extend(part);
        }
        let receipt = store.append_batch(finish(batch))?;
        self.write_down(drafts, &receipt);
        Ok(receipt)
    }

    /// Appends one event with a payload of this length.
    pub(crate) fn append_big(&mut self, store: &Store, stream: &str, len: usize) -> Receipt {
        let draft = Seen { payload: vec![7; len], ..self.draft(stream) };
        let receipt = store.append(stream, Expected::Any, [draft.to_new()]).unwrap();
        self.write_down(vec![draft], &receipt);
        receipt
    }

    fn write_down(&mut self, drafts: Vec<Seen>, receipt: &Receipt) {
        assert_eq!(receipt.first().get(), self.end(), "positions are dense");
        assert_eq!(receipt.end().get(), self.end() + count(&drafts));
        for mut draft in drafts {
            draft.position = self.end();
            draft.revision = self.stream_end(&draft.stream);
            draft.recorded_at = receipt.recorded_at();
            draft.ends_batch = draft.position + 1 == receipt.end().get();
            self.events.push(draft);
        }
    }

    pub(crate) fn end(&self) -> u64 {
        count(&self.events)
    }

    pub(crate) fn stream_end(&self, stream: &str) -> u64 {
        let last = self.events.iter().rev().find(|event| event.stream == stream);
        last.map_or(0, |event| event.revision + 1)
    }

    /// An event with some of the parts that an event can have.
    fn draft(&mut self, stream: &str) -> Seen {
        let random = &mut self.random;
        let mut bytes = |len_max: usize| -> Vec<u8> {
            (0..random.usize(..=len_max)).map(|_| random.u8(..)).collect()
        };
        let (payload, metadata) = (bytes(60), bytes(12));
        let key = Some(bytes(6)).filter(|key| !key.is_empty());
        let tags = bytes(2).iter().map(|byte| format!("tag-{byte}")).collect();
        Seen {
            position: 0,
            stream: stream.to_owned(),
            revision: 0,
            event_type: format!("type-{}", random.u8(..4)),
            content_type: ContentType::from_code(
                [random.u8(..8), random.u8(128..)][random.usize(..2)],
            ),
            payload,
            metadata,
            tags,
            key,
            id: EventId::from_bytes(random.u128(..).to_le_bytes()),
            recorded_at: Timestamp::MIN,
            ends_batch: false,
        }
    }
}

pub(crate) fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap()
}

/// Fails unless every way to read gives exactly these events.
pub(crate) fn assert_agrees(store: &Store, expected: &[Seen]) {
    let errors = read_all_ways(store, expected);
    assert!(errors.is_empty(), "{errors:?}");
}

/// Reopens the store, compares it with what was acknowledged, and appends to it.
pub(crate) fn assert_unharmed(path: &Path, book: &Book) {
    let mut book = book.clone();
    for _ in 0..2 {
        let store = small().create(false).open(path).unwrap();
        assert_agrees(&store, &book.events);
        book.append(&store, &[("after", 1), ("cart", 1)]);
        assert_agrees(&store, &book.events);
        store.close().unwrap();
    }
}

/// Reads in every way there is. Whatever is given must be the right event at its place, and a
/// read that ends must have given all of them; errors end a read, and are returned.
pub(crate) fn read_all_ways(store: &Store, expected: &[Seen]) -> Vec<Error> {
    let mut reader = Reader { errors: read_main_ways(store, expected) };
    reader.read_from_everywhere(store, expected);
    reader.read_parts_of_streams(store, expected);
    reader.read_around_all_times(store, expected);
    reader.read_ranges_of_time(store, expected);
    reader.errors
}

/// As [`read_all_ways`], but each way once only.
pub(crate) fn read_main_ways(store: &Store, expected: &[Seen]) -> Vec<Error> {
    assert_eq!(store.end().get(), count(expected), "the end");
    let mut reader = Reader { errors: Vec::new() };
    reader.compare("all", store.read_all(), expected);
    reader.compare("all backwards", store.read_all().backwards(), expected.iter().rev());
    reader.read_streams(store, expected);
    reader.list_streams(store, expected);
    if let Some(middle) = expected.get(expected.len() / 2) {
        let since = middle.recorded_at;
        reader.find_time(store, expected, since);
        let late = expected.iter().filter(|event| event.recorded_at >= since);
        reader.compare("since a time", store.read_all().recorded(since..), late);
    }
    reader.errors
}

struct Reader {
    errors: Vec<Error>,
}

impl Reader {
    fn compare<'a>(
        &mut self,
        what: &str,
        events: impl Iterator<Item = Result<Event>>,
        expected: impl IntoIterator<Item = &'a Seen>,
    ) {
        let mut expected = expected.into_iter();
        for event in events {
            let Some(event) = self.keep(event) else { return };
            assert_eq!(Some(&Seen::of(&event)), expected.next(), "{what}");
        }
        assert_eq!(None, expected.next(), "{what} ends early");
    }

    fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    fn read_from_everywhere(&mut self, store: &Store, expected: &[Seen]) {
        for (at, event) in expected.iter().enumerate() {
            let position = event.position;
            self.compare("one", store.read_all().from(position).take(1), [event]);
            let before = store.read_all().from(position).backwards().take(1);
            self.compare("one before", before, expected[..at].last());
        }
    }

    fn read_streams(&mut self, store: &Store, expected: &[Seen]) {
        for (name, events) in streams_of(expected) {
            let cursor = || store.read_stream(name);
            self.compare(name, cursor(), events.iter().copied());
            self.compare(name, cursor().backwards(), events.iter().rev().copied());
            if let Some(end) = self.keep(store.stream_end(name)) {
                assert_eq!(end.get(), count(&events), "the end of {name}");
            }
        }
        self.compare("no stream", store.read_stream("none"), []);
    }

    fn read_parts_of_streams(&mut self, store: &Store, expected: &[Seen]) {
        for (name, events) in streams_of(expected) {
            let (before, after) = events.split_at(events.len() / 2);
            let cursor = || store.read_stream(name).from(count(before));
            self.compare(name, cursor(), after.iter().copied());
            self.compare(name, cursor().backwards(), before.iter().rev().copied());
        }
    }

    fn read_around_all_times(&mut self, store: &Store, expected: &[Seen]) {
        let nanosecond = Duration::from_nanos(1);
        for time in times_of(expected) {
            for time in [time.minus(nanosecond), time, time.plus(nanosecond)] {
                self.find_time(store, expected, time);
            }
        }
    }

    fn find_time(&mut self, store: &Store, expected: &[Seen], time: Timestamp) {
        if let Some(position) = self.keep(store.position_at(time)) {
            let first = expected.partition_point(|event| event.recorded_at < time);
            assert_eq!(position, Position::new(count(&expected[..first])), "at {time}");
        }
    }

    fn read_ranges_of_time(&mut self, store: &Store, expected: &[Seen]) {
        let times = times_of(expected);
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return };
        let third = times[times.len() / 3];
        for range in [*first..third, third..*last, *last..Timestamp::MAX] {
            let wanted = || expected.iter().filter(|event| range.contains(&event.recorded_at));
            let cursor = || store.read_all().recorded(range.clone());
            self.compare("by time", cursor(), wanted());
            self.compare("by time, backwards", cursor().backwards(), wanted().rev());
            let name = &*expected[0].stream;
            let wanted = || wanted().filter(|event| event.stream == name);
            let cursor = || store.read_stream(name).recorded(range.clone());
            self.compare("a stream by time", cursor(), wanted());
            self.compare("a stream by time, backwards", cursor().backwards(), wanted().rev());
        }
    }

    fn list_streams(&mut self, store: &Store, expected: &[Seen]) {
        let streams: Result<Vec<_>> =
            store.streams().map(|info| info.map(|i| (i.name().to_owned(), i.end()))).collect();
        if let Some(streams) = self.keep(streams) {
            let expected: Vec<_> = streams_of(expected)
                .into_iter()
                .map(|(name, events)| (name.to_owned(), Revision::new(count(&events))))
                .collect();
            assert_eq!(streams, expected, "the streams");
        }
    }
}

/// The recorded time of each batch.
fn times_of(events: &[Seen]) -> Vec<Timestamp> {
    let mut times: Vec<_> = events.iter().map(|event| event.recorded_at).collect();
    times.dedup();
    times
}

fn streams_of(events: &[Seen]) -> BTreeMap<&str, Vec<&Seen>> {
    let mut streams = BTreeMap::<_, Vec<_>>::new();
    for event in events {
        streams.entry(&*event.stream).or_default().push(event);
    }
    streams
}

/// Every file below `path` with its bytes, but for the index, which is a cache, and the lock.
pub(crate) fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let is_disposable = entry.file_name().to_string_lossy().starts_with("index");
        if entry.file_type().unwrap().is_dir() && !is_disposable {
            files.extend(self::files(&entry.path()));
        } else if !is_disposable && entry.file_name() != "LOCK" {
            files.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// The files of the segments, in their order.
pub(crate) fn segments(path: &Path) -> Vec<PathBuf> {
    let names: BTreeSet<_> =
        fs::read_dir(path.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.into_iter().filter(|path| path.extension().is_some_and(|e| e == "seg")).collect()
}

/// The first position of a segment, which its name tells.
pub(crate) fn base_of(segment: &Path) -> u64 {
    segment.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// Copies a directory with all that is in it. A file that is gone by then, as one that a store has just
/// moved to its place, is left out: who copies one by one may miss it in any case.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            match fs::copy(entry.path(), to) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            }
        }
    }
}

/// Takes away all that bears witness beside the log, as a crash may that comes before any of it
/// reaches the medium.
pub(crate) fn crash(path: &Path) {
    for name in ["clean", "durable", "index", "index.broken"] {
        let path = path.join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
}

const CHILD: &str = "ANNALS_TEST_CHILD";

/// What this process was started for by [`child`], if it was.
pub(crate) fn in_child() -> Option<PathBuf> {
    env::var_os(CHILD).map(PathBuf::from)
}

/// A process that runs one test of this file and finds `path` by [`in_child`].
pub(crate) fn child(test: &str, path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, path);
    command
}

/// Every file below `path` with its bytes.
pub(crate) fn all_files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(all_files(&entry.path()));
        } else {
            files.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// Writes random bytes over this share of the bytes of every file below `path`.
pub(crate) fn write_over(path: &Path, seed: u64, share: f64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for (path, mut bytes) in all_files(path) {
        for byte in &mut bytes {
            if random.f64() < share {
                *byte = random.u8(..);
            }
        }
        fs::write(path, bytes).unwrap();
    }
}

/// The file of a consumer that has committed once: `docs/format.md`, section 7.
pub(crate) fn slots(store: [u8; 16], position: u64) -> Vec<u8> {
    let fields = [1, position, 0, 1, u64::MAX, 0].map(u64::to_le_bytes).concat();
    let mut slot = [&b"annalcon"[..], &store, &fields].concat();
    slot.extend(crc32fast::hash(&slot).to_le_bytes());
    let mut file = vec![0; 8_192];
    file.extend(slot);
    file.resize(16_384, 0);
    file
}
