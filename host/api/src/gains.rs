//! `/v1/gains` and `/v1/keyspaces/{name}/gains`: whether moves by forecast pay, and what becomes of them where they do not.

use crate::ApiState;
use crate::body::Json;
use crate::keyspaces::named;
use crate::problem::Problem;
use axum::extract::{Path, State};
use isobar_model::{InstantMs, KeyspaceId, ShardMap};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// What the gain ledger makes of moves by forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GainStanding {
    /// Too little was seen to say anything.
    Learning,
    /// The lower bound of the gain is above zero.
    Pays,
    /// They made no difference: there was nothing to gain.
    NothingToGain,
    /// The gain may as well be chance.
    Unproven,
    /// The upper bound of the gain is below zero.
    Loses,
}

/// What one placement came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorldInfo {
    /// `static`, `packed` and `reactive`: without forecast; `predictive`: by the policy; `actual`: where replicas really were.
    #[schema(example = "reactive")]
    pub placement: String,
    /// Overload: the sum over nodes and time of max(load − capacity, 0) / capacity, in seconds.
    #[schema(example = 5_210.0)]
    pub overload_node_s: f64,
    /// Leader transfers.
    #[schema(example = 31)]
    pub leader_transfers: u64,
    /// Moves of data.
    #[schema(example = 4)]
    pub data_moves: u64,
    /// Overload, and the price of the moves.
    #[schema(example = 5_296.0)]
    pub cost_node_s: f64,
}

/// The gain of moves by forecast over the best placement without, moves paid for, in node-seconds of overload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GainInfo {
    /// The placement without forecast that cost least.
    #[schema(example = "reactive")]
    pub against: String,
    /// The gain.
    #[schema(example = 1_640.0)]
    pub node_s: f64,
    /// It is above this with 95 % of confidence …
    #[schema(example = 630.0)]
    pub lower_node_s: f64,
    /// … and below this.
    #[schema(example = 2_700.0)]
    pub upper_node_s: f64,
    /// The gain as a share of what that placement cost; null: it cost nothing.
    #[schema(example = 0.31)]
    pub share: Option<f64>,
    /// The same of the lower bound.
    #[schema(example = 0.12)]
    pub lower_share: Option<f64>,
}

/// The book of one keyspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GainsInfo {
    /// The keyspace's number.
    #[schema(value_type = u32, example = 1)]
    pub id: KeyspaceId,
    /// Its name.
    #[schema(example = "tenants")]
    pub keyspace: String,
    /// What it comes to, in a sentence or two.
    #[schema(
        example = "Prediction removed 31 % (at least 12 %) of the overload that reacting would have left, in 9.0 days."
    )]
    pub summary: String,
    /// What it comes to.
    pub standing: GainStanding,
    /// Whether the policy is to step back where its book speaks against it.
    #[schema(example = true)]
    pub abstain: bool,
    /// Whether it does now: its moves are shown only, and the native placer plans by what is measured.
    #[schema(example = false)]
    pub abstaining: bool,
    /// Whether the policy's moves are carried out; else `predictive` is what they would have made.
    #[schema(example = true)]
    pub live: bool,
    /// Since when `static` and `packed` stand, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_375_660_800_000_u64)]
    pub anchored: InstantMs,
    /// Start of the time looked at; null: no block of it is whole yet.
    #[schema(value_type = Option<u64>, example = 1_375_660_800_000_u64)]
    pub since: Option<InstantMs>,
    /// Whole blocks in it.
    #[schema(example = 36)]
    pub blocks: u64,
    /// Blocks wanted before anything is said.
    #[schema(example = 8)]
    pub least_blocks: u64,
    /// Length of a block, milliseconds.
    #[schema(example = 21_600_000)]
    pub block_ms: u64,
    /// Seconds of load laid on the placements in these blocks.
    #[schema(example = 777_600.0)]
    pub seen_s: f64,
    /// What each placement came to in these blocks.
    pub placements: Vec<WorldInfo>,
    /// What each placement came to in the block under way.
    pub under_way: Vec<WorldInfo>,
    /// The gain; null: too few blocks.
    pub gain: Option<GainInfo>,
}

