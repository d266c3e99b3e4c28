//! What a gateway does after each answer: the pure half of following a request to the node that owns its key.
//!
//! Protocol, from the gateway's side:
//! 1. look the route up, ask [`Journey::target`] for the first node, send;
//! 2. give the outcome to [`Journey::next`] and do as it says: answer, try a node, refresh the table, wait, or give up;
//! 3. after a refresh or a wait look the route up again (the table may be newer) and go on at 1.
//!
//! Cancel safety: a journey is plain data; dropping it drops the request's retries and nothing else. Every journey ends: hops and waits
//! are counted, and no wait is longer than what is left of the deadline.
//!
//! A write whose outcome is not known is not sent again: without sessions a second try could land after another client's write and
//! bring the old value back (promise 2). The client hears that the outcome is unknown, and may choose.

use crate::Route;
use isobar_model::{KvError, NodeId, RouteVersion};

/// Most requests one journey sends: a deadline of 10 s with the waits below comes to some 40.
const MAX_ATTEMPTS: u32 = 64;
/// Redirects followed without a pause; two nodes that each take the other for the leader must not spin.
const MAX_QUICK_HOPS: u32 = 4;
/// The first pause: a fraction of a heartbeat, as most redirects are cured by the next route table.
const FIRST_WAIT_MS: u64 = 5;
/// The longest pause: half an election, so that a new leader is found soon after it is chosen.
const LONGEST_WAIT_MS: u64 = 320;

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The shard answered.
    Answered,
    /// The node refused.
    Refused(KvError),
    /// The request never reached the node.
    Unreachable,
    /// The request may have reached the node; no answer came.
    Lost,
}

/// One attempt of a journey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whom it asked.
    pub node: NodeId,
    /// By which route version.
    pub version: RouteVersion,
    /// What came of it.
    pub outcome: Outcome,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Hand the answer to the client.
    Answer,
    /// Send the request to this node.
    TryNode(NodeId),
    /// Get a route table of at least this version, wait as long, look the route up again.
    RefreshRoutes {
        /// The version that the answer proves to exist.
        at_least: RouteVersion,
        /// How long to wait before the next attempt, should no newer table come sooner.
        wait_ms: u64,
    },
    /// Wait, look the route up again.
    WaitMs(u64),
    /// Tell the client.
    GiveUp(GiveUp),
}

/// Why a journey ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GiveUp {
    /// The deadline is through; every node asked said that it did not take the request on.
    #[error("no node took the request on within {deadline_ms} ms, in {attempts} attempts (last: {last}); try again")]
    Deadline {
        /// The deadline.
        deadline_ms: u64,
        /// Requests sent.
        attempts: u32,
        /// The last outcome, in words.
        last: String,
    },
    /// A write was sent and no answer came.
    #[error("whether the write took effect is not known ({cause}); read the key before you write again")]
    OutcomeUnknown {
        /// What happened, in words.
        cause: String,
    },
}

/// One request on its way.
#[derive(Clone, Debug)]
pub struct Journey {
    is_write: bool,
    deadline_ms: u64,
    /// Spreads the waits of requests that failed together, 0 to 1.
    jitter: f32,
    attempts: u32,
    quick_hops: u32,
    waits: u32,
    /// The last attempt, for the message at the end and for where to go on.
    last: Option<Attempt>,
    /// Whom the last redirect named.
    hint: Option<NodeId>,
    /// Nodes that failed since the last pause; at most one entry a replica and quick hop.
    failed: Vec<NodeId>,
}

