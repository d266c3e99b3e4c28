//! Policies by script.

use isobar_model::{
    Action, ClusterView, Digest, ForecastBatch, ForecastRequest, InstantMs, LoadBatch, Metric, Move, Plan, Relations,
    ShardId,
};
use isobar_ports::{Forecaster, Inspection, Placer, PolicyFailure, PolicyHost, Rejection, Usage};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What the bound policies do.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// What every placer proposes; none: a leader transfer away from each overloaded node.
    pub(super) plan: Option<Vec<Move>>,
    /// The bound forecaster's calls of `predict` that trap, by number from 1.
    pub(super) fail_predict_at: Vec<u32>,
    /// All of them do.
    pub(super) fail_always: bool,
    /// It lacks history for so many calls.
    pub(super) not_ready_for: u32,
    /// It refuses every saved state.
    pub(super) refuse_saved: bool,
    /// What it predicts, times the truth.
    pub(super) bias: Option<f32>,
    /// The bound placer traps.
    pub(super) placer_traps: bool,
    /// Fuel that a forecast of one shard burns; none: 7 whatever is asked.
    pub(super) fuel_a_shard: Option<u64>,
}

/// What was done to the bound policies.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// Predictions asked.
    pub(super) predicts: u32,
    /// Instances opened: with a save or without.
    pub(super) opened: Vec<bool>,
    /// Start and length of each batch observed.
    pub(super) observed: Vec<(InstantMs, u32)>,
    /// Relations told, each time.
    pub(super) related: Vec<Relations>,
    /// Shards that the instance in use knows.
    pub(super) known: Vec<u64>,
    /// Shards asked about last.
    pub(super) asked: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct FakeHost {
    pub(super) script: Mutex<Script>,
    pub(super) log: Arc<Mutex<Log>>,
}

impl FakeHost {
    pub(super) fn new(script: Script) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script), log: Arc::default() })
    }

    pub(super) fn revision(name: &str, number: u8) -> (Digest, String) {
        (Digest([number; 32]), name.to_owned())
    }

    fn echo(&self, script: Script, is_bound: bool) -> Echo {
        let log = is_bound.then(|| Arc::clone(&self.log));
        Echo { last: BTreeMap::new(), script, log, is_dead: false, fuel: 7 }
    }
}

impl PolicyHost for FakeHost {
    fn inspect(&self, _: &[u8]) -> Result<Inspection, Rejection> {
        Err(Rejection("not here".into()))
    }

    fn forecaster(&self, _: &Digest, config: &str, saved: Option<&[u8]>) -> Result<Box<dyn Forecaster>, PolicyFailure> {
        let script = self.script.lock().unwrap().clone();
        if config == "bad" {
            return Err(PolicyFailure::Config("field `period`".into()));
        }
        if saved.is_some() && script.refuse_saved {
            return Err(PolicyFailure::Policy("cannot read this state".into()));
        }
        self.log.lock().unwrap().opened.push(saved.is_some());
        let mut echo = self.echo(script, true);
        echo.last = saved.map(|bytes| serde_json::from_slice(bytes).unwrap()).unwrap_or_default();
        Ok(Box::new(echo))
    }

    fn placer(&self, _: &Digest, _: &str, saved: Option<&[u8]>) -> Result<Box<dyn Placer>, PolicyFailure> {
        self.log.lock().unwrap().opened.push(saved.is_some());
        Ok(Box::new(Scripted { script: self.script.lock().unwrap().clone(), is_bound: true }))
    }

    fn builtin_forecaster(&self) -> Box<dyn Forecaster> {
        Box::new(self.echo(Script::default(), false))
    }

    fn builtin_placer(&self) -> Box<dyn Placer> {
        Box::new(Scripted { script: self.script.lock().unwrap().clone(), is_bound: false })
    }
}

/// Predicts that each shard goes on as it last was.
struct Echo {
    last: BTreeMap<u64, f32>,
    script: Script,
    log: Option<Arc<Mutex<Log>>>,
    is_dead: bool,
    /// Burnt by the last call.
    fuel: u64,
}

