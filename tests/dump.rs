//! `annals-dump`, run as its users run it.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use annals::{Batch, ContentType, Expected, NewEvent, Store};
use common::dumper::{Dumped, NOW, Place, dumper, id};

/// One event of every kind that is shown differently.
fn variety() -> Place {
    let place = Place::new();
    let store = place.open();
    let json =
        b"{\n  \"huge\": 1e400,\r\n  \"long\": 123456789012345678901234567890, \"one\": 1.0\n}\n";
    let teapot = NewEvent::new("item-added", ContentType::Json, &json[..])
        .id(id(1))
        .tag("kitchen")
        .tag("fragile \"!\"")
        .metadata("user=7\n");
    let cup = NewEvent::text("item-added", "a cup\u{1b}[31m\n").id(id(2)).idempotency_key("k-1");
    store.append("購物車-42", Expected::NoStream, [teapot, cup]).unwrap();
    let odd = [
        NewEvent::bytes("raw", [0, 1, 254, 255]).id(id(3)).metadata([0xff]).idempotency_key([0]),
        NewEvent::new("no-json", ContentType::Json, "{\"a\":}").id(id(4)),
        NewEvent::new("no-text", ContentType::Text, [b'a', 0xff]).id(id(5)),
        NewEvent::text("empty", "").id(id(6)),
        NewEvent::new("own", ContentType::Other(200), "abc").id(id(7)),
    ];
    store.append("odd", Expected::NoStream, odd).unwrap();
    store.close().unwrap();
    place
}

#[test]
fn events_as_json_lines_have_exactly_the_documented_fields() {
    let expected = [
        r#"{"v":1,"position":0,"stream":"購物車-42","revision":0,"recorded_at":"2018-02-07T01:26:13.840000000Z","ends_batch":false,"id":"01010101-0101-0101-0101-010101010101","type":"item-added","content_type":"application/json","tags":["kitchen","fragile \"!\""],"metadata":"user=7\n","data":{   "huge": 1e400,    "long": 123456789012345678901234567890, "one": 1.0 }}"#,
        r#"{"v":1,"position":1,"stream":"購物車-42","revision":1,"recorded_at":"2018-02-07T01:26:13.840000000Z","ends_batch":true,"id":"02020202-0202-0202-0202-020202020202","type":"item-added","content_type":"text/plain; charset=utf-8","tags":[],"metadata":null,"idempotency_key":"k-1","data":"a cup\u001b[31m\n"}"#,
        r#"{"v":1,"position":2,"stream":"odd","revision":0,"recorded_at":"2018-02-07T01:26:13.840000001Z","ends_batch":false,"id":"03030303-0303-0303-0303-030303030303","type":"raw","content_type":"application/octet-stream","tags":[],"metadata_base64":"/w==","idempotency_key":"\u0000","data_base64":"AAH+/w=="}"#,
        r#"{"v":1,"position":3,"stream":"odd","revision":1,"recorded_at":"2018-02-07T01:26:13.840000001Z","ends_batch":false,"id":"04040404-0404-0404-0404-040404040404","type":"no-json","content_type":"application/json","tags":[],"metadata":null,"data_base64":"eyJhIjp9"}"#,
        r#"{"v":1,"position":4,"stream":"odd","revision":2,"recorded_at":"2018-02-07T01:26:13.840000001Z","ends_batch":false,"id":"05050505-0505-0505-0505-050505050505","type":"no-text","content_type":"text/plain; charset=utf-8","tags":[],"metadata":null,"data_base64":"Yf8="}"#,
        r#"{"v":1,"position":5,"stream":"odd","revision":3,"recorded_at":"2018-02-07T01:26:13.840000001Z","ends_batch":false,"id":"06060606-0606-0606-0606-060606060606","type":"empty","content_type":"text/plain; charset=utf-8","tags":[],"metadata":null,"data":""}"#,
        r#"{"v":1,"position":6,"stream":"odd","revision":4,"recorded_at":"2018-02-07T01:26:13.840000001Z","ends_batch":true,"id":"07070707-0707-0707-0707-070707070707","type":"own","content_type":"application/x-annals-200","tags":[],"metadata":null,"data_base64":"YWJj"}"#,
    ];
    let out = variety().dump("events", &["--format", "jsonl"]).sound();
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
    for line in out.lines() {
        serde_json::from_str::<&serde_json::value::RawValue>(line).unwrap();
    }
}

