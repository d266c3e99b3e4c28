//! `/v1/kv`: keys and values. The hot path: no JSON, no copies, the path read by hand as keys are bytes, not text.

use crate::ApiState;
use crate::backend::{Scan, Served};
use crate::body;
use crate::key_text::{decode_key, decode_parameter, encode_key};
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use isobar_model::Consistency;
use isobar_model::keyspace::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use utoipa::ToSchema;

/// Most rows of one page of a scan.
pub const MAX_SCAN_ROWS: u32 = 1000;
/// Rows of a page where the caller names no limit.
const SCAN_ROWS: u32 = 100;

/// The shard that answered.
pub const SHARD_HEADER: HeaderName = HeaderName::from_static("isobar-shard");
/// The node whose replica answered.
pub const NODE_HEADER: HeaderName = HeaderName::from_static("isobar-node");
/// The consistency of a read that was not linearizable.
pub const CONSISTENCY_HEADER: HeaderName = HeaderName::from_static("isobar-consistency");
/// The index of a write in its shard's log.
pub const INDEX_HEADER: HeaderName = HeaderName::from_static("isobar-index");

/// One row of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Row {
    /// Percent-encoded, as in a path.
    #[schema(example = "user/7%20a")]
    pub key: String,
    /// Base64 (RFC 4648, padded).
    #[schema(example = "aGVsbG8=")]
    pub value: String,
}

/// A page of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page {
    /// Rows: by key in a range keyspace, by hash slot and then key in a hashed one.
    pub rows: Vec<Row>,
    /// Give it as `after` to go on; absent: the range is through. A page may be shorter than its limit and still have a next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "dXNlci84")]
    pub next: Option<String>,
}

struct Target<'a> {
    keyspace: Cow<'a, str>,
    key: Bytes,
}

/// Reads `/v1/kv/{keyspace}/{key...}`.
fn target(uri: &Uri) -> Result<Target<'_>, Problem> {
    let rest = uri.path().strip_prefix("/v1/kv/").unwrap_or_default();
    let (keyspace, key) = rest.split_once('/').unwrap_or((rest, ""));
    let key = decode_key(key);
    if key.is_empty() {
        return Err(Problem::bad_request(
            "a key has one byte at least: put it behind the keyspace, as in /v1/kv/KEYSPACE/KEY.",
        ));
    }
    check_key(&key)?;
    Ok(Target { keyspace: keyspace_name(keyspace)?, key })
}

fn keyspace_name(text: &str) -> Result<Cow<'_, str>, Problem> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Problem::not_found("no keyspace has such a name: see /v1/keyspaces."))
}

fn check_key(key: &[u8]) -> Result<(), Problem> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    let detail = format!("the key has {} bytes, {MAX_KEY_BYTES} at most: shorten it.", key.len());
    Err(Problem::too_large(MAX_KEY_BYTES, detail))
}

fn parameters(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
    let query = uri.query().unwrap_or_default();
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn unknown_parameter(name: &str, known: &str) -> Problem {
    let name: String = name.chars().take(64).collect();
    Problem::bad_request(format!("{name:?} is no parameter here: this resource knows {known}."))
}

fn parse_consistency(text: &str) -> Result<Consistency, Problem> {
    match text {
        "linearizable" => Ok(Consistency::Linearizable),
        "stale" => Ok(Consistency::Stale),
        _ => Err(Problem::bad_request("consistency is `linearizable` (the default) or `stale`.")),
    }
}

fn served<T>(response: &mut Response, by: &Served<T>) {
    response.headers_mut().insert(SHARD_HEADER, HeaderValue::from(by.shard.0));
    response.headers_mut().insert(NODE_HEADER, HeaderValue::from(by.node.0));
}

/// Read a key
///
/// Linearizable by default: sees every write acknowledged before it began. The body is the value's bytes.
#[utoipa::path(
    get, path = "/v1/kv/{keyspace}/{key}", tag = "key-value",
    params(
        ("keyspace" = String, Path, description = "The keyspace's name", example = "tenants"),
        ("key" = String, Path, description = "Percent-encoded bytes; slashes may stand as they are", example = "user/7"),
        ("consistency" = Option<String>, Query, description = "`linearizable` (default) or `stale`: whatever the replica asked has applied", example = "stale"),
    ),
    responses(
        (status = 200, description = "The value", content_type = "application/octet-stream", body = Vec<u8>,
            headers(("isobar-shard" = u64, description = "The shard that answered"), ("isobar-node" = u64, description = "The node that answered"),
                ("isobar-consistency" = String, description = "`stale` where the read was not linearizable"))),
        (status = 400, description = "Empty key, unknown parameter", body = Problem),
        (status = 404, description = "No such key, or no such keyspace: the type tells them apart", body = Problem),
        (status = 413, description = "The key is over 4 KiB", body = Problem),
        (status = 503, description = "No leader or quorum for now: `Retry-After`", body = Problem),
        (status = 504, description = "No answer within 10 s", body = Problem),
    )
)]
pub(crate) async fn get(State(state): State<Arc<ApiState>>, request: Request) -> Result<Response, Problem> {
    let Target { keyspace, key } = target(request.uri())?;
    let mut consistency = Consistency::default();
    for (name, value) in parameters(request.uri()) {
        match name {
            "consistency" => consistency = parse_consistency(value)?,
            other => return Err(unknown_parameter(other, "consistency")),
        }
    }
    let mut answer = state.backend.get(&keyspace, key, consistency).await?;
    let mut response = match answer.value.take() {
        Some(value) => {
            ([(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))], value).into_response()
        }
        None => Problem {
            kind: "urn:isobar:problem:no-such-key".into(),
            ..Problem::not_found("no value under this key: it was never written, or deleted.")
        }
        .into_response(),
    };
    served(&mut response, &answer);
    match consistency {
        Consistency::Linearizable => {}
        Consistency::Stale => {
            response.headers_mut().insert(CONSISTENCY_HEADER, HeaderValue::from_static("stale"));
        }
    }
    Ok(response)
}

