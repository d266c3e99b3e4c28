use crate::members::MEMBERS;
use forecasting_kit::common_divisor;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Quantiles that members are judged by.
pub(crate) const JUDGED: [f32; 4] = [0.1, MEDIAN, 0.9, 0.98];
pub(crate) const MEDIAN: f32 = 0.5;
/// Trials begin this share of a day apart, each some three hours earlier in the day than the one before. More would cost more than they
/// say: the network reads its past anew for each, some 5 M of fuel.
const STRIDE: (u64, u64) = (7, 8);
/// Trials that weights rest on: a week of them, all times of day among them. Twice as many weigh no better.
const TRIALS: usize = 8;
/// Leads looked at in one trial, at most.
const LEADS: usize = 24;
/// Short, middle and long leads are judged by themselves: up to a 24th of a day, up to a sixth, and beyond.
pub(crate) const REACHES: usize = 3;
const REACH_SHARES: [u64; REACHES - 1] = [24, 6];
/// What each member weighs before anything is known of a shard. These three were chosen on pseudo-origins before each public series' first
/// origin: nearer to an even mix and nearer to the network alone both lost more.
const TRUST: [f32; MEMBERS] = [0.1, 0.7, 0.2];
/// Trials' worth of evidence that all members are alike.
const PRIOR_TRIALS: f32 = 3.0;
/// A weight falls with this power of the relative loss.
const POWER: f32 = 4.0;

/// A loss is never taken for less than this share of the mean: one lucky week is not the truth.
const LEAST_LOSS: f32 = 0.05;

type Losses = [[f32; MEMBERS]; REACHES];

/// What each member weighs at each reach.
pub(crate) type Weights = [[f32; MEMBERS]; REACHES];

/// What the mixture had said of a step, in the quantiles [`JUDGED`], and what came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) reach: usize,
    pub(crate) said: [f32; JUDGED.len()],
    pub(crate) value: f32,
}

/// Tries the members and says what each is to weigh.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Jury {
    /// Begun, not all leads known yet; oldest first.
    open: VecDeque<Trial>,
    /// What became of the last ones: loss beside the members' mean. NaN: nothing was known.
    closed: VecDeque<Losses>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Trial {
    /// Step of the first value that was not known.
    origin: u64,
    /// The next lead to be looked at, and the step it comes to.
    at: usize,
    due: u64,
    /// `said[(lead * MEMBERS + member) * JUDGED + level]`.
    said: Vec<f32>,
    losses: Losses,
}

/// When trials begin and what they look at, for days of so many steps.
#[derive(Clone, Debug)]
pub(crate) struct Court {
    pub(crate) day: u64,
    stride: u64,
    /// Logarithms of the leads in the middle of each reach.
    middles: [f32; REACHES],
}

impl Court {
    pub(crate) fn new(day: u64) -> Self {
        // Without a common divisor with the day, so that all times of day have their turn.
        let mut stride = (day * STRIDE.0 / STRIDE.1).max(1);
        while common_divisor(stride, day) > 1 {
            stride -= 1;
        }
        let edge = |i: usize| match i {
            0 => 1.0,
            inner if inner < REACHES => (day as f32 / REACH_SHARES[inner - 1] as f32).max(1.0),
            _ => day as f32,
        };
        Self { day, stride, middles: std::array::from_fn(|i| 0.5 * (edge(i).ln() + edge(i + 1).ln())) }
    }

    /// Whether a trial begins before `step` is known.
    pub(crate) fn begins(&self, step: u64, phase: u64) -> bool {
        step.wrapping_add(phase).is_multiple_of(self.stride)
    }

    /// Leads looked at: closer together near by.
    pub(crate) fn leads(&self) -> impl Iterator<Item = u64> {
        let day = self.day as f32;
        let mut last = 0;
        (0..LEADS).filter_map(move |i| {
            let lead = (day.powf(i as f32 / (LEADS - 1) as f32)).round() as u64;
            (lead > last).then(|| {
                last = lead;
                lead
            })
        })
    }