#[test]
fn only_valid_json_is_put_into_a_line_as_it_is() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(&[u8], &str); 9] = [
        (b" \t{} \n", "{}"),
        (b"-0.0e-0", "-0.0e-0"),
        (br#""\ud800""#, r#""\ud800""#),
        (deep.as_bytes(), &deep),
        (b"\"\xff\"", ""),
        (b"\"\n\"", ""),
        (b"1 2", ""),
        (b"\xef\xbb\xbf{}", ""),
        (b"", ""),
    ];
    let place = Place::new();
    let store = Store::open(&place.path).unwrap();
    let events = cases.map(|(json, _)| NewEvent::new("json", ContentType::Json, json));
    store.append("all", Expected::NoStream, events).unwrap();
    let out = place.dump("events", &["--format", "jsonl"]).sound();
    for ((json, data), line) in cases.iter().zip(out.lines()) {
        let ending = match *data {
            "" => r#""data_base64":""#.to_owned(),
            data => format!(r#","data":{data}}}"#),
        };
        assert!(line.contains(&ending), "{}", json.escape_ascii());
    }
}

#[test]
fn events_as_text_are_one_line_each_that_does_nothing_to_a_terminal() {
    let out = variety().dump("events", &[]).sound();
    let expected = r#"
0  2018-02-07T01:26:13.840000000Z  購物車-42@0  item-added  [kitchen, fragile "!"]  { "huge": 1e400, "long": 123456789012345678901234567890, "one": 1.0 }
1  2018-02-07T01:26:13.840000000Z  購物車-42@1  item-added  a cup\u{1b}[31m\n
2  2018-02-07T01:26:13.840000001Z  odd@0  raw  0x0001feff (4 bytes)
3  2018-02-07T01:26:13.840000001Z  odd@1  no-json  {"a":}
4  2018-02-07T01:26:13.840000001Z  odd@2  no-text  0x61ff (2 bytes)
5  2018-02-07T01:26:13.840000001Z  odd@3  empty
6  2018-02-07T01:26:13.840000001Z  odd@4  own  abc
"#;
    assert_eq!(out, expected.trim_start());
}

#[test]
fn events_are_chosen_by_stream_place_number_and_direction() {
    let place = variety();
    let positions = |args: &[&str]| place.dump("events", args).positions();
    assert_eq!(positions(&["--stream", "購物車-42"]), "0 1");
    assert_eq!(positions(&["--stream", "nobody"]), "");
    assert_eq!(positions(&["--from", "5"]), "5 6");
    assert_eq!(positions(&["--from", "99"]), "");
    assert_eq!(positions(&["--limit", "2"]), "0 1");
    assert_eq!(positions(&["--reverse", "--limit", "2"]), "6 5");
    assert_eq!(positions(&["--reverse", "--from", "4"]), "6 5 4");
    assert_eq!(positions(&["--reverse", "--from", "1", "--to", "4"]), "3 2 1");
    assert_eq!(positions(&["--reverse", "--stream", "購物車-42", "--limit", "1"]), "1");
    assert_eq!(positions(&["--stream", "odd", "--from", "3", "--limit", "2"]), "3 4");
}

#[test]
fn streams_are_listed_by_name() {
    let place = variety();
    let expected = "\
events  first  last  first recorded at               last recorded at                payload bytes  stream
     5      2     6  2018-02-07T01:26:13.840000001Z  2018-02-07T01:26:13.840000001Z             15  odd
     2      0     1  2018-02-07T01:26:13.840000000Z  2018-02-07T01:26:13.840000000Z             86  購物車-42
";
    assert_eq!(place.dump("streams", &[]).sound(), expected);
    let expected = [
        r#"{"v":1,"stream":"odd","event_count":5,"first_position":2,"last_position":6,"first_recorded_at":"2018-02-07T01:26:13.840000001Z","last_recorded_at":"2018-02-07T01:26:13.840000001Z","payload_len":15}"#,
        r#"{"v":1,"stream":"購物車-42","event_count":2,"first_position":0,"last_position":1,"first_recorded_at":"2018-02-07T01:26:13.840000000Z","last_recorded_at":"2018-02-07T01:26:13.840000000Z","payload_len":86}"#,
    ];
    let out = place.dump("streams", &["--format", "jsonl"]).sound();
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}

/// Events of 1 KiB in batches of one: three fit into a segment.
fn three_segments() -> Place {
    let place = Place::new();
    let store = place.open();
    for n in 0..8_u64 {
        let words = format!("{:<1000}!", format!("event number {n} "));
        let event = NewEvent::text("said", words).id(id(9));
        assert_eq!(store.append("talk", Expected::Exact(n), [event]).unwrap().first().get(), n);
    }
    store.close().unwrap();
    place
}

#[test]
fn segments_are_listed_with_their_state() {
    let place = three_segments();
    let expected = "\
file                          state   first  end  events  file bytes  first recorded at               last recorded at                digest
log/00000000000000000000.seg  sealed      0    3       3        3400  2018-02-07T01:26:13.840000000Z  2018-02-07T01:26:13.840000002Z  <digest>
log/00000000000000000003.seg  sealed      3    6       3        3400  2018-02-07T01:26:13.840000003Z  2018-02-07T01:26:13.840000005Z  <digest>
log/00000000000000000006.seg  active      6    8       2        2224  2018-02-07T01:26:13.840000006Z  2018-02-07T01:26:13.840000007Z  -
";
    let out = place.dump("segments", &[]).sound();
    let is_digest = |word: &str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let digests: Vec<_> = out.split_whitespace().filter(|word| is_digest(word)).collect();
    assert!(digests.len() == 2 && digests[0] != digests[1], "{out}");
    let told = digests.iter().fold(out.clone(), |out, digest| out.replace(digest, "<digest>"));
    assert_eq!(told, expected);
    let out = place.dump("segments", &["--format", "jsonl"]).sound();
    let last = r#"{"v":1,"file":"log/00000000000000000006.seg","state":"active","first_position":6,"end_position":8,"event_count":2,"file_len":2224,"first_recorded_at":"2018-02-07T01:26:13.840000006Z","last_recorded_at":"2018-02-07T01:26:13.840000007Z","digest":null}"#;
    assert_eq!((out.lines().count(), out.lines().last().unwrap()), (3, last));
}

#[test]
fn a_full_segment_that_was_not_sealed_is_called_full() {
    let place = three_segments();
    let file = fs::OpenOptions::new().write(true).open(place.segment(3)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 96).unwrap();
    let out = place.dump("segments", &[]).sound();
    let full = "log/00000000000000000003.seg  full        3    6       3        3304  \
                2018-02-07T01:26:13.840000003Z  2018-02-07T01:26:13.840000005Z  -";
    assert_eq!(out.lines().nth(2), Some(full));
    assert_eq!(place.dump("events", &[]).sound().lines().count(), 8);
}

#[test]
fn a_store_that_is_open_can_be_looked_into() {
    let place = Place::new();
    let store = place.open();
    let said = || NewEvent::text("said", "hello");
    store.append("talk", Expected::NoStream, [said()]).unwrap();
    assert_eq!(place.dump("events", &[]).sound().lines().count(), 1);
    let batch = Batch::new().append("talk", Expected::Exact(1), [said(), said()]);
    store.append_batch(batch).unwrap();
    assert_eq!(place.dump("events", &["--format", "jsonl"]).sound().lines().count(), 3);
    assert_eq!(place.dump("segments", &[]).sound().lines().count(), 2);
    store.append("talk", Expected::Exact(3), [said()]).unwrap();
}

/// Every file and folder with its bytes and the time of its last change.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            let bytes = metadata.is_file().then(|| fs::read(&path).unwrap());
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (metadata.modified().unwrap(), bytes));
        }
        found.insert(folder.clone(), (fs::metadata(&folder).unwrap().modified().unwrap(), None));
    }
    found
}

