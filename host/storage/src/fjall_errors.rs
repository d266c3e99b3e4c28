//! Errors of the engine as errors of I/O.

use std::io;

/// The same error in the words of this crate's callers. A database that is open elsewhere is `ResourceBusy`.
pub(crate) fn io_error(error: fjall::Error) -> io::Error {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the engine's other errors, and those to come, mean the same here"
    )]
    match error {
        fjall::Error::Io(error) => error,
        fjall::Error::Locked => io::Error::new(io::ErrorKind::ResourceBusy, error),
        error => io::Error::other(error),
    }
}
