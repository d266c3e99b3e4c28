//! What shard groups cost and carry: `cargo run -p isobar-raft --example group_load -- NODES SHARDS SECONDS OPS_PER_S`.
//!
//! Starts the nodes in this process, each with its own directory and port, and shards of factor 3 on them. Measures the CPU they take
//! while idle, then offers so many operations per second, one write to four reads, evenly spaced (open loop), and prints latencies.

#![expect(clippy::unwrap_used, reason = "a measurement that can not go on says so by panicking")]

use bytes::Bytes;
use isobar_model::{
    Consistency, Generation, Incarnation, KeyRange, KeyspaceId, KvError, KvOp, KvRequest, NodeId, Replica, Shard,
    ShardId,
};
use isobar_raft::transport::{AddressBook, PeerIdentity, PeerNetwork, TcpPeers};
use isobar_raft::{NodeStorage, RaftHub, RaftTiming, ReplicaRole, ShardHost, ShardHostConfig};
use isobar_storage::{Identity, NodeDir};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::main]
async fn main() {
    let argument = |n: usize, default: u64| std::env::args().nth(n).map_or(default, |text| text.parse().unwrap());
    let (nodes, shards, seconds, rate) = (argument(1, 6), argument(2, 120), argument(3, 10), argument(4, 1000));
    let directory = tempfile::tempdir().unwrap();
    let book = AddressBook::new();
    let mut running = Vec::new();
    for node in (1..=nodes).map(NodeId) {
        let cluster = "load".to_owned();
        let identity = Identity { cluster: cluster.clone(), node };
        let dir = NodeDir::open(&directory.path().join(node.to_string()), identity).unwrap();
        let peers = TcpPeers::bind(PeerIdentity { cluster, node }, "127.0.0.1:0", book.clone()).await.unwrap();
        book.set(node, &peers.local_addr().to_string());
        let hub = RaftHub::new(Arc::clone(&peers) as Arc<dyn PeerNetwork>);
        let config = ShardHostConfig { timing: RaftTiming::SHARD, operation_timeout: Duration::from_secs(5) };
        let host = ShardHost::open(&NodeStorage::from(&dir), &hub, config).await.unwrap();
        running.push((dir, peers, host));
    }
    let hosts: Arc<Vec<Arc<ShardHost>>> = Arc::new(running.iter().map(|(_, _, host)| Arc::clone(host)).collect());
    let started = Instant::now();
    for id in 1..=shards {
        let on = (0..3).map(|i| NodeId((id + i) % nodes + 1));
        let shard = Shard {
            id: ShardId(id),
            keyspace: KeyspaceId(1),
            range: KeyRange { start: Bytes::new(), end: None },
            generation: Generation(1),
            replicas: on.map(|node| Replica { node, incarnation: Incarnation(1) }).collect(),
            leader: None,
        };
        for (i, replica) in shard.replicas.iter().enumerate() {
            let host = &hosts[usize::try_from(replica.node.0 - 1).unwrap()];
            host.ensure_replica(&shard, i == 0).await.unwrap();
        }
    }
    println!("{shards} shards on {nodes} nodes created in {:.1} s", started.elapsed().as_secs_f64());
    loop {
        let led: usize = hosts.iter().map(|host| host.leaderships().len()).sum();
        if led as u64 == shards {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("all led after {:.1} s", started.elapsed().as_secs_f64());
    let (cpu, idle) = (cpu_s(), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let share = (cpu_s() - cpu) / idle.elapsed().as_secs_f64();
    println!("idle: {:.1} % of a core, {} MiB resident", share * 100.0, resident_mib());

    let (cpu, begin) = (cpu_s(), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    let total = rate * seconds;
    let mut latencies: Vec<(bool, Duration)> = Vec::new();
    for n in 0..total {
        let due = begin + Duration::from_nanos(n * 1_000_000_000 / rate);
        tokio::time::sleep_until(due.into()).await;
        let hosts = Arc::clone(&hosts);
        tasks.spawn(async move {
            // A multiplier of the golden ratio spreads operations over shards and keys.
            let key = Bytes::from(format!("key{:06}", n.wrapping_mul(0x9e37_79b9) % 10_000));
            let shard = ShardId(n % shards + 1);
            let write = n % 5 == 0;
            let op = if write {
                KvOp::Put { key, value: Bytes::from(vec![7; 256]) }
            } else {
                KvOp::Get { key, consistency: Consistency::Linearizable }
            };
            let request = KvRequest { shard, generation: Generation(1), op };
            let is_leader = |host: &&Arc<ShardHost>| host.replica(shard).is_some_and(|r| r.role == ReplicaRole::Leader);
            loop {
                let leader = hosts.iter().find(is_leader);
                let outcome = match leader {
                    Some(leader) => leader.execute(request.clone()).await,
                    None => Err(KvError::NotLeader { shard, leader: None }),
                };
                match outcome {
                    Ok(_) => return (write, due.elapsed()),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        while let Some(done) = tasks.try_join_next() {
            latencies.push(done.unwrap());
        }
    }
    while let Some(done) = tasks.join_next().await {
        latencies.push(done.unwrap());
    }
    let took = begin.elapsed().as_secs_f64();
    println!(
        "load: {:.0} operations/s, {:.1} % of a core, {} MiB resident",
        total as f64 / took,
        (cpu_s() - cpu) / took * 100.0,
        resident_mib()
    );
    for write in [false, true] {
        let mut of: Vec<Duration> =
            latencies.iter().filter(|(kind, _)| *kind == write).map(|(_, took)| *took).collect();
        of.sort();
        let at = |percent: usize| of[(of.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
        println!("{}: p50 {:.1} ms, p99 {:.1} ms", if write { "puts" } else { "gets" }, at(50), at(99));
    }
}
