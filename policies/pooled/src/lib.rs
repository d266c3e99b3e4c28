//! A forecasting policy that learns across shards: a ridge regression for each cluster of shards and each lead, learnt from all shards of the
//! cluster, and for each shard a correction of it (the idea of QB5000: L. Ma, D. Van Aken, A. Hefny, G. Mezerhane, A. Pavlo, G. Gordon,
//! "Query-based workload forecasting for self-driving database management systems", SIGMOD 2018). The host tells which shards are alike; until then all are one cluster.
//!
//! - **Target**: how far a shard's load is above its season, in its own usual sizes. So shards of any size teach and use the same model.
//! - **Features**: the shard's own offsets from its season, at several scales; its guesses from earlier days; the calendar (time of day,
//!   weekend, UTC); what the others of its cluster do; what its leaders did, where they lead by as much as is forecast.
//! - **Direct**: a regression for each of a few leads, interpolated between them, as `spar` does it.
//! - **From all to one**: a cluster's model is fitted to the sum of what its shards have learnt, and each shard's to its own, shrunk towards the
//!   cluster's. So a new shard is served by its cluster's model at once, it costs nothing to tell clusters anew, and no order of shards
//!   within a tick makes a difference.
//! - **How sure**: quantiles of the shard's own errors, as its siblings have them.
//!
//! **When it fails.** Where shards go through little together that tells them what comes, `spar` foresees them as well or a little better: so it
//! was with all sets measured (`policies/README.md`). Shards shown to it in several batches of many steps see less of each other than shards that
//! tick together. The calendar is UTC's.
//!
//! Constants are `spar`'s where it has the same ones; how much clusters weigh was chosen on the trace `worldwide` with three days of history.

mod cluster;
mod config;
mod policy;
mod pool;
mod shard;
mod terms;

pub use config::Config;
pub use forecasting_kit::Failure;
pub use policy::Pooled;
