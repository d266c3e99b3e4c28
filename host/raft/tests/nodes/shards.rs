//! What shard groups promise, over three and more nodes in one process.

use crate::cluster::{Cluster, PATIENCE, eventually, fence};
use bytes::Bytes;
use isobar_model::{Consistency, Generation, Incarnation, KvError, KvOp, KvReply, KvRequest, NodeId, Replica};
use isobar_ports::ShardOpError;
use isobar_raft::ReplicaRole;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn voters(nodes: &[u64]) -> BTreeSet<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_is_got_and_scanned_from_the_leader() {
    let cluster = Cluster::start(3).await;
    let shard = cluster.create(1, &[1, 2, 3]).await;
    let client = cluster.client(&shard);
    for i in 0..20 {
        client.put(&format!("k{i:02}"), &format!("v{i}")).await;
    }
    client.ask(KvOp::Delete { key: Bytes::from_static(b"k07") }).await;
    assert_eq!(client.get("k05").await.as_deref(), Some("v5"));
    assert_eq!(client.get("k07").await, None);
    let scan = KvOp::Scan { start: Bytes::from_static(b"k06"), end: None, limit: 2 };
    let KvReply::Rows { rows, next } = client.ask(scan).await else { panic!() };
    let keys: Vec<_> = rows.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!(keys, [b"k06", b"k08"]);
    assert_eq!(next.as_deref(), Some(&b"k09"[..]));
    // Counted where it was served.
    let leader = cluster.leader(shard.id).await;
    let sample = cluster.nodes[&leader].host.samples()[0];
    assert!(sample.leads && sample.writes == 21 && sample.reads == 3, "{sample:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_points_to_the_leader_and_serves_stale_reads() {
    let cluster = Cluster::start(3).await;
    let shard = cluster.create(1, &[1, 2, 3]).await;
    let client = cluster.client(&shard);
    client.put("k", "v").await;
    let leader = cluster.leader(shard.id).await;
    let (_, follower) = cluster.nodes.iter().find(|(id, _)| **id != leader).unwrap();
    let request = |consistency| KvRequest {
        shard: shard.id,
        generation: shard.generation,
        op: KvOp::Get { key: Bytes::from_static(b"k"), consistency },
    };
    assert_eq!(
        follower.host.execute(request(Consistency::Linearizable)).await,
        Err(KvError::NotLeader { shard: shard.id, leader: Some(leader) })
    );
    eventually("the follower has applied the write", async || {
        let reply = follower.host.execute(request(Consistency::Stale)).await;
        (reply == Ok(KvReply::Value(Some(Bytes::from_static(b"v"))))).then_some(())
    })
    .await;
}

/// Promise 4: a stale router gets a redirect, never a wrong answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_out_of_range_is_refused_whatever_the_generation() {
    let cluster = Cluster::start(1).await;
    let shard = cluster.create(1, &[1]).await;
    cluster.leader(shard.id).await;
    let host = &cluster.nodes[&NodeId(1)].host;
    let refused = Err(KvError::OutOfRange { shard: shard.id, generation: shard.generation });
    for op in [
        KvOp::Get { key: Bytes::from_static(b"zz"), consistency: Consistency::Linearizable },
        KvOp::Put { key: Bytes::from_static(b"zz"), value: Bytes::new() },
        KvOp::Scan { start: Bytes::from_static(b"zz"), end: None, limit: 1 },
    ] {
        let request = KvRequest { shard: shard.id, generation: Generation(0), op };
        assert_eq!(host.execute(request).await, refused);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_goes_where_it_is_asked_to_go() {
    let cluster = Cluster::start(3).await;
    let shard = cluster.create(1, &[1, 2, 3]).await;
    let client = cluster.client(&shard);
    client.put("k", "v").await;
    let ops = cluster.ops(1, &shard);
    for to in [3, 1, 2, 2] {
        ops.transfer_leader(fence(1), shard.id, NodeId(to)).await.unwrap();
        assert_eq!(ops.status(shard.id).await.unwrap().leader, Some(NodeId(to)));
    }
    assert_eq!(client.get("k").await.as_deref(), Some("v"));
    let refused = ops.transfer_leader(fence(1), shard.id, NodeId(9)).await.unwrap_err();
    assert!(matches!(refused, ShardOpError::Refused(_)), "{refused}");
}

/// Promise 1: an acknowledged write survives the loss of any minority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_the_leader() {
    let mut cluster = Cluster::start(3).await;
    let shard = cluster.create(1, &[1, 2, 3]).await;
    let client = cluster.client(&shard);
    for i in 0..50 {
        client.put(&format!("k{i}"), &i.to_string()).await;
    }
    let leader = cluster.leader(shard.id).await;
    cluster.kill(leader).await;
    for i in 0..50 {
        assert_eq!(client.get(&format!("k{i}")).await, Some(i.to_string()));
    }
    client.put("after", "it").await;
    // It comes back with its disk, and catches up.
    cluster.start_node(leader).await;
    let new_leader = cluster.leader(shard.id).await;
    eventually("the old leader has caught up", async || {
        let [old, new] = [leader, new_leader].map(|node| cluster.status(shard.id, node.0).unwrap());
        (old.applied == new.applied && old.digest == new.digest && old.rows == 51).then_some(())
    })
    .await;
}

/// Promise 1, for the whole cluster: everything acknowledged is on disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_every_node_keeps_what_was_acknowledged() {
    let mut cluster = Cluster::start(3).await;
    let shard = cluster.create(1, &[1, 2, 3]).await;
    let client = cluster.client(&shard);
    for i in 0..50 {
        client.put(&format!("k{i}"), &i.to_string()).await;
    }
    for node in 1..=3 {
        cluster.kill(NodeId(node)).await;
    }
    for node in 1..=3 {
        cluster.start_node(NodeId(node)).await;
    }
    for i in 0..50 {
        assert_eq!(client.get(&format!("k{i}")).await, Some(i.to_string()));
    }
}

