use crate::members::MemberConfigs;
use serde::Deserialize;

/// The configuration of [`Best`](crate::Best).
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Fields")]
pub struct Config {
    /// Days after which a past error counts half, 1 to 60.
    pub error_half_life_days: f32,
    pub(crate) members: MemberConfigs,
}

/// What can be written in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    error_half_life_days: f32,
}

impl Default for Fields {
    fn default() -> Self {
        Self { error_half_life_days: 7.0 }
    }
}

impl From<Fields> for Config {
    fn from(fields: Fields) -> Self {
        let Fields { error_half_life_days } = fields;
        Self { error_half_life_days, members: MemberConfigs::with_half_life(error_half_life_days) }
    }
}
