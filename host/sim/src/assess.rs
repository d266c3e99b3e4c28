//! What moving shards would have done for a store that is not ours: recorded load of units in, what each way of placing them would have come to
//! out, with how sure that is.
//!
//! 1. [`LoadGrid`] counts a query log into load per shard and step, in bounded memory, whatever the log's length; files of recorded load come
//!    as [`UnitLoad`]s by themselves.
//! 2. [`Assessment::new`] makes shards of the units, none larger than a share of a node, and a scenario of them for each headroom: capacity is
//!    headroom × the load that all of them together stay below in 95 of 100 steps, over the nodes.
//! 3. For each seed, [`Assessment::begin`] gives a [`SeedRun`]: a random start, balanced by count, and from it every arm at every headroom and
//!    lead time, through the brain that drives a live cluster. Runs share their forecasts and nothing else, so that any number of threads gives the
//!    same.
//! 4. [`Assessment::conclude`] makes [`Findings`] of them: figures with intervals, and a verdict in words. The intervals come from a bootstrap
//!    over starts and days at once (Efron, Tibshirani, "An Introduction to the Bootstrap", 1993): days differ more than starts do.

mod alike;
mod course;
mod findings;
mod interval;
mod load_grid;
mod setting;
mod shared_forecaster;
mod unit_load;
mod verdict;

pub use course::{SeedOutcome, SeedRun};
pub use findings::{ArmFigures, Cell, Findings};
pub use interval::Interval;
pub use load_grid::LoadGrid;
pub use setting::{AssessError, AssessPolicies, AssessSpec, Assessment, Facts};
pub use unit_load::{Filled, UnitLoad, fill_gaps};
pub use verdict::{Pays, Verdict};
