use crate::members::MemberConfigs;
use serde::Deserialize;

/// The configuration of [`Best`](crate::Best).
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Fields")]
pub struct Config {
    /// Days after which a past error counts half, 1 to 60; none: what each member does by itself.
    pub error_half_life_days: Option<f32>,
    pub(crate) members: MemberConfigs,
}

/// What can be written in it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    error_half_life_days: Option<f32>,
}

impl From<Fields> for Config {
    fn from(fields: Fields) -> Self {
        let Fields { error_half_life_days } = fields;
        Self { error_half_life_days, members: MemberConfigs::new(error_half_life_days) }
    }
}
