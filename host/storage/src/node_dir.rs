//! A node's data directory.
//!
//! ```text
//! identity   whose directory it is: format, cluster, node
//! lock       held while a process has it open
//! log/       the shared log
//! replicas/  the engine: rows of all replicas, and what the node knows of them
//! blobs/     blobs, by digest
//! ```

use crate::blob_dir::BlobDir;
use crate::engine::{Engine, FjallEngine};
use crate::files::write_whole;
use crate::log::FjallLog;
use crate::replicas::Replicas;
use isobar_model::NodeId;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The layout this version reads and writes.
const FORMAT: u32 = 1;
const IDENTITY_FILE: &str = "identity";
const PARTIAL_IDENTITY_FILE: &str = "identity.partial";
const LOCK_FILE: &str = "lock";
/// Longest name of a cluster, in bytes.
const MAX_CLUSTER_BYTES: usize = 64;

/// Whose directory it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster: 1–64 of `A-Z a-z 0-9 - _ .`.
    pub cluster: String,
    /// The node.
    pub node: NodeId,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of cluster {:?}", self.node, self.cluster)
    }
}

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeDirError {
    /// A bad name for a cluster.
    #[error("a cluster's name is 1 to {MAX_CLUSTER_BYTES} of A-Z a-z 0-9 - _ . , this is none: {0:?}")]
    BadCluster(String),
    /// The directory can't be made, read or written.
    #[error("can't use {path} as data directory: {error}. Choose a directory that this process may write to")]
    Unusable {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process has it open.
    #[error("the data directory {path} is in use by another process. Stop that one, or choose another directory")]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// It belongs to another node.
    #[error(
        "the data directory {path} belongs to {found}, this is {wanted}. Start that node with it, choose another directory, or empty this one"
    )]
    Foreign {
        /// Which directory.
        path: PathBuf,
        /// Whose it is.
        found: Identity,
        /// Who asked.
        wanted: Identity,
    },
    /// It holds something else, or another version's data.
    #[error("the data directory {path} {problem}. Choose another directory, or empty this one")]
    Unknown {
        /// Which directory.
        path: PathBuf,
        /// What is wrong, in words.
        problem: String,
    },
}

/// An open data directory, and everything in it. It stays locked until this is dropped.
#[derive(Debug)]
pub struct NodeDir {
    path: PathBuf,
    identity: Identity,
    /// The shared log.
    pub log: Arc<FjallLog>,
    /// The engine, for [`crate::Cell`]s.
    pub engine: Arc<dyn Engine>,
    /// The replicas that live here, all open.
    pub replicas: Arc<Replicas>,
    /// The blobs.
    pub blobs: Arc<BlobDir>,
    /// Released when closed, after the fields above.
    _lock: File,
}

