//! A backend in memory: what the API does with answers and errors needs no cluster.

use async_trait::async_trait;
use bytes::Bytes;
use isobar_api::backend::{
    Backend, BackendError, BindingChange, Bound, ClusterReport, Figure, FigureKind, ForecastReport, HeatMap,
    HeatMapAsk, Imported, NewKeyspace, NodeReport, PendingPlan, RankedShard, Scan, ScanPage, Served, ShardFigures,
};
use isobar_api::{
    ConsideredInfo, EventLog, ForecasterScoreInfo, GainInfo, GainStanding, GainsInfo, GuardBandInfo, HorizonScoreInfo,
    HotKey, NodeExplainInfo, OutlookInfo, PartInfo, PeakInterval, PeakScoreInfo, RankingScoreInfo, ScoresInfo,
    ShardExplainInfo, ShardProfileInfo, UsageInfo, WhatIfAsk, WhatIfInfo, WhatIfNode,
};
use isobar_model::history::{HistoryPage, HistoryQuery, HistoryRow, Resolution, Step, Window};
use isobar_model::{
    Action, Binding, CheckedMove, Cluster, Consistency, DecisionRecord, Description, Digest, Driver, DriverKind,
    EvaluationRecord, ForecastBatch, ForecastRequest, Generation, Group, Incarnation, Insights, InstantMs, KeyRange,
    Keyspace, KeyspaceId, Link, LoadBatch, Metric, Migration, MigrationKind, Mode, Move, Node, NodeForecast, NodeId,
    NodeMetric, NodePath, NodeState, OperationId, Partitioning, PlacementRules, Replica, Revision, RevisionStatus,
    Role, RouteVersion, Rule, Shard, ShardId, ShardMap, Stage, Verdict, ZoneId,
};
use isobar_ports::{ReplicaDigest, ShardStatus};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;
use tokio::sync::watch;

/// The demo's epoch: any instant would do.
pub(crate) const NOW: InstantMs = InstantMs(1_376_314_800_000);

/// Three nodes, one range keyspace `t` of two shards cut at `m`.
pub(crate) struct FakeBackend {
    state: Mutex<State>,
    map: watch::Sender<Arc<ShardMap>>,
    events: EventLog,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<(String, Bytes), Bytes>,
    draining: Vec<NodeId>,
    rules: BTreeMap<KeyspaceId, PlacementRules>,
    revisions: BTreeMap<Digest, Revision>,
    bindings: BTreeMap<(Role, Option<KeyspaceId>), Binding>,
    migrations: Vec<Migration>,
    pending: Vec<PendingPlan>,
    halted: bool,
    unheeded: Vec<KeyspaceId>,
    unbooked: bool,
    imported: Vec<LoadBatch>,
}

impl FakeBackend {
    pub(crate) fn new() -> Arc<Self> {
        let keyspace = Keyspace {
            id: KeyspaceId(1),
            name: "t".into(),
            partitioning: Partitioning::Range,
            replication_factor: 3,
            mode: Mode::Advise,
        };
        let shard = |id, start: &'static str, end: Option<&'static str>| Shard {
            id: ShardId(id),
            keyspace: KeyspaceId(1),
            range: KeyRange {
                start: Bytes::from_static(start.as_bytes()),
                end: end.map(|e| Bytes::from_static(e.as_bytes())),
            },
            generation: Generation(1),
            replicas: (1..=3).map(|n| Replica { node: NodeId(n), incarnation: Incarnation(id) }).collect(),
            leader: Some(NodeId(id)),
        };
        let map = ShardMap {
            version: RouteVersion(7),
            keyspaces: [(KeyspaceId(1), keyspace)].into(),
            shards: [(ShardId(1), shard(1, "", Some("m"))), (ShardId(2), shard(2, "m", None))].into(),
        };
        let proposed = a_move();
        let state =
            State { pending: vec![PendingPlan { tick: 40, made: NOW, moves: vec![proposed] }], ..State::default() };
        let (map, _) = watch::channel(Arc::new(map));
        Arc::new(Self { state: Mutex::new(state), map, events: EventLog::default() })
    }

