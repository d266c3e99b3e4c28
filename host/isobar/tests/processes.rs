//! Real processes, real sockets, real disks: `isobar serve` as operators run it.

use anyhow::{Context as _, bail, ensure};
use isobar_model::Digest;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Everything waited for comes within this time, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(120);

struct Process {
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// SIGKILL: no goodbye, nothing flushed.
    fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// Ports and folders of a cluster of processes.
struct Cluster {
    folder: tempfile::TempDir,
    ports: Vec<(u16, u16)>,
    nodes: Vec<Option<Process>>,
    http: reqwest::Client,
    options: &'static [&'static str],
    /// A label of each node, as far as there is one.
    labels: &'static [&'static str],
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Cluster {
    fn start(nodes: usize) -> anyhow::Result<Self> {
        Self::start_with(nodes, &[])
    }

    /// `options`: further ones of `isobar serve`.
    fn start_with(nodes: usize, options: &'static [&'static str]) -> anyhow::Result<Self> {
        Self::start_labelled(nodes, options, &[])
    }

    fn start_labelled(
        nodes: usize,
        options: &'static [&'static str],
        labels: &'static [&'static str],
    ) -> anyhow::Result<Self> {
        let ports = (0..nodes).map(|_| Ok((free_port()?, free_port()?))).collect::<anyhow::Result<Vec<_>>>()?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let nodes_down = (0..nodes).map(|_| None).collect();
        let mut cluster = Self { folder: tempfile::tempdir()?, ports, nodes: nodes_down, http, options, labels };
        for i in 0..nodes {
            cluster.start_node(i)?;
        }
        Ok(cluster)
    }

    fn command(&self, i: usize) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isobar"));
        let (http, peer) = self.ports[i];
        command.args(["serve", "--tick-ms", "500", "--step-ms", "1000", "--id", &(i + 1).to_string()]);
        command.args(self.options);
        if let Some(label) = self.labels.get(i) {
            command.args(["--label", label]);
        }
        command.arg("--data").arg(self.folder.path().join(format!("node-{}", i + 1)));
        command.args(["--http", &format!("127.0.0.1:{http}"), "--peer", &format!("127.0.0.1:{peer}")]);
        for (voter, (_, peer)) in self.ports.iter().enumerate().take(3) {
            command.args(["--control", &format!("{}=127.0.0.1:{peer}", voter + 1)]);
        }
        command.env("ISOBAR_LOG", "warn,openraft=off").stdout(Stdio::null());
        command
    }

    fn start_node(&mut self, i: usize) -> anyhow::Result<()> {
        self.nodes[i] = Some(Process { child: self.command(i).spawn()? });
        Ok(())
    }

    fn kill(&mut self, i: usize) -> anyhow::Result<()> {
        self.nodes[i].take().context("the node runs")?.kill()
    }

    fn url(&self, i: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports[i].0)
    }

    async fn get(&self, i: usize, path: &str) -> anyhow::Result<Value> {
        let answer = self.http.get(self.url(i, path)).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Status and body, whatever the status.
    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<(u16, Value)> {
        let answer = request.send().await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    async fn wait<T>(&self, what: &str, i: usize, path: &str, done: impl Fn(&Value) -> Option<T>) -> anyhow::Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            let last = match self.get(i, path).await {
                Ok(answer) => match done(&answer) {
                    Some(found) => return Ok(found),
                    None => answer.to_string(),
                },
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > end {
                bail!("{what} did not come: {}", &last[..last.len().min(800)]);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn wait_until_ready(&self, i: usize) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.http.get(self.url(i, "/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "node {} did not become ready", i + 1);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_for_nodes(&self, count: usize) -> anyhow::Result<()> {
        self.wait("all nodes", 0, "/v1/nodes", |nodes| (nodes.as_array()?.len() == count).then_some(())).await
    }

    async fn create(&self, name: &str, shards: u32) -> anyhow::Result<()> {
        let body = json!({"name": name, "partitioning": "hash", "shards": shards, "replication_factor": 3});
        let (status, answer) = self.send(self.http.post(self.url(0, "/v1/keyspaces")).json(&body)).await?;
        ensure!(status == 201 || status == 200, "{status}: {answer}");
        Ok(())
    }

    /// Writes until it is acknowledged, asking the nodes in turn.
    async fn put(&self, key: &str, value: &str) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        for turn in 0.. {
            let url = self.url(turn % self.ports.len(), &format!("/v1/kv/notes/{key}"));
            match self.http.put(url).body(value.to_owned()).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                _ if Instant::now() > end => bail!("{key} was not written"),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        Ok(())
    }

    /// Reads one key over and over, until every node tells, of the shard's leader, that this is the hot one.
    async fn finds_the_hot_key(&self, key: &str) -> anyhow::Result<()> {
        let answer = self.http.get(self.url(0, &format!("/v1/kv/notes/{key}"))).send().await?;
        let shard = answer.headers().get("isobar-shard").context("a shard")?.to_str()?.to_owned();
        for i in 0..self.ports.len() {
            let end = Instant::now() + PATIENCE;
            loop {
                for _ in 0..20 {
                    self.read(i, key).await?;
                }
                // A minute may end, or a leader change, meanwhile: then there is more to come.
                let told = self.get(i, &format!("/v1/shards/{shard}/profile")).await;
                let shows = |profile: &Value| {
                    let operations = profile["operations"].as_array().into_iter().flatten();
                    let gets = operations.filter(|o| o["operation"] == "get").filter_map(|o| o["requests"].as_u64());
                    let latency = profile["latency_us"]["p50"].as_f64();
                    // It is told from a hundred requests on, of which the hot key has most by now.
                    let is_skewed = profile["key_skew"].as_f64() > Some(0.5);
                    profile["hot_keys"][0]["key"] == key && gets.sum::<u64>() > 0 && latency > Some(0.0) && is_skewed
                };
                if told.as_ref().is_ok_and(shows) {
                    break;
                }
                ensure!(Instant::now() < end, "{key} is not told of by node {}: {told:?}", i + 1);
            }
        }
        Ok(())
    }

    async fn read(&self, i: usize, key: &str) -> anyhow::Result<Option<String>> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(answer) = self.http.get(self.url(i, &format!("/v1/kv/notes/{key}"))).send().await {
                match answer.status().as_u16() {
                    200 => return Ok(Some(answer.text().await?)),
                    404 => return Ok(None),
                    _ => {}
                }
            }
            ensure!(Instant::now() < end, "{key} could not be read");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Promise 1: a node killed without warning comes back with every acknowledged write, and the others served on meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_when_nodes_are_killed() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(3)?;
    cluster.wait_for_nodes(3).await?;
    cluster.create("notes", 4).await?;
    for i in 0..60 {
        cluster.put(&format!("a{i}"), &format!("first {i}")).await?;
    }
    cluster.kill(1)?;
    for i in 0..60 {
        cluster.put(&format!("b{i}"), &format!("second {i}")).await?;
    }
    cluster.start_node(1)?;
    // Each of the others in turn, so that some majority has to count the one that was killed.
    for victim in [0, 2] {
        cluster.wait_until_ready(1).await?;
        cluster.kill(victim)?;
        for i in 0..60 {
            let (a, b) = (cluster.read(1, &format!("a{i}")).await?, cluster.read(1, &format!("b{i}")).await?);
            assert_eq!(a.as_deref(), Some(format!("first {i}").as_str()), "a{i} with node {} down", victim + 1);
            assert_eq!(b.as_deref(), Some(format!("second {i}").as_str()), "b{i} with node {} down", victim + 1);
        }
        cluster.start_node(victim)?;
    }
    Ok(())
}

/// Upload, bind, a stale compare-and-swap, swap, roll back; then a drain that moves every replica of a node, with digests compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_swapped_and_a_node_is_drained() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(4, &["--default-forecaster", "none"])?;
    cluster.wait_for_nodes(4).await?;
    cluster.create("notes", 4).await?;
    for i in 0..40 {
        cluster.put(&format!("k{i}"), &format!("value {i}")).await?;
    }
    cluster.finds_the_hot_key("k7").await?;

    let (status, refused) =
        cluster.send(cluster.http.post(cluster.url(1, "/v1/policies")).body("no component")).await?;
    assert_eq!(status, 400, "{refused}");
    // A core module is WebAssembly, but no component: taken in, and rejected with the reason.
    let core_module = cluster.http.post(cluster.url(1, "/v1/policies")).body(b"\0asm\x01\0\0\0".as_slice());
    let (status, refused) = cluster.send(core_module).await?;
    assert_eq!(status, 202, "{refused}");
    let path = format!("/v1/policies/{}", refused["digest"].as_str().context("a digest")?);
    let judged = |policy: &Value| (policy["status"] != "uploaded").then(|| policy.clone());
    let refused = cluster.wait("a verdict", 0, &path, judged).await?;
    assert_eq!(refused["status"], "rejected", "{refused}");
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{refused}");

    let mut digests = Vec::new();
    for name in ["seasonal-naive", "holt-winters"] {
        let policy = isobar_bundle::first_party().iter().find(|p| p.name == name).context("a first-party policy")?;
        let request = cluster.http.post(cluster.url(2, "/v1/policies")).body(policy.component);
        let (status, uploaded) = cluster.send(request).await?;
        assert_eq!(status, 202, "{uploaded}");
        let digest = uploaded["digest"].as_str().context("a digest")?.to_owned();
        let ready = cluster.wait("a verdict", 0, &format!("/v1/policies/{digest}"), judged).await?;
        assert_eq!((&ready["status"], &ready["role"]), (&json!("ready"), &json!("forecast")), "{ready}");
        digests.push(digest);
    }
    let bind = |digest: &str, expected: u64| {
        let change = json!({"revision": digest, "config": {}, "expected": expected});
        cluster.http.put(cluster.url(3, "/v1/bindings/forecast")).json(&change)
    };
    let (status, bound) = cluster.send(bind(&digests[0], 0)).await?;
    assert_eq!((status, &bound["number"]), (200, &json!(1)), "{bound}");
    let (status, stale) = cluster.send(bind(&digests[1], 0)).await?;
    assert_eq!((status, &stale["actual"]), (409, &json!(1)), "{stale}");
    let (status, swapped) = cluster.send(bind(&digests[1], 1)).await?;
    assert_eq!((status, &swapped["revision"]), (200, &json!(digests[1])), "{swapped}");
    let back = cluster.http.post(cluster.url(0, "/v1/bindings/forecast/rollback")).json(&json!({"expected": 2}));
    let (status, back) = cluster.send(back).await?;
    assert_eq!((status, &back["revision"]), (200, &json!(digests[0])), "{back}");

    let drain = cluster.http.post(cluster.url(1, "/v1/nodes/4/drain")).json(&json!({}));
    let (status, draining) = cluster.send(drain).await?;
    assert!((200..300).contains(&status), "{draining}");
    let empty = |nodes: &Value| {
        let node = nodes.as_array()?.iter().find(|node| node["id"] == 4)?;
        (node["replicas"] == 0).then_some(())
    };
    cluster.wait("the drained node's emptiness", 0, "/v1/nodes", empty).await?;
    let finished =
        |all: &Value| all.as_array()?.iter().all(|m| m["stage"] == "done").then(|| all.as_array().map_or(0, Vec::len));
    assert!(cluster.wait("the migrations' end", 0, "/v1/migrations", finished).await? > 0);
    for i in 0..40 {
        assert_eq!(cluster.read(i % 4, &format!("k{i}")).await?.as_deref(), Some(format!("value {i}").as_str()));
    }
    for shard in 1..=4 {
        let (status, compared) =
            cluster.send(cluster.http.post(cluster.url(0, &format!("/v1/shards/{shard}/verify")))).await?;
        assert_eq!((status, &compared["equal"], &compared["missing"]), (200, &json!(true), &json!([])), "{compared}");
    }
    // The loop beats as `--tick-ms` asked, though the first leader was elected before the cluster had any settings.
    let ticks = |decisions: &Value| {
        let times: Vec<u64> = decisions.as_array()?.iter().filter_map(|d| d["now"].as_u64()).collect();
        times.windows(2).any(|pair| pair[0].abs_diff(pair[1]) == 500).then_some(())
    };
    cluster.wait("ticks of half a second", 0, "/v1/decisions", ticks).await
}

/// Forecasts of a new cluster come to be made by `best` without anybody's doing. Once an operator has unbound it, it stays so, whoever leads
/// after all nodes have started again.
/// Promise 5, for rules of placement: a keyspace in mode `advise` is brought to where its rule says, and a new one begins there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_live_where_their_keyspace_asks() -> anyhow::Result<()> {
    let labels = &["rack=a", "disk=ssd", "disk=ssd", "disk=ssd", "rack=b"];
    let cluster = Cluster::start_labelled(5, &["--default-forecaster", "none"], labels)?;
    cluster.wait_for_nodes(5).await?;
    let labelled = |nodes: &Value| (0..5).all(|i| nodes[i]["labels"] == json!([labels[i]])).then_some(());
    cluster.wait("labels", 0, "/v1/nodes", labelled).await?;
    cluster.create("notes", 4).await?;
    for i in 0..20 {
        cluster.put(&format!("k{i}"), &format!("value {i}")).await?;
    }
    let elsewhere = |shards: &Value, keyspace: &str| {
        let of = shards["shards"].as_array()?.iter().filter(|shard| shard["keyspace"] == keyspace);
        let replicas = of.flat_map(|shard| shard["replicas"].as_array().cloned().unwrap_or_default());
        Some(replicas.filter(|replica| [json!(1), json!(5)].contains(&replica["node"])).count())
    };
    let spread = cluster.get(0, "/v1/shards").await?;
    assert!(elsewhere(&spread, "notes").context("shards")? > 0, "balanced by count: {spread}");

    let rules = json!({"require": ["disk=ssd"]});
    let put = cluster.http.put(cluster.url(3, "/v1/keyspaces/notes/rules")).json(&rules);
    let (status, told) = cluster.send(put).await?;
    assert_eq!((status, &told["require"]), (200, &json!(["disk=ssd"])), "{told}");
    let home = |shards: &Value| (elsewhere(shards, "notes")? == 0).then_some(());
    cluster.wait("all replicas on nodes with an SSD", 0, "/v1/shards", home).await?;
    for i in 0..20 {
        assert_eq!(cluster.read(i % 5, &format!("k{i}")).await?.as_deref(), Some(format!("value {i}").as_str()));
    }
    let by_hand = json!({"from": 2, "to": 5});
    let (status, refused) = cluster.send(cluster.http.post(cluster.url(0, "/v1/shards/1/move")).json(&by_hand)).await?;
    assert!(status == 409 || status == 422, "{status}: {refused}");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("labels")), "{refused}");

    // Emptying one of the three nodes that will do can't be: that is known before anybody tries.
    let suppose = |supposed: Value| cluster.http.post(cluster.url(4, "/v1/what-if")).json(&supposed);
    let (status, found) = cluster.send(suppose(json!({"nodes_draining": [3], "nodes_added": 1}))).await?;
    assert_eq!((status, &found["data_moves"], &found["policy"]), (200, &json!(0), &json!("builtin")), "{found}");
    assert!(found["notes"].to_string().contains("labels"), "{found}");
    let nodes = found["nodes"].as_array().context("nodes")?;
    assert_eq!((nodes.len(), &nodes[5]["added"], &nodes[2]["state"]), (6, &json!(true), &json!("draining")), "{found}");

    // Why a shard stays, in words and by the rule that keeps it.
    let told = cluster.get(1, "/v1/shards/1/explain").await?;
    assert!(told["summary"].as_str().is_some_and(|text| text.starts_with("Shard 1 is led by node")), "{told}");
    let considered = told["considered"].as_array().context("what was considered")?;
    assert!(considered.iter().any(|c| c["rule"] == "node-labels" && c["verdict"] == "refused"), "{told}");
    let told = cluster.get(2, "/v1/nodes/2/explain").await?;
    assert!(told["summary"].as_str().is_some_and(|text| text.starts_with("Node 2 is at")), "{told}");
    // Whoever leads has counted the moves that brought replicas home.
    let mut figures = String::new();
    for i in 0..5 {
        figures += &cluster.http.get(cluster.url(i, "/metrics")).send().await?.text().await?;
    }
    assert!(figures.contains("isobar_judged_moves_total{verdict=\"accepted\""), "{figures}");

    let body = json!({"name": "more", "partitioning": "hash", "shards": 3, "rules": rules});
    let (status, answer) = cluster.send(cluster.http.post(cluster.url(0, "/v1/keyspaces")).json(&body)).await?;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(elsewhere(&cluster.get(0, "/v1/shards").await?, "more"), Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_forecasts_by_best_until_an_operator_decides_otherwise() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(3)?;
    cluster.wait_for_nodes(3).await?;
    cluster.create("notes", 1).await?;
    cluster.put("k", "value").await?;
    let best = isobar_bundle::first_party().iter().find(|p| p.name == "best").context("best")?;
    let is_default = |binding: &Value| (binding["default"] == true).then(|| binding.clone());
    let bound = cluster.wait("the default forecaster", 1, "/v1/bindings/forecast", is_default).await?;
    assert_eq!((&bound["number"], &bound["revision"]), (&json!(1), &json!(Digest::of(best.component))), "{bound}");
    let made_by = |name: &'static str| {
        move |forecast: &Value| {
            let is_made =
                forecast["policy"] == name && forecast["shards"].as_array().is_some_and(|all| !all.is_empty());
            is_made.then_some(())
        }
    };
    cluster.wait("a forecast by best", 2, "/v1/forecasts", made_by("best")).await?;
    let status = Command::new(env!("CARGO_BIN_EXE_isobar"))
        .args(["--endpoint", &cluster.url(0, ""), "policy", "status"])
        .output()?;
    let told = String::from_utf8_lossy(&status.stdout);
    assert!(told.contains("best (") && told.contains("by default"), "{told}");

    let unbind =
        cluster.http.put(cluster.url(1, "/v1/bindings/forecast")).json(&json!({"revision": null, "expected": 1}));
    let (status, unbound) = cluster.send(unbind).await?;
    assert_eq!((status, &unbound["number"], &unbound["default"]), (200, &json!(2), &json!(false)), "{unbound}");
    let tick = cluster.get(0, "/v1/status").await?["tick"].as_u64().context("a tick")?;
    for i in 0..3 {
        cluster.kill(i)?;
    }
    for i in 0..3 {
        cluster.start_node(i)?;
    }
    // The leader readies what is bound before its first tick, or at once beside it; some ticks on, nothing else is to come.
    let later = |status: &Value| (status["tick"].as_u64()? > tick + 5).then_some(());
    cluster.wait("ticks after the start", 0, "/v1/status", later).await?;
    cluster.wait("a native forecast", 0, "/v1/forecasts", made_by("builtin")).await?;
    let kept = cluster.get(2, "/v1/bindings/forecast").await?;
    assert_eq!(
        (&kept["number"], &kept["revision"], &kept["default"]),
        (&json!(2), &Value::Null, &json!(false)),
        "{kept}"
    );
    Ok(())
}

