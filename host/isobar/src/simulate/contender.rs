use isobar_sim::Arm;
use std::fmt;
use std::path::Path;

/// One that is compared with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// An arm.
    Arm(Arm),
    /// A policy, by the name or file it was given by.
    Policy(String),
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arm(arm) => write!(f, "{arm}"),
            Self::Policy(name) => match Path::new(name).file_stem() {
                Some(stem) => write!(f, "policy {}", stem.display()),
                None => write!(f, "policy {name}"),
            },
        }
    }
}
