//! One live arm: the trace replayed against a fresh cluster, bound to one placement policy.

use super::cluster::{ClusterClient, items};
use super::schedule::Schedule;
use super::traffic::{Traffic, TrafficReport};
use crate::embedded::{Embedded, EmbeddedSpec};
use crate::node::clock::ScaledClock;
use anyhow::{Context as _, ensure};
use isobar_control::Settings;
use isobar_model::{LoadBatch, Metric, NodeId, ShardMap};
use isobar_ports::{Clock, PolicyHost};
use isobar_sim::{Change, MoveTimes, Placement, Scenario, Timeline, brain_config};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The keyspace of the tenants.
pub(crate) const KEYSPACE: &str = "tenants";
/// Keys of one shard: enough that writes to one key seldom wait for each other.
pub(crate) const KEYS_PER_SHARD: usize = 24;
/// Bytes of a value.
pub(crate) const VALUE_BYTES: usize = 2048;
/// Requests under way while filling and verifying.
const WIDTH: usize = 64;
/// Starting leaders are where the start placement wants them within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What all live arms have in common.
pub(crate) struct Plot {
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) window: usize,
    /// Wall time of one step.
    pub(crate) step_wall: Duration,
    /// Each arm has a folder in here.
    pub(crate) out: PathBuf,
    /// Of the first node's API; the others follow.
    pub(crate) port: u16,
    pub(crate) host: Arc<dyn PolicyHost>,
}

/// A cluster of the demo, its clients and its clock.
pub(crate) struct Stage {
    pub(crate) cluster: Embedded,
    pub(crate) client: ClusterClient,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) clock: Arc<ScaledClock>,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) policies: BTreeMap<&'static str, String>,
    timeline: Arc<Mutex<Timeline>>,
    following: tokio::task::JoinHandle<()>,
    /// Where the clock stands before the replay.
    origin: isobar_model::InstantMs,
    first_step: usize,
    step_wall: Duration,
    schedule: Schedule,
    /// Steps played so far.
    played: usize,
}

/// What a live arm came to.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    pub(crate) timeline: Timeline,
    pub(crate) data_moves: u64,
    pub(crate) leader_transfers: u64,
    pub(crate) traffic: TrafficReport,
}

/// Keys of shard `i`: a tenant is a range of keys, its parts are cut at even places.
fn shard_prefix(scenario: &Scenario, i: usize) -> String {
    // The tenant's place among tenants keeps ranges in the order of the shards' numbers.
    let shard = &scenario.shards[i];
    let tenant = scenario.shards[..=i].iter().filter(|s| s.part == 0).count();
    format!("t{tenant:04}/{:02}/", shard.part)
}

