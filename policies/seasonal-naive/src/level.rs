use forecasting_kit::{Bands, Ring};
use serde::{Deserialize, Serialize};

/// Deviations are averaged over about two steps, and over about two hours of a day.
const FAST: f32 = 0.6;
const SLOW_A_DAY: f32 = 12.0;
/// Errors that a prior belief weighs as much as, and what it believes is carried on at once.
const PRIOR: f32 = 4.0;

/// How far the series stands from its season now, and how much of that is still there so many steps later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Level {
    fast_now: f32,
    slow_now: f32,
    fast: Ring,
    slow: Ring,
    carries: Vec<Carry>,
}

/// A least-squares fit of the later deviation on the two present ones, older pairs weighing less.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Carry {
    ff: f32,
    fs: f32,
    ss: f32,
    fy: f32,
    sy: f32,
    fast: f32,
    slow: f32,
}

impl Level {
    pub(crate) fn new(bands: &Bands, day: u64, first: u64) -> Self {
        let carry = |lead: &u64| {
            let fast = if day <= 1 { 0.0 } else { 1.0 - (*lead as f32 / day as f32).min(1.0) };
            // In units of the usual error, in which all pairs are given.
            Carry { ff: PRIOR, fs: 0.0, ss: PRIOR, fy: PRIOR * fast, sy: 0.0, fast, slow: 0.0 }
        };
        Self {
            fast_now: 0.0,
            slow_now: 0.0,
            fast: Ring::new(day as usize + 1, first),
            slow: Ring::new(day as usize + 1, first),
            carries: bands.leads().iter().map(carry).collect(),
        }
    }

    /// The deviation from the season that is expected `lead` steps after `origin`.
    pub(crate) fn carried(&self, bands: &Bands, origin: u64, lead: u64) -> f32 {
        self.part(bands, lead, self.fast.at(origin), self.slow.at(origin))
    }

    /// The same from now.
    pub(crate) fn carried_from_now(&self, bands: &Bands, lead: u64) -> f32 {
        self.part(bands, lead, self.fast_now, self.slow_now)
    }

    fn part(&self, bands: &Bands, lead: u64, fast: f32, slow: f32) -> f32 {
        let spot = bands.spot(lead);
        spot.between(|band| self.carries[band].fast) * fast + spot.between(|band| self.carries[band].slow) * slow
    }

    /// Learns the deviation at `step` (NaN: missing), `size` being the usual size of one.
    pub(crate) fn push(&mut self, bands: &Bands, day: u64, step: u64, deviation: f32, size: f32, keep: f32) {
        if !deviation.is_nan() {
            if bands.samples(step) {
                // An accident teaches as much as a large error, not more.
                let limit = 6.0 * size;
                let unit = 1.0 / size;
                let y = deviation.clamp(-limit, limit) * unit;
                for (carry, lead) in self.carries.iter_mut().zip(bands.leads()) {
                    let fast = self.fast.before(step, *lead);
                    let slow = self.slow.before(step, *lead);
                    if !fast.is_nan() && !slow.is_nan() {
                        carry.learn(fast.clamp(-limit, limit) * unit, slow.clamp(-limit, limit) * unit, y, keep);
                    }
                }
            }
            self.fast_now += FAST * (deviation - self.fast_now);
            let slow = (SLOW_A_DAY / day as f32).min(FAST);
            self.slow_now += slow * (deviation - self.slow_now);
        }
        self.fast.push(self.fast_now);
        self.slow.push(self.slow_now);
    }

    pub(crate) fn is_sound(&self, bands: &Bands, day: u64, next: u64) -> bool {
        self.fast_now.is_finite()
            && self.slow_now.is_finite()
            && self.fast.fits(day as usize + 1, next)
            && self.slow.fits(day as usize + 1, next)
            && self.carries.len() == bands.leads().len()
            && self.carries.iter().all(|carry| carry.fast.is_finite() && carry.slow.is_finite())
    }
}

impl Carry {
    fn learn(&mut self, fast: f32, slow: f32, later: f32, keep: f32) {
        self.ff = keep * self.ff + fast * fast;
        self.fs = keep * self.fs + fast * slow;
        self.ss = keep * self.ss + slow * slow;
        self.fy = keep * self.fy + fast * later;
        self.sy = keep * self.sy + slow * later;
        // A ridge keeps the two apart where they say the same.
        let ridge = 0.02 * (self.ff + self.ss) + 1.0;
        let (ff, ss) = (self.ff + ridge, self.ss + ridge);
        let determinant = ff * ss - self.fs * self.fs;
        self.fast = ((self.fy * ss - self.sy * self.fs) / determinant).clamp(-0.5, 1.0);
        self.slow = ((self.sy * ff - self.fy * self.fs) / determinant).clamp(-0.5, 1.0);
    }
}
