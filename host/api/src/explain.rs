//! `/v1/shards/{id}/explain` and `/v1/nodes/{id}/explain`: why a shard is where it is, what else there would be, and what becomes of a node.

use crate::ApiState;
use crate::decisions::{JudgedMove, MoveInfo};
use crate::migrations::MigrationInfo;
use crate::problem::Problem;
use axum::extract::{Path, State};
use isobar_model::{DecisionRecord, InstantMs, Mode, NodeId, NodeState, Rule, ShardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Plans looked at: some minutes of ticks.
const TICKS: u32 = 30;
/// Proposals told, at most.
const PROPOSED: usize = 50;
/// Migrations told, at most.
const MIGRATIONS: usize = 5;

/// What a node is forecast to carry within the horizon, in shares of its capacity: 1 is full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutlookInfo {
    /// Which.
    #[schema(value_type = u64, example = 3)]
    pub node: NodeId,
    /// Its state.
    #[schema(value_type = String, example = "up")]
    pub state: NodeState,
    /// Now.
    #[schema(example = 0.41)]
    pub now: f32,
    /// Its highest median load.
    #[schema(example = 0.74)]
    pub peak: f32,
    /// Start of the step of that, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_316_000_000_u64)]
    pub peak_at: InstantMs,
    /// Its highest load where all its shards are at their uppermost quantile at once: a bound from above.
    #[schema(example = 1.2)]
    pub feared: f32,
}

/// Something that could be done with a shard now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConsideredInfo {
    /// What, and the plan check's verdict on it, were a policy to propose it.
    #[serde(flatten)]
    pub judged: JudgedMove,
    /// The highest median load of where it would come to, in shares of its capacity.
    #[schema(example = 0.66)]
    pub target_peak: f32,
    /// The same of where it would leave.
    #[schema(example = 0.81)]
    pub source_peak: f32,
}

/// A move of one of the last plans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProposedInfo {
    /// The tick that it was proposed in.
    #[schema(example = 4021)]
    pub tick: u64,
    /// When, on the control clock.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub at: InstantMs,
    /// It, judged.
    #[serde(flatten)]
    pub judged: JudgedMove,
}

/// Why a shard is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShardExplainInfo {
    /// All of it in a sentence or two.
    #[schema(
        example = "Shard 7 is led by node 3, which is expected to peak at 74 % of its capacity. No plan of the last 20 ticks proposed to move it."
    )]
    pub summary: String,
    /// Now, on the control clock, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub at: InstantMs,
    /// Which.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// What the loop may do in its keyspace by itself.
    #[schema(value_type = String, example = "auto")]
    pub mode: Mode,
    /// Load units per second of its leader now.
    #[schema(example = 31.4)]
    pub load: f32,
    /// The highest median of that within the horizon.
    #[schema(example = 55.0)]
    pub peak: f32,
    /// Start of the step of that, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_316_000_000_u64)]
    pub peak_at: InstantMs,
    /// The nodes of its replicas, the leader's first.
    pub nodes: Vec<OutlookInfo>,
    /// Whether it is moving now.
    #[schema(example = false)]
    pub moving: bool,
    /// Until when it rests after its last move; null: it need not.
    #[schema(value_type = Option<u64>, example = json!(null))]
    pub rests_until: Option<InstantMs>,
    /// Its last migrations, the newest first.
    pub migrations: Vec<MigrationInfo>,
    /// Ticks whose plans were looked at.
    #[schema(example = 20)]
    pub ticks: u64,
    /// What these plans proposed for it, the newest first.
    pub proposed: Vec<ProposedInfo>,
    /// What could be done with its leader now: what is allowed first, by the room there is.
    pub considered: Vec<ConsideredInfo>,
    /// More than these could be considered.
    #[schema(example = 0)]
    pub left_out: u64,
}

/// A shard's part of its node's peak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartInfo {
    /// Which.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// In shares of the node's capacity.
    #[schema(example = 0.21)]
    pub share: f32,
}

/// What becomes of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeExplainInfo {
    /// All of it in a sentence or two.
    #[schema(example = "Node 3 is at 41 % of its capacity and expected to peak at 74 %.")]
    pub summary: String,
    /// The node.
    pub outlook: OutlookInfo,
    /// Shards it leads.
    #[schema(example = 17)]
    pub leaders: u64,
    /// Shards it follows.
    #[schema(example = 35)]
    pub followers: u64,
    /// The shards that put most on it at its peak, the heaviest first.
    pub heaviest: Vec<PartInfo>,
    /// Moves under way to it or from it.
    #[schema(example = 1)]
    pub moving: u64,
    /// Ticks whose plans were looked at.
    #[schema(example = 20)]
    pub ticks: u64,
    /// What these plans proposed to bring to it or take from it, the newest first.
    pub proposed: Vec<ProposedInfo>,
}

