//! The page that `annals-dump report` writes.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use annals::{Batch, Expected, NewEvent, Options, Position, Store};
use tempfile::TempDir;

/// A place for a store and its page that goes when it is dropped.
struct Place {
    dir: TempDir,
    store: PathBuf,
    page: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: dir.path().join("shop.annals"), page: dir.path().join("shop.html"), dir }
    }

    fn open(&self) -> Store {
        Options::new().segment_len_max(4 << 10).open(&self.store).unwrap()
    }

    fn report(&self, out: &Path) -> Output {
        let mut dumper = Command::new(env!("CARGO_BIN_EXE_annals-dump"));
        dumper.arg("report").arg(&self.store).arg(out).output().unwrap()
    }

    /// The page of a sound store.
    fn page(&self) -> String {
        let output = self.report(&self.page);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
        assert!(output.stdout.is_empty());
        fs::read_to_string(&self.page).unwrap()
    }

    /// Names of all that is beside the store.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort_unstable();
        names
    }
}

/// Elements that have no end.
const VOID: [&str; 2] = ["meta", "br"];

/// Checks that each tag that is opened is closed in its turn, and gives the number of each.
fn elements(page: &str) -> BTreeMap<String, usize> {
    let page = page.strip_prefix("<!DOCTYPE html>").unwrap();
    let (mut open, mut counts) = (Vec::new(), BTreeMap::new());
    for part in page.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("not closed: {part}"));
        let name = tag.split([' ', '/', '\n']).find(|name| !name.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "before {text}");
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        *counts.entry(name.to_owned()).or_default() += 1;
        if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
        // In the style, > is a combinator.
        assert!(name == "style" || !text.contains('>'), "{text}");
    }
    assert_eq!(open, [""; 0]);
    counts
}

/// Checks that the page is whole, loads nothing, runs nothing, and tells what its charts show.
fn check(page: &str) -> BTreeMap<String, usize> {
    let elements = elements(page);
    for active in ["script", "link", "img", "iframe", "object", "embed", "base", "form", "a"] {
        assert!(!elements.contains_key(active), "{active}");
    }
    for load in ["http://", "https://", "url(", "@import"] {
        assert!(!page.contains(load), "{load}");
    }
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    assert!(page.contains("prefers-color-scheme: dark"));
    for svg in page.split("<svg ").skip(1) {
        let (attributes, rest) = svg.split_once('>').unwrap();
        let is_hidden = attributes.contains("aria-hidden=\"true\"");
        let is_told = attributes.contains("aria-label=\"") && rest.starts_with("\n<title>");
        assert!(is_hidden || is_told, "{attributes}");
        // Colours are for the style, which knows light and dark.
        assert!(!rest.split("</svg>").next().unwrap().contains("=\"#"));
    }
    for table in page.split("<table ").skip(1) {
        assert!(table.contains("<caption>") && table.contains("<th scope=\"col\">"));
    }
    elements
}

const SCRIPT: &str = "<script>document.title='hostile'</script>";
const IMAGE: &str = "\"><img src=x onerror=alert(1)>'&amp;";

/// Many events of names that mean no good, in several segments, and consumers.
fn hostile() -> Place {
    let place = Place::new();
    let store = place.open();
    let names =
        [SCRIPT.to_owned(), IMAGE.to_owned(), "\u{202e}txt.exe".to_owned(), "購".repeat(85)];
    for n in 0..40_usize {
        let event = NewEvent::text(names[n % 3].as_str(), "x".repeat(1 << (n % 11)));
        store.append(&names[n % 4], Expected::Any, [event]).unwrap();
    }
    let mut consumer = store.consumer("<b>bold</b>\u{202e}").open().unwrap();
    assert_eq!(consumer.by_ref().take(30).count(), 30);
    consumer.commit(30).unwrap();
    drop(consumer);
    store.close().unwrap();
    place
}

#[test]
fn a_page_is_whole_and_loads_nothing() {
    let elements = check(&hostile().page());
    assert_eq!(elements["h1"], 1);
    assert_eq!(elements["table"], 4, "types, streams, segments, consumers");
}

#[test]
fn nothing_from_the_store_becomes_part_of_the_page() {
    let place = hostile();
    let page = place.page();
    for name in [SCRIPT, IMAGE, "<b>bold", "\u{202e}"] {
        assert!(!page.contains(name), "{name}");
    }
    assert!(page.contains("&lt;script&gt;document.title=&#39;hostile&#39;&lt;/script&gt;"));
    assert!(page.contains("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&#39;&amp;amp;"));
    assert!(page.contains("\\u{202e}txt.exe"));
    assert!(page.contains(&"購".repeat(85)));
    assert!(!page.contains(|c: char| c.is_control() && c != '\n'));
}

