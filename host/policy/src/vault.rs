//! Compiled artifacts on disk.
//!
//! Loading machine code is running it, so a file is loaded only if this host wrote it: each carries a keyed tag over its name and bytes
//! (HMAC-SHA256, RFC 2104), with a random key that never leaves the directory. That guards against corruption and against files from
//! elsewhere, not against someone who can read the key: the directory is as private as the data beside it.

use isobar_model::Digest;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use wasmtime::Engine;

/// Files kept; the least recently written go first. The control state names fewer revisions than that.
const MAX_FILES: usize = 128;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;
const KEY_FILE: &str = "key";
const SUFFIX: &str = "code";

/// A directory of compiled artifacts.
pub(crate) struct Vault {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    /// Tells engines and hosts apart whose code would not run here.
    engine: u64,
}

impl Vault {
    pub(crate) fn open(folder: &Path, engine: &Engine) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let key = match read_key(&folder.join(KEY_FILE)) {
            Ok(key) => key,
            Err(error) if error.kind() == ErrorKind::NotFound => write_key(folder)?,
            Err(error) => return Err(error),
        };
        // Not a promise over releases of Rust, and need not be: another number means compiling once more.
        #[expect(deprecated, reason = "the one stable hasher of std with fixed keys")]
        let mut hasher = std::hash::SipHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder: folder.to_owned(), key, engine: hasher.finish() })
    }

    /// Where processes may exchange files: the same file system, no one else's.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The machine code of `artifact`, if it was stored here, for this engine, and is unharmed.
    pub(crate) fn load(&self, artifact: &Digest) -> Option<Vec<u8>> {
        let path = self.path(artifact);
        let mut bytes = fs::read(&path).ok()?;
        let genuine = bytes.len() >= TAG_BYTES && same(&self.tag(artifact, &bytes[TAG_BYTES..]), &bytes[..TAG_BYTES]);
        if !genuine {
            tracing::warn!(path = %path.display(), "a compiled policy is not what this host wrote; it is compiled again");
            let _ = fs::remove_file(&path);
            return None;
        }
        bytes.drain(..TAG_BYTES);
        Some(bytes)
    }

    /// Keeps the machine code of `artifact`. Whole or not at all: the file is renamed into place.
    pub(crate) fn store(&self, artifact: &Digest, code: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&self.tag(artifact, code))?;
        file.write_all(code)?;
        file.persist(self.path(artifact)).map_err(|error| error.error)?;
        self.evict()
    }

    fn path(&self, artifact: &Digest) -> PathBuf {
        self.folder.join(format!("{artifact}-{:016x}.{SUFFIX}", self.engine))
    }

    fn tag(&self, artifact: &Digest, code: &[u8]) -> [u8; 32] {
        let mut message = Vec::with_capacity(40 + code.len());
        message.extend(artifact.0);
        message.extend(self.engine.to_be_bytes());
        message.extend(code);
        hmac(&self.key, &message)
    }

    fn evict(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.folder)?
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let is_code = path.extension().is_some_and(|extension| extension == SUFFIX);
                is_code.then(|| Some((path.metadata().ok()?.modified().ok()?, path)))?
            })
            .collect();
        files.sort();
        let excess = files.len().saturating_sub(MAX_FILES);
        files[..excess].iter().try_for_each(|(_, path)| fs::remove_file(path))
    }
}

fn read_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    File::open(path)?.read_exact(&mut key)?;
    Ok(key)
}

fn write_key(folder: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    // Temporary files are their owner's alone, and so this one stays.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&key)?;
    match file.persist_noclobber(folder.join(KEY_FILE)) {
        Ok(_) => Ok(key),
        // Another host on the same directory was first: its key it is.
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => read_key(&folder.join(KEY_FILE)),
        Err(error) => Err(error.error),
    }
}

/// HMAC-SHA256 (RFC 2104) with a key no longer than a block.
fn hmac(key: &[u8; KEY_BYTES], message: &[u8]) -> [u8; 32] {
    const BLOCK_BYTES: usize = 64;
    let padded = |fill: u8| {
        let mut block = [fill; BLOCK_BYTES];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Digest::of(&[&padded(0x36)[..], message].concat());
    Digest::of(&[&padded(0x5c)[..], &inner.0].concat()).0
}

/// Compares in a time that does not depend on where two tags differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(folder: &Path) -> Vault {
        Vault::open(folder, &crate::sandbox::engine().unwrap()).unwrap()
    }

    #[test]
    fn the_tag_is_hmac_sha256() {
        // RFC 4231, test case 1, its 20-byte key padded with the zeros that HMAC itself would pad it with.
        let mut key = [0; KEY_BYTES];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(Digest(hmac(&key, b"Hi There")).to_string(), expected);
    }

    #[test]
    fn what_was_stored_is_loaded_also_by_the_next_host_on_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let artifact = Digest::of(b"artifact");
        assert_eq!(vault(folder.path()).load(&artifact), None);
        vault(folder.path()).store(&artifact, b"code").unwrap();
        assert_eq!(vault(folder.path()).load(&artifact).as_deref(), Some(&b"code"[..]));
    }

    /// Promise 5: only what this host compiled itself is ever loaded.
    #[test]
    fn files_from_elsewhere_are_not_loaded() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (vault, stranger) = (vault(here.path()), vault(there.path()));
        let (artifact, other) = (Digest::of(b"artifact"), Digest::of(b"other"));
        let plant = |bytes: &[u8]| fs::write(vault.path(&artifact), bytes).unwrap();

        plant(b"code without a tag");
        assert_eq!(vault.load(&artifact), None);
        stranger.store(&artifact, b"code").unwrap();
        plant(&fs::read(stranger.path(&artifact)).unwrap());
        assert_eq!(vault.load(&artifact), None, "another host's file");
        vault.store(&other, b"code").unwrap();
        plant(&fs::read(vault.path(&other)).unwrap());
        assert_eq!(vault.load(&artifact), None, "another artifact's file");
        vault.store(&artifact, b"code").unwrap();
        let mut bytes = fs::read(vault.path(&artifact)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        plant(&bytes);
        assert_eq!(vault.load(&artifact), None, "one bit flipped");
        assert!(!vault.path(&artifact).exists(), "a file that is not genuine is removed");
    }

    #[test]
    fn the_directory_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path());
        for i in 0..MAX_FILES + 5 {
            vault.store(&Digest::of(&i.to_be_bytes()), b"code").unwrap();
        }
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, MAX_FILES + 1, "code files and the key");
    }
}
