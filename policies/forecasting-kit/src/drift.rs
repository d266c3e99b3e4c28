use crate::lead_sketches::Bands;
use crate::ring::Ring;
use serde::{Deserialize, Serialize};

/// Deviations are averaged over about two steps, and over about two hours ([`Bands::slow_share`]).
const FAST: f32 = 0.6;
/// Pairs that the belief at the beginning weighs as much as.
const PRIOR: f32 = 4.0;
/// A deviation of more usual errors than this teaches no more.
const LIMIT: f32 = 6.0;
/// Keeps the two averages apart where they say the same.
const RIDGE: f32 = 0.02;
/// The least and most of a deviation that is carried on: more than all of it would run away.
const CARRIED: (f32, f32) = (-0.5, 1.0);

/// How far a series stands from what its model says now, and how much of that is still there so many steps later: learnt for each lead
/// from what was still there before. (The idea of correcting a seasonal model by its errors' autocorrelation: J. W. Taylor, "Short-term
/// electricity demand forecasting using double seasonal exponential smoothing", 2003.)
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Drift {
    fast_now: f32,
    slow_now: f32,
    fast: Ring,
    slow: Ring,
    carries: Vec<Carry>,
}

/// A least-squares fit of the later deviation on the two present averages, in usual errors; older pairs weigh less.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Carry {
    fast_fast: f32,
    fast_slow: f32,
    slow_slow: f32,
    fast_later: f32,
    slow_later: f32,
    fast: f32,
    slow: f32,
}

impl Drift {
    /// Before anything was seen: a deviation is believed to stay at first and to be gone in a day. `first`: the first step.
    #[must_use]
    pub fn new(bands: &Bands, first: u64) -> Self {
        let day = bands.day();
        let carry = |lead: &u64| {
            let fast = 1.0 - *lead as f32 / day as f32;
            Carry {
                fast_fast: PRIOR,
                fast_slow: 0.0,
                slow_slow: PRIOR,
                fast_later: PRIOR * fast,
                slow_later: 0.0,
                fast,
                slow: 0.0,
            }
        };
        Self {
            fast_now: 0.0,
            slow_now: 0.0,
            fast: Ring::new(day as usize + 1, first),
            slow: Ring::new(day as usize + 1, first),
            carries: bands.leads().iter().map(carry).collect(),
        }
    }

    /// The deviation that was expected at `origin`, a day ago at most, for the lead of `band`. NaN where that is not known.
    #[must_use]
    pub fn carried(&self, origin: u64, band: usize) -> f32 {
        self.carries[band].fast * self.fast.at(origin) + self.carries[band].slow * self.slow.at(origin)
    }

    /// The deviation expected `lead` steps from now.
    #[must_use]
    pub fn carried_from_now(&self, bands: &Bands, lead: u64) -> f32 {
        bands.spot(lead).between(|band| self.carried_now(band))
    }

    /// Writes the deviation expected at each lead from `first` on.
    pub fn fill_carried(&self, bands: &Bands, first: u64, out: &mut [f32]) {
        bands.fill_between(first, |band| self.carried_now(band), out);
    }

    fn carried_now(&self, band: usize) -> f32 {
        self.carries[band].fast * self.fast_now + self.carries[band].slow * self.slow_now
    }

    /// Learns from the deviation at the next step, one to learn from and not yet pushed; `size` is the usual size of one.
    pub fn learn(&mut self, bands: &Bands, deviation: f32, size: f32) {
        let step = self.fast.next();
        if deviation.is_nan() {
            return;
        }
        let unit = 1.0 / size;
        let in_sizes = |deviation: f32| (deviation * unit).clamp(-LIMIT, LIMIT);
        for (carry, lead) in self.carries.iter_mut().zip(bands.leads()) {
            let (fast, slow) = (self.fast.before(step, *lead), self.slow.before(step, *lead));
            if !fast.is_nan() && !slow.is_nan() {
                carry.learn(in_sizes(fast), in_sizes(slow), in_sizes(deviation), bands.keep());
            }
        }
    }

    /// Adds the deviation at the next step; NaN: missing.
    pub fn push(&mut self, bands: &Bands, deviation: f32) {
        if !deviation.is_nan() {
            self.fast_now += FAST * (deviation - self.fast_now);
            self.slow_now += bands.slow_share() * (deviation - self.slow_now);
        }
        self.fast.push(self.fast_now);
        self.slow.push(self.slow_now);
    }

    /// Whether pushing could have made it, standing at step `next`.
    #[must_use]
    pub fn is_sound(&self, bands: &Bands, next: u64) -> bool {
        let steps = bands.day() as usize + 1;
        self.fast_now.is_finite()
            && self.slow_now.is_finite()
            && self.fast.fits(steps, next)
            && self.slow.fits(steps, next)
            && self.carries.len() == bands.leads().len()
            && self.carries.iter().all(Carry::is_sound)
    }
}

impl Carry {
    fn learn(&mut self, fast: f32, slow: f32, later: f32, keep: f32) {
        self.fast_fast = keep * self.fast_fast + fast * fast;
        self.fast_slow = keep * self.fast_slow + fast * slow;
        self.slow_slow = keep * self.slow_slow + slow * slow;
        self.fast_later = keep * self.fast_later + fast * later;
        self.slow_later = keep * self.slow_later + slow * later;
        let ridge = RIDGE * (self.fast_fast + self.slow_slow) + 1.0;
        let (ff, ss) = (self.fast_fast + ridge, self.slow_slow + ridge);
        let determinant = ff * ss - self.fast_slow * self.fast_slow;
        let bounded = |share: f32| share.clamp(CARRIED.0, CARRIED.1);
        self.fast = bounded((self.fast_later * ss - self.slow_later * self.fast_slow) / determinant);
        self.slow = bounded((self.slow_later * ff - self.fast_later * self.fast_slow) / determinant);
    }

    fn is_sound(&self) -> bool {
        [self.fast_fast, self.fast_slow, self.slow_slow, self.fast_later, self.slow_later, self.fast, self.slow]
            .iter()
            .all(|part| part.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fades_is_expected_to_fade() {
        let bands = Bands::new(96, 7.0);
        let mut drift = Drift::new(&bands, 0);
        // Jumps of 10 every three days that lose a tenth each step.
        for step in 0..96 * 30 {
            drift.learn(&bands, 10.0 * 0.9f32.powi(step % 288), 3.0);
            drift.push(&bands, 10.0 * 0.9f32.powi(step % 288));
        }
        for step in 0..3 {
            drift.push(&bands, 10.0 * 0.9f32.powi(step));
        }
        let (next, later, much_later) =
            (drift.carried_from_now(&bands, 1), drift.carried_from_now(&bands, 8), drift.carried_from_now(&bands, 64));
        assert!(next > 5.0 && next < 9.0, "{next}");
        assert!(later < 0.8 * next && later > 1.0, "{later}");
        assert!(much_later.abs() < 1.0, "{much_later}");
    }

    #[test]
    fn missing_steps_leave_it_where_it_stands() {
        let bands = Bands::new(24, 7.0);
        let mut drift = Drift::new(&bands, 5);
        drift.push(&bands, 4.0);
        let before = drift.carried_from_now(&bands, 1);
        drift.push(&bands, f32::NAN);
        assert_eq!(drift.carried_from_now(&bands, 1), before);
        assert!(drift.is_sound(&bands, 7) && !drift.is_sound(&bands, 6));
    }
}
