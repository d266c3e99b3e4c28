use crate::cholesky;
use crate::seasonality::Seasonality;
use serde::{Deserialize, Serialize};

/// A fitted Prophet model: trend and periodic terms of one history. Times within run from 0 at its beginning to 1 at its end, and the largest
/// load of the history is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decomposition {
    /// The history's beginning, days since the Unix epoch.
    pub start_days: f64,
    /// Its length.
    pub span_days: f64,
    /// Its largest load.
    pub scale: f64,
    /// The trend's rate before the first change.
    pub slope: f64,
    /// The trend at the beginning.
    pub offset: f64,
    /// Where the trend bends, ascending in time.
    pub changes: Vec<Change>,
    /// Which periodic terms there are.
    pub seasonality: Seasonality,
    /// Their coefficients.
    pub waves: Vec<f64>,
    /// Standard deviation of the noise.
    pub noise: f64,
}

/// One bend of the trend.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub time: f64,
    /// What the rate changes by.
    pub change: f64,
}

impl Decomposition {
    /// Of a history of one value at `end_days`, when nothing else is known: it goes on, and half of it is a wide guess of how far off the next
    /// may be.
    #[must_use]
    pub(crate) fn untried(value: f64, end_days: f64) -> Self {
        Self {
            start_days: end_days - 1.0,
            span_days: 1.0,
            scale: 1.0,
            slope: 0.0,
            offset: value,
            changes: Vec::new(),
            seasonality: Seasonality { day_order: 0, week_order: 0 },
            waves: Vec::new(),
            noise: 0.5 * value,
        }
    }

    /// The trend's load at `time_days`, days since the Unix epoch.
    #[must_use]
    pub fn trend(&self, time_days: f64) -> f64 {
        let time = (time_days - self.start_days) / self.span_days;
        let bends: f64 = self.changes.iter().map(|bend| bend.change * (time - bend.time).max(0.0)).sum();
        self.scale * (self.offset + self.slope * time + bends)
    }

    /// Where the history ends: the trend there, and what it grows by in a day from there on.
    #[must_use]
    pub fn end(&self) -> (f64, f64) {
        let slope = self.slope + self.changes.iter().map(|bend| bend.change).sum::<f64>();
        (self.trend(self.start_days + self.span_days), self.scale * slope / self.span_days)
    }

    /// What the waves of the day and those of the week add at `time_days`. `room` is as long as there are terms.
    #[must_use]
    pub fn seasons(&self, time_days: f64, room: &mut [f64]) -> (f64, f64) {
        self.seasonality.write(time_days, room);
        let daily = self.seasonality.daily_terms();
        let sum = |waves: &[f64], terms: &[f64]| self.scale * cholesky::dot(waves, terms);
        let (of_day, of_week) = self.waves.split_at(daily.min(self.waves.len()));
        let (day_terms, week_terms) = room.split_at(daily.min(room.len()));
        (sum(of_day, day_terms), sum(of_week, week_terms))
    }

    /// What the waves of the day alone add at `time_days`, whatever the week. `room` is as long as there are terms.
    pub(crate) fn season_of_day(&self, time_days: f64, room: &mut [f64]) -> f64 {
        let terms = &mut room[..self.seasonality.daily_terms()];
        self.seasonality.write_daily(time_days, terms);
        self.scale * cholesky::dot(&self.waves[..terms.len()], terms)
    }

    /// The usual size of a bend: its mean.
    #[must_use]
    pub fn usual_change(&self) -> f64 {
        if self.changes.is_empty() {
            return 0.0;
        }
        self.changes.iter().map(|bend| bend.change.abs()).sum::<f64>() / self.changes.len() as f64
    }

    /// Whether every part is a number and fits the others: what a restored one must prove.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let numbers = [self.start_days, self.slope, self.offset, self.noise];
        numbers.iter().chain(&self.waves).all(|number| number.is_finite())
            && self.changes.iter().all(|bend| bend.time.is_finite() && bend.change.is_finite())
            && self.span_days > 0.0
            && self.scale > 0.0
            && self.waves.len() == self.seasonality.terms()
    }
}
