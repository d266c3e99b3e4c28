//! The commands and the client against the API over a real socket, in front of the API's own backend in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the API's tests use more of it")]
#[path = "../../../api/tests/http/fake_backend.rs"]
mod fake_backend;
mod policy_score;

use clap::Parser;
use fake_backend::FakeBackend;
use futures::StreamExt;
use isobar::cli::{ClientCommand, Target, report_failure};
use isobar::client::{self, Client, ClientError, ScanQuery};
use isobar_api::{Api, ApiConfig, RouteQuery, SetBinding, Standing};
use isobar_model::{
    Consistency, Digest, InstantMs, LoadBatch, Metric, Mode, NodeId, OperationId, RevisionStatus, Role, ShardId,
};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// As in the binary.
#[derive(Parser, Debug)]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: ClientCommand,
}

struct Node {
    backend: Arc<FakeBackend>,
    endpoint: String,
}

impl Node {
    async fn start(token: Option<&str>) -> Self {
        let backend = FakeBackend::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let config = ApiConfig { token: token.map(ToOwned::to_owned), ..ApiConfig::default() };
        tokio::spawn(Api::new(Arc::clone(&backend) as _, config).serve(listener, std::future::pending()));
        Self { backend, endpoint }
    }

    fn client(&self) -> Client {
        Client::new(&self.endpoint, None).unwrap()
    }

    /// Runs a command line as the binary would.
    async fn run(&self, line: &str) -> anyhow::Result<()> {
        let words = line.split_whitespace();
        let cli = Cli::try_parse_from(["isobar", "--endpoint", &self.endpoint].into_iter().chain(words))?;
        cli.command.run(&cli.target).await
    }

    async fn fails(&self, line: &str) -> String {
        let error = self.run(line).await.unwrap_err();
        let _ = report_failure(&error, line.contains("--json"));
        error.to_string()
    }
}

#[test]
fn the_command_line_is_sound_and_every_command_is_explained() {
    use clap::CommandFactory;
    fn explained(command: &clap::Command, path: &str) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            assert!(sub.get_about().is_some(), "{path} is not explained");
            for arg in sub.get_arguments().filter(|arg| arg.get_id() != "help") {
                assert!(arg.get_help().is_some(), "{path} {} is not explained", arg.get_id());
            }
            explained(sub, &path);
        }
    }
    Cli::command().debug_assert();
    explained(&Cli::command(), "isobar");
}

#[tokio::test]
async fn every_command_does_its_work() {
    let node = Node::start(None).await;
    let component = std::env::temp_dir().join(format!("isobar-cli-{}.wasm", std::process::id()));
    std::fs::write(&component, b"\0asm!").unwrap();
    let digest = Digest::of(b"\0asm!");
    node.run(&format!("policy upload --no-wait {}", component.display())).await.unwrap();
    node.backend.judge(digest, RevisionStatus::Ready);
    node.run(&format!("policy upload {}", component.display())).await.unwrap();
    std::fs::remove_file(&component).unwrap();
    for line in [
        "status",
        "--json status",
        "policy list",
        "policy show seasonal-naive",
        "policy bind forecast seasonal-naive --config {\"season\":1}",
        "policy bind forecast builtin --expected 1",
        "policy rollback forecast",
        "policy status",
        "keyspace create u --shards 4 --replication-factor 1 --mode auto",
        "keyspace create v --partitioning range --split a,b%20c",
        "keyspace mode t approve",
        "keyspace show v",
        "keyspace list --json",
        "node list",
        "node drain 3",
        "node undrain 3",
        "shard list --keyspace t --node 1",
        "shard show 1",
        "shard profile 1",
        "shard move 1 --from 1 --to 2",
        "shard transfer-leader 2 --to 3",
        "migration list --active --shard 1",
        "migration show 1",
        "migration cancel 1",
        "plan list",
        "plan release 40",
        "kv put t user/7 hello",
        "kv get t user/7 --stale",
        "kv scan t --prefix user/",
        "kv delete t user/7",
        "forecast --shard 1,2 --horizon 3",
        "forecast --scores",
        "forecast --scores --shard 1",
        "ranking --limit 5",
        "heatmap --past 4 --future 2 --color always",
        "heatmap --metric read-bytes --resolution 1h --columns 40 --rows 1 --order key",
        "decisions --limit 3",
        "decisions --tick 7",
        "events --after 0 --count 2",
        "halt",
        "resume",
    ] {
        if let Err(error) = node.run(line).await {
            panic!("isobar {line}: {error:#}");
        }
    }
    let client = node.client();
    assert_eq!(client.binding(Role::Forecast, None).await.unwrap().revision, Some(digest));
    assert_eq!(client.keyspace("u").await.unwrap().shards, 4);
    assert_eq!(client.keyspace("v").await.unwrap().shards, 3);
    assert_eq!(client.keyspace("t").await.unwrap().mode, Mode::Approve);
    assert!(!client.status().await.unwrap().halted);
}

#[tokio::test]
async fn the_heat_map_is_drawn_into_files() {
    let node = Node::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    for (name, begins) in [("map.svg", &b"<svg "[..]), ("map.png", b"\x89PNG\r\n")] {
        let path = folder.path().join(name);
        node.run(&format!("heatmap --past 4 --future 2 --out {}", path.display())).await.unwrap();
        let written = std::fs::read(&path).unwrap();
        assert!(written.starts_with(begins), "{name}: {} bytes", written.len());
    }
    assert!(node.fails("heatmap --out map.jpg").await.contains(".svg or .png"));
    assert!(node.fails("heatmap --out /nowhere/map.png").await.contains("/nowhere/map.png"));
    assert!(node.fails("heatmap --metric read-ops --future 3").await.contains("nothing but load is forecast"));
    assert!(node.fails("heatmap --columns 1").await.contains("1 is not in 2..=4096"));
}

