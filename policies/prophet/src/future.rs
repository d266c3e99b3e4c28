use crate::chance::Chance;
use crate::decomposition::Decomposition;

/// Futures simulated. Each comes with its mirror image, so that they lean to neither side.
const FUTURES: usize = 400;
/// Of them, those whose maximum is looked for: each costs a normal number a step.
const PEAK_FUTURES: usize = 200;

/// A future is looked at for so many lengths of the history at most: beyond, it departs no further. Bends are drawn one by one, some fifty a length.
const MAX_LENGTHS: f64 = 30.0;

/// How far a Prophet model may be off: trends that bend on as often and as much as they have bent, and the noise (Taylor and Letham 2018, section
/// 3.1.4). In simulated futures, at leads that double, and in between in proportion.
pub(crate) struct Future {
    /// Leads looked at, steps from now, ascending.
    leads: Vec<u64>,
    /// The trend's departure: `paths[future * leads.len() + lead]`.
    paths: Vec<f64>,
    noise: f64,
    chance: Chance,
}

/// Time, as a future counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// The step that comes next.
    pub(crate) next: u64,
    /// Steps of a day.
    pub(crate) day: u64,
}

impl Future {
    /// Of `model`, up to the lead of `last` steps; the same seed, the same futures.
    pub(crate) fn of(model: &Decomposition, now: Now, last: u64, seed: u64) -> Self {
        let mut leads: Vec<u64> = (0..63).map(|power| 1 << power).take_while(|lead| *lead < last).collect();
        leads.push(last.max(1));
        // From the model's end on, in its own time, in which its history is 1 long.
        let times: Vec<f64> = leads
            .iter()
            .map(|lead| {
                let time_days = (now.next - 1 + lead) as f64 / now.day as f64;
                ((time_days - model.start_days) / model.span_days - 1.0).clamp(0.0, MAX_LENGTHS)
            })
            .collect();
        let mut future = Self { leads, paths: Vec::new(), noise: model.noise * model.scale, chance: Chance::new(seed) };
        for _ in 0..FUTURES / 2 {
            let path = future.path(model, &times);
            future.paths.extend(path.iter().map(|departure| -departure));
            future.paths.extend(path);
        }
        future
    }

    /// One trend's departure at each of `times`.
    fn path(&mut self, model: &Decomposition, times: &[f64]) -> Vec<f64> {
        let rate = model.changes.len() as f64;
        let size = model.usual_change() * model.scale;
        let mut path = vec![0.0; times.len()];
        let last = times.last().copied().unwrap_or(0.0);
        if rate * size <= 0.0 {
            return path;
        }
        let mut bend = self.chance.exponential() / rate;
        while bend < last {
            let change = self.chance.laplace() * size;
            for (departure, time) in path.iter_mut().zip(times) {
                *departure += change * (time - bend).max(0.0);
            }
            bend += self.chance.exponential() / rate;
        }
        path
    }

    /// Quantiles of the error at each of the leads, `out[lead * levels.len() + level]`.
    pub(crate) fn error_quantiles(&mut self, levels: &[f32]) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.leads.len() * levels.len());
        let mut errors = vec![0.0; FUTURES];
        for lead in 0..self.leads.len() {
            for pair in 0..FUTURES / 2 {
                let noise = self.noise * self.chance.normal();
                errors[2 * pair] = self.paths[2 * pair * self.leads.len() + lead] - noise;
                errors[2 * pair + 1] = self.paths[(2 * pair + 1) * self.leads.len() + lead] + noise;
            }
            errors.sort_unstable_by(f64::total_cmp);
            out.extend(levels.iter().map(|level| quantile(&errors, *level)));
        }
        out
    }

    /// Quantiles of the maximum of `points`, the loads expected from lead `first` on, as they turn out in the futures.
    pub(crate) fn peak_quantiles(&mut self, first: u64, points: &[f32], levels: &[f32]) -> Vec<f64> {
        let mut peaks = vec![f64::NEG_INFINITY; PEAK_FUTURES];
        for (future, peak) in peaks.iter_mut().enumerate() {
            for (point, lead) in points.iter().zip(first..) {
                let departure = self.between(lead, |at| self.paths[future * self.leads.len() + at]);
                *peak = peak.max(f64::from(*point) + departure + self.noise * self.chance.normal());
            }
        }
        peaks.sort_unstable_by(f64::total_cmp);
        levels.iter().map(|level| quantile(&peaks, *level)).collect()
    }

    /// At `lead`, what is known at each of the leads looked at: in proportion between two of them.
    pub(crate) fn between(&self, lead: u64, known: impl Fn(usize) -> f64) -> f64 {
        let (at, share) = self.spot(lead);
        let low = known(at);
        if share > 0.0 { low + share * (known(at + 1) - low) } else { low }
    }

    /// Where `lead` lies: after which of the leads looked at, and how far on the way to the next.
    fn spot(&self, lead: u64) -> (usize, f64) {
        let after = self.leads.partition_point(|known| *known <= lead);
        match (after.checked_sub(1), self.leads.get(after)) {
            (Some(at), Some(next)) => (at, (lead - self.leads[at]) as f64 / (next - self.leads[at]) as f64),
            (Some(at), None) => (at, 0.0),
            (None, _) => (0, 0.0),
        }
    }
}