impl NodeDir {
    /// Opens the data directory of a node, or makes one where there is none, or an empty one.
    ///
    /// # Errors
    /// See [`NodeDirError`]; each says what to do.
    pub fn open(path: &Path, identity: Identity) -> Result<Self, NodeDirError> {
        check_cluster(&identity.cluster)?;
        let busy = || NodeDirError::InUse { path: path.to_owned() };
        let unusable = |error: io::Error| {
            if error.kind() == io::ErrorKind::ResourceBusy {
                return busy();
            }
            NodeDirError::Unusable { path: path.to_owned(), error }
        };
        fs::create_dir_all(path).map_err(unusable)?;
        // Looked at before it is written to: a directory of something else must stay as it is.
        is_claimed(path, &identity)?;
        let lock = path.join(LOCK_FILE);
        let lock = File::options().create(true).truncate(false).write(true).open(lock).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // Looked at again under the lock: another process may have been faster.
        if !is_claimed(path, &identity)? {
            let text = format!("format {FORMAT}\ncluster {}\nnode {}\n", identity.cluster, identity.node);
            write_whole(path, IDENTITY_FILE, PARTIAL_IDENTITY_FILE, text.as_bytes()).map_err(unusable)?;
        }
        let log = FjallLog::open(&path.join("log")).map_err(unusable)?;
        let engine: Arc<dyn Engine> = Arc::new(FjallEngine::open(&path.join("replicas")).map_err(unusable)?);
        let replicas = Replicas::open(Arc::clone(&engine)).map_err(unusable)?;
        let blobs = BlobDir::open(&path.join("blobs")).map_err(unusable)?;
        Ok(Self {
            path: path.to_owned(),
            identity,
            log: Arc::new(log),
            engine,
            replicas: Arc::new(replicas),
            blobs: Arc::new(blobs),
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn check_cluster(name: &str) -> Result<(), NodeDirError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_CLUSTER_BYTES || !name.chars().all(fits) {
        return Err(NodeDirError::BadCluster(name.chars().take(2 * MAX_CLUSTER_BYTES).collect()));
    }
    Ok(())
}

/// Checks that the directory is this node's (then true) or nobody's (then false).
fn is_claimed(path: &Path, wanted: &Identity) -> Result<bool, NodeDirError> {
    let unusable = |error| NodeDirError::Unusable { path: path.to_owned(), error };
    let unknown = |problem: String| NodeDirError::Unknown { path: path.to_owned(), problem };
    let text = match fs::read_to_string(path.join(IDENTITY_FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for file in fs::read_dir(path).map_err(unusable)? {
                let name = file.map_err(unusable)?.file_name();
                if name != LOCK_FILE && name != PARTIAL_IDENTITY_FILE {
                    return Err(unknown(format!("is not Isobar's: it holds {}", name.display())));
                }
            }
            return Ok(false);
        }
        Err(error) => return Err(unusable(error)),
    };
    let (format, found) = parse(&text).ok_or_else(|| unknown("has an identity file that can't be read".into()))?;
    if format != FORMAT {
        return Err(unknown(format!("is of format {format}, this version of Isobar knows format {FORMAT} only")));
    }
    if found != *wanted {
        return Err(NodeDirError::Foreign { path: path.to_owned(), found, wanted: wanted.clone() });
    }
    Ok(true)
}

/// Format and identity, from the identity file.
fn parse(text: &str) -> Option<(u32, Identity)> {
    let mut lines = text.lines();
    let format = lines.next()?.strip_prefix("format ")?.parse().ok()?;
    let cluster = lines.next()?.strip_prefix("cluster ")?.to_owned();
    let node = lines.next()?.strip_prefix("node ")?.parse().ok()?;
    Some((format, Identity { cluster, node }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(cluster: &str, node: u64) -> Identity {
        Identity { cluster: cluster.into(), node: NodeId(node) }
    }

    #[test]
    fn a_directory_opens_again_for_its_node_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("node-1");
        drop(NodeDir::open(&path, identity("demo", 1)).unwrap());
        drop(NodeDir::open(&path, identity("demo", 1)).unwrap());

        for other in [identity("demo", 2), identity("other", 1)] {
            let message = NodeDir::open(&path, other).unwrap_err().to_string();
            assert!(message.contains("belongs to node 1 of cluster \"demo\""), "{message}");
        }
    }

    #[test]
    fn a_directory_in_use_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let _open = NodeDir::open(temporary.path(), identity("demo", 1)).unwrap();
        let error = NodeDir::open(temporary.path(), identity("demo", 1)).unwrap_err();
        assert!(matches!(error, NodeDirError::InUse { .. }), "{error}");
    }

    #[test]
    fn a_directory_of_something_else_is_refused_and_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("thesis.tex"), "x").unwrap();
        let message = NodeDir::open(temporary.path(), identity("demo", 1)).unwrap_err().to_string();
        assert!(message.contains("it holds thesis.tex"), "{message}");
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_whose_log_is_still_open_is_in_use() {
        let temporary = tempfile::tempdir().unwrap();
        let log = Arc::clone(&NodeDir::open(temporary.path(), identity("demo", 1)).unwrap().log);
        let error = NodeDir::open(temporary.path(), identity("demo", 1)).unwrap_err();
        assert!(matches!(error, NodeDirError::InUse { .. }), "{error}");
        drop(log);
        NodeDir::open(temporary.path(), identity("demo", 1)).unwrap();
    }

    #[test]
    fn an_unwritable_directory_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = NodeDir::open(&file.join("node"), identity("demo", 1)).unwrap_err();
        assert!(matches!(error, NodeDirError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("Choose a directory"), "{error}");
    }

    #[test]
    fn a_later_format_and_a_bad_name_are_refused() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join(IDENTITY_FILE), "format 9\ncluster demo\nnode 1\n").unwrap();
        let message = NodeDir::open(temporary.path(), identity("demo", 1)).unwrap_err().to_string();
        assert!(message.contains("format 9"), "{message}");
        let error = NodeDir::open(temporary.path(), identity("de\nmo", 1)).unwrap_err();
        assert!(matches!(error, NodeDirError::BadCluster(_)), "{error}");
    }
}