fn no_parameters(uri: &Uri) -> Result<(), Problem> {
    parameters(uri).next().map_or(Ok(()), |(name, _)| {
        let name: String = name.chars().take(64).collect();
        Err(Problem::bad_request(format!("{name:?} is no parameter of a write: it takes none.")))
    })
}

fn written(answer: &Served<u64>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    served(&mut response, answer);
    response.headers_mut().insert(INDEX_HEADER, HeaderValue::from(answer.value));
    response
}

/// Write a key
///
/// Answers once a majority of the replicas has the write on disk (fdatasync). The body is the value's bytes, up to 1 MiB.
#[utoipa::path(
    put, path = "/v1/kv/{keyspace}/{key}", tag = "key-value",
    params(
        ("keyspace" = String, Path, description = "The keyspace's name", example = "tenants"),
        ("key" = String, Path, description = "Percent-encoded bytes; slashes may stand as they are", example = "user/7"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The value", example = "hello"),
    responses(
        (status = 204, description = "Written", headers(("isobar-shard" = u64, description = "The shard"),
            ("isobar-node" = u64, description = "Its leader"), ("isobar-index" = u64, description = "Index in the shard's log"))),
        (status = 400, description = "Empty key, or a parameter", body = Problem),
        (status = 404, description = "No such keyspace", body = Problem),
        (status = 413, description = "The key is over 4 KiB or the value over 1 MiB", body = Problem),
        (status = 503, description = "No leader or quorum for now: `Retry-After`", body = Problem),
        (status = 504, description = "No answer within 10 s; whether the write took effect is not known", body = Problem),
    )
)]
pub(crate) async fn put(State(state): State<Arc<ApiState>>, request: Request) -> Result<Response, Problem> {
    let (parts, value) = request.into_parts();
    let Target { keyspace, key } = target(&parts.uri)?;
    no_parameters(&parts.uri)?;
    let value = body::read(&parts.headers, value, MAX_VALUE_BYTES, "a value").await?;
    Ok(written(&state.backend.put(&keyspace, key, value).await?))
}

/// Remove a key
///
/// Answers once a majority has the removal on disk. Removing what is not there is no error.
#[utoipa::path(
    delete, path = "/v1/kv/{keyspace}/{key}", tag = "key-value",
    params(
        ("keyspace" = String, Path, description = "The keyspace's name", example = "tenants"),
        ("key" = String, Path, description = "Percent-encoded bytes; slashes may stand as they are", example = "user/7"),
    ),
    responses(
        (status = 204, description = "Removed", headers(("isobar-shard" = u64, description = "The shard"),
            ("isobar-node" = u64, description = "Its leader"), ("isobar-index" = u64, description = "Index in the shard's log"))),
        (status = 400, description = "Empty key, or a parameter", body = Problem),
        (status = 404, description = "No such keyspace", body = Problem),
        (status = 413, description = "The key is over 4 KiB", body = Problem),
        (status = 503, description = "No leader or quorum for now: `Retry-After`", body = Problem),
        (status = 504, description = "No answer within 10 s; whether it took effect is not known", body = Problem),
    )
)]
pub(crate) async fn delete(State(state): State<Arc<ApiState>>, request: Request) -> Result<Response, Problem> {
    let Target { keyspace, key } = target(request.uri())?;
    no_parameters(request.uri())?;
    Ok(written(&state.backend.delete(&keyspace, key).await?))
}

