//! What the blocks say: the gain between bounds, and whether it speaks for the policy.

use super::GainSpec;
use super::blocks::{Blocks, WorldName};
use serde::{Deserialize, Serialize};

/// A part of the draws that lies below the lower bound, and above the upper one: each holds with 95 % of confidence.
const TAIL: f64 = 0.05;
/// Less than so many node-seconds of difference in a block tells nothing: rounding of sums.
const LEAST_DIFFERENCE: f64 = 1e-6;

/// What a keyspace's book comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Too little was seen to say anything: nothing speaks against the policy's moves.
    #[default]
    Learning,
    /// The lower bound of the gain is above zero.
    Pays,
    /// The policy made no difference, as where no node is ever overloaded: nothing to prove.
    NothingToGain,
    /// The gain may as well be chance.
    Unproven,
    /// The upper bound of the gain is below zero: the moves cost more than they bring.
    Loses,
}

impl Standing {
    /// Whether automatic moves by forecast are to stop.
    #[must_use]
    pub fn speaks_against(self) -> bool {
        match self {
            Self::Learning | Self::Pays | Self::NothingToGain => false,
            Self::Unproven | Self::Loses => true,
        }
    }
}

/// What the policy's moves gained over the best placement without forecast, moves paid for, in node-seconds of overload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// The placement without forecast that cost least over all blocks; of equal ones the one that does less.
    pub against: WorldName,
    /// What that one cost.
    pub baseline_node_s: f64,
    /// The gain.
    pub node_s: f64,
    /// It is above this with 95 % of confidence …
    pub lower_node_s: f64,
    /// … and below this.
    pub upper_node_s: f64,
}

impl Gain {
    /// A figure as a share of what the baseline cost; none where it cost nothing.
    #[must_use]
    pub fn share(&self, node_s: f64) -> Option<f64> {
        (self.baseline_node_s > LEAST_DIFFERENCE).then(|| node_s / self.baseline_node_s)
    }
}

/// Judges whole blocks.
///
/// The bounds are those of a bootstrap over blocks (Efron 1979, percentile method): blocks are drawn with replacement, the best baseline is chosen
/// anew in each draw, which errs on its side, and the gain's 5th and 95th percentiles are the bounds. The same blocks and seed give the same.
pub(super) fn judge(spec: &GainSpec, blocks: &Blocks, seed: u64) -> (Standing, Option<Gain>) {
    let costs: Vec<[f64; 4]> =
        blocks.whole.iter().map(|block| std::array::from_fn(|world| block.tallies[world].cost_node_s(spec))).collect();
    if costs.len() < spec.least_blocks.max(1) {
        return (Standing::Learning, None);
    }
    let sum = |drawn: &mut dyn Iterator<Item = usize>| {
        let mut sums = [0.0; 4];
        drawn.for_each(|i| sums.iter_mut().zip(&costs[i]).for_each(|(sum, cost)| *sum += cost));
        sums
    };
    let best = |sums: &[f64; 4]| sums[..3].iter().copied().fold(f64::INFINITY, f64::min);
    let whole = sum(&mut (0..costs.len()));
    let mut chance = Chance(seed);
    let mut drawn: Vec<f64> = (0..spec.draws.max(1))
        .map(|_| {
            let sums = sum(&mut (0..costs.len()).map(|_| chance.below(costs.len())));
            best(&sums) - sums[3]
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let against = WorldName::WITHOUT_FORECAST.into_iter().min_by(|a, b| whole[a.index()].total_cmp(&whole[b.index()]));
    let node_s = best(&whole) - whole[3];
    let gain = Gain {
        against: against.unwrap_or(WorldName::Static),
        baseline_node_s: best(&whole),
        node_s,
        // A figure may lie outside of few draws; its bounds hold it.
        lower_node_s: quantile(&drawn, TAIL).min(node_s),
        upper_node_s: quantile(&drawn, 1.0 - TAIL).max(node_s),
    };
    (standing(spec, &costs, &gain), Some(gain))
}

fn standing(spec: &GainSpec, costs: &[[f64; 4]], gain: &Gain) -> Standing {
    let difference = |worlds: &&[f64; 4]| (worlds[gain.against.index()] - worlds[3]).abs() > LEAST_DIFFERENCE;
    let telling = costs.iter().filter(difference).count();
    if gain.lower_node_s > LEAST_DIFFERENCE {
        Standing::Pays
    } else if gain.upper_node_s < -LEAST_DIFFERENCE {
        Standing::Loses
    } else if telling == 0 && gain.lower_node_s > -LEAST_DIFFERENCE {
        Standing::NothingToGain
    } else if telling < spec.least_telling {
        Standing::Learning
    } else {
        Standing::Unproven
    }
}

/// The value that a share `q` of the sorted values stay at or below, linear between neighbours.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// A number below `n`, which is not 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * n as u128) >> 64) as usize
    }
}