/// Modes and the brake: where an operator approves, an overloaded node's relief waits for the release; while halted nothing is released.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_waits_for_its_release_and_nothing_moves_while_halted() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(3, &["--capacity", "20"])?;
    cluster.wait_for_nodes(3).await?;
    cluster.create("notes", 4).await?;
    let set_mode =
        |mode: &str| cluster.http.put(cluster.url(0, "/v1/keyspaces/notes/mode")).json(&json!({ "mode": mode }));
    assert_eq!(cluster.send(set_mode("approve")).await?.0, 200);
    let reactive = isobar_bundle::first_party().iter().find(|p| p.name == "reactive").context("reactive")?;
    let (_, uploaded) =
        cluster.send(cluster.http.post(cluster.url(0, "/v1/policies")).body(reactive.component)).await?;
    let digest = uploaded["digest"].as_str().context("a digest")?.to_owned();
    let judged = |policy: &Value| (policy["status"] == "ready").then_some(());
    cluster.wait("a verdict", 0, &format!("/v1/policies/{digest}"), judged).await?;
    let bind = json!({"revision": digest, "config": {}, "expected": 0});
    assert_eq!(cluster.send(cluster.http.put(cluster.url(0, "/v1/bindings/place")).json(&bind)).await?.0, 200);

    // One node leads every shard, and gets more than it can carry; the others have room.
    for shard in 1..=4 {
        let leads = |shard: &Value| (shard["leader"] == 1).then_some(());
        let give = cluster.http.post(cluster.url(0, &format!("/v1/shards/{shard}/transfer-leader")));
        let (status, answer) = cluster.send(give.json(&json!({"to": 1}))).await?;
        assert!(status == 202 || status == 409 || status == 422, "{status} {answer}");
        cluster.wait("leadership", 0, &format!("/v1/shards/{shard}"), leads).await?;
    }
    let traffic = {
        let (http, url) = (cluster.http.clone(), cluster.url(0, "/v1/kv/notes/"));
        tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(25));
            for i in 0_u64.. {
                pace.tick().await;
                // Answers don't matter here, only that the load is there.
                let _ = http.get(format!("{url}{}", i % 64)).send().await;
            }
        })
    };
    let waiting = |plans: &Value| plans.as_array()?.last()?["tick"].as_u64();
    cluster.wait("a plan", 0, "/v1/plans/pending", waiting).await?;
    let by_policy = |all: &Value| {
        all.as_array()
            .into_iter()
            .flatten()
            .filter(|m| m["reason"].as_str().is_some_and(|r| !r.starts_with("operator")))
            .count()
    };
    assert_eq!(by_policy(&cluster.get(0, "/v1/migrations").await?), 0, "a plan was not to be carried out unasked");

    assert_eq!(cluster.send(cluster.http.put(cluster.url(1, "/v1/halt"))).await?.0, 200);
    let release = |tick: u64| cluster.http.post(cluster.url(2, "/v1/plans/release")).json(&json!({"tick": tick}));
    let tick = cluster.wait("a plan", 0, "/v1/plans/pending", waiting).await?;
    let (status, halted) = cluster.send(release(tick)).await?;
    assert_eq!(status, 409, "{halted}");
    // Not even where the loop may do all by itself.
    assert_eq!(cluster.send(set_mode("auto")).await?.0, 200);
    let held = |decisions: &Value| {
        let mut moves = decisions.as_array()?.iter().flat_map(|d| d["moves"].as_array().into_iter().flatten());
        moves.any(|m| m["verdict"] == "held" && m["rule"] == "halted").then_some(())
    };
    cluster.wait("a move held back", 0, "/v1/decisions", held).await?;
    assert_eq!(by_policy(&cluster.get(0, "/v1/migrations").await?), 0, "all automatic moves are halted");
    assert_eq!(cluster.send(set_mode("approve")).await?.0, 200);
    assert_eq!(cluster.send(cluster.http.delete(cluster.url(1, "/v1/halt"))).await?.0, 200);

    // A plan is as old as its tick, and only the latest few are kept.
    let (end, mut released) = (Instant::now() + PATIENCE, false);
    while !released {
        let tick = cluster.wait("a plan", 0, "/v1/plans/pending", waiting).await?;
        let (status, answer) = cluster.send(release(tick)).await?;
        released = status == 202;
        ensure!(released || (status == 404 && Instant::now() < end), "{status}: {answer}");
    }
    let carried_out = |all: &Value| (by_policy(all) > 0).then_some(());
    cluster.wait("the released move", 0, "/v1/migrations", carried_out).await?;
    traffic.abort();
    Ok(())
}

