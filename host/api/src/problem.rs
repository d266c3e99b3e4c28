//! Errors as RFC 9457 problem details: every error of the API has this form.

use crate::backend::BackendError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of RFC 9457.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not carried out, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Which kind: stable, for programs.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:isobar:problem:conflict")]
    pub kind: Box<str>,
    /// The kind in words.
    #[schema(value_type = String, example = "the state does not allow it")]
    pub title: Box<str>,
    /// The HTTP status.
    #[schema(example = 409)]
    pub status: u16,
    /// What happened here, and what to do.
    #[schema(example = "the binding is at number 4, you expected 3: read it again, then decide")]
    pub detail: String,
    /// What the caller expected, where that was stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    pub expected: Option<u64>,
    /// What is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 4)]
    pub actual: Option<u64>,
    /// The limit that was exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_048_576)]
    pub limit: Option<u64>,
    /// Seconds to wait before the next try; also sent as `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.title, self.status, self.detail)
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// A problem of `status`, its kind and title following from that.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let (kind, title) = match status {
            StatusCode::BAD_REQUEST => ("bad-request", "the request can't be read"),
            StatusCode::UNAUTHORIZED => ("unauthorized", "a token is needed"),
            StatusCode::FORBIDDEN => ("forbidden", "not from there"),
            StatusCode::NOT_FOUND => ("not-found", "there is no such thing"),
            StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "not with this method"),
            StatusCode::REQUEST_TIMEOUT => ("request-timeout", "the request came too slowly"),
            StatusCode::CONFLICT => ("conflict", "the state does not allow it"),
            StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "too large"),
            StatusCode::UNPROCESSABLE_ENTITY => ("invalid", "the request can't be meant so"),
            StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "not now"),
            StatusCode::GATEWAY_TIMEOUT => ("timeout", "no answer in time"),
            StatusCode::INTERNAL_SERVER_ERROR => ("internal", "something broke in this node"),
            other => ("http", other.canonical_reason().unwrap_or("error")),
        };
        Self {
            kind: format!("urn:isobar:problem:{kind}").into(),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            expected: None,
            actual: None,
            limit: None,
            retry_after_s: None,
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn too_large(limit: usize, detail: impl Into<String>) -> Self {
        Self { limit: Some(limit as u64), ..Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail) }
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        // One second: a new leader is there by then, and so is room in a queue.
        Self { retry_after_s: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// Remakes an error response that the framework made itself (bad path, bad query, wrong method) in the form of all others.
    pub(crate) async fn normalise(response: Response) -> Response {
        if !response.status().is_client_error() && !response.status().is_server_error() {
            return response;
        }
        if response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t == PROBLEM_JSON) {
            return response;
        }
        let (parts, body) = response.into_parts();
        // The framework's own texts are one line; 4 KiB is far above that.
        let text = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let detail = match (parts.status, text.trim()) {
            // The framework adds the header once we are through.
            (StatusCode::METHOD_NOT_ALLOWED, _) => {
                "this resource does not know this method: the Allow header names those it knows, /openapi.json what they do."
                    .to_owned()
            }
            (_, "") => {
                "the request was refused before it was read; see /openapi.json for how it should look.".to_owned()
            }
            (_, text) => format!("{text}; see /openapi.json for how it should look."),
        };
        Self::new(parts.status, detail).into_response()
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NotFound(detail) => Self::not_found(detail),
            BackendError::Invalid(detail) => Self::invalid(detail),
            BackendError::TooLarge { detail, limit } => {
                Self { limit: Some(limit), ..Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail) }
            }
            BackendError::Conflict { detail, expected, actual } => {
                Self { expected, actual, ..Self::new(StatusCode::CONFLICT, detail) }
            }
            BackendError::Unavailable(detail) => Self::unavailable(detail),
            BackendError::Timeout(detail) => Self::new(StatusCode::GATEWAY_TIMEOUT, detail),
            BackendError::Internal(detail) => {
                tracing::error!(%detail, "a request failed inside the node");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
