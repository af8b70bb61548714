//! Reading a store in every way, and comparing that with what was appended.

use std::time::Duration;

use crate::cursor::{Cursor, StreamCursor};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::fuzzing::facts::{Fact, by_stream, end_of, numbered, stream_end, wide};
use crate::inspect::{
    Inspection, SegmentSummary, StreamSummary, json_line, segment_table, stream_table, text_line,
};
use crate::store::Store;
use crate::types::{Position, Revision};

/// What is expected of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oracle {
    /// Every event is the one that was appended at its place, or there is an error; a read that
    /// ends without one has given all.
    Exact,
    /// That it ends.
    Ends,
}

/// Reads, and keeps the errors.
struct Reader {
    oracle: Oracle,
    errors: Vec<Error>,
}

/// Reads `store`, which holds `facts`, in every way, and returns the errors. `choice` says where
/// reads begin that begin in the middle.
pub(super) fn read(store: &Store, facts: &[Fact], oracle: Oracle, choice: usize) -> Vec<Error> {
    let mut reader = Reader { oracle, errors: Vec::new() };
    let middle = choice.checked_rem(facts.len()).unwrap_or(0);
    reader.read_positions(|| store.read_all(), facts, middle);
    reader.read_streams(|stream| store.read_stream(stream), facts, choice);
    reader.ask_ends(store, facts);
    if let Some(fact) = facts.get(middle) {
        reader.read_times(store, facts, fact);
    }
    reader.errors
}

/// Reads a store that holds `facts`, once, and asks its index for the ends of its streams.
pub(super) fn glance(store: &Store, facts: &[Fact]) -> Vec<Error> {
    let mut reader = Reader { oracle: Oracle::Exact, errors: Vec::new() };
    reader.compare("all", store.read_all(), numbered(facts));
    reader.ask_ends(store, facts);
    reader.errors
}

/// Reads what an inspection shows of a store that holds `facts`, in every way, and returns the
/// errors.
pub(super) fn inspect(
    inspection: &Inspection,
    facts: &[Fact],
    oracle: Oracle,
    choice: usize,
) -> Vec<Error> {
    let mut reader = Reader { oracle, errors: Vec::new() };
    let middle = choice.checked_rem(facts.len()).unwrap_or(0);
    reader.read_positions(|| inspection.events(), facts, middle);
    reader.read_streams(|stream| inspection.stream_events(stream), facts, choice);
    let (streams, stopped_by) = inspection.streams();
    if stopped_by.is_none() && oracle == Oracle::Exact {
        let counts: Vec<_> = streams.iter().map(|s| (&*s.name, s.event_count)).collect();
        let expected: Vec<_> =
            by_stream(facts).into_iter().map(|(name, facts)| (name, wide(facts.len()))).collect();
        assert_eq!(counts, expected, "the streams");
    }
    let lines: Vec<_> = streams.iter().map(StreamSummary::json_line).collect();
    assert!(lines.len() + 1 == stream_table(&streams).lines().count());
    let segments: Vec<_> =
        inspection.segments().filter_map(|summary| reader.keep(summary)).collect();
    let lines: Vec<_> = segments.iter().map(SegmentSummary::json_line).collect();
    assert!(lines.len() + 1 == segment_table(&segments).lines().count());
    for event in inspection.events().map_while(Result::ok) {
        assert!(!text_line(&event).contains('\n') && !json_line(&event).contains('\n'));
    }
    reader.errors
}

impl Reader {
    fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    fn is_exact(&self) -> bool {
        self.oracle == Oracle::Exact
    }

    fn compare<'a>(
        &mut self,
        what: &str,
        events: impl Iterator<Item = Result<Event>>,
        expected: impl IntoIterator<Item = (u64, &'a Fact)>,
    ) {
        let mut expected = expected.into_iter();
        for event in events {
            let Some(event) = self.keep(event) else { return };
            if self.is_exact() {
                let next = expected.next();
                let is_next = next.is_some_and(|(position, fact)| {
                    event.position().get() == position && fact.is(&event)
                });
                assert!(is_next, "{what}: {event:?} instead of {next:?}");
            }
        }
        if self.is_exact() {
            assert_eq!(expected.next(), None, "{what} ends early");
        }
    }