#[test]
fn nothing_is_changed_whatever_is_found() {
    let torn = three_segments();
    let file = fs::OpenOptions::new().write(true).open(torn.segment(6)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 8).unwrap();
    torn.forget_end();
    let damaged = three_segments();
    damaged.damage(3, "event number 4");
    let indexless = three_segments();
    fs::remove_dir_all(indexless.path.join("index")).unwrap();
    fs::remove_file(indexless.path.join("LOCK")).unwrap();
    for (place, code, count) in [(torn, 0, 7), (damaged, 1, 4), (indexless, 0, 8)] {
        let before = snapshot(&place.path);
        for command in ["events", "streams", "segments"] {
            for format in ["text", "jsonl"] {
                let dumped = place.dump(command, &["--format", format]);
                let expected = if command == "segments" { 0 } else { code };
                assert_eq!(dumped.code, expected, "{command}: {dumped:?}");
                assert!(command != "events" || dumped.out.lines().count() == count);
            }
        }
        assert!(snapshot(&place.path) == before, "a file has been touched");
    }
}

#[test]
fn a_torn_tail_is_a_note_and_no_damage() {
    let place = three_segments();
    place.forget_end();
    let mut bytes = fs::read(place.segment(6)).unwrap();
    bytes.truncate(bytes.len() - 8);
    fs::write(place.segment(6), bytes).unwrap();
    let dumped = place.dump("events", &["--from", "6"]);
    assert_eq!((dumped.code, dumped.out.lines().count()), (0, 1));
    let note = "annals-dump: note: the last 1072 bytes are no whole batch";
    assert!(dumped.err.starts_with(note), "{}", dumped.err);
}

