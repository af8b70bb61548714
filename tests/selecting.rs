//! Choosing events, and the commands of `annals-dump` that read them.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::ControlFlow;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use annals::inspect::{Inspection, Salvaged, Selection, segment_file};
use annals::{ContentType, Cursor, Event, Expected, NewEvent, Options, Position, Store};
use common::dumper::{Dumped, Place, id};
use fastrand::Rng;

const SECOND: Duration = Duration::from_secs(1);

/// Two events with all there is, one without anything, and bytes.
fn shop() -> Place {
    let place = Place::new();
    let store = place.open();
    let json = &b"{\n  \"one\": 1.0\n}"[..];
    let teapot = NewEvent::new("item-added", ContentType::Json, json).id(id(1)).tag("kitchen");
    let cup = NewEvent::text("item-added", "a \"cup\"\u{1b}[31m\nor two").id(id(2));
    let cup = cup.metadata("user=7").idempotency_key("k-1");
    store.append("購物車-42", Expected::NoStream, [teapot, cup]).unwrap();
    let raw = (0..20).collect::<Vec<u8>>();
    let odd = [
        NewEvent::bytes("raw", raw).id(id(3)),
        NewEvent::new("no-json", ContentType::Json, "{\"a\":}").id(id(4)),
    ];
    store.append("odd", Expected::NoStream, odd).unwrap();
    store.append("odder", Expected::NoStream, [NewEvent::text("empty", "").id(id(5))]).unwrap();
    store.close().unwrap();
    place
}

/// Sixty events of six streams and three types, in batches of one to three.
fn many() -> Place {
    let place = Place::new();
    let store = place.open();
    let mut n = 0_usize;
    while n < 60 {
        let stream = ["a", "ab", "abc", "b", "ba", "c"][n * 7 % 6];
        let events = (0..=n % 3)
            .map(|m| NewEvent::text(["x", "y", "z"][(n + m) % 3], "word ".repeat(n % 40)));
        store.append(stream, Expected::Any, events).unwrap();
        n += n % 3 + 1;
    }
    store.close().unwrap();
    place
}

/// A selection made at random, and what it must give of `events`.
fn random(rng: &mut Rng, events: &[Event]) -> (Selection, Vec<u64>) {
    let mut selection = Selection::new();
    let mut left: Vec<_> = events.iter().collect();
    let end = u64::try_from(events.len()).unwrap();
    if rng.u8(..3) == 0 {
        let streams: Vec<_> =
            (0..rng.usize(..4)).map(|_| rng.choice(["a", "abc", "c", "none"])).collect();
        left.retain(|event| streams.contains(&Some(event.stream())));
        selection = selection.streams(streams.into_iter().flatten());
    }
    if rng.u8(..3) == 0 {
        left.retain(|event| event.stream().starts_with("ab"));
        selection = selection.stream_prefix("ab");
    }
    if rng.u8(..3) == 0 {
        left.retain(|event| event.event_type() != "x");
        selection = selection.event_types(["z", "y"]);
    }
    if rng.bool() {
        let from = rng.u64(..end + 2);
        left.retain(|event| event.position().get() >= from);
        selection = selection.from(from);
    }
    if rng.bool() {
        let to = rng.u64(..end + 2);
        left.retain(|event| event.position().get() < to);
        selection = selection.to(to);
    }
    if rng.u8(..3) == 0 {
        let since = events[rng.usize(..events.len())].recorded_at();
        left.retain(|event| event.recorded_at() >= since);
        selection = selection.since(since);
    }
    if rng.u8(..3) == 0 {
        let until = events[rng.usize(..events.len())].recorded_at();
        left.retain(|event| event.recorded_at() < until);
        selection = selection.until(until);
    }
    if rng.bool() {
        left.reverse();
        selection = selection.backwards();
    }
    if rng.bool() {
        let limit = rng.usize(..12);
        left.truncate(limit);
        selection = selection.limit(u64::try_from(limit).unwrap());
    }
    (selection, left.into_iter().map(|event| event.position().get()).collect())
}

