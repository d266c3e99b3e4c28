//! History as it is asked for and answered: steps of several lengths, a page at a time.

use crate::ids::{InstantMs, ShardId};
use crate::load::Metric;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One step of one series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Mean over the time covered; NaN: missing.
    pub mean: f32,
    /// The largest sample; NaN: missing.
    pub peak: f32,
    /// Share of the step that samples cover, 0 to 1.
    pub coverage: f32,
}

impl Step {
    /// Nothing is known.
    pub const MISSING: Self = Self { mean: f32::NAN, peak: f32::NAN, coverage: 0.0 };
}

/// Length of the steps asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolution {
    /// Ten seconds.
    #[serde(rename = "10s")]
    TenSeconds,
    /// One minute.
    #[serde(rename = "1m")]
    Minute,
    /// Five minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// One hour.
    #[serde(rename = "1h")]
    Hour,
    /// The finest that reaches back so far, in at most 2 000 steps.
    #[default]
    #[serde(rename = "auto")]
    Auto,
}

impl Resolution {
    /// All of them, the finest first.
    pub const ALL: [Self; 5] = [Self::TenSeconds, Self::Minute, Self::FiveMinutes, Self::Hour, Self::Auto];

    fn name(self) -> &'static str {
        match self {
            Self::TenSeconds => "10s",
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::Auto => "auto",
        }
    }

    /// The step, milliseconds; none for `auto`.
    #[must_use]
    pub fn step_ms(self) -> Option<u32> {
        match self {
            Self::TenSeconds => Some(10_000),
            Self::Minute => Some(60_000),
            Self::FiveMinutes => Some(300_000),
            Self::Hour => Some(3_600_000),
            Self::Auto => None,
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Resolution {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|resolution| resolution.name() == text);
        found.ok_or_else(|| format!("{text:?} is none of 10s, 1m, 5m, 1h, auto"))
    }
}

/// A time, and how finely it is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Length of the steps.
    pub resolution: Resolution,
    /// The first instant; none: as far back as the level reaches, for `auto` an hour.
    pub from: Option<InstantMs>,
    /// The instant after the last; none: now.
    pub to: Option<InstantMs>,
}

/// What is asked of the history of shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// What is counted.
    pub metric: Metric,
    /// When.
    pub window: Window,
    /// Which shards; none given: all.
    pub shards: Vec<ShardId>,
    /// Only shards after this one: the `next` of the page before.
    pub after: Option<ShardId>,
    /// Most steps of all rows together; one row is always given.
    pub max_steps: usize,
}

/// Steps of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow<K> {
    /// Whose.
    pub key: K,
    /// One a step.
    pub steps: Vec<Step>,
}

/// Some of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPage<K> {
    /// Start of the first step.
    pub start: InstantMs,
    /// Length of a step.
    pub step_ms: u32,
    /// Steps of each row.
    pub steps: u32,
    /// Ascending by key.
    pub rows: Vec<HistoryRow<K>>,
    /// The last key of this page, where there are more.
    pub next: Option<K>,
}
