//! The replicas that live on a node.

use crate::engine::Engine;
use crate::extent::Extents;
use crate::row::{Kind, damaged};
use crate::shard_store::{ReplicaRecord, ReplicaState, ShardStore};
use isobar_model::{Generation, Incarnation, KeyRange, ShardId};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Why a replica was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// Another life of it is here: delete that one first.
    #[error("incarnation {incarnation} of shard {shard} lives here already: delete it first")]
    AnotherIncarnation {
        /// Which shard.
        shard: ShardId,
        /// Which life of it.
        incarnation: Incarnation,
    },
    /// The engine failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Every replica on a node, over one engine. What it made or removed is durable when the call returns, as a group's log must never
/// outlive the record of its replica unseen.
#[derive(Debug)]
pub struct Replicas {
    engine: Arc<dyn Engine>,
    extents: Arc<Extents>,
    /// Held by whoever makes or removes a replica, which syncs: looking one up never waits for that.
    changing: Mutex<()>,
    stores: RwLock<BTreeMap<ShardId, Arc<ShardStore>>>,
}

impl Replicas {
    /// Opens all there are, and goes on deleting what was being deleted.
    ///
    /// # Errors
    /// The engine failed, or what it holds is damaged.
    pub fn open(engine: Arc<dyn Engine>) -> io::Result<Self> {
        let extents = Arc::new(Extents::open(Arc::clone(&engine))?);
        let mut states: BTreeMap<u64, ReplicaState> = Kind::State.all(&*engine)?.into_iter().collect();
        let spaces = engine.spaces();
        let mut stores = BTreeMap::new();
        for (shard, record) in Kind::Replica.all::<ReplicaRecord>(&*engine)? {
            if !spaces.contains(&record.extent) {
                return Err(damaged(&format!("extent {} of shard {shard}", record.extent)));
            }
            let state = states.remove(&shard).unwrap_or_default();
            let store = ShardStore::new(Arc::clone(&engine), Arc::clone(&extents), record, state);
            stores.insert(ShardId(shard), Arc::new(store));
        }
        Ok(Self { engine, extents, changing: Mutex::new(()), stores: RwLock::new(stores) })
    }

    /// Makes an empty replica. The same incarnation again gives the one that is there.
    ///
    /// # Errors
    /// See [`ReplicaError`].
    pub fn create(
        &self,
        shard: ShardId,
        incarnation: Incarnation,
        range: KeyRange,
        generation: Generation,
    ) -> Result<Arc<ShardStore>, ReplicaError> {
        let _changing = self.changing.lock();
        if let Some(store) = self.get(shard) {
            let here = store.record().incarnation;
            return if here == incarnation {
                Ok(store)
            } else {
                Err(ReplicaError::AnotherIncarnation { shard, incarnation: here })
            };
        }
        let extent = self.extents.create()?;
        let record = ReplicaRecord { shard, incarnation, extent: extent.id, range, generation };
        let state = ReplicaState::default();
        let changes = vec![Kind::Replica.put(shard.0, &record)?, Kind::State.put(shard.0, &state)?];
        self.extents.write(Some(extent), None, changes)?;
        let store = ShardStore::new(Arc::clone(&self.engine), Arc::clone(&self.extents), record, state);
        let store = Arc::new(store);
        self.stores.write().insert(shard, Arc::clone(&store));
        Ok(store)
    }

    /// The replica of `shard`, where one lives here.
    #[must_use]
    pub fn get(&self, shard: ShardId) -> Option<Arc<ShardStore>> {
        self.stores.read().get(&shard).cloned()
    }

    /// All of them, by shard.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ShardStore>> {
        self.stores.read().values().cloned().collect()
    }

    /// Removes this incarnation of `shard`, its data in the background. Returns whether it was there: another incarnation stays.
    /// Stop its group before: whoever still holds the store gets `NotFound` from it.
    ///
    /// # Errors
    /// The engine failed.
    pub fn remove(&self, shard: ShardId, incarnation: Incarnation) -> io::Result<bool> {
        let _changing = self.changing.lock();
        let Some(store) = self.get(shard) else { return Ok(false) };
        if store.record().incarnation != incarnation {
            return Ok(false);
        }
        store.remove()?;
        self.stores.write().remove(&shard);
        Ok(true)
    }
}
