//! A store that is opened for reading alone, beside a process that writes it, and after one.
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use annals::simulation::{Call, Fault, Simulation};
use annals::{Durability, Error, Expected, NewEvent, Options, ReadOnlyStore, Store};
use common::{Book, Seen, all_files, assert_error, base_of, copy, crash, place, segments, small};

/// Longer than any wait in these tests should take.
const LONG: Duration = Duration::from_secs(60);

fn buffered() -> Options {
    Options::new().durability(Durability::Buffered)
}

fn say(store: &Store, text: &str) {
    store.append("talk", Expected::Any, [NewEvent::text("said", text)]).unwrap();
}

fn end(reader: &ReadOnlyStore) -> u64 {
    reader.end().unwrap().get()
}

fn all(reader: &ReadOnlyStore) -> Vec<Seen> {
    reader.read_all().map(|event| Seen::of(&event.unwrap())).collect()
}

/// Waits until the writer's thread has noted that what is durable is.
fn wait_for(reader: &ReadOnlyStore, position: u64) {
    assert!(reader.read_all().from(position).wait(LONG).unwrap());
}

#[test]
fn a_reader_follows_a_writer_through_its_segments_and_never_passes_it() {
    for durability in [Durability::Sync, Durability::Buffered] {
        let place = place();
        let path = place.path().join("s");
        let options = Options::new().durability(durability).segment_len_max(8 << 10);
        let store = options.open(&path).unwrap();
        let done = AtomicBool::new(false);
        let mut book = Book::new(1);
        let (seen, passed) = thread::scope(|scope| {
            let following = scope.spawn(|| {
                let reader = options.open_read_only(&path).unwrap();
                let (mut cursor, mut seen, mut passed) = (reader.read_all(), Vec::new(), 0);
                loop {
                    let was_done = done.load(Ordering::Acquire);
                    for event in cursor.by_ref() {
                        let event = event.unwrap();
                        passed += u32::from(event.position() >= store.end());
                        seen.push(Seen::of(&event));
                    }
                    if was_done && cursor.next_position() == store.end() {
                        return (seen, passed);
                    }
                    cursor.wait(Duration::from_millis(20)).unwrap();
                }
            });
            for _ in 0..150 {
                book.append(&store, &[("a", 2), ("b", 1)]);
            }
            done.store(true, Ordering::Release);
            following.join().unwrap()
        });
        assert!(seen == book.events, "{} of {} events", seen.len(), book.events.len());
        // Of what is only buffered the files may tell before the writer does.
        assert!(passed == 0 || durability == Durability::Buffered);
        assert!(segments(&path).len() > 5);
    }
}

#[test]
fn a_reader_writes_nothing_and_finds_everything() {
    let disk = Simulation::new();
    let store = disk.open(&small()).unwrap();
    let mut book = Book::new(2);
    for _ in 0..60 {
        book.append(&store, &[("a", 1), ("b", 2), ("购物车", 1)]);
    }
    store.sync().unwrap();
    let calls = disk.call_count();
    let reader = disk.open_read_only(&Options::new()).unwrap();
    assert_eq!((reader.id(), reader.created_at()), (store.id(), store.created_at()));
    assert!(all(&reader) == book.events);
    for stream in ["a", "b", "购物车", "none"] {
        let of_stream = |seen: &&Seen| seen.stream == stream;
        let expected: Vec<_> = book.events.iter().filter(of_stream).cloned().collect();
        let mut found: Vec<_> =
            reader.read_stream(stream).map(|event| Seen::of(&event.unwrap())).collect();
        assert!(found == expected);
        found = reader.read_stream(stream).backwards().map(|e| Seen::of(&e.unwrap())).collect();
        assert!(found.iter().rev().eq(&expected));
        assert_eq!(reader.stream_end(stream).unwrap().get(), book.stream_end(stream));
    }
    let names: Vec<_> = reader.streams().map(|stream| stream.unwrap().name().to_owned()).collect();
    assert_eq!(names, ["a", "b", "购物车"]);
    let middle = &book.events[book.events.len() / 2];
    let at = reader.position_at(middle.recorded_at).unwrap().get();
    assert!(at <= middle.position);
    let since: Vec<_> = reader.read_all().recorded(middle.recorded_at..).collect();
    assert_eq!(
        since.len(),
        book.events.iter().filter(|e| e.recorded_at >= middle.recorded_at).count()
    );
    assert_eq!(disk.call_count(), calls, "it wrote");
}

