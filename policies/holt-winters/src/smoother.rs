use serde::{Deserialize, Serialize};

/// What is left of the trend with each step ahead.
const DAMPING: f32 = 0.9;
/// Steps after which a damped trend has done all it will: 0.9^64 is a thousandth.
const TREND_STEPS: usize = 64;
/// The damping summed over so many steps.
const DAMPED: [f32; TREND_STEPS + 1] = {
    let (mut sums, mut power, mut step) = ([0.0; TREND_STEPS + 1], 1.0, 1);
    while step <= TREND_STEPS {
        power *= DAMPING;
        sums[step] = sums[step - 1] + power;
        step += 1;
    }
    sums
};
/// Settings are compared by their errors a day ahead, at so many times of day. What is near, the drift tells; what is far, only they do.
const COMPARED_A_DAY: u64 = 24;
/// Days over which a setting's usual error is taken.
const ERROR_DAYS: f32 = 4.0;
/// While the first day runs there is no season, and the level follows this fast.
const FIRST_DAY_LEVEL: f32 = 0.5;

/// Where in the day a step lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Steps since the day began.
    slot: usize,
    /// Which of the times it is at which settings are compared, if it is one.
    hour: Option<usize>,
}

impl Place {
    pub(crate) fn of(day: u64, step: u64) -> Self {
        let slot = step % day;
        let every = (day / COMPARED_A_DAY).max(1);
        let hour = slot.is_multiple_of(every).then(|| (slot / every).min(COMPARED_A_DAY - 1) as usize);
        Self { slot: slot as usize, hour }
    }
}

/// How fast level, trend and season follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Share of a new deviation that enters the level, with days of 288 steps.
    pub(crate) level: f32,
    /// Share of a new slope that enters the trend.
    pub(crate) trend: f32,
    /// Share of a new deviation that enters the season.
    pub(crate) season: f32,
}

impl Setting {
    /// For days of `day` steps: with longer ones as much happens in fewer.
    pub(crate) fn for_days_of(self, day: u64) -> Self {
        Self { level: (self.level * (288.0 / day as f32).max(1.0)).min(0.6), ..self }
    }
}

/// The grid: a level that takes half a day or two days, a season that takes days or weeks. What happens within hours is the drift's.
pub(crate) const SETTINGS: [Setting; 6] = [
    Setting { level: 0.002, trend: 0.01, season: 0.1 },
    Setting { level: 0.002, trend: 0.01, season: 0.25 },
    Setting { level: 0.002, trend: 0.01, season: 0.6 },
    Setting { level: 0.008, trend: 0.01, season: 0.1 },
    Setting { level: 0.008, trend: 0.01, season: 0.25 },
    Setting { level: 0.008, trend: 0.01, season: 0.6 },
];

/// Exponential smoothing of one series with one setting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Smoother {
    pub(crate) level: f32,
    pub(crate) trend: f32,
    /// What each time of day adds to the level; in the first day, the value seen there.
    season: Vec<f32>,
    /// Steps since the first value.
    steps: u64,
    /// Level and trend's part of what is expected at the times of day to come.
    ahead: [f32; COMPARED_A_DAY as usize],
    /// Usual squared error a day ahead.
    error: f32,
    compared: u32,
}

impl Smoother {
    pub(crate) fn new(day: u64) -> Self {
        Self {
            level: 0.0,
            trend: 0.0,
            season: vec![f32::NAN; day as usize],
            steps: 0,
            ahead: [f32::NAN; COMPARED_A_DAY as usize],
            error: 0.0,
            compared: 0,
        }
    }

    /// What `step`'s time of day adds to the level.
    pub(crate) fn season_at(&self, step: u64) -> f32 {
        let season = self.season[(step % self.season.len() as u64) as usize];
        if season.is_nan() || !self.is_seasonal() { 0.0 } else { season }
    }

    /// What the trend will have added to the level after `lead` steps.
    pub(crate) fn trend_after(trend: f32, lead: u64) -> f32 {
        trend * DAMPED[lead.min(TREND_STEPS as u64) as usize]
    }

    /// Whether a whole day has gone by.
    pub(crate) fn is_seasonal(&self) -> bool {
        self.steps >= self.season.len() as u64
    }

    /// Usual squared error a day ahead; none before there was one.
    pub(crate) fn error(&self) -> Option<f32> {
        (self.compared > 0).then_some(self.error)
    }