impl ShardExplainInfo {
    /// Puts it into words.
    pub fn summarise(&mut self) {
        let shard = self.shard;
        let mut said = match self.nodes.first() {
            Some(node) => format!(
                "Shard {shard} is led by node {}, which is at {} of its capacity and expected to peak at {}.",
                node.node,
                percent(node.now),
                percent(node.peak)
            ),
            None => format!("Shard {shard} has no node."),
        };
        if self.moving {
            said += " It is moving now.";
        } else if let Some(last) = self.migrations.first() {
            said +=
                &format!(" Its last migration, {} to {}: {}.", last.from, last.to, last.reason.trim_end_matches('.'));
        }
        let refused: Vec<&ProposedInfo> = self.proposed.iter().filter(|p| p.judged.verdict == "refused").collect();
        let held = self.proposed.iter().find(|p| p.judged.verdict == "held");
        if let Some(last) = refused.first() {
            let why = last.judged.detail.as_deref().unwrap_or("by a rule");
            said += &format!(
                " In the last {} ticks moving it was proposed and refused {} times, at last: {why}.",
                self.ticks,
                refused.len()
            );
        } else if let Some(held) = held {
            let why = if held.judged.rule == Some(Rule::GainUnproven) {
                "moves by forecast have not been shown to pay in its keyspace (`isobar gains`)".to_owned()
            } else {
                format!("its keyspace's mode is {}", word(self.mode))
            };
            said += &format!(" A move of it is planned and not carried out: {why}.");
        } else if self.proposed.is_empty() {
            said += &format!(" No plan of the last {} ticks proposed to move it.", self.ticks);
        }
        if let Some(until) = self.rests_until {
            let minutes = until.since_ms(self.at).div_ceil(60_000);
            said += &format!(" It has moved lately and rests for another {minutes} min.");
        } else if let Some(best) = self.considered.iter().find(|c| c.judged.verdict != "refused") {
            said += &format!(
                " The best that could be done: {}{}, which would then peak at {}.",
                best.judged.proposed.action,
                best.judged.proposed.to.map_or_else(String::new, |to| format!(" to node {to}")),
                percent(best.target_peak)
            );
        } else if let Some(first) = self.considered.first() {
            let why = first.judged.detail.as_deref().unwrap_or("by a rule");
            said += &format!(" Nothing else is allowed now: {why}.");
        }
        self.summary = said;
    }
}

impl NodeExplainInfo {
    /// Puts it into words.
    pub fn summarise(&mut self) {
        let OutlookInfo { node, state, now, peak, .. } = &self.outlook;
        let mut said = match state {
            NodeState::Up => format!("Node {node} is at {} of its capacity", percent(*now)),
            NodeState::Draining => format!("Node {node} is being emptied; it is at {} of its capacity", percent(*now)),
            NodeState::Suspect | NodeState::Down => {
                format!("Node {node} does not answer; it was given {}", percent(*now))
            }
        };
        said += &format!(" and expected to peak at {}.", percent(*peak));
        if let Some(heaviest) = self.heaviest.first() {
            said += &format!(
                " It leads {} shards and follows {}; the heaviest, shard {}, makes {} of that.",
                self.leaders,
                self.followers,
                heaviest.shard,
                percent(heaviest.share)
            );
        }
        let accepted = self.proposed.iter().filter(|p| p.judged.verdict == "accepted").count();
        let refused = self.proposed.iter().filter(|p| p.judged.verdict == "refused").count();
        said += &match (accepted, refused) {
            (0, 0) => format!(" No plan of the last {} ticks moved anything to it or from it.", self.ticks),
            _ => format!(
                " In the last {} ticks {accepted} moves to or from it were begun and {refused} refused.",
                self.ticks
            ),
        };
        self.summary = said;
    }
}

fn percent(share: f32) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Advise => "advise",
        Mode::Approve => "approve",
        Mode::Auto => "auto",
    }
}

/// What the last plans proposed of some moves, the newest first, and how many plans that were.
async fn proposed(state: &ApiState, concerns: impl Fn(&MoveInfo) -> bool) -> Result<(u64, Vec<ProposedInfo>), Problem> {
    let records = state.backend.decisions(None, TICKS).await?;
    let ticks = records.len() as u64;
    let of = |record: DecisionRecord| {
        let (tick, at) = (record.tick, record.now);
        record.moves.into_iter().map(move |m| ProposedInfo { tick, at, judged: m.into() })
    };
    let found = records.into_iter().flat_map(of).filter(|found| concerns(&found.judged.proposed));
    Ok((ticks, found.take(PROPOSED).collect()))
}

