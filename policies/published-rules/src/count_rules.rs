//! Rules that count: PD's balance schedulers, CockroachDB's replicate queue.

use crate::Config;
use crate::ledger::Ledger;
use placing_kit::Step;

/// How many more than the mean are too many at least: with few ranges a part of the mean is less than one.
const LEAST_OVER: f32 = 2.0;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Leaders,
    Replicas,
}

/// Leaders, then replicas, from the store with most to the store with fewest, while they differ by more than the tolerance.
pub(crate) fn balance_schedulers(config: &Config, ledger: &mut Ledger<'_>) {
    // Two apart, the two would only change places.
    let tolerance = config.leader_tolerance.max(1.0);
    for counted in [Counted::Leaders, Counted::Replicas] {
        balance(ledger, counted, |more, fewer, _| more - fewer > tolerance);
    }
}

/// The same while the store with most is above the mean by the threshold.
pub(crate) fn replicate_queue(config: &Config, ledger: &mut Ledger<'_>) {
    for counted in [Counted::Replicas, Counted::Leaders] {
        balance(ledger, counted, |more, fewer, mean| {
            more > mean + (config.count_threshold * mean).max(LEAST_OVER) && more - fewer > 1.0
        });
    }
}

fn balance(ledger: &mut Ledger<'_>, counted: Counted, is_uneven: impl Fn(f32, f32, f32) -> bool) {
    while ledger.has_room() {
        let counts = match counted {
            Counted::Leaders => &ledger.leaders,
            Counted::Replicas => &ledger.replicas,
        };
        let mean = ledger.mean(counts);
        let mut stores = ledger.up.clone();
        stores.sort_by(|&a, &b| counts[b].total_cmp(&counts[a]).then(a.cmp(&b)));
        let pairs = stores.iter().flat_map(|&from| stores.iter().rev().map(move |&to| (from, to)));
        let found = pairs
            .filter(|&(from, to)| is_uneven(counts[from], counts[to], mean))
            .find_map(|(from, to)| step(ledger, counted, from, to).map(|step| (step, from, to)));
        let Some((step, from, to)) = found else { return };
        let (name, target) = (ledger.board.node_name(from), ledger.board.node_name(to));
        let what = match counted {
            Counted::Leaders => "leads",
            Counted::Replicas => "holds",
        };
        let reason = format!("{name} {what} {:.0}, {target} {:.0}", counts[from], counts[to]);
        ledger.propose(step, from, to, reason);
    }
}

/// Something that goes from one store to another: leadership to a follower there, or a replica, followers first.
fn step(ledger: &Ledger<'_>, counted: Counted, from: usize, to: usize) -> Option<Step> {
    let steps = ledger.held(from).filter_map(|(shard, slot)| match counted {
        Counted::Replicas => Some(Step::Relocate { shard, slot, target: to }),
        Counted::Leaders if slot == 0 => {
            let slot = ledger.board.replicas(shard).iter().position(|&node| node == to)?;
            Some(Step::Lead { shard, slot })
        }
        Counted::Leaders => None,
    });
    let leads = |step: &Step| match step {
        Step::Relocate { slot, .. } => *slot == 0,
        Step::Lead { .. } => false,
    };
    steps.filter(|&step| ledger.board.allows(step)).min_by_key(|step| (leads(step), step.shard()))
}