    /// What is known of each reach, at a lead: in the middle of a reach its own, gradually the next one's on the way there.
    pub(crate) fn between<const N: usize>(&self, known: &[[f32; N]; REACHES], lead: u64) -> [f32; N] {
        let at = (lead.max(1) as f32).ln();
        match self.middles.iter().rposition(|middle| *middle <= at) {
            None => known[0],
            Some(below) if below + 1 == REACHES => known[below],
            Some(below) => {
                let (from, to) = (self.middles[below], self.middles[below + 1]);
                let share = (at - from) / (to - from).max(f32::EPSILON);
                std::array::from_fn(|i| known[below][i] + share * (known[below + 1][i] - known[below][i]))
            }
        }
    }

    /// Short, middle or long.
    pub(crate) fn reach(&self, lead: u64) -> usize {
        REACH_SHARES.iter().filter(|share| lead * **share > self.day).count()
    }
}

impl Jury {
    pub(crate) fn new() -> Self {
        Self { open: VecDeque::new(), closed: VecDeque::new() }
    }

    /// Begins a trial: what each member says of the [`leads`](Court::leads) from `origin` on, `[level * leads + lead]` in the quantiles
    /// [`JUDGED`].
    pub(crate) fn begin(&mut self, origin: u64, answers: &[Vec<f32>; MEMBERS]) {
        let leads = answers[0].len() / JUDGED.len();
        let said = (0..leads).flat_map(|lead| {
            answers.iter().flat_map(move |values| {
                (0..JUDGED.len()).map(move |level| values.get(level * leads + lead).copied().unwrap_or(0.0))
            })
        });
        self.open.push_back(Trial { origin, at: 0, due: origin, said: said.collect(), losses: Losses::default() });
    }

    /// Shows the value of `step`; NaN: missing. Where the mixture, as it stands, had said something of it, that is told.
    pub(crate) fn hear(&mut self, court: &Court, step: u64, value: f32, mut tell: impl FnMut(Heard)) {
        let weights = if self.open.iter().any(|trial| trial.due == step) { self.weights() } else { Weights::default() };
        let Self { open, closed } = self;
        for trial in open.iter_mut().filter(|trial| trial.due == step) {
            let lead = step + 1 - trial.origin;
            let reach = court.reach(lead);
            let row = MEMBERS * JUDGED.len();
            if !value.is_nan()
                && let Some(said) = trial.said.get(trial.at * row..(trial.at + 1) * row)
            {
                let weights = court.between(&weights, lead);
                let mut mixed = [0.0; JUDGED.len()];
                for ((loss, weight), said) in
                    trial.losses[reach].iter_mut().zip(weights).zip(said.chunks_exact(JUDGED.len()))
                {
                    *loss += pinball(said, value);
                    // No load is below 0, whatever a member says.
                    mixed.iter_mut().zip(said).for_each(|(mixed, said)| *mixed += weight * said.max(0.0));
                }
                tell(Heard { reach, said: mixed, value });
            }
            trial.at += 1;
            trial.due = court.leads().nth(trial.at).map_or(u64::MAX, |lead| trial.origin + lead - 1);
        }
        while let Some(trial) = open.pop_front_if(|trial| step + 1 >= trial.origin + court.day) {
            closed.push_back(trial.losses.map(relative));
            if closed.len() > TRIALS {
                closed.pop_front();
            }
        }
    }

    /// What each member weighs at a reach; together 1.
    pub(crate) fn weights(&self) -> Weights {
        std::array::from_fn(|reach| {
            let mut sums = [PRIOR_TRIALS; MEMBERS];
            let mut count = PRIOR_TRIALS;
            for losses in self.closed.iter().map(|losses| &losses[reach]).filter(|losses| !losses[0].is_nan()) {
                sums.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
                count += 1.0;
            }
            let raw: [f32; MEMBERS] =
                std::array::from_fn(|m| TRUST[m] * (sums[m] / count).max(LEAST_LOSS).powf(-POWER));
            let total: f32 = raw.iter().sum();
            raw.map(|weight| weight / total)
        })
    }

