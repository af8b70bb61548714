//! A shop whose parts know events and not each other: the carts and the door append what happens,
//! and two consumers read the same events, each in a thread and with a cursor of its own.
//!
//! ```text
//! cargo run --release --example shop
//! ```
#![expect(clippy::print_stdout, reason = "the example prints what its consumers have found")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::{env, fs, process, thread};

use annals::{Cursor, Expected, NewEvent, Store};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Item {
    name: String,
    cents: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::temp_dir().join(format!("annals-shop-{}", process::id()));
    fs::create_dir(&path)?;
    let store = Store::open(&path)?;

    // Two producers, the carts and the door. Neither knows who reads, or whether anyone does.
    let item = |name: &str, cents| NewEvent::json("item-added", &Item { name: name.into(), cents });
    let paid = || NewEvent::bytes("paid", []);
    store.append("employee-7", Expected::Any, [NewEvent::text("logged-in", "Ada")])?;
    store.append("cart-42", Expected::NoStream, [item("teapot", 2_400)?, item("cup", 350)?])?;
    store.append("employee-8", Expected::Any, [NewEvent::text("logged-in", "Grace")])?;
    store.append("cart-43", Expected::NoStream, [item("kettle", 3_900)?])?;
    store.append("cart-42", Expected::Exact(2), [paid()])?;
    store.append("employee-7", Expected::Any, [NewEvent::text("logged-out", "Ada")])?;
    if let Err(conflict) = store.append("cart-42", Expected::Exact(2), [paid()]) {
        println!("cart-42 is paid a second time, and refused: {conflict}");
    }

    // Two consumers, which read the same events independently of each other.
    let (sales_cursor, staff_cursor) = (store.read_all(), store.read_all());
    let sales = thread::spawn(|| sales(sales_cursor));
    let staff = thread::spawn(|| staff_present(staff_cursor));
    println!("sales: {} cents paid", sales.join().map_err(|_| "sales panicked")??);
    println!("staff: {:?} present", staff.join().map_err(|_| "staff panicked")??);

    store.close()?;
    Ok(fs::remove_dir_all(path)?)
}

/// What the carts that were paid come to, in cents.
fn sales(events: Cursor) -> annals::Result<u64> {
    let (mut carts, mut total) = (BTreeMap::new(), 0);
    for event in events {
        let event = event?;
        match event.event_type() {
            "item-added" => {
                *carts.entry(event.stream().to_owned()).or_default() +=
                    event.decode::<Item>()?.cents;
            }
            "paid" => total += carts.remove(event.stream()).unwrap_or(0),
            _ => {}
        }
    }
    Ok(total)
}

/// Who has logged in and not out again.
fn staff_present(events: Cursor) -> annals::Result<BTreeSet<String>> {
    let mut present = BTreeSet::new();
    for event in events {
        let event = event?;
        let name = String::from_utf8_lossy(event.payload());
        match event.event_type() {
            "logged-in" => _ = present.insert(name.into_owned()),
            "logged-out" => _ = present.remove(&*name),
            _ => {}
        }
    }
    Ok(present)
}
