//! How many nodes are wanted when: the dynamic programme of P-Store, over time and the count of nodes.
//!
//! While nodes are filled they count as used but carry nothing yet; while nodes are emptied they count as used but carry nothing any more. So a
//! plan pays for every move twice, in time. Emptying a node has a price besides, the worth asked of it. Load above what the nodes carry is not
//! forbidden but dear, so that there is always a plan, even where all nodes together are too few.

/// What a node-block of load that no node is there for costs, in node-blocks: so many that a plan adds nodes for any shortage that lasts, few enough
/// that the quantile's last per cent of a block does not count as much as a day of a node.
const SHORTAGE: f32 = 50.0;
/// Counts of nodes that are told apart; of more nodes evenly many are. The programme's work is blocks × counts².
const MOST_COUNTS: usize = 64;

/// What the programme plans for.
#[derive(Debug)]
pub(crate) struct Problem<'a> {
    /// Load to come, block by block, of all shards.
    pub(crate) demand: &'a [f32],
    /// Load that the first so many nodes may carry; one entry more than there are nodes.
    pub(crate) carried: &'a [f32],
    /// Nodes in use now.
    pub(crate) now: usize,
    /// Fewest that may be in use.
    pub(crate) fewest: usize,
    /// What emptying one node costs, in node-blocks.
    pub(crate) price: f32,
}

/// What is to be done first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The count of nodes to go to now; the present one: wait.
    pub(crate) next: usize,
    /// Blocks until more nodes are to be added than there will be then; none: not within the horizon.
    pub(crate) rises_in: Option<usize>,
}

/// The cheapest plan's first step. `blocks(from, to)`: how long it takes to go from one count to another, at least 1.
pub(crate) fn plan(problem: &Problem<'_>, blocks: impl Fn(usize, usize) -> usize) -> Schedule {
    let (time, nodes) = (problem.demand.len(), problem.carried.len().saturating_sub(1));
    let counts = counts(problem.now, problem.fewest.min(nodes), nodes);
    if time == 0 || counts.is_empty() {
        return Schedule { next: problem.now, rises_in: None };
    }
    let per_node = problem.carried[nodes] / nodes.max(1) as f32;
    let short: Vec<Vec<f32>> = counts.iter().map(|&count| shortage(problem, count, per_node)).collect();
    // What waiting for one block costs with each count, summed from the beginning.
    let length = |from: usize, to: usize| blocks(counts[from], counts[to]).clamp(1, time);
    let lengths: Vec<usize> = (0..counts.len() * counts.len())
        .map(|pair| (pair / counts.len(), pair % counts.len()))
        .map(|(from, to)| if from == to { 1 } else { length(from, to) })
        .collect();
    let mut cost = vec![vec![0.0_f32; counts.len()]; time + 1];
    let mut choice = vec![vec![0_usize; counts.len()]; time];
    for at in (0..time).rev() {
        for from in 0..counts.len() {
            let mut best = (f32::INFINITY, from);
            // The present count first: of plans as cheap, the one that waits.
            for to in std::iter::once(from).chain((0..counts.len()).filter(|&to| to != from)) {
                let until = (at + lengths[from * counts.len() + to]).min(time);
                let used = counts[from].max(counts[to]) as f32 * (until - at) as f32;
                let carrying = from.min(to);
                let dear = SHORTAGE * (short[carrying][until] - short[carrying][at]);
                let price = problem.price * counts[from].saturating_sub(counts[to]) as f32;
                let sum = used + dear + price + cost[until][to];
                if sum < best.0 {
                    best = (sum, to);
                }
            }
            (cost[at][from], choice[at][from]) = best;
        }
    }
    let start = counts.iter().position(|&count| count == problem.now).unwrap_or(0);
    let (mut at, mut count) = (0, start);
    let mut rises_in = None;
    while at < time && rises_in.is_none() {
        let next = choice[at][count];
        if next > count {
            rises_in = Some(at);
        }
        at += lengths[count * counts.len() + next];
        count = next;
    }
    Schedule { next: counts[choice[0][start]], rises_in }
}

