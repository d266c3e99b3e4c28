//! What the control group promises, over three nodes in one process.

use crate::cluster::{Cluster, PATIENCE, TIMING, eventually};
use bytes::Bytes;
use isobar_model::NodeId;
use isobar_ports::ReplicatedState;
use isobar_raft::{ControlGroup, ProposeError};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Remembers every command in order; replies with how many there are.
#[derive(Debug, Default, PartialEq)]
struct Journal(Vec<Bytes>);

impl ReplicatedState for Journal {
    fn apply(&mut self, _index: u64, command: &[u8]) -> Bytes {
        self.0.push(Bytes::copy_from_slice(command));
        Bytes::from(self.0.len().to_string())
    }

    fn snapshot(&self) -> Bytes {
        self.0.iter().flat_map(|command| command.iter().copied().chain([b'\n'])).collect()
    }

    fn restore(&mut self, snapshot: &[u8]) -> io::Result<()> {
        let lines = snapshot.split_inclusive(|&byte| byte == b'\n');
        self.0 = lines.map(|line| Bytes::copy_from_slice(&line[..line.len() - 1])).collect();
        Ok(())
    }
}

type Group = Arc<ControlGroup<Journal>>;

struct Control {
    cluster: Cluster,
    groups: BTreeMap<NodeId, Group>,
}

impl Control {
    async fn start(nodes: u64, voters: u64) -> Self {
        let mut control = Self { cluster: Cluster::start(nodes).await, groups: BTreeMap::new() };
        for node in (1..=nodes).map(NodeId) {
            control.join(node).await;
        }
        control.groups[&NodeId(1)].initialize(&(1..=voters).map(NodeId).collect()).await.unwrap();
        control
    }

    async fn join(&mut self, node: NodeId) {
        let (storage, hub) = (&self.cluster.nodes[&node].storage, &self.cluster.nodes[&node].hub);
        let group = ControlGroup::start(storage, hub, TIMING, Journal::default()).await.unwrap();
        self.groups.insert(node, group);
    }

    async fn kill(&mut self, node: NodeId) {
        self.groups.remove(&node).unwrap().shutdown().await;
        self.cluster.kill(node).await;
    }

    async fn leader(&self) -> Group {
        eventually("a leader", async || self.groups.values().find(|group| group.is_leader()).cloned()).await
    }

    /// Proposes wherever the leader is, until it is acknowledged.
    async fn propose(&self, command: &str) -> Bytes {
        propose(&self.groups, command).await
    }

    fn journals(&self) -> Vec<Vec<Bytes>> {
        self.groups.values().map(|group| group.read(|journal| journal.0.clone())).collect()
    }
}

async fn propose(groups: &BTreeMap<NodeId, Group>, command: &str) -> Bytes {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for group in groups.values().filter(|group| group.is_leader()) {
            if let Ok(reply) = group.propose(Bytes::copy_from_slice(command.as_bytes())).await {
                return reply;
            }
        }
        assert!(Instant::now() < deadline, "no leader takes a proposal");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_is_applied_on_every_member_and_answered_by_the_state() {
    let control = Control::start(3, 3).await;
    assert_eq!(control.propose("a").await, "1");
    assert_eq!(control.propose("b").await, "2");
    let leader = control.leader().await;
    leader.barrier().await.unwrap();
    assert_eq!(leader.read(|journal| journal.0.len()), 2);
    assert!(leader.leadership().borrow().is_local);
    assert!(leader.term() > 0);
    for group in control.groups.values() {
        let mut applied = group.applied();
        let index = *leader.applied().borrow();
        tokio::time::timeout(PATIENCE, applied.wait_for(|&applied| applied >= index)).await.unwrap().unwrap();
    }
    assert!(control.journals().iter().all(|journal| *journal == ["a", "b"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_names_the_leader() {
    let control = Control::start(3, 3).await;
    control.propose("a").await;
    let leader = control.leader().await.leadership().borrow().leader;
    let follower = control.groups.values().find(|group| !group.is_leader()).unwrap();
    assert_eq!(follower.propose(Bytes::from_static(b"x")).await, Err(ProposeError::NotLeader(leader)));
    assert_eq!(follower.barrier().await, Err(ProposeError::NotLeader(leader)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_has_everything_acknowledged() {
    let mut control = Control::start(3, 3).await;
    for i in 0..20 {
        control.propose(&i.to_string()).await;
    }
    let leader = control.leader().await.leadership().borrow().leader.unwrap();
    let mut told = control.groups.values().find(|group| !group.is_leader()).unwrap().leadership();
    control.kill(leader).await;
    control.propose("after").await;
    let commands: BTreeSet<_> = control.leader().await.read(|journal| journal.0.iter().cloned().collect());
    assert_eq!(commands.len(), 21);
    let heir = tokio::time::timeout(PATIENCE, told.wait_for(|now| now.leader.is_some_and(|is| is != leader)));
    assert!(heir.await.is_ok());
}

/// Promise 1, of the control state: the snapshot on disk and the log after it give back every acknowledged entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_every_member_keeps_the_state_also_past_a_cut_log() {
    let mut control = Control::start(3, 3).await;
    // Past the threshold of a snapshot and a cut.
    let mut proposals = tokio::task::JoinSet::new();
    for worker in 0..16 {
        let groups = control.groups.clone();
        proposals.spawn(async move {
            for i in 0..320 {
                propose(&groups, &format!("{worker}-{i}")).await;
            }
        });
    }
    while let Some(proposal) = proposals.join_next().await {
        proposal.unwrap();
    }
    control.leader().await.compact().await.unwrap();
    control.propose("last").await;
    let leader = control.leader().await;
    eventually("a quorum", async || leader.barrier().await.ok()).await;
    let before = leader.read(|journal| journal.0.clone());
    drop(leader);
    for node in (1..=3).map(NodeId) {
        control.kill(node).await;
    }
    for node in (1..=3).map(NodeId) {
        control.cluster.start_node(node).await;
        control.join(node).await;
    }
    let leader = control.leader().await;
    eventually("a quorum", async || leader.barrier().await.ok()).await;
    // A proposal whose leader changed under it may be there twice; none may be missing.
    let distinct: BTreeSet<&Bytes> = before.iter().collect();
    assert_eq!(distinct.len(), 16 * 320 + 1);
    assert!(leader.read(|journal| journal.0 == before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_joins_late_is_sent_the_state() {
    let control = Control::start(4, 3).await;
    for i in 0..50 {
        control.propose(&i.to_string()).await;
    }
    let leader = control.leader().await;
    leader.compact().await.unwrap();
    let voters = (2..=4).map(NodeId).collect();
    eventually("the voters are changed", async || control.leader().await.change_voters(&voters).await.ok()).await;
    assert_eq!(control.propose("with the new one").await, "51");
    let joined = &control.groups[&NodeId(4)];
    let mut applied = joined.applied();
    tokio::time::timeout(PATIENCE, applied.wait_for(|_| joined.read(|journal| journal.0.len() == 51)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(joined.voters(), voters);
}