    /// Learns the value at one place of the day (NaN: missing). `cap`: no error counts for more than this.
    pub(crate) fn push(&mut self, setting: Setting, place: Place, value: f32, cap: f32) {
        if self.steps == 0 {
            if value.is_nan() {
                return;
            }
            self.level = value;
        }
        let seasonal = self.is_seasonal();
        let Some(own) = self.season.get_mut(place.slot) else { return };
        let season = if own.is_nan() || !seasonal { 0.0 } else { *own };
        let damped = DAMPING * self.trend;
        let expected = self.level + damped;
        if value.is_nan() {
            (self.level, self.trend) = (expected, damped);
        } else if seasonal {
            let level = expected + setting.level * (value - season - expected);
            self.trend = damped + setting.trend * (level - expected);
            self.level = level;
            let new = value - level;
            *own = if own.is_nan() { new } else { *own + setting.season * (new - *own) };
        } else {
            self.level += FIRST_DAY_LEVEL * (value - self.level);
            *own = value;
        }
        self.steps += 1;
        if self.steps == self.season.len() as u64 {
            self.start_season();
        }
        if let Some(hour) = place.hour {
            self.compare(hour, value - season, cap);
        }
    }

    /// At an hour of the day: how far off the level was a day ago, and what it will be held to in a day.
    fn compare(&mut self, hour: usize, truth: f32, cap: f32) {
        let Some(ahead) = self.ahead.get_mut(hour) else { return };
        if !ahead.is_nan() && !truth.is_nan() {
            self.compared = self.compared.saturating_add(1);
            let miss = (truth - *ahead).abs().min(cap);
            let settled = 1.0 / (ERROR_DAYS * COMPARED_A_DAY as f32);
            self.error += (miss * miss - self.error) * (1.0 / self.compared as f32).max(settled);
        }
        *ahead = self.level + Self::trend_after(self.trend, self.season.len() as u64);
    }

    /// The first day is over: its mean is the level, what is above or below it the season.
    fn start_season(&mut self) {
        let (mut sum, mut count) = (0.0, 0.0);
        for value in self.season.iter().filter(|value| !value.is_nan()) {
            sum += value;
            count += 1.0;
        }
        if count > 0.0 {
            self.level = sum / count;
            self.season.iter_mut().for_each(|value| *value -= self.level);
        }
        self.trend = 0.0;
        // What was expected without a season is not to be held against it.
        self.ahead = [f32::NAN; COMPARED_A_DAY as usize];
    }

    pub(crate) fn is_sound(&self, day: u64) -> bool {
        self.level.is_finite()
            && self.trend.is_finite()
            && self.season.len() as u64 == day
            && self.season.iter().all(|season| season.is_nan() || season.is_finite())
            && self.error.is_finite()
            && self.error >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: Setting = Setting { level: 0.05, trend: 0.01, season: 0.3 };

    #[test]
    fn a_day_gives_the_season_and_the_level() {
        let mut smoother = Smoother::new(4);
        for step in 0..4 {
            smoother.push(SETTING, Place::of(4, step), [10.0, 20.0, 30.0, 40.0][step as usize], 1e9);
        }
        assert_eq!(smoother.level, 25.0);
        assert_eq!([0, 1, 2, 3].map(|step| smoother.season_at(step)), [-15.0, -5.0, 5.0, 15.0]);
    }

    #[test]
    fn a_regular_series_is_expected_exactly() {
        let mut smoother = Smoother::new(24);
        for step in 0..24 * 10 {
            smoother.push(SETTING, Place::of(24, step), 100.0 + (step % 24) as f32, 1e9);
        }
        for step in 240..264 {
            assert!((smoother.level + smoother.season_at(step) - 100.0 - (step % 24) as f32).abs() < 1e-2);
        }
        assert!(smoother.error().is_some_and(|error| error < 1e-4), "{:?}", smoother.error());
    }

    #[test]
    fn a_slope_is_followed_and_damped() {
        let mut smoother = Smoother::new(1);
        for step in 0..400 {
            smoother.push(Setting { level: 0.5, trend: 0.2, season: 0.0 }, Place::of(1, step), step as f32, 1e9);
        }
        assert!(smoother.trend > 0.3, "{}", smoother.trend);
        assert!(Smoother::trend_after(1.0, 1000) < 9.0 + 1e-3);
        assert_eq!(Smoother::trend_after(2.0, 0), 0.0);
    }
}