impl Journey {
    /// A request that must be answered within `deadline_ms`. `jitter` (0 to 1) is the caller's draw of chance.
    #[must_use]
    pub fn new(is_write: bool, deadline_ms: u64, jitter: f32) -> Self {
        Self {
            is_write,
            deadline_ms,
            jitter: if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 },
            attempts: 0,
            quick_hops: 0,
            waits: 0,
            last: None,
            hint: None,
            failed: Vec::new(),
        }
    }

    /// Requests sent so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The leader that the last redirect named, for [`crate::RouteTable::hint_leader`].
    #[must_use]
    pub fn hint(&self) -> Option<NodeId> {
        self.hint
    }

    /// Whom to ask by this route: whoever the last redirect named, else the leader, else the replicas in turn. None: the shard has no replica.
    #[must_use]
    pub fn target(&self, route: &Route) -> Option<NodeId> {
        let fresh = |node: &NodeId| !self.failed.contains(node);
        let turn = self.attempts as usize % route.replicas.len().max(1);
        let replicas = || route.replicas.iter().cycle().skip(turn).take(route.replicas.len()).copied();
        let preferred = self.hint.into_iter().chain(route.leader).find(fresh);
        preferred.or_else(|| replicas().find(fresh)).or_else(|| replicas().next())
    }

    /// Judges the outcome of asking `node` by `route`, `elapsed_ms` after the journey began.
    pub fn next(&mut self, route: &Route, node: NodeId, outcome: Outcome, elapsed_ms: u64) -> Decision {
        self.attempts = self.attempts.saturating_add(1);
        self.last = Some(Attempt { node, version: route.version, outcome: outcome.clone() });
        let (known_unwritten, decision) = match outcome {
            Outcome::Answered => return Decision::Answer,
            Outcome::Refused(KvError::NotLeader { leader, .. }) => {
                self.hint = leader.filter(|&leader| leader != node);
                self.note_failed(node);
                (true, self.hint.filter(|hint| !self.failed.contains(hint)).map(Decision::TryNode))
            }
            Outcome::Refused(KvError::NotHere { version, .. }) => {
                self.hint = None;
                self.note_failed(node);
                (true, (version > route.version).then(|| self.refresh(version, elapsed_ms)))
            }
            Outcome::Refused(KvError::OutOfRange { .. }) => {
                self.hint = None;
                let proven = RouteVersion(route.version.0.saturating_add(1));
                (true, Some(self.refresh(proven, elapsed_ms)))
            }
            // The node says that it did not take the request on; ask the same one again, later.
            Outcome::Refused(KvError::Unavailable { .. }) => (true, Some(self.wait(elapsed_ms))),
            Outcome::Unreachable => {
                self.hint = self.hint.filter(|&hint| hint != node);
                self.note_failed(node);
                (true, None)
            }
            Outcome::Refused(KvError::Internal(_)) | Outcome::Lost => {
                self.hint = self.hint.filter(|&hint| hint != node);
                self.note_failed(node);
                (!self.is_write, None)
            }
        };
        if !known_unwritten {
            return Decision::GiveUp(GiveUp::OutcomeUnknown { cause: self.last_in_words() });
        }
        if elapsed_ms >= self.deadline_ms || self.attempts >= MAX_ATTEMPTS {
            return Decision::GiveUp(GiveUp::Deadline {
                deadline_ms: self.deadline_ms,
                attempts: self.attempts,
                last: self.last_in_words(),
            });
        }
        match decision {
            Some(Decision::TryNode(next)) if self.quick_hops < MAX_QUICK_HOPS => {
                self.quick_hops += 1;
                Decision::TryNode(next)
            }
            Some(decided @ (Decision::RefreshRoutes { .. } | Decision::WaitMs(_))) => {
                self.begin_anew();
                decided
            }
            Some(Decision::TryNode(_) | Decision::Answer | Decision::GiveUp(_)) | None => {
                let untried = route.replicas.iter().find(|replica| !self.failed.contains(replica));
                match untried {
                    Some(&next) if self.quick_hops < MAX_QUICK_HOPS => {
                        self.quick_hops += 1;
                        Decision::TryNode(next)
                    }
                    Some(_) | None => {
                        let wait = self.wait(elapsed_ms);
                        self.begin_anew();
                        wait
                    }
                }
            }
        }
    }

    fn note_failed(&mut self, node: NodeId) {
        if !self.failed.contains(&node) {
            self.failed.push(node);
        }
    }

    /// After a pause everyone may be asked again.
    fn begin_anew(&mut self) {
        self.failed.clear();
        self.quick_hops = 0;
    }

    fn refresh(&mut self, at_least: RouteVersion, elapsed_ms: u64) -> Decision {
        Decision::RefreshRoutes { at_least, wait_ms: self.pause_ms(elapsed_ms) }
    }

    fn wait(&mut self, elapsed_ms: u64) -> Decision {
        Decision::WaitMs(self.pause_ms(elapsed_ms))
    }

    /// Doubles with each pause up to the longest, takes off up to half of it by jitter, and stays within the deadline.
    fn pause_ms(&mut self, elapsed_ms: u64) -> u64 {
        let full = (FIRST_WAIT_MS << self.waits.min(16)).min(LONGEST_WAIT_MS);
        self.waits = self.waits.saturating_add(1);
        let pause = full - (full as f32 * 0.5 * self.jitter) as u64;
        pause.min(self.deadline_ms.saturating_sub(elapsed_ms)).max(1)
    }

    fn last_in_words(&self) -> String {
        let Some(Attempt { node, outcome, .. }) = &self.last else { return "nobody was asked".into() };
        match outcome {
            Outcome::Answered => format!("node {node} answered"),
            Outcome::Refused(error) => format!("node {node}: {error}"),
            Outcome::Unreachable => format!("node {node} is out of reach"),
            Outcome::Lost => format!("node {node} did not answer"),
        }
    }
}

#[cfg(test)]
mod tests;
