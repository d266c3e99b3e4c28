//! What all runs come to: figures with intervals.

use super::course::{ArmOutcome, SeedOutcome};
use super::interval::Interval;
use super::setting::{Assessment, Facts};
use super::verdict::{Pays, Verdict};
use crate::arm::Arm;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;
/// Seed of the bootstrap: the same runs give the same intervals.
const BOOTSTRAP_SEED: u64 = 7;
/// What a clairvoyant placer must save at least, of the overload of the best arm without forecast, for skill to be worth a figure: of less, chance
/// alone makes any figure.
const LEAST_TO_GAIN: f64 = 0.02;

/// What one arm came to, over all starts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmFigures {
    /// Which.
    pub arm: Arm,
    /// Node-seconds of overload: the median, and the lowest and highest of the starts.
    pub overload_node_s: Interval,
    /// Latency that 99 of 100 requests stay below, milliseconds, nodes being queues whose requests work a millisecond on average: the median,
    /// and the lowest and highest of the starts. None without requests.
    pub p99_ms: Option<Interval>,
    /// Moves begun; of packed, what it takes to get there from the start.
    pub moves: Interval,
    /// Bytes that they moved, where it is known what shards store.
    pub moved_bytes: Option<Interval>,
    /// Moves back to a node that the shard had left less than two hours (24 steps) before.
    pub thrash: Interval,
    /// Node-seconds of overload in each part of the window, the mean of the starts.
    pub overload_by_part: Vec<f64>,
}

/// All arms at one headroom and one lead time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Capacity over the usual peak.
    pub headroom: f64,
    /// Steps from the decision to the effect.
    pub lead_steps: usize,
    /// The arms, in the order of [`Arm::ALL`].
    pub arms: Vec<ArmFigures>,
    /// Which arm without forecast had the least overload, over all starts.
    pub best_without: Arm,
    /// Share of that arm's overload that the predictive arm removed, per cent; negative: it made more.
    pub gain_pct: Interval,
    /// The same of the clairvoyant arm: what there is to gain.
    pub gainable_pct: Interval,
    /// (best without forecast − predictive) / (best without forecast − clairvoyant), per cent; none: there is next to nothing to gain. Its interval
    /// is of those resamples in which there is something.
    pub skill_pct: Option<Interval>,
    /// (reactive − predictive) / (reactive − clairvoyant), per cent: of what the reactive arm could have avoided, what the predictive arm did.
    pub avoided_pct: Option<Interval>,
    /// Hours of all nodes over the window: the same for all arms, as none adds or removes nodes.
    pub node_hours: f64,
    /// At this headroom the best arm without forecast has as little overload as the predictive arm has at [`Cell::headroom`]; none: not within the
    /// headrooms asked. The capacity that forecasting is worth.
    pub equal_headroom: Option<f64>,
    /// Whether it pays.
    pub pays: Pays,
}

impl Cell {
    /// The figures of an arm.
    #[must_use]
    pub fn arm(&self, arm: Arm) -> Option<&ArmFigures> {
        self.arms.iter().find(|figures| figures.arm == arm)
    }
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// What was made of the record.
    pub facts: Facts,
    /// Random starts.
    pub starts: usize,
    /// Parts of the window that were resampled.
    pub parts: usize,
    /// By headroom, then lead time, as asked.
    pub cells: Vec<Cell>,
    /// What it comes to, in words.
    pub verdict: Verdict,
}

impl Findings {
    pub(super) fn of(assessment: &Assessment, runs: &[SeedOutcome]) -> Self {
        let spec = &assessment.spec;
        let mut cells = Vec::new();
        for (h, &headroom) in spec.headrooms.iter().enumerate() {
            for (l, &lead_steps) in spec.leads.iter().enumerate() {
                cells.push(cell(assessment, runs, (h, headroom), (l, lead_steps)));
            }
        }
        let equal: Vec<Option<f64>> = cells.iter().map(|cell| equal_headroom(cell, &cells)).collect();
        cells.iter_mut().zip(equal).for_each(|(cell, equal)| cell.equal_headroom = equal);
        let facts = assessment.facts.clone();
        let verdict = Verdict::of(&facts, &cells);
        Self { facts, starts: runs.len(), parts: assessment.blocks().len(), cells, verdict }
    }
}

