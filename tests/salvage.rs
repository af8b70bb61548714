//! Reading past damage: what is sound comes, all of it and in order, whatever is damaged elsewhere.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use annals::inspect::{Inspection, Salvaged, Selection};
use annals::{Batch, Event, Expected, NewEvent, Options, Position, Store};
use fastrand::Rng;
use tempfile::TempDir;

/// Where a record stands.
#[derive(Clone, Debug)]
struct Place {
    position: u64,
    file: PathBuf,
    bytes: Range<usize>,
    recorded_at: annals::Timestamp,
}

/// A closed store that was sound once, and what was in it.
struct Scene {
    _dir: TempDir,
    path: PathBuf,
    places: Vec<Place>,
    payloads: Vec<Vec<u8>>,
    /// The segment files with their bytes.
    segments: Vec<(PathBuf, Vec<u8>)>,
}

impl Scene {
    fn of(options: &Options, fill: impl FnOnce(&Store)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.annals");
        let store = options.open(&path).unwrap();
        fill(&store);
        store.close().unwrap();
        let sound = Inspection::open(&path).unwrap();
        let events: Vec<Event> = sound.events().map(Result::unwrap).collect();
        let payloads = events.iter().map(|event| event.payload().to_vec()).collect();
        let mut files: Vec<_> =
            fs::read_dir(path.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let segments: Vec<_> =
            files.into_iter().map(|file| (file.clone(), fs::read(&file).unwrap())).collect();
        let places: Vec<_> =
            segments.iter().flat_map(|(file, bytes)| places(file, bytes, &events)).collect();
        assert_eq!(places.len(), events.len());
        Self { _dir: dir, path, places, payloads, segments }
    }

    /// Segments of 4 KiB with batches of one to three events.
    fn small() -> Self {
        Self::of(&Options::new().segment_len_max(4 << 10), |store| {
            for n in 0..24_usize {
                let stream = ["a", "b", "long-name"][n % 3];
                let events = (0..=n % 3).map(|m| {
                    NewEvent::text("said", format!("{n}.{m} {}", "x".repeat(n * 37 % 400)))
                        .tag("t")
                        .metadata("m")
                });
                store.append_batch(Batch::new().append(stream, Expected::Any, events)).unwrap();
            }
        })
    }

    fn restore(&self) {
        for (file, bytes) in &self.segments {
            fs::write(file, bytes).unwrap();
        }
    }

    /// Positions of records that are as they were.
    fn untouched(&self) -> Vec<u64> {
        let now: Vec<_> = self
            .segments
            .iter()
            .map(|(file, before)| (file, before, fs::read(file).unwrap_or_default()))
            .collect();
        let is_sound = |place: &&Place| {
            let (_, before, now) = now.iter().find(|(file, ..)| **file == place.file).unwrap();
            now.get(place.bytes.clone()) == before.get(place.bytes.clone())
        };
        self.places.iter().filter(is_sound).map(|place| place.position).collect()
    }

    /// Checks what is salvaged against what is as it was; how many damages were told.
    fn check(&self, what: &str) -> usize {
        let expected = self.untouched();
        let store = Inspection::open(&self.path).unwrap();
        let forwards = salvage(&store, &Selection::new());
        let positions: Vec<_> = forwards.given.iter().map(|(position, _)| *position).collect();
        assert_eq!(positions, expected, "{what}");
        for (position, payload) in &forwards.given {
            assert_eq!(payload, &self.payloads[usize::try_from(*position).unwrap()], "{what}");
        }
        let lost = forwards.lost.iter().flat_map(|lost| lost.start.get()..lost.end.get());
        let mut known: Vec<_> = positions.into_iter().chain(lost).collect();
        known.sort_unstable();
        let end = u64::try_from(self.places.len()).unwrap();
        assert!(known.into_iter().eq(0..end), "{what}: {:?}", forwards.lost);
        assert!(forwards.lost.windows(2).all(|pair| pair[0].end <= pair[1].start), "{what}");
        let mut backwards = salvage(&store, &Selection::new().backwards());
        backwards.given.reverse();
        assert_eq!(backwards.given, forwards.given, "{what}, backwards");
        backwards.lost.reverse();
        assert_eq!(backwards.lost, forwards.lost, "{what}, backwards");
        forwards.lost.len()
    }
}

/// Where the records of a sound segment stand, by `docs/format.md`, section 3.
fn places(file: &Path, bytes: &[u8], events: &[Event]) -> Vec<Place> {
    let mut places = Vec::new();
    let mut start = 64;
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let mut position = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    while start + 72 <= bytes.len() && number(start + 16) == position {
        let len = number(start + 8) & u64::from(u32::MAX);
        let end = start + usize::try_from(len).unwrap();
        let recorded_at = events[usize::try_from(position).unwrap()].recorded_at();
        places.push(Place { position, file: file.to_owned(), bytes: start..end, recorded_at });
        (start, position) = (end, position + 1);
    }
    places
}

#[derive(Default)]
struct Found {
    given: Vec<(u64, Vec<u8>)>,
    lost: Vec<Range<Position>>,
}

fn salvage(store: &Inspection, selection: &Selection) -> Found {
    let mut found = Found::default();
    store.salvage(selection, |salvaged| {
        match salvaged {
            Salvaged::Event(event) => {
                found.given.push((event.position().get(), event.payload().to_vec()));
            }
            Salvaged::Lost(damage) => found.lost.push(damage.positions),
        }
        ControlFlow::Continue(())
    });
    found
}

#[test]
fn all_that_is_sound_comes_though_any_byte_is_flipped() {
    let scene = Scene::small();
    assert!(scene.segments.len() > 3, "{}", scene.segments.len());
    assert_eq!(scene.check("sound"), 0);
    for (file, bytes) in &scene.segments {
        // A number that is prime to those that fields are aligned to comes to all of their bytes.
        for at in (0..bytes.len()).step_by(11) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(file, changed).unwrap();
            let told = scene.check(&format!("byte {at} of {}", file.display()));
            let in_footer = at >= bytes.len() - 96;
            assert!(told == 1 || in_footer, "byte {at}: {told}");
        }
        fs::write(file, bytes).unwrap();
    }
}

