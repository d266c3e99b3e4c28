//! Operators' requests are answered by the control group's leader; any other node passes them on, so that a client may ask whichever it knows.

use crate::ApiState;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Marks a request that was passed on once: two nodes that each take the other for the leader must not play ball with it.
const FORWARDED: HeaderName = HeaderName::from_static("isobar-forwarded");
/// Headers that belong to one connection, or that the client library sets itself.
const HOP_BY_HOP: [HeaderName; 5] =
    [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE];

/// The middleware. Streams are passed on as they come.
pub(crate) async fn to_leader(State(state): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    let Some(endpoint) = state.backend.control_endpoint() else { return next.run(request).await };
    if request.headers().contains_key(FORWARDED) {
        return Problem::unavailable("the control group is changing its leader: try again in a second.")
            .into_response();
    }
    match pass_on(&state, &endpoint, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(endpoint, %error, "a request could not be passed on");
            Problem::unavailable("the control group's leader can't be reached: try again in a second.").into_response()
        }
    }
}

async fn pass_on(state: &ApiState, endpoint: &str, request: Request) -> Result<Response, reqwest::Error> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let mut headers = parts.headers;
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.insert(FORWARDED, HeaderValue::from_static("1"));
    let passed = state.forwarder.request(parts.method, format!("{endpoint}{path}")).headers(headers);
    let answer = passed.body(reqwest::Body::wrap_stream(body.into_data_stream())).send().await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    for name in HOP_BY_HOP {
        response.headers_mut().remove(name);
    }
    *response.body_mut() = Body::from_stream(answer.bytes_stream());
    Ok(response)
}