/// Whether a policy is to step back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAbstain {
    /// Whether moves by forecast stop where they are not shown to pay.
    #[schema(example = false)]
    pub abstain: bool,
}

impl GainsInfo {
    /// Puts it into words.
    pub fn summarise(&mut self) {
        let days = format!("in {:.1} days", self.seen_s / 86_400.0);
        let mut said = match (&self.gain, self.standing) {
            (None, _) => format!(
                "Learning: {} of {} blocks of {} h are whole; nothing speaks against moves by forecast yet.",
                self.blocks,
                self.least_blocks,
                self.block_ms / 3_600_000
            ),
            (Some(gain), standing) => told(gain, standing, &days),
        };
        if self.abstaining {
            said += " Its moves are held, and the native placer moves by what is measured, until they pay.";
        } else if !self.live && self.gain.is_some() {
            said += " Its moves are not carried out now: this is what they would have made.";
        } else if !self.abstain && self.speaks_against() {
            said += " They go on all the same, as an operator wants it.";
        }
        self.summary = said;
    }

    fn speaks_against(&self) -> bool {
        match self.standing {
            GainStanding::Unproven | GainStanding::Loses => true,
            GainStanding::Learning | GainStanding::Pays | GainStanding::NothingToGain => false,
        }
    }
}

fn told(gain: &GainInfo, standing: GainStanding, days: &str) -> String {
    let baseline = match gain.against.as_str() {
        "static" => "leaving replicas where they were",
        "packed" => "one placement packed on recorded load",
        _ => "reacting",
    };
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let removed = match gain.share {
        Some(share) if share >= 0.0 => {
            format!("removed {} of the overload that {baseline} would have left, {days}", percent(share))
        }
        Some(share) => {
            format!("cost {} more overload and moves than {baseline} would have, {days}", percent(-share))
        }
        None => format!("cost {:.0} node-seconds where {baseline} would have cost nothing, {days}", -gain.node_s),
    };
    match (standing, gain.share.zip(gain.lower_share)) {
        (GainStanding::Pays, Some((share, lower))) => format!(
            "Prediction removed {} (at least {}) of the overload that {baseline} would have left, {days}.",
            percent(share),
            percent(lower)
        ),
        (GainStanding::NothingToGain, _) => format!("Nothing to gain: prediction made no difference, {days}."),
        (GainStanding::Learning, _) => {
            format!("Learning: prediction made a difference in too few blocks to say more, {days}.")
        }
        (GainStanding::Unproven, _) => format!("Not proven: prediction {removed}, which may as well be chance."),
        (GainStanding::Loses, _) => format!("It does not pay: prediction {removed}."),
        (GainStanding::Pays, None) => format!("Prediction {removed}."),
    }
}

/// Show whether moves by forecast pay, by keyspace
///
/// Each closed step's load is laid on the placements that there would have been without forecast; their overload, and the price of their moves, is
/// compared with what the policy made of it.
#[utoipa::path(
    get, path = "/v1/gains", tag = "keyspaces",
    responses((status = 200, description = "The books of all keyspaces that policies see", body = Vec<GainsInfo>), (status = 503, description = "No leader for now", body = Problem))
)]
pub(crate) async fn list(State(state): State<Arc<ApiState>>) -> Result<axum::Json<Vec<GainsInfo>>, Problem> {
    Ok(axum::Json(state.backend.gains().await?))
}

/// Show whether moves by forecast pay in a keyspace
#[utoipa::path(
    get, path = "/v1/keyspaces/{name}/gains", tag = "keyspaces", params(("name" = String, Path, example = "tenants")),
    responses(
        (status = 200, description = "Its book", body = GainsInfo),
        (status = 404, description = "No such keyspace, or no book is kept of it", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(name): Path<String>,
) -> Result<axum::Json<GainsInfo>, Problem> {
    let map = state.backend.shard_map();
    book(&state, &map, &name).await.map(axum::Json)
}

/// Say whether moves by forecast stop in a keyspace where they are not shown to pay
///
/// They do unless told otherwise. Whatever is said here, the book goes on.
#[utoipa::path(
    put, path = "/v1/keyspaces/{name}/gains", tag = "keyspaces", params(("name" = String, Path, example = "tenants")), request_body = SetAbstain,
    responses(
        (status = 200, description = "So it is", body = SetAbstain),
        (status = 400, description = "No JSON", body = Problem),
        (status = 404, description = "No such keyspace", body = Problem),
    )
)]
pub(crate) async fn set_abstain(
    State(state): State<Arc<ApiState>>,
    Path(name): Path<String>,
    Json(wanted): Json<SetAbstain>,
) -> Result<axum::Json<SetAbstain>, Problem> {
    let map = state.backend.shard_map();
    state.backend.set_abstain(named(&map, &name)?.id, wanted.abstain).await?;
    Ok(axum::Json(wanted))
}

