//! The words of Isobar as plain data: what every other crate speaks of, and nothing that acts.
//!
//! Architecture invariant: no I/O, no clock, no randomness, no async in this crate; only values and total functions of them.

pub mod cluster_view;
pub mod decision;
pub mod forecast;
pub mod history;
pub mod ids;
pub mod insights;
pub mod keyspace;
pub mod kv;
pub mod load;
pub mod migration;
pub mod node;
pub mod placement_rules;
pub mod plan;
pub mod policy;
pub mod resources;
pub mod shard_map;
pub mod utilisation;

pub use cluster_view::{
    ClusterView, InFlight, KeyspacePlacement, NodeColumns, PlacementLimits, Resource, Scenarios, ShardColumns,
};
pub use decision::{DecisionRecord, EvaluationRecord};
pub use forecast::{ForecastAnswerer, ForecastBatch, ForecastRequest};
pub use ids::{
    Digest, Generation, Incarnation, InstantMs, KeyspaceId, NodeId, OperationId, RouteVersion, ShardId, ZoneId,
};
pub use insights::{Cluster, Driver, DriverKind, Group, Insights, Link, Relations};
pub use keyspace::{Keyspace, Mode, Partitioning};
pub use kv::{Consistency, KvError, KvOp, KvReply, KvRequest};
pub use load::{LoadBatch, LoadSample, LoadWeights, Metric};
pub use migration::{Migration, MigrationKind, Stage};
pub use node::{Node, NodeState};
pub use placement_rules::{Label, PlacementRules};
pub use plan::{Action, CheckedMove, Move, Plan, Rule, Verdict};
pub use policy::{Binding, Description, Revision, RevisionStatus, Role};
pub use resources::{Capacities, DeclaredCapacity, NodeResource, ReplicaUse};
pub use shard_map::{KeyRange, Replica, Shard, ShardMap};
pub use utilisation::{NodeForecast, NodeMetric, NodePath, ProcessUsage};
