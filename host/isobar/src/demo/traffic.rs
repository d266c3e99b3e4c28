//! Real HTTP requests against the cluster, every answer checked against what was acknowledged before.

use super::schedule::Due;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A request has failed when it had no success for this long, retries included.
pub(crate) const OPERATION_DEADLINE: Duration = Duration::from_secs(10);
/// One try waits this long before the next is made, elsewhere.
const TRY_TIMEOUT: Duration = Duration::from_secs(3);
/// Requests under way at once. At the demo's rates this is seconds of backlog: past it the cluster is plainly not keeping up, and the
/// open loop's lateness shows in the latencies, which count from when a request was due.
const MOST_IN_FLIGHT: usize = 4096;

/// One key as the client knows it.
#[derive(Debug)]
struct Key {
    path: String,
    /// The last version whose write was acknowledged; 0: none.
    acknowledged: u64,
    /// The highest version ever sent.
    sent: u64,
    writing: bool,
}

#[derive(Debug)]
struct ShardKeys {
    keys: Vec<Key>,
    next: usize,
}

/// What the traffic met.
#[derive(Clone, Debug)]
pub(crate) struct TrafficReport {
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) failed_ops: u64,
    pub(crate) mismatches: u64,
    /// Microseconds from when a request was due to its success.
    pub(crate) latency_us: Histogram<u64>,
}

/// A client of every node, with a memory of what it wrote.
#[derive(Debug)]
pub(crate) struct Traffic {
    http: reqwest::Client,
    endpoints: Vec<String>,
    value_bytes: usize,
    shards: Vec<Mutex<ShardKeys>>,
    turn: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
    failed: AtomicU64,
    mismatches: AtomicU64,
    latency_us: Mutex<Histogram<u64>>,
    in_flight: Arc<Semaphore>,
}

/// The value of version `version` of a key: the version, then filler that depends on both, so that any mix-up shows.
fn value(path: &str, version: u64, bytes: usize) -> String {
    let mut text = format!("{version:020} {path} ");
    let unit = text.clone();
    while text.len() < bytes {
        text.push_str(&unit);
    }
    text.truncate(bytes.max(unit.len()));
    text
}

fn version_of(path: &str, body: &str, bytes: usize) -> Option<u64> {
    let version = body.get(..20)?.parse().ok()?;
    (body == value(path, version, bytes)).then_some(version)
}

impl Traffic {
    /// `keys[i]` are the keys of shard i, as the path behind the endpoint (`/v1/kv/…`).
    pub(crate) fn new(endpoints: Vec<String>, keys: Vec<Vec<String>>, value_bytes: usize) -> anyhow::Result<Arc<Self>> {
        let http =
            reqwest::Client::builder().timeout(TRY_TIMEOUT).pool_max_idle_per_host(256).tcp_nodelay(true).build()?;
        let shard = |keys: Vec<String>| {
            let key = |path| Key { path, acknowledged: 0, sent: 0, writing: false };
            Mutex::new(ShardKeys { keys: keys.into_iter().map(key).collect(), next: 0 })
        };
        Ok(Arc::new(Self {
            http,
            endpoints,
            value_bytes,
            shards: keys.into_iter().map(shard).collect(),
            turn: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            mismatches: AtomicU64::new(0),
            latency_us: Mutex::new(Histogram::new_with_bounds(1, 60_000_000, 3)?),
            in_flight: Arc::new(Semaphore::new(MOST_IN_FLIGHT)),
        }))
    }

    /// What was met so far.
    pub(crate) fn report(&self) -> TrafficReport {
        TrafficReport {
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            failed_ops: self.failed.load(Ordering::Relaxed),
            mismatches: self.mismatches.load(Ordering::Relaxed),
            latency_us: self.latency_us.lock().clone(),
        }
    }

    /// Forgets counts and latencies, not what was written.
    pub(crate) fn reset_counts(&self) {
        for counter in [&self.requests, &self.retries, &self.failed, &self.mismatches] {
            counter.store(0, Ordering::Relaxed);
        }
        self.latency_us.lock().reset();
    }

    /// Waits until nothing is under way.
    pub(crate) async fn settle(&self) {
        // Never closed, so acquiring all permits fails only by waiting.
        let _all = self.in_flight.acquire_many(MOST_IN_FLIGHT as u32).await;
    }

    /// Sends the requests of one step, each when it is due, and returns when the last has been sent.
    pub(crate) async fn play(self: &Arc<Self>, start: Instant, due: &[Due]) {
        for request in due {
            let at = start + Duration::from_micros(request.at_us);
            tokio::time::sleep_until(at).await;
            let Ok(permit) = Arc::clone(&self.in_flight).acquire_owned().await else { return };
            let (traffic, request) = (Arc::clone(self), *request);
            tokio::spawn(async move {
                traffic.one(request, at).await;
                drop(permit);
            });
        }
    }

