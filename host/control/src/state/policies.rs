//! Revisions of policies and what is bound.

use crate::command::{ControlReply, Refusal};
use crate::state::ControlState;
use crate::state::events::EventKind;
use isobar_model::policy::{MAX_ARTIFACT_BYTES, MAX_CONFIG_BYTES};
use isobar_model::{Binding, Description, Digest, KeyspaceId, Revision, RevisionStatus, Role};

/// Revisions known at a time: a new one every day for years.
const MAX_REVISIONS: usize = 1_000;
/// Longest text about a revision that is kept, in bytes: a reason, a schema, an import.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// Most imports that are kept.
const MAX_IMPORTS: usize = 256;

impl ControlState {
    pub(super) fn add_revision(&mut self, digest: Digest, bytes: u64) -> Result<ControlReply, Refusal> {
        if self.revisions.contains_key(&digest) {
            return Ok(ControlReply::Done);
        }
        if bytes == 0 || bytes > MAX_ARTIFACT_BYTES as u64 {
            return Err(Refusal::invalid(format!("an artifact has 1 to {MAX_ARTIFACT_BYTES} bytes, not {bytes}")));
        }
        if self.revisions.len() >= MAX_REVISIONS {
            return Err(Refusal::full(format!("{MAX_REVISIONS} revisions are kept: remove some that are not bound")));
        }
        let (status, imports) = (RevisionStatus::Uploaded, Vec::new());
        self.revisions.insert(digest, Revision { digest, bytes, status, role: None, description: None, imports });
        let fields = [("revision", digest.to_string()), ("bytes", bytes.to_string())];
        self.event(EventKind::Revision, format!("revision {} uploaded", digest.short()), &fields);
        Ok(ControlReply::Done)
    }

    pub(super) fn set_revision_status(
        &mut self,
        digest: Digest,
        status: RevisionStatus,
        role: Option<Role>,
        description: Option<Description>,
        mut imports: Vec<String>,
    ) -> Result<ControlReply, Refusal> {
        let revision = self.revisions.get_mut(&digest).ok_or_else(|| no_revision(digest))?;
        let (name, reason) = match &status {
            RevisionStatus::Uploaded => ("uploaded", ""),
            RevisionStatus::Ready => ("ready", ""),
            RevisionStatus::Rejected { reason } => ("rejected", reason.as_str()),
            RevisionStatus::Quarantined { reason } => ("quarantined", reason.as_str()),
        };
        if matches!(revision.status, RevisionStatus::Quarantined { .. }) && revision.status != status {
            return Err(Refusal::conflict(format!(
                "revision {} is quarantined and stays so: upload a mended one",
                digest.short()
            )));
        }
        if matches!(status, RevisionStatus::Ready) && role.or(revision.role).is_none() {
            return Err(Refusal::invalid("a revision is ready only with its role".to_owned()));
        }
        let texts = description.iter().flat_map(|d| [d.name.len(), d.version.len(), d.config_schema.len()]);
        if texts.chain([reason.len()]).chain(imports.iter().map(String::len)).any(|len| len > MAX_TEXT_BYTES) {
            return Err(Refusal::invalid(format!("texts about a revision have at most {MAX_TEXT_BYTES} bytes each")));
        }
        imports.truncate(MAX_IMPORTS);
        let text = match reason {
            "" => format!("revision {} is {name}", digest.short()),
            reason => format!("revision {} is {name}: {reason}", digest.short()),
        };
        let fields = [("revision", digest.to_string()), ("status", name.to_owned())];
        revision.status = status;
        revision.role = role.or(revision.role);
        if description.is_some() {
            revision.description = description;
        }
        if !imports.is_empty() {
            revision.imports = imports;
        }
        self.event(EventKind::Revision, text, &fields);
        Ok(ControlReply::Done)
    }

    pub(super) fn remove_revision(&mut self, digest: Digest) -> Result<ControlReply, Refusal> {
        if !self.revisions.contains_key(&digest) {
            return Err(no_revision(digest));
        }
        if let Some(binding) = self.bindings.values().find(|b| b.revision == Some(digest) || b.previous == Some(digest))
        {
            return Err(Refusal::conflict(format!(
                "revision {} serves, or served last, the role {:?}: bind another first",
                digest.short(),
                binding.role
            )));
        }
        self.revisions.remove(&digest);
        self.saved.retain(|_, saved| saved.revision != digest);
        let fields = [("revision", digest.to_string())];
        self.event(EventKind::Revision, format!("revision {} removed", digest.short()), &fields);
        Ok(ControlReply::Done)
    }