/// The counts told apart, ascending, the present one among them.
fn counts(now: usize, fewest: usize, most: usize) -> Vec<usize> {
    let fewest = fewest.min(now);
    let between = most.saturating_sub(fewest);
    let mut counts: Vec<usize> = if between < MOST_COUNTS {
        (fewest..=most).collect()
    } else {
        (0..MOST_COUNTS).map(|i| fewest + i * between / (MOST_COUNTS - 1)).collect()
    };
    if let Err(at) = counts.binary_search(&now) {
        counts.insert(at, now);
    }
    counts
}

/// Load that the first `count` nodes don't carry, in nodes, summed over the blocks before each.
fn shortage(problem: &Problem<'_>, count: usize, per_node: f32) -> Vec<f32> {
    let (mut sum, carried) = (0.0, problem.carried[count]);
    let over = |load: &f32| if per_node > 0.0 { ((load - carried) / per_node).max(0.0) } else { 0.0 };
    // Fewer than are kept at least: as if nobody carried what is beyond.
    let kept = if count < problem.fewest { (problem.fewest - count) as f32 } else { 0.0 };
    let mut sums = vec![0.0];
    for load in problem.demand {
        sum += over(load) + kept;
        sums.push(sum);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten nodes that carry 10 each.
    fn next(demand: &[f32], now: usize, price: f32, blocks: usize) -> Schedule {
        let carried: Vec<f32> = (0..=10).map(|n| 10.0 * n as f32).collect();
        plan(&Problem { demand, carried: &carried, now, fewest: 2, price }, |_, _| blocks)
    }

    /// `low` until block `rise`, then `high`, for 24 blocks.
    fn rising(low: f32, high: f32, rise: usize) -> Vec<f32> {
        (0..24).map(|block| if block < rise { low } else { high }).collect()
    }

    #[test]
    fn nodes_are_added_so_long_before_the_rise_as_filling_takes() {
        for blocks in [1, 3, 5] {
            assert_eq!(next(&rising(35.0, 75.0, blocks), 4, 1.0, blocks).next, 8, "{blocks}: at the last moment");
            let early = next(&rising(35.0, 75.0, blocks + 2), 4, 1.0, blocks);
            assert_eq!(early, Schedule { next: 4, rises_in: Some(2) }, "{blocks}: not before");
        }
    }

    #[test]
    fn a_valley_is_used_if_it_is_long_enough_for_its_price() {
        let valley =
            |length: usize| -> Vec<f32> { (0..48).map(|block| if block < length { 35.0 } else { 75.0 }).collect() };
        // Eight nodes, of which four could rest; emptying and filling take two blocks each, in which all eight are used.
        assert_eq!(next(&valley(4), 8, 0.5, 2).next, 8, "there and back again takes all of it");
        assert_eq!(next(&valley(12), 8, 9.0, 2).next, 8, "eight blocks saved by a node, nine asked");
        assert_eq!(next(&valley(12), 8, 7.0, 2).next, 4);
    }

    #[test]
    fn what_fits_on_no_node_is_no_reason_to_stop() {
        assert_eq!(next(&[500.0; 6], 4, 1.0, 2).next, 10);
        assert_eq!(next(&[0.0; 24], 4, 1.0, 1).next, 2, "never below the fewest");
        assert_eq!(next(&[], 4, 1.0, 1).next, 4);
        assert_eq!(next(&[0.0; 24], 1, 1.0, 1).next, 2, "fewer than are kept at least");
    }

    #[test]
    fn of_many_nodes_some_counts_are_told_apart() {
        let some = counts(777, 3, 10_000);
        assert!(some.len() <= MOST_COUNTS + 1 && some.contains(&777));
        assert_eq!((some.first(), some.last()), (Some(&3), Some(&10_000)));
    }
}