/// Of ascending values, in proportion between two of them.
fn quantile(sorted: &[f64], level: f32) -> f64 {
    let place = f64::from(level) * (sorted.len() - 1) as f64;
    let at = (place as usize).min(sorted.len() - 1);
    let low = sorted[at];
    sorted.get(at + 1).map_or(low, |high| low + place.fract() * (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decomposition::Change;
    use crate::seasonality::Seasonality;

    const NOW: Now = Now { next: 48 * 110, day: 48 };
    const LEVELS: [f32; 3] = [0.1, 0.5, 0.9];

    /// Ten days that end now.
    fn model(bend: f64, noise: f64) -> Decomposition {
        let change =
            |nth: u32| Change { time: f64::from(nth) / 26.0, change: if nth.is_multiple_of(2) { bend } else { -bend } };
        Decomposition {
            start_days: 100.0,
            span_days: 10.0,
            scale: 100.0,
            slope: 0.0,
            offset: 0.5,
            changes: (1..=25).map(change).collect(),
            seasonality: Seasonality { day_order: 0, week_order: 0 },
            waves: Vec::new(),
            noise,
        }
    }

    #[test]
    fn without_bends_errors_are_the_noise_at_every_lead() {
        let mut future = Future::of(&model(0.0, 0.1), NOW, 48, 1);
        for errors in future.error_quantiles(&LEVELS).chunks_exact(LEVELS.len()) {
            // The deciles of a bell of standard deviation 10 lie at 12.8.
            assert!(
                (errors[0] + 12.8).abs() < 2.5 && errors[1].abs() < 1.5 && (errors[2] - 12.8).abs() < 2.5,
                "{errors:?}"
            );
        }
    }

    #[test]
    fn bends_widen_what_lies_further_ahead_as_their_variance_says() {
        let mut future = Future::of(&model(0.2, 0.0), NOW, 480, 1);
        let errors = future.error_quantiles(&LEVELS);
        let widths: Vec<f64> = errors.chunks_exact(LEVELS.len()).map(|errors| errors[2] - errors[0]).collect();
        assert!(widths.is_sorted(), "{widths:?}");
        // 25 bends a length, each of variance 2 b^2 of the slope: 2 / 3 * 25 b^2 after one length. Of a bell, deciles lie 2.56 apart.
        let wanted = 2.56 * 100.0 * 0.2 * (2.0f64 / 3.0 * 25.0).sqrt();
        let widest = widths[widths.len() - 1];
        assert!((widest / wanted - 1.0).abs() < 0.25, "{widest}, not {wanted}");
    }

    #[test]
    fn the_maximum_over_a_while_is_higher_than_any_one_value() {
        let mut future = Future::of(&model(0.01, 0.1), NOW, 48, 1);
        let peaks = future.peak_quantiles(1, &[50.0; 48], &LEVELS);
        // Of 48 normal values, the maximum lies 2.2 standard deviations up.
        assert!((peaks[1] - 72.0).abs() < 4.0, "{peaks:?}");
        assert!(peaks[0] < peaks[1] && peaks[1] < peaks[2]);
    }

    #[test]
    fn the_same_seed_gives_the_same_future() {
        let errors = |seed| Future::of(&model(0.2, 0.1), NOW, 48, seed).error_quantiles(&LEVELS);
        assert_eq!(errors(5), errors(5));
        assert_ne!(errors(5), errors(6));
    }
}