/// Overload by arm, start and part of the window.
type Overloads<'a> = [Vec<&'a [f64]>; 5];

fn cell(assessment: &Assessment, runs: &[SeedOutcome], (h, headroom): (usize, f64), (l, lead): (usize, usize)) -> Cell {
    let of = |arm: Arm| -> Vec<&ArmOutcome> {
        let here = |o: &&ArmOutcome| o.arm == arm && o.headroom == h && o.lead.is_none_or(|lead| lead == l);
        runs.iter().filter_map(|run| run.arms.iter().find(here)).collect()
    };
    let outcomes = Arm::ALL.map(of);
    let overloads: Overloads<'_> =
        std::array::from_fn(|arm| outcomes[arm].iter().map(|outcome| outcome.overload.as_slice()).collect());
    let arms = Arm::ALL.iter().zip(&outcomes).map(|(arm, outcomes)| figures(*arm, outcomes)).collect();

    let parts = overloads[0].first().map_or(0, |parts| parts.len());
    let (starts, every) = ((0..runs.len()).collect::<Vec<_>>(), (0..parts).collect::<Vec<_>>());
    let whole = Sample::of(&overloads, &starts, &every);
    let mut rng = StdRng::seed_from_u64(BOOTSTRAP_SEED);
    let samples: Vec<Sample> = (0..RESAMPLES)
        .map(|_| {
            let mut draw = |from: usize| (0..from).map(|_| rng.random_range(0..from)).collect::<Vec<usize>>();
            let (starts, every) = (draw(runs.len()), draw(parts));
            Sample::of(&overloads, &starts, &every)
        })
        .collect();
    let interval = |figure: fn(&Sample) -> f64| {
        Interval::bootstrapped(figure(&whole), samples.iter().map(figure).filter(|value| value.is_finite()).collect())
    };
    let to_gain = whole.gainable() > LEAST_TO_GAIN;
    let reactive_to_gain = whole.totals[2] - whole.totals[4] > LEAST_TO_GAIN * whole.totals[2];
    let gain_pct = interval(|sample| 100.0 * sample.gain());
    let gainable_pct = interval(|sample| 100.0 * sample.gainable());
    let window_s = f64::from(assessment.step_ms) / 1000.0 * assessment.facts.window_steps as f64;
    let node_s = window_s * assessment.spec.nodes as f64;
    let of_time = |overload: f64| overload / runs.len().max(1) as f64 / node_s;
    Cell {
        headroom,
        lead_steps: lead,
        arms,
        best_without: whole.best_without(),
        gain_pct,
        gainable_pct,
        skill_pct: to_gain.then(|| interval(|sample| 100.0 * sample.skill(sample.best()))),
        avoided_pct: reactive_to_gain.then(|| interval(|sample| 100.0 * sample.skill(sample.totals[2]))),
        node_hours: node_s / 3_600.0,
        equal_headroom: None,
        pays: Pays::of(of_time(whole.best()), of_time(whole.totals[3]), gain_pct, gainable_pct),
    }
}

fn figures(arm: Arm, outcomes: &[&ArmOutcome]) -> ArmFigures {
    let over = |figure: fn(&ArmOutcome) -> f64| Interval::of_starts(outcomes.iter().map(|outcome| figure(outcome)));
    let bytes: Option<Vec<f64>> =
        outcomes.iter().map(|outcome| outcome.moved_bytes.map(|bytes| bytes as f64)).collect();
    let p99s: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.p99_ms).collect();
    let parts = outcomes.first().map_or(0, |outcome| outcome.overload.len());
    let mean = |part: usize| outcomes.iter().map(|o| o.overload[part]).sum::<f64>() / outcomes.len().max(1) as f64;
    ArmFigures {
        arm,
        overload_node_s: over(|outcome| outcome.overload.iter().sum()),
        p99_ms: (!p99s.is_empty()).then(|| Interval::of_starts(p99s)),
        moves: over(|outcome| outcome.moves as f64),
        moved_bytes: bytes.filter(|bytes| !bytes.is_empty()).map(Interval::of_starts),
        thrash: over(|outcome| outcome.thrash as f64),
        overload_by_part: (0..parts).map(mean).collect(),
    }
}