#[test]
fn all_that_is_sound_comes_though_ranges_are_zero_or_files_are_cut() {
    let scene = Scene::small();
    let mut rng = Rng::with_seed(7);
    for n in 0..150 {
        let (file, bytes) = &scene.segments[rng.usize(..scene.segments.len())];
        let mut changed = bytes.clone();
        let start = rng.usize(..bytes.len());
        let end = bytes.len().min(start + 1 + rng.usize(..1_500));
        if n % 5 == 0 {
            changed.truncate(start);
        } else {
            changed[start..end].fill(0);
        }
        fs::write(file, changed).unwrap();
        scene.check(&format!("case {n}: {start}..{end} of {}", file.display()));
        fs::write(file, bytes).unwrap();
    }
}

#[test]
fn all_that_is_sound_comes_though_segments_are_missing() {
    let scene = Scene::small();
    let count = scene.segments.len();
    // Each alone, and every two of them.
    for first in 0..count {
        for second in first..count {
            fs::remove_file(&scene.segments[first].0).unwrap();
            let _ = fs::remove_file(&scene.segments[second].0);
            assert!(scene.check(&format!("without {first} and {second}")) > 0);
            scene.restore();
        }
    }
    for (file, _) in &scene.segments {
        fs::remove_file(file).unwrap();
    }
    assert_eq!(scene.check("without all"), 1);
}

#[test]
fn all_that_is_sound_comes_of_a_log_with_many_damages() {
    let scene = Scene::small();
    let mut rng = Rng::with_seed(11);
    for n in 0..60 {
        for _ in 0..rng.usize(1..20) {
            let (file, bytes) = &scene.segments[rng.usize(..scene.segments.len())];
            let mut changed = fs::read(file).unwrap_or_default();
            match rng.usize(..12) {
                0 => _ = fs::remove_file(file),
                _ if changed.is_empty() => {}
                1 => {
                    changed.truncate(rng.usize(..changed.len()));
                    fs::write(file, changed).unwrap();
                }
                _ => {
                    let at = rng.usize(..changed.len());
                    changed[at] = !bytes[at];
                    fs::write(file, changed).unwrap();
                }
            }
        }
        scene.check(&format!("case {n}"));
        scene.restore();
    }
}

