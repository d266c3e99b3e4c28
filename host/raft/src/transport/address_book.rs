//! Where peers are.

use isobar_model::NodeId;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Peer addresses (`host:port`) by node, shared and updatable: a node that comes back elsewhere is found at its next call.
#[derive(Clone, Debug, Default)]
pub struct AddressBook {
    addresses: Arc<RwLock<BTreeMap<NodeId, Arc<str>>>>,
}

impl AddressBook {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes where `node` is.
    pub fn set(&self, node: NodeId, address: &str) {
        let mut addresses = self.addresses.write();
        if addresses.get(&node).map(AsRef::as_ref) != Some(address) {
            addresses.insert(node, address.into());
        }
    }

    /// Forgets `node`.
    pub fn remove(&self, node: NodeId) {
        self.addresses.write().remove(&node);
    }

    /// Where `node` is.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<Arc<str>> {
        self.addresses.read().get(&node).cloned()
    }

    /// Everyone in the book.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        self.addresses.read().keys().copied().collect()
    }
}
