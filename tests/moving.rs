//! Events on their way from store to store and from files into stores: nothing is lost, bent or
//! doubled, also if an import ends in the middle and is begun again.
#![cfg(feature = "json")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(clippy::allow_attributes, reason = "what a file uses of it differs")]
#[allow(dead_code, unused_imports, unused_macros, reason = "what a file uses of it differs")]
mod common;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ops::ControlFlow;

use annals::inspect::push_exact_json_line;
use annals::transfer::{CloudEvents, Completeness, Import, LineFormat, PlainLines, TimeUnit};
use annals::{Batch, ContentType, Error, EventId, Expected, NewEvent, Result, Store, Timestamp};
use common::{Book, Seen, assert_agrees, assert_error, cases, place, small};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use tempfile::TempDir;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: place() }
    }

    fn open(&self, name: &str) -> Store {
        small().open(self.dir.path().join(name)).unwrap()
    }
}

fn export(store: &Store) -> String {
    let mut lines = String::new();
    for event in store.read_all() {
        push_exact_json_line(&mut lines, event.unwrap().view());
        lines.push('\n');
    }
    lines
}

fn seen(store: &Store) -> Vec<Seen> {
    store.read_all().map(|event| Seen::of(&event.unwrap())).collect()
}

fn exact() -> Import {
    Import::new(LineFormat::Exact)
}

/// Imports `lines`, and returns how many events were known and how many imported.
fn import(mut import: Import, store: &Store, lines: &str) -> (u64, u64) {
    import.run(store, lines.as_bytes()).unwrap();
    (import.progress().known_count, import.progress().imported_count)
}

/// A store with batches over several streams, and what it holds.
fn filled(place: &Place, name: &str) -> (Store, Book) {
    let (store, mut book) = (place.open(name), Book::new(7));
    for n in 0..20 {
        book.append(&store, &[("cart", 1 + n % 3), ("購物車", 1), ("cart", n % 2)]);
    }
    (store, book)
}

/// A payload of any content type, also one that lies about it.
fn payload() -> impl Strategy<Value = (ContentType, Vec<u8>)> {
    let content_type = prop_oneof![0..8_u8, 128..=255_u8].prop_map(ContentType::from_code);
    let json = prop_oneof![
        Just("{\"a\": [1e400, null, \"\u{9b}\u{7f}\u{2028}\"]}"),
        Just(" {\n\t\"a\":\r\n1}\n"),
        Just(" {\"a\":1} "),
        Just("null"),
        Just("\"\\ud800\""),
        Just("{\"a\":1,\"a\":2}"),
        Just("[1] 2"),
        Just(""),
    ];
    prop_oneof![
        (content_type, vec(any::<u8>(), 0..40)),
        any::<String>().prop_map(|text| (ContentType::Text, text.into_bytes())),
        json.prop_map(|text| (ContentType::Json, text.as_bytes().to_vec())),
    ]
}

type Draft = (usize, (ContentType, Vec<u8>), Vec<u8>, Vec<u8>, Vec<String>);

fn draft() -> impl Strategy<Value = Draft> {
    let bytes = || prop_oneof![vec(any::<u8>(), 0..4), Just(b"user=7\n".to_vec())];
    (0..3_usize, payload(), bytes(), bytes(), vec("[a-z\"\\\\é]{1,5}", 0..3))
}

fn event((_, (content_type, payload), metadata, key, tags): Draft) -> NewEvent {
    let event = NewEvent::new("a \"type\"", content_type, payload);
    tags.into_iter().fold(event.metadata(metadata).idempotency_key(key), NewEvent::tag)
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn an_imported_store_exports_the_same_bytes(
        batches in vec((vec(draft(), 1..5), any::<u32>()), 1..12),
    ) {
        let place = Place::new();
        let store = place.open("first");
        let mut time = i64::from(batches[0].1) - 1_000_000;
        for (drafts, gap) in batches {
            time += 1 + i64::from(gap);
            let batch = drafts.into_iter().fold(Batch::new(), |batch, draft| {
                let stream = ["a", "\"b\\", "購物車"][draft.0];
                batch.append(stream, Expected::Any, [event(draft)])
            });
            store.append_batch(batch.recorded_at(Timestamp::from_nanos(time))).unwrap();
        }
        let lines = export(&store);
        assert!(lines.lines().all(|line| !line.contains(char::is_control)));
        let copy = place.open("copy");
        assert_eq!(import(exact(), &copy, &lines), (0, store.end().get()));
        assert_eq!(seen(&copy), seen(&store));
        assert_eq!(export(&copy), lines);
        assert_eq!(import(exact(), &copy, &lines), (store.end().get(), 0));
        assert!(copy.verify().unwrap().is_sound());
    }
}

