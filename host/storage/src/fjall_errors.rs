//! Errors of the engine as errors of I/O.

use std::io;

/// The same error in the words of this crate's callers.
pub(crate) fn io_error(error: fjall::Error) -> io::Error {
    if let fjall::Error::Io(error) = error { error } else { io::Error::other(error) }
}