#[test]
fn a_reader_leaves_the_files_of_a_closed_store_as_they_are() {
    let place = place();
    let path = place.path().join("s");
    let store = small().open(&path).unwrap();
    let mut book = Book::new(3);
    book.append(&store, &[("a", 5)]);
    store.close().unwrap();
    let before = all_files(&path);
    let reader = Options::new().open_read_only(&path).unwrap();
    assert!(all(&reader) == book.events);
    assert_eq!(reader.path(), path);
    drop(reader);
    assert_eq!(all_files(&path), before);
}

#[test]
fn what_is_not_durable_is_not_seen_unless_it_is_asked_for() {
    let place = place();
    let path = place.path().join("s");
    let store = buffered().open(&path).unwrap();
    say(&store, "one");
    let durable = Options::new().open_read_only(&path).unwrap();
    let flushed = buffered().open_read_only(&path).unwrap();
    assert_eq!((end(&durable), end(&flushed)), (0, 1));
    store.sync().unwrap();
    wait_for(&durable, 0);
    say(&store, "two");
    assert_eq!((end(&durable), end(&flushed)), (1, 2));
    store.close().unwrap();
    assert_eq!((end(&durable), end(&flushed)), (2, 2));
}

#[test]
fn what_is_taken_back_after_it_was_seen_is_an_error_and_no_silence() {
    let place = place();
    let path = place.path().join("s");
    let store = buffered().open(&path).unwrap();
    say(&store, "stays");
    store.sync().unwrap();
    let segment = segments(&path).remove(0);
    let before = fs::read(&segment).unwrap();
    say(&store, "goes");
    let reader = buffered().open_read_only(&path).unwrap();
    let mut cursor = reader.read_all();
    assert_eq!(end(&reader), 2);
    assert_eq!(cursor.by_ref().count(), 2);
    // As a loss of power may leave it.
    write_over(&segment, &before);
    let error = cursor.next().unwrap().unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(reader.end().is_err());
    std::mem::forget(store);
}

/// Puts `bytes` at the start of a file, and zeroes after them.
fn write_over(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let len = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut whole = bytes.to_vec();
    whole.resize(len.max(bytes.len()), 0);
    file.write_all_at(&whole, 0).unwrap();
}

#[test]
fn a_reader_goes_on_in_a_segment_that_recovery_has_put_in_the_place_of_another() {
    let place = place();
    let path = place.path().join("s");
    let store = Options::new().open(&path).unwrap();
    say(&store, "before");
    store.close().unwrap();
    let reader = Options::new().open_read_only(&path).unwrap();
    assert_eq!(end(&reader), 1);
    // What these have read is another file then, or none that has a name.
    let (mut cursor, mut stream) = (reader.read_all(), reader.read_stream("talk"));
    assert_eq!((cursor.by_ref().count(), stream.by_ref().count()), (1, 1));
    let segment = segments(&path).remove(0);
    let copy = path.join("log").join(".new-copy");
    fs::copy(&segment, &copy).unwrap();
    fs::rename(&copy, &segment).unwrap();
    let store = Options::new().open(&path).unwrap();
    say(&store, "after");
    wait_for(&reader, 1);
    assert_eq!(reader.read_all().last().unwrap().unwrap().payload(), b"after");
    assert_eq!(cursor.next().unwrap().unwrap().payload(), b"after");
    assert!(cursor.next().is_none());
    assert_eq!(stream.next().unwrap().unwrap().payload(), b"after");
}

