//! What this node answers to its peers.

use crate::node::control::{encode_answer, propose_here};
use crate::node::directory::Directory;
use crate::node::live_profile::WatchedShards;
use crate::node::services::{DirectoryReply, DirectoryRequest, NodeSamples, ProposeAnswer, decode, encode};
use crate::node::utilisation::Probe;
use async_trait::async_trait;
use bytes::Bytes;
use isobar_control::ControlState;
use isobar_model::{KvError, KvReply, KvRequest, NodeId, ProcessUsage};
use isobar_raft::transport::PeerHandler;
use isobar_raft::{ControlGroup, ShardHost};
use std::sync::Arc;
use std::time::Duration;

/// Requests to shards that live here.
#[derive(Debug)]
pub(crate) struct KvHandler(pub(crate) Arc<WatchedShards>);

#[async_trait]
impl PeerHandler for KvHandler {
    async fn handle(&self, _from: NodeId, request: Bytes) -> Bytes {
        let answer: Result<KvReply, KvError> = match decode::<KvRequest>(&request) {
            Ok(request) => self.0.execute(request).await,
            Err(problem) => Err(KvError::Internal(problem)),
        };
        encode(&answer)
    }
}

/// Proposals to the control replica that lives here.
#[derive(Debug)]
pub(crate) struct ProposeHandler(pub(crate) Arc<ControlGroup<ControlState>>);

#[async_trait]
impl PeerHandler for ProposeHandler {
    async fn handle(&self, _from: NodeId, request: Bytes) -> Bytes {
        let answer: ProposeAnswer = propose_here(&self.0, request).await;
        encode_answer(&answer)
    }
}

/// News for nodes without a control replica.
#[derive(Debug)]
pub(crate) struct DirectoryHandler(pub(crate) Arc<Directory>);

#[async_trait]
impl PeerHandler for DirectoryHandler {
    async fn handle(&self, _from: NodeId, request: Bytes) -> Bytes {
        let request = match decode::<DirectoryRequest>(&request) {
            Ok(request) => request,
            Err(problem) => {
                tracing::warn!(problem, "a directory request was refused");
                return Bytes::new();
            }
        };
        let directory = &self.0;
        if directory.nodes_number() <= request.nodes_after {
            let next = isobar_model::RouteVersion(request.after.0.saturating_add(1));
            directory.wait_for(next, Duration::from_millis(request.wait_ms.min(5_000))).await;
        }
        let map = directory.map();
        let (number, nodes) = directory.numbered_nodes();
        encode(&DirectoryReply {
            map: (map.version > request.after).then(|| (*map).clone()),
            nodes: (number > request.nodes_after).then(|| (number, nodes.values().cloned().collect())),
            control_leader: directory.control_leader(),
        })
    }
}

/// Counters of the replicas that live here.
#[derive(Debug)]
pub(crate) struct SamplesHandler {
    pub(crate) shards: Arc<ShardHost>,
    pub(crate) watched: Arc<WatchedShards>,
    pub(crate) started_ms: u64,
    pub(crate) probe: Probe,
}

impl SamplesHandler {
    /// What the process uses now.
    pub(crate) fn usage(&self) -> ProcessUsage {
        self.probe.usage()
    }

    /// The counters now.
    pub(crate) fn samples(&self) -> NodeSamples {
        let samples = self.shards.samples();
        let used_bytes = samples.iter().map(|sample| sample.stored_bytes).sum();
        let (usage, key_skews) = (self.usage(), self.watched.key_skews());
        NodeSamples { started_ms: self.started_ms, samples, used_bytes, usage, key_skews }
    }
}

#[async_trait]
impl PeerHandler for SamplesHandler {
    async fn handle(&self, _from: NodeId, _request: Bytes) -> Bytes {
        encode(&self.samples())
    }
}