impl Forecaster for Echo {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        assert!(batch.is_well_formed() && batch.steps > 0);
        assert!(batch.steps <= 12 || batch.shards.len() <= 256);
        for (row, shard) in batch.shards.iter().enumerate() {
            if let Some(value) = batch.row(row).iter().rev().find(|v| v.is_finite()) {
                self.last.insert(shard.0, *value);
            }
        }
        if let Some(log) = &self.log {
            let mut log = log.lock().unwrap();
            log.observed.push((batch.start, batch.steps));
            log.known = self.last.keys().copied().collect();
        }
        self.fuel = self.script.fuel_a_shard.map_or(7, |_| batch.values.len() as u64);
        Ok(())
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        if self.is_dead {
            return Err(PolicyFailure::Trapped("called after a trap".into()));
        }
        if let Some(log) = &self.log {
            let mut log = log.lock().unwrap();
            log.predicts += 1;
            log.asked = request.shards.iter().map(|shard| shard.0).collect();
            if self.script.fail_always || self.script.fail_predict_at.contains(&log.predicts) {
                self.is_dead = true;
                return Err(PolicyFailure::Trapped("unreachable".into()));
            }
            if log.predicts <= self.script.not_ready_for {
                return Err(PolicyFailure::NotReady("a week of history is needed".into()));
            }
        }
        self.fuel = self.script.fuel_a_shard.map_or(7, |each| each * request.shards.len() as u64);
        let bias = self.script.bias.unwrap_or(1.0);
        let last = |shard: &ShardId| self.last.get(&shard.0).copied().unwrap_or_default() * bias;
        let quantiles = request.quantiles.len();
        let repeat = |times: usize| {
            request.shards.iter().flat_map(move |s| std::iter::repeat_n(last(s), times)).collect::<Vec<f32>>()
        };
        let values = repeat(quantiles * request.horizon as usize);
        Ok(ForecastBatch { values, peaks: if request.peak_steps > 0 { repeat(quantiles) } else { vec![] } })
    }

    fn relate(&mut self, _: Metric, relations: &Relations) -> Result<(), PolicyFailure> {
        if let Some(log) = &self.log {
            log.lock().unwrap().related.push(relations.clone());
        }
        Ok(())
    }

    fn forget(&mut self, shards: &[ShardId]) -> Result<(), PolicyFailure> {
        shards.iter().for_each(|shard| {
            self.last.remove(&shard.0);
        });
        if let Some(log) = &self.log {
            log.lock().unwrap().known = self.last.keys().copied().collect();
        }
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(serde_json::to_vec(&self.last).unwrap())
    }

    fn usage(&self) -> Usage {
        Usage { fuel: self.fuel, wall_us: 1, memory_bytes: 0 }
    }
}

struct Scripted {
    script: Script,
    is_bound: bool,
}

impl Placer for Scripted {
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure> {
        if self.is_bound && self.script.placer_traps {
            return Err(PolicyFailure::OutOfFuel { limit: 9 });
        }
        if let Some(moves) = &self.script.plan {
            return Ok(Plan { moves: moves.clone(), notes: vec![] });
        }
        let mut moves = Vec::new();
        for (i, &shard) in view.shards.ids.iter().enumerate() {
            let replicas = view.shards.replicas_of(i);
            let load = |node: u32| view.nodes.load[node as usize] / view.nodes.capacity[node as usize];
            let coldest = replicas[1..].iter().copied().min_by(|&a, &b| load(a).total_cmp(&load(b)));
            if let Some(target) = coldest.filter(|_| load(replicas[0]) > 0.9) {
                moves.push(Move {
                    shard,
                    action: Action::TransferLeader(view.nodes.ids[target as usize]),
                    urgency: 1.0,
                    start_by: view.now,
                    gain: view.shards.leader_load[i],
                    reason: "overloaded".into(),
                });
            }
        }
        Ok(Plan { moves, notes: vec![] })
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(vec![1])
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}