    /// Raises the route version, as any change of the map does.
    pub(crate) fn bump(&self) {
        self.map.send_modify(|map| {
            let mut next = ShardMap::clone(map);
            next.version.0 += 1;
            *map = Arc::new(next);
        });
    }

    /// What a policy's check came to.
    pub(crate) fn judge(&self, digest: Digest, status: RevisionStatus) {
        let mut state = self.state.lock();
        let revision = state.revisions.get_mut(&digest).unwrap();
        if status == RevisionStatus::Ready {
            revision.role = Some(Role::Forecast);
            revision.imports = vec!["isobar:policy/log@0.1.0".into()];
            revision.description = Some(Description {
                name: "seasonal-naive".into(),
                version: "0.1.0".into(),
                config_schema: r#"{"type":"object"}"#.into(),
            });
        }
        revision.status = status;
    }

    /// Lets all migrations end.
    pub(crate) fn finish_migrations(&self) {
        for migration in &mut self.state.lock().migrations {
            migration.stage = Stage::Done;
        }
    }

    pub(crate) fn imported(&self) -> Vec<LoadBatch> {
        self.state.lock().imported.clone()
    }

    fn shard_of(&self, keyspace: &str, key: &[u8]) -> Result<(ShardId, NodeId), BackendError> {
        let map = self.map.borrow();
        let known = map.keyspace_named(keyspace);
        let known = known
            .ok_or_else(|| BackendError::NotFound(format!("there is no keyspace {keyspace:?}: create it first.")))?;
        let internal = known.partitioning.internal_key(key);
        let shard = map.shards.values().find(|s| s.keyspace == known.id && s.range.contains(&internal));
        Ok(shard.map(|s| (s.id, s.leader.unwrap_or_default())).unwrap())
    }

    fn report(&self, id: NodeId) -> Option<NodeReport> {
        let state = if self.state.lock().draining.contains(&id) { NodeState::Draining } else { NodeState::Up };
        (1..=3).contains(&id.0).then(|| NodeReport {
            node: Node {
                id,
                zone: ZoneId(id.0 as u32),
                peer_addr: format!("127.0.0.1:{}", 7500 + id.0),
                http_addr: format!("127.0.0.1:{}", 7400 + id.0),
                capacity: 900.0,
                capacity_bytes: 1 << 30,
                draining: state == NodeState::Draining,
            },
            capacities: if id.0 == 1 { [(Metric::CpuMillicores, 8_000.0)].into() } else { Default::default() },
            labels: if id.0 == 1 { ["disk=ssd".parse().unwrap()].into() } else { Default::default() },
            state,
            load: if id.0 == 3 { f32::NAN } else { 300.0 },
            used_bytes: 4096,
            usage: (id.0 == 1).then(|| UsageInfo { cpu_millicores: Some(250.0), ..UsageInfo::default() }),
        })
    }

    fn begin(&self, shard: ShardId, kind: MigrationKind, source: NodeId, target: NodeId) -> Migration {
        let mut state = self.state.lock();
        let migration = Migration {
            id: OperationId(state.migrations.len() as u64 + 1),
            shard,
            kind,
            source,
            target,
            incarnation: Incarnation(9),
            source_incarnation: Incarnation(1),
            stage: Stage::Copy,
            started: NOW,
            stage_since: NOW,
            not_before: NOW,
            copy_bytes_per_s: 1000,
            copied_bytes: 500,
            total_bytes: 2500,
            failures: 0,
            error: None,
            reason: "operator".into(),
        };
        state.migrations.push(migration.clone());
        self.events.publish(
            NOW,
            "migration",
            format!("migration {} began", migration.id),
            serde_json::json!({ "id": migration.id }),
        );
        migration
    }
}

fn a_move() -> Move {
    Move {
        shard: ShardId(1),
        action: Action::MoveReplica { source: NodeId(1), target: NodeId(2) },
        urgency: 0.5,
        start_by: NOW,
        gain: f32::INFINITY,
        reason: "node 1 is hot".into(),
    }
}

