//! A deterministic state machine behind a Raft group.

use bytes::Bytes;
use std::io;

/// What the control group replicates. `apply` must give the same state and reply on every replica: no clock, no chance, no I/O that can
/// differ.
pub trait ReplicatedState: Send + Sync + 'static {
    /// Applies one command (its encoding is the state's own) and gives the reply for whoever proposed it. A command that can't be read
    /// or that breaks a rule gives a reply that says so, and changes nothing.
    fn apply(&mut self, index: u64, command: &[u8]) -> Bytes;
    /// The whole state, as bytes.
    fn snapshot(&self) -> Bytes;
    /// Replaces the state by a snapshot.
    fn restore(&mut self, snapshot: &[u8]) -> io::Result<()>;
}