/// Scan keys in order
///
/// Keys come percent-encoded (as in a path), values in base64. A page holds 4 MiB of values or `limit` rows, whichever comes first.
#[utoipa::path(
    get, path = "/v1/kv/{keyspace}", tag = "key-value",
    params(
        ("keyspace" = String, Path, description = "The keyspace's name", example = "tenants"),
        ("start" = Option<String>, Query, description = "First key", example = "user/"),
        ("end" = Option<String>, Query, description = "First key past the range", example = "user0"),
        ("prefix" = Option<String>, Query, description = "Instead of start and end: all keys that begin so", example = "user/"),
        ("limit" = Option<u32>, Query, description = "Most rows, 1 to 1000; 100 by default", example = 10),
        ("after" = Option<String>, Query, description = "The `next` of the page before", example = "dXNlci84"),
        ("consistency" = Option<String>, Query, description = "`linearizable` (default: each shard for itself) or `stale`", example = "stale"),
    ),
    responses(
        (status = 200, description = "A page", body = Page),
        (status = 400, description = "A parameter can't be read", body = Problem),
        (status = 404, description = "No such keyspace", body = Problem),
        (status = 413, description = "A bound is over 4 KiB", body = Problem),
        (status = 503, description = "No leader or quorum for now: `Retry-After`", body = Problem),
        (status = 504, description = "No answer within 10 s", body = Problem),
    )
)]
pub(crate) async fn scan(State(state): State<Arc<ApiState>>, uri: Uri) -> Result<Response, Problem> {
    let keyspace = keyspace_name(uri.path().strip_prefix("/v1/kv/").unwrap_or_default().trim_end_matches('/'))?;
    let (mut start, mut end, mut prefix, mut resume) = (None, None, None, None);
    let mut limit = SCAN_ROWS;
    let mut consistency = Consistency::default();
    for (name, value) in parameters(&uri) {
        match name {
            "start" => start = Some(decode_parameter(value)),
            "end" => end = Some(decode_parameter(value)),
            "prefix" => prefix = Some(decode_parameter(value)),
            "limit" => {
                limit = value.parse().ok().filter(|n| (1..=MAX_SCAN_ROWS).contains(n)).ok_or_else(|| Problem {
                    limit: Some(u64::from(MAX_SCAN_ROWS)),
                    ..Problem::bad_request(format!("limit is a number from 1 to {MAX_SCAN_ROWS}; go on with `after`."))
                })?;
            }
            "after" => {
                let token = URL_SAFE_NO_PAD.decode(value).ok().filter(|token| token.len() <= MAX_KEY_BYTES + 64);
                let problem = || Problem::bad_request("after is the `next` of the page before: send it as it came.");
                resume = Some(Bytes::from(token.ok_or_else(problem)?));
            }
            "consistency" => consistency = parse_consistency(value)?,
            other => {
                return Err(unknown_parameter(other, "start, end, prefix, limit, after and consistency"));
            }
        }
    }
    if let Some(prefix) = prefix {
        if start.is_some() || end.is_some() {
            return Err(Problem::bad_request("prefix stands instead of start and end: give one or the other."));
        }
        end = successor(&prefix);
        start = Some(prefix);
    }
    let start = start.unwrap_or_default();
    check_key(&start)?;
    check_key(end.as_deref().unwrap_or_default())?;
    if end.as_ref().is_some_and(|end| *end <= start) {
        return Err(Problem::bad_request("end is not above start, so the range is empty: swap them."));
    }
    let page = state.backend.scan(&keyspace, Scan { start, end, limit, resume, consistency }).await?;
    let rows = page.rows.iter().map(|(key, value)| Row { key: encode_key(key), value: STANDARD.encode(value) });
    let page = Page { rows: rows.collect(), next: page.next.map(|next| URL_SAFE_NO_PAD.encode(next)) };
    Ok(axum::Json(page).into_response())
}

/// The first key past all that begin with `prefix`; none: there is no such key.
fn successor(prefix: &[u8]) -> Option<Bytes> {
    let kept = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut next = prefix[..=kept].to_vec();
    next[kept] += 1;
    Some(next.into())
}

/// Says what is missing in `/v1/kv/KEYSPACE/`.
pub(crate) async fn empty_key(_: Body) -> Problem {
    Problem::bad_request("a key has one byte at least: put it behind the keyspace, as in /v1/kv/KEYSPACE/KEY.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_its_successor() {
        assert_eq!(successor(b"user/"), Some(Bytes::from_static(b"user0")));
        assert_eq!(successor(b"a\xff\xff"), Some(Bytes::from_static(b"b")));
        assert_eq!(successor(b"\xff"), None);
        assert_eq!(successor(b""), None);
    }

    #[test]
    fn a_key_may_hold_any_byte() {
        let read = |uri: &'static str| target(&Uri::from_static(uri)).map(|t| (t.keyspace.into_owned(), t.key));
        assert_eq!(read("/v1/kv/t/a/b%2Fc%00%ff"), Ok(("t".into(), Bytes::from_static(b"a/b/c\0\xff"))));
        assert_eq!(read("/v1/kv/t/a//b/"), Ok(("t".into(), Bytes::from_static(b"a//b/"))));
        assert_eq!(read("/v1/kv/t/").map_err(|p| p.status), Err(400));
    }
}
