//! What drives what: which shards lead others, which move together, which share a shape, and what goes with their load.

use crate::ids::{InstantMs, ShardId};
use serde::{Deserialize, Serialize};

/// The most links that one follower may have: more leaders than these add next to nothing.
pub const MAX_LINKS_PER_FOLLOWER: usize = 4;

/// The most clusters that shards are told apart into. QB5000 found that five hold over 95 % of the load of one application; a cluster of machines
/// serves many.
pub const MAX_CLUSTERS: usize = 32;

/// One shard's load follows another's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Who follows.
    pub follower: ShardId,
    /// Who leads.
    pub leader: ShardId,
    /// By how many steps, at least 1.
    pub lag_steps: u32,
    /// Correlation of the follower's surprises with the leader's at that lag, −1 to 1; negative: the one falls when the other rises.
    pub strength: f32,
    /// Share of what the follower's own past does not explain that this leader does, beyond the follower's stronger leaders; 0 to 1.
    pub gain: f32,
}

/// Shards that move together, the busiest first: each with that one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Two or more.
    pub shards: Vec<ShardId>,
    /// Mean correlation of their surprises with those of the first.
    pub strength: f32,
}

/// Shards with the same shape of day or week.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// The busiest first.
    pub shards: Vec<ShardId>,
    /// Their share of the load of all shards compared, 0 to 1.
    pub load_share: f32,
    /// Usual load by hour, relative to its mean: 168 values from Monday 00:00 UTC on, or 24 where less than two weeks are known.
    pub profile: Vec<f32>,
}

/// What may go with a shard's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriverKind {
    /// Writes among all operations, 0 to 1.
    WriteShare,
    /// Bytes read and written per operation.
    BytesPerOp,
    /// How unevenly the shard's keys are used, 0 to 1.
    KeySkew,
}

/// A figure that goes with a shard's load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Driver {
    /// Whose load.
    pub shard: ShardId,
    /// What goes with it.
    pub kind: DriverKind,
    /// Correlation of the surprises of both in the same step, −1 to 1.
    pub strength: f32,
    /// Load units per second that come with one unit more of the figure, as surprises go.
    pub slope: f32,
    /// How alike the two are by hour of the day or week, −1 to 1; none: one of them has no shape that repeats.
    pub by_hour: Option<f32>,
}

/// What forecasters are told of shards together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Relations {
    /// Who follows whom: of one follower at most [`MAX_LINKS_PER_FOLLOWER`].
    pub links: Vec<Link>,
    /// Shards with the same shape of day or week: at most [`MAX_CLUSTERS`], a shard in one at most.
    pub clusters: Vec<Vec<ShardId>>,
}

/// What drives what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Insights {
    /// Start of the window looked at.
    pub from: InstantMs,
    /// Its end.
    pub until: InstantMs,
    /// Length of a step, milliseconds.
    pub step_ms: u32,
    /// Shards compared.
    pub compared: usize,
    /// Shards left out, as they are less busy than the most that are compared, or known for less than half of the window.
    pub omitted: usize,
    /// Who follows whom, by follower, the strongest leader first.
    pub links: Vec<Link>,
    /// Who moves together.
    pub groups: Vec<Group>,
    /// Who has the same shape, those with most load first.
    pub clusters: Vec<Cluster>,
    /// Shards compared whose load has no shape that repeats, or one of its own beyond the most clusters kept.
    pub unclustered: usize,
    /// What goes with load.
    pub drivers: Vec<Driver>,
}

impl Insights {
    /// What of it forecasters are told.
    #[must_use]
    pub fn relations(&self) -> Relations {
        let clusters = self.clusters.iter().map(|cluster| cluster.shards.clone()).collect();
        Relations { links: self.links.clone(), clusters }
    }
}
