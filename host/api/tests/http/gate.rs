use crate::{Server, problem};
use isobar_api::ApiConfig;
use reqwest::Method;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn with_token() -> ApiConfig {
    ApiConfig { token: Some("s3cret".into()), ..ApiConfig::default() }
}

#[tokio::test]
async fn with_a_token_every_route_but_healthz_needs_it() {
    let server = Server::with(with_token()).await;
    for path in
        ["/v1/kv/t/a", "/v1/nodes", "/v1/events", "/metrics", "/openapi.json", "/readyz", "/v1/routes", "/nowhere"]
    {
        let response = server.get(path).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer", "{path}");
        problem(response, 401).await;
    }
    problem(server.request(Method::POST, "/v1/policies").body("\0asm").send().await.unwrap(), 401).await;
    problem(server.request(Method::GET, "/v1/nodes").bearer_auth("wrong").send().await.unwrap(), 401).await;
    assert_eq!(server.get("/healthz").await.status(), 200);
    // With the token any origin may ask: it is the guard then.
    let asked = server.request(Method::GET, "/v1/nodes").bearer_auth("s3cret").header("origin", "https://a.example");
    assert_eq!(asked.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_a_token_a_page_of_another_site_is_kept_out() {
    let server = Server::start().await;
    let asked = server.request(Method::PUT, "/v1/halt").header("origin", "https://evil.example").send().await.unwrap();
    problem(asked, 403).await;
    let rebound = server.request(Method::GET, "/v1/nodes").header("host", "evil.example:7400").send().await.unwrap();
    problem(rebound, 403).await;
    assert_eq!(server.read("/v1/status").await["halted"], false);
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let server = Server::start().await;
    for path in ["/", "/v1", "/v1/kvs", "/v1/nodes/", "/v1/shards/1/move/now", "/v2/kv/t/a"] {
        problem(server.get(path).await, 404).await;
    }
    for (method, path, allowed) in [
        (Method::DELETE, "/v1/nodes", "GET"),
        (Method::GET, "/v1/plans/release", "POST"),
        (Method::PATCH, "/v1/bindings/place", "PUT"),
        (Method::GET, "/v1/shards/1/move", "POST"),
    ] {
        let response = server.request(method, path).send().await.unwrap();
        assert!(response.headers()["allow"].to_str().unwrap().contains(allowed), "{path}");
        problem(response, 405).await;
    }
}

#[tokio::test]
async fn a_panic_is_one_failed_request_and_no_more() {
    let server = Server::start().await;
    problem(server.get("/v1/kv/t/panic").await, 500).await;
    assert_eq!(server.get("/v1/nodes").await.status(), 200);
}

#[tokio::test]
async fn a_request_that_hangs_is_cut_off() {
    let server = Server::with(ApiConfig { kv_deadline: Duration::from_millis(50), ..ApiConfig::default() }).await;
    let cut = problem(server.get("/v1/kv/t/hang").await, 504).await;
    assert!(cut.detail.contains("not known"));
}

/// Promise 8: a full queue is an error the caller sees; and it leaves operators their way in.
#[tokio::test]
async fn one_request_too_many_is_told_to_come_back() {
    let server = Server::with(ApiConfig { kv_at_once: 1, ..ApiConfig::default() }).await;
    let client = server.client.clone();
    let url = format!("{}/v1/kv/t/hang", server.base);
    let hanging = tokio::spawn(async move { client.get(url).send().await });
    let refused = loop {
        let response = server.get("/v1/kv/t/a").await;
        if response.status() == 503 {
            break response;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.headers()["retry-after"], "1");
    problem(refused, 503).await;
    assert_eq!(server.get("/v1/nodes").await.status(), 200);
    assert!(server.get("/metrics").await.text().await.unwrap().contains("isobar_http_turned_away_total"));
    hanging.abort();
    // Who hangs up is counted no longer, and leaves room for others.
    let served = async {
        while server.get("/v1/kv/t/a").await.status() == 503 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), served).await.unwrap();
    assert!(server.get("/metrics").await.text().await.unwrap().contains("isobar_http_in_flight 1\n"));
}

#[tokio::test]
async fn a_connection_is_kept_for_further_requests() {
    let server = Server::start().await;
    let mut socket = TcpStream::connect(server.base.trim_start_matches("http://")).await.unwrap();
    for _ in 0..3 {
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            let mut chunk = [0; 256];
            let read = socket.read(&mut chunk).await.unwrap();
            assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&chunk[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn what_is_no_http_closes_the_connection() {
    let server = Server::start().await;
    let mut socket = TcpStream::connect(server.base.trim_start_matches("http://")).await.unwrap();
    socket.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_stop_waits_for_nobody_who_only_listens() {
    let server = Server::start().await;
    let stream = server.get("/v1/events").await;
    let wait = tokio::spawn(server.request(Method::GET, "/v1/routes?after=7&wait_ms=30000").send());
    server.stop().await;
    assert_eq!(stream.text().await.unwrap(), "");
    // It was either waiting, and was told that there is nothing, or came too late.
    if let Ok(response) = wait.await.unwrap() {
        assert_eq!(response.status(), 204);
    }
}
