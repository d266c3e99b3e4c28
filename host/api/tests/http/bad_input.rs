use crate::{Server, problem};
use reqwest::Method;
use serde_json::{Value, json};

/// Each of these is refused with the right status and a sentence; `problem` checks that it is one.
#[tokio::test]
async fn every_bad_body_is_refused() {
    let server = Server::start().await;
    let many: Vec<String> = (0..25_600).map(|i| format!("{i:05}")).collect();
    let too_long = "x".repeat(4097);
    let digest = "0".repeat(64);
    let history = |body: Value| {
        let mut whole = json!({"metric": "load", "start": 0, "step_ms": 1, "steps": 1, "shards": [1], "values": [1.0]});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        whole
    };
    let keyspaces = "/v1/keyspaces";
    let cases = [
        (Method::POST, keyspaces, json!({"partitioning": "hash"}), 422),
        (Method::POST, keyspaces, json!({"name": "A b", "partitioning": "hash"}), 422),
        (Method::POST, keyspaces, json!({"name": "rollback", "partitioning": "hash"}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "round-robin"}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "hash", "shards": 0}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "hash", "shards": 25_601}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "hash", "shards": -1}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "hash", "split_points": ["a"]}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "hash", "replication_factor": 2}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "hash", "color": "red"}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "range", "shards": 4}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "range", "split_points": ["b", "a"]}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "range", "split_points": ["a", "a"]}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "range", "split_points": [""]}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "range", "split_points": [too_long]}), 413),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "range", "split_points": many}), 422),
        (Method::POST, keyspaces, json!({"name": "x", "partitioning": "range", "placement": [[1, 1, 2]]}), 422),
        (
            Method::POST,
            keyspaces,
            json!({"name": "x", "partitioning": "range", "placement": [[1, 2, 3], [1, 2, 3]]}),
            422,
        ),
        (Method::PUT, "/v1/keyspaces/t/mode", json!({"mode": "yolo"}), 422),
        (Method::PUT, "/v1/keyspaces/nope/mode", json!({"mode": "auto"}), 404),
        (Method::POST, "/v1/what-if", json!({"load": {"nope": 2.0}}), 404),
        (Method::POST, "/v1/what-if", json!({"load": {"t": -1.0}}), 422),
        (Method::POST, "/v1/what-if", json!({"nodes_down": [9]}), 404),
        (Method::POST, "/v1/what-if", json!({"nodes_added": 101}), 422),
        (Method::POST, "/v1/what-if", json!({"nodes": [1]}), 422),
        (Method::PUT, "/v1/keyspaces/nope/rules", json!({}), 404),
        (Method::PUT, "/v1/keyspaces/t/rules", json!({"require": ["ssd"]}), 422),
        (Method::PUT, "/v1/keyspaces/t/rules", json!({"requires": ["disk=ssd"]}), 422),
        (Method::PUT, "/v1/keyspaces/t/rules", json!({"apart": ["nope"]}), 404),
        (Method::PUT, "/v1/keyspaces/t/rules", json!({"apart": ["t"]}), 422),
        (Method::PUT, "/v1/keyspaces/t/rules", json!({"require": ["a=b"], "forbid": ["a=b"]}), 422),
        (
            Method::PUT,
            "/v1/keyspaces/t/rules",
            json!({"require": (0..40).map(|i| format!("k={i}")).collect::<Vec<_>>()}),
            422,
        ),
        (Method::POST, "/v1/shards/1/move", json!({"from": 1, "to": 1}), 422),
        (Method::POST, "/v1/shards/1/move", json!({"from": 1}), 422),
        (Method::POST, "/v1/shards/1/move", json!({"from": 1, "to": 9}), 422),
        (Method::POST, "/v1/shards/9/move", json!({"from": 1, "to": 2}), 404),
        (Method::POST, "/v1/shards/9/transfer-leader", json!({"to": 2}), 404),
        (Method::POST, "/v1/shards/one/move", json!({"from": 1, "to": 2}), 400),
        (Method::PUT, "/v1/bindings/forecast", json!({"expected": 0}), 422),
        (Method::PUT, "/v1/bindings/forecast", json!({"revision": null}), 422),
        (Method::PUT, "/v1/bindings/forecast", json!({"revision": "latest", "expected": 0}), 422),
        (Method::PUT, "/v1/bindings/forecast", json!({"revision": digest, "expected": 0}), 404),
        (Method::PUT, "/v1/bindings/dance", json!({"revision": null, "expected": 0}), 404),
        (Method::PUT, "/v1/bindings/place/nope", json!({"revision": null, "expected": 0}), 404),
        (
            Method::PUT,
            "/v1/bindings/place",
            json!({"revision": null, "expected": 0, "config": "c".repeat(65_536)}),
            413,
        ),
        (
            Method::PUT,
            "/v1/bindings/place",
            json!({"revision": null, "expected": 0, "config": "c".repeat(2 << 20)}),
            413,
        ),
        (Method::POST, "/v1/plans/release", json!({"tick": "now"}), 422),
        (Method::POST, "/v1/history", history(json!({"steps": 0})), 422),
        (Method::POST, "/v1/history", history(json!({"steps": 2})), 422),
        (Method::POST, "/v1/history", history(json!({"steps": u32::MAX, "shards": vec![1; 70_000]})), 422),
        (Method::POST, "/v1/history", history(json!({"values": [-1.0]})), 422),
        (Method::POST, "/v1/history", history(json!({"values": [1e39]})), 400),
        (Method::POST, "/v1/history", history(json!({"start": u64::MAX})), 422),
        (Method::POST, "/v1/history", history(json!({"shards": [1, 1], "values": [1.0, 1.0]})), 422),
        (Method::POST, "/v1/history", history(json!({"metric": "vibes"})), 422),
    ];
    for (method, path, body, status) in cases {
        let response = server.json(method.clone(), path, body.clone()).await;
        let shown: String = body.to_string().chars().take(120).collect();
        assert_eq!(response.status(), status, "{method} {path} {shown}");
        problem(response, status).await;
    }
    let refused =
        server.json(Method::POST, keyspaces, json!({"name": "x", "partitioning": "hash", "shards": 99_999})).await;
    assert_eq!(problem(refused, 422).await.limit, Some(25_600));
}

