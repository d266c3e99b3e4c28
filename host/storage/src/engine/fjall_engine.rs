//! The engine on disk: a fjall database with a keyspace for each space.

use super::{Change, Engine, Rows, SpaceId, View, check_keys, no_such_space};
use crate::fjall_errors::io_error;
use bytes::Bytes;
use fjall::Readable as _;
use isobar_model::KeyRange;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

/// Memtable of a space. Six nodes of 60 replicas in one process must stay small: 60 × 2 MiB × 6 is 720 MiB at the very worst, when
/// every replica of every node was just about to be written out.
const MEMTABLE_BYTES: u64 = 2 << 20;
/// Block cache of a node.
const CACHE_BYTES: u64 = 16 << 20;
/// fjall's least. The journal is cut back as memtables are written out.
const JOURNAL_BYTES: u64 = 64 << 20;
/// Files a node keeps open for reading: six nodes in one process stay below the usual limit of 1024.
const OPEN_FILES: usize = 64;

type Spaces = BTreeMap<SpaceId, fjall::Keyspace>;

/// An [`Engine`] on disk. Deleted spaces go on a thread of its own; dropped, it waits for that.
pub struct FjallEngine {
    database: fjall::Database,
    /// Copied when a space comes or goes, shared by every view.
    spaces: RwLock<Arc<Spaces>>,
    /// Held by whoever makes a space, which writes files.
    creating: Mutex<()>,
    /// Batches written so far.
    written: AtomicU64,
    /// Of these, how many are durable. Held while syncing: whoever waits for it finds that its own batches went along.
    synced: Mutex<u64>,
    /// Bounded by the number of spaces. None once the engine closes.
    doomed: Option<mpsc::Sender<fjall::Keyspace>>,
    reaper: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for FjallEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallEngine").field("spaces", &self.spaces.read().len()).finish_non_exhaustive()
    }
}

impl FjallEngine {
    /// Opens the engine in `directory`, which is made where it is missing.
    ///
    /// # Errors
    /// The directory can't be written to, another process has it open, or what is in it is damaged.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let database = fjall::Database::builder(directory)
            .worker_threads(1)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .max_cached_files(Some(OPEN_FILES))
            .open()
            .map_err(io_error)?;
        let mut spaces = Spaces::new();
        spaces.insert(SpaceId::META, database.keyspace("meta", options).map_err(io_error)?);
        for name in database.list_keyspace_names() {
            if let Some(space) = name.strip_prefix('x').and_then(|number| number.parse().ok()) {
                spaces.insert(SpaceId(space), database.keyspace(&name, options).map_err(io_error)?);
            }
        }
        let (doomed, condemned) = mpsc::channel();
        let reaper = thread::Builder::new().name("extent-reaper".into()).spawn({
            let database = database.clone();
            move || reap(&database, &condemned)
        })?;
        let spaces = RwLock::new(Arc::new(spaces));
        Ok(Self {
            database,
            spaces,
            creating: Mutex::new(()),
            // One ahead: the first sync also covers what an earlier process left unsynced.
            written: AtomicU64::new(1),
            synced: Mutex::new(0),
            doomed: Some(doomed),
            reaper: Some(reaper),
        })
    }

    fn space(&self, space: SpaceId) -> io::Result<fjall::Keyspace> {
        self.spaces.read().get(&space).cloned().ok_or_else(|| no_such_space(space))
    }
}

fn options() -> fjall::KeyspaceCreateOptions {
    fjall::KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
}

/// Deletes spaces until the engine closes. One that can't be deleted is found again at the next start, as no replica uses it.
fn reap(database: &fjall::Database, condemned: &mpsc::Receiver<fjall::Keyspace>) {
    while let Ok(space) = condemned.recv() {
        let name = space.name().to_string();
        match database.delete_keyspace(space) {
            Ok(()) => tracing::debug!(space = name, "deleted a space"),
            Err(error) => tracing::warn!(space = name, %error, "could not delete a space: the next start tries again"),
        }
    }
}

