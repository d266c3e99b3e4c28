//! Running policies: what the brain needs of the sandbox, and nothing of what is in it.
//!
//! All calls are synchronous and bounded in time; callers keep them off the threads that serve data.

use isobar_model::{
    ClusterView, Description, Digest, ForecastBatch, ForecastRequest, LoadBatch, Metric, Plan, Relations, Role, ShardId,
};

/// What a call cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel burnt; 0 for native policies.
    pub fuel: u64,
    /// Wall time, microseconds.
    pub wall_us: u64,
    /// Linear memory at its largest, bytes; 0 for native policies.
    pub memory_bytes: u64,
}

/// Why a policy did not answer. After `Trapped`, `Deadline`, `OutOfFuel` and `Invalid` the instance is dead: every further call fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFailure {
    /// The configuration does not fit.
    #[error("the configuration does not fit: {0}")]
    Config(String),
    /// Not enough history yet.
    #[error("not ready: {0}")]
    NotReady(String),
    /// The policy said so itself.
    #[error("the policy failed: {0}")]
    Policy(String),
    /// A trap: a panic, a memory fault, memory over its limit.
    #[error("the policy trapped: {0}")]
    Trapped(String),
    /// Wall-clock deadline.
    #[error("the policy did not answer within {limit_ms} ms and was stopped")]
    Deadline {
        /// The deadline.
        limit_ms: u64,
    },
    /// Fuel.
    #[error("the policy used up its fuel ({limit}) and was stopped")]
    OutOfFuel {
        /// The fuel given.
        limit: u64,
    },
    /// An answer outside the contract.
    #[error("the policy's answer is outside the contract: {0}")]
    Invalid(String),
    /// No such artifact here, or not of this role.
    #[error("{0}")]
    Unavailable(String),
}

/// An artifact that is no policy of this contract. The text names the cause and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejection(pub String);

/// What an artifact turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// What it is for.
    pub role: Role,
    /// Who it says it is.
    pub description: Description,
    /// What it imports.
    pub imports: Vec<String>,
    /// Time to compile, milliseconds.
    pub compile_ms: u64,
}

/// A forecasting policy at work. The instance is the state.
pub trait Forecaster: Send {
    /// Shows it new steps.
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure>;
    /// Asks for a forecast. The answer's lengths fit the request; all values are finite, not negative, ordered by quantile.
    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure>;
    /// Tells it which shards follow which and which are alike, in place of what was said before. A policy may pass over it.
    fn relate(&mut self, _metric: Metric, _relations: &Relations) -> Result<(), PolicyFailure> {
        Ok(())
    }
    /// Drops shards.
    fn forget(&mut self, shards: &[ShardId]) -> Result<(), PolicyFailure>;
    /// Its state, for the next revision of the same policy.
    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure>;
    /// Cost of the last call.
    fn usage(&self) -> Usage;
}

/// A placement policy at work.
pub trait Placer: Send {
    /// Asks for a plan. Ids in it are known to the view, numbers finite, lists within their bounds.
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure>;
    /// Its state, for the next revision of the same policy.
    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure>;
    /// Cost of the last call.
    fn usage(&self) -> Usage;
}

/// Where policies run.
pub trait PolicyHost: Send + Sync {
    /// Checks and compiles an artifact, and keeps the result. Slow: up to a minute for a large component.
    fn inspect(&self, artifact: &[u8]) -> Result<Inspection, Rejection>;
    /// A new instance of an inspected artifact: `config` is JSON, `saved` what `save` of another revision of the same policy gave.
    fn forecaster(
        &self,
        digest: &Digest,
        config: &str,
        saved: Option<&[u8]>,
    ) -> Result<Box<dyn Forecaster>, PolicyFailure>;
    /// The same for a placer.
    fn placer(&self, digest: &Digest, config: &str, saved: Option<&[u8]>) -> Result<Box<dyn Placer>, PolicyFailure>;
    /// The native forecaster that is always there.
    fn builtin_forecaster(&self) -> Box<dyn Forecaster>;
    /// The native placer that is always there.
    fn builtin_placer(&self) -> Box<dyn Placer>;
}
