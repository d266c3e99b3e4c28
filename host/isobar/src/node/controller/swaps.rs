//! Which policy serves: uploads judged, instances readied beside the serving one, bindings changed and rolled back.

use super::Controller;
use crate::node::brain_thread::lower_priority;
use bytes::Bytes;
use isobar_api::backend::{BackendError, BindingChange, Bound};
use isobar_control::{ControlCommand, ControlState, Prepared};
use isobar_model::{Digest, InstantMs, KeyspaceId, RevisionStatus, Role};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most forecasters on standby: each has up to 62 KiB of memory for each shard that it serves.
const MOST_ON_STANDBY: usize = 3;
/// The configuration that standbys are opened with; binding with another one takes the time to observe.
const STANDBY_CONFIG: &str = "{}";
/// How often new revisions are looked for.
pub(super) const REVISIONS_LOOK: Duration = Duration::from_millis(100);

/// A forecaster ready to serve.
pub(super) struct Standby {
    digest: Digest,
    prepared: Prepared,
}

impl Controller {
    /// Readies and activates what was bound for a role under an earlier leader. The built-in policy answers meanwhile.
    pub(super) async fn restore_binding(&self, role: Role) {
        let _one_at_a_time = self.binding.lock().await;
        let state = self.here.state();
        let Some(binding) = state.binding(role, None) else { return };
        let Some(digest) = binding.revision else { return };
        if role == Role::Forecast {
            self.say_why_native("the bound forecaster is being readied".to_owned()).await;
        }
        let outcome = async {
            self.compile(digest).await?;
            let name = policy_name(&state, digest)?;
            let saved = self.saved_by_leader_before(&state, role, &name).await;
            let prepared = self.prepare(role, Some((digest, name)), binding.config.clone(), saved).await?;
            self.brain.call(move |brain| brain.activate(prepared)).await?.map_err(unfit)
        };
        if let Err(error) = outcome.await {
            let text = format!("the {role:?} policy {} can't serve, the built-in one answers: {error}", digest.short());
            if role == Role::Forecast {
                self.say_why_native(text.clone()).await;
            }
            self.here.publish("policy", text);
        }
    }

    /// Has forecasts say why they are native ones.
    pub(super) async fn say_why_native(&self, why: String) {
        if let Err(error) = self.brain.call(move |brain| brain.await_forecaster(why)).await {
            tracing::debug!(%error, "no forecast will be made here any more");
        }
    }

    /// Makes sure that the policy host has an artifact compiled.
    pub(super) async fn compile(&self, digest: Digest) -> Result<(), BackendError> {
        let unreadable =
            |error: std::io::Error| BackendError::Unavailable(format!("the artifact can't be read: {error}"));
        let bytes = self.here.blobs.get(digest).await.map_err(unreadable)?;
        let host = Arc::clone(&self.here.policies);
        policy_work(move || host.inspect(&bytes))
            .await?
            .map(|_| ())
            .map_err(|rejection| BackendError::Invalid(rejection.0))
    }

    /// The state that a policy of this name saved under an earlier leader. Without one, the stored history is observed again.
    async fn saved_by_leader_before(&self, state: &ControlState, role: Role, name: &str) -> Option<(Bytes, InstantMs)> {
        let saved = state.saved_state(role, None)?;
        policy_name(state, saved.revision).ok().filter(|by| by == name)?;
        match self.here.blobs.get(saved.blob).await {
            Ok(bytes) => Some((bytes, saved.observed_until)),
            Err(error) => {
                tracing::warn!(%error, policy = name, "its saved state can't be read, it observes the history again");
                None
            }
        }
    }

    /// Readies an instance; `saved`: a state to go on from, and up to when it has observed, where the serving instance gives none.
    pub(super) async fn prepare(
        &self,
        role: Role,
        revision: Option<(Digest, String)>,
        config: String,
        saved: Option<(Bytes, InstantMs)>,
    ) -> Result<Prepared, BackendError> {
        let preparation = self.brain.call(move |brain| {
            let preparation = brain.preparation(role, revision, &config);
            match saved {
                Some((bytes, observed_until)) => preparation.with_saved(brain, &bytes, observed_until),
                None => preparation,
            }
        });
        let preparation = preparation.await?;
        let host = Arc::clone(&self.here.policies);
        policy_work(move || preparation.run(host.as_ref())).await?.map_err(unfit)
    }