#[test]
fn an_empty_store_has_nothing_to_show() {
    let place = Place::new();
    place.open().close().unwrap();
    assert_eq!(place.dump("events", &[]).sound(), "");
    assert_eq!(place.dump("events", &["--reverse"]).sound(), "");
    assert_eq!(place.dump("streams", &["--format", "jsonl"]).sound(), "");
    assert_eq!(place.dump("streams", &[]).sound().lines().count(), 1);
    let out = place.dump("segments", &[]).sound();
    assert!(
        out.ends_with(
            "active      0    0       0          64  -                  -                 -\n"
        ),
        "{out}"
    );
}

#[test]
fn what_is_no_store_ends_with_3() {
    let place = Place::new();
    let refused = |what: &str| {
        let dumped = place.dump("events", &[]);
        let expected = format!("annals-dump: {} is not an annals store\n", place.path.display());
        assert_eq!((dumped.code, dumped.out.as_str(), dumped.err), (3, "", expected), "{what}");
    };
    refused("a path that does not exist");
    fs::write(&place.path, "a file").unwrap();
    refused("a file");
    fs::remove_file(&place.path).unwrap();
    fs::create_dir_all(place.path.join("log")).unwrap();
    refused("a directory of something else");
}

#[test]
fn a_store_of_a_newer_format_ends_with_3_and_says_its_version() {
    let place = variety();
    let meta = place.path.join("store.meta");
    let mut bytes = fs::read(&meta).unwrap();
    bytes[8] = 2;
    bytes.extend([0; 64]);
    fs::write(&meta, bytes).unwrap();
    let dumped = place.dump("segments", &[]);
    let expected = format!(
        "annals-dump: {} has format version 2, this release reads up to 1\n",
        meta.display()
    );
    assert_eq!((dumped.code, dumped.out.as_str(), dumped.err), (3, "", expected));
}