#[test]
fn totals_are_those_of_the_store() {
    let place = hostile();
    let page = place.page();
    let figures = page.split_once("class=\"figures\"").unwrap().1.split_once("</dl>").unwrap().0;
    for (name, figure) in [("Events", "40"), ("Streams", "4"), ("Types", "3")] {
        assert!(figures.contains(&format!("<dt>{name}</dt><dd><strong>{figure}</strong>")));
    }
    assert!(page.contains("<h1><bdi>shop.annals</bdi></h1>"));
    assert!(page.contains("<p class=\"state good\">every event reads well</p>"));
    assert!(page.contains("<td class=\"number\">10</td><td class=\"number\">75.0 %</td>"));
}

#[test]
fn a_store_without_events_and_one_with_a_single_event_have_pages() {
    let place = Place::new();
    let store = place.open();
    let elements = check(&place.page());
    assert_eq!(elements["table"], 1, "the one segment");
    let page = fs::read_to_string(&place.page).unwrap();
    assert_eq!(page.matches("There are no events yet.").count(), 4);
    assert!(page.contains("No consumer keeps a place in this store."));
    store.append("cart-42", Expected::NoStream, [NewEvent::text("item-added", "")]).unwrap();
    let page = place.page();
    assert_eq!(check(&page)["table"], 3);
    assert!(page.contains("one moment"), "{page}");
}

#[test]
fn a_damaged_store_has_a_page_that_says_so() {
    let place = hostile();
    let segment = place.store.join(annals::inspect::segment_file(Position::START));
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(7).position(|bytes| bytes == b"txt.exe").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let output = place.report(&place.page);
    assert_eq!(output.status.code(), Some(1));
    let page = fs::read_to_string(&place.page).unwrap();
    check(&page);
    assert!(page.contains("<p class=\"state bad\">damage found</p>"));
    let said = String::from_utf8(output.stderr).unwrap();
    let finding = said.strip_prefix("annals-dump: ").unwrap().trim_end();
    assert!(page.contains(&format!("<li>{finding}</li>")), "{said}");
    assert!(page.contains("<dt>Events</dt><dd><strong>2</strong>"));
}

#[test]
fn bytes_after_the_end_are_told_of_and_are_no_damage() {
    let place = Place::new();
    let store = place.open();
    for _ in 0..2 {
        let batch = Batch::new().append("talk", Expected::Any, [NewEvent::text("said", "hello")]);
        store.append_batch(batch).unwrap();
    }
    store.close().unwrap();
    for note in ["clean", "durable"] {
        fs::remove_file(place.store.join(note)).unwrap();
    }
    let segment = place.store.join(annals::inspect::segment_file(Position::START));
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 8]).unwrap();
    let output = place.report(&place.page);
    assert_eq!(output.status.code(), Some(0));
    let page = fs::read_to_string(&place.page).unwrap();
    check(&page);
    assert!(page.contains("after the end of the log are no whole batch"), "{page}");
    assert!(!page.contains("damage found"));
}

#[test]
fn of_many_segments_the_last_are_listed_and_all_are_drawn() {
    let place = Place::new();
    let store = place.open();
    for _ in 0..120 {
        let event = NewEvent::text("said", "x".repeat(1_000));
        store.append("talk", Expected::Any, [event]).unwrap();
    }
    store.close().unwrap();
    let page = place.page();
    check(&page);
    assert_eq!(page.matches("<th scope=\"row\"><code>log/").count(), 30);
    assert!(page.contains("the last 30 of 40 are listed"), "{page}");
    assert_eq!(page.matches("class=\"sealed\"").count(), 39);
}

#[test]
fn a_page_takes_the_place_of_a_file_whole() {
    let place = hostile();
    fs::write(&place.page, "what was there before").unwrap();
    check(&place.page());
    assert_eq!(place.files(), ["shop.annals", "shop.html"], "nothing else is left");
    let output = place.report(Path::new("-"));
    check(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(place.files(), ["shop.annals", "shop.html"]);
}

#[test]
fn a_page_goes_into_no_directory_and_no_store() {
    let place = hostile();
    fs::create_dir(&place.page).unwrap();
    let refused = |out: &Path, code: i32, why: &str| {
        let output = place.report(out);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused(&place.page, 2, "that is no file");
    refused(&place.store.join("store.meta"), 2, "that is in the store");
    refused(&place.store.join("log").join("page.html"), 2, "that is in the store");
    refused(&place.dir.path().join("nowhere").join("page.html"), 4, "cannot write");
    #[cfg(unix)]
    refused(Path::new("/dev/null"), 2, "that is no file");
    assert_eq!(place.files(), ["shop.annals", "shop.html"]);
    assert!(annals::inspect::Inspection::open(&place.store).unwrap().damage().is_none());
}

#[test]
fn what_is_no_store_has_no_page() {
    let place = Place::new();
    let output = place.report(&place.page);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(place.files(), [""; 0]);
}

/// A browser: the one that the variable CHROME names, or one of those that are installed.
fn browser() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROME") {
        return Some(PathBuf::from(named));
    }
    let folders = env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let places = env::split_paths(&folders)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .collect::<Vec<_>>();
    places.into_iter().find(|place| place.is_file())
}