#[test]
fn a_selection_gives_the_same_however_the_store_is_read() {
    let place = many();
    let inspection = Inspection::open(&place.path).unwrap();
    let reader = Options::new().open_read_only(&place.path).unwrap();
    let store = place.open();
    let events: Vec<_> = store.read_all().map(Result::unwrap).collect();
    let given = |selection: &Selection, cursor: Cursor| {
        let selected = selection.of(cursor);
        selected.map(|event| event.unwrap().position().get()).collect::<Vec<_>>()
    };
    let mut rng = Rng::with_seed(5);
    for _ in 0..1_000 {
        let (selection, expected) = random(&mut rng, &events);
        assert_eq!(given(&selection, inspection.events()), expected, "{selection:?}");
        assert_eq!(given(&selection, reader.read_all()), expected, "{selection:?}");
        assert_eq!(given(&selection, store.read_all()), expected, "{selection:?}");
        let (mut visited, mut salvaged) = (Vec::new(), Vec::new());
        let mut selected = inspection.select(&selection);
        selected
            .visit(|event| {
                visited.push(event.position().get());
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(visited, expected, "{selection:?}");
        inspection.salvage(&selection, |found| {
            match found {
                Salvaged::Event(event) => salvaged.push(event.position().get()),
                Salvaged::Lost(damage) => panic!("{damage:?}"),
            }
            ControlFlow::Continue(())
        });
        assert_eq!(salvaged, expected, "{selection:?}");
    }
}

#[test]
fn what_stands_behind_a_selection_may_be_damaged() {
    let place = many();
    let sound = Inspection::open(&place.path).unwrap();
    let second = sound.segments().nth(1).unwrap().unwrap();
    let file = place.path.join(segment_file(second.first));
    let mut bytes = fs::read(&file).unwrap();
    bytes[64 + 20] ^= 1;
    fs::write(&file, bytes).unwrap();
    let end = second.first;
    let damaged = Inspection::open(&place.path).unwrap();
    let before = Selection::new().to(end);
    assert_eq!(
        damaged.select(&before).map(Result::unwrap).count(),
        usize::try_from(end.get()).unwrap()
    );
    assert!(damaged.select(&before.to(end.next())).any(|event| event.is_err()));
}

#[test]
fn events_are_chosen_by_names_places_and_times() {
    let place = shop();
    let chosen = |args: &[&str]| place.run(&[&["events", "STORE"], args].concat()).positions();
    assert_eq!(chosen(&["--stream", "odd", "--stream", "odder"]), "2 3 4");
    assert_eq!(chosen(&["--prefix", "odd"]), "2 3 4");
    assert_eq!(chosen(&["--prefix", "odd", "--stream", "odd"]), "2 3");
    assert_eq!(chosen(&["--type", "raw", "--type", "item-added"]), "0 1 2");
    assert_eq!(chosen(&["--from", "1", "--to", "4"]), "1 2 3");
    assert_eq!(chosen(&["--from", "1", "--to", "4", "--reverse"]), "3 2 1");
    assert_eq!(chosen(&["--from", "4", "--to", "1"]), "");
    assert_eq!(chosen(&["--since", "2018-02-07T01:26:13.840000001Z"]), "2 3 4");
    assert_eq!(chosen(&["--until", "2018-02-07T03:26:13.840000001+02:00"]), "0 1");
    assert_eq!(chosen(&["--since", "2018-02-07", "--until", "2018-02-08"]), "0 1 2 3 4");
    assert_eq!(chosen(&["--since", "2h ago"]), "");
    assert_eq!(chosen(&["--until", "3 days ago", "--limit", "1"]), "0");
    assert_eq!(chosen(&["--limit", "0"]), "");
}

#[test]
fn a_time_that_cannot_be_read_is_refused_with_those_that_can() {
    let place = shop();
    for time in ["soon", "2h", "2018-13-01", "2018-02-07T01:26:13", "9999 years ago", ""] {
        let err = place.run(&["events", "STORE", "--since", time]).refused();
        assert!(err.contains("2018-02-07T01:26:13Z") && err.contains("3 days ago"), "{err}");
    }
}

#[test]
fn events_are_printed_as_cloud_events() {
    let place = shop();
    let source = format!("urn:uuid:{}", Inspection::open(&place.path).unwrap().id());
    let out = place.run(&["events", "STORE", "--format", "cloudevents"]).sound();
    let lines: Vec<_> = out.lines().map(|line| line.replace(&source, "urn:uuid:S")).collect();
    let expected = [
        r#"{"specversion":"1.0","id":"01010101-0101-0101-0101-010101010101","source":"urn:uuid:S","type":"item-added","subject":"購物車-42","time":"2018-02-07T01:26:13.840000000Z","datacontenttype":"application/json","sequence":"00000000000000000000","revision":"0","data":{   "one": 1.0 }}"#,
        r#"{"specversion":"1.0","id":"02020202-0202-0202-0202-020202020202","source":"urn:uuid:S","type":"item-added","subject":"購物車-42","time":"2018-02-07T01:26:13.840000000Z","datacontenttype":"text/plain; charset=utf-8","sequence":"00000000000000000001","revision":"1","data":"a \"cup\"\u001b[31m\nor two"}"#,
        r#"{"specversion":"1.0","id":"03030303-0303-0303-0303-030303030303","source":"urn:uuid:S","type":"raw","subject":"odd","time":"2018-02-07T01:26:13.840000001Z","datacontenttype":"application/octet-stream","sequence":"00000000000000000002","revision":"0","data_base64":"AAECAwQFBgcICQoLDA0ODxAREhM="}"#,
        r#"{"specversion":"1.0","id":"04040404-0404-0404-0404-040404040404","source":"urn:uuid:S","type":"no-json","subject":"odd","time":"2018-02-07T01:26:13.840000001Z","datacontenttype":"application/json","sequence":"00000000000000000003","revision":"1","data_base64":"eyJhIjp9"}"#,
        r#"{"specversion":"1.0","id":"05050505-0505-0505-0505-050505050505","source":"urn:uuid:S","type":"empty","subject":"odder","time":"2018-02-07T01:26:13.840000002Z","datacontenttype":"text/plain; charset=utf-8","sequence":"00000000000000000004","revision":"0","data":""}"#,
    ];
    assert_eq!(lines, expected);
    for line in &lines {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn events_are_printed_with_their_payloads_in_hexadecimal() {
    let place = shop();
    let expected = "\
2  2018-02-07T01:26:13.840000001Z  odd@0  raw
00000000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  |................|
00000010  10 11 12 13                                       |....|
00000014
3  2018-02-07T01:26:13.840000001Z  odd@1  no-json
00000000  7b 22 61 22 3a 7d                                 |{\"a\":}|
00000006
4  2018-02-07T01:26:13.840000002Z  odder@0  empty
";
    assert_eq!(place.run(&["events", "STORE", "--from", "2", "--format", "hex"]).sound(), expected);
}

#[test]
fn colours_are_there_when_they_are_asked_for_and_in_text_alone() {
    let place = shop();
    let args = ["events", "STORE", "--from", "4"];
    let plain = "4  2018-02-07T01:26:13.840000002Z  odder@0  empty\n";
    let colored = "\u{1b}[2m4  2018-02-07T01:26:13.840000002Z\u{1b}[0m  \
                   \u{1b}[36modder@0\u{1b}[0m  \u{1b}[32mempty\u{1b}[0m\n";
    assert_eq!(place.run(&args).sound(), plain);
    assert_eq!(place.run(&[&args[..], &["--color", "always"]].concat()).sound(), colored);
    assert_eq!(place.run(&[&["--color", "always"], &args[..]].concat()).sound(), colored);
    let with = |variable: &str, color: &str| {
        let args = [&args[..], &["--color", color]].concat();
        let output = place.command(&args).env(variable, "1").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(with("CLICOLOR_FORCE", "auto"), colored);
    assert_eq!(with("CLICOLOR_FORCE", "never"), plain);
    assert_eq!(with("NO_COLOR", "auto"), plain);
    assert_eq!(with("NO_COLOR", "always"), colored);
    let json = place.run(&["events", "STORE", "--format", "jsonl"]).sound();
    let colored = place.run(&["events", "STORE", "--format", "jsonl", "--color", "always"]).sound();
    assert_eq!(json, colored);
}

#[test]
fn the_last_events_are_printed_oldest_first() {
    let place = many();
    let last = |args: &[&str]| place.run(&[&["tail", "STORE"], args].concat()).positions();
    assert_eq!(last(&[]), "50 51 52 53 54 55 56 57 58 59");
    assert_eq!(last(&["-n", "2"]), last(&[])[last(&[]).len() - 5..]);
    assert_eq!((last(&["-n", "0"]), last(&["-n", "0", "--keep-going"])), Default::default());
    assert_eq!(last(&["--count", "2", "--keep-going"]), last(&["-n", "2"]));
    assert_eq!(last(&["-n", "1000", "--keep-going"]), last(&["-n", "1000"]));
    assert_eq!(last(&["-n", "1000"]), place.run(&["events", "STORE"]).positions());
    let of_type = place.run(&["events", "STORE", "--type", "x", "--to", "30"]).positions();
    let of_type: Vec<_> = of_type.split(' ').collect();
    let expected = of_type[of_type.len() - 3..].join(" ");
    assert_eq!(last(&["-n", "3", "--type", "x", "--to", "30"]), expected);
    let out = place.run(&["tail", "STORE", "-n", "1", "--format", "jsonl"]).sound();
    assert!(out.starts_with("{\"v\":1,\"position\":"), "{out}");
}

#[test]
fn one_event_is_shown_whole() {
    let place = shop();
    let out = place.run(&["show", "STORE", "1"]).sound();
    let file = fs::read(place.path.join(segment_file(Position::START))).unwrap();
    let sum = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let start = 64 + usize::try_from(sum(64 + 8)).unwrap();
    let expected = [
        "position              1",
        "stream                購物車-42",
        "revision              1",
        "type                  item-added",
        "recorded at           2018-02-07T01:26:13.840000000Z",
        "id                    02020202-0202-0202-0202-020202020202",
        "content type          text/plain; charset=utf-8",
        "idempotency key       k-1",
        "metadata              user=7",
        "payload bytes         19",
        "",
        "payload",
        "a \"cup\"\\u{1b}[31m",
        "or two",
        "",
        "segment file          log/00000000000000000000.seg",
    ];
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..expected.len()], expected);
    let checksum = format!("checksum              {0:#010x}, computed {0:#010x}", sum(start));
    let chain =
        format!("checksum before       {0:#010x}, that of the record before {0:#010x}", sum(64));
    let offset = format!("offset                {start}");
    for line in [checksum.as_str(), &chain, &offset, "place in its batch    2 of 2"] {
        assert!(lines.contains(&line), "{line}\n{out}");
    }
    let key =
        lines.iter().find(|line| line.ends_with("|k-1|               idempotency key")).unwrap();
    assert!(key.contains("  6b 2d 31  "), "{key}");
    // Every byte of the record, in order.
    let at = lines.iter().position(|line| *line == "bytes of the record").unwrap();
    let mut shown = Vec::new();
    for line in &lines[at + 1..] {
        assert_eq!(usize::from_str_radix(&line[..8], 16).unwrap(), shown.len());
        let digits = line[10..59].split_whitespace();
        shown.extend(digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()));
    }
    assert_eq!(shown, file[start..start + shown.len()]);
    assert_eq!(shown.len(), usize::try_from(sum(start + 8)).unwrap());
}

#[test]
fn an_event_is_shown_as_json_as_bytes_and_as_its_payload_alone() {
    let place = shop();
    let json = place.run(&["show", "STORE", "1", "--format", "jsonl"]).sound();
    let line =
        place.run(&["events", "STORE", "--from", "1", "--limit", "1", "--format", "jsonl"]).sound();
    assert!(json.starts_with(line.trim_end().trim_end_matches('}')), "{json}");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["segment_file"], "log/00000000000000000000.seg");
    assert_eq!(value["chain"], value["checksum_before"]);
    assert_eq!((&value["batch_start"], &value["batch_end"]), (&0.into(), &2.into()));
    let hex = place.run(&["show", "STORE", "1", "--format", "hex"]).sound();
    assert!(hex.contains("|a \"cup\"") || hex.contains("user=7"), "{hex}");
    let raw = place.command(&["show", "STORE", "2", "--format", "raw"]).output().unwrap();
    assert_eq!(raw.stdout, (0..20).collect::<Vec<u8>>());
    let binary = place.run(&["show", "STORE", "2"]).sound();
    assert!(binary.contains("payload\n00000000  00 01 02 03"), "{binary}");
}

#[test]
fn what_cannot_be_shown_is_said_with_1() {
    let place = shop();
    let Dumped { code, out, err } = place.run(&["show", "STORE", "5"]);
    let said = "annals-dump: there is no event at position 5: the log ends at 5\n";
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", said));
    let file = place.path.join(segment_file(Position::START));
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(3).position(|bytes| bytes == b"k-1").unwrap();
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let Dumped { code, out, err } = place.run(&["show", "STORE", "1"]);
    assert_eq!(code, 1);
    assert!(err.contains("expected a record that matches its checksum"), "{err}");
    for text in
        ["events that are lost  1..2\n", "position: 1\n", "|j-1|", "recorded time: 2018-02-07"]
    {
        assert!(out.contains(text), "{text:?} in {out}");
    }
    for format in ["jsonl", "raw"] {
        let Dumped { code, out, .. } = place.run(&["show", "STORE", "1", "--format", format]);
        assert_eq!((code, out.as_str()), (1, ""));
    }
    // Those beside it are shown, with what is not known of them.
    let Dumped { code, out, err } = place.run(&["show", "STORE", "2"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("that of the record before not known: it is damaged"), "{out}");
    assert!(out.contains("place in its batch    not known: it is damaged"), "{out}");
    assert!(place.run(&["show", "STORE", "0"]).out.contains("place in its batch    not known"));
    fs::remove_file(&file).unwrap();
    let Dumped { code, out, err } = place.run(&["show", "STORE", "1"]);
    assert_eq!(code, 1, "{out}");
    assert!(err.contains("expected the first segment"), "{err}");
}

/// A child that follows, and the lines that it has printed.
struct Following {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Following {
    fn begin(place: &Place, args: &[&str]) -> Self {
        let mut command = place.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().rsplit("  ").next().unwrap().to_owned()
    }

    /// Waits for the end, and gives the exit code and what was said.
    fn end(mut self) -> (i32, String) {
        let mut rest = String::new();
        let deadline = Instant::now() + 20 * SECOND;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it goes on");
            std::thread::sleep(Duration::from_millis(10));
        };
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (status.code().unwrap(), err)
    }
}

fn say(store: &Store, stream: &str, word: &str) {
    store.append(stream, Expected::Any, [NewEvent::text("said", word)]).unwrap();
}

#[test]
fn what_is_appended_is_followed_also_by_the_next_writer_until_it_is_enough() {
    let place = Place::new();
    let store = place.open();
    let mut following =
        Following::begin(&place, &["events", "STORE", "--follow", "--stream", "a", "--limit", "4"]);
    say(&store, "a", "first");
    assert_eq!(following.line(), "first");
    say(&store, "b", "another");
    say(&store, "a", "second");
    assert_eq!(following.line(), "second");
    store.close().unwrap();
    let store = place.open();
    say(&store, "a", "third");
    assert_eq!(following.line(), "third");
    assert!(following.child.try_wait().unwrap().is_none());
    // Beyond the segment, too.
    (0..40).for_each(|_| say(&store, "b", &"long ".repeat(50)));
    say(&store, "a", "fourth");
    assert_eq!(following.line(), "fourth");
    assert_eq!(following.end(), (0, String::new()));
}

#[test]
fn the_last_events_are_followed_by_what_comes() {
    let place = Place::new();
    let store = place.open();
    for word in ["one", "two", "three"] {
        say(&store, "a", word);
        say(&store, "b", "other");
    }
    // What is not known to be durable is not seen yet.
    let mut seen = Options::new().open_read_only(&place.path).unwrap().read_all().from(5);
    assert!(seen.wait(20 * SECOND).unwrap() && seen.next().is_some());
    let mut following =
        Following::begin(&place, &["tail", "STORE", "-n", "2", "--stream", "a", "--follow"]);
    assert_eq!((following.line(), following.line()), ("two".to_owned(), "three".to_owned()));
    say(&store, "a", "four");
    assert_eq!(following.line(), "four");
    let mut none = Following::begin(&place, &["tail", "STORE", "-n", "0", "--follow"]);
    // Whether it has begun shows in nothing else.
    for n in 0.. {
        say(&store, "b", &n.to_string());
        let first = none.child.try_wait().unwrap();
        assert!(first.is_none());
        if n == 20 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(none.line().parse::<u32>().is_ok());
    // A reader that has had enough ends it quietly, at the next event.
    for following in [following, none] {
        let Following { mut child, out } = following;
        drop(out);
        let deadline = Instant::now() + 20 * SECOND;
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it goes on");
            say(&store, "a", "more");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
    }
}

#[test]
fn following_refuses_what_would_end_it_and_what_is_no_store() {
    let place = shop();
    for args in [&["--reverse"][..], &["--to", "3"], &["--until", "now"], &["--keep-going"]] {
        let err = place.run(&[&["events", "STORE", "--follow"], args].concat()).refused();
        assert!(err.contains("cannot be used with"), "{err}");
    }
    place.run(&["tail", "STORE", "--follow", "--to", "3"]).refused();
    let nothing = Place::new();
    for command in ["events", "tail"] {
        let Dumped { code, out, err } = nothing.run(&[command, "STORE", "--follow"]);
        assert_eq!((code, out.as_str()), (3, ""), "{err}");
    }
    assert_eq!(nothing.run(&["show", "STORE", "0"]).code, 3);
}

#[test]
fn each_reading_command_has_an_example() {
    let place = Place::new();
    for command in ["events", "tail", "show"] {
        let help = place.run(&[command, "--help"]).sound();
        assert!(help.contains("Example"), "{help}");
        assert!(help.contains(&format!("annals-dump {command} quakes.annals")), "{help}");
    }
}
