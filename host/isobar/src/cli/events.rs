//! `isobar events`.

use super::output::{Output, instant};
use crate::client::{Client, ClientError};
use clap::Args;
use futures::StreamExt;
use std::pin::pin;
use std::time::Duration;

/// Times in a row that a lost connection is taken up again: a restart of the node takes some seconds.
const RETRIES: u32 = 10;
/// Between them.
const PAUSE: Duration = Duration::from_secs(1);

/// Which events to follow.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  isobar events\n  isobar events --after 0 --count 20")]
pub struct Events {
    /// Begin after this event; 0: with the oldest kept
    #[arg(long, value_name = "ID")]
    after: Option<u64>,
    /// End after so many events
    #[arg(long)]
    count: Option<u64>,
}

impl Events {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let mut after = self.after;
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut retries = RETRIES;
        let mut opened = false;
        while left > 0 {
            let mut stream = match client.events(after).await {
                Ok(stream) => pin!(stream),
                // At first a failure is one; later it may be the node's restart.
                Err(error @ ClientError::Unreachable { .. }) if opened && retries > 0 => {
                    output.progress(&format!("{error} Trying again ..."));
                    retries -= 1;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            opened = true;
            while left > 0 {
                let event = match stream.next().await {
                    None | Some(Err(ClientError::Unreachable { .. })) => break,
                    Some(event) => event?,
                };
                output.progress_done();
                retries = RETRIES;
                left -= 1;
                after = Some(event.id);
                output.line(&event, || {
                    format!("{:>6}  {}  {:<10} {}", event.id, instant(event.at), event.kind, event.message)
                })?;
            }
            if left > 0 {
                if retries == 0 {
                    anyhow::bail!("the stream of events ended {RETRIES} times without one: is the node stopping?");
                }
                retries -= 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}