impl Stage {
    /// Starts six nodes, creates and fills the keyspace, imports the history, uploads the policies. The clock stands one step before
    /// `window`.
    pub(crate) async fn set(plot: &Plot, name: &str, say: &(dyn Fn(String) + Sync)) -> anyhow::Result<Self> {
        let Plot { scenario, window, step_wall, .. } = plot;
        let first_step = scenario.window(*window).start;
        let step_ms = u64::from(scenario.step_ms);
        let origin = isobar_model::InstantMs(scenario.instant(first_step).0 - step_ms);
        let clock = Arc::new(ScaledClock::new(origin, step_ms as f64 / step_wall.as_millis() as f64));
        let settings = Settings {
            limits: brain_config(scenario, MoveTimes::default()).limits,
            weights: scenario.spec.weights,
            tick_ms: scenario.step_ms,
            step_ms: scenario.step_ms,
            copy_bytes_per_s: 64 << 20,
            move_steps: 6,
        };
        let spec = EmbeddedSpec {
            cluster: format!("demo-{name}"),
            nodes: scenario.spec.nodes,
            data: plot.out.join(name),
            first_port: Some(plot.port),
            capacity: scenario.capacity,
            capacities: isobar_model::Capacities::new(),
            settings,
            // The arms bind their own.
            default_forecaster: None,
            seed: scenario.spec.seed,
        };
        let shared_clock: Arc<dyn Clock> = clock.clone();
        let cluster = Embedded::start(&spec, &shared_clock, &plot.host).await?;
        let client = ClusterClient::new(cluster.endpoints()[0].clone())?;
        client.wait_for_nodes(spec.nodes).await?;
        say(format!("{} nodes up, {} to {}", spec.nodes, cluster.nodes[0].http, cluster.nodes[spec.nodes - 1].http));

        let shards = scenario.shards.len();
        let split_points: Vec<String> = (1..shards).map(|i| shard_prefix(scenario, i)).collect();
        let placement: Vec<Vec<u64>> = scenario.start.iter().map(|r| r.iter().map(|n| n.0).collect()).collect();
        let body = json!({
            "name": KEYSPACE, "partitioning": "range", "replication_factor": scenario.spec.replication_factor,
            "mode": "auto", "split_points": split_points, "placement": placement,
        });
        client.post("/v1/keyspaces", &body).await?;
        place_leaders(&client, &scenario.start).await?;
        say(format!(
            "{shards} shards of factor {} placed at random, balanced by count",
            scenario.spec.replication_factor
        ));

        let keys = (0..shards)
            .map(|i| {
                let prefix = shard_prefix(scenario, i);
                (0..KEYS_PER_SHARD).map(|k| format!("/v1/kv/{KEYSPACE}/{prefix}{k:04}")).collect()
            })
            .collect();
        let traffic = Traffic::new(cluster.endpoints(), keys, VALUE_BYTES)?;
        traffic.fill(WIDTH, |_, _| {}).await;
        let filled = traffic.report();
        ensure!(filled.failed_ops == 0, "{} writes of the first data failed", filled.failed_ops);
        say(format!(
            "{} keys written, {} KiB in three copies",
            filled.requests,
            (filled.requests * VALUE_BYTES as u64) >> 10
        ));
        traffic.reset_counts();

        let history = scenario.history(first_step);
        client.post_bytes("/v1/history", postcard::to_allocvec(&load_batch(scenario, history.clone()))?.into()).await?;
        say(format!("{} steps of history imported", history.len()));
        let mut policies = BTreeMap::new();
        for first_party in isobar_bundle::first_party() {
            policies.insert(first_party.name, client.upload(first_party.name, first_party.component).await?);
        }
        let timeline = Arc::new(Mutex::new(Timeline::new(scenario.start.clone())));
        let following = tokio::spawn(follow(
            cluster.nodes[0].watch_map(),
            Arc::clone(&clock),
            Arc::clone(scenario),
            Arc::clone(&timeline),
        ));
        Ok(Self {
            cluster,
            client,
            traffic,
            clock,
            scenario: Arc::clone(scenario),
            policies,
            timeline,
            following,
            origin,
            first_step,
            step_wall: *step_wall,
            schedule: Schedule::new(shards, scenario.spec.read_share),
            played: 0,
        })
    }

    /// Binds a first-party policy by its name.
    pub(crate) async fn bind(&self, role: &str, name: &str, config: Value) -> anyhow::Result<f64> {
        let digest = self.policies.get(name).with_context(|| format!("no policy {name} in this build"))?;
        self.client.bind(role, digest, config).await
    }

    /// Plays the next step's requests; the first call starts the clock.
    pub(crate) async fn play_step(&mut self) -> usize {
        let started = Instant::from_std(self.clock.start());
        // The clock began one step early, so that the first tick has counters to compare with.
        let begin = started + self.step_wall * u32::try_from(self.played + 1).unwrap_or(u32::MAX);
        let step = self.first_step + self.played;
        let seconds = f64::from(self.scenario.step_ms) / 1000.0;
        let rate = |i: usize| self.scenario.shards[i].ops.get(step).copied().map_or(0.0, f64::from) * seconds;
        let requests: Vec<f64> = (0..self.scenario.shards.len()).map(rate).collect();
        let due = self.schedule.step(&requests, u64::try_from(self.step_wall.as_micros()).unwrap_or(u64::MAX));
        self.traffic.play(begin, &due).await;
        tokio::time::sleep_until(begin + self.step_wall).await;
        self.played += 1;
        due.len()
    }