/// Begin the book of a keyspace from nothing
///
/// All placements are set anew at the real one with the next step; a policy that stepped back moves again until it is known better.
#[utoipa::path(
    delete, path = "/v1/keyspaces/{name}/gains", tag = "keyspaces", params(("name" = String, Path, example = "tenants")),
    responses((status = 204, description = "Begun anew"), (status = 404, description = "No such keyspace", body = Problem))
)]
pub(crate) async fn reset(
    State(state): State<Arc<ApiState>>,
    Path(name): Path<String>,
) -> Result<axum::http::StatusCode, Problem> {
    let map = state.backend.shard_map();
    state.backend.reset_gains(named(&map, &name)?.id).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

async fn book(state: &ApiState, map: &ShardMap, name: &str) -> Result<GainsInfo, Problem> {
    let keyspace = named(map, name)?;
    let found = state.backend.gains().await?.into_iter().find(|book| book.id == keyspace.id);
    found.ok_or_else(|| {
        Problem::not_found(format!(
            "no book is kept of keyspace {name} yet: it begins with the first step that closes, and not in mode `observe`."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(against: &str, share: Option<f64>) -> GainInfo {
        let (node_s, lower_node_s, upper_node_s) = (-14.0, -20.0, -8.0);
        GainInfo {
            against: against.into(),
            node_s,
            lower_node_s,
            upper_node_s,
            share,
            lower_share: share.map(|s| s - 0.19),
        }
    }

    fn summary(standing: GainStanding, gain: Option<GainInfo>, change: impl FnOnce(&mut GainsInfo)) -> String {
        let mut told = GainsInfo {
            id: KeyspaceId(1),
            keyspace: "tenants".into(),
            summary: String::new(),
            standing,
            abstain: true,
            abstaining: false,
            live: true,
            anchored: InstantMs(0),
            since: Some(InstantMs(0)),
            blocks: 5,
            least_blocks: 8,
            block_ms: 21_600_000,
            seen_s: 777_600.0,
            placements: Vec::new(),
            under_way: Vec::new(),
            gain,
        };
        change(&mut told);
        told.summarise();
        told.summary
    }

    #[test]
    fn each_standing_has_its_sentence() {
        assert_eq!(
            summary(GainStanding::Learning, None, |_| ()),
            "Learning: 5 of 8 blocks of 6 h are whole; nothing speaks against moves by forecast yet."
        );
        assert_eq!(
            summary(GainStanding::Pays, Some(gain("reactive", Some(0.31))), |_| ()),
            "Prediction removed 31 % (at least 12 %) of the overload that reacting would have left, in 9.0 days."
        );
        let abstaining = |told: &mut GainsInfo| (told.abstaining, told.live) = (true, false);
        assert_eq!(
            summary(GainStanding::Unproven, Some(gain("packed", Some(0.03))), abstaining),
            "Not proven: prediction removed 3 % of the overload that one placement packed on recorded load would have left, in 9.0 days, which may as well be chance. Its moves are held, and the native placer moves by what is measured, until they pay."
        );
        assert_eq!(
            summary(GainStanding::Loses, Some(gain("static", None)), |told| told.abstain = false),
            "It does not pay: prediction cost 14 node-seconds where leaving replicas where they were would have cost nothing, in 9.0 days. They go on all the same, as an operator wants it."
        );
        assert_eq!(
            summary(GainStanding::NothingToGain, Some(gain("static", Some(0.0))), |told| told.live = false),
            "Nothing to gain: prediction made no difference, in 9.0 days. Its moves are not carried out now: this is what they would have made."
        );
    }
}