/// So many that a search from each of them to the end of the segment would take minutes.
#[test]
fn thousands_of_damages_in_one_segment_are_each_passed() {
    let scene = Scene::of(&Options::new(), |store| {
        for n in 0..20_u64 {
            let events = (0..500).map(|m| NewEvent::text("said", format!("{n} {m}")));
            store.append("a", Expected::Exact(n * 500), events).unwrap();
        }
    });
    assert_eq!(scene.segments.len(), 1);
    let (file, bytes) = &scene.segments[0];
    let mut changed = bytes.clone();
    for place in scene.places.iter().skip(1).step_by(2) {
        changed[place.bytes.start + 20] ^= 1;
    }
    fs::write(file, changed).unwrap();
    assert_eq!(scene.untouched().len(), 5_000);
    assert_eq!(scene.check("every second one"), 5_000);
}

/// A payload may hold anything, also bytes of the store's own log.
#[test]
fn records_within_a_payload_are_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("s.annals/log/00000000000000000000.seg");
    let scene = Scene::of(&Options::new(), |store| {
        let other = Options::new().open(dir.path().join("s.annals")).unwrap();
        let say = |store: &Store, bytes: Vec<u8>| {
            store.append("a", Expected::Any, [NewEvent::bytes("said", bytes)]).unwrap();
        };
        for n in 0..5 {
            say(&other, vec![n; 100]);
        }
        // Without the zeroes that a segment is prepared with.
        let read = |file: &Path| {
            let mut bytes = fs::read(file).unwrap();
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
            bytes
        };
        let of_another_store = read(&log);
        let own = fs::read_dir(store.path().join("log")).unwrap().next().unwrap().unwrap().path();
        for n in 0..5 {
            say(store, vec![n; 100]);
            say(store, of_another_store.clone());
            say(store, read(&own));
        }
    });
    let (file, bytes) = &scene.segments[0];
    for place in &scene.places {
        let mut changed = bytes.clone();
        changed[place.bytes.start + 20] ^= 1;
        fs::write(file, changed).unwrap();
        assert_eq!(scene.check(&format!("without {}", place.position)), 1);
    }
    // All headers, so that only what is within them is sound.
    let mut changed = bytes.clone();
    for place in scene.places.iter().skip(1) {
        changed[place.bytes.start + 20] ^= 1;
    }
    fs::write(file, changed).unwrap();
    let store = Inspection::open(&scene.path).unwrap();
    for (position, payload) in salvage(&store, &Selection::new()).given {
        assert_eq!(payload, scene.payloads[usize::try_from(position).unwrap()]);
    }
}

#[test]
fn a_selection_of_a_damaged_log_is_what_is_sound_of_it() {
    let scene = Scene::small();
    let (file, bytes) = &scene.segments[1];
    let mut changed = bytes.clone();
    changed[64 + 20] ^= 1;
    let header_of = &scene.segments[3];
    let mut other = header_of.1.clone();
    other[9] ^= 1;
    fs::write(file, changed).unwrap();
    fs::write(&header_of.0, other).unwrap();
    let store = Inspection::open(&scene.path).unwrap();
    let sound = scene.untouched();
    let end = u64::try_from(scene.places.len()).unwrap();
    let time = |position: u64| scene.places[usize::try_from(position).unwrap()].recorded_at;
    let mut rng = Rng::with_seed(3);
    for _ in 0..300 {
        let (from, to) = (rng.u64(..end), rng.u64(..end + 3));
        let (since, until) = (rng.u64(..end), rng.u64(..end));
        let by_time = rng.bool();
        let mut selection = Selection::new().from(from).to(to);
        let mut expected = sound.clone();
        expected.retain(|position| (from..to).contains(position));
        if by_time {
            let (since, until) = (time(since), time(until));
            selection = selection.since(since).until(until);
            expected.retain(|position| (since..until).contains(&time(*position)));
        }
        if rng.bool() {
            selection = selection.backwards();
            expected.reverse();
        }
        let limit = rng.usize(..8);
        if limit > 0 {
            selection = selection.limit(u64::try_from(limit).unwrap());
            expected.truncate(limit);
        }
        let found = salvage(&store, &selection);
        let given: Vec<_> = found.given.iter().map(|(position, _)| *position).collect();
        assert_eq!(given, expected, "{selection:?}");
        let is_near = |lost: &Range<Position>| lost.start.get() < to && lost.end.get() >= from;
        assert!(found.lost.iter().all(is_near), "{selection:?}: {:?}", found.lost);
    }
}

