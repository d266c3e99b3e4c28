//! Single values that a node keeps by name, such as the control group's last snapshot.

use crate::engine::{Change, Engine, SpaceId};
use crate::row::Kind;
use bytes::Bytes;
use std::io;
use std::sync::Arc;

/// One named value, durable when written.
#[derive(Clone, Debug)]
pub struct Cell {
    engine: Arc<dyn Engine>,
    key: Bytes,
}

impl Cell {
    /// The cell of this name; a name is a constant in the code that uses it.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, name: &'static str) -> Self {
        let mut key = vec![Kind::Cell as u8];
        key.extend_from_slice(name.as_bytes());
        Self { engine, key: key.into() }
    }

    /// What was last written.
    ///
    /// # Errors
    /// The engine failed.
    pub fn read(&self) -> io::Result<Option<Bytes>> {
        self.engine.get(SpaceId::META, &self.key)
    }

    /// Replaces it, atomically and durably.
    ///
    /// # Errors
    /// The engine failed: the node must be restarted.
    pub fn write(&self, value: Bytes) -> io::Result<()> {
        self.engine.write(vec![Change::Put { space: SpaceId::META, key: self.key.clone(), value }])?;
        self.engine.sync()
    }
}