/// A batch that was not whole was looked at again and again, and kept for readers to share.
#[test]
fn a_reader_forgets_what_it_saw_of_a_batch_that_never_was() {
    let place = place();
    let [written, torn, seen] = ["written", "torn", "seen"].map(|name| place.path().join(name));
    let store = Options::new().open(&written).unwrap();
    say(&store, "before");
    store.close().unwrap();
    copy(&written, &torn);
    copy(&written, &seen);
    // It looks at everything that was written.
    let reader = buffered().open_read_only(&seen).unwrap();
    let mut cursor = reader.read_all();
    assert_eq!(cursor.by_ref().count(), 1);
    let store = Options::new().open(&torn).unwrap();
    let two = ["torn-1", "torn-2"].map(|text| NewEvent::text("said", text));
    store.append("talk", Expected::Any, two).unwrap();
    std::mem::forget(store);
    let mut bytes = fs::read(segments(&torn).remove(0)).unwrap();
    let at = bytes.windows(6).position(|window| window == b"torn-1").unwrap();
    bytes.truncate((at + 6).next_multiple_of(8));
    let segment = segments(&seen).remove(0);
    write_over(&segment, &bytes);
    for _ in 0..10 {
        assert_eq!(end(&reader), 1);
        assert!(cursor.next().is_none());
    }
    let store = Options::new().open(&written).unwrap();
    say(&store, "later!");
    store.close().unwrap();
    write_over(&segment, &fs::read(segments(&written).remove(0)).unwrap());
    for (file, bytes) in all_files(&written) {
        let name = file.strip_prefix(&written).unwrap();
        if !name.starts_with("log") && !name.starts_with("index") {
            fs::write(seen.join(name), bytes).unwrap();
        }
    }
    assert_eq!(end(&reader), 2);
    assert_eq!(cursor.next().unwrap().unwrap().payload(), b"later!");
    assert_eq!(reader.read_all().last().unwrap().unwrap().payload(), b"later!");
}

/// What was seen of a log that is not durable may go on in a segment of its own.
#[test]
fn a_reader_goes_on_where_recovery_has_moved_what_it_saw() {
    let place = place();
    let (path, killed) = (place.path().join("s"), place.path().join("killed"));
    let store = buffered().open(&path).unwrap();
    say(&store, "durable");
    store.sync().unwrap();
    wait_for(&Options::new().open_read_only(&path).unwrap(), 0);
    (0..3).for_each(|n| say(&store, &format!("seen {n}")));
    let reader = buffered().open_read_only(&path).unwrap();
    let mut cursor = reader.read_all();
    assert_eq!(cursor.by_ref().count(), 4);
    // Another process would find this after a kill.
    copy(&path, &killed);
    let recovered = small().open(&killed).unwrap();
    assert_eq!(recovered.recovery().scanned_count, 3);
    let moved = segments(&killed).pop().unwrap();
    assert_eq!(base_of(&moved), 1);
    let to = path.join("log").join(moved.file_name().unwrap());
    fs::copy(&moved, &to).unwrap();
    let cut_len = fs::metadata(&segments(&killed)[0]).unwrap().len();
    let cut = fs::OpenOptions::new().write(true).open(&segments(&path)[0]).unwrap();
    cut.set_len(cut_len).unwrap();
    assert_eq!(end(&reader), 4);
    assert!(cursor.next().is_none());
    say(&recovered, "new");
    fs::copy(&moved, &to).unwrap();
    assert_eq!(cursor.next().unwrap().unwrap().payload(), b"new");
    assert!(cursor.next().is_none());
    assert_eq!(reader.read_all().map(Result::unwrap).count(), 5);
    std::mem::forget(store);
}

/// It was found by what had been looked at before, and was always one behind.
#[test]
fn a_stream_is_read_backwards_from_what_is_there_now() {
    let place = place();
    let path = place.path().join("s");
    let store = buffered().open(&path).unwrap();
    let reader = buffered().open_read_only(&path).unwrap();
    let last = || reader.read_stream("talk").backwards().next().map(|event| event.unwrap());
    assert!(last().is_none());
    for text in ["first", "second"] {
        say(&store, text);
        assert_eq!(last().unwrap().payload(), text.as_bytes());
    }
}