#[tokio::test]
async fn what_fails_says_why() {
    let node = Node::start(None).await;
    assert!(node.fails("kv get t nothing").await.contains("never written"));
    assert!(node.fails("forecast --scores --shard 1,2").await.contains("at most one"));
    assert!(node.fails("kv put nope a 1").await.contains("create it first"));
    assert!(node.fails("kv put t .. 1").await.contains("can't be sent"));
    assert!(node.fails("policy show nope").await.contains("policy list"));
    assert!(node.fails("policy upload /nowhere/x.wasm").await.contains("/nowhere/x.wasm"));
    assert!(node.fails("policy bind forecast builtin --config {").await.contains("no JSON"));
    assert!(node.fails("--json policy bind forecast builtin --expected 7").await.contains("at number 0"));
    assert!(node.fails("shard move 9 --from 1 --to 2").await.contains("no shard 9"));
    assert!(node.fails("keyspace create X").await.contains("choose another"));
    assert!(node.fails("migration watch 5").await.contains("migration 5"));
    let nobody = Cli::try_parse_from(["isobar", "--endpoint", "127.0.0.1:1", "status"]).unwrap();
    let error = nobody.command.run(&nobody.target).await.unwrap_err().to_string();
    assert!(error.contains("Is the node running there?"), "{error}");
    for bad in ["https://127.0.0.1:7400", "http://", "http://a/v1", "::"] {
        assert!(matches!(Client::new(bad, None), Err(ClientError::Usage(_))), "{bad}");
    }
}

#[tokio::test]
async fn a_policy_that_is_rejected_fails_the_upload() {
    let node = Node::start(None).await;
    let uploaded = node.client().upload_policy(bytes::Bytes::from_static(b"\0asm?")).await.unwrap();
    assert_eq!(uploaded.status, Standing::Uploaded);
    node.backend
        .judge(uploaded.digest, RevisionStatus::Rejected { reason: "it imports wasi:http: remove that".into() });
    let component = std::env::temp_dir().join(format!("isobar-cli-rejected-{}.wasm", std::process::id()));
    std::fs::write(&component, b"\0asm?").unwrap();
    let failed = node.fails(&format!("policy upload {}", component.display())).await;
    std::fs::remove_file(&component).unwrap();
    assert!(failed.contains("wasi:http"), "{failed}");
}

#[tokio::test]
async fn a_wait_ends_with_the_migration() {
    let node = Node::start(None).await;
    let begun = node.client().move_shard(ShardId(1), NodeId(1), NodeId(2)).await.unwrap();
    assert_eq!(begun.id, OperationId(1));
    let (watched, ()) = tokio::join!(node.run("migration watch 1"), async {
        tokio::task::yield_now().await;
        node.backend.finish_migrations();
    });
    watched.unwrap();
}

#[tokio::test]
async fn the_client_carries_bytes_as_they_are() {
    let node = Node::start(None).await;
    let client = node.client();
    let key = b"a/../\0\xff%+ b".as_slice();
    let value: bytes::Bytes = (0..=255).collect::<Vec<u8>>().into();
    let put = client.put("t", key, value.clone()).await.unwrap();
    assert_eq!((put.shard, put.node), (Some(ShardId(1)), Some(NodeId(1))));
    assert_eq!(client.get("t", key, Consistency::Linearizable).await.unwrap().value, Some(value.clone()));
    let page = client.scan("t", &ScanQuery { prefix: Some(b"a/".to_vec()), ..ScanQuery::default() }).await.unwrap();
    assert_eq!(client::row(&page.rows[0]).unwrap(), (bytes::Bytes::copy_from_slice(key), value));
    client.delete("t", key).await.unwrap();
    assert_eq!(client.get("t", key, Consistency::Stale).await.unwrap().value, None);
}

#[tokio::test]
async fn the_client_gives_problems_as_they_came() {
    let node = Node::start(Some("s3cret")).await;
    let refused = node.client().status().await.unwrap_err();
    assert_eq!(refused.status(), Some(401));
    let client = Client::new(&node.endpoint, Some("s3cret".into())).unwrap();
    let set = SetBinding { revision: None, config: serde_json::json!({}), expected: 3 };
    let Err(ClientError::Problem(problem)) = client.bind(Role::Place, Some("t"), &set).await else {
        panic!("a stale number was bound");
    };
    assert_eq!((problem.expected, problem.actual), (Some(3), Some(0)));
    assert_eq!(client.ready().await.map_err(|e| e.to_string()), Ok(()));
    assert!(client.metrics().await.unwrap().contains("isobar_route_version"));
}

#[tokio::test]
async fn the_client_imports_history_and_follows_routes_and_events() {
    let node = Node::start(None).await;
    let client = node.client();
    let batch = LoadBatch {
        metric: Metric::Load,
        start: InstantMs(0),
        step_ms: 300_000,
        steps: 2,
        shards: vec![ShardId(1)],
        values: vec![1.0, f32::NAN],
    };
    assert_eq!(client.import_history(&batch).await.unwrap().steps, 2);
    assert_eq!(node.backend.imported()[0].shards, batch.shards);
    assert_eq!(client.routes(&RouteQuery { after: Some(7), wait_ms: None }).await.unwrap(), None);
    assert_eq!(client.routes(&RouteQuery::default()).await.unwrap().unwrap().shards.len(), 2);
    let mut events = pin!(client.events(None).await.unwrap());
    client.move_shard(ShardId(1), NodeId(1), NodeId(2)).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(30), events.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((event.id, event.kind.as_str()), (1, "migration"));
}