    /// Binds a policy: the new instance is readied while the old one serves, the change is committed, then they are swapped. It goes on when
    /// the caller gives up waiting: a change that is committed is to be carried out.
    pub(crate) async fn bind(
        self: &Arc<Self>,
        role: Role,
        keyspace: Option<KeyspaceId>,
        change: BindingChange,
    ) -> Result<Bound, BackendError> {
        let this = Arc::clone(self);
        let binding = tokio::spawn(async move {
            let BindingChange { revision, config, expected } = change.clone();
            let command = ControlCommand::Bind { role, keyspace, revision, config, expected };
            this.bind_now(role, keyspace, change, command).await
        });
        binding.await.map_err(|error| BackendError::Internal(format!("the binding was broken off: {error}")))?
    }

    /// Carries a change out, which `command` commits.
    pub(super) async fn bind_now(
        &self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        change: BindingChange,
        command: ControlCommand,
    ) -> Result<Bound, BackendError> {
        let began = Instant::now();
        let _one_at_a_time = self.binding.lock().await;
        if keyspace.is_some() {
            return Err(BackendError::Invalid(
                "bindings of a single keyspace are not carried out yet: leave the keyspace out, which binds the role for all".into(),
            ));
        }
        let state = self.here.state();
        let in_force = state.binding(role, keyspace).map_or(0, |binding| binding.number);
        if in_force != change.expected {
            return Err(BackendError::Conflict {
                detail: format!(
                    "binding number {in_force} is in force, {} was expected: somebody changed it; read it again, then decide",
                    change.expected
                ),
                expected: Some(change.expected),
                actual: Some(in_force),
            });
        }
        let revision = match change.revision {
            Some(digest) => Some((digest, self.bindable(&state, role, digest)?)),
            None => None,
        };
        let prepared = match self.take_standby(&state, role, &change) {
            Some(prepared) => prepared,
            None => self.prepare(role, revision, change.config, None).await?,
        };
        // The brain may be in the middle of a tick: the change is committed while that ends. It waits no longer than a command's deadline.
        let (committed, outcome) = std::sync::mpsc::channel::<()>();
        let activated = self.brain.call(move |brain| outcome.recv().ok().map(|()| brain.activate(prepared)));
        // Owns the sender: however it ends, the brain is let go.
        let commit = async move {
            self.here.control.command(command).await?;
            // Where the brain is gone, its answer below says so.
            let _ = committed.send(());
            Ok::<(), BackendError>(())
        };
        let (commit, activated) = tokio::join!(commit, activated);
        commit?;
        activated?
            .ok_or_else(|| BackendError::Internal("the binding is committed, but was not carried out".into()))?
            .map_err(unfit)?;
        let swap_ms = began.elapsed().as_secs_f64() * 1000.0;
        let state = self.here.state();
        let binding = state.binding(role, keyspace).cloned();
        let binding = binding.ok_or_else(|| BackendError::Internal("the binding is gone again".into()))?;
        Ok(Bound { by_default: state.is_default(&binding), binding, swap_ms: Some(swap_ms) })
    }

    /// The standby for this change, where there is one. Another revision of the serving policy goes on from its state instead.
    fn take_standby(&self, state: &ControlState, role: Role, change: &BindingChange) -> Option<Prepared> {
        let digest = change.revision.filter(|_| role == Role::Forecast && change.config == STANDBY_CONFIG)?;
        let serving = state.binding(role, None).and_then(|binding| binding.revision);
        let name = |digest: Digest| policy_name(state, digest).ok();
        if serving.and_then(name).is_some_and(|serving| Some(serving) == name(digest)) {
            return None;
        }
        let mut standby = self.standby.lock();
        let at = standby.iter().position(|standby| standby.digest == digest)?;
        Some(standby.swap_remove(at).prepared)
    }

    /// Readies forecasters that may be bound next: those that do not serve, the latest first.
    async fn warm(&self) -> Result<(), BackendError> {
        let wanted: Vec<(Digest, String)> = self.here.read(|state| {
            let serving = state.binding(Role::Forecast, None).and_then(|binding| binding.revision);
            let ready = state.revisions().values().filter(|revision| {
                revision.status == RevisionStatus::Ready
                    && revision.role == Some(Role::Forecast)
                    && Some(revision.digest) != serving
            });
            let named = |r: &isobar_model::Revision| Some((r.digest, r.description.as_ref()?.name.clone()));
            ready.filter_map(named).take(MOST_ON_STANDBY).collect()
        });
        self.standby.lock().retain(|standby| wanted.iter().any(|(digest, _)| *digest == standby.digest));
        for (digest, name) in wanted {
            if self.standby.lock().iter().any(|standby| standby.digest == digest) {
                continue;
            }
            if self.brain.call(|brain| brain.history().end()).await? == 0 {
                return Ok(());
            }
            let prepared = self.prepare(Role::Forecast, Some((digest, name)), STANDBY_CONFIG.to_owned(), None).await?;
            let mut standby = self.standby.lock();
            if standby.len() < MOST_ON_STANDBY {
                standby.push(Standby { digest, prepared });
            }
        }
        Ok(())
    }