/// Runs the browser on the page, and gives what it has written to its standard outputs. It has a
/// minute, so that one that hangs holds up nobody.
fn browse(browser: &Path, place: &Place, args: &[&str]) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let outputs = ["out", "err"].map(|name| profile.path().join(name));
    let [out, err] = outputs.each_ref().map(|path| {
        Stdio::from(fs::OpenOptions::new().create(true).append(true).open(path).unwrap())
    });
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
    command.args(["--no-first-run", "--disable-background-networking", "--disable-sync"]);
    command.args(["--disable-component-update", "--enable-logging=stderr", "--hide-scrollbars"]);
    command.arg(format!("--user-data-dir={}", profile.path().join("profile").display()));
    command.args(args).arg(format!("file://{}", place.page.display()));
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the browser does not end");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let [out, err] =
        outputs.map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned());
    (out, err)
}

#[test]
fn a_browser_shows_the_page_without_a_complaint() {
    let Some(browser) = browser() else {
        eprintln!("left out: there is no browser; CHROME may name one");
        return;
    };
    let place = hostile();
    place.page();
    let (dom, said) = browse(&browser, &place, &["--dump-dom"]);
    assert!(dom.contains("<title>shop.annals · annals</title>"), "{said}\n{dom}");
    assert!(!said.contains("CONSOLE"), "{said}");
    // What the browser has understood is what was meant: no element more, and none less.
    let count = |page: &str, tag: &str| page.matches(&format!("<{tag}")).count();
    let page = fs::read_to_string(&place.page).unwrap();
    for tag in ["svg", "rect", "table", "tr>", "bdi", "section", "time"] {
        assert!(count(&page, tag) > 0);
        assert_eq!(count(&dom, tag), count(&page, tag), "{tag}");
    }
    assert_eq!((count(&dom, "script"), count(&dom, "img")), (0, 0));
}

/// Has the page tell the one around it how wide it is, how wide that should be, and how large its
/// charts are. Only a copy whose policy is taken away can do that.
const MEASURE: &str = "<script>\
    const sizes = [[document.documentElement.scrollWidth, innerWidth]];\
    for (const svg of document.querySelectorAll('svg')) {\
        const {width, height} = svg.getBoundingClientRect();\
        sizes.push([Math.floor(width), Math.floor(height)]);\
    }\
    parent.postMessage(JSON.stringify(sizes), '*');</script></body>";

/// A page around that one, for browsers do not make their windows as narrow as a telephone.
fn frame(width: u32) -> String {
    format!(
        "<body><script>onmessage = (told) => document.body.dataset.sizes = told.data</script>\
         <iframe src=\"measured.html\" style=\"width: {width}px; height: 900px; border: 0\">\
         </iframe></body>"
    )
}

#[test]
fn charts_have_a_size_and_the_page_fits_wide_and_narrow_windows() {
    let Some(browser) = browser() else {
        eprintln!("left out: there is no browser; CHROME may name one");
        return;
    };
    let place = hostile();
    let page = place.page();
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    let measured = page.replace(policy, "").replace("</body>", MEASURE);
    fs::write(place.dir.path().join("measured.html"), measured).unwrap();
    for width in [1_400, 700, 360] {
        fs::write(&place.page, frame(width)).unwrap();
        let args = ["--window-size=1500,1000", "--virtual-time-budget=5000", "--dump-dom"];
        let (dom, said) = browse(&browser, &place, &args);
        let sizes = dom.split_once("data-sizes=\"").unwrap_or_else(|| panic!("{said}")).1;
        let sizes: Vec<[u32; 2]> = serde_json::from_str(sizes.split_once('"').unwrap().0).unwrap();
        let (page_size, charts) = sizes.split_first().unwrap();
        assert!(page_size[0] <= width && page_size[1] == width, "{page_size:?}");
        assert_eq!(charts.len(), page.matches("<svg").count());
        assert!(charts.iter().all(|[width, height]| *width >= 70 && *height >= 4), "{charts:?}");
        assert!(charts.iter().any(|[width, height]| *width >= 200 && *height >= 100));
    }
}