#[test]
fn an_import_that_ended_anywhere_goes_on_where_it_was() {
    let place = Place::new();
    let (store, book) = filled(&place, "first");
    let lines = export(&store);
    let copy = place.open("copy");
    for (cut, event) in (1..).zip(&book.events) {
        let part: String = lines.split_inclusive('\n').take(cut).collect();
        let imported = exact().run(&copy, part.as_bytes());
        match imported {
            Ok(()) => assert!(event.ends_batch),
            Err(Error::InvalidLine { reason, .. }) => {
                assert!(!event.ends_batch && reason.contains("ends within the batch"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        let whole = book.events[..cut].iter().rposition(|event| event.ends_batch);
        assert_agrees(&copy, &book.events[..whole.map_or(0, |last| last + 1)]);
    }
    assert_eq!(export(&copy), lines);
}

#[test]
fn half_a_line_at_the_end_is_refused_and_what_was_before_it_stays() {
    let place = Place::new();
    let (store, book) = filled(&place, "first");
    let lines = export(&store);
    let copy = place.open("copy");
    let cut = exact().run(&copy, &lines.as_bytes()[..lines.len() - 5]);
    let last = book.end();
    assert_error!(cut, Error::InvalidLine { line, .. } if line == last);
    let whole = book.events[..book.events.len() - 1].iter().rposition(|event| event.ends_batch);
    assert_agrees(&copy, &book.events[..=whole.unwrap()]);
    import(exact(), &copy, &lines);
    assert_agrees(&copy, &book.events);
}

#[test]
fn what_a_copy_lacks_is_enough_to_bring_it_up_to_date() {
    let place = Place::new();
    let (store, mut book) = filled(&place, "first");
    let copy = place.open("copy");
    import(exact(), &copy, &export(&store));
    let end = copy.end().get();
    book.append(&store, &[("new", 2), ("cart", 1)]);
    let lines: String =
        export(&store).split_inclusive('\n').skip(usize::try_from(end).unwrap()).collect();
    assert_eq!(import(exact(), &copy, &lines), (0, 3));
    assert_agrees(&copy, &book.events);
}

#[test]
fn lines_that_do_not_fit_the_store_are_refused_and_change_nothing() {
    let place = Place::new();
    let (store, _) = filled(&place, "first");
    let lines = export(&store);
    let edit = |from: &str, to: &str| {
        assert!(lines.contains(from), "{from}");
        lines.replacen(from, to, 1)
    };
    // The first batch has the lines 1 and 2.
    let cases = [
        (edit("\"position\":0,", "\"position\":1,"), 1, "is not the end of the store"),
        (edit("\"position\":1,", "\"position\":7,"), 2, "does not follow"),
        (edit("\"revision\":0,", "\"revision\":1,"), 1, "the store refuses the batch"),
        (edit("\"v\":1", "\"v\":2"), 1, "another version"),
        (edit("\"v\":1,", ""), 1, "no field v"),
        (edit("\"id\":\"", "\"id\":\"x"), 1, "its id is none"),
        (edit("\"recorded_at\":\"", "\"recorded_at\":\"x"), 1, "no time"),
        (edit("\"v\":1,", "\"v\":1,\"colour\":\"red\","), 1, "has not the fields"),
        (edit("\"content_type\":\"", "\"content_type\":\"x"), 1, "content_type is not one"),
        ("[]".to_owned(), 1, "not JSON"),
        ("{".to_owned(), 1, "not JSON"),
    ];
    for (n, (lines, line, reason)) in cases.into_iter().enumerate() {
        let copy = place.open(&format!("copy-{n}"));
        let error = exact().run(&copy, lines.as_bytes()).unwrap_err();
        let Error::InvalidLine { line: at, reason: said, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*at, line, "{error}: {lines:.200}");
        let because = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(said.contains(reason) || reason == "not JSON", "{error}: {because}");
        assert_eq!(copy.end().get(), 0, "{error}");
    }
}

#[test]
fn a_store_that_has_other_events_is_not_taken_for_a_copy() {
    let place = Place::new();
    let (store, _) = filled(&place, "first");
    let lines = export(&store);
    let other = place.open("other");
    other.append("cart", Expected::NoStream, [NewEvent::text("own", "own")]).unwrap();
    assert_error!(
        exact().run(&other, lines.as_bytes()),
        Error::InvalidLine { line: 1, reason, .. } if reason.contains("another event")
    );
    assert_eq!(other.end().get(), 1);
}

#[test]
fn renumbered_events_go_into_any_store_once_and_in_order() {
    let place = Place::new();
    let (store, book) = filled(&place, "first");
    let lines = export(&store);
    let other = place.open("other");
    let append_own = || {
        other.append("own", Expected::Any, [NewEvent::text("own", "own")]).unwrap();
    };
    append_own();
    // Ended every few lines, and others append meanwhile.
    for cut in (0..=book.events.len()).step_by(7).chain([book.events.len()]) {
        let part: String = lines.split_inclusive('\n').take(cut).collect();
        import(exact().renumbered(), &other, &part);
        append_own();
    }
    assert_eq!(import(exact().renumbered(), &other, &lines), (book.end(), 0));
    let imported: Vec<_> = seen(&other).into_iter().filter(|event| event.stream != "own").collect();
    assert_eq!(imported.len(), book.events.len());
    for (got, had) in imported.iter().zip(&book.events) {
        let place = (got.position, got.recorded_at, got.ends_batch);
        let moved =
            Seen { position: place.0, recorded_at: place.1, ends_batch: place.2, ..had.clone() };
        assert_eq!(*got, moved);
    }
    assert!(other.verify().unwrap().is_sound());
}

#[test]
fn renumbered_batches_stay_whole() {
    let place = Place::new();
    let (store, book) = filled(&place, "first");
    let lines = export(&store);
    let other = place.open("other");
    other.append("own", Expected::Any, [NewEvent::text("own", "own")]).unwrap();
    import(exact().renumbered(), &other, &lines);
    let ends = |events: &[Seen]| events.iter().map(|event| event.ends_batch).collect::<Vec<_>>();
    assert_eq!(ends(&seen(&other)[1..]), ends(&book.events));
    // Of one stream alone, what was one batch still is.
    let cart: String =
        lines.split_inclusive('\n').filter(|line| line.contains("\"cart\"")).collect();
    let part = place.open("part");
    import(exact().renumbered(), &part, &cart);
    let times: Vec<_> = seen(&part).iter().map(|event| event.recorded_at).collect();
    let last_of_batch: Vec<_> =
        (0..times.len()).map(|n| times.get(n + 1) != Some(&times[n])).collect();
    assert_eq!(ends(&seen(&part)), last_of_batch);
}

fn plain() -> PlainLines {
    PlainLines::by_stream_field("user.id").type_field("verb").time_field("at", TimeUnit::Rfc3339)
}

const LOG: &str = r#"{"at":"2026-01-01T00:00:00Z","user":{"id":7},"verb":"GET"}
{"at":"2026-01-01T00:00:00Z","user":{"id":"ann"},"verb":"PUT"}

  {"at":"2026-01-01T00:00:02Z", "user":{"id":7},"verb":"GET" }
{"at":"2026-01-01T00:00:01Z","user":{"id":7},"verb":"GET"}
"#;

#[test]
fn json_objects_of_any_kind_become_events() -> Result<()> {
    let place = Place::new();
    let store = place.open("log");
    let mut importing = Import::new(LineFormat::Plain(plain()));
    importing.run(&store, LOG.as_bytes())?;
    let progress = importing.progress();
    assert_eq!((progress.line_count, progress.imported_count, progress.batch_count), (5, 4, 3));
    assert_eq!(progress.moved_count, 1, "one is not later than the one before");
    let events = seen(&store);
    let named: Vec<_> = events
        .iter()
        .map(|event| (&*event.stream, &*event.event_type, event.recorded_at.to_string()))
        .collect();
    let second = |text: &str| format!("2026-01-01T00:00:0{text}Z");
    assert_eq!(named[0], ("7", "GET", second("0.000000000")));
    assert_eq!(named[1], ("ann", "PUT", second("0.000000000")));
    assert_eq!(named[2], ("7", "GET", second("2.000000000")));
    assert_eq!(named[3], ("7", "GET", second("2.000000001")));
    let third = br#"{"at":"2026-01-01T00:00:02Z", "user":{"id":7},"verb":"GET" }"#;
    assert_eq!((events[2].content_type, &*events[2].payload), (ContentType::Json, &third[..]));
    Ok(())
}

#[test]
fn a_file_that_grows_is_imported_now_and_then() {
    let place = Place::new();
    let store = place.open("log");
    let lines = || Import::new(LineFormat::Plain(plain().source("web.log")));
    assert_eq!(import(lines(), &store, LOG), (0, 4));
    assert_eq!(import(lines(), &store, LOG), (4, 0));
    store.append("own", Expected::Any, [NewEvent::text("own", "own")]).unwrap();
    let grown =
        format!("{LOG}{}\n", r#"{"at":"2026-01-01T00:00:09Z","user":{"id":8},"verb":"GET"}"#);
    assert_eq!(import(lines(), &store, &grown), (4, 1));
    // Of another file, the same lines are other events.
    let other = Import::new(LineFormat::Plain(plain().source("other.log")));
    assert_eq!(import(other, &store, LOG), (0, 4));
}

#[test]
fn a_line_that_says_too_little_is_refused_by_its_number() {
    let place = Place::new();
    let cases = [
        (r#"{"at":"2026-01-01T00:00:00Z","verb":"GET"}"#, "its stream"),
        (r#"{"at":"2026-01-01T00:00:00Z","user":{"id":7}}"#, "its type"),
        (r#"{"user":{"id":7},"verb":"GET"}"#, "its time"),
        (r#"{"at":"noon","user":{"id":7},"verb":"GET"}"#, "its time has none"),
        (r#"{"at":"2200-01-01T00:00:00Z","user":{"id":7},"verb":"GET"}"#, "in the future"),
        (r#"{"at":"2026-01-01T00:00:00Z","user":{"id":""},"verb":"GET"}"#, "refuses its event"),
        ("7", "not a JSON object"),
        ("nonsense", "not a JSON object"),
    ];
    for (n, (line, reason)) in cases.into_iter().enumerate() {
        let store = place.open(&format!("log-{n}"));
        let lines = format!("{LOG}{line}\n");
        let mut importing = Import::new(LineFormat::Plain(plain()));
        assert_error!(
            importing.run(&store, lines.as_bytes()),
            Error::InvalidLine { line: 6, reason: said, .. } if said.contains(reason)
        );
        assert_eq!(store.end().get(), 4, "{reason}");
        assert_eq!(importing.progress().imported_count, 4);
    }
}

#[test]
fn what_stands_before_a_bad_line_is_imported_and_the_bad_line_is_named() {
    let place = Place::new();
    let plain = || Import::new(LineFormat::Plain(PlainLines::by_stream_field("s")));
    // One that ends within a line, as a file does that is being written, and one that the store refuses.
    for (n, bad) in ["{\"s\":", "{\"s\":\"\"}", "{\"s\":\"a\\nb\"}"].into_iter().enumerate() {
        let store = place.open(&format!("log-{n}"));
        let good: Vec<_> = (0..7).map(|n| format!("{{\"s\":\"a\",\"n\":{n}}}\n")).collect();
        let with = |line: &str| format!("{}{line}\n{}", good.concat(), good[0]);
        let mut importing = plain();
        let failed = importing.run(&store, with(bad).as_bytes());
        assert_error!(failed, Error::InvalidLine { line: 8, .. });
        assert_eq!((store.end().get(), importing.progress().imported_count), (7, 7), "{bad}");
        // Mended, it goes on.
        assert_eq!(import(plain(), &store, &with("{\"s\":\"b\"}")), (7, 2));
    }
}

#[test]
fn an_event_that_differs_in_anything_is_another_event() {
    let place = Place::new();
    let cloud = |source: &str, time: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"01234567-89ab-7def-8123-456789abcdef\",\
             \"source\":\"{source}\",\"type\":\"t\",\"subject\":\"s\",\"time\":\"{time}\"}}\n"
        )
    };
    let store = place.open("cloud");
    let import = |lines: &str| {
        import(Import::new(LineFormat::CloudEvents(CloudEvents::new())), &store, lines)
    };
    let (first, early) =
        (cloud("/a", "2020-01-02T00:00:00Z"), cloud("/b", "2019-05-05T00:00:00+02:00"));
    assert_eq!(import(&first), (0, 1));
    assert_eq!(import(&early), (0, 1));
    assert_eq!(import(&early), (1, 0));
    // It is recorded later than it happened, and says when that was.
    let last = seen(&store).pop().unwrap();
    let metadata = String::from_utf8(last.metadata).unwrap();
    assert_eq!(metadata, r#"{"source":"/b","time":"2019-05-05T00:00:00+02:00"}"#);
    assert_eq!(last.recorded_at.to_string(), "2020-01-02T00:00:00.000000001Z");
}

#[test]
fn renumbered_events_do_not_come_from_the_future() {
    let place = Place::new();
    let store = place.open("first");
    let future = Timestamp::from_nanos(7_258_118_400_000_000_000);
    let batch = Batch::new().append("s", Expected::Any, [NewEvent::text("t", "x")]);
    store.append_batch(batch.recorded_at(future)).unwrap();
    let lines = export(&store);
    let copy = place.open("copy");
    assert_error!(
        exact().renumbered().run(&copy, lines.as_bytes()),
        Error::InvalidLine { line: 1, reason, .. } if reason.contains("in the future")
    );
    // A copy is what the original was.
    assert_eq!(import(exact(), &copy, &lines), (0, 1));
    assert_eq!(export(&copy), lines);
}

#[test]
fn cloud_events_become_events_and_keep_what_has_no_place() {
    let lines = r#"{"specversion":"1.0","id":"01234567-89ab-7def-8123-456789abcdef","source":"/shop","type":"added","subject":"cart-42","time":"2026-01-01T00:00:00Z","datacontenttype":"application/json","data":{"n": 1}}
{"specversion":"1.0","id":"A-1","source":"/shop","type":"note","data":"words","datacontenttype":"text/plain","traceparent":"00-ab","n":7}
{"specversion":"1.0","id":"A-2","source":"/shop","type":"blob","data_base64":"AAH/","time":"2026-01-01T00:00:01+01:00","dataschema":"https://example.org/s"}
{"specversion":"1.0","id":"A-3","source":"/shop","type":"nothing"}
"#;
    let place = Place::new();
    let store = place.open("cloud");
    let cloud = || Import::new(LineFormat::CloudEvents(CloudEvents::new()));
    assert_eq!(import(cloud(), &store, lines), (0, 4));
    assert_eq!(import(cloud(), &store, lines), (4, 0));
    let events = seen(&store);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!((&*events[0].stream, &*events[0].event_type), ("cart-42", "added"));
    assert_eq!(events[0].id, "01234567-89ab-7def-8123-456789abcdef".parse::<EventId>().unwrap());
    assert_eq!(
        (events[0].content_type, text(&events[0].payload)),
        (ContentType::Json, "{\"n\": 1}".into())
    );
    assert_eq!(text(&events[0].metadata), r#"{"source":"/shop","time":"2026-01-01T00:00:00Z"}"#);
    assert_eq!((&*events[1].stream, events[1].content_type), ("/shop", ContentType::Text));
    assert_eq!(events[1].payload, b"words");
    assert_eq!(
        text(&events[1].metadata),
        r#"{"id":"A-1","source":"/shop","datacontenttype":"text/plain","traceparent":"00-ab","n":7}"#
    );
    // One without a time is taken to have happened with the one before.
    assert_eq!(events[1].recorded_at, events[0].recorded_at);
    assert_eq!(
        (events[2].content_type, &*events[2].payload),
        (ContentType::Bytes, &[0, 1, 255][..])
    );
    assert_eq!(events[3].payload, b"");
    let by_field = CloudEvents::new().stream_field("data.n");
    let error = Import::new(LineFormat::CloudEvents(by_field)).run(&store, lines.as_bytes());
    assert_error!(error, Error::InvalidLine { line: 2, .. });
    for refused in [
        r#"{"specversion":"0.3"}"#,
        r#"{"specversion":"1.0","id":"x","type":"t"}"#,
        r#"{"specversion":"1.0","id":"x","source":"/","type":"t","datacontenttype":"text/plain","data":"\ud800x"}"#,
    ] {
        assert_error!(cloud().run(&store, refused.as_bytes()), Error::InvalidLine { line: 1, .. });
    }
}

#[test]
fn whoever_watches_ends_an_import_that_goes_on_later() {
    let place = Place::new();
    let lines: Vec<_> = (0..5_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let lines = lines.concat();
    let store = place.open("log");
    let plain = LineFormat::Plain(PlainLines::in_stream("s"));
    let mut importing = Import::new(plain.clone());
    let mut calls = 0;
    let ended = importing.run_watched(&store, lines.as_bytes(), |_| {
        calls += 1;
        if calls < 4 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!(ended.unwrap(), Completeness::Partial);
    let imported = store.end().get();
    assert!((1_000..5_000).contains(&imported), "{imported}");
    assert_eq!(import(Import::new(plain), &store, &lines), (imported, 5_000 - imported));
    let numbers: BTreeMap<_, _> =
        seen(&store).into_iter().map(|event| (event.position, event.payload)).collect();
    assert!(numbers.iter().all(|(n, payload)| *payload == format!("{{\"n\":{n}}}").into_bytes()));
}

#[test]
fn an_input_without_events_imports_nothing() {
    let place = Place::new();
    let store = place.open("empty");
    assert_eq!(import(exact(), &store, ""), (0, 0));
    assert_eq!(import(exact(), &store, "\n \n\r\n"), (0, 0));
    assert_eq!(store.end().get(), 0);
}
