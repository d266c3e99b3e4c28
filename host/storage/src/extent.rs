//! Extents: engine spaces that replicas refer to, counted.

use crate::engine::{Change, Engine, SpaceId};
use crate::row::Kind;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// The extents of a node, and how many replicas use each.
///
/// A split will let two replicas share one; a moved replica brings a new one. An extent that no replica uses is deleted: at once when
/// its last user goes, and at the next start if the process dies before that is through.
#[derive(Debug)]
pub(crate) struct Extents {
    engine: Arc<dyn Engine>,
    counts: Mutex<Counts>,
}

#[derive(Clone, Debug)]
struct Counts {
    uses: BTreeMap<SpaceId, u32>,
    next: u64,
}

impl Extents {
    /// Reads the counts and deletes what nobody uses.
    pub(crate) fn open(engine: Arc<dyn Engine>) -> io::Result<Self> {
        let uses: BTreeMap<SpaceId, u32> =
            Kind::ExtentUses.all::<u32>(&*engine)?.into_iter().map(|(extent, uses)| (SpaceId(extent), uses)).collect();
        let stored = Kind::NextExtent.all::<u64>(&*engine)?.first().map_or(1, |&(_, next)| next);
        let existing = engine.spaces();
        let next = existing.iter().map(|extent| extent.0 + 1).fold(stored, u64::max);
        for extent in existing.into_iter().filter(|extent| !uses.contains_key(extent)) {
            tracing::info!(%extent, "deleting an extent that no replica uses");
            engine.delete(extent);
        }
        Ok(Self { engine, counts: Mutex::new(Counts { uses, next }) })
    }

    /// Makes an extent that nobody uses yet.
    pub(crate) fn create(&self) -> io::Result<FreshExtent> {
        let mut counts = self.counts.lock();
        let id = SpaceId(counts.next);
        counts.next += 1;
        drop(counts);
        self.engine.create(id)?;
        Ok(FreshExtent { id, engine: Some(Arc::clone(&self.engine)) })
    }

    /// Writes `changes` and, in the same batch, that one replica more uses `acquired` and one less `released`. Durable on return.
    pub(crate) fn write(
        &self,
        acquired: Option<FreshExtent>,
        released: Option<SpaceId>,
        mut changes: Vec<Change>,
    ) -> io::Result<()> {
        let mut counts = self.counts.lock();
        let mut uses = counts.uses.clone();
        if let Some(extent) = &acquired {
            let count = uses.entry(extent.id).or_default();
            *count += 1;
            changes.push(Kind::ExtentUses.put(extent.id.0, count)?);
            changes.push(Kind::NextExtent.put(0, &counts.next)?);
        }
        let mut unused = None;
        if let Some(extent) = released {
            let left = uses.get(&extent).copied().unwrap_or_default().saturating_sub(1);
            if left == 0 {
                uses.remove(&extent);
                changes.push(Kind::ExtentUses.remove(extent.0));
                unused = Some(extent);
            } else {
                uses.insert(extent, left);
                changes.push(Kind::ExtentUses.put(extent.0, &left)?);
            }
        }
        self.engine.write(changes)?;
        // Written, not yet synced: from here on the extent belongs to the replica, whether or not the sync succeeds.
        if let Some(extent) = acquired {
            extent.keep();
        }
        counts.uses = uses;
        self.engine.sync()?;
        if let Some(extent) = unused {
            self.engine.delete(extent);
        }
        Ok(())
    }
}

/// An extent that no replica uses yet: dropped, it is deleted.
#[derive(Debug)]
pub(crate) struct FreshExtent {
    pub(crate) id: SpaceId,
    /// None once it is kept.
    engine: Option<Arc<dyn Engine>>,
}

impl FreshExtent {
    fn keep(mut self) {
        self.engine = None;
    }
}

impl Drop for FreshExtent {
    fn drop(&mut self) {
        if let Some(engine) = &self.engine {
            engine.delete(self.id);
        }
    }
}
