//! What is needed to see, and later to replay, one tick.

use crate::ids::{Digest, InstantMs};
use crate::plan::CheckedMove;
use crate::policy::Role;
use serde::{Deserialize, Serialize};

/// One call of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// The role it served.
    pub role: Role,
    /// The policy's name; `builtin` where the native one answered.
    pub policy: String,
    /// The revision; none for the native one.
    pub revision: Option<Digest>,
    /// Its configuration.
    pub config: String,
    /// Digest of the input.
    pub input: Digest,
    /// Digest of the output.
    pub output: Digest,
    /// Fuel burnt.
    pub fuel: u64,
    /// Wall time, microseconds.
    pub wall_us: u64,
    /// Why the bound policy did not answer, where the native one did instead.
    pub failure: Option<String>,
}

/// One tick of the control loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The tick's number, ascending.
    pub tick: u64,
    /// The control clock.
    pub now: InstantMs,
    /// The seed the policies were given.
    pub seed: u32,
    /// The calls made.
    pub evaluations: Vec<EvaluationRecord>,
    /// The plan, judged.
    pub moves: Vec<CheckedMove>,
    /// The policy's notes on what it did not do.
    pub notes: Vec<String>,
}
