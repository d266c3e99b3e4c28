//! The forecaster that serves without anybody binding it: the one bound before, or in a new cluster the default one.
//!
//! Compiling and showing it history takes seconds, and neither data nor ticks wait for that: the native forecaster serves until it is ready.
//! The default one goes an operator's way: it is uploaded, judged, readied and bound by compare-and-swap, so an operator who is first wins.

use super::Controller;
use super::swaps::REVISIONS_LOOK;
use bytes::Bytes;
use isobar_api::backend::{BackendError, BindingChange};
use isobar_control::ControlCommand;
use isobar_model::{Digest, RevisionStatus, Role};
use std::sync::Arc;
use std::time::Duration;

/// Between two tries of what failed for a passing reason.
const RETRY: Duration = Duration::from_secs(1);

impl Controller {
    /// Has the bound forecaster serve; in a new cluster, the default one.
    pub(super) async fn ready_forecaster(self: Arc<Self>) {
        self.restore_binding(Role::Forecast).await;
        while let Some(name) = self.here.read(|state| state.awaited_forecaster().map(str::to_owned)) {
            self.say_why_native(format!("{name}, the default of a new cluster, is being readied")).await;
            match self.bind_default(&name).await {
                Ok(()) => return,
                Err(error @ (BackendError::Unavailable(_) | BackendError::Timeout(_))) => {
                    tracing::info!(%error, policy = name, "the default forecaster is not bound yet");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => {
                    // An operator was first: that is as it should be.
                    if self.here.read(|state| state.awaited_forecaster().is_some()) {
                        let text = format!(
                            "the default forecaster {name} was not bound, the built-in policy serves until another is: {error}"
                        );
                        self.say_why_native(text.clone()).await;
                        self.here.publish("policy", text);
                    }
                    return;
                }
            }
        }
    }

    async fn bind_default(&self, name: &str) -> Result<(), BackendError> {
        let policy = isobar_bundle::first_party().iter().find(|policy| policy.name == name);
        let unknown = || BackendError::NotFound("this release does not come with it: upload it and bind it".into());
        let component = policy.ok_or_else(unknown)?.component;
        let digest = self.here.control.upload(self.here.blobs.as_ref(), Bytes::from_static(component)).await?;
        self.wait_for_verdict(digest).await;
        let change = BindingChange { revision: Some(digest), config: "{}".to_owned(), expected: 0 };
        let command = ControlCommand::BindDefaultForecaster { revision: digest };
        let bound = self.bind_now(Role::Forecast, None, change, command).await?;
        tracing::info!(policy = name, revision = %digest, swap_ms = bound.swap_ms, "the default forecaster serves");
        Ok(())
    }

    async fn wait_for_verdict(&self, digest: Digest) {
        let is_uploaded = || {
            self.here.read(|state| state.revisions().get(&digest).is_none_or(|r| r.status == RevisionStatus::Uploaded))
        };
        while is_uploaded() {
            tokio::time::sleep(REVISIONS_LOOK).await;
        }
    }
}
