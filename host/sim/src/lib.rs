//! A fleet in virtual time, load traces, and the arms a policy is judged against.
//!
//! A [`Trace`] holds real load series; a [`Scenario`] makes tenants of them, splits those into shards and places them on nodes. [`overload`]
//! judges any placement's [`Timeline`], however it came about: on a live cluster, in a [`SimFleet`], or by packing on history. [`backtest()`] runs a
//! forecaster over a recorded series.
//!
//! A [`PlantedSet`] holds shards of which it is known who leads whom: what finds and uses links is judged by these.
//!
//! Architecture invariant: no wall clock, no threads, no chance but the scenario's seed.

mod arms;
mod assess;
mod backtest;
mod covariate_gain;
mod fleet;
mod lead_regression;
mod oracle;
mod overload;
mod packed;
mod planted;
mod requests;
mod scenario;
mod sim_host;
mod timeline;
mod trace;

pub use arms::{ArmError, ArmReport, Arms, MakeForecaster, MakePlacer, WindowReport, brain_config, skill_pct};
pub use assess::{
    ArmFigures, ArmName, AssessError, AssessPolicies, AssessSpec, Assessment, Cell, Facts, Filled, Findings, Interval,
    LoadGrid, Pays, SeedOutcome, SeedRun, UnitLoad, Verdict, fill_gaps,
};
pub use backtest::{Backtested, backtest, batch, request};
pub use covariate_gain::{CovariateGain, FollowerLoss, Question, SCORED_QUANTILES, follower_losses};
pub use fleet::{MoveTimes, SimFleet, SimFleetError};
pub use lead_regression::lead_regression;
pub use oracle::Oracle;
pub use overload::{node_loads, overload};
pub use packed::pack;
pub use planted::{PlantedError, PlantedLink, PlantedSet, PlantedSpec};
pub use requests::{Requests, golden_phase};
pub use scenario::{Scenario, ScenarioError, ScenarioSpec, SimShard};
pub use timeline::{Change, Placement, Timeline};
pub use trace::{DAY_STEPS, Regions, STEP_MS, Tenant, Trace, TraceError};
