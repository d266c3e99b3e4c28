//! First-party policies: their components, built from source and embedded; and natively, two of them as what is always there.

mod builtin;
mod native;

use isobar_model::Role;

pub use builtin::{builtin_forecaster, builtin_placer};
pub use native::{native_forecaster, native_placer};

/// A policy that comes with the binary.
#[derive(Clone, Copy)]
pub struct FirstParty {
    /// Its name, as it describes itself.
    pub name: &'static str,
    /// What it is for.
    pub role: Role,
    /// Its component: an artifact like any other.
    pub component: &'static [u8],
}

impl std::fmt::Debug for FirstParty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirstParty")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("component_bytes", &self.component.len())
            .finish()
    }
}

/// All of them, by name.
#[must_use]
pub fn first_party() -> &'static [FirstParty] {
    include!(concat!(env!("OUT_DIR"), "/first_party.rs"))
}
