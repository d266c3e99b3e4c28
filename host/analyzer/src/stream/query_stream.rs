//! All queries of a keyspace, one by one: load as it closes, and a profile of each shard.

use crate::stream::load_builder::{LoadBuilder, LoadBuilderSpec, Timing};
use crate::stream::query_event::{LoadMilli, QueryEvent, key_hash};
use crate::stream::shard_profile::ShardProfile;
use crate::stream::sharding::Sharding;
use isobar_model::{LoadBatch, LoadWeights};

/// How queries are taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryStreamSpec {
    /// Which shard holds which keys.
    pub sharding: Sharding,
    /// Length of a step.
    pub step_ms: u32,
    /// How much later than the newest query one may come and still count in its step.
    pub lateness_ms: u64,
    /// Silence of all shards longer than this is a gap in the record.
    pub gap_ms: u64,
    /// A query further ahead of the newest than this has a wrong time.
    pub ahead_ms: u64,
    /// What operations weigh.
    pub weights: LoadWeights,
    /// Share of all queries that is seen, above 0 up to 1.
    pub sample_rate: f64,
    /// Whether to keep profiles, or load only.
    pub profiles: bool,
}

/// Queries that did not count in any step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Came after their step was closed.
    pub late: u64,
    /// Had a time too far ahead.
    pub ahead: u64,
}

/// Takes queries, gives load and profiles.
#[derive(Debug)]
pub struct QueryStream {
    sharding: Sharding,
    weights: LoadMilli,
    sample_rate: f64,
    builder: LoadBuilder,
    profiles: Vec<ShardProfile>,
    seen: u64,
    dropped: Dropped,
}

impl QueryStream {
    /// A stream that has seen nothing.
    #[must_use]
    pub fn new(spec: QueryStreamSpec) -> Self {
        let weights = LoadMilli::new(&spec.weights);
        let count = if spec.profiles { spec.sharding.shards().len() } else { 0 };
        let builder = LoadBuilder::new(LoadBuilderSpec {
            shards: spec.sharding.shards().to_vec(),
            step_ms: spec.step_ms,
            lateness_ms: spec.lateness_ms,
            gap_ms: spec.gap_ms,
            ahead_ms: spec.ahead_ms,
            weights,
            sample_rate: spec.sample_rate,
        });
        Self {
            sharding: spec.sharding,
            weights,
            sample_rate: spec.sample_rate,
            builder,
            profiles: std::iter::repeat_with(ShardProfile::default).take(count).collect(),
            seen: 0,
            dropped: Dropped::default(),
        }
    }

    /// Takes in one query; load of the steps that it closes goes to `sink`. A query that comes too late for its step still counts in its
    /// shard's profile, which knows no time; one with a wrong time counts nowhere.
    pub fn record(&mut self, event: &QueryEvent<'_>, sink: &mut dyn FnMut(LoadBatch)) {
        self.seen += 1;
        let hash = key_hash(event.key);
        let place = self.sharding.place(hash, event.key);
        match self.builder.record(event.at, place, event.operation, event.bytes, sink) {
            Timing::Counted => {}
            Timing::Late => self.dropped.late += 1,
            Timing::Ahead => {
                self.dropped.ahead += 1;
                return;
            }
        }
        if let Some(profile) = self.profiles.get_mut(place) {
            profile.record(event, hash, self.sharding.slot(hash), self.weights.of(event.operation));
        }
    }

    /// Closes all steps.
    pub fn finish(&mut self, sink: &mut dyn FnMut(LoadBatch)) {
        self.builder.finish(sink);
    }

    /// Which shard holds which keys.
    #[must_use]
    pub fn sharding(&self) -> &Sharding {
        &self.sharding
    }

    /// Profiles in the order of the shards; of what was seen, not scaled by the sample rate.
    #[must_use]
    pub fn profiles(&self) -> &[ShardProfile] {
        &self.profiles
    }

    /// Queries seen.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Queries that counted in no step.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Share of all queries that is seen.
    #[must_use]
    pub fn sample_rate(&self) -> f64 {
        self.sample_rate
    }
}
