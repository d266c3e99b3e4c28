//! Placement planning: what a policy sees, what the host makes of its answer, and what the host moves by itself.
//!
//! Architecture invariant: pure, and knows only the model. Everything a policy proposes passes [`PlanCheck`]; nothing else accepts moves.

mod budget;
mod drain;
mod gain_ledger;
pub mod packing;
mod plan_check;
#[cfg(test)]
mod testing;
mod view;

pub use budget::{Ledger, Spent};
pub use drain::drain;
pub use gain_ledger::{
    Advisor, Gain, GainLedger, GainReport, GainSpec, PlacedShard, Standing, StandingChange, StepFacts, Tally, WorldName,
};
pub use plan_check::{CheckSettings, KeyspaceRule, MAX_JUDGED_MOVES, Origin, PlanCheck, RoundInput};
pub use view::{NodeFact, ScenarioFacts, ShardFact, ViewInput};
