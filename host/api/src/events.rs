//! `/v1/events`: what happened, as server-sent events that can be resumed.

use crate::ApiState;
use crate::problem::Problem;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse;
use futures::StreamExt;
use isobar_model::InstantMs;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use utoipa::ToSchema;

/// Events kept for readers that come back: some hours of a busy cluster, below 1 MiB.
const RING: usize = 4096;
/// Events a reader may fall behind before it is told that it missed some.
const BACKLOG: usize = 1024;
/// Comments sent on a quiet stream, well inside the idle limit of a connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Ascending on the node that is asked.
    #[schema(example = 417)]
    pub id: u64,
    /// When, on the control clock, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_846_000_u64)]
    pub at: InstantMs,
    /// What kind: `migration`, `binding`, `policy`, `node`, `keyspace`, `plan`, `halt`.
    #[schema(example = "migration")]
    pub kind: String,
    /// One sentence for people.
    #[schema(example = "migration 12 of shard 7: node 3 to node 5 is done")]
    pub message: String,
    /// The same for programs; what is in it depends on the kind.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// A bounded ring of events with live readers. The oldest are forgotten first.
#[derive(Debug)]
pub struct EventLog {
    ring: Mutex<Ring>,
    live: broadcast::Sender<Arc<Event>>,
}

#[derive(Debug)]
struct Ring {
    next: u64,
    events: VecDeque<Arc<Event>>,
}

/// Where a reader starts.
#[derive(Debug)]
pub struct Subscription {
    /// Events already there, oldest first.
    pub past: Vec<Arc<Event>>,
    /// Whether events after the one named were forgotten already.
    pub missed: bool,
    /// Events to come.
    pub live: broadcast::Receiver<Arc<Event>>,
}

impl Default for EventLog {
    fn default() -> Self {
        let (live, _) = broadcast::channel(BACKLOG);
        Self { ring: Mutex::new(Ring { next: 1, events: VecDeque::new() }), live }
    }
}

impl EventLog {
    /// Records an event and shows it to all readers; gives its number. Never blocks on a slow reader.
    pub fn publish(&self, at: InstantMs, kind: &str, message: impl Into<String>, data: serde_json::Value) -> u64 {
        let mut ring = self.ring.lock();
        let event = Arc::new(Event { id: ring.next, at, kind: kind.to_owned(), message: message.into(), data });
        ring.next += 1;
        if ring.events.len() == RING {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::clone(&event));
        // Sent under the lock, so that no reader sees an event twice or not at all. An error means that nobody listens.
        let _ = self.live.send(Arc::clone(&event));
        event.id
    }

    /// Reads on after event `after`; none: only what is to come.
    #[must_use]
    pub fn subscribe(&self, after: Option<u64>) -> Subscription {
        let ring = self.ring.lock();
        let live = self.live.subscribe();
        // A number from the future is of another life of the node: begin at the oldest.
        let after = after.map(|after| if after >= ring.next { 0 } else { after });
        let past = match after {
            Some(after) => ring.events.iter().filter(|e| e.id > after).cloned().collect(),
            None => Vec::new(),
        };
        let oldest = ring.events.front().map_or(ring.next, |e| e.id);
        Subscription { past, missed: after.is_some_and(|after| after + 1 < oldest), live }
    }

    /// The last `limit` events, oldest first.
    #[must_use]
    pub fn last(&self, limit: usize) -> Vec<Arc<Event>> {
        let ring = self.ring.lock();
        ring.events.iter().skip(ring.events.len().saturating_sub(limit)).cloned().collect()
    }
}

fn as_sse(event: &Event) -> sse::Event {
    let sse = sse::Event::default().id(event.id.to_string()).event(event.kind.clone());
    sse.json_data(event).unwrap_or_else(|_| sse::Event::default().comment("an event that can't be written as JSON"))
}

fn missed(count: Option<u64>) -> sse::Event {
    let text = count.map_or_else(
        || {
            "events after the one you named are forgotten already; read the lists again, then go on from here"
                .to_owned()
        },
        |count| format!("you read too slowly and missed {count} events; read the lists again, then go on from here"),
    );
    sse::Event::default().event("missed").data(serde_json::json!({ "detail": text, "count": count }).to_string())
}

/// Follow events (server-sent events)
///
/// Without `Last-Event-ID` only what is to come; `Last-Event-ID: 0` begins with the oldest kept. An event of kind `missed` says that some are lost.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(("Last-Event-ID" = Option<u64>, Header, description = "Go on after this event", example = 417)),
    responses(
        (status = 200, description = "A stream of events; each `data` line is one event", content_type = "text/event-stream", body = Event),
        (status = 400, description = "`Last-Event-ID` is no number", body = Problem),
    )
)]
pub(crate) async fn follow(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let after = match headers.get("last-event-id") {
        None => None,
        Some(value) => Some(value.to_str().ok().and_then(|v| v.trim().parse::<u64>().ok()).ok_or_else(|| {
            Problem::bad_request("Last-Event-ID is the number of the last event you saw; send it as it came.")
        })?),
    };
    let subscription = state.backend.events().subscribe(after);
    let first = subscription.missed.then(|| missed(None));
    let past: Vec<_> = subscription.past.iter().map(|e| as_sse(e)).collect();
    let live = BroadcastStream::new(subscription.live).map(|item| match item {
        Ok(event) => as_sse(&event),
        Err(BroadcastStreamRecvError::Lagged(count)) => missed(Some(count)),
    });
    // When the node stops, streams end, so that a graceful stop need not wait for their readers.
    let stopped = Arc::clone(&state).stopped();
    let stream = futures::stream::iter(first.into_iter().chain(past)).chain(live).take_until(stopped);
    Ok(sse::Sse::new(stream.map(Ok::<_, std::convert::Infallible>))
        .keep_alive(sse::KeepAlive::new().interval(KEEP_ALIVE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(log: &EventLog, count: usize) {
        for _ in 0..count {
            log.publish(InstantMs(0), "node", "a node came up", serde_json::Value::Null);
        }
    }

    /// Promise 8: the ring is bounded, and a reader is told what it missed.
    #[test]
    fn the_ring_forgets_the_oldest_and_says_so() {
        let log = EventLog::default();
        publish(&log, RING + 10);
        let all = log.subscribe(Some(0));
        assert!(all.missed);
        assert_eq!(all.past.len(), RING);
        assert_eq!(all.past[0].id, 11);
        assert!(!log.subscribe(Some(10)).missed);
        assert_eq!(log.subscribe(Some(RING as u64 + 8)).past.len(), 2);
    }

    #[test]
    fn a_reader_of_another_life_begins_at_the_oldest() {
        let log = EventLog::default();
        publish(&log, 3);
        assert_eq!(log.subscribe(Some(9000)).past.len(), 3);
    }

    #[tokio::test]
    async fn nothing_falls_between_past_and_live() {
        let log = EventLog::default();
        publish(&log, 2);
        let mut subscription = log.subscribe(Some(0));
        publish(&log, 1);
        assert_eq!(subscription.past.len(), 2);
        assert_eq!(subscription.live.recv().await.unwrap().id, 3);
    }
}
