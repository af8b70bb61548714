//! `annals-dump stats` and the options of `streams`, run as their users run them.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use annals::inspect::{Inspection, Paint, Statistics, statistics_text};
use annals::{Clock, Expected, NewEvent, Options, Position, Store, Timestamp};
use tempfile::TempDir;

/// 2018-02-07T01:26:13.84Z.
const NOW_NS: i64 = 1_517_966_773_840_000_000;

/// A clock that stands still, until it is put on.
#[derive(Clone, Debug)]
struct SetClock(Arc<AtomicI64>);

impl SetClock {
    fn put_on(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A place for a store that goes when it is dropped.
struct Place {
    _dir: TempDir,
    path: PathBuf,
    clock: SetClock,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = SetClock(Arc::new(AtomicI64::new(NOW_NS)));
        Self { path: dir.path().join("shop.annals"), _dir: dir, clock }
    }

    fn open(&self) -> Store {
        let clock = self.clock.clone();
        Options::new().clock(clock).segment_len_max(4 << 10).open(&self.path).unwrap()
    }

    /// What `annals-dump COMMAND <store> ARGS` prints, and its exit code.
    fn dump(&self, command: &str, args: &[&str]) -> (String, i32) {
        let dumper = env!("CARGO_BIN_EXE_annals-dump");
        let output = Command::new(dumper).arg(command).arg(&self.path).args(args).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    }

    fn sound(&self, command: &str, args: &[&str]) -> String {
        let (out, code) = self.dump(command, args);
        assert_eq!(code, 0, "{out}");
        out
    }

    fn statistics(&self) -> Statistics {
        let (statistics, stopped_by) = Inspection::open(&self.path).unwrap().statistics();
        assert!(stopped_by.is_none(), "{stopped_by:?}");
        statistics
    }
}

fn text(event_type: &str, len: usize) -> NewEvent {
    NewEvent::text(event_type, "x".repeat(len))
}

/// Six batches over two minutes: three streams, two types, payloads of four sizes.
fn shop() -> Place {
    let place = Place::new();
    let store = place.open();
    for n in 0..4_usize {
        let events = (0..=n).map(|_| text("item-added", 10 * n));
        store.append("cart-42", Expected::Any, events).unwrap();
        place.clock.put_on(20);
    }
    store.append("購物車-7", Expected::Any, [text("item-added", 200)]).unwrap();
    place.clock.put_on(40);
    store.append("order-1", Expected::Any, [text("order-placed", 900)]).unwrap();
    store.close().unwrap();
    place
}

#[test]
fn statistics_as_text_are_totals_and_bars() {
    let expected = "\
events        12
batches       6
streams       3
types         2
payloads      1.3 KiB
log on disk   2.3 KiB in 1 segment
first event   2018-02-07T01:26:13Z
last event    2018-02-07T01:28:13Z, 2 min later

events over time, in steps of 2 s
             4 │                              █
               │                    ▄         █
               │                    █         █
               │          █         █         █
               │▄         █         █         █         ▄                  ▄
               │█         █         █         █         █                  █
             0 └────────────────────────────────────────────────────────────
                2018-02-07T01:26:13Z                    2018-02-07T01:28:13Z

payload sizes
         empty              1 █████▊
      from 1 B              0
      from 2 B              0
      from 4 B              0
      from 8 B              2 ███████████▍
     from 16 B              7 ████████████████████████████████████████
     from 32 B              0
     from 64 B              0
    from 128 B              1 █████▊
    from 256 B              0
    from 512 B              1 █████▊

";
    let out = shop().sound("stats", &[]);
    assert!(out.starts_with(expected), "{out}");
    let names = "\
types with most events
            11 ████████████████████████ item-added
             1 ██▏                      order-placed

streams with most events
            10 ████████████████████████ cart-42
             1 ██▍                      order-1
             1 ██▍                      購物車-7
";
    assert!(out.ends_with(names), "{out}");
    let out = shop().sound("stats", &["--top", "1"]);
    assert!(out.ends_with(" cart-42\n               2 more streams\n"), "{out}");
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let place = Place::new();
    let store = place.open();
    let long = ["購".repeat(85), "x".repeat(255), "\u{202e}".repeat(80)];
    for name in &long {
        for n in 0..20 {
            let event = NewEvent::text(name.as_str(), "x".repeat(1 << (n % 11)));
            store.append(name, Expected::Any, [event]).unwrap();
            place.clock.put_on(1 << 20);
        }
    }
    let out = place.sound("stats", &[]);
    for line in out.lines() {
        let wide = line.chars().filter(|c| *c == '購').count();
        assert!(line.chars().count() + wide <= 80, "{line}");
        assert!(!line.contains('\u{202e}'), "{line}");
    }
}

#[test]
fn colours_are_told_by_the_caller_and_never_written_into_a_pipe() {
    let place = shop();
    assert!(!place.sound("stats", &[]).contains('\u{1b}'));
    let statistics = place.statistics();
    let colored = statistics_text(&statistics, 10, Paint::Colored);
    assert!(colored.contains("\u{1b}[36m"), "{colored}");
    let mut plain = String::new();
    for (n, part) in colored.split('\u{1b}').enumerate() {
        plain += if n == 0 { part } else { part.split_once('m').unwrap().1 };
    }
    assert_eq!(plain, statistics_text(&statistics, 10, Paint::Plain));
}

#[test]
fn statistics_as_json_have_exactly_the_documented_fields() {
    let out = shop().sound("stats", &["--format", "jsonl", "--top", "1"]);
    let start = concat!(
        r#"{"v":1,"event_count":12,"batch_count":6,"payload_len":1300,"segment_count":1,"#,
        r#""log_len":2376,"first_recorded_at":"2018-02-07T01:26:13.840000000Z","#,
        r#""last_recorded_at":"2018-02-07T01:28:13.840000000Z","is_complete":true,"type_count":2,"#,
        r#""types_are_exact":true,"types":[{"type":"item-added","event_count":11,"#,
        r#""event_count_max":11,"payload_len":400}],"stream_count":3,"streams_are_exact":true,"#,
        r#""streams":[{"stream":"cart-42","event_count":10,"event_count_max":10,"payload_len":200}],"#,
        r#""over_time":[{"from":"2018-02-07T01:26:13.840000000Z","#,
        r#""until":"2018-02-07T01:26:15.840000000Z","event_count":1,"payload_len":0},"#,
    );
    assert!(out.starts_with(start), "{out}");
    let end =
        concat!(r#"{"from_len":512,"until_len":1024,"event_count":1,"payload_len":900}]}"#, "\n");
    assert!(out.ends_with(end), "{out}");
    assert_eq!(out.lines().count(), 1);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["over_time"].as_array().unwrap().len(), 60);
    assert_eq!(value["payload_sizes"][0]["from_len"], 0);
}

#[test]
fn every_event_is_in_one_step_of_time_and_of_size() {
    let statistics = shop().statistics();
    let steps = &statistics.over_time;
    assert_eq!(steps.iter().map(|step| step.event_count).sum::<u64>(), 12);
    assert_eq!(steps.iter().map(|step| step.payload_len).sum::<u64>(), 1_300);
    assert!(steps.windows(2).all(|two| two[0].until == two[1].from));
    assert_eq!(steps[0].from, statistics.first_recorded_at.unwrap());
    assert!(steps[59].until > statistics.last_recorded_at.unwrap());
    let sizes = &statistics.payload_sizes;
    assert_eq!(sizes.iter().map(|step| step.event_count).sum::<u64>(), 12);
    let shown: Vec<_> = sizes.iter().map(|step| (step.from_len, step.event_count)).collect();
    let empty = [(1, 0), (2, 0), (4, 0), (32, 0), (64, 0), (256, 0)];
    let counted = [(0, 1), (8, 2), (16, 7), (128, 1), (512, 1)];
    let mut expected = [&empty[..], &counted].concat();
    expected.sort_unstable();
    assert_eq!(shown, expected);
}

#[test]
fn an_empty_store_and_one_event_have_statistics() {
    let place = Place::new();
    let store = place.open();
    let out = place.sound("stats", &[]);
    assert!(out.starts_with("events        0\nbatches       0\nstreams       0\n"), "{out}");
    assert_eq!(out.lines().count(), 6, "{out}");
    assert_eq!(place.statistics().over_time, []);
    store.append("cart-42", Expected::Any, [text("item-added", 0)]).unwrap();
    let statistics = place.statistics();
    assert_eq!((statistics.event_count, statistics.over_time.len()), (1, 1));
    assert_eq!((statistics.payload_sizes.len(), statistics.payload_sizes[0].until_len), (1, 1));
    let out = place.sound("stats", &[]);
    assert!(out.contains("events over time, in steps of 1 ns"), "{out}");
}

#[test]
fn what_is_sound_before_damage_is_counted() {
    let place = Place::new();
    let store = place.open();
    for n in 0..8 {
        let words = format!("{:<1000}", format!("event number {n} "));
        store.append("talk", Expected::Any, [NewEvent::text("said", words)]).unwrap();
    }
    store.close().unwrap();
    let segment = place.path.join(annals::inspect::segment_file(Position::new(3)));
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(14).position(|bytes| bytes == b"event number 4").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (out, code) = place.dump("stats", &["--format", "jsonl"]);
    assert_eq!(code, 1);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["event_count"], &value["is_complete"]), (&4.into(), &false.into()));
    assert_eq!(value["segment_count"], 3);
}