/// A store that was recovered after a kill elsewhere, and what a reader of the first one finds in its
/// place: what it saw was moved to a segment of its own.
struct Moved {
    path: PathBuf,
    killed: PathBuf,
    recovered: Store,
}

impl Moved {
    /// Recovers `killed`, a copy of the store at `path`, which gets what that writes.
    fn recover(path: &Path, killed: &Path, options: &Options) -> Self {
        let recovered = options.open(killed).unwrap();
        let moved = Self { path: path.to_owned(), killed: killed.to_owned(), recovered };
        assert_eq!(segments(killed).len(), 2);
        moved.copy_last();
        let cut_len = fs::metadata(&segments(killed)[0]).unwrap().len();
        let cut = fs::OpenOptions::new().write(true).open(&segments(path)[0]).unwrap();
        cut.set_len(cut_len).unwrap();
        moved
    }

    fn say(&self, text: &str) {
        say(&self.recovered, text);
        self.recovered.sync().unwrap();
        self.copy_last();
    }

    fn copy_last(&self) {
        let last = segments(&self.killed).pop().unwrap();
        let to = self.path.join("log").join(last.file_name().unwrap());
        // Zeroes are written ahead, sooner or later.
        let mut bytes = fs::read(last).unwrap();
        bytes.resize(bytes.len().next_multiple_of(8 << 10), 0);
        if to.exists() {
            write_over(&to, &bytes);
        } else {
            fs::write(to, bytes).unwrap();
        }
    }
}

/// What a kill leaves of a store with some events that are durable, and some that are not: once to be
/// seen, and once to be recovered.
fn killed_writer(place: &Path, durable_count: u64, count: u64) -> (PathBuf, PathBuf) {
    let [path, seen, killed] = ["s", "seen", "killed"].map(|name| place.join(name));
    let store = buffered().open(&path).unwrap();
    (0..durable_count).for_each(|n| say(&store, &format!("durable {n}")));
    store.sync().unwrap();
    wait_for(&Options::new().open_read_only(&path).unwrap(), durable_count - 1);
    (0..count).for_each(|n| say(&store, &format!("seen {n}")));
    copy(&path, &seen);
    copy(&path, &killed);
    (seen, killed)
}

/// It had read the zeroes behind the last event with it, and took them for damage.
#[test]
fn a_cursor_that_has_crossed_into_what_was_moved_reads_what_is_appended_there() {
    let place = place();
    let (path, killed) = killed_writer(place.path(), 30, 3);
    let reader = buffered().open_read_only(&path).unwrap();
    let mut cursor = reader.read_all();
    assert_eq!(cursor.by_ref().count(), 33);
    let moved = Moved::recover(&path, &killed, &Options::new().segment_len_max(64 << 10));
    for n in 0..20 {
        let text = format!("new {n}");
        moved.say(&text);
        assert_eq!(cursor.next().unwrap().unwrap().payload(), text.as_bytes(), "{n}");
    }
    assert!(cursor.next().is_none());
    assert_eq!(reader.read_all().map(Result::unwrap).count(), 53);
}

/// It read where its segment was cut, and said that to be damage.
#[test]
fn a_cursor_in_the_middle_of_what_is_moved_reads_on() {
    let positions = |events: &mut dyn Iterator<Item = annals::Result<annals::Event>>| {
        events.map(|event| event.unwrap().position().get()).collect::<Vec<_>>()
    };
    let place = place();
    let (path, killed) = killed_writer(place.path(), 1, 3_000);
    let reader = buffered().open_read_only(&path).unwrap();
    let (mut forwards, mut backwards) = (reader.read_all(), reader.read_all().backwards());
    assert_eq!(positions(&mut forwards.by_ref().take(2)), [0, 1]);
    assert_eq!(positions(&mut backwards.by_ref().take(2)), [3_000, 2_999]);
    let _moved = Moved::recover(&path, &killed, &small());
    assert_eq!(positions(&mut forwards), (2..=3_000).collect::<Vec<_>>());
    assert_eq!(positions(&mut backwards), (0..2_999).rev().collect::<Vec<_>>());
    assert_eq!(reader.read_all().map(Result::unwrap).count(), 3_001);
    assert_eq!(reader.stream_end("talk").unwrap().get(), 3_001);
}

