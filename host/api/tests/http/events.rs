use crate::fake_backend::NOW;
use crate::{Server, problem};
use isobar_api::Event;
use reqwest::{Method, Response};
use serde_json::json;
use std::time::Duration;

/// Reads events until there are `count` of them.
async fn read(response: &mut Response, count: usize) -> Vec<Event> {
    let mut text = String::new();
    let whole = async {
        while text.matches("\n\n").count() < count {
            text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(30), whole).await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn a_reader_goes_on_after_the_last_event_it_saw() {
    let server = Server::start().await;
    for _ in 0..3 {
        server.json(Method::POST, "/v1/shards/1/move", json!({"from": 1, "to": 2})).await;
    }
    let mut stream = server.request(Method::GET, "/v1/events").header("last-event-id", "1").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let past = read(&mut stream, 2).await;
    assert_eq!(past.iter().map(|e| e.id).collect::<Vec<_>>(), [2, 3]);
    assert_eq!((past[0].kind.as_str(), past[0].at, &past[0].data), ("migration", NOW, &json!({"id": 2})));
    server.json(Method::POST, "/v1/shards/1/move", json!({"from": 1, "to": 2})).await;
    assert_eq!(read(&mut stream, 1).await[0].id, 4);
    problem(server.request(Method::GET, "/v1/events").header("last-event-id", "x").send().await.unwrap(), 400).await;
}
