use crate::features::Ahead;
use crate::network::Answer;

/// What is said of the maximum over the steps to come.
pub(crate) const PEAK: usize = 22;
/// Simple guesses at it.
pub(crate) const PEAK_ANCHORS: usize = 8;
const DAYS: usize = 7;
const WEEKS: usize = 4;
/// Places of the days, the weeks and the mean of the neighbours' highest in what is said of a step.
const WEEKS_AT: usize = 7;
const HIGH_AT: usize = 22;
/// Places of the levels whose highest is looked at: 0.5, 0.75, 0.9, 0.95, 0.99.
const HIGHEST_OF: [usize; 5] = [4, 5, 6, 7, 9];

/// Gathers, step by step, what the maximum depends on: `train/features.py` has the same.
#[derive(Debug)]
pub(crate) struct PeakGatherer {
    highest: [f32; HIGHEST_OF.len()],
    days: [f32; DAYS],
    weeks: [f32; WEEKS],
    high: f32,
    middle_sum: f32,
    upper_sum: f32,
    steps: u32,
}

#[derive(Debug)]
pub(crate) struct PeakFeatures {
    pub(crate) inputs: [f32; PEAK],
    pub(crate) anchors: [f32; PEAK_ANCHORS],
}

impl PeakGatherer {
    pub(crate) fn new() -> Self {
        Self {
            highest: [f32::MIN; HIGHEST_OF.len()],
            days: [f32::MIN; DAYS],
            weeks: [f32::MIN; WEEKS],
            high: f32::MIN,
            middle_sum: 0.0,
            upper_sum: 0.0,
            steps: 0,
        }
    }

    pub(crate) fn add(&mut self, ahead: &Ahead, answer: &Answer) {
        let raise = |known: &mut [f32], values: &[f32]| {
            for (known, value) in known.iter_mut().zip(values) {
                *known = known.max(*value);
            }
        };
        raise(&mut self.highest, &HIGHEST_OF.map(|level| answer[level]));
        raise(&mut self.days, &ahead.inputs[..DAYS]);
        raise(&mut self.weeks, &ahead.inputs[WEEKS_AT..WEEKS_AT + WEEKS]);
        self.high = self.high.max(ahead.inputs[HIGH_AT]);
        self.middle_sum += answer[HIGHEST_OF[0]];
        self.upper_sum += answer[HIGHEST_OF[2]];
        self.steps += 1;
    }

    /// Of the steps so far, at least one; days have `day` steps.
    pub(crate) fn features(&self, day: i64) -> PeakFeatures {
        let steps = self.steps.max(1) as f32;
        let mut ordered = self.days;
        ordered.sort_unstable_by(f32::total_cmp);
        let median = ordered[DAYS / 2];
        let mut inputs = [0.0; PEAK];
        let said = self
            .highest
            .into_iter()
            .chain([self.middle_sum / steps, self.upper_sum / steps])
            .chain(self.days)
            .chain([median]);
        let said = said.chain(self.weeks).chain([self.high]);
        let said = said.chain([crate::math::ln(steps) / 3.0 - 1.0, (steps / day as f32).min(3.0)]);
        for (input, value) in inputs.iter_mut().zip(said) {
            *input = value;
        }
        let [a, b, c, d, e] = self.highest;
        PeakFeatures { inputs, anchors: [a, b, c, d, e, self.days[0], median, self.weeks[0]] }
    }
}