    pub(crate) fn is_sound(&self, court: &Court, next: u64) -> bool {
        let said = court.leads().count() * MEMBERS * JUDGED.len();
        self.open.len() <= (court.day / court.stride + 1) as usize
            && self.closed.len() <= TRIALS
            && self.open.iter().all(|trial| {
                trial.said.len() == said
                    && trial.origin <= next
                    && trial.due >= trial.origin
                    && trial.said.iter().chain(trial.losses.iter().flatten()).all(|value| value.is_finite())
            })
            && self.closed.iter().flatten().flatten().all(|loss| loss.is_nan() || (*loss >= 0.0 && loss.is_finite()))
    }
}

/// Pinball loss (Koenker and Bassett 1978) over the judged quantiles.
fn pinball(said: &[f32], value: f32) -> f32 {
    said.iter()
        .zip(JUDGED)
        .map(|(said, level)| {
            let miss = value - said;
            (level * miss).max((level - 1.0) * miss)
        })
        .sum()
}

/// Each loss beside their mean, so that a trial at a busy hour counts no more than one at night.
fn relative(losses: [f32; MEMBERS]) -> [f32; MEMBERS] {
    let mean = losses.iter().sum::<f32>() / MEMBERS as f32;
    if mean > 0.0 && mean.is_finite() { losses.map(|loss| loss / mean) } else { [f32::NAN; MEMBERS] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trials of members that say the truth plus `errors`, over `days` days of hours.
    fn held(errors: [f32; MEMBERS], days: u64) -> Jury {
        let court = Court::new(24);
        let mut jury = Jury::new();
        for step in 0..days * 24 {
            jury.hear(&court, step, 100.0, |_| {});
            if court.begins(step + 1, 0) {
                let leads = court.leads().count();
                jury.begin(step + 1, &errors.map(|error| vec![100.0 + error; leads * JUDGED.len()]));
            }
        }
        assert!(jury.is_sound(&court, days * 24));
        jury
    }

    #[test]
    fn leads_lie_closer_together_near_by_and_end_at_a_day() {
        let leads: Vec<u64> = Court::new(288).leads().collect();
        assert_eq!((leads[..3].to_vec(), leads.last()), (vec![1, 2, 3], Some(&288)));
        assert!(leads.is_sorted_by(|a, b| a < b) && leads.len() <= LEADS);
        assert_eq!(Court::new(1).leads().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn before_any_trial_each_weighs_what_it_is_trusted_with() {
        for weights in Jury::new().weights() {
            assert!(weights.iter().zip(TRUST).all(|(weight, trust)| (weight - trust).abs() < 1e-6));
        }
    }

    #[test]
    fn a_member_that_errs_more_loses_its_weight_and_they_always_sum_to_one() {
        for weights in held([1.0, 30.0, 1.0], 10).weights() {
            assert!(weights[1] < 0.1 && weights[2] > weights[0], "{weights:?}");
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        for weights in held([5.0; MEMBERS], 10).weights() {
            assert!(
                weights.iter().zip(TRUST).all(|(weight, trust)| (weight - trust).abs() < 1e-5),
                "equals: {weights:?}"
            );
        }
    }

    #[test]
    fn trials_come_at_all_times_of_day() {
        for day in [24, 48, 288, 1440] {
            let court = Court::new(day);
            let quarters: std::collections::BTreeSet<_> =
                (0..8 * day).filter(|step| court.begins(*step, 3)).map(|step| step % day * 4 / day).collect();
            assert_eq!(quarters.len(), 4, "days of {day}");
        }
    }

    #[test]
    fn trials_do_not_pile_up_and_old_ones_are_forgotten() {
        let jury = held([1.0, 2.0, 3.0], 400);
        assert!(jury.closed.len() <= TRIALS && jury.open.len() <= 2);
    }

    #[test]
    fn weights_change_gradually_with_the_lead() {
        let court = Court::new(288);
        let weights: Weights = std::array::from_fn(|reach| std::array::from_fn(|m| if m == reach { 1.0 } else { 0.0 }));
        assert_eq!(court.between(&weights, 1), weights[0]);
        assert_eq!(court.between(&weights, 288), weights[2]);
        let firsts: Vec<f32> = (1..=288).map(|lead| court.between(&weights, lead)[0]).collect();
        assert!(firsts.is_sorted_by(|a, b| a >= b) && firsts.iter().any(|first| (0.2..0.8).contains(first)));
    }
}
