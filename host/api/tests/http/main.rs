//! The API over a real socket, in front of a backend in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod events;
mod fake_backend;
mod gate;
mod kv;
mod openapi;
mod resources;

use fake_backend::FakeBackend;
use isobar_api::{Api, ApiConfig, PROBLEM_JSON, Problem};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A served API and a client of it.
pub(crate) struct Server {
    pub(crate) backend: Arc<FakeBackend>,
    pub(crate) base: String,
    pub(crate) client: Client,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(ApiConfig::default()).await
    }

    pub(crate) async fn with(config: ApiConfig) -> Self {
        let backend = FakeBackend::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let api = Api::new(Arc::clone(&backend) as _, config);
        let served = tokio::spawn(api.serve(listener, async {
            let _ = stopped.await;
        }));
        Self { backend, base, client: Client::new(), stop: Some(stop), served }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn json(&self, method: Method, path: &str, body: Value) -> Response {
        self.request(method, path).json(&body).send().await.unwrap()
    }

    /// A body that is expected with this status.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Stops gracefully; fails where that takes for ever.
    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(30), &mut self.served).await.unwrap().unwrap().unwrap();
    }
}

/// A problem of this status, in the form that all have.
pub(crate) async fn problem(response: Response, status: u16) -> Problem {
    let got = response.status();
    let kind = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    assert_eq!(kind.unwrap(), PROBLEM_JSON, "{text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.status, status);
    assert!(problem.kind.starts_with("urn:isobar:problem:"), "{problem:?}");
    // A sentence that says what to do, not an error code.
    assert!(problem.detail.split_whitespace().count() >= 4, "{problem:?}");
    problem
}