/// Overload of all arms over some starts and parts of the window, summed.
struct Sample {
    totals: [f64; 5],
}

impl Sample {
    fn of(overloads: &Overloads<'_>, starts: &[usize], parts: &[usize]) -> Self {
        let total = |arm: &Vec<&[f64]>| -> f64 {
            let of_start = |start: &usize| parts.iter().map(|part| arm[*start][*part]).sum::<f64>();
            starts.iter().map(of_start).sum()
        };
        Self { totals: std::array::from_fn(|arm| total(&overloads[arm])) }
    }

    /// The arm without forecast that had the least overload; of equal ones the one that does less.
    fn best_without(&self) -> Arm {
        let arms = Arm::ALL.into_iter().zip(&self.totals).filter(|(arm, _)| arm.is_without_forecast());
        arms.min_by(|a, b| a.1.total_cmp(b.1)).map_or(Arm::Static, |(arm, _)| arm)
    }

    fn best(&self) -> f64 {
        self.totals[..3].iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Share of the best one's overload that the predictive arm removed; 0 where there is none and none was made.
    fn gain(&self) -> f64 {
        share(self.best() - self.totals[3], self.best())
    }

    fn gainable(&self) -> f64 {
        share(self.best() - self.totals[4], self.best())
    }

    /// What the predictive arm removed of `overload`, over what the clairvoyant one did; not known where that is next to nothing.
    fn skill(&self, overload: f64) -> f64 {
        let [.., predictive, clairvoyant] = self.totals;
        let to_gain = overload - clairvoyant;
        if to_gain > LEAST_TO_GAIN * overload { (overload - predictive) / to_gain } else { f64::NAN }
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        part / whole
    } else if part < 0.0 {
        // Overload where there was none: worse than by any share.
        f64::NEG_INFINITY
    } else {
        0.0
    }
}

/// The headroom at which the best arm without forecast has as little overload: between two headrooms its logarithm is taken to fall on a line.
fn equal_headroom(cell: &Cell, all: &[Cell]) -> Option<f64> {
    let best = |cell: &Cell| cell.arm(cell.best_without).map_or(f64::NAN, |arm| arm.overload_node_s.mid);
    let mut curve: Vec<(f64, f64)> = all
        .iter()
        .filter(|other| other.lead_steps == cell.lead_steps)
        .map(|other| (other.headroom, best(other)))
        .collect();
    curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ours = cell.arm(Arm::Predictive)?.overload_node_s.mid;
    let segment = curve.windows(2).find(|pair| pair[0].1 >= ours && ours >= pair[1].1 && pair[1].1 > 0.0)?;
    let [(from, high), (to, low)] = [segment[0], segment[1]];
    let along = if high > low { (high / ours).ln() / (high / low).ln() } else { 0.0 };
    Some(from + (to - from) * along)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(totals: [f64; 5]) -> Sample {
        Sample { totals }
    }

    #[test]
    fn gain_is_measured_against_the_best_without_forecast() {
        let s = sample([100.0, 80.0, 90.0, 60.0, 40.0]);
        assert_eq!((s.best_without(), s.gain(), s.gainable()), (Arm::Packed, 0.25, 0.5));
        assert_eq!(s.skill(s.best()), 0.5);
        assert!(sample([5.0; 5]).skill(5.0).is_nan());
        assert_eq!(sample([5.0; 5]).best_without(), Arm::Static);
        assert_eq!(sample([0.0; 5]).gain(), 0.0);
        assert_eq!(sample([0.0, 0.0, 0.0, 1.0, 0.0]).gain(), f64::NEG_INFINITY);
    }
}