impl Engine for FjallEngine {
    fn create(&self, space: SpaceId) -> io::Result<()> {
        let _creating = self.creating.lock();
        if self.spaces.read().contains_key(&space) {
            return Ok(());
        }
        let keyspace = self.database.keyspace(&format!("x{space}"), options).map_err(io_error)?;
        let mut spaces = self.spaces.write();
        Arc::make_mut(&mut spaces).insert(space, keyspace);
        Ok(())
    }

    fn delete(&self, space: SpaceId) {
        let removed = Arc::make_mut(&mut self.spaces.write()).remove(&space);
        if let (Some(keyspace), Some(doomed)) = (removed, &self.doomed) {
            // Fails only where the reaper is gone: then the next start finds the space unused.
            let _ = doomed.send(keyspace);
        }
    }

    fn spaces(&self) -> Vec<SpaceId> {
        self.spaces.read().keys().copied().filter(|&space| space != SpaceId::META).collect()
    }

    fn write(&self, changes: Vec<Change>) -> io::Result<()> {
        check_keys(&changes)?;
        let spaces = Arc::clone(&self.spaces.read());
        let mut batch = self.database.batch();
        for change in changes {
            let (Change::Put { space, .. } | Change::Remove { space, .. }) = &change;
            let keyspace = spaces.get(space).ok_or_else(|| no_such_space(*space))?;
            match change {
                Change::Put { key, value, .. } => batch.insert(keyspace, &key[..], &value[..]),
                Change::Remove { key, .. } => batch.remove(keyspace, &key[..]),
            }
        }
        batch.commit().map_err(io_error)?;
        self.written.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn get(&self, space: SpaceId, key: &[u8]) -> io::Result<Option<Bytes>> {
        let value = self.space(space)?.get(key).map_err(io_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn view(&self) -> Box<dyn View> {
        // The spaces first: a space that the view does not know was made after it.
        let spaces = Arc::clone(&self.spaces.read());
        Box::new(FjallView { spaces, snapshot: self.database.snapshot() })
    }

    fn sync(&self) -> io::Result<()> {
        let mut synced = self.synced.lock();
        let written = self.written.load(Ordering::Acquire);
        if *synced < written {
            self.database.persist(fjall::PersistMode::SyncData).map_err(io_error)?;
            *synced = written;
        }
        Ok(())
    }
}

impl Drop for FjallEngine {
    fn drop(&mut self) {
        self.doomed = None;
        if self.reaper.take().is_some_and(|reaper| reaper.join().is_err()) {
            tracing::error!("the thread that deletes extents had panicked");
        }
    }
}

struct FjallView {
    spaces: Arc<Spaces>,
    snapshot: fjall::Snapshot,
}

impl std::fmt::Debug for FjallView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallView").field("instant", &self.snapshot.seqno()).finish_non_exhaustive()
    }
}

impl View for FjallView {
    fn get(&self, space: SpaceId, key: &[u8]) -> io::Result<Option<Bytes>> {
        let space = self.spaces.get(&space).ok_or_else(|| no_such_space(space))?;
        let value = self.snapshot.get(space, key).map_err(io_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(&self, space: SpaceId, range: &KeyRange) -> io::Result<Rows> {
        let space = self.spaces.get(&space).ok_or_else(|| no_such_space(space))?;
        let start = if range.start.is_empty() { Bound::Unbounded } else { Bound::Included(&range.start[..]) };
        let end = range.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        if range.end.as_ref().is_some_and(|end| *end <= range.start) {
            return Ok(Box::new(std::iter::empty()));
        }
        let rows = self.snapshot.range::<&[u8], _>(space, (start, end));
        Ok(Box::new(rows.map(|row| {
            let (key, value) = row.into_inner().map_err(io_error)?;
            Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        })))
    }
}