    pub(super) fn bind(
        &mut self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        revision: Option<Digest>,
        config: String,
        expected: u64,
    ) -> Result<ControlReply, Refusal> {
        if let Some(keyspace) = keyspace {
            self.keyspace(keyspace)?;
        }
        self.check_bindable(role, revision)?;
        let config = if config.trim().is_empty() { "{}".to_owned() } else { config };
        if config.len() > MAX_CONFIG_BYTES {
            return Err(Refusal::invalid(format!(
                "a configuration has at most {MAX_CONFIG_BYTES} bytes, not {}",
                config.len()
            )));
        }
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&config) {
            return Err(Refusal::invalid(format!("the configuration is not JSON: {error}")));
        }
        self.check_expected(role, keyspace, expected)?;
        self.settle_default_forecaster(role, keyspace);
        self.put_binding(role, keyspace, revision, config, "")
    }

    pub(super) fn roll_back(
        &mut self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        expected: u64,
    ) -> Result<ControlReply, Refusal> {
        let Some(binding) = self.bindings.get(&(role, keyspace)) else {
            return Err(Refusal::not_found(format!("nothing was ever bound for the role {role:?} there")));
        };
        let (previous, config) = (binding.previous, binding.previous_config.clone());
        self.check_expected(role, keyspace, expected)?;
        self.check_bindable(role, previous)?;
        self.put_binding(role, keyspace, previous, config, "")
    }

    pub(super) fn check_bindable(&self, role: Role, revision: Option<Digest>) -> Result<(), Refusal> {
        let Some(digest) = revision else { return Ok(()) };
        let revision = self.revisions.get(&digest).ok_or_else(|| no_revision(digest))?;
        let short = digest.short();
        match &revision.status {
            RevisionStatus::Ready if revision.role == Some(role) => Ok(()),
            RevisionStatus::Ready => {
                Err(Refusal::invalid(format!("revision {short} serves the role {:?}, not {role:?}", revision.role)))
            }
            RevisionStatus::Uploaded => {
                Err(Refusal::busy(format!("revision {short} is still being checked: wait until it is ready")))
            }
            RevisionStatus::Rejected { reason } => {
                Err(Refusal::conflict(format!("revision {short} was rejected and can't be bound: {reason}")))
            }
            RevisionStatus::Quarantined { reason } => {
                Err(Refusal::conflict(format!("revision {short} is quarantined and can't be bound: {reason}")))
            }
        }
    }

    fn check_expected(&self, role: Role, keyspace: Option<KeyspaceId>, expected: u64) -> Result<(), Refusal> {
        let number = self.bindings.get(&(role, keyspace)).map_or(0, |b| b.number);
        if number == expected {
            return Ok(());
        }
        Err(Refusal::conflict(format!(
            "the binding has number {number}, {expected} was expected: read it again and decide anew"
        )))
    }

    /// `why` ends the event's text.
    pub(super) fn put_binding(
        &mut self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        revision: Option<Digest>,
        config: String,
        why: &str,
    ) -> Result<ControlReply, Refusal> {
        let (number, previous, previous_config) = match self.bindings.get(&(role, keyspace)) {
            Some(old) => (old.number + 1, old.revision, old.config.clone()),
            None => (1, None, "{}".to_owned()),
        };
        let binding = Binding { role, keyspace, revision, config, number, previous, previous_config };
        self.bindings.insert((role, keyspace), binding);
        let name = revision.map_or_else(|| "the built-in policy".to_owned(), |d| format!("revision {}", d.short()));
        let mut fields = vec![("role", format!("{role:?}").to_lowercase()), ("number", number.to_string())];
        fields.extend(revision.map(|d| ("revision", d.to_string())));
        fields.extend(keyspace.map(|k| ("keyspace", k.to_string())));
        self.event(EventKind::Binding, format!("{name} bound for the role {role:?}{why}"), &fields);
        Ok(ControlReply::Bound { number })
    }
}

fn no_revision(digest: Digest) -> Refusal {
    Refusal::not_found(format!("no revision {digest}: upload its artifact first"))
}
