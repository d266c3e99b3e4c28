//! What it costs a node to look at one request in N, by the clock of whoever runs it:
//!
//!     cargo build --release -p isobar-analyzer --example live_profile_cost
//!     time target/release/examples/live_profile_cost 1
//!
//! Takes N; sends ten million requests, of a million keys to 64 shards, through the steps of a node: a counter for each request; for one in N a hash
//! of the key, a lock that nobody waits for, and the profile. Reading clocks comes on top: four times for a request that is looked at.

use isobar_analyzer::stream::{LiveProfiles, LoadMilli, Operation, QueryEvent, key_hash};
use isobar_model::{InstantMs, LoadWeights, ShardId};
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const REQUESTS: u64 = 10_000_000;
const SHARDS: u64 = 64;
const KEYS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let every: u64 = std::env::args().nth(1).map_or(Ok(1), |every| every.parse())?;
    let weights = LoadMilli::new(&LoadWeights::default());
    let (profiles, requests) = (Mutex::new(LiveProfiles::new(60_000)), AtomicU64::new(0));
    let every = AtomicU64::new(every.max(1));
    let mut state = 7u64;
    let mut looked_at = 0u64;
    for i in 0..REQUESTS {
        let every = black_box(&every).load(Ordering::Relaxed);
        if !requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(every) {
            continue;
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = ((state >> 33) % KEYS).to_be_bytes();
        let operation = if i.is_multiple_of(10) { Operation::Put } else { Operation::Get };
        let latency_us = Some(state % 1_000);
        let event = QueryEvent { at: InstantMs(i / 1_000), operation, key: &key, bytes: 100, latency_us };
        if let Ok(mut profiles) = profiles.try_lock() {
            profiles.record(ShardId(i % SHARDS), &event, (key_hash(&key), None), weights.of(operation), every);
            looked_at += 1;
        }
    }
    println!("{looked_at} of {REQUESTS} looked at");
    Ok(())
}
