//! `/v1/decisions`: what each tick did, and why.

use crate::ApiState;
use crate::number;
use crate::problem::Problem;
use axum::extract::{Path, Query, State};
use isobar_model::{
    Action, CheckedMove, DecisionRecord, Digest, EvaluationRecord, InstantMs, Move, NodeId, Role, Rule, ShardId,
    Verdict,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Records where the caller names no limit.
const LIMIT: u32 = 20;
/// Most records in one answer.
const MAX_LIMIT: u32 = 500;

/// A proposed move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MoveInfo {
    /// Which shard.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// `move-replica`, `transfer-leader`, `add-replica`, `remove-replica`, `split`, `merge-with`.
    #[schema(example = "move-replica")]
    pub action: String,
    /// From which node, where one gives something up.
    #[schema(value_type = Option<u64>, example = 3)]
    pub from: Option<NodeId>,
    /// To which node, where one takes something.
    #[schema(value_type = Option<u64>, example = 5)]
    pub to: Option<NodeId>,
    /// The other shard of a merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, example = json!(null))]
    pub with: Option<ShardId>,
    /// 0 can wait, 1 at once.
    #[schema(example = 0.8)]
    pub urgency: Option<f32>,
    /// Latest start, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_315_100_000_u64)]
    pub start_by: InstantMs,
    /// Expected fall of overload over the horizon, in load units times seconds.
    #[schema(example = 5400.0)]
    pub gain: Option<f32>,
    /// Why.
    #[schema(example = "node 3 is forecast 12 % over its capacity in 25 min")]
    pub reason: String,
}

impl From<Move> for MoveInfo {
    fn from(m: Move) -> Self {
        let (action, from, to, with) = match m.action {
            Action::MoveReplica { source, target } => ("move-replica", Some(source), Some(target), None),
            Action::TransferLeader(to) => ("transfer-leader", None, Some(to), None),
            Action::AddReplica(to) => ("add-replica", None, Some(to), None),
            Action::RemoveReplica(from) => ("remove-replica", Some(from), None, None),
            Action::Split => ("split", None, None, None),
            Action::MergeWith(other) => ("merge-with", None, None, Some(other)),
        };
        Self {
            shard: m.shard,
            action: action.to_owned(),
            from,
            to,
            with,
            urgency: number::known(m.urgency),
            start_by: m.start_by,
            gain: number::known(m.gain),
            reason: m.reason,
        }
    }
}

/// A move with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JudgedMove {
    /// As proposed.
    #[serde(flatten)]
    pub proposed: MoveInfo,
    /// `accepted`, `held` (shown, or waiting for an operator) or `refused`.
    #[schema(example = "refused")]
    pub verdict: String,
    /// The rule that held or refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "capacity-headroom")]
    pub rule: Option<Rule>,
    /// With what figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "node 5 would be at 0.97 of its capacity, 0.85 at most")]
    pub detail: Option<String>,
}

/// One call of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationInfo {
    /// `forecast` or `place`.
    #[schema(value_type = String, example = "place")]
    pub role: Role,
    /// The policy's name; `builtin` where the native one answered.
    #[schema(example = "predictive")]
    pub policy: String,
    /// Its revision; null for the native one.
    #[schema(value_type = Option<String>, example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    pub revision: Option<Digest>,
    /// Digest of the input.
    #[schema(value_type = String, example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    pub input: Digest,
    /// Digest of the output.
    #[schema(value_type = String, example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    pub output: Digest,
    /// Fuel burnt.
    #[schema(example = 1_800_000)]
    pub fuel: u64,
    /// Wall time, microseconds.
    #[schema(example = 740)]
    pub wall_us: u64,
    /// Why the bound policy did not answer, where the native one did instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub failure: Option<String>,
}

/// One tick of the control loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionInfo {
    /// Its number.
    #[schema(example = 4021)]
    pub tick: u64,
    /// The control clock, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub now: InstantMs,
    /// The seed the policies were given.
    #[schema(example = 99)]
    pub seed: u32,
    /// The calls made.
    pub evaluations: Vec<EvaluationInfo>,
    /// The plan, judged.
    pub moves: Vec<JudgedMove>,
    /// The policy's notes on what it did not do.
    #[schema(example = json!(["node 1 is over its capacity, but no other has room"]))]
    pub notes: Vec<String>,
}

impl From<EvaluationRecord> for EvaluationInfo {
    fn from(record: EvaluationRecord) -> Self {
        let EvaluationRecord { role, policy, revision, config: _, input, output, fuel, wall_us, failure } = record;
        Self { role, policy, revision, input, output, fuel, wall_us, failure }
    }
}

impl From<CheckedMove> for JudgedMove {
    fn from(m: CheckedMove) -> Self {
        let (verdict, rule, detail) = match m.verdict {
            Verdict::Accepted => ("accepted", None, None),
            Verdict::Held { rule } => ("held", Some(rule), None),
            Verdict::Refused { rule, detail } => ("refused", Some(rule), Some(detail)),
        };
        Self { proposed: m.proposed.into(), verdict: verdict.to_owned(), rule, detail }
    }
}

impl From<DecisionRecord> for DecisionInfo {
    fn from(record: DecisionRecord) -> Self {
        Self {
            tick: record.tick,
            now: record.now,
            seed: record.seed,
            evaluations: record.evaluations.into_iter().map(EvaluationInfo::from).collect(),
            moves: record.moves.into_iter().map(JudgedMove::from).collect(),
            notes: record.notes,
        }
    }
}

/// Which records to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DecisionQuery {
    /// Only ticks before this one.
    #[param(example = 4021)]
    pub before: Option<u64>,
    /// Most records, 1 to 500; 20 by default.
    #[param(example = 5)]
    pub limit: Option<u32>,
}

/// List decisions
#[utoipa::path(
    get, path = "/v1/decisions", tag = "decisions", params(DecisionQuery),
    responses((status = 200, description = "Newest first", body = Vec<DecisionInfo>), (status = 400, description = "A parameter can't be read", body = Problem))
)]
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<DecisionQuery>,
) -> Result<axum::Json<Vec<DecisionInfo>>, Problem> {
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is a number from 1 to {MAX_LIMIT}; go on with `before`.")));
    }
    let records = state.backend.decisions(query.before, limit).await?;
    Ok(axum::Json(records.into_iter().map(DecisionInfo::from).collect()))
}

/// Show the decision of a tick
#[utoipa::path(
    get, path = "/v1/decisions/{tick}", tag = "decisions", params(("tick" = u64, Path, example = 4021)),
    responses((status = 200, description = "The decision", body = DecisionInfo), (status = 404, description = "No such tick, or no longer kept", body = Problem))
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(tick): Path<u64>,
) -> Result<axum::Json<DecisionInfo>, Problem> {
    let newest_first = state.backend.decisions(tick.checked_add(1), 1).await?;
    let record = newest_first.into_iter().find(|record| record.tick == tick).ok_or_else(|| {
        Problem::not_found(format!("no decision of tick {tick} is kept: see /v1/decisions for those that are."))
    })?;
    Ok(axum::Json(record.into()))
}
