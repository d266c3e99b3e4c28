//! Carries a client's request to the replica that owns its key, wherever it lives now.

use crate::node::directory::Directory;
use crate::node::live_profile::WatchedShards;
use crate::node::services::{self, decode, encode};
use bytes::Bytes;
use isobar_api::backend::{BackendError, Scan, ScanPage, Served};
use isobar_mapper::{Decision, GiveUp, Journey, Outcome, Route};
use isobar_model::keyspace::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use isobar_model::{Consistency, KvError, KvOp, KvReply, KvRequest, NodeId};
use isobar_raft::transport::{PeerError, PeerNetwork};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A request is answered or given up within this time: long enough for an election after a node's death, short enough for people.
const DEADLINE: Duration = Duration::from_secs(8);
/// One try waits this long for its answer; a leader that takes longer is as good as gone.
const TRY_DEADLINE: Duration = Duration::from_secs(3);
/// Most rows of one page of a scan.
const MAX_SCAN_ROWS: u32 = 10_000;

/// The gateway of a node.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) local: NodeId,
    pub(crate) directory: Arc<Directory>,
    pub(crate) shards: Arc<WatchedShards>,
    pub(crate) peers: Arc<dyn PeerNetwork>,
}

impl Gateway {
    /// Reads a key.
    pub(crate) async fn get(
        &self,
        keyspace: &str,
        key: Bytes,
        consistency: Consistency,
    ) -> Result<Served<Option<Bytes>>, BackendError> {
        let served = self.carry(keyspace, &key, false, |key| KvOp::Get { key, consistency }).await?;
        match served.value {
            KvReply::Value(value) => Ok(Served { value, shard: served.shard, node: served.node }),
            KvReply::Written { .. } | KvReply::Rows { .. } => Err(odd_answer()),
        }
    }

