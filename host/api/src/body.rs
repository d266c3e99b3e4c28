//! Reading request bodies, always with a limit.

use crate::problem::Problem;
use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Most bytes of a JSON body, where a resource doesn't say otherwise: far above any of them (a binding's configuration has 64 KiB).
pub(crate) const MAX_JSON_BYTES: usize = 1 << 20;
/// Bytes of an oversized body that are read and thrown away, so that the caller can finish sending and see why it was refused ...
const DRAIN_BYTES: usize = 64 << 20;
/// ... and how long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The whole body, at most `limit` bytes; `what` names it in the refusal.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize, what: &str) -> Result<Bytes, Problem> {
    let declared = body.size_hint().exact().unwrap_or(0);
    let mut stream = body.into_data_stream();
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    if declared <= limit as u64 {
        loop {
            match stream.next().await {
                None => return Ok(if rest.is_empty() { first } else { rest.freeze() }),
                Some(Err(error)) => {
                    return Err(Problem::bad_request(format!("the body broke off ({error}): send it again.")));
                }
                Some(Ok(chunk)) => {
                    if first.len().max(rest.len()) + chunk.len() > limit {
                        break;
                    }
                    // One chunk, as small bodies are, is passed on uncopied.
                    if first.is_empty() {
                        first = chunk;
                    } else {
                        if rest.is_empty() {
                            rest.reserve((declared as usize).max(first.len() + chunk.len()));
                            rest.extend_from_slice(&first);
                        }
                        rest.extend_from_slice(&chunk);
                    }
                }
            }
        }
    }
    drop((first, rest));
    // Who asked first whether to send has not sent anything yet.
    if !headers.contains_key(header::EXPECT) {
        let drain = async {
            let mut drained = 0;
            while let Some(Ok(chunk)) = stream.next().await {
                drained += chunk.len();
                if drained > DRAIN_BYTES {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
    }
    Err(Problem::too_large(limit, format!("{what} may have {limit} bytes at most: send less.")))
}

/// Reads JSON from bytes: 400 where it is no JSON, 422 where it is not what the resource takes.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.is_empty() {
        return Err(Problem::bad_request("the body is empty: send JSON as /openapi.json describes it."));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        let cause = if error.is_data() { "the JSON does not fit" } else { "the body is no JSON" };
        Problem::new(status, format!("{cause}: {error}. See /openapi.json for how it should look."))
    })
}

/// A JSON body of at most `MAX` bytes. The content type is not asked for: `curl -d` gets it wrong.
#[derive(Debug)]
pub(crate) struct Json<T, const MAX: usize = MAX_JSON_BYTES>(pub T);

impl<T: DeserializeOwned, S: Sync, const MAX: usize> FromRequest<S> for Json<T, MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        parse(&read(&parts.headers, body, MAX, "a JSON body here").await?).map(Self)
    }
}

/// The same where the body may be left out.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default, S: Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, MAX_JSON_BYTES, "a JSON body here").await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}
