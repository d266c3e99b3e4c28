use crate::members::MEMBERS;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Quantiles that members are judged by.
pub(crate) const JUDGED: [f32; 4] = [0.1, 0.5, 0.9, 0.98];
/// Trials begun in a day, about. The network reads its past anew for each, some 6 M of fuel.
const TRIALS_A_DAY: u64 = 2;
/// Trials that weights rest on: six days of them. Twice as many weigh no better.
const TRIALS: usize = 12;
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
    day: u64,
    stride: u64,
    /// Logarithms of the leads in the middle of each reach.
    middles: [f32; REACHES],
}

impl Court {
    pub(crate) fn new(day: u64) -> Self {
        // Without a common divisor with the day, so that all times of day have their turn.
        let mut stride = (day / TRIALS_A_DAY).max(1);
        while common_divisor(stride, day) > 1 {
            stride += 1;
        }
        let edge = |i: usize| match i {
            0 => 1.0,
            inner if inner < REACHES => (day as f32 / REACH_SHARES[inner - 1] as f32).max(1.0),
            _ => day as f32,
        };
        Self { day, stride, middles: std::array::from_fn(|i| 0.5 * (edge(i).ln() + edge(i + 1).ln())) }
    }

    /// Whether a trial begins before `step` is known, of which `to_come` more are at hand: one whose verdict would be forgotten by then
    /// need not be held.
    pub(crate) fn begins(&self, step: u64, phase: u64, to_come: usize) -> bool {
        step.wrapping_add(phase).is_multiple_of(self.stride)
            && (to_come as u64) < self.day + (TRIALS as u64 + 1) * self.stride
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

    /// Weights at a lead: those of its reach in the middle of the reach, gradually the next one's on the way there.
    pub(crate) fn weights_at(&self, weights: &[[f32; MEMBERS]; REACHES], lead: u64) -> [f32; MEMBERS] {
        let at = (lead.max(1) as f32).ln();
        match self.middles.iter().rposition(|middle| *middle <= at) {
            None => weights[0],
            Some(below) if below + 1 == REACHES => weights[below],
            Some(below) => {
                let (from, to) = (self.middles[below], self.middles[below + 1]);
                let share = (at - from) / (to - from).max(f32::EPSILON);
                std::array::from_fn(|m| weights[below][m] + share * (weights[below + 1][m] - weights[below][m]))
            }
        }
    }

    /// Short, middle or long.
    fn reach(&self, lead: u64) -> usize {
        REACH_SHARES.iter().filter(|share| lead * **share > self.day).count()
    }
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
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

    /// Shows the value of `step`.
    pub(crate) fn hear(&mut self, court: &Court, step: u64, value: f32) {
        let Self { open, closed } = self;
        for trial in open.iter_mut().filter(|trial| trial.due == step) {
            let losses = &mut trial.losses[court.reach(step + 1 - trial.origin)];
            let row = MEMBERS * JUDGED.len();
            if !value.is_nan()
                && let Some(said) = trial.said.get(trial.at * row..(trial.at + 1) * row)
            {
                for (loss, said) in losses.iter_mut().zip(said.chunks_exact(JUDGED.len())) {
                    *loss += pinball(said, value);
                }
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
    pub(crate) fn weights(&self) -> [[f32; MEMBERS]; REACHES] {
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
            jury.hear(&court, step, 100.0);
            if court.begins(step + 1, 0, 0) {
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
    fn trials_do_not_pile_up_and_old_ones_are_forgotten() {
        let jury = held([1.0, 2.0, 3.0], 400);
        assert!(jury.closed.len() <= TRIALS && jury.open.len() <= 3);
        assert!(!Court::new(24).begins(13, 0, 24 + (TRIALS + 1) * 13), "its verdict would be forgotten by then");
    }

    #[test]
    fn weights_change_gradually_with_the_lead() {
        let court = Court::new(288);
        let weights: [[f32; MEMBERS]; REACHES] =
            std::array::from_fn(|reach| std::array::from_fn(|m| if m == reach { 1.0 } else { 0.0 }));
        assert_eq!(court.weights_at(&weights, 1), weights[0]);
        assert_eq!(court.weights_at(&weights, 288), weights[2]);
        let firsts: Vec<f32> = (1..=288).map(|lead| court.weights_at(&weights, lead)[0]).collect();
        assert!(firsts.is_sorted_by(|a, b| a >= b) && firsts.iter().any(|first| (0.2..0.8).contains(first)));
    }
}
