//! Why shards and nodes are as they are.

use super::Controller;
use super::rounds::rules;
use isobar_api::backend::BackendError;
use isobar_api::{ConsideredInfo, NodeExplainInfo, OutlookInfo, PartInfo, ShardExplainInfo};
use isobar_control::{Brain, Considered, NodeExplanation, NodeOutlook, RoundRules, ShardExplanation};
use isobar_model::{CheckedMove, InstantMs, Move, NodeId, ShardId};
use isobar_ports::Observation;

impl Controller {
    /// Why a shard is where it is, and what could be done with it.
    pub(crate) async fn explain_shard(&self, shard: ShardId) -> Result<ShardExplainInfo, BackendError> {
        let look = move |brain: &Brain, observation: &Observation, rules: &RoundRules| {
            brain.explain_shard(observation, rules, shard).map(|told| (told, observation.now))
        };
        let missing = || BackendError::NotFound(format!("there is no shard {shard}: see /v1/shards"));
        let (told, now) = self.look(look).await?.ok_or_else(missing)?;
        Ok(shard_info(told, now))
    }

    /// What becomes of a node.
    pub(crate) async fn explain_node(&self, node: NodeId) -> Result<NodeExplainInfo, BackendError> {
        let look = move |brain: &Brain, observation: &Observation, rules: &RoundRules| {
            brain.explain_node(observation, rules, node)
        };
        let missing = || BackendError::NotFound(format!("there is no node {node}: see /v1/nodes"));
        Ok(node_info(self.look(look).await?.ok_or_else(missing)?))
    }

    /// Has the brain look at things as they are.
    async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Brain, &Observation, &RoundRules) -> R + Send + 'static,
    ) -> Result<R, BackendError> {
        let state = self.here.state();
        let observation = self.observation(&state, self.here.clock().now(), 0);
        let rules = rules(&state);
        Ok(self.brain.call(move |brain| look(brain, &observation, &rules)).await?)
    }
}

fn outlook(of: NodeOutlook) -> OutlookInfo {
    let NodeOutlook { node, state, now, peak, peak_at, feared } = of;
    OutlookInfo { node, state, now, peak, peak_at, feared }
}

fn shard_info(told: ShardExplanation, now: InstantMs) -> ShardExplainInfo {
    let considered = |considered: Considered| {
        let Considered { action, verdict, target_peak, source_peak } = considered;
        // It is nobody's proposal: without gain and reason.
        let (urgency, gain, reason) = (0.0, f32::NAN, String::new());
        let proposed = Move { shard: told.shard, action, urgency, start_by: now, gain, reason };
        ConsideredInfo { judged: CheckedMove { proposed, verdict }.into(), target_peak, source_peak }
    };
    ShardExplainInfo {
        summary: String::new(),
        at: now,
        shard: told.shard,
        mode: told.mode,
        load: told.load,
        peak: told.peak,
        peak_at: told.peak_at,
        nodes: told.nodes.into_iter().map(outlook).collect(),
        moving: told.moving.is_some(),
        rests_until: told.rests_until,
        migrations: Vec::new(),
        ticks: 0,
        proposed: Vec::new(),
        considered: told.considered.into_iter().map(considered).collect(),
        left_out: told.left_out as u64,
    }
}

fn node_info(told: NodeExplanation) -> NodeExplainInfo {
    NodeExplainInfo {
        summary: String::new(),
        outlook: outlook(told.outlook),
        leaders: told.leaders as u64,
        followers: told.followers as u64,
        heaviest: told.heaviest.into_iter().map(|(shard, share)| PartInfo { shard, share }).collect(),
        moving: told.moving.len() as u64,
        ticks: 0,
        proposed: Vec::new(),
    }
}
