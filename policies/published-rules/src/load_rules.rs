//! Rules that look at load: CockroachDB's store rebalancer, PD's hot region scheduler.

use crate::Config;
use crate::ledger::Ledger;
use placing_kit::Step;

/// A range that is more than this part of its store's load is left alone: it would only make another store the hot one.
const MOST_OF_A_STORE: f32 = 0.5;
/// A range that is less than this part of its store's load is not worth a move.
const LEAST_OF_A_STORE: f32 = 0.001;

/// Between which loads stores are neither overfull nor underfull.
struct Band {
    overfull: f32,
    mean: f32,
}

/// While a store is overfull: leases of its hottest ranges first, then replicas, to stores below the mean, as long as they do not become overfull.
pub(crate) fn store_rebalancer(config: &Config, ledger: &mut Ledger<'_>) {
    let mean = ledger.mean(&ledger.load);
    let band = Band { overfull: mean + (config.load_threshold * mean).max(config.min_difference), mean };
    let mut stores = ledger.up.clone();
    stores.sort_by(|&a, &b| ledger.load[b].total_cmp(&ledger.load[a]).then(a.cmp(&b)));
    for store in stores {
        for leases in [true, false] {
            // A range's load counts where its lease is.
            let mut hottest: Vec<(usize, usize)> = ledger.held(store).filter(|&(_, slot)| slot == 0).collect();
            hottest.sort_by(|a, b| ledger.shard_load(b.0).total_cmp(&ledger.shard_load(a.0)).then(a.cmp(b)));
            for (shard, slot) in hottest {
                if !ledger.has_room() || ledger.load[store] <= band.overfull {
                    break;
                }
                shed(ledger, &band, store, shard, slot, leases);
            }
        }
    }
}

/// One range's lease, or replica, to the store with the least load of those that may take it.
fn shed(ledger: &mut Ledger<'_>, band: &Band, store: usize, shard: usize, slot: usize, lease: bool) {
    let steps: Vec<(Step, usize)> = if lease {
        let replicas = ledger.board.replicas(shard);
        replicas.iter().enumerate().skip(1).map(|(slot, &to)| (Step::Lead { shard, slot }, to)).collect()
    } else {
        ledger.up.iter().map(|&target| (Step::Relocate { shard, slot, target }, target)).collect()
    };
    let fits = |&(step, to): &(Step, usize)| {
        let (amount, from) = (ledger.amount(step), ledger.load[store]);
        amount <= MOST_OF_A_STORE * from
            && amount > LEAST_OF_A_STORE * from
            && ledger.load[to] < band.mean
            && ledger.load[to] + amount <= band.overfull
            && ledger.load[to] + amount < from
            && ledger.board.allows(step)
    };
    let best =
        steps.into_iter().filter(fits).min_by(|a, b| ledger.load[a.1].total_cmp(&ledger.load[b.1]).then(a.1.cmp(&b.1)));
    let Some((step, to)) = best else { return };
    let (name, target) = (ledger.board.node_name(store), ledger.board.node_name(to));
    let reason =
        format!("{name} carries {:.0}, the mean is {:.0}; {target} is below it", ledger.load[store], band.mean);
    ledger.propose(step, store, to, reason);
}

/// A store above the tolerance gives its hottest leader, else its hottest replica, to the store with the least load that is as far below the mean.
pub(crate) fn hot_region_scheduler(config: &Config, ledger: &mut Ledger<'_>) {
    let mean = ledger.mean(&ledger.load);
    let mut done = vec![false; ledger.board.nodes()];
    while ledger.has_room() {
        let sources =
            ledger.up.iter().copied().filter(|&store| !done[store] && ledger.load[store] > config.hot_tolerance * mean);
        let Some(store) = sources.max_by(|&a, &b| ledger.load[a].total_cmp(&ledger.load[b]).then(b.cmp(&a))) else {
            break;
        };
        let best = [true, false].into_iter().find_map(|leaders| hottest(config, ledger, store, mean, leaders));
        let Some((step, to)) = best else {
            done[store] = true;
            continue;
        };
        let (name, target) = (ledger.board.node_name(store), ledger.board.node_name(to));
        let reason = format!("{name} carries {:.0}, the mean is {mean:.0}; {target} is below it", ledger.load[store]);
        ledger.propose(step, store, to, reason);
    }
}

/// The hottest of what a store may give, and to whom.
fn hottest(config: &Config, ledger: &Ledger<'_>, store: usize, mean: f32, leaders: bool) -> Option<(Step, usize)> {
    let mut best: Option<(f32, Step, usize)> = None;
    for (shard, slot) in ledger.held(store) {
        let followers = ledger.board.replicas(shard).iter().copied().enumerate().skip(1);
        let steps: Vec<(Step, usize)> = match leaders {
            true if slot == 0 => followers.map(|(slot, to)| (Step::Lead { shard, slot }, to)).collect(),
            true => continue,
            false => ledger.up.iter().map(|&target| (Step::Relocate { shard, slot, target }, target)).collect(),
        };
        for (step, to) in steps {
            let amount = ledger.amount(step);
            // The fuller of the two must be less full afterwards.
            let helps = amount > 0.0
                && ledger.load[to] * config.hot_tolerance < mean
                && ledger.load[to] + amount < ledger.load[store];
            let better = best.is_none_or(|(most, _, old)| (amount, -ledger.load[to]) > (most, -ledger.load[old]));
            if helps && better && ledger.board.allows(step) {
                best = Some((amount, step, to));
            }
        }
    }
    best.map(|(_, step, to)| (step, to))
}