/// Explain a shard
///
/// Why it is where it is, what the last plans proposed for it, and what could be done with it now, each with the rule that forbids it or what it would
/// make of the nodes.
#[utoipa::path(
    get, path = "/v1/shards/{id}/explain", tag = "shards", params(("id" = u64, Path, example = 7)),
    responses((status = 200, description = "Why", body = ShardExplainInfo), (status = 404, description = "No such shard", body = Problem))
)]
pub(crate) async fn shard(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
) -> Result<axum::Json<ShardExplainInfo>, Problem> {
    let (id, map) = (ShardId(id), state.backend.shard_map());
    let mut told = state.backend.explain_shard(id).await?;
    let migrations = state.backend.migrations().await?;
    let of_shard = migrations.iter().rev().filter(|migration| migration.shard == id).take(MIGRATIONS);
    told.migrations = of_shard.map(|migration| MigrationInfo::new(&map, migration)).collect();
    (told.ticks, told.proposed) = proposed(&state, |m| m.shard == id).await?;
    told.summarise();
    Ok(axum::Json(told))
}

/// Explain a node
///
/// What it is about to carry, who puts that on it, and what the last plans did about it.
#[utoipa::path(
    get, path = "/v1/nodes/{id}/explain", tag = "nodes", params(("id" = u64, Path, example = 3)),
    responses((status = 200, description = "What becomes of it", body = NodeExplainInfo), (status = 404, description = "No such node", body = Problem))
)]
pub(crate) async fn node(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
) -> Result<axum::Json<NodeExplainInfo>, Problem> {
    let id = NodeId(id);
    let mut told = state.backend.explain_node(id).await?;
    let concerns = |m: &MoveInfo| m.from == Some(id) || m.to == Some(id);
    (told.ticks, told.proposed) = proposed(&state, concerns).await?;
    told.summarise();
    Ok(axum::Json(told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{Action, CheckedMove, Move, Verdict};

    fn judged(verdict: Verdict) -> JudgedMove {
        let action = Action::MoveReplica { source: NodeId(3), target: NodeId(5) };
        let (urgency, start_by, gain, reason) = (0.5, InstantMs(0), 1.0, String::new());
        CheckedMove { proposed: Move { shard: ShardId(7), action, urgency, start_by, gain, reason }, verdict }.into()
    }

    fn told() -> ShardExplainInfo {
        let outlook = OutlookInfo {
            node: NodeId(3),
            state: NodeState::Up,
            now: 0.4,
            peak: 0.75,
            peak_at: InstantMs(0),
            feared: 1.0,
        };
        ShardExplainInfo {
            summary: String::new(),
            at: InstantMs(1_000_000),
            shard: ShardId(7),
            mode: Mode::Advise,
            load: 1.0,
            peak: 2.0,
            peak_at: InstantMs(0),
            nodes: vec![outlook],
            moving: false,
            rests_until: None,
            migrations: vec![],
            ticks: 30,
            proposed: vec![],
            considered: vec![],
            left_out: 0,
        }
    }

    fn summary(mut told: ShardExplainInfo) -> String {
        told.summarise();
        told.summary
    }

    #[test]
    fn each_reason_has_its_sentence() {
        let quiet = summary(told());
        assert_eq!(
            quiet,
            "Shard 7 is led by node 3, which is at 40 % of its capacity and expected to peak at 75 %. No plan of the last 30 ticks proposed to move it."
        );
        let detail = "node 5 would be at 97 % now".to_owned();
        let refused = Verdict::Refused { rule: Rule::CapacityHeadroom, detail };
        let proposed = ProposedInfo { tick: 9, at: InstantMs(0), judged: judged(refused.clone()) };
        let text = summary(ShardExplainInfo { proposed: vec![proposed], ..told() });
        assert!(text.contains("proposed and refused 1 times, at last: node 5 would be at 97 % now."), "{text}");
        let held = ProposedInfo { tick: 9, at: InstantMs(0), judged: judged(Verdict::Held { rule: Rule::Mode }) };
        let text = summary(ShardExplainInfo { proposed: vec![held], ..told() });
        assert!(text.contains("planned and not carried out: its keyspace's mode is advise"), "{text}");
        let unproven = Verdict::Held { rule: Rule::GainUnproven };
        let held = ProposedInfo { tick: 9, at: InstantMs(0), judged: judged(unproven) };
        let text = summary(ShardExplainInfo { proposed: vec![held], ..told() });
        assert!(text.contains("have not been shown to pay"), "{text}");
        let text = summary(ShardExplainInfo { rests_until: Some(InstantMs(1_000_000 + 90_000)), ..told() });
        assert!(text.contains("rests for another 2 min"), "{text}");
        let considered = |verdict| ConsideredInfo { judged: judged(verdict), target_peak: 0.5, source_peak: 0.3 };
        let text = summary(ShardExplainInfo { considered: vec![considered(Verdict::Accepted)], ..told() });
        assert!(text.contains("move-replica to node 5, which would then peak at 50 %"), "{text}");
        let text = summary(ShardExplainInfo { considered: vec![considered(refused)], ..told() });
        assert!(text.contains("Nothing else is allowed now: node 5 would be at 97 %"), "{text}");
        assert!(summary(ShardExplainInfo { moving: true, ..told() }).contains("It is moving now."));
    }
}