    /// What happened up to now.
    pub(crate) async fn played(&self) -> anyhow::Result<Played> {
        let migrations = self.client.get("/v1/migrations?limit=1000").await?;
        let all = items(&migrations).cloned().unwrap_or_default();
        let done = |kind: &str| {
            // Those begun while the clock stood put the leaders where the start placement wants them.
            let counted = |m: &&Value| {
                m["kind"] == kind
                    && !matches!(m["stage"].as_str(), Some("aborted" | "aborting"))
                    && m["started"].as_u64().is_some_and(|started| started > self.origin.0)
            };
            all.iter().filter(counted).count() as u64
        };
        Ok(Played {
            timeline: self.timeline.lock().clone(),
            data_moves: done("replica"),
            leader_transfers: done("leader"),
            traffic: self.traffic.report(),
        })
    }

    /// Reads every key back and compares; asks every shard for the digests of its replicas. Gives the number of differences.
    pub(crate) async fn verify(&self, say: &(dyn Fn(String) + Sync)) -> anyhow::Result<u64> {
        self.traffic.settle().await;
        let (wrong, read) = self.traffic.verify(WIDTH).await;
        let mut unequal = 0;
        for shard in self.scenario.shard_ids() {
            let compared = self.client.verify_shard(shard).await?;
            if compared["equal"] != true {
                tracing::error!(%shard, %compared, "replicas differ");
                unequal += 1;
            }
        }
        say(format!(
            "{read} keys read back, {wrong} differ; replicas of {} shards compared by digest, {unequal} differ",
            self.scenario.shards.len()
        ));
        Ok(wrong + unequal)
    }

    /// Stops the cluster.
    pub(crate) async fn stop(self) {
        self.following.abort();
        self.cluster.stop().await;
    }
}

/// All shards' leader load in one batch.
fn load_batch(scenario: &Scenario, steps: std::ops::Range<usize>) -> LoadBatch {
    let cost = scenario.leader_cost();
    LoadBatch {
        metric: Metric::Load,
        start: scenario.instant(steps.start),
        step_ms: scenario.step_ms,
        steps: u32::try_from(steps.len()).unwrap_or(u32::MAX),
        shards: scenario.shard_ids().collect(),
        values: scenario.shards.iter().flat_map(|s| s.ops[steps.clone()].iter().map(|ops| ops * cost)).collect(),
    }
}

/// Elections choose their own leaders; the start placement names others for some shards.
async fn place_leaders(client: &ClusterClient, start: &Placement) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let routes = client.get("/v1/routes").await?;
        let leaders: BTreeMap<u64, u64> = (routes["shards"].as_array().into_iter().flatten())
            .filter_map(|shard| Some((shard["id"].as_u64()?, shard["leader"].as_u64()?)))
            .collect();
        let mut wrong = 0;
        for (i, replicas) in start.iter().enumerate() {
            let (shard, wanted) = (i as u64 + 1, replicas[0].0);
            if leaders.get(&shard) != Some(&wanted) {
                wrong += 1;
                // Refused while one is under way, or while the shard has no leader: the next look finds out.
                let _ = client.post(&format!("/v1/shards/{shard}/transfer-leader"), &json!({ "to": wanted })).await;
            }
        }
        if wrong == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{wrong} shards are not led from where the start placement wants it");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Notes every change of placement with its time on the control clock.
async fn follow(
    mut maps: tokio::sync::watch::Receiver<Arc<ShardMap>>,
    clock: Arc<ScaledClock>,
    scenario: Arc<Scenario>,
    timeline: Arc<Mutex<Timeline>>,
) {
    let mut known: Placement = scenario.start.clone();
    while maps.changed().await.is_ok() {
        let map = maps.borrow_and_update().clone();
        let since_ms = clock.now().since_ms(scenario.instant(0));
        let at_step = since_ms as f64 / f64::from(scenario.step_ms);
        for shard in map.shards.values() {
            let Some(i) = scenario.shard_index(shard.id) else { continue };
            let mut replicas: Vec<NodeId> = shard.replicas.iter().map(|replica| replica.node).collect();
            match shard.leader.and_then(|leader| replicas.iter().position(|node| *node == leader)) {
                Some(at) => replicas.swap(0, at),
                // Between two leaders: the load goes where the last one was until the next is known.
                None => continue,
            }
            if replicas[0] != known[i][0] || !replicas.iter().all(|node| known[i].contains(node)) {
                known[i].clone_from(&replicas);
                timeline.lock().push(Change { at_step, shard: i, replicas });
            }
        }
    }
}
