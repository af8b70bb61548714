//! Records: what goes in comes out, and nothing else does.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::event::{Block, ContentType, Event};

const SEED: u32 = 77;

fn full_event() -> NewEvent {
    NewEvent::new("item-added", ContentType::Json, "{}")
        .metadata("user=7")
        .tag("kitchen")
        .tag("küche")
        .idempotency_key("request-1")
}

fn encoded(stream: &str, event: &NewEvent) -> Vec<u8> {
    encoded_with(stream, event, None)
}

fn encoded_with(stream: &str, event: &NewEvent, progress: Option<&Progress>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let record = ToRecord {
        stream,
        event,
        id: event.id.unwrap_or(EventId::from_bytes([9; 16])),
        position: Position::new(12),
        revision: Revision::new(3),
        recorded_at: Timestamp::from_nanos(-5),
        previous: 0xABCD,
        durable_end: Position::new(10),
        ends_batch: true,
        progress,
        seed: SEED,
    };
    encode(&record, &mut bytes);
    bytes
}

#[test]
fn a_record_reads_back_as_it_was_written() {
    let bytes = encoded("cart-42", &full_event());
    let record = Record::decode(&bytes, 0, SEED).unwrap();
    assert_eq!((record.previous, record.witness), (0xABCD, Some(Position::new(10))));
    assert_eq!(record.end(), Position::new(13));
    let event = Event::new(record.parts, Block::from(bytes).into());
    assert_eq!((event.stream(), event.revision().get()), ("cart-42", 3));
    assert_eq!(event.recorded_at(), Timestamp::from_nanos(-5));
    assert!(event.ends_batch());
    assert_eq!(NewEvent::from(&event), full_event().id(EventId::from_bytes([9; 16])));
}

#[test]
fn what_a_record_says_of_a_consumer_reads_back() {
    let progress = Progress { consumer: "结算".into(), position: Position::new(11) };
    for event in [full_event(), NewEvent::bytes("t", []), NewEvent::bytes("t", []).tag("x")] {
        let bytes = encoded_with("s", &event, Some(&progress));
        assert_eq!(bytes.len(), encoded_len("s", &event, Some(&progress)));
        let record = Record::decode(&bytes, 0, SEED).unwrap();
        assert_eq!(record.progress(&bytes), Some(("结算", Position::new(11))));
        let found = Event::new(record.parts, Block::from(bytes).into());
        assert_eq!(NewEvent::from(&found), event.id(EventId::from_bytes([9; 16])));
        let bytes = encoded("s", &full_event());
        let record = Record::decode(&bytes, 0, SEED).unwrap();
        assert_eq!(record.progress(&bytes), None);
    }
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_record_is_a_fault() {
    let progress = Progress { consumer: "billing".into(), position: Position::new(11) };
    for (event, progress) in
        [(full_event(), None), (NewEvent::bytes("t", []), None), (full_event(), Some(&progress))]
    {
        let bytes = encoded_with("s", &event, progress);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&damaged, 0, SEED).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            let Err(RecordFault::Short { .. }) = Record::decode(&bytes[..len], 0, SEED) else {
                panic!("cut to {len}");
            };
        }
    }
}

#[test]
fn a_record_of_another_store_is_a_fault() {
    let bytes = encoded("cart-42", &full_event());
    assert!(Record::decode(&bytes, 0, SEED + 1).is_err());
}

#[test]
fn zeroes_are_no_record() {
    assert!(Record::decode(&[0; 4_096], 0, SEED).is_err());
    assert!(Record::claim(&[0; 4_096], 0).is_none());
}

/// Gives damaged bytes the checksum that they should have, so that only what they say is wrong.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum_from(SEED, &bytes[CHECKSUM_LEN..]);
    bytes[..CHECKSUM_LEN].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn what_contradicts_itself_is_a_fault_though_its_checksum_is_right() {
    let bytes = encoded("cart-42", &full_event());
    // Where it is, what is put there, and what that is.
    let lies: [(usize, u8, &str); 7] = [
        (12, 64, "an unknown flag"),
        (14, 0, "an empty stream name"),
        (14, 255, "a stream name that reaches beyond the record"),
        (15, 0, "an empty type"),
        (63, 255, "metadata that reaches beyond the record"),
        (56, 200, "more records not durable than there are"),
        (64, b'\n', "a control character in a name"),
    ];
    for (offset, byte, what) in lies {
        let mut damaged = bytes.clone();
        damaged[offset] = byte;
        let decoded = Record::decode(&with_checksum(damaged), 0, SEED);
        assert!(decoded.is_err(), "{what}");
    }
    assert!(Record::decode(&with_checksum(bytes), 0, SEED).is_ok());
}

/// Of records that have only what all have, which are read in another way.
#[test]
fn what_contradicts_itself_in_a_usual_record_is_a_fault() {
    let bytes = encoded("cart-42", &NewEvent::text("said", "yes"));
    let (last, padding) = (bytes.len() - 1, 2);
    assert_eq!((last, bytes[12]), (79, FLAG_BATCH_END | padding << PADDING_SHIFT));
    let lies: [(usize, u8, &str); 8] = [
        (14, 0, "an empty stream name"),
        (14, 255, "a stream name that reaches beyond the record"),
        (15, 9, "a type that reaches into the padding"),
        (60, 4, "metadata that reaches into the padding"),
        (63, 255, "metadata that reaches beyond the record"),
        (12, 7 << PADDING_SHIFT, "padding that reaches into the names"),
        (last, 1, "padding that is not zero"),
        (last - 1, 1, "padding that is not zero"),
    ];
    for (offset, byte, what) in lies {
        let mut damaged = bytes.clone();
        damaged[offset] = byte;
        let decoded = Record::decode(&with_checksum(damaged), 0, SEED);
        assert!(decoded.is_err(), "{what}");
    }
    let decoded = Record::decode(&with_checksum(bytes), 0, SEED).unwrap();
    assert_eq!(decoded.parts.payload_end, 78);
}

proptest! {
    #[test]
    fn any_event_reads_back_and_any_bytes_do_no_harm(
        stream in "[a-z购物]{1,40}",
        event_type in "[a-z]{1,20}",
        payload in vec(any::<u8>(), 0..600),
        metadata in vec(any::<u8>(), 0..40),
        key in vec(any::<u8>(), 0..40),
        tags in vec("[a-zü]{1,20}", 0..4),
        noise in vec((any::<usize>(), any::<u8>()), 1..6),
        start in (0_usize..9).prop_map(|n| n * 8),
    ) {
        let event = NewEvent::bytes(event_type, payload).metadata(metadata).idempotency_key(key);
        let event = tags.into_iter().fold(event, NewEvent::tag).id(EventId::from_bytes([1; 16]));
        let record = encoded(&stream, &event);
        prop_assert_eq!(record.len(), encoded_len(&stream, &event, None));
        let mut block = vec![0xEE; start];
        block.extend_from_slice(&record);
        let decoded = Record::decode(&block, start, SEED).unwrap();
        let read = Event::new(decoded.parts, Block::from(block).into());
        prop_assert_eq!(read.stream(), &stream);
        prop_assert_eq!(NewEvent::from(&read), event);

        let mut damaged = record;
        for (offset, byte) in noise {
            let offset = offset % damaged.len();
            damaged[offset] = byte;
        }
        let _ = Record::decode(&damaged, 0, SEED);
        let _ = Record::decode(&with_checksum(damaged), 0, SEED);
    }
}