/// What is imported, and what was measured, is there after all nodes are gone at once; what nodes use is measured and forecast.
#[tokio::test(flavor = "multi_thread")]
async fn history_comes_back_and_nodes_tell_what_they_use() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(3)?;
    cluster.wait_until_ready(0).await?;
    cluster.wait_for_nodes(3).await?;
    cluster.create("h", 2).await?;
    let shards = cluster.get(0, "/v1/shards?keyspace=h").await?;
    let shard = shards["shards"][0]["id"].as_u64().context("a shard")?;

    // Ten hours in five-minute steps, ending an hour ago.
    let now = cluster.get(0, "/v1/status").await?["now"].as_u64().context("the clock")?;
    let start = now / 3_600_000 * 3_600_000 - 11 * 3_600_000;
    let values: Vec<f64> = (0..120).map(|i| f64::from(i % 12)).collect();
    let batch = json!({
        "metric": "load", "start": start, "step_ms": 300_000, "steps": 120, "shards": [shard], "values": values,
    });
    let (status, answer) = cluster.send(cluster.http.post(cluster.url(0, "/v1/history")).json(&batch)).await?;
    ensure!(status == 200, "{status}: {answer}");

    for i in 0..3 {
        cluster.kill(i)?;
    }
    for i in 0..3 {
        cluster.start_node(i)?;
    }
    cluster.wait_until_ready(0).await?;
    let to = start + 10 * 3_600_000;
    let path = |resolution: &str| format!("/v1/history?shard={shard}&resolution={resolution}&from={start}&to={to}");
    let five = cluster.wait("the history", 0, &path("5m"), |page| Some(page["rows"][0].clone())).await?;
    ensure!(five["mean"] == json!(values.iter().map(|v| Some(*v)).collect::<Vec<_>>()), "{five}");
    let hours = cluster.get(0, &path("1h")).await?;
    ensure!(hours["rows"][0]["mean"] == json!(vec![5.5; 10]), "{hours}");
    ensure!(hours["rows"][0]["max"] == json!(vec![11.0; 10]), "a peak is not averaged away: {hours}");
    let (status, _) =
        cluster.send(cluster.http.get(cluster.url(0, "/v1/history?metric=read-ops&resolution=10s"))).await?;
    ensure!(status == 422, "{status}");

    let live = format!("/v1/history?shard={shard}&resolution=10s&from={now}");
    let measured =
        |page: &Value| page["rows"][0]["coverage"].as_array()?.iter().any(|c| c.as_f64() > Some(0.0)).then_some(());
    cluster.wait("a step measured", 0, &live, measured).await?;
    let known = |nodes: &Value| {
        let all = nodes.as_array()?.iter();
        all.map(|node| node["usage"]["cpu_millicores"].as_f64().zip(node["usage"]["memory_bytes"].as_u64()))
            .all(|usage| usage.is_some_and(|(_, memory)| memory > 1_000_000))
            .then_some(())
    };
    cluster.wait("what nodes use", 0, "/v1/nodes", known).await?;
    let forecast = |forecast: &Value| {
        let figures = forecast["figures"].as_array()?;
        let memory = figures.iter().find(|figure| figure["metric"] == "memory-bytes")?;
        memory["paths"][0][0].as_f64().filter(|bytes| *bytes > 1e6)
    };
    cluster.wait("a node's forecast", 0, "/v1/nodes/2/forecast", forecast).await?;
    Ok(())
}

