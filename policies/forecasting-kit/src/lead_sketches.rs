use crate::ring::Ring;
use crate::sketch::Sketch;
use serde::{Deserialize, Serialize};

/// Models learn from about so many steps a day, not from each: neighbours tell the same, and this keeps a step cheap.
const SAMPLES_A_DAY: u64 = 40;
/// Of a window, at least this share must be known for its maximum to count.
const KNOWN_SHARE: f32 = 0.875;
/// Errors that the bell stands for which a sketch begins with: outweighed after some hours.
const PRIOR_ERRORS: f32 = 12.0;
/// Standard deviation of that bell, in usual sizes: wider than most series turn out to be.
const PRIOR_WIDTH: f32 = 1.5;

/// Where a lead lies between two bands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// The band before.
    pub band: usize,
    /// How far on the way to the next band, 0 to 1.
    pub share: f32,
}

impl Spot {
    /// The value at this spot of something known for each band.
    #[must_use]
    pub fn between(&self, known: impl Fn(usize) -> f32) -> f32 {
        let low = known(self.band);
        if self.share > 0.0 { low + self.share * (known(self.band + 1) - low) } else { low }
    }
}

/// The leads at which errors are kept apart: 1, 2, 4, 8 … steps, and a day.
#[derive(Clone, Debug)]
pub struct Bands {
    leads: Vec<u64>,
    /// `shares[lead]`: where each lead, up to a day, lies between its band and the next.
    shares: Vec<f32>,
    /// Steps between two samples.
    stride: u64,
    /// The share of its weight that an error keeps from one sample to the next.
    keep: f32,
    /// For each band: the same of windows.
    windows: Vec<Window>,
    slow_share: f32,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    stride: u64,
    keep: f32,
}

impl Bands {
    /// For days of `day` steps.
    #[must_use]
    pub fn new(day: u64, half_life_days: f32) -> Self {
        let day = day.max(1);
        let mut leads: Vec<u64> = (0..63).map(|power| 1 << power).take_while(|lead| *lead < day).collect();
        leads.push(day);
        let mut shares = Vec::with_capacity(day as usize + 1);
        let mut band = 0;
        for lead in 0..=day {
            while band + 1 < leads.len() && leads[band + 1] <= lead {
                band += 1;
            }
            shares.push(match leads.get(band + 1) {
                Some(next) if lead > leads[band] => (lead - leads[band]) as f32 / (next - leads[band]) as f32,
                Some(_) | None => 0.0,
            });
        }
        let keep = |stride: u64| 0.5f32.powf(stride as f32 / (half_life_days * day as f32));
        // Without a common divisor with the day, so that all times of day have their turn: what runs by timetable must not slip through.
        let mut stride = (day / SAMPLES_A_DAY).max(1);
        while common_divisor(stride, day) > 1 {
            stride += 1;
        }
        let windows = leads
            .iter()
            .map(|lead| {
                // Windows don't overlap, and end where a step is learnt from.
                let stride = lead.next_multiple_of(stride);
                Window { stride, keep: keep(stride) }
            })
            .collect();
        Self { leads, shares, stride, keep: keep(stride), windows, slow_share: (12.0 / day as f32).min(0.6) }
    }

    /// The leads, ascending, the last being a day.
    #[must_use]
    pub fn leads(&self) -> &[u64] {
        &self.leads
    }

    /// Steps of a day: the longest lead.
    #[must_use]
    pub fn day(&self) -> u64 {
        self.leads.last().copied().unwrap_or(1)
    }

    /// How many steps of a day are learnt from, about.
    #[must_use]
    pub fn samples_a_day(&self) -> u64 {
        (self.day() / self.stride).max(1)
    }

    /// What one step counts in an average over two hours; with long steps, in one over about two steps.
    #[must_use]
    pub fn slow_share(&self) -> f32 {
        self.slow_share
    }

    /// The share of its weight that an error keeps from one sample to the next.
    #[must_use]
    pub fn keep(&self) -> f32 {
        self.keep
    }

    /// Where `lead` lies; beyond a day errors are taken to grow no further.
    #[must_use]
    pub fn spot(&self, lead: u64) -> Spot {
        let share = usize::try_from(lead).ok().and_then(|lead| self.shares.get(lead)).copied().unwrap_or(0.0);
        Spot { band: self.leads.partition_point(|known| *known <= lead).saturating_sub(1), share }
    }

    /// Writes what lies at each lead from `first` on, of something known for each band: what [`Spot::between`] says of each.
    pub fn fill_between(&self, first: u64, known: impl Fn(usize) -> f32, out: &mut [f32]) {
        let mut rest = out;
        let mut lead = first;
        while !rest.is_empty() {
            let Spot { band, .. } = self.spot(lead);
            let low = known(band);
            let Some(next) = self.leads.get(band + 1).copied() else {
                rest.fill(low);
                return;
            };
            let rise = known(band + 1) - low;
            let (here, after) = rest.split_at_mut(rest.len().min((next - lead) as usize));
            let shares = self.shares.get(lead as usize..).unwrap_or(&[]);
            for (out, share) in here.iter_mut().zip(shares) {
                *out = low + share * rise;
            }
            (rest, lead) = (after, next);
        }
    }

