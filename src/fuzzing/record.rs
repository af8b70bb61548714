//! The target `record`: the decoder and the encoder of records.

use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::event::{Block, ContentType, Event, NewEvent, Progress};
use crate::format::{Record, RecordFault, ToRecord, encode_record, mend_record, record_len};
use crate::fuzzing::disk::sure;
use crate::fuzzing::input::Input;
use crate::inspect::{json_line, text_line};
use crate::types::{CONSUMER_NAME_LEN_MAX, EventId, Position, Revision, Timestamp};

/// Where in a record the undurable count stands.
const UNDURABLE: std::ops::Range<usize> = 56..60;

/// Decodes any bytes, as they are or with a checksum that fits, or encodes an event and decodes
/// that.
///
/// # Panics
///
/// If bytes are accepted that are not there, if what was decoded does not encode to the same
/// bytes, if what was encoded does not decode to the same event, or if a flipped bit is accepted.
pub fn record(input: &[u8]) {
    let mut input = Input::new(input);
    let kind = input.byte() % 3;
    let seed = u32::from(input.byte()) << 7;
    let start = usize::from(input.byte() % 24);
    let bit = usize::from(input.u16());
    if kind == 2 {
        return encoded(input, seed, start, bit);
    }
    let mut block = input.rest().to_vec();
    if kind == 1 {
        mend_record(block.get_mut(start..).unwrap_or_default(), seed);
    }
    if let Some(record) = decoded(&block, start, seed) {
        refuses_a_flipped_bit(block, start, seed, &record, bit);
    }
}

/// Decodes a record and checks that it is what its bytes say.
fn decoded(block: &[u8], start: usize, seed: u32) -> Option<Record> {
    let bytes = block.get(start..).unwrap_or_default();
    let claim = Record::claim(block, start);
    let record = match Record::decode(block, start, seed) {
        Ok(record) => record,
        Err(RecordFault::Short { len }) => {
            assert!(len > bytes.len(), "{len} bytes are there");
            return None;
        }
        Err(RecordFault::Bad(_)) => return None,
    };
    let bytes = bytes.get(..len_of(&record));
    let bytes = bytes.unwrap_or_else(|| panic!("{record:?} has more bytes than there are"));
    let event = Event::new(record.parts, Arc::new(Block::from(block.to_vec())));
    let claim = claim.unwrap_or_else(|| panic!("{record:?} does not claim to be one"));
    let of_record = (record.parts.position, u64::from(record.len), record.witness);
    assert_eq!((claim.position, claim.len, claim.witness), of_record);
    assert_eq!(record.stream(block), event.stream());
    assert!(!event.stream().is_empty() && !event.event_type().is_empty());
    encodes_to(&record, &event, seed, block, bytes);
    shows(&event);
    Some(record)
}

fn len_of(record: &Record) -> usize {
    usize::try_from(record.len).unwrap_or(usize::MAX)
}

fn encodes_to(record: &Record, event: &Event, seed: u32, block: &[u8], bytes: &[u8]) {
    let new = NewEvent::from(event);
    let progress = progress_of(record, block);
    assert_eq!(record_len(event.stream(), &new, progress.as_ref()), bytes.len());
    let mut again = Vec::new();
    let to_record =
        ToRecord { progress: progress.as_ref(), ..to_record(record, event, &new, seed) };
    let checksum = encode_record(&to_record, &mut again);
    if record.witness.is_some() || event.position().get() >= u64::from(u32::MAX) {
        assert_eq!(again, bytes, "{event:?}");
        assert_eq!(checksum, record.checksum);
    } else {
        // An undurable count that says nothing is written only where positions are that large.
        let but = |bytes: &[u8]| {
            let before = bytes.get(4..UNDURABLE.start).map(<[u8]>::to_vec);
            (before, bytes.get(UNDURABLE.end..).map(<[u8]>::to_vec))
        };
        assert_eq!(but(&again), but(bytes), "{event:?}");
    }
}

fn to_record<'a>(record: &Record, event: &'a Event, new: &'a NewEvent, seed: u32) -> ToRecord<'a> {
    ToRecord {
        stream: event.stream(),
        event: new,
        id: event.id(),
        position: event.position(),
        revision: event.revision(),
        recorded_at: event.recorded_at(),
        previous: record.previous,
        durable_end: record.witness.unwrap_or(Position::START),
        ends_batch: event.ends_batch(),
        progress: None,
        seed,
    }
}

