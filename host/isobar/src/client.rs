//! A typed client of a node's HTTP API.

mod cluster;
mod events;
mod kv;
mod load;
mod policies;

pub use kv::{Answered, ScanQuery, row};

use isobar_api::Problem;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Time to connect: nodes are near.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for a whole answer: a little more than the server's own deadline for operators' requests, so that its problem arrives.
const ANSWER: Duration = Duration::from_secs(35);
/// Time for uploads, likewise.
const UPLOAD: Duration = Duration::from_secs(90);

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node answered with a problem.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Nobody answered.
    #[error(
        "no answer from {endpoint}: {cause}. Is the node running there? Give another with --endpoint or ISOBAR_ENDPOINT."
    )]
    Unreachable {
        /// Whom was asked.
        endpoint: String,
        /// Why it failed.
        cause: String,
    },
    /// Something answered that is not this API.
    #[error("{endpoint} answered {status}, but not as a node of this version does: {cause}")]
    Unexpected {
        /// Whom was asked.
        endpoint: String,
        /// The status.
        status: u16,
        /// What did not fit.
        cause: String,
    },
    /// The call can't be made.
    #[error("{0}")]
    Usage(String),
}

impl ClientError {
    /// The status of the node's problem, where there is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::Unreachable { .. } | Self::Unexpected { .. } | Self::Usage(_) => None,
        }
    }
}

/// What a call gives.
pub type ClientResult<T> = Result<T, ClientError>;

/// A client of one node. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of the node at `endpoint` (`http://host:port`, or `host:port`). Connects at the first call.
    pub fn new(endpoint: &str, token: Option<String>) -> ClientResult<Self> {
        let usage = |what: &str| {
            ClientError::Usage(format!("{endpoint:?} is no endpoint: {what}, as in http://127.0.0.1:7400."))
        };
        let base = match endpoint.split_once("://") {
            None => format!("http://{endpoint}"),
            Some(("http", _)) => endpoint.to_owned(),
            Some(_) => return Err(usage("only plain http is spoken; put a proxy or a tunnel before it for TLS")),
        };
        let url = reqwest::Url::parse(&base).map_err(|error| usage(&format!("{error}; give a host and port")))?;
        if url.path() != "/" || url.query().is_some() || url.host().is_none() {
            return Err(usage("give a host and port only"));
        }
        let http = reqwest::Client::builder().connect_timeout(CONNECT).tcp_nodelay(true).build();
        let http = http.map_err(|error| ClientError::Usage(format!("no HTTP client can be made here: {error}")))?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token })
    }

    /// Whom it asks.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.base
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).timeout(ANSWER);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        // The innermost cause is the one that says something ("connection refused").
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = if error.is_timeout() { "it took too long".to_owned() } else { cause.to_string() };
        ClientError::Unreachable { endpoint: self.base.clone(), cause }
    }

    fn unexpected(&self, status: StatusCode, cause: impl ToString) -> ClientError {
        ClientError::Unexpected { endpoint: self.base.clone(), status: status.as_u16(), cause: cause.to_string() }
    }

    async fn send(&self, request: RequestBuilder) -> ClientResult<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(error) => Err(self.unexpected(status, error)),
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> ClientResult<T> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map_err(|error| self.unexpected(status, error))
    }

    async fn get_json<T: DeserializeOwned>(&self, path: &str) -> ClientResult<T> {
        self.read(self.request(Method::GET, path)).await
    }

    async fn query<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> ClientResult<T> {
        self.get_json(&with_query(path, query)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> ClientResult<T> {
        self.read(self.request(Method::POST, path).json(body)).await
    }
}

/// A path with the fields of `query` that are there.
fn with_query(path: &str, query: &impl Serialize) -> String {
    // The query types have optional scalars only, so an object of scalars and nulls is all there is.
    let value = serde_json::to_value(query).unwrap_or_default();
    let there = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let pairs = there.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        format!("{name}={}", segment(text.as_bytes()))
    });
    let pairs = pairs.collect::<Vec<_>>().join("&");
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{pairs}") }
}

/// Bytes as one segment of a path, or one value of a query: a slash is encoded too, so that no `..` between slashes is resolved away.
fn segment(bytes: &[u8]) -> String {
    isobar_api::encode_key(bytes).replace('/', "%2F")
}
