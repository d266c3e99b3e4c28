//! What happened, newest last: the source of the event stream.

use isobar_model::InstantMs;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Events kept: enough for a console that was away for a minute of a busy cluster, small in every snapshot.
pub const MAX_EVENTS: usize = 1_000;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The cluster, its settings, `halt`.
    Cluster,
    /// A node.
    Node,
    /// A keyspace.
    Keyspace,
    /// A revision of a policy.
    Revision,
    /// A binding.
    Binding,
    /// A migration reached a stage.
    Migration,
    /// Leaders changed without a migration.
    Leaders,
    /// A tick is through.
    Tick,
    /// History was imported or compacted.
    History,
    /// A plan is held, released or dropped.
    Plan,
}

impl EventKind {
    /// The name it has in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
            Self::Keyspace => "keyspace",
            Self::Revision => "revision",
            Self::Binding => "binding",
            Self::Migration => "migration",
            Self::Leaders => "leaders",
            Self::Tick => "tick",
            Self::History => "history",
            Self::Plan => "plan",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlEvent {
    /// Its number: 1, 2, 3 …
    pub sequence: u64,
    /// When, on the control clock.
    pub at: InstantMs,
    /// What it is about.
    pub kind: EventKind,
    /// For people: a plain sentence in lower case.
    pub text: String,
    /// What varies, for programs.
    pub fields: BTreeMap<String, String>,
}

/// The last [`MAX_EVENTS`] events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventRing {
    next: u64,
    /// Shared, so that readers who copy the state do not copy every event.
    ring: VecDeque<Arc<ControlEvent>>,
}

impl EventRing {
    pub(crate) fn push(&mut self, at: InstantMs, kind: EventKind, text: String, fields: &[(&str, String)]) {
        self.next += 1;
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.ring.push_back(Arc::new(ControlEvent { sequence: self.next, at, kind, text, fields }));
        if self.ring.len() > MAX_EVENTS {
            self.ring.pop_front();
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.next
    }

    pub(crate) fn after(&self, sequence: u64) -> impl Iterator<Item = &ControlEvent> {
        let skip = self.ring.partition_point(|event| event.sequence <= sequence);
        self.ring.iter().skip(skip).map(Arc::as_ref)
    }
}