#[test]
fn a_damaged_store_meta_is_damage() {
    let place = variety();
    let meta = place.path.join("store.meta");
    let mut bytes = fs::read(&meta).unwrap();
    bytes[20] ^= 1;
    fs::write(&meta, bytes).unwrap();
    // The first segment tells what it said.
    let sound = variety().dump("streams", &[]).sound();
    for damage in ["a flipped bit", "no file"] {
        let dumped = place.dump("streams", &[]);
        assert_eq!((dumped.code, dumped.out.as_str()), (1, sound.as_str()), "{damage}");
        assert!(dumped.err.contains("store.meta is corrupt"), "{damage}: {}", dumped.err);
        if meta.exists() {
            fs::remove_file(&meta).unwrap();
        }
    }
    let mut bytes = fs::read(place.segment(0)).unwrap();
    bytes[20] ^= 1;
    fs::write(place.segment(0), bytes).unwrap();
    let dumped = place.dump("streams", &[]);
    assert_eq!((dumped.code, dumped.out.as_str()), (1, ""));
}

/// What `events` prints of a damaged store: how many, and what it says.
fn events_of_damaged(place: &Place) -> (usize, String) {
    let dumped = place.dump("events", &[]);
    assert_eq!(dumped.code, 1, "{}", dumped.err);
    (dumped.out.lines().count(), dumped.err)
}

