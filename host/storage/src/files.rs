//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Suffix of files that are being written.
pub(crate) const PARTIAL_SUFFIX: &str = ".partial";

/// Puts `bytes` at `directory/name`: synced under another name, then renamed, then the directory synced.
pub(crate) fn write_whole(directory: &Path, name: &str, partial: &str, bytes: &[u8]) -> io::Result<()> {
    let partial = directory.join(partial);
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&partial, directory.join(name))?;
    File::open(directory)?.sync_all()
}
