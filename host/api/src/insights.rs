//! `/v1/insights`.

use crate::ApiState;
use crate::number;
use crate::problem::Problem;
use axum::extract::{Query, State};
use isobar_model::{Cluster, Driver, DriverKind, Group, InstantMs, Link, ShardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Of which shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InsightsQuery {
    /// Only what concerns this shard; all where left out.
    #[param(value_type = Option<u64>, example = 7)]
    pub shard: Option<ShardId>,
}

/// One shard's load follows another's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkInfo {
    /// Who follows.
    #[schema(value_type = u64, example = 7)]
    pub follower: ShardId,
    /// Who leads.
    #[schema(value_type = u64, example = 3)]
    pub leader: ShardId,
    /// By how many steps.
    #[schema(example = 5)]
    pub lag_steps: u32,
    /// Correlation of both shards' surprises at that lag, −1 to 1.
    #[schema(example = 0.61)]
    pub strength: Option<f32>,
    /// Share of the follower's surprises that this leader tells, beyond its stronger leaders, 0 to 1.
    #[schema(example = 0.37)]
    pub gain: Option<f32>,
}

/// Shards that move together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TogetherInfo {
    /// The busiest first: each moves with that one.
    #[schema(value_type = Vec<u64>, example = json!([3, 9]))]
    pub shards: Vec<ShardId>,
    /// Mean correlation of their surprises with those of the first.
    #[schema(example = 0.8)]
    pub strength: Option<f32>,
}

/// Shards with the same shape of day or week.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClusterInfo {
    /// The busiest first.
    #[schema(value_type = Vec<u64>, example = json!([1, 2, 3, 7]))]
    pub shards: Vec<ShardId>,
    /// Their share of the load of all shards compared, 0 to 1.
    #[schema(example = 0.42)]
    pub load_share: Option<f32>,
    /// Usual load by hour relative to its mean: 168 values from Monday 00:00 UTC on, or 24 where less than two weeks are known.
    #[schema(example = json!([0.4, 0.3, 1.8]))]
    pub profile: Vec<Option<f32>>,
}

/// What goes with a shard's load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DriverInfo {
    /// Whose load.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// `write-share` (0 to 1), `bytes-per-op` or `key-skew` (0 to 1).
    #[schema(value_type = String, example = "write-share")]
    pub kind: DriverKind,
    /// Correlation of the surprises of both in the same step, −1 to 1.
    #[schema(example = 0.5)]
    pub strength: Option<f32>,
    /// Load units per second that come with one unit more of the figure.
    #[schema(example = 12.5)]
    pub slope: Option<f32>,
    /// How alike the two are by hour of the day or week, −1 to 1; null: one of them has no shape that repeats.
    #[schema(example = 0.9)]
    pub by_hour: Option<f32>,
}

/// What drives what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InsightsInfo {
    /// Start of the time looked at, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_375_660_800_000_u64)]
    pub from: InstantMs,
    /// Its end.
    #[schema(value_type = u64, example = 1_376_870_400_000_u64)]
    pub until: InstantMs,
    /// Length of a step, milliseconds.
    #[schema(example = 300_000)]
    pub step_ms: u32,
    /// Shards compared.
    #[schema(example = 128)]
    pub compared: usize,
    /// Shards left out: less busy than the most that are compared, or known for less than half of that time.
    #[schema(example = 0)]
    pub omitted: usize,
    /// Who follows whom, by follower, the leader that tells most first.
    pub links: Vec<LinkInfo>,
    /// Who moves together.
    pub groups: Vec<TogetherInfo>,
    /// Who has the same shape, those with most load first.
    pub clusters: Vec<ClusterInfo>,
    /// Shards compared that are in no cluster.
    #[schema(example = 4)]
    pub unclustered: usize,
    /// What goes with load.
    pub drivers: Vec<DriverInfo>,
}

/// Show what drives what
#[utoipa::path(
    get, path = "/v1/insights", tag = "forecasts", params(InsightsQuery),
    responses(
        (status = 200, description = "Leaders and followers, groups, clusters and drivers, as the last search found them", body = InsightsInfo),
        (status = 400, description = "A parameter can't be read", body = Problem),
        (status = 503, description = "No search has ended yet", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<InsightsQuery>,
) -> Result<axum::Json<InsightsInfo>, Problem> {
    let found = state.backend.insights().await?;
    let wanted = |shards: &[ShardId]| query.shard.is_none_or(|shard| shards.contains(&shard));
    let links = found.links.into_iter().filter(|link| wanted(&[link.follower, link.leader]));
    let groups = found.groups.into_iter().filter(|group| wanted(&group.shards));
    let clusters = found.clusters.into_iter().filter(|cluster| wanted(&cluster.shards));
    let drivers = found.drivers.into_iter().filter(|driver| wanted(&[driver.shard]));
    Ok(axum::Json(InsightsInfo {
        from: found.from,
        until: found.until,
        step_ms: found.step_ms,
        compared: found.compared,
        omitted: found.omitted,
        links: links.map(LinkInfo::from).collect(),
        groups: groups.map(TogetherInfo::from).collect(),
        clusters: clusters.map(ClusterInfo::from).collect(),
        unclustered: found.unclustered,
        drivers: drivers.map(DriverInfo::from).collect(),
    }))
}

impl From<Link> for LinkInfo {
    fn from(link: Link) -> Self {
        let Link { follower, leader, lag_steps, strength, gain } = link;
        Self { follower, leader, lag_steps, strength: number::known(strength), gain: number::known(gain) }
    }
}

impl From<Group> for TogetherInfo {
    fn from(group: Group) -> Self {
        Self { shards: group.shards, strength: number::known(group.strength) }
    }
}

impl From<Cluster> for ClusterInfo {
    fn from(cluster: Cluster) -> Self {
        let Cluster { shards, load_share, profile } = cluster;
        Self {
            shards,
            load_share: number::known(load_share),
            profile: profile.into_iter().map(number::known).collect(),
        }
    }
}

impl From<Driver> for DriverInfo {
    fn from(driver: Driver) -> Self {
        let Driver { shard, kind, strength, slope, by_hour } = driver;
        let by_hour = by_hour.and_then(number::known);
        Self { shard, kind, strength: number::known(strength), slope: number::known(slope), by_hour }
    }
}
