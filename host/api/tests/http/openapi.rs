use crate::Server;
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeSet;

/// Every route there is. A route that is added stands here, in the document and in the router, or this test says so.
const ROUTES: &[(&str, &str)] = &[
    ("delete", "/v1/halt"),
    ("delete", "/v1/keyspaces/{name}/gains"),
    ("delete", "/v1/kv/{keyspace}/{key}"),
    ("delete", "/v1/nodes/{id}/drain"),
    ("get", "/healthz"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/readyz"),
    ("get", "/v1/bindings"),
    ("get", "/v1/bindings/{role}"),
    ("get", "/v1/bindings/{role}/{keyspace}"),
    ("get", "/v1/decisions"),
    ("get", "/v1/decisions/{tick}"),
    ("get", "/v1/events"),
    ("get", "/v1/forecasts"),
    ("get", "/v1/forecasts/scores"),
    ("get", "/v1/gains"),
    ("get", "/v1/heatmap"),
    ("get", "/v1/keyspaces/{name}/gains"),
    ("get", "/v1/insights"),
    ("get", "/v1/history"),
    ("get", "/v1/keyspaces"),
    ("get", "/v1/keyspaces/{name}"),
    ("get", "/v1/kv/{keyspace}"),
    ("get", "/v1/kv/{keyspace}/{key}"),
    ("get", "/v1/migrations"),
    ("get", "/v1/migrations/{id}"),
    ("get", "/v1/nodes"),
    ("get", "/v1/nodes/{id}"),
    ("get", "/v1/nodes/{id}/explain"),
    ("get", "/v1/nodes/{id}/forecast"),
    ("get", "/v1/nodes/{id}/history"),
    ("get", "/v1/plans/pending"),
    ("get", "/v1/policies"),
    ("get", "/v1/policies/{digest}"),
    ("get", "/v1/ranking"),
    ("get", "/v1/routes"),
    ("get", "/v1/shards"),
    ("get", "/v1/shards/{id}"),
    ("get", "/v1/shards/{id}/explain"),
    ("get", "/v1/shards/{id}/profile"),
    ("get", "/v1/status"),
    ("post", "/v1/bindings/{role}/rollback"),
    ("post", "/v1/bindings/{role}/{keyspace}/rollback"),
    ("post", "/v1/history"),
    ("post", "/v1/keyspaces"),
    ("post", "/v1/migrations/{id}/cancel"),
    ("post", "/v1/nodes/{id}/drain"),
    ("post", "/v1/plans/release"),
    ("post", "/v1/what-if"),
    ("post", "/v1/policies"),
    ("post", "/v1/shards/{id}/move"),
    ("post", "/v1/shards/{id}/transfer-leader"),
    ("post", "/v1/shards/{id}/verify"),
    ("put", "/v1/bindings/{role}"),
    ("put", "/v1/bindings/{role}/{keyspace}"),
    ("put", "/v1/halt"),
    ("get", "/v1/keyspaces/{name}/rules"),
    ("put", "/v1/keyspaces/{name}/gains"),
    ("put", "/v1/keyspaces/{name}/mode"),
    ("put", "/v1/keyspaces/{name}/rules"),
    ("put", "/v1/kv/{keyspace}/{key}"),
];

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

#[tokio::test]
async fn the_document_and_the_router_know_the_same_routes() {
    let server = Server::start().await;
    let document = server.read("/openapi.json").await;
    let described: BTreeSet<_> = operations(&document).map(|(method, path, _)| (method, path)).collect();
    assert_eq!(described, ROUTES.iter().copied().collect());
    for (method, path) in described {
        let filled = path
            .replace("{keyspace}", "t")
            .replace("{name}", "t")
            .replace("{role}", "place")
            .replace("{id}", "1")
            .replace("{tick}", "1")
            .replace("{digest}", &"0".repeat(64))
            .replace("{key}", "a/b");
        let response = server
            .request(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), &filled)
            .send()
            .await
            .unwrap();
        let status = response.status();
        assert_ne!(status, 405, "{method} {path}");
        if status == 404 {
            let text = response.text().await.unwrap();
            assert!(!text.contains("nothing is at"), "{method} {path}: {text}");
        }
    }
}

#[tokio::test]
async fn every_operation_is_described_with_examples() {
    let server = Server::start().await;
    let document = server.read("/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let text = document.to_string();
    for (method, path, operation) in operations(&document) {
        let at = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|s| s.len() > 3), "{at} has no summary");
        assert!(operation["tags"][0].is_string(), "{at} has no tag");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let described = parameter.get("example").is_some() || parameter["schema"].get("example").is_some();
            assert!(described, "{at}: {} has no example", parameter["name"]);
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{at} has no success");
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|d| !d.is_empty()), "{at} {status} is not described");
        }
    }
    // What is referred to is there.
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(schemas.contains_key(reference), "{reference} is referred to and not there");
    }
}