/// A binding that an operator chose.
fn operators(binding: Binding) -> Bound {
    Bound { binding, by_default: false, swap_ms: None }
}

#[async_trait]
impl Backend for FakeBackend {
    async fn get(&self, keyspace: &str, key: Bytes, _: Consistency) -> Result<Served<Option<Bytes>>, BackendError> {
        let (shard, node) = self.shard_of(keyspace, &key)?;
        match &key[..] {
            b"panic" => panic!("a bug, for a test"),
            b"hang" => std::future::pending().await,
            b"unavailable" => return Err(BackendError::Unavailable("no leader: try again.".into())),
            b"internal" => return Err(BackendError::Internal("the disk is full: free some.".into())),
            b"timeout" => return Err(BackendError::Timeout("no answer from node 2: try again.".into())),
            _ => {}
        }
        Ok(Served { value: self.state.lock().rows.get(&(keyspace.to_owned(), key)).cloned(), shard, node })
    }

    async fn put(&self, keyspace: &str, key: Bytes, value: Bytes) -> Result<Served<u64>, BackendError> {
        let (shard, node) = self.shard_of(keyspace, &key)?;
        self.state.lock().rows.insert((keyspace.to_owned(), key), value);
        Ok(Served { value: 12, shard, node })
    }

    async fn delete(&self, keyspace: &str, key: Bytes) -> Result<Served<u64>, BackendError> {
        let (shard, node) = self.shard_of(keyspace, &key)?;
        self.state.lock().rows.remove(&(keyspace.to_owned(), key));
        Ok(Served { value: 13, shard, node })
    }

    async fn scan(&self, keyspace: &str, scan: Scan) -> Result<ScanPage, BackendError> {
        self.shard_of(keyspace, &scan.start)?;
        let start = Included((keyspace.to_owned(), scan.resume.unwrap_or(scan.start)));
        let end = scan.end.map_or(Unbounded, |end| Excluded((keyspace.to_owned(), end)));
        let state = self.state.lock();
        let mut found = state.rows.range((start, end)).filter(|((k, _), _)| k == keyspace);
        let rows =
            found.by_ref().take(scan.limit as usize).map(|((_, key), value)| (key.clone(), value.clone())).collect();
        let next = found.next().map(|((_, key), _)| key.clone());
        Ok(ScanPage { rows, next })
    }

    fn shard_map(&self) -> Arc<ShardMap> {
        self.map.borrow().clone()
    }

    async fn newer_map(&self, after: RouteVersion) -> Arc<ShardMap> {
        self.map.subscribe().wait_for(|map| map.version > after).await.unwrap().clone()
    }

    async fn create_keyspace(&self, new: NewKeyspace) -> Result<Keyspace, BackendError> {
        let mut map = ShardMap::clone(&self.shard_map());
        if map.keyspace_named(&new.name).is_some() {
            return Err(BackendError::conflict(format!(
                "there is a keyspace {:?} already: choose another name.",
                new.name
            )));
        }
        let keyspace = Keyspace {
            id: KeyspaceId(map.keyspaces.len() as u32 + 1),
            name: new.name,
            partitioning: new.partitioning,
            replication_factor: new.replication_factor,
            mode: new.mode.unwrap_or(Mode::Advise),
        };
        let mut start = Bytes::new();
        for end in new.split_points.into_iter().map(Some).chain([None]) {
            let id = ShardId(map.shards.len() as u64 + 1);
            let range = KeyRange { start: std::mem::take(&mut start), end: end.clone() };
            let replicas = vec![Replica { node: NodeId(1), incarnation: Incarnation(id.0) }];
            let generation = Generation(1);
            map.shards
                .insert(id, Shard { id, keyspace: keyspace.id, range, generation, replicas, leader: Some(NodeId(1)) });
            start = end.unwrap_or_default();
        }
        map.keyspaces.insert(keyspace.id, keyspace.clone());
        map.version.0 += 1;
        self.map.send_replace(Arc::new(map));
        Ok(keyspace)
    }

