//! The gain ledger's saved books, and the keyspaces whose policies move on whatever these say.

use crate::command::{ControlReply, Refusal};
use crate::state::ControlState;
use crate::state::events::EventKind;
use isobar_model::{Digest, KeyspaceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gains {
    saved: Option<Digest>,
    unheeded: BTreeSet<KeyspaceId>,
}

impl Gains {
    /// What a snapshot of a release without a gain ledger lacks at its end.
    pub(super) fn encoded_absence() -> Vec<u8> {
        postcard::to_allocvec(&Self::default()).expect("nothing is plain data, which always encodes")
    }

    pub(super) fn blob(&self) -> Option<&Digest> {
        self.saved.as_ref()
    }
}

impl ControlState {
    /// The blob of the gain ledger, as a leader saved it last; see `Brain::restore_gains`.
    #[must_use]
    pub fn saved_gains(&self) -> Option<Digest> {
        self.gains.saved
    }

    /// Keyspaces whose policies move on whatever the gain ledger says of them.
    #[must_use]
    pub fn unheeded_gains(&self) -> &BTreeSet<KeyspaceId> {
        &self.gains.unheeded
    }

    pub(super) fn save_gains(&mut self, blob: Digest) -> Result<ControlReply, Refusal> {
        self.gains.saved = Some(blob);
        Ok(ControlReply::Done)
    }

    pub(super) fn set_abstain(&mut self, keyspace: KeyspaceId, abstain: bool) -> Result<ControlReply, Refusal> {
        let name = self.keyspace(keyspace)?.name.clone();
        let changed =
            if abstain { self.gains.unheeded.remove(&keyspace) } else { self.gains.unheeded.insert(keyspace) };
        if changed {
            let text = if abstain {
                format!("moves by forecast stop in keyspace {name} where they are not shown to pay")
            } else {
                format!("moves by forecast go on in keyspace {name} whether they pay or not")
            };
            self.event(EventKind::Keyspace, text, &[("keyspace", keyspace.to_string())]);
        }
        Ok(ControlReply::Done)
    }
}
