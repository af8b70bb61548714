//! A process manager: it sees orders through from placed to shipped by answering events with events,
//! and gives each answer exactly once, though it is interrupted over and over.
//!
//! ```text
//! cargo run --release --example process_manager
//! ```
//!
//! Each answer is appended together with the place of the consumer that gives it: no crash leaves one
//! without the other. What is done outside of the store cannot be part of that. A bank that is asked
//! for money over a network, for instance, may be asked twice, and needs a key to notice by, such as the
//! position of the request.
#![expect(clippy::print_stdout, reason = "the example prints what each run has done")]

use std::error::Error;
use std::path::Path;
use std::{env, fs, process};

use annals::{Batch, Event, Expected, NewEvent, Store};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const PLACED: &str = "order-placed";
const REQUESTED: &str = "payment-requested";
const RECEIVED: &str = "payment-received";
const SHIPPED: &str = "order-shipped";

/// How many answers a run gives before it is interrupted.
const ANSWER_COUNT_MAX: usize = 4;

fn main() -> Result<()> {
    let path = env::temp_dir().join(format!("annals-process-manager-{}", process::id()));
    fs::create_dir(&path)?;
    let store = Store::open(&path)?;
    let orders: Vec<_> = (1..=5).map(|order| format!("order-{order}")).collect();
    for order in &orders {
        store.append(order, Expected::NoStream, [NewEvent::text(PLACED, "a teapot")])?;
    }
    store.close()?;

    // Every run opens the store, and leaves it as it is when it is interrupted.
    let mut answer_counts = Vec::new();
    while answer_counts.last().is_none_or(|count| *count == ANSWER_COUNT_MAX) {
        answer_counts.push(run(&path)?);
    }
    println!("answers of each run: {answer_counts:?}");
    assert_eq!(answer_counts, [4, 4, 4, 3], "three for each of five orders");

    let store = Store::open(&path)?;
    for order in &orders {
        let events = store.read_stream(order).collect::<annals::Result<Vec<_>>>()?;
        let types: Vec<_> = events.iter().map(Event::event_type).collect();
        println!("{order}: {}", types.join(", "));
        assert_eq!(types, [PLACED, REQUESTED, RECEIVED, SHIPPED]);
    }
    for consumer in store.consumers()? {
        assert_eq!(consumer.committed, store.end(), "{} has nothing left to do", consumer.name);
    }
    store.close()?;
    Ok(fs::remove_dir_all(path)?)
}

/// Gives answers until there is nothing left to answer, or it is interrupted, and says how many.
///
/// The manager and the bank know only the events. Each is given those that it answers, and so not
/// its own answers. In a service each would wait for more, with `Consumer::follow`.
fn run(path: &Path) -> Result<usize> {
    let store = Store::open(path)?;
    let mut manager = store.consumer("manager").event_types([PLACED, RECEIVED]).open()?;
    let mut bank = store.consumer("bank").event_types([REQUESTED]).open()?;
    let mut answer_count = 0;
    loop {
        let before = answer_count;
        for consumer in [&mut manager, &mut bank] {
            while let Some(event) = consumer.next().transpose()? {
                let answer = answer(&event)?;
                if answer_count == ANSWER_COUNT_MAX {
                    // Interrupted: the event was given and its answer made, and neither is kept. The
                    // next run is given the event again.
                    return Ok(answer_count);
                }
                let batch = Batch::new().append(event.stream(), Expected::Any, [answer]);
                store.append_and_commit(batch, consumer, event.position().next())?;
                answer_count += 1;
            }
        }
        if answer_count == before {
            break;
        }
    }
    // Passes also what they were not given, so that the next run need not read it again.
    manager.commit_delivered()?;
    bank.commit_delivered()?;
    Ok(answer_count)
}

/// What follows from an event of an order.
fn answer(event: &Event) -> Result<NewEvent> {
    Ok(match event.event_type() {
        PLACED => NewEvent::text(REQUESTED, format!("for {}", event.stream())),
        REQUESTED => NewEvent::text(RECEIVED, format!("request {}", event.position())),
        RECEIVED => NewEvent::text(SHIPPED, format!("payment {}", event.position())),
        other => return Err(format!("{other:?} is answered by nobody").into()),
    })
}