    /// The share of its weight that the error of a window's maximum keeps until the band's next window.
    #[must_use]
    pub fn window_keep(&self, band: usize) -> f32 {
        self.windows[band].keep
    }

    /// Whether a window as long as the band's lead ends at `step`, one to learn from. Windows of one band don't overlap.
    #[must_use]
    pub fn ends_window(&self, band: usize, step: u64) -> bool {
        self.windows.get(band).is_some_and(|window| step.is_multiple_of(window.stride))
    }

    /// Whether a model is to learn from `step`.
    #[must_use]
    pub fn samples(&self, step: u64) -> bool {
        step.is_multiple_of(self.stride)
    }
}

/// A model's own past errors, by lead, and those of the maximum over windows as long as each lead; both in usual sizes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeadSketches {
    leads: Vec<Sketch>,
    peaks: Vec<Sketch>,
}

impl LeadSketches {
    /// Before any error was seen.
    #[must_use]
    pub fn new(bands: &Bands) -> Self {
        let prior = vec![Sketch::new(PRIOR_WIDTH, PRIOR_ERRORS); bands.leads.len()];
        Self { leads: prior.clone(), peaks: prior }
    }

    /// Learns from the newest value of `history`, just come to be known. What the model expected of a step is taken apart: `season`, the
    /// same whenever it was asked, and `carried(origin, band)`, what it added at `origin` for the band's lead (between bands: in proportion).
    /// `size(step)` is the usual size of an error. Both rings stand at the same step and hold a day.
    pub fn learn(
        &mut self,
        bands: &Bands,
        history: &Ring,
        season: &Ring,
        carried: impl Fn(u64, usize) -> f32,
        size: impl Fn(u64) -> f32,
    ) {
        let step = history.next().wrapping_sub(1);
        if !bands.samples(step) {
            return;
        }
        let (surprise, size_now) = (history.at(step) - season.at(step), size(step));
        for (band, &lead) in bands.leads.iter().enumerate() {
            let Some(origin) = step.checked_sub(lead) else { break };
            self.leads[band].add((surprise - carried(origin, band)) / size_now, bands.keep);
            let window = bands.windows[band];
            if !step.is_multiple_of(window.stride) {
                continue;
            }
            let truth = highest(origin, lead, history);
            let expected = highest_expected(bands, origin, band, season, &carried);
            if truth.known as f32 >= KNOWN_SHARE * lead as f32 && expected.known > 0 {
                self.peaks[band].add((truth.value - expected.value) / size(expected.at), window.keep);
            }
        }
    }

    /// Adds an error at the band's lead, in usual sizes, older ones keeping the share `keep` of their weight: for models whose expectation
    /// can't be taken apart as [`learn`](Self::learn) asks.
    pub fn add(&mut self, band: usize, error: f32, keep: f32) {
        self.leads[band].add(error, keep);
    }

    /// Adds an error of the maximum over a window as long as the band's lead, in the same way: what it was less what was expected.
    pub fn add_peak(&mut self, band: usize, error: f32, keep: f32) {
        self.peaks[band].add(error, keep);
    }

    /// Lets everything seen so far weigh `share` of what it weighed.
    pub fn fade(&mut self, share: f32) {
        self.leads.iter_mut().chain(&mut self.peaks).for_each(|sketch| sketch.fade(share));
    }

    /// The same of one band's.
    pub fn fade_band(&mut self, band: usize, share: f32) {
        self.leads[band].fade(share);
        self.peaks[band].fade(share);
    }

    /// Error quantiles: `out[band * levels.len() + level]`.
    pub fn lead_quantiles(&self, levels: &[f32], out: &mut [f32]) {
        for (sketch, out) in self.leads.iter().zip(out.chunks_exact_mut(levels.len().max(1))) {
            sketch.quantiles(levels, out);
        }
    }

    /// Error quantiles of the maximum over a window that ends at `spot`, one for each level. `room`: for as many again.
    pub fn peak_quantiles(&self, spot: Spot, levels: &[f32], room: &mut [f32], out: &mut [f32]) {
        self.peaks[spot.band].quantiles(levels, out);
        if spot.share > 0.0 {
            self.peaks[spot.band + 1].quantiles(levels, room);
            out.iter_mut().zip(room).for_each(|(low, high)| *low += spot.share * (*high - *low));
        }
    }

    /// Whether learning could have made it: what a restored one must prove.
    #[must_use]
    pub fn is_sound(&self, bands: &Bands) -> bool {
        self.leads.len() == bands.leads.len()
            && self.peaks.len() == bands.leads.len()
            && self.leads.iter().chain(&self.peaks).all(Sketch::is_sound)
    }
}