    /// Writes every key once, `width` at a time; errors count as failed operations.
    pub(crate) async fn fill(self: &Arc<Self>, width: usize, mut progress: impl FnMut(usize, usize)) {
        use futures::StreamExt;
        let todo: Vec<(usize, usize)> = (0..self.shards.len())
            .flat_map(|shard| (0..self.shards[shard].lock().keys.len()).map(move |key| (key, shard)))
            .collect();
        let mut todo = todo;
        todo.sort_unstable(); // a key of every shard before the second key of any: all groups work at once
        let total = todo.len();
        let mut running = futures::stream::iter(todo.into_iter().map(|(key, shard)| {
            let traffic = Arc::clone(self);
            async move { traffic.write(shard, key, Instant::now()).await }
        }))
        .buffer_unordered(width);
        let mut done = 0;
        while running.next().await.is_some() {
            done += 1;
            progress(done, total);
        }
    }

    /// Reads every key back, linearizably; gives the number that differ from what was acknowledged, and the number read.
    pub(crate) async fn verify(self: &Arc<Self>, width: usize) -> (u64, u64) {
        use futures::StreamExt;
        let before = self.mismatches.load(Ordering::Relaxed);
        let todo: Vec<(usize, usize)> = (0..self.shards.len())
            .flat_map(|shard| (0..self.shards[shard].lock().keys.len()).map(move |key| (shard, key)))
            .collect();
        let read = todo.len() as u64;
        futures::stream::iter(todo.into_iter().map(|(shard, key)| {
            let traffic = Arc::clone(self);
            async move { traffic.read(shard, key, Instant::now()).await }
        }))
        .buffer_unordered(width)
        .for_each(|()| async {})
        .await;
        (self.mismatches.load(Ordering::Relaxed) - before, read)
    }

    async fn one(&self, request: Due, at: Instant) {
        let shard = request.shard as usize;
        let (key, free) = {
            let mut keys = self.shards[shard].lock();
            let count = keys.keys.len();
            let first = keys.next;
            keys.next = (first + 1) % count;
            // One write at a time to a key, or what an answer should be would be anyone's guess.
            let free = (0..count).map(|i| (first + i) % count).find(|&i| !keys.keys[i].writing);
            (first, free)
        };
        match free {
            Some(key) if request.write => self.write(shard, key, at).await,
            _ => self.read(shard, key, at).await,
        }
    }

    async fn write(&self, shard: usize, key: usize, at: Instant) {
        let (path, version) = {
            let mut keys = self.shards[shard].lock();
            let key = &mut keys.keys[key];
            key.writing = true;
            key.sent += 1;
            (key.path.clone(), key.sent)
        };
        let body = value(&path, version, self.value_bytes);
        let answer = self.retrying(at, |url| self.http.put(url).body(body.clone()), &path).await;
        let mut keys = self.shards[shard].lock();
        let key = &mut keys.keys[key];
        key.writing = false;
        if answer.is_some() {
            key.acknowledged = version;
        }
    }

    async fn read(&self, shard: usize, key: usize, at: Instant) {
        let (path, least) = {
            let keys = self.shards[shard].lock();
            (keys.keys[key].path.clone(), keys.keys[key].acknowledged)
        };
        let Some(body) = self.retrying(at, |url| self.http.get(url), &path).await else { return };
        let most = self.shards[shard].lock().keys[key].sent;
        let right = match body {
            Some(body) => version_of(&path, &body, self.value_bytes).is_some_and(|v| (least..=most).contains(&v)),
            None => least == 0,
        };
        if !right {
            self.mismatches.fetch_add(1, Ordering::Relaxed);
            tracing::error!(path, least, most, "a read gave what was never acknowledged, or lost what was");
        }
    }

    /// Tries until an answer: `Some(body)`, the body `None` for 404; or `None` at the deadline, which counts as a failed operation.
    async fn retrying(
        &self,
        at: Instant,
        request: impl Fn(String) -> reqwest::RequestBuilder,
        path: &str,
    ) -> Option<Option<String>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let (deadline, mut wait, mut last) =
            (Instant::now() + OPERATION_DEADLINE, Duration::from_millis(5), String::new());
        while Instant::now() < deadline {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize % self.endpoints.len();
            match request(format!("{}{path}", self.endpoints[turn])).send().await {
                Ok(answer) => {
                    let status = answer.status();
                    if status.is_success() || status == reqwest::StatusCode::NOT_FOUND {
                        match answer.text().await {
                            Ok(body) => {
                                let us = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
                                self.latency_us.lock().saturating_record(us.max(1));
                                return Some(status.is_success().then_some(body));
                            }
                            Err(error) => last = error.to_string(),
                        }
                    } else {
                        last = format!("{status}: {}", answer.text().await.unwrap_or_default());
                    }
                }
                Err(error) => last = error.to_string(),
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(200));
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(path, last, "an operation failed");
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_version_and_nothing_else_passes_for_it() {
        let text = value("/v1/kv/a/k", 7, 256);
        assert_eq!(text.len(), 256);
        assert_eq!(version_of("/v1/kv/a/k", &text, 256), Some(7));
        assert_eq!(version_of("/v1/kv/a/other", &text, 256), None);
        assert_eq!(version_of("/v1/kv/a/k", &text[..200], 256), None);
    }
}