fn fails(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stderr(Stdio::piped()).output()?;
    ensure!(!output.status.success(), "it should have failed");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn single(folder: &Path, cluster: &str, http: &str, peer: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isobar"));
    command.args(["serve", "--id", "1", "--cluster", cluster, "--http", http]).arg("--data").arg(folder);
    command.args(["--peer", &format!("127.0.0.1:{peer}"), "--control", &format!("1=127.0.0.1:{peer}")]);
    command.env("ISOBAR_LOG", "error,openraft=off");
    command
}

/// A node that can't run says why and what to do, and exits with an error.
#[test]
fn a_node_that_cannot_run_says_why() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let busy = taken.local_addr()?.to_string();
    let said = fails(&mut single(&folder.path().join("a"), "one", &busy, free_port()?))?;
    assert!(said.contains(&busy) && said.contains("--http"), "{said}");

    let said = fails(&mut single(&folder.path().join("a"), "one", "0.0.0.0:0", free_port()?))?;
    assert!(said.contains("token"), "{said}");

    let file = folder.path().join("file");
    std::fs::write(&file, "in the way")?;
    let said = fails(&mut single(&file.join("below"), "one", "127.0.0.1:0", free_port()?))?;
    assert!(said.contains("below"), "{said}");

    // A directory of another cluster: the first process makes it, the second is refused.
    let data = folder.path().join("data");
    let (http, peer) = (free_port()?, free_port()?);
    let mut first = Process { child: single(&data, "one", &format!("127.0.0.1:{http}"), peer).spawn()? };
    let end = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", http)).is_err() || !data.join("blobs").exists() {
        ensure!(Instant::now() < end, "the first process did not come up");
        std::thread::yield_now();
    }
    let said = fails(&mut single(&data, "one", "127.0.0.1:0", free_port()?))?;
    assert!(said.contains("another process") || said.contains("in use"), "{said}");
    first.kill()?;
    let said = fails(&mut single(&data, "two", "127.0.0.1:0", free_port()?))?;
    assert!(said.contains("one") && said.contains("two"), "{said}");
    Ok(())
}
