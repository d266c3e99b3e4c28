//! What every request passes first: who may ask, how many at a time, how long; and what every answer passes last: counting, panics,
//! and the form of errors.

use crate::ApiState;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::{FutureExt, StreamExt};
use prometheus_client::metrics::gauge::Gauge;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of one kind share their limits, so that none can starve the others: a flood of reads leaves operators their way in.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    state: Arc<ApiState>,
    permits: Arc<Semaphore>,
    deadline: Duration,
    /// Streams hold their permit until the last byte; their deadline is for the beginning only.
    stream: bool,
    open: bool,
}

impl Gate {
    /// At most `at_once` requests, each answered within `deadline`.
    pub(crate) fn new(state: &Arc<ApiState>, at_once: usize, deadline: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(at_once));
        Self { state: Arc::clone(state), permits, deadline, stream: false, open: false }
    }

    /// For answers that go on.
    pub(crate) fn streaming(self) -> Self {
        Self { stream: true, ..self }
    }

    /// Needs no token.
    pub(crate) fn open(self) -> Self {
        Self { open: true, ..self }
    }
}

/// The middleware.
pub(crate) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let metrics = &gate.state.metrics;
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let _counted = InFlight::new(metrics.in_flight.clone());
    let response = match admit(&gate, request.headers()) {
        Err(problem) => problem.into_response(),
        Ok(permit) => {
            let answer = AssertUnwindSafe(tokio::time::timeout(gate.deadline, next.run(request))).catch_unwind();
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => Problem::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    format!(
                        "no answer within {} s. Whether a write took effect is not known: read it, or write it again.",
                        gate.deadline.as_secs()
                    ),
                )
                .into_response(),
                Err(_) => {
                    tracing::error!(%method, route = route.as_ref().map(MatchedPath::as_str), "a request handler panicked");
                    Problem::new(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "a bug in this node: its log says where. Other requests go on; please report it.",
                    )
                    .into_response()
                }
            };
            if gate.stream { hold(response, permit) } else { response }
        }
    };
    let response = Problem::normalise(response).await;
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    metrics.record(&method, route, response.status(), started.elapsed());
    response
}

/// Counts a request for as long as it lives: a caller that hangs up ends it anywhere.
struct InFlight(Gauge);

impl InFlight {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn admit(gate: &Gate, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Problem> {
    match &gate.state.token {
        _ if gate.open => {}
        Some(token) => check_token(token, headers)?,
        None => check_local(headers)?,
    }
    Arc::clone(&gate.permits).try_acquire_owned().map_err(|_| {
        gate.state.metrics.turned_away.inc();
        Problem::unavailable("this node is serving as many requests of this kind as it takes: try again in a second.")
    })
}

fn check_token(token: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let bearer = given.and_then(|value| {
        let (scheme, credentials) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(credentials.trim_ascii())
    });
    match bearer {
        Some(bearer) if same(token.as_bytes(), bearer) => Ok(()),
        Some(_) => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "the token is not this cluster's: ask its operator for the right one.",
        )),
        None => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "send the cluster's token as `Authorization: Bearer TOKEN` (the command line's `--token`).",
        )),
    }
}

/// Compares in a time that depends on the length of what was given alone, never on how much of it was right.
fn same(secret: &[u8], given: &[u8]) -> bool {
    let mut difference = u8::from(secret.len() != given.len() || secret.is_empty());
    for (i, byte) in given.iter().enumerate() {
        difference |= byte ^ secret.get(i % secret.len().max(1)).copied().unwrap_or(0);
        difference = std::hint::black_box(difference);
    }
    difference == 0
}

/// Without a token the loopback address is the only guard; a web page in a browser on this machine must not get past it, neither by
/// asking across origins nor by a name that resolves to 127.0.0.1 (DNS rebinding).
fn check_local(headers: &HeaderMap) -> Result<(), Problem> {
    let local = |authority: &[u8]| {
        let host = match authority.strip_prefix(b"[") {
            Some(rest) => rest.split(|&b| b == b']').next().unwrap_or(rest),
            None => authority.split(|&b| b == b':').next().unwrap_or(authority),
        };
        host.eq_ignore_ascii_case(b"localhost")
            || std::str::from_utf8(host)
                .ok()
                .and_then(|host| host.parse::<std::net::IpAddr>().ok())
                .is_some_and(|ip| ip.is_loopback())
    };
    let refused = |what: &str| {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!(
                "{what} is not this machine. Without a token the API answers local callers only: start the node with a token, and send it."
            ),
        ))
    };
    if headers.get(header::HOST).is_some_and(|host| !local(host.as_bytes())) {
        return refused("the Host header's name");
    }
    let foreign = |origin: &[u8]| {
        let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        !authority.is_some_and(local)
    };
    if headers.get(header::ORIGIN).is_some_and(|origin| foreign(origin.as_bytes())) {
        return refused("the Origin header's site");
    }
    Ok(())
}

/// Keeps the permit for as long as the body lives.
fn hold(response: Response, permit: OwnedSemaphorePermit) -> Response {
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let _held = &permit;
            chunk
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn only_the_whole_token_will_do() {
        let ask = |value| check_token("s3cret", &headers(header::AUTHORIZATION, value)).is_ok();
        assert!(ask("Bearer s3cret"));
        assert!(ask("bearer s3cret"));
        for bad in ["Bearer s3cre", "Bearer s3crets3cret", "Bearer ", "Basic s3cret", "s3cret", "", "é"] {
            assert!(!ask(bad), "{bad}");
        }
        assert!(!same(b"", b""));
    }

    #[test]
    fn a_page_of_another_site_is_kept_out() {
        let host = |value| check_local(&headers(header::HOST, value)).is_ok();
        assert!(host("localhost:7400") && host("127.0.0.1:7400") && host("[::1]:7400"));
        assert!(!host("evil.example:7400") && !host("127.0.0.1.evil.example") && !host("10.0.0.7"));
        let origin = |value| check_local(&headers(header::ORIGIN, value)).is_ok();
        assert!(origin("http://localhost:7400"));
        assert!(!origin("https://evil.example") && !origin("null"));
    }
}
