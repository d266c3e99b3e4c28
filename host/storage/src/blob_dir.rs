//! Blobs on a node's disk: bytes under their SHA-256.

use crate::files::{PARTIAL_SUFFIX, write_whole};
use bytes::Bytes;
use isobar_model::Digest;
use isobar_ports::MAX_BLOB_BYTES;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory of blobs, one file each, named by its digest.
#[derive(Debug)]
pub struct BlobDir {
    directory: PathBuf,
    /// Tells the files of concurrent writers of one blob apart.
    writes: AtomicU64,
}

impl BlobDir {
    /// Opens `directory`, which is made where it is missing, and removes what a crash left half written.
    ///
    /// # Errors
    /// The directory can't be read or written.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        for file in fs::read_dir(directory)? {
            let file = file?;
            if file.file_name().to_string_lossy().ends_with(PARTIAL_SUFFIX) {
                fs::remove_file(file.path())?;
            }
        }
        Ok(Self { directory: directory.to_owned(), writes: AtomicU64::new(0) })
    }

    /// Stores `bytes`, durable on return. Storing what is there already is no error.
    ///
    /// # Errors
    /// `InvalidInput` where there are more than [`MAX_BLOB_BYTES`]; writing failed.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Digest> {
        if bytes.len() > MAX_BLOB_BYTES {
            let message = format!("a blob has at most {MAX_BLOB_BYTES} bytes, this one {}", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let digest = Digest::of(bytes);
        if !self.contains(digest) {
            let write = self.writes.fetch_add(1, Ordering::Relaxed);
            let partial = format!("{digest}-{write}{PARTIAL_SUFFIX}");
            write_whole(&self.directory, &digest.to_string(), &partial, bytes)?;
        }
        Ok(digest)
    }

    /// Whether the blob is here.
    #[must_use]
    pub fn contains(&self, digest: Digest) -> bool {
        self.path(digest).is_file()
    }

    /// The bytes of `digest`, checked against it.
    ///
    /// # Errors
    /// `NotFound` where it is not here; `InvalidData` where the file is damaged: it is removed, so that the blob can be stored again.
    pub fn get(&self, digest: Digest) -> io::Result<Bytes> {
        let path = self.path(digest);
        let bytes = fs::read(&path).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return io::Error::new(io::ErrorKind::NotFound, format!("blob {digest} is not here"));
            }
            error
        })?;
        if Digest::of(&bytes) != digest {
            fs::remove_file(&path)?;
            let message = format!("blob {digest} was damaged on disk and is removed: fetch it from another node");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(bytes.into())
    }

    /// Every blob here, ascending.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn list(&self) -> io::Result<Vec<Digest>> {
        let mut digests = Vec::new();
        for file in fs::read_dir(&self.directory)? {
            // Other files are blobs half written.
            digests.extend(file?.file_name().to_str().and_then(|name| name.parse::<Digest>().ok()));
        }
        digests.sort_unstable();
        Ok(digests)
    }

    /// Removes a blob; one that is not here is no error.
    ///
    /// # Errors
    /// Removing failed.
    pub fn remove(&self, digest: Digest) -> io::Result<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_outlives_its_directory_being_closed() {
        let temporary = tempfile::tempdir().unwrap();
        let digest = BlobDir::open(temporary.path()).unwrap().put(b"history").unwrap();
        fs::write(temporary.path().join(format!("{digest}-7.partial")), b"his").unwrap();

        let blobs = BlobDir::open(temporary.path()).unwrap();
        assert_eq!(blobs.get(digest).unwrap(), &b"history"[..]);
        assert_eq!(blobs.put(b"history").unwrap(), digest);
        assert_eq!(blobs.list().unwrap(), [digest]);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1, "what was half written is gone");

        blobs.remove(digest).unwrap();
        blobs.remove(digest).unwrap();
        assert!(!blobs.contains(digest));
        assert_eq!(blobs.get(digest).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_damaged_blob_is_refused_and_can_be_stored_again() {
        let temporary = tempfile::tempdir().unwrap();
        let blobs = BlobDir::open(temporary.path()).unwrap();
        let digest = blobs.put(b"artifact").unwrap();
        fs::write(temporary.path().join(digest.to_string()), b"artefact").unwrap();

        assert_eq!(blobs.get(digest).unwrap_err().kind(), io::ErrorKind::InvalidData);
        blobs.put(b"artifact").unwrap();
        assert_eq!(blobs.get(digest).unwrap(), &b"artifact"[..]);
    }

    /// Promise 8.
    #[test]
    fn a_blob_over_the_limit_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let blobs = BlobDir::open(temporary.path()).unwrap();
        let error = blobs.put(&vec![0; MAX_BLOB_BYTES + 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(blobs.list().unwrap().is_empty());
    }
}