    async fn set_mode(&self, id: KeyspaceId, mode: Mode) -> Result<Keyspace, BackendError> {
        let mut map = ShardMap::clone(&self.shard_map());
        let keyspace = map.keyspaces.get_mut(&id).unwrap();
        keyspace.mode = mode;
        let keyspace = keyspace.clone();
        self.map.send_replace(Arc::new(map));
        Ok(keyspace)
    }

    async fn placement_rules(&self, id: KeyspaceId) -> Result<PlacementRules, BackendError> {
        Ok(self.state.lock().rules.get(&id).cloned().unwrap_or_default())
    }

    async fn set_placement_rules(&self, id: KeyspaceId, rules: PlacementRules) -> Result<PlacementRules, BackendError> {
        self.state.lock().rules.insert(id, rules.clone());
        Ok(rules)
    }

    /// Of keyspace 1 alone.
    async fn gains(&self) -> Result<Vec<GainsInfo>, BackendError> {
        let gain = GainInfo {
            against: "reactive".into(),
            node_s: 310.0,
            lower_node_s: 120.0,
            upper_node_s: 500.0,
            share: Some(0.31),
            lower_share: Some(0.12),
        };
        let mut book = GainsInfo {
            id: KeyspaceId(1),
            keyspace: "t".into(),
            summary: String::new(),
            standing: GainStanding::Pays,
            abstain: !self.state.lock().unheeded.contains(&KeyspaceId(1)),
            abstaining: false,
            live: true,
            anchored: InstantMs(0),
            since: Some(InstantMs(0)),
            blocks: 36,
            least_blocks: 8,
            block_ms: 21_600_000,
            seen_s: 777_600.0,
            placements: Vec::new(),
            under_way: Vec::new(),
            gain: Some(gain),
        };
        book.summarise();
        Ok(if self.state.lock().unbooked { Vec::new() } else { vec![book] })
    }

    async fn set_abstain(&self, id: KeyspaceId, abstain: bool) -> Result<(), BackendError> {
        self.state.lock().unheeded.retain(|unheeded| *unheeded != id);
        if !abstain {
            self.state.lock().unheeded.push(id);
        }
        Ok(())
    }

