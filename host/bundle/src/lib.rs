//! First-party policies, built from source and embedded.
