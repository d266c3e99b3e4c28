//! A fleet in virtual time, load traces, and the arms a policy is judged against.
//!
//! A [`Trace`] holds real load series; a [`Scenario`] makes tenants of them, splits those into shards and places them on nodes. [`overload`]
//! judges any placement's [`Timeline`], however it came about: on a live cluster, in a [`SimFleet`], or by packing on history. [`backtest()`] runs a
//! forecaster over a recorded series.
//!
//! A [`PlantedSet`] holds shards of which it is known who leads whom: what finds and uses links is judged by these.
//!
//! Architecture invariant: no wall clock, no threads, no chance but the scenario's seed.

mod arm;
mod arms;
mod assess;
mod backtest;
mod covariate_gain;
mod elastic;
mod fleet;
mod latencies;
mod lead_regression;
mod move_log;
mod move_times;
mod node_plan;
mod oracle;
mod overload;
mod packed;
mod planted;
mod playback;
mod queueing;
mod requests;
mod round;
mod scenario;
mod scenario_file;
mod shape;
mod sim_host;
mod standing;
mod start;
mod timeline;
mod trace;

pub use arm::{Arm, NoSuchArm};
pub use arms::{
    ArmError, ArmReport, Arms, CLAIRVOYANT_CONFIG, MakeForecaster, MakePlacer, WindowReport, brain_config, skill_pct,
};
pub use assess::{
    ArmFigures, AssessError, AssessPolicies, AssessSpec, Assessment, Cell, Facts, Filled, Findings, Interval, LoadGrid,
    Pays, SeedOutcome, SeedRun, UnitLoad, Verdict, fill_gaps,
};
pub use backtest::{Backtested, backtest, batch, request};
pub use covariate_gain::{CovariateGain, FollowerLoss, Question, SCORED_QUANTILES, follower_losses};
pub use elastic::{
    Elastic, ElasticRun, front, node_hours_at, node_hours_saved_pct, overload_reduction_pct, static_peak,
    used_node_hours,
};
pub use fleet::{SimFleet, SimFleetError};
pub use latencies::Latencies;
pub use lead_regression::lead_regression;
pub use move_log::{MoveEnd, MoveRecord, thrash};
pub use move_times::MoveTimes;
pub use node_plan::{Drain, NodePlan, Outage, SimNode};
pub use oracle::Oracle;
pub use overload::overload;
pub use packed::pack;
pub use planted::{PlantedError, PlantedLink, PlantedSet, PlantedSpec};
pub use playback::{Stretch, node_loads, play};
pub use queueing::{Backlog, Queue, QueueSpec, Waiting};
pub use requests::{Requests, golden_phase};
pub use round::Round;
pub use scenario::{Scenario, ScenarioError, ScenarioSpec, SimShard};
pub use scenario_file::{
    DrainEvent, Event, LoadTable, MovesTable, NodeLoss, NodesTable, QueueTable, ScenarioFile, ScenarioFileError,
    ShardsTable, Simulation,
};
pub use shape::{
    BadShape, Calendar, Churn, Diurnal, FlashCrowd, Growth, HotSpot, Noise, RandomWalk, Shape, SkewDrift, Weekly,
};
pub use sim_host::PolicyFailures;
pub use standing::{Course, Figures, Standing};
pub use timeline::{Change, CopyLoad, Placement, Timeline};
pub use trace::{DAY_STEPS, Regions, STEP_MS, Tenant, Trace, TraceError};
