//! A service on tokio: tills append what they sell, a display follows the log, and billing is a
//! consumer whose place is kept, each of them a task.
//!
//! ```text
//! cargo run --release --example tokio_service
//! ```
//!
//! Appending and following wait as tasks do, and hold no thread meanwhile. Opening, committing and
//! closing wait for the disk on the thread that calls, which is why they are told to tokio.
#![expect(clippy::print_stdout, reason = "the example prints what its tasks have found")]

use std::error::Error;
use std::{env, fs, process};

use annals::{AsyncFollow, Batch, Consumer, Cursor, Expected, Followed, NewEvent, Position, Store};
use tokio::sync::watch;
use tokio::task::{self, JoinSet};
use tokio_stream::StreamExt;

const TILL_COUNT: u64 = 8;
/// How many sales each till makes.
const SALE_COUNT: u64 = 50;
/// After how many events billing commits at the latest; after a crash as many may be billed again.
const COMMIT_COUNT: u64 = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = env::temp_dir().join(format!("annals-tokio-service-{}", process::id()));
    fs::create_dir(&path)?;
    let store = task::block_in_place(|| Store::open(&path))?;
    let billing = task::block_in_place(|| store.consumer("billing").open())?;

    let (progress, mut billed) = watch::channel(billing.committed());
    let display = tokio::spawn(display(store.read_all().follow().into_async()));
    let billing = tokio::spawn(bill(billing.follow().into_async(), progress));
    let mut tills = JoinSet::new();
    for till in 1..=TILL_COUNT {
        tills.spawn(sell(store.clone(), till));
    }

    // A graceful end: nothing is appended any more, what was appended is billed, and then the store is
    // closed, which ends the streams, and so the tasks.
    while let Some(till) = tills.join_next().await {
        till??;
    }
    let end = store.end();
    // Fails if billing has, and then billing itself says below why.
    _ = billed.wait_for(|position| *position == end).await;
    task::block_in_place(|| store.close())?;
    let (shown_cents, billed_cents) = (display.await??, billing.await??);
    println!("billing: {billed_cents} cents, committed at {}", *billed.borrow());

    let cents = TILL_COUNT * (1..=SALE_COUNT).sum::<u64>();
    assert_eq!((shown_cents, billed_cents), (cents, cents));
    assert_eq!(end, Position::new(TILL_COUNT * SALE_COUNT));
    let store = task::block_in_place(|| Store::open(&path))?;
    let places: Vec<_> = store.consumers()?.iter().map(|consumer| consumer.committed).collect();
    assert_eq!(places, [end], "billing would go on where it has ended");
    store.close()?;
    Ok(fs::remove_dir_all(path)?)
}

/// Appends one sale after the other.
///
/// Each waits until the one before is durable, so no more than one of a till is in memory. The sales of
/// different tills share a sync.
async fn sell(store: Store, till: u64) -> annals::Result<()> {
    for cents in 1..=SALE_COUNT {
        let sale = NewEvent::json("sold", &cents)?;
        let batch = Batch::new().append(format!("till-{till}"), Expected::Exact(cents - 1), [sale]);
        store.append_async(batch).await?;
    }
    Ok(())
}

/// Adds up what is sold, until the store is closed. Keeps no place: it begins at the start each time.
async fn display(mut sales: AsyncFollow<Cursor>) -> annals::Result<u64> {
    let (mut cents, mut draw_count) = (0, 0);
    while let Some(followed) = sales.try_next().await? {
        match followed {
            Followed::Event(event) => cents += event.decode::<u64>()?,
            // Draws only what is up to date: a long log would be shown growing from nothing.
            Followed::CaughtUp => draw_count += 1,
        }
    }
    println!("display: {cents} cents, drawn {draw_count} times");
    Ok(cents)
}

/// Bills what is sold, until the store is closed, and tells how far it has come.
async fn bill(
    mut sales: AsyncFollow<Consumer>,
    progress: watch::Sender<Position>,
) -> annals::Result<u64> {
    let (mut cents, mut sale_count) = (0, 0);
    while let Some(followed) = sales.try_next().await? {
        let is_caught_up = followed.is_caught_up();
        if let Some(event) = followed.event() {
            cents += event.decode::<u64>()?;
            sale_count += 1;
        }
        if is_caught_up || sale_count % COMMIT_COUNT == 0 {
            // A commit waits for a sync. Tokio has to know, so that other tasks leave this thread
            // meanwhile. `spawn_blocking` would do as well, but would have to own the stream.
            task::block_in_place(|| sales.get_mut().commit_delivered())?;
            progress.send_replace(sales.get_ref().committed());
        }
    }
    Ok(cents)
}
