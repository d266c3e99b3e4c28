use crate::math::asinh;
use forecasting_kit::Ring;

/// Neighbours in time looked at, to each side.
pub(crate) const NEAR: i64 = 2;
/// What is further off than this, in units of z, counts as this.
pub(crate) const Z_MAX: f32 = 12.0;

/// The history a forecast is made from: values by place, 0 the oldest; what was missing, or never known, reads as NaN.
#[derive(Debug)]
pub(crate) struct Window {
    values: Vec<f32>,
    /// Steps of a day.
    pub(crate) day: i64,
}

impl Window {
    /// The last `steps` of what `ring` holds.
    pub(crate) fn of(ring: &Ring, steps: usize, day: u64) -> Self {
        let steps = steps.min(ring.capacity()) as u64;
        Self { values: ring.run(ring.next().wrapping_sub(steps), steps).collect(), day: day as i64 }
    }

    #[cfg(test)]
    pub(crate) fn new(values: Vec<f32>, day: i64) -> Self {
        Self { values, day }
    }

    /// The place of the first step to come.
    pub(crate) fn end(&self) -> i64 {
        self.values.len() as i64
    }

    pub(crate) fn at(&self, place: i64) -> f32 {
        usize::try_from(place).ok().and_then(|place| self.values.get(place)).copied().unwrap_or(f32::NAN)
    }

    /// The known part of `from..to`.
    fn part(&self, from: i64, to: i64) -> &[f32] {
        let to = to.clamp(0, self.end());
        let from = from.clamp(0, to);
        self.values.get(from as usize..to as usize).unwrap_or(&[])
    }

    /// Mean of what is known in `from..to`; NaN of none.
    pub(crate) fn mean(&self, from: i64, to: i64) -> f32 {
        let (mut sum, mut count) = (0.0f64, 0.0f64);
        for value in self.part(from, to) {
            if !value.is_nan() {
                sum += f64::from(*value);
                count += 1.0;
            }
        }
        (sum / count) as f32
    }

    /// Mean of what is known of the differences between the steps in `from..to` and those `lag` before; NaN of none. And how many are.
    pub(crate) fn mean_change(&self, lag: i64, from: i64, to: i64) -> (f32, u32) {
        let to = to.clamp(0, self.end());
        let from = from.clamp(0, to).max(lag);
        if from >= to {
            return (f32::NAN, 0);
        }
        let (mut sum, mut count) = (0.0f64, 0u32);
        for (new, old) in self.part(from, to).iter().zip(self.part(from - lag, to - lag)) {
            let change = (new - old).abs();
            if !change.is_nan() {
                sum += f64::from(change);
                count += 1;
            }
        }
        ((sum / f64::from(count)) as f32, count)
    }

    /// Mean and largest of what is known at most [`NEAR`] from `place`; NaN of none.
    pub(crate) fn around(&self, place: i64) -> (f32, f32) {
        let (mut sum, mut count, mut largest) = (0.0f64, 0.0f64, f32::NAN);
        for value in self.part(place - NEAR, place + NEAR + 1) {
            let is_known = !value.is_nan();
            sum += if is_known { f64::from(*value) } else { 0.0 };
            count += if is_known { 1.0 } else { 0.0 };
            // `f32::max` passes over NaN.
            largest = largest.max(*value);
        }
        ((sum / count) as f32, largest)
    }

    /// `count` values at even distances over the whole, those known, ascending.
    pub(crate) fn sample(&self, count: i64) -> Vec<f32> {
        let mut sample: Vec<f32> =
            (0..count).map(|i| self.at(i * self.end() / count)).filter(|value| !value.is_nan()).collect();
        sample.sort_unstable_by(f32::total_cmp);
        sample
    }
}

/// From loads to the scale the network works on, and back: differences from the usual load in units of its daily changes, and beyond a few
/// of these their logarithm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The usual load: the median of history.
    pub(crate) centre: f32,
    /// By how much the load differs from the day before's, in the mean.
    pub(crate) unit: f32,
}

impl Scale {
    pub(crate) fn z(&self, load: f32) -> f32 {
        // NaN stays.
        asinh_or_nan((load - self.centre) / self.unit)
    }

    /// Of many at once.
    pub(crate) fn z_all(&self, loads: &mut [f32]) {
        for load in loads {
            *load = self.z(*load);
        }
    }
}

fn asinh_or_nan(u: f32) -> f32 {
    let z = asinh(u).clamp(-Z_MAX, Z_MAX);
    if u.is_nan() { u } else { z }
}

/// `value`, or `fallback` where it is not known.
pub(crate) fn or(value: f32, fallback: f32) -> f32 {
    if value.is_nan() { fallback } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_changes_pass_over_what_is_missing() {
        let window = Window::new(vec![1.0, f32::NAN, 3.0, 5.0, 4.0], 2);
        assert_eq!(window.mean(-3, 3), 2.0);
        assert!(window.mean(1, 2).is_nan() && window.mean(7, 9).is_nan());
        assert_eq!(window.mean_change(1, -2, 9), (1.5, 2));
        assert_eq!(window.mean_change(2, 0, 9), (1.5, 2));
        assert!(window.mean_change(9, 0, 9).0.is_nan());
        assert_eq!((window.around(1), window.at(3)), ((3.0, 5.0), 5.0));
        assert!(window.at(-1).is_nan() && window.at(5).is_nan() && window.around(-3).1.is_nan());
        assert_eq!(window.sample(5), [1.0, 3.0, 4.0, 5.0]);
    }
}