    fn read_positions(&mut self, cursor: impl Fn() -> Cursor, facts: &[Fact], middle: usize) {
        let numbered = || numbered(facts).into_iter();
        let from = Position::new(wide(middle));
        self.compare("all", cursor(), numbered());
        self.compare("all, backwards", cursor().backwards(), numbered().rev());
        self.compare("from a position", cursor().from(from), numbered().skip(middle));
        let before = numbered().take(middle).rev();
        self.compare("before a position", cursor().from(from).backwards(), before);
    }

    fn read_streams(
        &mut self,
        cursor: impl Fn(&str) -> StreamCursor,
        facts: &[Fact],
        choice: usize,
    ) {
        for (name, events) in by_stream(facts) {
            let middle = choice.checked_rem(events.len()).unwrap_or(0);
            let from = Revision::new(wide(middle));
            self.compare(name, cursor(name), events.iter().copied());
            self.compare(name, cursor(name).backwards(), events.iter().rev().copied());
            let after = events.iter().skip(middle).copied();
            self.compare(name, cursor(name).from(from), after);
            let before = events.iter().take(middle).rev().copied();
            self.compare(name, cursor(name).from(from).backwards(), before);
        }
        self.compare("no stream", cursor("none"), []);
    }

    fn ask_ends(&mut self, store: &Store, facts: &[Fact]) {
        if self.is_exact() {
            assert_eq!(store.end(), end_of(facts));
        }
        let streams: Result<Vec<_>> =
            store.streams().map(|info| info.map(|i| (i.name().to_owned(), i.end()))).collect();
        let expected: Vec<_> = by_stream(facts)
            .into_keys()
            .map(|name| (name.to_owned(), stream_end(facts, name)))
            .collect();
        if let Some(streams) = self.keep(streams).filter(|_| self.is_exact()) {
            assert_eq!(streams, expected, "the streams");
        }
        for (name, end) in expected {
            let found = self.keep(store.stream_end(&name));
            if self.is_exact() {
                assert!(found.is_none_or(|found| found == end), "{name} ends at {found:?}");
            }
        }
    }

    /// Reads around the time of one event.
    fn read_times(&mut self, store: &Store, facts: &[Fact], fact: &Fact) {
        let time = fact.recorded_at;
        for time in [time.minus(Duration::from_nanos(1)), time, time.plus(Duration::from_nanos(1))]
        {
            let first = facts.iter().take_while(|fact| fact.recorded_at < time).count();
            let found = self.keep(store.position_at(time));
            if self.is_exact() {
                let expected = Position::new(wide(first));
                assert!(found.is_none_or(|found| found == expected), "{time:?}: {found:?}");
            }
        }
        let late = || numbered(facts).into_iter().filter(|(_, fact)| fact.recorded_at >= time);
        let early = || numbered(facts).into_iter().filter(|(_, fact)| fact.recorded_at < time);
        let all = || store.read_all();
        self.compare("since", all().recorded(time..), late());
        self.compare("since, backwards", all().recorded(time..).backwards(), late().rev());
        self.compare("until", all().recorded(..time), early());
        self.compare("until, backwards", all().recorded(..time).backwards(), early().rev());
        let name = &*fact.stream;
        let of_stream = |(_, fact): &(u64, &Fact)| fact.stream == name;
        let since = store.read_stream(name).recorded(time..);
        self.compare("a stream, since", since, late().filter(of_stream));
        let until = store.read_stream(name).recorded(..time).backwards();
        self.compare("a stream, until, backwards", until, early().rev().filter(of_stream));
    }
}

/// What can be read of a store whose events are not known, up to the first error.
pub(super) fn facts_in(store: &Store) -> Vec<Fact> {
    store.read_all().map_while(Result::ok).map(|event| Fact::of(&event)).collect()
}
