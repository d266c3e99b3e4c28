//! What requests to the shards led from here are like: one in N is looked at on its way.
//!
//! Nobody waits for that: a request that would have to is not looked at, and counted.

use crate::node::directory::Directory;
use crate::node::services::{decode, encode};
use async_trait::async_trait;
use bytes::Bytes;
use isobar_analyzer::stream::{
    DistinctKeys, HITTERS, KeyHistogram, LatencyHistogram, LiveProfile, LiveProfiles, LoadMilli, OpMix, Operation,
    QueryEvent, SampleRate, key_hash,
};
use isobar_api::{HotKey, LatencyQuantiles, OperationShare, ShardProfileInfo, SplitPoint, encode_key};
use isobar_model::{InstantMs, KvError, KvOp, KvReply, KvRequest, LoadWeights, NodeId, Partitioning, ShardId};
use isobar_ports::Clock;
use isobar_raft::ShardHost;
use isobar_raft::transport::PeerHandler;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Requests looked at: some 1 µs each, so a thousandth of a core.
const MOST_PER_S: u64 = 1_000;
/// N follows the rate of requests this often.
const PACE: Duration = Duration::from_secs(1);
/// Wall time that a profile covers: long enough for thousands of samples, short enough to be of now.
const WINDOW_MS: u64 = 60_000;
/// Hot keys shown: more than 16 keys with a lot of the load each are no hot keys.
const MOST_HOT_KEYS: usize = 16;
/// Parts of even load that split points are given for.
const PARTS: usize = 4;

/// A node's shards, with an eye on what is asked of them.
pub(crate) struct WatchedShards {
    node: NodeId,
    shards: Arc<ShardHost>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    watch: Watch,
}

/// The eye: counts requests, and looks at some.
#[derive(Debug)]
struct Watch {
    weights: LoadMilli,
    requests: AtomicU64,
    /// N; never 0.
    every: AtomicU64,
    missed: AtomicU64,
    profiles: Mutex<LiveProfiles>,
}

/// What is kept of a request while it is carried out.
#[derive(Clone, Debug)]
struct Seen {
    shard: ShardId,
    operation: Operation,
    /// The internal key; a scan's first.
    key: Bytes,
    /// Of the value written.
    value_bytes: u64,
    every: u64,
    at: InstantMs,
    began: Instant,
}

impl fmt::Debug for WatchedShards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedShards").field("node", &self.node).field("watch", &self.watch).finish_non_exhaustive()
    }
}

impl WatchedShards {
    /// Watches `shards` of node `node`; `weights` say what operations cost.
    pub(crate) fn new(
        node: NodeId,
        shards: Arc<ShardHost>,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        weights: &LoadWeights,
    ) -> Arc<Self> {
        // The window is one of wall time; profiles have the control clock.
        let wall_ms_per_control_s = clock.wall_ms(1_000_000) as f64 / 1_000.0;
        let window_ms = (WINDOW_MS as f64 * 1_000.0 / wall_ms_per_control_s.max(1e-3)) as u64;
        Arc::new(Self { node, shards, directory, clock, watch: Watch::new(window_ms, weights) })
    }

    /// Carries a request out on the replica here, as [`ShardHost::execute`] does.
    pub(crate) async fn execute(&self, request: KvRequest) -> Result<KvReply, KvError> {
        let Some(every) = self.watch.turn() else { return self.shards.execute(request).await };
        let seen = Seen::of(&request, every, self.clock.now());
        let answer = self.shards.execute(request).await;
        if let Ok(reply) = &answer {
            self.watch.record(&seen, reply, self.partitioning(seen.shard));
        }
        answer
    }

    /// Lets N follow the rate of requests, for ever.
    pub(crate) async fn keep_pace(self: Arc<Self>) {
        let (mut rate, mut before, mut at) = (SampleRate::new(MOST_PER_S), 0, Instant::now());
        loop {
            tokio::time::sleep(PACE).await;
            let elapsed_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
            at = Instant::now();
            let requests = self.watch.requests.load(Ordering::Relaxed);
            self.watch.every.store(rate.adapt(requests.wrapping_sub(before), elapsed_ms), Ordering::Relaxed);
            before = requests;
        }
    }

    /// What a shard's requests are like; the error says that the shard is not led from here.
    pub(crate) fn profile(&self, shard: ShardId) -> Result<ShardProfileInfo, String> {
        if !self.shards.leaderships().iter().any(|(led, _)| *led == shard) {
            return Err(format!("shard {shard} is changing its leader: try again in a second"));
        }
        let now = self.clock.now();
        let (found, window_ms) = {
            let mut profiles = self.watch.profiles.lock();
            (profiles.profile(shard, now).cloned(), profiles.window_ms())
        };
        let found = found.unwrap_or_else(|| LiveProfile::since(InstantMs(now.0.saturating_sub(window_ms))));
        let until = found.from.plus_ms(window_ms).min(now);
        let every = self.watch.every.load(Ordering::Relaxed);
        let missed = self.watch.missed.load(Ordering::Relaxed);
        Ok(ShardProfileInfo { shard, node: self.node, until, every, missed, ..told(&found) })
    }