#[test]
fn a_flipped_bit_in_a_sealed_segment_is_named_after_the_events_before_it() {
    let place = three_segments();
    place.damage(3, "event number 4");
    let at = 64 + 1_080;
    let expected = format!(
        "annals-dump: segment 3 is corrupt at byte {at}: expected a record that matches its \
         checksum (log/00000000000000000003.seg)\n"
    );
    assert_eq!(events_of_damaged(&place), (4, expected.clone()));
    let streams = place.dump("streams", &["--format", "jsonl"]);
    assert_eq!((streams.code, streams.err), (1, expected));
    assert!(streams.out.contains(r#""event_count":4"#), "{}", streams.out);
    // Whoever knows that the rest is sound can go on behind it.
    assert_eq!(place.dump("events", &["--from", "6"]).sound().lines().count(), 2);
}

#[test]
fn a_flipped_bit_in_the_active_segment_is_named_whether_it_was_closed_or_not() {
    for closed in [true, false] {
        let place = three_segments();
        place.damage(6, "event number 6");
        if !closed {
            fs::remove_file(place.path.join("clean")).unwrap();
        }
        let (count, err) = events_of_damaged(&place);
        assert_eq!(count, 6, "{err}");
        let expected = "annals-dump: segment 6 is corrupt at byte 64: expected a record that";
        assert!(err.starts_with(expected), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
}

#[test]
fn a_damaged_header_of_the_last_segment_leaves_the_others_readable() {
    let place = three_segments();
    place.damage(6, "annalseg");
    let (count, err) = events_of_damaged(&place);
    assert_eq!(count, 6);
    assert!(err.starts_with("annals-dump: segment 6 is corrupt at byte 0"), "{err}");
    let segments = place.dump("segments", &[]);
    assert_eq!((segments.code, segments.out.lines().count()), (1, 3));
    assert_eq!(segments.err.lines().count(), 1, "{}", segments.err);
}

#[test]
fn a_missing_segment_is_damage_wherever_it_was() {
    for (missing, readable) in [(0, 0), (3, 3), (6, 6)] {
        let place = three_segments();
        fs::remove_file(place.segment(missing)).unwrap();
        let (count, err) = events_of_damaged(&place);
        assert_eq!(count, readable, "without {missing}: {err}");
        let segments = place.dump("segments", &[]);
        assert_eq!(segments.code, 1, "without {missing}: {}", segments.out);
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let place = Place::new();
    let store = place.open();
    for _ in 0..100 {
        let events = (0..30).map(|_| NewEvent::text("said", "something long enough"));
        store.append("talk", Expected::Any, events).unwrap();
    }
    let mut child = dumper()
        .args(["events", "--format", "jsonl"])
        .arg(&place.path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with(r#"{"v":1,"position":0,"#));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn an_output_that_cannot_be_written_ends_with_4() {
    let place = variety();
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let output = dumper().arg("events").arg(&place.path).stdout(full).output().unwrap();
    let dumped = Dumped::of(output);
    assert_eq!(dumped.code, 4);
    assert!(dumped.err.starts_with("annals-dump: cannot write to standard output: "));
}

#[test]
fn wrong_arguments_end_with_2_and_help_has_an_example() {
    for args in [&[][..], &["events"], &["evnts", "x"], &["events", "x", "--format", "xml"]] {
        assert_eq!(dumper().args(args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
    for command in ["events", "streams", "segments"] {
        let help = Dumped::of(dumper().args([command, "--help"]).output().unwrap()).sound();
        assert!(help.contains("Example"), "{help}");
        assert!(help.contains(&format!("annals-dump {command} quakes.annals")), "{help}");
    }
    let version = Dumped::of(dumper().arg("--version").output().unwrap()).sound();
    assert_eq!(version, format!("annals-dump {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn consumers_are_listed_with_what_only_the_log_says_of_them() {
    let place = Place::new();
    let store = place.open();
    for n in 0..5 {
        store.append("orders", Expected::Any, [NewEvent::text("placed", n.to_string())]).unwrap();
    }
    let mut billing = store.consumer("billing").open().unwrap();
    let mut mailer = store.consumer("購\u{202e}物").open().unwrap();
    assert_eq!((billing.by_ref().take(3).count(), mailer.by_ref().count()), (3, 5));
    mailer.commit(4).unwrap();
    let batch = Batch::new().append("bills", Expected::Any, [NewEvent::text("billed", "2")]);
    store.append_and_commit(batch, &mut billing, 3).unwrap();
    assert_eq!(
        place.dump("consumers", &[]).sound(),
        format!(
            "committed  behind  pending  parked  committed at                    consumer\n\
             {:>9}  {:>6}  {:>7}  {:>6}  {NOW}  billing\n\
             {:>9}  {:>6}  {:>7}  {:>6}  {NOW}  購\\u{{202e}}物\n",
            3, 3, 0, 0, 4, 2, 0, 0
        )
    );
    let lines = place.dump("consumers", &["--format", "jsonl"]).sound();
    let billing = lines.lines().next().unwrap();
    assert_eq!(
        billing,
        format!(
            "{{\"v\":1,\"consumer\":\"billing\",\"committed\":3,\"lag_event_count\":3,\
             \"pending_count\":0,\"parked_count\":0,\"committed_at\":\"{NOW}\"}}"
        )
    );
}

#[test]
fn a_damaged_consumer_is_named_and_the_others_are_listed() {
    let place = Place::new();
    let store = place.open();
    store.append("orders", Expected::Any, [NewEvent::text("placed", "")]).unwrap();
    for name in ["a", "b"] {
        store.consumer(name).open().unwrap();
    }
    store.close().unwrap();
    fs::write(place.path.join("consumers/a"), [7; 16_384]).unwrap();
    let dumped = place.dump("consumers", &["--format", "jsonl"]);
    assert_eq!((dumped.code, dumped.out.lines().count()), (1, 1));
    assert!(dumped.err.contains("consumers/a is corrupt"), "{}", dumped.err);
}
