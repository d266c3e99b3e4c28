//! What a decision record refers to: the inputs and outputs of each evaluation, as bytes under their digests.

use crate::brain::{Bound, Recording};
use isobar_model::{
    DecisionRecord, Digest, EvaluationRecord, ForecastRequest, InstantMs, LoadBatch, Relations, Role, ShardId,
};
use isobar_ports::Usage;
use serde::{Deserialize, Serialize};

/// The name the native policies go by in records and answers.
pub const BUILTIN: &str = "builtin";

/// The input of one forecast, as its blob holds it: what was done to the instance before it was asked, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForecastInput {
    /// How the instance was opened, where it was for this forecast.
    pub reopened: Option<Reopened>,
    /// New steps of the shards that it had seen already.
    pub observed: Vec<LoadBatch>,
    /// Shards that it was told to forget: others are hotter.
    pub left: Vec<ShardId>,
    /// Shards that it had not seen, with their history.
    pub joined: Option<Shown>,
    /// Which shards follow which and which are alike, where it was told so before it was asked.
    pub related: Option<Relations>,
    /// What it was asked.
    pub request: ForecastRequest,
}

/// An instance opened in the middle of its service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    /// The saved state it was given.
    pub saved: Option<Digest>,
    /// What it was shown of the steps since.
    pub shown: Shown,
}

/// Stored history that an instance was shown; its values are not told again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Of which shards, in this order.
    pub shards: Vec<ShardId>,
    /// Start of its first step.
    pub from: InstantMs,
    /// End of its last step.
    pub to: InstantMs,
    /// Steps of it, by their start, that were shown as missing: a burst was on.
    pub withheld: Vec<(ShardId, InstantMs)>,
}

/// Collects the blobs of one tick.
#[derive(Debug)]
pub(crate) struct Blobs {
    recording: Recording,
    pub(crate) kept: Vec<(Digest, Vec<u8>)>,
}

impl Blobs {
    pub(crate) fn new(recording: Recording) -> Self {
        Self { recording, kept: Vec::new() }
    }

    /// The digest of a value's bytes (postcard); the zero digest where nothing is recorded.
    pub(crate) fn note<T: Serialize>(&mut self, value: &T) -> Digest {
        if self.recording == Recording::Nothing {
            return Digest([0; 32]);
        }
        // Plain data always has an encoding; should it ever not, the record says so by the digest of nothing.
        let bytes = postcard::to_stdvec(value).unwrap_or_default();
        let digest = Digest::of(&bytes);
        if self.recording == Recording::Blobs && !self.kept.iter().any(|(kept, _)| *kept == digest) {
            self.kept.push((digest, bytes));
        }
        digest
    }
}

/// The record of one call.
pub(crate) fn evaluation(
    role: Role,
    answered_by: Option<&Bound>,
    input: Digest,
    output: Digest,
    usage: Usage,
    failure: Option<String>,
) -> EvaluationRecord {
    EvaluationRecord {
        role,
        policy: answered_by.map_or(BUILTIN, |bound| &bound.name).to_owned(),
        revision: answered_by.map(|bound| bound.digest),
        config: answered_by.map_or_else(String::new, |bound| bound.config.clone()),
        input,
        output,
        fuel: usage.fuel,
        wall_us: usage.wall_us,
        failure,
    }
}

/// The record without what differs from run to run: promise 6 speaks of the rest.
#[must_use]
pub fn without_wall_time(mut record: DecisionRecord) -> DecisionRecord {
    record.evaluations.iter_mut().for_each(|evaluation| evaluation.wall_us = 0);
    record
}