/// Whatever an event holds, it is shown as one line, and JSON Lines are JSON.
fn shows(event: &Event) {
    let (text, json) = (text_line(event), json_line(event));
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(!json.contains('\n'), "{json:?}");
    sure(serde_json::from_str::<IgnoredAny>(&json));
}

fn refuses_a_flipped_bit(mut block: Vec<u8>, start: usize, seed: u32, record: &Record, bit: usize) {
    let bit = bit % (len_of(record) * 8);
    if let Some(byte) = block.get_mut(start + bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    let damaged = Record::decode(&block, start, seed);
    assert!(damaged.is_err(), "bit {bit} of {record:?} may be flipped");
}

/// Encodes an event, and checks that it is decoded as it was.
fn encoded(mut input: Input<'_>, seed: u32, start: usize, bit: usize) {
    let stream = name(&mut input);
    let event = new_event(&mut input);
    let progress = new_progress(&mut input);
    let position = Position::new(place(&mut input));
    let to_record = ToRecord {
        stream: &stream,
        event: &event,
        id: EventId::from_bytes([input.byte(); 16]),
        position,
        revision: Revision::new(place(&mut input)),
        recorded_at: Timestamp::from_nanos(place(&mut input).cast_signed()),
        previous: input.u32(),
        durable_end: Position::new(place(&mut input)),
        ends_batch: progress.is_some() || input.flag(),
        progress: progress.as_ref(),
        seed,
    };
    let mut block = vec![0xEE; start];
    let checksum = encode_record(&to_record, &mut block);
    assert_eq!(block.len() - start, record_len(&stream, &event, progress.as_ref()));
    block.extend_from_slice(input.rest());
    let Some(record) = decoded(&block, start, seed) else { panic!("{to_record:?} is not decoded") };
    assert_eq!(progress_of(&record, &block), progress);
    let found = Event::new(record.parts, Arc::new(Block::from(block.clone())));
    assert_eq!(NewEvent::from(&found), NewEvent { id: Some(to_record.id), ..event.clone() });
    assert_eq!(found.stream(), stream);
    assert_eq!(
        (found.position(), found.revision(), found.recorded_at(), found.ends_batch()),
        (position, to_record.revision, to_record.recorded_at, to_record.ends_batch)
    );
    assert_eq!((record.checksum, record.previous), (checksum, to_record.previous));
    let undurable = position.since(to_record.durable_end);
    if undurable < u64::from(u32::MAX) {
        assert_eq!(record.witness, Some(to_record.durable_end.min(position)));
    } else {
        assert_eq!(record.witness, None);
    }
    refuses_a_flipped_bit(block, start, seed, &record, bit);
}

/// A place that is small, or at the end of all numbers, or anywhere.
fn place(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        byte @ 0..200 => u64::from(byte),
        byte @ 200..240 => u64::MAX - u64::from(byte - 200),
        _ => input.u64(),
    }
}

fn new_event(input: &mut Input<'_>) -> NewEvent {
    let kind = ContentType::from_code(input.byte());
    let event_type = name(input);
    let event = NewEvent::new(event_type, kind, bytes(input)).metadata(bytes(input));
    let key_len = usize::from(input.byte());
    let mut event = event.idempotency_key(input.bytes(key_len));
    for _ in 0..input.byte() % 8 {
        event = event.tag(name(input));
    }
    event
}

fn bytes(input: &mut Input<'_>) -> Vec<u8> {
    let (len, rest) = (usize::from(input.byte()), input.byte());
    let mut bytes = input.bytes(len).to_vec();
    // Some are long without the input having to be.
    bytes.resize(bytes.len() + usize::from(rest / 16), rest);
    bytes
}

fn new_progress(input: &mut Input<'_>) -> Option<Progress> {
    if !input.flag() {
        return None;
    }
    let mut consumer = name(input);
    while consumer.len() > CONSUMER_NAME_LEN_MAX {
        consumer.pop();
    }
    Some(Progress { consumer: consumer.into(), position: Position::new(place(input)) })
}

/// What a record that was read from `block` says of a consumer.
fn progress_of(record: &Record, block: &[u8]) -> Option<Progress> {
    let (consumer, position) = record.progress(block)?;
    Some(Progress { consumer: consumer.into(), position })
}

/// A name as long as a name may be, or shorter.
fn name(input: &mut Input<'_>) -> String {
    let len = usize::from(input.byte());
    let text = String::from_utf8_lossy(input.bytes(len));
    let mut name: String = text.chars().filter(|c| !c.is_control()).collect();
    while name.len() > 255 {
        name.pop();
    }
    if name.is_empty() { "n".to_owned() } else { name }
}