/// How far the maximum of the `lead` steps after `origin`, all past by now, was above the highest expected, in usual sizes: for
/// [`LeadSketches::add_peak`]. `expected(ahead)`: what was expected of each, and the usual size of an error; as forecasts do it, of equal
/// ones the last is the highest. None where too few were known.
pub fn peak_error(history: &Ring, origin: u64, lead: u64, expected: impl Fn(u64) -> (f32, f32)) -> Option<f32> {
    let truth = highest(origin, lead, history);
    if (truth.known as f32) < KNOWN_SHARE * lead as f32 {
        return None;
    }
    let (point, size) = (1..=lead).map(expected).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    Some((truth.value - point) / size)
}

/// The highest of some values, where it was, and how many were known.
struct Highest {
    value: f32,
    at: u64,
    known: u64,
}

impl Highest {
    fn of_none(at: u64) -> Self {
        Self { value: f32::NEG_INFINITY, at, known: 0 }
    }

    fn look_at(&mut self, value: f32, at: u64) {
        if !value.is_nan() {
            self.known += 1;
            if value > self.value {
                (self.value, self.at) = (value, at);
            }
        }
    }
}

/// Of the `lead` steps after `origin`.
fn highest(origin: u64, lead: u64, history: &Ring) -> Highest {
    let mut highest = Highest::of_none(origin + lead);
    for (target, value) in (origin + 1..).zip(history.run(origin + 1, lead)) {
        highest.look_at(value, target);
    }
    highest
}

/// Of what was expected at `origin` of the steps after it, up to the lead of `band`.
fn highest_expected(
    bands: &Bands,
    origin: u64,
    band: usize,
    season: &Ring,
    carried: impl Fn(u64, usize) -> f32,
) -> Highest {
    let mut highest = Highest::of_none(origin + bands.leads[band]);
    let (mut from, mut carried_from) = (bands.leads[0], carried(origin, 0));
    highest.look_at(season.at(origin + from) + carried_from, origin + from);
    for (next, &to) in bands.leads.iter().enumerate().take(band + 1).skip(1) {
        let carried_to = carried(origin, next);
        let slope = (carried_to - carried_from) / (to - from) as f32;
        let mut carried = carried_from;
        for (target, value) in (origin + from + 1..).zip(season.run(origin + from + 1, to - from)) {
            carried += slope;
            highest.look_at(value + carried, target);
        }
        (from, carried_from) = (to, carried_to);
    }
    highest
}

/// The greatest number that divides both (Euclid).
#[must_use]
pub fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_double_up_to_a_day() {
        let bands = Bands::new(288, 7.0);
        assert_eq!(bands.leads(), [1, 2, 4, 8, 16, 32, 64, 128, 256, 288]);
        assert_eq!(bands.spot(1), Spot { band: 0, share: 0.0 });
        assert_eq!(bands.spot(12), Spot { band: 3, share: 0.5 });
        assert_eq!(bands.spot(288), Spot { band: 9, share: 0.0 });
        assert_eq!(bands.spot(100_000), Spot { band: 9, share: 0.0 });
        assert_eq!(Bands::new(1, 7.0).leads(), [1]);
    }

    #[test]
    fn a_whole_path_is_filled_as_each_spot_is() {
        for (day, first) in [(288, 1), (288, 3), (24, 20), (1, 1), (7, 900)] {
            let bands = Bands::new(day, 7.0);
            let known = |band: usize| (band * band) as f32 - 3.0;
            let mut path = vec![f32::NAN; 400];
            bands.fill_between(first, known, &mut path);
            for (lead, found) in (first..).zip(path) {
                assert_eq!(found, bands.spot(lead).between(known), "day {day}, lead {lead}");
            }
        }
    }

    #[test]
    fn errors_are_kept_by_lead() {
        let bands = Bands::new(24, 30.0);
        let mut sketches = LeadSketches::new(&bands);
        let (mut history, mut season) = (Ring::new(25, 0), Ring::new(25, 0));
        // An error that grows with the lead, of a model that expects too little.
        for _ in 0..2000 {
            history.push(100.0);
            season.push(100.0);
            let carried = |_, band: usize| -(bands.leads()[band] as f32);
            sketches.learn(&bands, &history, &season, carried, |_| 1.0);
        }
        let mut out = vec![0.0; bands.leads().len()];
        sketches.lead_quantiles(&[0.5], &mut out);
        for (found, lead) in out.iter().zip(bands.leads()) {
            assert!((found / *lead as f32 - 1.0).abs() < 0.2, "lead {lead}: {found}");
        }
        for lead in 1..=24 {
            let mut peak = [0.0];
            sketches.peak_quantiles(bands.spot(lead), &[0.5], &mut [0.0], &mut peak);
            assert!((peak[0] - 1.0).abs() < 0.3, "the maximum was expected one step ahead: {peak:?}");
        }
    }
}