    /// Binds what was bound before.
    pub(crate) async fn roll_back(
        self: &Arc<Self>,
        role: Role,
        keyspace: Option<KeyspaceId>,
        expected: Option<u64>,
    ) -> Result<Bound, BackendError> {
        let state = self.here.state();
        let Some(binding) = state.binding(role, keyspace) else {
            return Err(BackendError::NotFound(format!(
                "nothing was ever bound to {role:?}: there is nothing to roll back to"
            )));
        };
        let change = BindingChange {
            revision: binding.previous,
            config: binding.previous_config.clone(),
            expected: expected.unwrap_or(binding.number),
        };
        self.bind(role, keyspace, change).await
    }

    fn bindable(&self, state: &ControlState, role: Role, digest: Digest) -> Result<String, BackendError> {
        let Some(revision) = state.revisions().get(&digest) else {
            return Err(BackendError::NotFound(format!("there is no revision {digest}: upload it first")));
        };
        match &revision.status {
            RevisionStatus::Ready if revision.role == Some(role) => policy_name(state, digest),
            RevisionStatus::Ready => Err(BackendError::Invalid(format!(
                "revision {} serves the role {:?}, not {role:?}: bind it there",
                digest.short(),
                revision.role
            ))),
            RevisionStatus::Uploaded => Err(BackendError::conflict(format!(
                "revision {} is still being compiled: wait until its status is ready",
                digest.short()
            ))),
            RevisionStatus::Rejected { reason } | RevisionStatus::Quarantined { reason } => {
                Err(BackendError::conflict(format!("revision {} may not be bound: {reason}", digest.short())))
            }
        }
    }

    /// Compiles and judges what was uploaded.
    pub(super) async fn judge_revisions(self: Arc<Self>) {
        let mut warmed: BTreeSet<Digest> = BTreeSet::new();
        loop {
            let revisions = self.here.read(|state| state.revisions().clone());
            for revision in revisions.values() {
                let digest = revision.digest;
                match &revision.status {
                    RevisionStatus::Uploaded => {
                        let bytes = match self.here.blobs.get(digest).await {
                            Ok(bytes) => bytes,
                            Err(error) => {
                                tracing::warn!(%digest, %error, "an uploaded artifact can't be read yet");
                                continue;
                            }
                        };
                        let host = Arc::clone(&self.here.policies);
                        let Ok(judged) = policy_work(move || host.inspect(&bytes)).await else { continue };
                        let command = match judged {
                            Ok(found) => ControlCommand::SetRevisionStatus {
                                digest,
                                status: RevisionStatus::Ready,
                                role: Some(found.role),
                                description: Some(found.description),
                                imports: found.imports,
                            },
                            Err(rejection) => ControlCommand::SetRevisionStatus {
                                digest,
                                status: RevisionStatus::Rejected { reason: rejection.0 },
                                role: None,
                                description: None,
                                imports: Vec::new(),
                            },
                        };
                        if let Err(error) = self.here.control.command(command).await {
                            tracing::warn!(%digest, %error, "a revision's status was not recorded");
                        }
                        warmed.insert(digest);
                    }
                    // Compiled under an earlier leader: once here too, so that binding it takes no time.
                    RevisionStatus::Ready if warmed.insert(digest) => {
                        if let Err(error) = self.compile(digest).await {
                            tracing::warn!(%digest, %error, "a ready artifact was not compiled here");
                        }
                    }
                    RevisionStatus::Ready | RevisionStatus::Rejected { .. } | RevisionStatus::Quarantined { .. } => {}
                }
            }
            if let Err(error) = self.warm().await {
                tracing::debug!(%error, "a forecaster could not be put on standby");
            }
            tokio::time::sleep(REVISIONS_LOOK).await;
        }
    }
}

fn policy_name(state: &ControlState, digest: Digest) -> Result<String, BackendError> {
    let description = state.revisions().get(&digest).and_then(|revision| revision.description.as_ref());
    let unknown = || BackendError::conflict(format!("revision {} is not ready", digest.short()));
    description.map(|description| description.name.clone()).ok_or_else(unknown)
}

fn unfit(failure: isobar_ports::PolicyFailure) -> BackendError {
    BackendError::Invalid(format!("the policy can't serve: {failure}"))
}

/// Runs policy code on a thread of lowered priority.
async fn policy_work<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, BackendError> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new().name("policy".into()).spawn(move || {
        lower_priority();
        let _ = answer.send(work());
    });
    spawned.map_err(|error| BackendError::Unavailable(format!("no thread for the policy: {error}")))?;
    answered.await.map_err(|_| BackendError::Internal("the policy's thread died".into()))
}