#[test]
fn nothing_is_told_of_what_lies_outside_of_the_selection() {
    let scene = Scene::small();
    let (file, bytes) = &scene.segments[2];
    let lost = scene.places.iter().find(|place| place.file == *file).unwrap().clone();
    let mut changed = bytes.clone();
    changed[lost.bytes.start + 20] ^= 1;
    fs::write(file, changed).unwrap();
    let store = Inspection::open(&scene.path).unwrap();
    let at = lost.position;
    let told = |selection: Selection| {
        let back = salvage(&store, &selection.clone().backwards()).lost;
        let lost = salvage(&store, &selection).lost;
        assert_eq!(lost, back, "{selection:?}");
        lost.len()
    };
    assert_eq!(told(Selection::new().from(at).to(at + 1)), 1);
    assert_eq!(told(Selection::new().from(at + 1)), 0);
    assert_eq!(told(Selection::new().to(at)), 0);
    let time = |position: u64| scene.places[usize::try_from(position).unwrap()].recorded_at;
    assert_eq!(told(Selection::new().since(time(at + 4))), 0);
    assert_eq!(told(Selection::new().until(time(at - 4))), 0);
    assert_eq!(told(Selection::new().since(time(at - 4)).until(time(at + 4))), 1);
}

/// What `annals-dump` prints: the exit code, standard output, standard error.
#[cfg(feature = "cli")]
fn dump(args: &[&str], path: &Path) -> (i32, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_annals-dump"));
    let output = command.args(args).arg(path).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[cfg(feature = "cli")]
#[test]
fn keep_going_prints_what_is_sound_and_names_each_gap_once() {
    let scene = Scene::small();
    let lost = scene.places[9].clone();
    let (file, bytes) = scene.segments.iter().find(|(file, _)| *file == lost.file).unwrap();
    let mut changed = bytes.clone();
    changed[lost.bytes.start + 20] ^= 1;
    fs::write(file, changed).unwrap();
    let (final_one, _) = scene.segments.last().unwrap();
    fs::remove_file(final_one).unwrap();
    let first_of_last =
        scene.places.iter().find(|place| place.file == *final_one).unwrap().position;
    let end = scene.places.len();
    let (code, out, err) = dump(&["events", "--keep-going"], &scene.path);
    let positions: Vec<u64> =
        out.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!((code, positions), (1, scene.untouched()));
    let err: Vec<_> = err.lines().collect();
    assert_eq!(err.len(), 2, "{err:?}");
    assert!(err[0].ends_with(".seg): event 9 is lost"), "{err:?}");
    let lost = u64::try_from(end).unwrap() - first_of_last;
    let expected = format!(": {lost} events are lost, {first_of_last}..{end}");
    assert!(err[1].ends_with(&expected), "{err:?}, not {expected}");
    // The last ones that can be read, oldest first, and what is lost among and after them.
    let (code, out, err) = dump(&["tail", "-n", "3", "--keep-going"], &scene.path);
    let positions: Vec<u64> =
        out.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!((code, &positions[..]), (1, &scene.untouched()[scene.untouched().len() - 3..]));
    assert_eq!(err.lines().count(), 1, "{err}");
    // Without it, the first damage is the end.
    let (code, out, _) = dump(&["events"], &scene.path);
    assert_eq!((code, out.lines().count()), (1, 9));
}

#[cfg(feature = "cli")]
#[test]
fn a_log_without_any_segment_has_lost_all_events() {
    let scene = Scene::small();
    for (file, _) in &scene.segments {
        fs::remove_file(file).unwrap();
    }
    for args in [&["events", "--keep-going"][..], &["tail", "--keep-going"]] {
        let (code, out, err) = dump(args, &scene.path);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        let lost = format!("{0} events are lost, 0..{0}\n", scene.places.len());
        assert!(err.contains(&lost), "{err}");
    }
}