    /// How unevenly keys were used in the last whole window, by shard: a fixed amount of work for each.
    pub(crate) fn key_skews(&self) -> Vec<(ShardId, f32)> {
        self.watch.key_skews(self.clock.now())
    }

    fn partitioning(&self, shard: ShardId) -> Partitioning {
        let map = self.directory.map();
        let keyspace = map.shards.get(&shard).and_then(|shard| map.keyspaces.get(&shard.keyspace));
        keyspace.map_or(Partitioning::Range, |keyspace| keyspace.partitioning)
    }
}

impl Watch {
    fn new(window_ms: u64, weights: &LoadWeights) -> Self {
        Self {
            weights: LoadMilli::new(weights),
            requests: AtomicU64::new(0),
            every: AtomicU64::new(1),
            missed: AtomicU64::new(0),
            profiles: Mutex::new(LiveProfiles::new(window_ms)),
        }
    }

    /// Counts a request; gives N where it is one to look at.
    fn turn(&self) -> Option<u64> {
        let every = self.every.load(Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(every).then_some(every)
    }

    fn key_skews(&self, now: InstantMs) -> Vec<(ShardId, f32)> {
        self.profiles.lock().key_skews(now)
    }

    /// Takes in a request that was answered.
    fn record(&self, seen: &Seen, reply: &KvReply, partitioning: Partitioning) {
        let latency_us = u64::try_from(seen.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let key = partitioning.client_key(&seen.key);
        let slot = match (partitioning, seen.key.first_chunk::<2>()) {
            (Partitioning::Hash, Some(&slot)) => Some(u16::from_be_bytes(slot)),
            (Partitioning::Hash, None) | (Partitioning::Range, _) => None,
        };
        let bytes = match reply {
            KvReply::Rows { rows, .. } => rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum(),
            KvReply::Value(value) => (seen.key.len() + value.as_ref().map_or(0, Bytes::len)) as u64,
            KvReply::Written { .. } => seen.key.len() as u64 + seen.value_bytes,
        };
        let event =
            QueryEvent { at: seen.at, operation: seen.operation, key: &key, bytes, latency_us: Some(latency_us) };
        let place = (key_hash(&key), slot);
        match self.profiles.try_lock() {
            Some(mut profiles) => {
                profiles.record(seen.shard, &event, place, self.weights.of(seen.operation), seen.every);
            }
            None => drop(self.missed.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

impl Seen {
    fn of(request: &KvRequest, every: u64, at: InstantMs) -> Self {
        let (operation, key, value_bytes) = match &request.op {
            KvOp::Get { key, .. } => (Operation::Get, key, 0),
            KvOp::Put { key, value } => (Operation::Put, key, value.len() as u64),
            KvOp::Delete { key } => (Operation::Delete, key, 0),
            KvOp::Scan { start, .. } => (Operation::Scan, start, 0),
        };
        Self { shard: request.shard, operation, key: key.clone(), value_bytes, every, at, began: Instant::now() }
    }
}

/// A profile in the API's words; what is not the profile's own is left at 0.
fn told(found: &LiveProfile) -> ShardProfileInfo {
    let (profile, sampled) = (&found.profile, found.sampled);
    let requests = profile.mix.count();
    ShardProfileInfo {
        from: found.from,
        sampled,
        requests,
        requests_error: found.relative_error(),
        // Of a share p the error is √(p(1 − p) / n), most at a half.
        sampling_error: if requests > sampled { 0.5 / (sampled.max(1) as f64).sqrt() } else { 0.0 },
        operations: operations(&profile.mix),
        latency_us: latency(&profile.latency),
        distinct_keys: profile.distinct.estimate(),
        distinct_error: DistinctKeys::STANDARD_ERROR,
        key_skew: found.key_skew(),
        hot_keys: hot_keys(found),
        split_points: split_points(&profile.keys),
        ..ShardProfileInfo::default()
    }
}

fn operations(mix: &OpMix) -> Vec<OperationShare> {
    let came = Operation::ALL.into_iter().filter(|&operation| mix.of(operation).count > 0);
    let share = |operation: Operation| {
        let totals = mix.of(operation);
        OperationShare {
            operation: operation.name().to_owned(),
            requests: totals.count,
            share: mix.share(operation),
            bytes_per_op: totals.bytes as f64 / totals.count as f64,
        }
    };
    came.map(share).collect()
}

fn latency(latency: &LatencyHistogram) -> Option<LatencyQuantiles> {
    Some(LatencyQuantiles {
        p50: latency.quantile_us(0.5)?,
        p90: latency.quantile_us(0.9)?,
        p99: latency.quantile_us(0.99)?,
        p999: latency.quantile_us(0.999)?,
        error: LatencyHistogram::RELATIVE_ERROR,
    })
}

fn hot_keys(found: &LiveProfile) -> Vec<HotKey> {
    let hitters = &found.profile.hitters;
    let total = hitters.total().max(1) as f64;
    let hot = hitters.top(MOST_HOT_KEYS).into_iter().map(|hitter| HotKey {
        key: encode_key(&hitter.key.bytes()),
        goes_on: hitter.key.goes_on(),
        at_least: hitter.at_least as f64 / total,
        at_most: hitter.at_most as f64 / total,
    });
    // A counter that may be another key's is no finding.
    hot.filter(|key| key.at_least >= 1.0 / HITTERS as f64).collect()
}

fn split_points(keys: &KeyHistogram) -> Vec<SplitPoint> {
    let point = |cut: isobar_analyzer::stream::Cut| SplitPoint {
        boundary: encode_key(&cut.boundary),
        left_share: cut.left_share,
        error: cut.error_share,
    };
    keys.cuts(PARTS).into_iter().map(point).collect()
}

/// Questions of other nodes about shards led from here.
#[derive(Debug)]
pub(crate) struct ProfileHandler(pub(crate) Arc<WatchedShards>);

#[async_trait]
impl PeerHandler for ProfileHandler {
    async fn handle(&self, _from: NodeId, request: Bytes) -> Bytes {
        encode(&decode::<ShardId>(&request).and_then(|shard| self.0.profile(shard)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::observe::Baseline;
    use crate::node::services::NodeSamples;
    use isobar_analyzer::{Archive, History, HistorySpec, InsightsSpec, find_insights};
    use isobar_control::ControlState;
    use isobar_model::{DriverKind, LoadBatch, LoadSample, Metric, ProcessUsage};
    use std::collections::BTreeMap;

    const SHARD: ShardId = ShardId(7);

    fn put(key: &[u8], every: u64) -> Seen {
        put_at(SHARD, key, every, InstantMs(5_000))
    }

    fn put_at(shard: ShardId, key: &[u8], every: u64, at: InstantMs) -> Seen {
        let op = KvOp::Put { key: Partitioning::Hash.internal_key(key), value: Bytes::from_static(b"value") };
        Seen::of(&KvRequest { shard, generation: isobar_model::Generation(1), op }, every, at)
    }

    fn watched(requests: impl IntoIterator<Item = Vec<u8>>, every: u64) -> ShardProfileInfo {
        let watch = Watch::new(60_000, &LoadWeights::default());
        watch.every.store(every, Ordering::Relaxed);
        for key in requests {
            if let Some(every) = watch.turn() {
                watch.record(&put(&key, every), &KvReply::Written { index: 1 }, Partitioning::Hash);
            }
        }
        let mut profiles = watch.profiles.lock();
        told(profiles.profile(SHARD, InstantMs(6_000)).unwrap())
    }

    #[test]
    fn a_hot_key_is_told_by_the_name_its_clients_know() {
        let cold = (0..900u32).map(|i| format!("cold/{i}").into_bytes());
        let profile = watched(cold.chain(std::iter::repeat_n(b"hot key".to_vec(), 300)), 1);
        assert_eq!((profile.requests, profile.sampled, profile.from), (1_200, 1_200, InstantMs(5_000)));
        assert_eq!((profile.requests_error, profile.sampling_error), (0.0, 0.0));
        assert_eq!(profile.hot_keys.len(), 1, "{:?}", profile.hot_keys);
        let hot = &profile.hot_keys[0];
        assert_eq!((hot.key.as_str(), hot.goes_on), ("hot%20key", false));
        assert!(hot.at_least <= 0.25 && 0.25 <= hot.at_most && hot.at_most - hot.at_least < 0.01, "{hot:?}");
        let [puts] = &profile.operations[..] else { panic!("{:?}", profile.operations) };
        assert_eq!((puts.operation.as_str(), puts.requests, puts.share), ("put", 1_200, 1.0));
        // Two bytes of slot, a key of 7 or 8, a value of 5.
        assert!((14.0..15.0).contains(&puts.bytes_per_op), "{puts:?}");
        assert!((profile.distinct_keys / 901.0 - 1.0).abs() < 0.1);
        assert!(profile.latency_us.is_some());
        // The slots are spread evenly, but for the hot key's.
        assert!(!profile.split_points.is_empty());
        for point in &profile.split_points {
            assert!(point.error < 0.05, "{point:?}");
        }
    }

    #[test]
    fn one_in_n_stands_for_all() {
        let profile = watched((0..10_000u32).map(|i| (i * 7 % 100).to_be_bytes().to_vec()), 8);
        assert_eq!((profile.sampled, profile.requests), (1_250, 10_000));
        assert!(profile.sampling_error > 0.01 && profile.requests_error > 0.01);
    }

    /// The whole way, from requests to the finding. Two shards' loads come and go; with the load of one, its hot key gets hotter. Of the other
    /// only the number of samples changes.
    #[test]
    fn key_skew_that_goes_with_load_is_found_and_no_other() {
        const STEP_MS: u64 = 300_000;
        // Over half of the week that a search looks at, the least for a shard to be compared.
        const STEPS: u64 = 1_100;
        const BEGIN: u64 = 10_000 * 3_600_000;
        let shards = [ShardId(1), ShardId(2)];
        let (mut baseline, mut archive) = (Baseline::default(), Archive::default());
        let watch = Watch::new(60_000, &LoadWeights::default());
        let (state, node) = (ControlState::default(), NodeId(1));
        let mut history =
            History::new(HistorySpec { metric: Metric::Load, step_ms: STEP_MS as u32, keep_steps: 2_016 });
        let (mut chance, mut writes) = (7u64, [0u64; 2]);
        let mut surprise = || {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 40) as f64 / (1u64 << 24) as f64
        };
        for step in 0..STEPS {
            let end = InstantMs(BEGIN + (step + 1) * STEP_MS);
            for (i, &shard) in shards.iter().enumerate() {
                let rise = surprise();
                let hot = if i == 0 { 0.1 + 0.5 * rise } else { 0.3 };
                // A sample of what came in the step, in its last minute.
                let requests = (150.0 * (1.0 + rise)) as u64;
                for request in 0..requests {
                    let at = InstantMs(end.0 - 60_000 + request * 59_000 / requests);
                    let is_hot = (request as f64) < hot * requests as f64;
                    let key = if is_hot { b"hot".to_vec() } else { request.to_be_bytes().to_vec() };
                    let seen = put_at(shard, &key, 1, at);
                    watch.record(&seen, &KvReply::Written { index: 1 }, Partitioning::Hash);
                }
                writes[i] += 100 * requests;
            }
            let sample = |(&shard, &writes): (&ShardId, &u64)| LoadSample {
                shard,
                node,
                leads: true,
                reads: 0,
                writes,
                read_bytes: 0,
                write_bytes: writes,
                stored_bytes: 0,
            };
            let samples = NodeSamples {
                started_ms: 1,
                samples: shards.iter().zip(&writes).map(sample).collect(),
                used_bytes: 0,
                usage: ProcessUsage::default(),
                key_skews: watch.key_skews(end),
            };
            let (_, rates_known) = baseline.take(&state, &BTreeMap::from([(node, Some(samples))]), end, 1.0);
            if rates_known {
                archive.record(end, &baseline.shard_loads(), &[]);
                let values = shards.map(|shard| baseline.load(shard).0).to_vec();
                let (start, step_ms) = (InstantMs(end.0 - STEP_MS), STEP_MS as u32);
                let closed =
                    LoadBatch { metric: Metric::Load, start, step_ms, steps: 1, shards: shards.to_vec(), values };
                history.import(&closed).unwrap();
            }
        }
        let drivers = shards.iter().flat_map(|&shard| archive.drivers(shard, STEP_MS as u32)).collect();
        let found = find_insights(&history, drivers, InsightsSpec { days: 7, ..InsightsSpec::default() });
        let drivers: Vec<_> = found.drivers.iter().map(|driver| (driver.shard, driver.kind)).collect();
        assert_eq!(drivers, [(ShardId(1), DriverKind::KeySkew)], "{:?}", found.drivers);
        assert!(found.drivers[0].slope > 0.0 && found.drivers[0].strength > 0.5, "{:?}", found.drivers);
    }

    #[test]
    fn what_would_have_to_wait_is_counted_instead() {
        let watch = Watch::new(60_000, &LoadWeights::default());
        let held = watch.profiles.lock();
        watch.record(&put(b"a", 1), &KvReply::Written { index: 1 }, Partitioning::Hash);
        drop(held);
        assert_eq!(watch.missed.load(Ordering::Relaxed), 1);
        assert!(watch.profiles.lock().profile(SHARD, InstantMs(5_000)).is_none());
    }
}