/// Promises 1 and 2: a replica moves under load, every acknowledged write is read back, and the proof of the copy holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_moves_under_writers_and_loses_nothing() {
    let cluster = Cluster::start(4).await;
    let shard = cluster.create(1, &[1, 2, 3]).await;
    let client = cluster.client(&shard);
    for i in 0..200 {
        client.put(&format!("old{i:03}"), &"x".repeat(2000)).await;
    }
    let ops = cluster.ops(4, &shard);
    ops.transfer_leader(fence(1), shard.id, NodeId(1)).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        writers.spawn(async move {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                client.put(&format!("w{writer}-{:02}", written % 50), &written.to_string()).await;
                written += 1;
            }
            (writer, written)
        });
    }

    let replica = Replica { node: NodeId(4), incarnation: Incarnation(7) };
    ops.prepare_replica(fence(1), shard.id, replica).await.unwrap();
    ops.prepare_replica(fence(1), shard.id, replica).await.unwrap();
    ops.add_learner(fence(1), shard.id, replica, 200_000).await.unwrap();
    ops.add_learner(fence(1), shard.id, replica, 200_000).await.unwrap();
    let copied = eventually("the copy is installed", async || {
        let progress = ops.copy_progress(shard.id, NodeId(4)).await.unwrap();
        (progress.installed && progress.lag_entries < 100).then_some(progress)
    })
    .await;
    // It came as a snapshot, paced, not by the log.
    assert!(copied.total_bytes > 400_000 && copied.copied_bytes == copied.total_bytes, "{copied:?}");
    let digests = ops.verify(fence(1), shard.id).await.unwrap();
    assert_eq!(digests.keys().copied().collect::<BTreeSet<_>>(), voters(&[1, 2, 3, 4]));
    assert_eq!(digests.values().map(|digest| digest.digest).collect::<BTreeSet<_>>().len(), 1);

    // The node that leads is the one that goes.
    ops.change_voters(fence(1), shard.id, voters(&[2, 3, 4])).await.unwrap();
    ops.change_voters(fence(1), shard.id, voters(&[2, 3, 4])).await.unwrap();
    eventually("someone else leads", async || {
        ops.status(shard.id).await.ok().filter(|status| status.leader != Some(NodeId(1)) && !status.joint)
    })
    .await;
    ops.delete_replica(fence(1), shard.id, NodeId(1), Incarnation(1)).await.unwrap();
    ops.delete_replica(fence(1), shard.id, NodeId(1), Incarnation(1)).await.unwrap();
    let refused = ops.delete_replica(fence(1), shard.id, NodeId(2), Incarnation(1)).await.unwrap_err();
    assert!(matches!(refused, ShardOpError::Refused(_)), "{refused}");

    stop.store(true, Ordering::Relaxed);
    while let Some(written) = writers.join_next().await {
        let (writer, written) = written.unwrap();
        assert!(written > 0);
        for slot in 0..50.min(written) {
            let last = (0..written).rev().find(|i| i % 50 == slot).unwrap();
            assert_eq!(client.get(&format!("w{writer}-{slot:02}")).await, Some(last.to_string()));
        }
    }
    // Promise 4: the source says that it has the shard no more.
    let request = KvRequest {
        shard: shard.id,
        generation: shard.generation,
        op: KvOp::Get { key: Bytes::from_static(b"old001"), consistency: Consistency::Stale },
    };
    let host = &cluster.nodes[&NodeId(1)].host;
    assert!(matches!(host.execute(request).await, Err(KvError::NotHere { .. })));
    assert!(host.replicas().is_empty());
    let digests = ops.verify(fence(1), shard.id).await.unwrap();
    assert_eq!(digests.len(), 3);
    assert_eq!(digests.values().map(|digest| digest.digest).collect::<BTreeSet<_>>().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_goes_on_where_its_connection_broke() {
    let cluster = Cluster::start(2).await;
    let shard = cluster.create(1, &[1]).await;
    let client = cluster.client(&shard);
    for i in 0..300 {
        client.put(&format!("k{i:03}"), &"x".repeat(5000)).await;
    }
    let ops = cluster.ops(1, &shard);
    let replica = Replica { node: NodeId(2), incarnation: Incarnation(2) };
    ops.prepare_replica(fence(1), shard.id, replica).await.unwrap();
    ops.add_learner(fence(1), shard.id, replica, 1_000_000).await.unwrap();
    let mut breaks = 0;
    let mut furthest = 0;
    eventually("the copy is installed", async || {
        let progress = ops.copy_progress(shard.id, NodeId(2)).await.unwrap();
        // Never back to the start: what was taken is kept.
        assert!(progress.copied_bytes >= furthest, "{progress:?} after {furthest}");
        if progress.copied_bytes > furthest && !progress.installed {
            furthest = progress.copied_bytes;
            breaks += 1;
            cluster.nodes[&NodeId(1)].peers.disconnect(NodeId(2));
        }
        progress.installed.then_some(())
    })
    .await;
    assert!(breaks >= 3, "{breaks}");
    let digests = ops.verify(fence(1), shard.id).await.unwrap();
    assert_eq!(digests[&NodeId(1)], digests[&NodeId(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_survives_the_death_of_its_receiver() {
    let mut cluster = Cluster::start(2).await;
    let shard = cluster.create(1, &[1]).await;
    let client = cluster.client(&shard);
    for i in 0..300 {
        client.put(&format!("k{i:03}"), &"x".repeat(5000)).await;
    }
    let ops = cluster.ops(1, &shard);
    let replica = Replica { node: NodeId(2), incarnation: Incarnation(2) };
    ops.prepare_replica(fence(1), shard.id, replica).await.unwrap();
    ops.add_learner(fence(1), shard.id, replica, 1_000_000).await.unwrap();
    eventually("a part is copied", async || {
        (ops.copy_progress(shard.id, NodeId(2)).await.unwrap().copied_bytes > 0).then_some(())
    })
    .await;
    cluster.kill(NodeId(2)).await;
    client.put("meanwhile", "served").await;
    cluster.start_node(NodeId(2)).await;
    ops.add_learner(fence(1), shard.id, replica, 0).await.unwrap();
    eventually("the copy is installed", async || {
        let progress = ops.copy_progress(shard.id, NodeId(2)).await.unwrap();
        (progress.installed && progress.lag_entries == 0).then_some(())
    })
    .await;
    let digests = ops.verify(fence(1), shard.id).await.unwrap();
    assert_eq!(digests[&NodeId(1)], digests[&NodeId(2)]);
    assert_eq!(digests[&NodeId(2)].rows, 301);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_given_up_leaves_nothing_behind() {
    let cluster = Cluster::start(2).await;
    let shard = cluster.create(1, &[1]).await;
    let client = cluster.client(&shard);
    for i in 0..100 {
        client.put(&format!("k{i:03}"), &"x".repeat(5000)).await;
    }
    let ops = cluster.ops(1, &shard);
    let replica = Replica { node: NodeId(2), incarnation: Incarnation(2) };
    ops.prepare_replica(fence(1), shard.id, replica).await.unwrap();
    // So slow that it never ends.
    ops.add_learner(fence(1), shard.id, replica, 1000).await.unwrap();
    client.put("meanwhile", "served").await;
    // Promise 4: what is not copied yet is not taken for what is not there.
    let request = KvRequest {
        shard: shard.id,
        generation: shard.generation,
        op: KvOp::Get { key: Bytes::from_static(b"k001"), consistency: Consistency::Stale },
    };
    let answer = cluster.nodes[&NodeId(2)].host.execute(request).await;
    assert!(matches!(answer, Err(KvError::NotLeader { .. })), "{answer:?}");
    ops.remove_learner(fence(1), shard.id, NodeId(2)).await.unwrap();
    ops.remove_learner(fence(1), shard.id, NodeId(2)).await.unwrap();
    ops.delete_replica(fence(1), shard.id, NodeId(2), Incarnation(2)).await.unwrap();
    assert!(cluster.nodes[&NodeId(2)].host.replicas().is_empty());
    assert!(cluster.nodes[&NodeId(2)].storage.log.groups().unwrap().is_empty());
    // A later life is welcome, and an earlier one's removal does not touch it.
    let later = Replica { node: NodeId(2), incarnation: Incarnation(3) };
    ops.prepare_replica(fence(1), shard.id, later).await.unwrap();
    ops.delete_replica(fence(1), shard.id, NodeId(2), Incarnation(2)).await.unwrap();
    assert_eq!(cluster.status(shard.id, 2).unwrap().incarnation, Incarnation(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_control_leader_is_fenced_off_also_after_a_restart() {
    let mut cluster = Cluster::start(1).await;
    let shard = cluster.create(1, &[1]).await;
    cluster.leader(shard.id).await;
    let ops = cluster.ops(1, &shard);
    ops.verify(fence(5), shard.id).await.unwrap();
    let fenced = Err(ShardOpError::Fenced { seen: 5, given: 4 });
    assert_eq!(ops.verify(fence(4), shard.id).await, fenced);
    cluster.kill(NodeId(1)).await;
    cluster.start_node(NodeId(1)).await;
    assert_eq!(cluster.ops(1, &shard).verify(fence(4), shard.id).await, fenced);
    assert!(cluster.ops(1, &shard).verify(fence(6), shard.id).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_down_hands_its_leaderships_over() {
    let mut cluster = Cluster::start(3).await;
    let shard = cluster.create(1, &[1, 2, 3]).await;
    let client = cluster.client(&shard);
    client.put("k", "v").await;
    let leader = cluster.leader(shard.id).await;
    let going = cluster.nodes.remove(&leader).unwrap();
    tokio::time::timeout(PATIENCE, going.host.shutdown()).await.unwrap();
    let heir = cluster.leader(shard.id).await;
    assert_ne!(heir, leader);
    assert_eq!(client.get("k").await.as_deref(), Some("v"));
}

/// A log that is cut again and again, replicas that come back far behind it, and still one digest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_missed_a_cut_of_the_log_is_sent_a_snapshot() {
    let mut cluster = Cluster::start(3).await;
    let shard = cluster.create(1, &[1, 2, 3]).await;
    let client = cluster.client(&shard);
    client.put("first", "1").await;
    let leader = cluster.leader(shard.id).await;
    let follower = *cluster.nodes.keys().find(|node| **node != leader).unwrap();
    cluster.kill(follower).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..32 {
        let client = client.clone();
        writers.spawn(async move {
            for i in 0..200 {
                client.put(&format!("w{writer}-{}", i % 20), &i.to_string()).await;
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    cluster.start_node(follower).await;
    let leader = cluster.leader(shard.id).await;
    eventually("the follower has caught up", async || {
        let [behind, ahead] = [follower, leader].map(|node| cluster.status(shard.id, node.0).unwrap());
        (behind.digest == ahead.digest && behind.applied == ahead.applied && behind.rows == 641).then_some(())
    })
    .await;
    assert_ne!(cluster.status(shard.id, follower.0).unwrap().role, ReplicaRole::Learner);
}
