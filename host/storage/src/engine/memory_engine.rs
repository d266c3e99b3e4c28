//! An engine in memory, for simulations and tests.

use super::{Change, Engine, Rows, SpaceId, View, check_keys, no_such_space};
use bytes::Bytes;
use isobar_model::KeyRange;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

type Space = Arc<BTreeMap<Bytes, Bytes>>;
type Spaces = BTreeMap<SpaceId, Space>;

/// An [`Engine`] that keeps everything in memory, unbounded. A view shares the maps and the next write copies the one it changes:
/// right for small data, and the same every time.
#[derive(Debug)]
pub struct MemoryEngine {
    spaces: RwLock<Spaces>,
}

impl MemoryEngine {
    /// An engine with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self { spaces: RwLock::new([(SpaceId::META, Space::default())].into()) }
    }
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine for MemoryEngine {
    fn create(&self, space: SpaceId) -> io::Result<()> {
        self.spaces.write().entry(space).or_default();
        Ok(())
    }

    fn delete(&self, space: SpaceId) {
        self.spaces.write().remove(&space);
    }

    fn spaces(&self) -> Vec<SpaceId> {
        self.spaces.read().keys().copied().filter(|&space| space != SpaceId::META).collect()
    }

    fn write(&self, changes: Vec<Change>) -> io::Result<()> {
        check_keys(&changes)?;
        let mut spaces = self.spaces.write();
        for change in &changes {
            let (Change::Put { space, .. } | Change::Remove { space, .. }) = change;
            if !spaces.contains_key(space) {
                return Err(no_such_space(*space));
            }
        }
        for change in changes {
            match change {
                Change::Put { space, key, value } => {
                    let Some(rows) = spaces.get_mut(&space) else { continue };
                    Arc::make_mut(rows).insert(key, value);
                }
                Change::Remove { space, key } => {
                    let Some(rows) = spaces.get_mut(&space) else { continue };
                    Arc::make_mut(rows).remove(&key);
                }
            }
        }
        Ok(())
    }

    fn get(&self, space: SpaceId, key: &[u8]) -> io::Result<Option<Bytes>> {
        let spaces = self.spaces.read();
        Ok(spaces.get(&space).ok_or_else(|| no_such_space(space))?.get(key).cloned())
    }

    fn view(&self) -> Box<dyn View> {
        Box::new(MemoryView { spaces: self.spaces.read().clone() })
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryView {
    spaces: Spaces,
}

impl View for MemoryView {
    fn get(&self, space: SpaceId, key: &[u8]) -> io::Result<Option<Bytes>> {
        Ok(self.spaces.get(&space).ok_or_else(|| no_such_space(space))?.get(key).cloned())
    }

    fn range(&self, space: SpaceId, range: &KeyRange) -> io::Result<Rows> {
        let rows = Arc::clone(self.spaces.get(&space).ok_or_else(|| no_such_space(space))?);
        let end = range.end.clone();
        let mut next = std::ops::Bound::Included(range.start.clone());
        Ok(Box::new(std::iter::from_fn(move || {
            let (key, value) = rows.range((next.clone(), std::ops::Bound::Unbounded)).next()?;
            if end.as_ref().is_some_and(|end| key >= end) {
                return None;
            }
            next = std::ops::Bound::Excluded(key.clone());
            Some(Ok((key.clone(), value.clone())))
        })))
    }
}