/// It was taken for something that was moved, again and again, for each look opened the file anew.
#[test]
fn damage_in_the_last_segment_is_told() {
    let place = place();
    let path = place.path().join("s");
    let store = buffered().open(&path).unwrap();
    (0..100).for_each(|n| say(&store, &format!("event {n}")));
    store.close().unwrap();
    let segment = segments(&path).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(8).position(|window| window == b"event 50").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    for options in [Options::new(), buffered()] {
        let reader = options.open_read_only(&path).unwrap();
        let (told, is_told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let found: Vec<_> = reader.read_all().collect();
            let backwards: Vec<_> = reader.read_all().backwards().collect();
            told.send((found, backwards, reader.stream_end("none"))).unwrap();
        });
        let (found, backwards, end) = is_told.recv_timeout(LONG).unwrap();
        assert_eq!(found.len(), 51);
        for last in [found.last(), backwards.last()] {
            assert!(matches!(last, Some(Err(Error::Corrupt { .. }))), "{last:?}");
        }
        assert!(matches!(end, Err(Error::Corrupt { .. })));
    }
}

/// Nothing told it to look: no more was durable than before.
#[test]
fn what_only_a_consumer_vouches_for_is_read_where_recovery_has_moved_it() {
    let place = place();
    let [path, seen, killed] = ["s", "seen", "killed"].map(|name| place.path().join(name));
    let store = buffered().open(&path).unwrap();
    say(&store, "noted");
    store.sync().unwrap();
    wait_for(&Options::new().open_read_only(&path).unwrap(), 0);
    let note = fs::read(path.join("durable")).unwrap();
    (0..3).for_each(|n| say(&store, &format!("committed {n}")));
    let mut consumer = store.consumer("c").open().unwrap();
    assert_eq!(consumer.by_ref().map(Result::unwrap).count(), 4);
    consumer.commit_delivered().unwrap();
    for killed in [&seen, &killed] {
        copy(&path, killed);
        // As if the kill had come before that was noted.
        fs::write(killed.join("durable"), &note).unwrap();
    }
    let reader = Options::new().open_read_only(&seen).unwrap();
    assert_eq!(end(&reader), 4);
    let mut cursor = reader.read_all();
    assert_eq!(cursor.by_ref().count(), 4);
    let _moved = Moved::recover(&seen, &killed, &small());
    assert_eq!(end(&reader), 4);
    assert!(cursor.next().is_none());
    assert_eq!(reader.read_all().map(Result::unwrap).count(), 4);
}

/// It stood at the start of that for good. A writer takes a segment back whose folder it cannot sync.
#[test]
fn a_segment_that_was_begun_and_taken_back_is_forgotten() {
    let place = place();
    let (path, other) = (place.path().join("s"), place.path().join("other"));
    let store = buffered().open(&path).unwrap();
    (0..100).for_each(|n| say(&store, &n.to_string()));
    copy(&path, &other);
    let reader = buffered().open_read_only(&path).unwrap();
    let mut cursor = reader.read_all();
    assert_eq!(cursor.by_ref().count(), 100);
    let full = small().open(&other).unwrap();
    say(&full, "elsewhere");
    let begun = segments(&other).pop().unwrap();
    assert_eq!(base_of(&begun), 100);
    let begun_here = path.join("log").join(begun.file_name().unwrap());
    fs::write(&begun_here, &fs::read(&begun).unwrap()[..64]).unwrap();
    for _ in 0..3 {
        assert_eq!(end(&reader), 100);
        assert!(cursor.next().is_none());
    }
    fs::remove_file(begun_here).unwrap();
    for n in 100..110 {
        say(&store, &n.to_string());
        assert_eq!(cursor.next().unwrap().unwrap().payload(), n.to_string().as_bytes());
    }
    assert_eq!(reader.read_all().map(Result::unwrap).count(), 110);
}

