//! Keys and values, and who answered.

use super::{Client, ClientError, ClientResult, segment};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use isobar_api::{NODE_HEADER, Page, SHARD_HEADER, decode_key};
use isobar_model::{Consistency, NodeId, ShardId};
use reqwest::{Method, Response};

/// An answer to a key-value request, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// The answer.
    pub value: T,
    /// The shard that answered; none where the node did not say.
    pub shard: Option<ShardId>,
    /// The node whose replica answered; none where the node did not say.
    pub node: Option<NodeId>,
}

/// Which keys to scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanQuery {
    /// First key.
    pub start: Option<Vec<u8>>,
    /// First key past the range.
    pub end: Option<Vec<u8>>,
    /// Instead: all keys that begin so.
    pub prefix: Option<Vec<u8>>,
    /// Most rows, 1000 at most.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

impl Client {
    /// Reads a key; no value where there is no such key.
    pub async fn get(
        &self,
        keyspace: &str,
        key: &[u8],
        consistency: Consistency,
    ) -> ClientResult<Answered<Option<Bytes>>> {
        let stale = match consistency {
            Consistency::Linearizable => "",
            Consistency::Stale => "?consistency=stale",
        };
        let path = format!("{}{stale}", key_path(keyspace, key)?);
        match self.send(self.request(Method::GET, &path)).await {
            Ok(response) => {
                let (shard, node) = served_by(&response);
                let value = response.bytes().await.map_err(|error| self.unreachable(&error))?;
                Ok(Answered { value: Some(value), shard, node })
            }
            Err(ClientError::Problem(problem)) if &*problem.kind == "urn:isobar:problem:no-such-key" => {
                Ok(Answered { value: None, shard: None, node: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a key; gives back once a majority has it on disk.
    pub async fn put(&self, keyspace: &str, key: &[u8], value: Bytes) -> ClientResult<Answered<()>> {
        let response = self.send(self.request(Method::PUT, &key_path(keyspace, key)?).body(value)).await?;
        let (shard, node) = served_by(&response);
        Ok(Answered { value: (), shard, node })
    }

    /// Removes a key; removing what is not there is no error.
    pub async fn delete(&self, keyspace: &str, key: &[u8]) -> ClientResult<Answered<()>> {
        let response = self.send(self.request(Method::DELETE, &key_path(keyspace, key)?)).await?;
        let (shard, node) = served_by(&response);
        Ok(Answered { value: (), shard, node })
    }

    /// A page of a scan.
    pub async fn scan(&self, keyspace: &str, query: &ScanQuery) -> ClientResult<Page> {
        let mut pairs = Vec::new();
        let mut give = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                pairs.push(format!("{name}={value}"));
            }
        };
        give("start", query.start.as_deref().map(segment));
        give("end", query.end.as_deref().map(segment));
        give("prefix", query.prefix.as_deref().map(segment));
        give("limit", query.limit.map(|n| n.to_string()));
        give("after", query.after.clone());
        self.get_json(&format!("/v1/kv/{}?{}", segment(keyspace.as_bytes()), pairs.join("&"))).await
    }
}

/// The key and value of a row of a scan.
pub fn row(row: &isobar_api::Row) -> ClientResult<(Bytes, Bytes)> {
    let value = STANDARD.decode(&row.value);
    let value = value.map_err(|error| ClientError::Usage(format!("the value of {} is no base64: {error}", row.key)))?;
    Ok((decode_key(&row.key), value.into()))
}

fn key_path(keyspace: &str, key: &[u8]) -> ClientResult<String> {
    if key == b"." || key == b".." {
        return Err(ClientError::Usage("the keys `.` and `..` can't be sent in a URL: choose another.".into()));
    }
    if key.is_empty() {
        return Err(ClientError::Usage("a key has one byte at least.".into()));
    }
    Ok(format!("/v1/kv/{}/{}", segment(keyspace.as_bytes()), segment(key)))
}

fn served_by(response: &Response) -> (Option<ShardId>, Option<NodeId>) {
    let number = |name| response.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
    (number(&SHARD_HEADER).map(ShardId), number(&NODE_HEADER).map(NodeId))
}
