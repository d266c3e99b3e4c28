//! The stream of events.

use super::{Client, ClientResult};
use futures::{Stream, StreamExt};
use isobar_api::Event;
use reqwest::StatusCode;

/// Longest event that is read: the server's own are far below.
const MAX_EVENT_BYTES: usize = 1 << 20;

impl Client {
    /// Events after `after` (0: the oldest kept; none: only those to come). The stream ends with the connection.
    pub async fn events(&self, after: Option<u64>) -> ClientResult<impl Stream<Item = ClientResult<Event>> + use<>> {
        // No deadline: a stream goes on; the server's comments tell that it lives.
        let mut request = self.http.get(format!("{}/v1/events", self.base)).header("accept", "text/event-stream");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = self.send(request).await?;
        let client = self.clone();
        let mut text = Vec::new();
        let parsed = response.bytes_stream().map(move |chunk| {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return vec![Err(client.unreachable(&error))],
            };
            text.extend_from_slice(&chunk);
            let mut events = Vec::new();
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = text.drain(..end + 2).collect();
                let block = String::from_utf8_lossy(&block);
                // A `missed` event has no number, and is for readers that keep a copy of the state; others may go on.
                if let Some(data) = block.lines().find_map(|line| line.strip_prefix("data: "))
                    && block.lines().any(|line| line.starts_with("id: "))
                {
                    events.push(serde_json::from_str(data).map_err(|error| client.unexpected(StatusCode::OK, error)));
                }
            }
            if text.len() > MAX_EVENT_BYTES {
                text.clear();
                events.push(Err(client.unexpected(StatusCode::OK, "an event without an end")));
            }
            events
        });
        Ok(parsed.flat_map(futures::stream::iter))
    }
}
