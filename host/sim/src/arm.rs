//! The names of the arms.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A way of placing shards that others are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// The start placement, left alone.
    Static,
    /// One placement packed on the history.
    Packed,
    /// The reactive placer.
    Reactive,
    /// The predictive placer.
    Predictive,
    /// The predictive placer fed the future itself.
    Clairvoyant,
}

impl Arm {
    /// All, in the order of what they know.
    pub const ALL: [Self; 5] = [Self::Static, Self::Packed, Self::Reactive, Self::Predictive, Self::Clairvoyant];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Packed => "packed",
            Self::Reactive => "reactive",
            Self::Predictive => "predictive",
            Self::Clairvoyant => "clairvoyant",
        }
    }

    /// Whether it does without a forecast.
    #[must_use]
    pub fn is_without_forecast(self) -> bool {
        match self {
            Self::Static | Self::Packed | Self::Reactive => true,
            Self::Predictive | Self::Clairvoyant => false,
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No arm of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no arm `{0}`: there are static, packed, reactive, predictive and clairvoyant")]
pub struct NoSuchArm(String);

impl FromStr for Arm {
    type Err = NoSuchArm;

    fn from_str(text: &str) -> Result<Self, NoSuchArm> {
        Self::ALL.into_iter().find(|arm| arm.name() == text).ok_or_else(|| NoSuchArm(text.to_owned()))
    }
}