    async fn reset_gains(&self, _: KeyspaceId) -> Result<(), BackendError> {
        self.state.lock().unbooked = true;
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeReport>, BackendError> {
        Ok((1..=3).filter_map(|id| self.report(NodeId(id))).collect())
    }

    async fn set_draining(&self, id: NodeId, draining: bool) -> Result<NodeReport, BackendError> {
        {
            let mut state = self.state.lock();
            state.draining.retain(|&node| node != id);
            if draining {
                state.draining.push(id);
            }
        }
        self.report(id).ok_or_else(|| BackendError::NotFound(format!("there is no node {id}: see /v1/nodes.")))
    }

    async fn shard_figures(&self) -> Result<BTreeMap<ShardId, ShardFigures>, BackendError> {
        Ok([(ShardId(1), ShardFigures { leader_load: 31.5, follower_load: f32::NAN, bytes: 1000 })].into())
    }

    async fn shard_profile(&self, shard: ShardId) -> Result<ShardProfileInfo, BackendError> {
        let hot = HotKey { key: "a%00b".into(), goes_on: false, at_least: 0.5, at_most: 0.75 };
        let until = NOW.plus_ms(60_000);
        Ok(ShardProfileInfo { shard, node: NodeId(1), from: NOW, until, hot_keys: vec![hot], ..Default::default() })
    }

    async fn shard_status(&self, _: ShardId) -> Result<Option<ShardStatus>, BackendError> {
        let voters = (1..=3).map(NodeId).collect();
        let status = ShardStatus { leader: Some(NodeId(1)), term: 2, voters, applied: 90, ..ShardStatus::default() };
        Ok(Some(status))
    }

    /// Shard 1 is sound, of shard 2 one replica differs.
    async fn verify_shard(&self, shard: ShardId) -> Result<BTreeMap<NodeId, ReplicaDigest>, BackendError> {
        let recorded = |node: u64| {
            let digest = if shard.0 == 2 && node == 3 { 0xabd } else { 0xabc };
            (NodeId(node), ReplicaDigest { index: 90, digest, rows: 5 })
        };
        Ok((1..=3).map(recorded).collect())
    }

    async fn move_replica(&self, shard: ShardId, from: NodeId, to: NodeId) -> Result<Migration, BackendError> {
        if to.0 > 3 {
            return Err(BackendError::Invalid(format!("there is no node {to}: see /v1/nodes.")));
        }
        Ok(self.begin(shard, MigrationKind::Replica, from, to))
    }

    async fn transfer_leader(&self, shard: ShardId, to: NodeId) -> Result<Migration, BackendError> {
        Ok(self.begin(shard, MigrationKind::Leader, NodeId(1), to))
    }

    async fn upload_policy(&self, artifact: Bytes) -> Result<Revision, BackendError> {
        let digest = Digest::of(&artifact);
        let revision = Revision {
            digest,
            bytes: artifact.len() as u64,
            status: RevisionStatus::Uploaded,
            role: None,
            description: None,
            imports: vec![],
        };
        Ok(self.state.lock().revisions.entry(digest).or_insert(revision).clone())
    }

    async fn policies(&self) -> Result<Vec<Revision>, BackendError> {
        Ok(self.state.lock().revisions.values().cloned().collect())
    }

    async fn policy(&self, digest: Digest) -> Result<Option<Revision>, BackendError> {
        Ok(self.state.lock().revisions.get(&digest).cloned())
    }

    async fn bindings(&self) -> Result<Vec<Bound>, BackendError> {
        Ok(self.state.lock().bindings.values().cloned().map(operators).collect())
    }

    async fn bind(
        &self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        change: BindingChange,
    ) -> Result<Bound, BackendError> {
        let mut state = self.state.lock();
        if let Some(digest) = change.revision.filter(|digest| !state.revisions.contains_key(digest)) {
            return Err(BackendError::NotFound(format!("there is no policy {}: upload it first.", digest.short())));
        }
        let old = state.bindings.get(&(role, keyspace)).cloned();
        let actual = old.as_ref().map_or(0, |b| b.number);
        if actual != change.expected {
            let detail = format!(
                "the binding is at number {actual}, you expected {}: read it again, then decide.",
                change.expected
            );
            return Err(BackendError::Conflict { detail, expected: Some(change.expected), actual: Some(actual) });
        }
        let (previous, previous_config) = old.map(|b| (b.revision, b.config)).unwrap_or_default();
        let binding = Binding {
            role,
            keyspace,
            revision: change.revision,
            config: change.config,
            number: actual + 1,
            previous,
            previous_config,
        };
        state.bindings.insert((role, keyspace), binding.clone());
        Ok(Bound { swap_ms: Some(1.5), ..operators(binding) })
    }

    async fn roll_back(
        &self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        expected: Option<u64>,
    ) -> Result<Bound, BackendError> {
        let old = self.state.lock().bindings.get(&(role, keyspace)).cloned();
        let old = old.ok_or_else(|| BackendError::conflict("nothing served before: bind a policy first."))?;
        let change = BindingChange {
            revision: old.previous,
            config: old.previous_config,
            expected: expected.unwrap_or(old.number),
        };
        self.bind(role, keyspace, change).await
    }

    async fn forecast(&self, shards: Vec<ShardId>, horizon: u32) -> Result<ForecastReport, BackendError> {
        let shards = if shards.is_empty() { vec![ShardId(1), ShardId(2)] } else { shards };
        let values = (0..shards.len() * 2 * horizon as usize).map(|i| i as f32).collect();
        let peaks = (0..shards.len() * 2).map(|i| 100.0 + i as f32).collect();
        Ok(ForecastReport {
            request: ForecastRequest {
                metric: Metric::Load,
                shards,
                horizon,
                quantiles: vec![0.5, 0.9],
                peak_steps: 2,
            },
            batch: ForecastBatch { values, peaks },
            start: NOW,
            step_ms: 300_000,
            policy: "builtin".into(),
            revision: None,
            fallback: Some("the policy trapped".into()),
            answerers: Vec::new(),
        })
    }

    /// Of shards 1 and 2, the values 0, 1, 2 and so on; the first is missing.
    async fn heat_map(&self, ask: HeatMapAsk) -> Result<HeatMap, BackendError> {
        let HeatMapAsk { past, future, columns, rows, .. } = ask;
        assert!(past + future <= columns, "it has no columns of several steps");
        let shards: Vec<ShardId> = [ShardId(1), ShardId(2)].into_iter().take(rows as usize).collect();
        let mut values: Vec<f32> = (0..shards.len() * (past + future) as usize).map(|i| i as f32).collect();
        if let Some(first) = values.first_mut() {
            *first = f32::NAN;
        }
        let omitted = 2 - shards.len() as u64;
        Ok(HeatMap { start: NOW, column_ms: 300_000, past, future, shards, values, omitted })
    }

    async fn ranking(&self) -> Result<Vec<RankedShard>, BackendError> {
        let ranked = |shard, predicted_peak, recommended| RankedShard {
            shard: ShardId(shard),
            load: 30.0,
            predicted_peak,
            peak_interval: PeakInterval {
                low: Some(predicted_peak - 10.0),
                high: Some(predicted_peak + 9.0),
                low_quantile: 0.25,
                high_quantile: 0.75,
            },
            peak_at: NOW.plus_ms(600_000),
            peak_window: [NOW.plus_ms(300_000), NOW.plus_ms(900_000)],
            replicas: [1, 2, 3].map(NodeId).into(),
            recommended,
            urgency: 0.5,
            latest_start: NOW,
        };
        Ok(vec![ranked(2, 90.0, Some((a_move(), [2, 1, 3].map(NodeId).into()))), ranked(1, 40.0, None)])
    }

    async fn forecast_scores(&self, shard: Option<ShardId>) -> Result<ScoresInfo, BackendError> {
        let score = |policy: &str, bias| ForecasterScoreInfo {
            policy: policy.into(),
            revision: None,
            horizons: vec![HorizonScoreInfo {
                horizon: 12,
                wape: Some(0.25),
                pinball: Some(0.125),
                bias: Some(bias),
                coverage: vec![0.25, 0.75],
                steps: 3,
            }],
            peaks: Some(PeakScoreInfo { steps: 12, quantile: 0.75, misses: Some(0.25), windows: 4 }),
        };
        Ok(ScoresInfo {
            shard,
            step_ms: 300_000,
            quantiles: vec![0.25, 0.75],
            bound: (shard != Some(ShardId(1))).then(|| score("seasonal-naive", -0.125)),
            native: Some(score("builtin", 0.5)),
            guard: vec![GuardBandInfo {
                end_step: 12,
                judged: 2,
                yielded: 1,
                policy_loss: 2.0,
                native_loss: 1.0,
                evidence: 48.0,
            }],
            ranking: RankingScoreInfo { horizon: 12, share: 0.1, precision: Some(0.75), baseline: Some(0.5), steps: 3 },
        })
    }

    async fn insights(&self) -> Result<Insights, BackendError> {
        let (one, two) = (ShardId(1), ShardId(2));
        Ok(Insights {
            from: NOW,
            until: NOW.plus_ms(300_000),
            step_ms: 300_000,
            compared: 2,
            omitted: 1,
            links: vec![Link { follower: two, leader: one, lag_steps: 5, strength: 0.5, gain: 0.25 }],
            groups: vec![Group { shards: vec![one, two], strength: 0.75 }],
            clusters: vec![Cluster { shards: vec![one], load_share: 0.5, profile: vec![1.5, f32::NAN] }],
            unclustered: 1,
            drivers: vec![Driver {
                shard: two,
                kind: DriverKind::WriteShare,
                strength: 0.5,
                slope: 12.5,
                by_hour: None,
            }],
        })
    }

    async fn migrations(&self) -> Result<Vec<Migration>, BackendError> {
        Ok(self.state.lock().migrations.clone())
    }

    async fn cancel_migration(&self, id: OperationId) -> Result<Migration, BackendError> {
        let mut state = self.state.lock();
        let found = state.migrations.iter_mut().find(|m| m.id == id);
        let migration =
            found.ok_or_else(|| BackendError::NotFound(format!("there is no migration {id}: see /v1/migrations.")))?;
        if migration.stage.is_switched() {
            return Err(BackendError::conflict("it is past the point of return: move the replica back instead."));
        }
        migration.stage = Stage::Aborting;
        Ok(migration.clone())
    }

    async fn explain_shard(&self, shard: ShardId) -> Result<ShardExplainInfo, BackendError> {
        let missing = || BackendError::NotFound(format!("there is no shard {shard}."));
        if !self.shard_map().shards.contains_key(&shard) {
            return Err(missing());
        }
        let considered = CheckedMove { proposed: a_move(), verdict: Verdict::Accepted };
        Ok(ShardExplainInfo {
            summary: String::new(),
            at: NOW,
            shard,
            mode: Mode::Auto,
            load: 30.0,
            peak: 90.0,
            peak_at: NOW,
            nodes: vec![outlook(NodeId(1))],
            moving: false,
            rests_until: None,
            migrations: vec![],
            ticks: 0,
            proposed: vec![],
            considered: vec![ConsideredInfo { judged: considered.into(), target_peak: 0.5, source_peak: 0.25 }],
            left_out: 0,
        })
    }

    async fn explain_node(&self, node: NodeId) -> Result<NodeExplainInfo, BackendError> {
        self.report(node).ok_or_else(|| BackendError::NotFound(format!("there is no node {node}.")))?;
        Ok(NodeExplainInfo {
            summary: String::new(),
            outlook: outlook(node),
            leaders: 1,
            followers: 2,
            heaviest: vec![PartInfo { shard: ShardId(2), share: 0.5 }],
            moving: 0,
            ticks: 0,
            proposed: vec![],
        })
    }

    /// One node, at what is asked of keyspace 1.
    async fn what_if(&self, ask: WhatIfAsk) -> Result<WhatIfInfo, BackendError> {
        let unmoved = ask.load.get(&KeyspaceId(1)).copied().unwrap_or(1.0);
        let state = if ask.down.contains(&NodeId(1)) { NodeState::Down } else { NodeState::Up };
        let policy = ask.placer.map_or("bound", |other| other.map_or("builtin", |_| "other"));
        let node = WhatIfNode {
            node: NodeId(1),
            added: false,
            state,
            as_it_is: Some(1.0),
            unmoved,
            planned: 1.0,
            feared: 2.0,
        };
        Ok(WhatIfInfo {
            policy: policy.into(),
            fallback: None,
            nodes: vec![node],
            moves: vec![CheckedMove { proposed: a_move(), verdict: Verdict::Accepted }.into()],
            refused: vec![],
            data_moves: 1,
            leader_transfers: 0,
            bytes: 4096,
            takes_ms: 300_000,
            cut: false,
            notes: vec![],
        })
    }

    async fn decisions(&self, before: Option<u64>, limit: u32) -> Result<Vec<DecisionRecord>, BackendError> {
        let verdicts = [
            Verdict::Accepted,
            Verdict::Held { rule: Rule::Mode },
            Verdict::Refused { rule: Rule::CapacityHeadroom, detail: "node 2 would be at 0.97".into() },
        ];
        let record = |tick| DecisionRecord {
            tick,
            now: NOW,
            seed: 1,
            evaluations: vec![EvaluationRecord {
                role: Role::Place,
                policy: "builtin".into(),
                revision: None,
                config: "{}".into(),
                input: Digest::of(b"in"),
                output: Digest::of(b"out"),
                fuel: 0,
                wall_us: 7,
                failure: None,
            }],
            moves: verdicts.iter().cloned().map(|verdict| CheckedMove { proposed: a_move(), verdict }).collect(),
            notes: vec!["nothing else to gain".into()],
        };
        Ok((1..before.unwrap_or(41).min(41)).rev().take(limit as usize).map(record).collect())
    }

    async fn pending_plans(&self) -> Result<Vec<PendingPlan>, BackendError> {
        Ok(self.state.lock().pending.clone())
    }

    async fn release_plan(&self, tick: u64) -> Result<PendingPlan, BackendError> {
        let found = self.state.lock().pending.iter().position(|plan| plan.tick == tick);
        let at = found.ok_or_else(|| BackendError::NotFound(format!("no plan of tick {tick} waits.")))?;
        Ok(self.state.lock().pending.remove(at))
    }

    async fn set_halted(&self, halted: bool) -> Result<(), BackendError> {
        self.state.lock().halted = halted;
        Ok(())
    }

    async fn import_history(&self, batch: LoadBatch) -> Result<Imported, BackendError> {
        let imported = Imported { shards: batch.shards.len() as u64, steps: u64::from(batch.steps) };
        self.state.lock().imported.push(batch);
        Ok(imported)
    }

    /// Ten steps of shards 1 and 2, a shard a page.
    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage<ShardId>, BackendError> {
        if query.window.resolution == Resolution::TenSeconds && query.metric != Metric::Load {
            return Err(BackendError::Invalid("this metric is not kept at 10s: ask for 5m".into()));
        }
        let shard = query.after.map_or(ShardId(1), |after| ShardId(after.0 + 1));
        let steps = vec![Step { mean: 1.5, peak: 3.0, coverage: 0.5 }, Step::MISSING];
        let rows = vec![HistoryRow { key: shard, steps }];
        let next = Some(shard).filter(|shard| shard.0 < 2);
        Ok(HistoryPage { start: query.window.from.unwrap_or_default(), step_ms: 60_000, steps: 2, rows, next })
    }

    async fn node_history(&self, node: NodeId, _window: Window) -> Result<HistoryPage<NodeMetric>, BackendError> {
        self.report(node).ok_or_else(|| BackendError::NotFound(format!("there is no node {node}")))?;
        let rows = vec![HistoryRow { key: NodeMetric::CpuMillicores, steps: vec![Step::MISSING] }];
        Ok(HistoryPage { start: InstantMs(0), step_ms: 60_000, steps: 1, rows, next: None })
    }

    async fn node_forecast(&self, node: NodeId) -> Result<NodeForecast, BackendError> {
        self.report(node).ok_or_else(|| BackendError::NotFound(format!("there is no node {node}")))?;
        let path = NodePath {
            metric: NodeMetric::CpuMillicores,
            idle: 40.0,
            per_led: 0.5,
            per_followed: f32::NAN,
            paths: vec![vec![250.0]],
        };
        Ok(NodeForecast {
            node,
            start: InstantMs(300_000),
            step_ms: 300_000,
            quantiles: vec![0.5],
            correlation: 0.25,
            paths: vec![path],
        })
    }

    fn events(&self) -> &EventLog {
        &self.events
    }

    async fn status(&self) -> Result<ClusterReport, BackendError> {
        Ok(ClusterReport {
            cluster: "fake".into(),
            node: NodeId(1),
            control_leader: Some(NodeId(1)),
            control_term: 3,
            now: NOW,
            tick: 40,
            tick_ms: 10_000,
            step_ms: 300_000,
            halted: self.state.lock().halted,
        })
    }

    async fn ready(&self) -> Result<(), String> {
        if self.state.lock().halted { Err("it waits for the fake brake to be let go.".into()) } else { Ok(()) }
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure {
                name: "shard_reads",
                help: "Reads served",
                kind: FigureKind::Counter,
                samples: vec![(vec![("shard", "1".into())], 5.0)],
            },
            Figure {
                name: "route_version",
                help: "The route table's version",
                kind: FigureKind::Gauge,
                samples: vec![(vec![], 7.0)],
            },
        ]
    }

    fn control_endpoint(&self) -> Option<String> {
        None
    }
}

fn outlook(node: NodeId) -> OutlookInfo {
    OutlookInfo { node, state: NodeState::Up, now: 0.25, peak: 0.75, peak_at: NOW, feared: 1.5 }
}