#[test]
fn a_store_without_notes_shows_what_its_records_say_to_be_durable() {
    let place = place();
    let path = place.path().join("s");
    let store = Options::new().open(&path).unwrap();
    for n in 0..10 {
        say(&store, &n.to_string());
    }
    store.close().unwrap();
    crash(&path);
    let _ = fs::remove_file(path.join("durable"));
    // The last record says that all before it were durable, and nothing says so of itself.
    assert_eq!(end(&Options::new().open_read_only(&path).unwrap()), 9);
    assert_eq!(end(&buffered().open_read_only(&path).unwrap()), 10);
}

#[test]
fn what_is_no_store_or_damaged_is_refused() {
    let place = place();
    let nothing = place.path().join("nothing");
    let open = |path: &Path| Options::new().open_read_only(path).map(|reader| end(&reader));
    assert!(matches!(open(&nothing), Err(Error::NotAStore { .. })));
    assert!(!nothing.exists());
    let path = place.path().join("s");
    let store = small().open(&path).unwrap();
    let mut book = Book::new(4);
    (0..20).for_each(|_| _ = book.append(&store, &[("a", 2)]));
    store.close().unwrap();
    let last = segments(&path).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, vec![0; bytes.len()]).unwrap();
    assert!(matches!(open(&path), Err(Error::Corrupt { .. })));
    fs::write(&last, &bytes).unwrap();
    assert_eq!(open(&path).unwrap(), book.end());
    fs::write(path.join("repairing"), b"").unwrap();
    assert!(matches!(open(&path), Err(Error::RepairUnfinished { .. })));
    fs::remove_file(path.join("repairing")).unwrap();
    fs::remove_file(segments(&path).remove(0)).unwrap();
    assert!(matches!(open(&path), Err(Error::Corrupt { .. })));
}

/// It was not over after the error, and gave it a second time.
#[test]
fn following_is_over_once_what_another_process_writes_cannot_be_read() {
    let disk = Simulation::new();
    let store = disk.open(&Options::new()).unwrap();
    say(&store, "one");
    let mut failed_count = 0;
    for after in 0..20 {
        let reader = disk.open_read_only(&Options::new()).unwrap();
        let mut follow = reader.read_all().follow();
        while !follow.next_timeout(LONG).unwrap().unwrap().is_caught_up() {}
        disk.inject(Fault::next(Call::Read, io::ErrorKind::Other).after(after));
        let next = follow.next_timeout(Duration::ZERO);
        disk.heal();
        let Err(error) = next else { continue };
        failed_count += 1;
        assert_error!(Err::<(), _>(error), Error::Io { .. });
        assert!(follow.is_over());
        assert!(follow.next_timeout(LONG).unwrap().is_none());
    }
    assert!(failed_count > 1, "while it reads, and while it waits");
}

/// They were seen only once the next writer had appended.
#[test]
fn what_no_note_has_told_of_when_a_writer_was_killed_is_seen_once_the_store_is_open() {
    let place = place();
    let (path, killed) = (place.path().join("s"), place.path().join("killed"));
    let store = Options::new().open(&path).unwrap();
    say(&store, "one");
    wait_for(&Options::new().open_read_only(&path).unwrap(), 0);
    let note = fs::read(path.join("durable")).unwrap();
    say(&store, "two");
    copy(&path, &killed);
    fs::write(killed.join("durable"), note).unwrap();
    let reader = Options::new().open_read_only(&killed).unwrap();
    assert_eq!(end(&reader), 1);
    let _writer = Options::new().open(&killed).unwrap();
    wait_for(&reader, 1);
}
