use crate::{Server, problem};
use isobar_api::{CONSISTENCY_HEADER, INDEX_HEADER, NODE_HEADER, SHARD_HEADER};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_value_comes_back_with_who_served_it() {
    let server = Server::start().await;
    let put = server.request(Method::PUT, "/v1/kv/t/user/7").body("hello").send().await.unwrap();
    assert_eq!(put.status(), 204);
    assert_eq!(put.headers()[INDEX_HEADER], "12");
    assert_eq!(put.headers()[SHARD_HEADER], "2");

    let got = server.get("/v1/kv/t/user/7").await;
    assert_eq!(got.status(), 200);
    assert_eq!(got.headers()["content-type"], "application/octet-stream");
    assert_eq!(
        (&got.headers()[SHARD_HEADER], &got.headers()[NODE_HEADER]),
        (&"2".parse().unwrap(), &"2".parse().unwrap())
    );
    assert!(!got.headers().contains_key(CONSISTENCY_HEADER));
    assert_eq!(got.text().await.unwrap(), "hello");
    // The slash may be encoded or not: the key is the same.
    assert_eq!(server.get("/v1/kv/t/user%2F7").await.text().await.unwrap(), "hello");

    assert_eq!(server.request(Method::DELETE, "/v1/kv/t/user/7").send().await.unwrap().status(), 204);
    let gone = problem(server.get("/v1/kv/t/user/7").await, 404).await;
    assert_eq!(&*gone.kind, "urn:isobar:problem:no-such-key");
}

#[tokio::test]
async fn a_stale_read_is_named_as_such() {
    let server = Server::start().await;
    server.request(Method::PUT, "/v1/kv/t/a").body("1").send().await.unwrap();
    let got = server.get("/v1/kv/t/a?consistency=stale").await;
    assert_eq!(got.headers()[CONSISTENCY_HEADER], "stale");
    problem(server.get("/v1/kv/t/a?consistency=eventual").await, 400).await;
}

#[tokio::test]
async fn keys_and_values_may_be_any_bytes() {
    let server = Server::start().await;
    let value: Vec<u8> = (0..=255).collect();
    let put = server.request(Method::PUT, "/v1/kv/t/%00%FF%2F..%2F%25").body(value.clone()).send().await.unwrap();
    assert_eq!(put.status(), 204);
    assert_eq!(server.get("/v1/kv/t/%00%ff%2f..%2f%25").await.bytes().await.unwrap(), value);
    let empty = server.request(Method::PUT, "/v1/kv/t/empty").send().await.unwrap();
    assert_eq!(empty.status(), 204);
    assert_eq!(server.get("/v1/kv/t/empty").await.bytes().await.unwrap(), "");
}

#[tokio::test]
async fn an_absent_keyspace_is_another_problem_than_an_absent_key() {
    let server = Server::start().await;
    let absent = problem(server.get("/v1/kv/nope/a").await, 404).await;
    assert_eq!(&*absent.kind, "urn:isobar:problem:not-found");
    assert!(absent.detail.contains("create it first"));
    problem(server.request(Method::PUT, "/v1/kv/nope/a").body("1").send().await.unwrap(), 404).await;
    problem(server.get("/v1/kv/nope?limit=1").await, 404).await;
    problem(server.get("/v1/kv/%ff/a").await, 404).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_its_limit() {
    let server = Server::start().await;
    let fits = "k".repeat(4096);
    assert_eq!(server.request(Method::PUT, &format!("/v1/kv/t/{fits}")).body("v").send().await.unwrap().status(), 204);
    let key = problem(server.get(&format!("/v1/kv/t/{fits}k")).await, 413).await;
    assert_eq!(key.limit, Some(4096));
    let fits = vec![b'v'; 1 << 20];
    assert_eq!(server.request(Method::PUT, "/v1/kv/t/big").body(fits.clone()).send().await.unwrap().status(), 204);
    assert_eq!(server.get("/v1/kv/t/big").await.bytes().await.unwrap().len(), 1 << 20);
    for size in [(1 << 20) + 1, 8 << 20] {
        let value =
            problem(server.request(Method::PUT, "/v1/kv/t/big").body(vec![0; size]).send().await.unwrap(), 413).await;
        assert_eq!(value.limit, Some(1 << 20));
    }
    // The same without a declared length, in chunks.
    let chunks = (0..32).map(|_| Ok::<_, std::io::Error>(vec![0u8; 64 << 10]));
    let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    problem(server.request(Method::PUT, "/v1/kv/t/big").body(body).send().await.unwrap(), 413).await;
    assert_eq!(server.get("/v1/kv/t/big").await.bytes().await.unwrap(), fits);
}

#[tokio::test]
async fn what_a_key_lacks_is_said() {
    let server = Server::start().await;
    problem(server.get("/v1/kv/t/").await, 400).await;
    problem(server.request(Method::PUT, "/v1/kv/t/").body("1").send().await.unwrap(), 400).await;
    problem(server.request(Method::PUT, "/v1/kv/t/a?ttl=5").body("1").send().await.unwrap(), 400).await;
    let wrong = server.request(Method::POST, "/v1/kv/t/a").body("1").send().await.unwrap();
    assert!(wrong.headers()["allow"].to_str().unwrap().contains("PUT"));
    problem(wrong, 405).await;
}

#[tokio::test]
async fn errors_of_the_node_have_their_status() {
    let server = Server::start().await;
    let busy = server.get("/v1/kv/t/unavailable").await;
    assert_eq!(busy.headers()["retry-after"], "1");
    assert_eq!(problem(busy, 503).await.retry_after_s, Some(1));
    problem(server.get("/v1/kv/t/internal").await, 500).await;
    problem(server.get("/v1/kv/t/timeout").await, 504).await;
}

#[tokio::test]
async fn a_scan_goes_on_where_it_ended() {
    let server = Server::start().await;
    for key in ["a", "b/1", "b/2", "b/3", "c"] {
        server.request(Method::PUT, &format!("/v1/kv/t/{key}")).body(format!("<{key}>")).send().await.unwrap();
    }
    let page = server.read("/v1/kv/t?prefix=b/&limit=2").await;
    assert_eq!(page["rows"], json!([{"key": "b/1", "value": "PGIvMT4="}, {"key": "b/2", "value": "PGIvMj4="}]));
    let next = page["next"].as_str().unwrap();
    let page = server.read(&format!("/v1/kv/t?prefix=b/&limit=2&after={next}")).await;
    assert_eq!(page["rows"], json!([{"key": "b/3", "value": "PGIvMz4="}]));
    assert!(page.get("next").is_none());
    let page = server.read("/v1/kv/t?start=b%2F3&end=d").await;
    assert_eq!(page["rows"].as_array().unwrap().len(), 2);
    assert_eq!(server.read("/v1/kv/t").await["rows"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_scan_that_can_not_be_meant_is_refused() {
    let server = Server::start().await;
    for query in ["limit=0", "limit=1001", "limit=x", "start=b&end=a", "prefix=a&start=b", "after=!!", "from=a"] {
        problem(server.get(&format!("/v1/kv/t?{query}")).await, 400).await;
    }
    let long = "k".repeat(4097);
    assert_eq!(problem(server.get(&format!("/v1/kv/t?start={long}")).await, 413).await.limit, Some(4096));
}