    /// Writes a key.
    pub(crate) async fn put(&self, keyspace: &str, key: Bytes, value: Bytes) -> Result<Served<u64>, BackendError> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(BackendError::TooLarge {
                detail: format!("a value of {} bytes is over the limit of {MAX_VALUE_BYTES}", value.len()),
                limit: MAX_VALUE_BYTES as u64,
            });
        }
        written(self.carry(keyspace, &key, true, |key| KvOp::Put { key, value: value.clone() }).await?)
    }

    /// Removes a key.
    pub(crate) async fn delete(&self, keyspace: &str, key: Bytes) -> Result<Served<u64>, BackendError> {
        written(self.carry(keyspace, &key, true, |key| KvOp::Delete { key }).await?)
    }

    /// Reads keys in order, shard after shard, until the page is full.
    pub(crate) async fn scan(&self, keyspace: &str, scan: Scan) -> Result<ScanPage, BackendError> {
        let table = self.directory.routes();
        let routes = table.keyspace(keyspace).ok_or_else(|| unknown_keyspace(keyspace))?;
        let partitioning = routes.keyspace().partitioning;
        // A hashed keyspace has no order of client keys: its bounds would mean nothing, so it is scanned whole, in order of the slots.
        let hashed = partitioning == isobar_model::Partitioning::Hash;
        if hashed && (!scan.start.is_empty() || scan.end.is_some()) {
            return Err(BackendError::Invalid(format!(
                "keyspace {keyspace} is hashed, so its keys have no order: scan it without start and end, or create it with range partitioning"
            )));
        }
        let limit = scan.limit.clamp(1, MAX_SCAN_ROWS) as usize;
        let (mut at, end) = (scan.resume.clone().unwrap_or_else(|| scan.start.clone()), scan.end.clone());
        let mut rows: Vec<(Bytes, Bytes)> = Vec::new();
        loop {
            let left = u32::try_from(limit - rows.len()).unwrap_or(MAX_SCAN_ROWS);
            let op = KvOp::Scan { start: at.clone(), end: end.clone(), limit: left };
            let (served, route_end) = self.carry_internal(keyspace, &at, false, |_| op.clone()).await?;
            let KvReply::Rows { rows: found, next } = served.value else { return Err(odd_answer()) };
            rows.extend(found.into_iter().map(|(key, value)| (partitioning.client_key(&key), value)));
            match next.or(route_end) {
                Some(next) if end.as_ref().is_none_or(|end| next < *end) => {
                    if rows.len() >= limit {
                        return Ok(ScanPage { rows, next: Some(next) });
                    }
                    at = next;
                }
                Some(_) | None => return Ok(ScanPage { rows, next: None }),
            }
        }
    }

    async fn carry(
        &self,
        keyspace: &str,
        key: &Bytes,
        is_write: bool,
        op: impl Fn(Bytes) -> KvOp,
    ) -> Result<Served<KvReply>, BackendError> {
        if key.is_empty() {
            return Err(BackendError::Invalid("a key must have at least one byte".into()));
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(BackendError::TooLarge {
                detail: format!("a key of {} bytes is over the limit of {MAX_KEY_BYTES}", key.len()),
                limit: MAX_KEY_BYTES as u64,
            });
        }
        let table = self.directory.routes();
        let routes = table.keyspace(keyspace).ok_or_else(|| unknown_keyspace(keyspace))?;
        let internal = routes.keyspace().partitioning.internal_key(key);
        Ok(self.carry_internal(keyspace, &internal, is_write, op).await?.0)
    }

    /// Follows the journey of one request; gives the answer, and where the answering shard's range ends by the route used.
    async fn carry_internal(
        &self,
        keyspace: &str,
        internal: &Bytes,
        is_write: bool,
        op: impl Fn(Bytes) -> KvOp,
    ) -> Result<(Served<KvReply>, Option<Bytes>), BackendError> {
        let began = Instant::now();
        let mut journey = Journey::new(is_write, DEADLINE.as_millis() as u64, rand::random());
        loop {
            let table = self.directory.routes();
            let routes = table.keyspace(keyspace).ok_or_else(|| unknown_keyspace(keyspace))?;
            let route = routes.route(internal).ok_or_else(|| {
                BackendError::Internal(format!(
                    "no shard of keyspace {keyspace} holds the key: its route table is broken"
                ))
            })?;
            let Some(mut node) = journey.target(&route) else {
                return Err(BackendError::Unavailable(format!("shard {} has no replica yet: try again", route.shard)));
            };
            let request = KvRequest { shard: route.shard, generation: route.generation, op: op(internal.clone()) };
            loop {
                let (outcome, reply) = self.ask(node, &request).await;
                let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                match journey.next(&route, node, outcome, elapsed_ms) {
                    Decision::Answer => {
                        if route.leader != Some(node) {
                            table.hint_leader(route.shard, Some(node));
                        }
                        let Some(value) = reply else { return Err(odd_answer()) };
                        let end = self.range_end(&route);
                        return Ok((Served { value, shard: route.shard, node }, end));
                    }
                    Decision::TryNode(next) => node = next,
                    Decision::RefreshRoutes { at_least, wait_ms } => {
                        self.directory.wait_for(at_least, Duration::from_millis(wait_ms)).await;
                        break;
                    }
                    Decision::WaitMs(ms) => {
                        tokio::time::sleep(Duration::from_millis(ms)).await;
                        break;
                    }
                    Decision::GiveUp(give_up @ GiveUp::Deadline { .. }) => {
                        return Err(BackendError::Unavailable(give_up.to_string()));
                    }
                    Decision::GiveUp(give_up @ GiveUp::OutcomeUnknown { .. }) => {
                        return Err(BackendError::Timeout(give_up.to_string()));
                    }
                }
            }
        }
    }

    fn range_end(&self, route: &Route) -> Option<Bytes> {
        self.directory.map().shards.get(&route.shard).and_then(|shard| shard.range.end.clone())
    }

    async fn ask(&self, node: NodeId, request: &KvRequest) -> (Outcome, Option<KvReply>) {
        let answer = if node == self.local {
            match tokio::time::timeout(TRY_DEADLINE, self.shards.execute(request.clone())).await {
                Ok(answer) => answer,
                Err(_) => return (Outcome::Lost, None),
            }
        } else {
            match self.peers.call(node, services::KV, encode(request), TRY_DEADLINE).await {
                Ok(bytes) => match decode::<Result<KvReply, KvError>>(&bytes) {
                    Ok(answer) => answer,
                    Err(problem) => Err(KvError::Internal(problem)),
                },
                // Nothing was sent: no address, no connection, or a queue that was full.
                Err(PeerError::UnknownPeer(_) | PeerError::Busy(_) | PeerError::NoSuchService { .. }) => {
                    return (Outcome::Unreachable, None);
                }
                Err(PeerError::TooLarge { .. }) => return (Outcome::Unreachable, None),
                Err(PeerError::Unreachable { .. } | PeerError::DeadlineExceeded(_)) => return (Outcome::Lost, None),
            }
        };
        match answer {
            Ok(reply) => (Outcome::Answered, Some(reply)),
            Err(refusal) => (Outcome::Refused(refusal), None),
        }
    }
}

fn written(served: Served<KvReply>) -> Result<Served<u64>, BackendError> {
    match served.value {
        KvReply::Written { index } => Ok(Served { value: index, shard: served.shard, node: served.node }),
        KvReply::Value(_) | KvReply::Rows { .. } => Err(odd_answer()),
    }
}

fn odd_answer() -> BackendError {
    BackendError::Internal(
        "a shard gave another kind of answer than was asked for: run the same release on all nodes".into(),
    )
}

fn unknown_keyspace(name: &str) -> BackendError {
    BackendError::NotFound(format!(
        "there is no keyspace {name:?}: create it first, or see /v1/keyspaces for those there are"
    ))
}