#[test]
fn whoever_watches_is_told_of_progress_and_may_end_the_count() {
    let place = Place::new();
    let store = Store::open(&place.path).unwrap();
    let events = (0..10_000).map(|_| text("said", 1));
    store.append("talk", Expected::Any, events).unwrap();
    let store = Inspection::open(&place.path).unwrap();
    let mut told = Vec::new();
    let (statistics, _) = store.statistics_watched(|progress| {
        told.push((progress.done, progress.total));
        ControlFlow::Continue(())
    });
    assert_eq!(told, [(4_096, 10_000), (8_192, 10_000), (10_000, 10_000)]);
    assert!(statistics.is_complete);
    let (statistics, _) = store.statistics_watched(|_| ControlFlow::Break(()));
    assert_eq!((statistics.event_count, statistics.is_complete), (4_096, false));
    let mut told = Vec::new();
    store.streams_watched("nobody", |progress| {
        told.push(progress.done);
        ControlFlow::Continue(())
    });
    assert_eq!(told, [4_096, 8_192]);
}

#[test]
fn streams_are_sorted_limited_and_chosen_by_prefix() {
    let place = shop();
    let names = |args: &[&str]| {
        let out = place.sound("streams", args);
        let names = out.lines().skip(1).map(|line| line.split(' ').next_back().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&[]), "cart-42 order-1 購物車-7");
    assert_eq!(names(&["--sort", "name", "--reverse"]), "購物車-7 order-1 cart-42");
    assert_eq!(names(&["--sort", "events"]), "cart-42 order-1 購物車-7");
    assert_eq!(names(&["--sort", "bytes"]), "order-1 cart-42 購物車-7");
    assert_eq!(names(&["--sort", "first"]), "order-1 購物車-7 cart-42");
    assert_eq!(names(&["--sort", "first", "--reverse"]), "cart-42 購物車-7 order-1");
    assert_eq!(names(&["--sort", "last", "--limit", "2"]), "order-1 購物車-7");
    assert_eq!(names(&["--limit", "0"]), "");
    assert_eq!(names(&["--prefix", "購"]), "購物車-7");
    assert_eq!(names(&["--prefix", "nobody"]), "");
    let lines = place.sound("streams", &["--sort", "bytes", "--limit", "1", "--format", "jsonl"]);
    let value: serde_json::Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(value["payload_len"], 900);
}

#[test]
fn wrong_arguments_end_with_2_and_help_has_an_example() {
    let place = Place::new();
    for args in [["--sort", "size"], ["--limit", "-1"]] {
        assert_eq!(place.dump("streams", &args).1, 2, "{args:?}");
    }
    assert_eq!(place.dump("stats", &["--top", "x"]).1, 2);
    let help = place.sound("stats", &["--help"]);
    assert!(help.contains("annals-dump stats quakes.annals"), "{help}");
}