#[tokio::test]
async fn what_is_no_json_is_said_so() {
    let server = Server::start().await;
    for (method, path) in [
        (Method::POST, "/v1/keyspaces"),
        (Method::PUT, "/v1/keyspaces/t/mode"),
        (Method::PUT, "/v1/keyspaces/t/rules"),
        (Method::PUT, "/v1/bindings/forecast"),
        (Method::POST, "/v1/bindings/forecast/rollback"),
        (Method::POST, "/v1/shards/1/move"),
        (Method::POST, "/v1/shards/1/transfer-leader"),
        (Method::POST, "/v1/plans/release"),
        (Method::POST, "/v1/history"),
    ] {
        let response = server.request(method.clone(), path).body("{").send().await.unwrap();
        assert_eq!(response.status(), 400, "{method} {path}");
        assert!(problem(response, 400).await.detail.contains("no JSON"));
    }
    problem(server.request(Method::POST, "/v1/keyspaces").send().await.unwrap(), 400).await;
    let compact = server.request(Method::POST, "/v1/history").header("content-type", "application/octet-stream");
    problem(compact.body(vec![0xff; 10]).send().await.unwrap(), 400).await;
}

#[tokio::test]
async fn an_upload_that_is_no_wasm_or_too_large_is_refused() {
    let server = Server::start().await;
    for body in ["", "(component)", "\x7fELF"] {
        problem(server.request(Method::POST, "/v1/policies").body(body).send().await.unwrap(), 400).await;
    }
    let large = server.request(Method::POST, "/v1/policies").body(vec![0u8; (32 << 20) + 1]).send().await.unwrap();
    assert_eq!(problem(large, 413).await.limit, Some(32 << 20));
    problem(server.get("/v1/policies/latest").await, 400).await;
    problem(server.get(&format!("/v1/policies/{}", "0".repeat(64))).await, 404).await;
}

#[tokio::test]
async fn every_bad_parameter_is_refused() {
    let server = Server::start().await;
    for path in [
        "/v1/shards?limit=0",
        "/v1/shards?limit=10001",
        "/v1/shards?sort=load",
        "/v1/shards?node=first",
        "/v1/shards/first",
        "/v1/shards/-1",
        "/v1/shards/first/profile",
        "/v1/shards/99999999999999999999999",
        "/v1/forecasts?shard=a",
        "/v1/forecasts?horizon=0",
        "/v1/forecasts?horizon=289",
        "/v1/heatmap?past=8065",
        "/v1/heatmap?future=289",
        "/v1/heatmap?past=-1",
        "/v1/heatmap?past=0&future=0",
        "/v1/heatmap?columns=1",
        "/v1/heatmap?columns=4097",
        "/v1/heatmap?rows=0",
        "/v1/heatmap?rows=2001",
        "/v1/heatmap?resolution=2m",
        "/v1/heatmap?metric=vibes",
        "/v1/heatmap?metric=memory-bytes",
        "/v1/heatmap?metric=read-ops&future=1",
        "/v1/ranking?limit=0",
        "/v1/insights?shard=first",
        "/v1/forecasts/scores?shard=first",
        "/v1/forecasts/scores?shards=1",
        "/v1/insights?shards=1",
        "/v1/migrations?limit=0",
        "/v1/migrations?active=maybe",
        "/v1/decisions?limit=501",
        "/v1/routes?after=x",
        "/v1/keyspaces/%ff",
    ] {
        problem(server.get(path).await, 400).await;
    }
    problem(server.get("/v1/forecasts?shard=9").await, 404).await;
    problem(server.get("/v1/forecasts/scores?shard=9").await, 404).await;
}
