//! Queries counted exactly, with all the memory it takes, to hold the sketches against.

use isobar_analyzer::stream::{LOAD_METRICS, LoadMilli, Operation, QueryEvent, QueryStream, QueryStreamSpec, Sharding};
use isobar_model::{InstantMs, LoadBatch, LoadWeights, Metric, Partitioning};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A query that owns its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) at_ms: u64,
    pub(crate) operation: Operation,
    pub(crate) key: Vec<u8>,
    pub(crate) bytes: u64,
}

impl Query {
    pub(crate) fn event(&self) -> QueryEvent<'_> {
        QueryEvent {
            at: InstantMs(self.at_ms),
            operation: self.operation,
            key: &self.key,
            bytes: self.bytes,
            latency_us: None,
        }
    }
}

/// How far the sketches are from the exact counts, over all shards.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    /// Steps of shards and metrics that were compared, and those whose load differs by more than a rounding.
    pub(crate) cells: usize,
    pub(crate) wrong_cells: usize,
    /// Shards whose operations differ in count or bytes.
    pub(crate) wrong_mixes: usize,
    /// Exact share left of "split here": the worst distance from a half, and that of the best cut there is in the same shard.
    pub(crate) split_worst: f64,
    pub(crate) split_best_possible: f64,
    /// The mean and worst of what a split is worse than the best cut of its shard.
    pub(crate) split_excess_mean: f64,
    pub(crate) split_excess_worst: f64,
    /// Cuts whose exact share lies outside what they state.
    pub(crate) cuts_out_of_bounds: usize,
    /// Of the 20 keys told to be the hottest of all, those that are (as hot as the 20th).
    pub(crate) top20: usize,
    /// Keys above 1/144 of their shard's load, and those found.
    pub(crate) heavy: usize,
    pub(crate) heavy_found: usize,
    /// Heavy hitters whose exact load lies outside what is stated.
    pub(crate) hitters_out_of_bounds: usize,
    /// Estimated against exact number of keys: mean and worst relative error.
    pub(crate) distinct_mean: f64,
    pub(crate) distinct_worst: f64,
}

const ONE_OF: u64 = isobar_analyzer::stream::HITTERS as u64;

/// Feeds a stream, counts exactly, and compares.
pub(crate) fn compare(queries: &[Query], sharding: &Sharding, step_ms: u32) -> Errors {
    let mut stream = QueryStream::new(QueryStreamSpec {
        sharding: sharding.clone(),
        step_ms,
        lateness_ms: 0,
        gap_ms: u64::from(step_ms) * 360,
        ahead_ms: 7 * 86_400_000,
        weights: LoadWeights::default(),
        sample_rate: 1.0,
        profiles: true,
    });
    let mut batches: Vec<LoadBatch> = Vec::new();
    queries.iter().for_each(|query| stream.record(&query.event(), &mut |batch| batches.push(batch)));
    stream.finish(&mut |batch| batches.push(batch));
    assert_eq!(stream.dropped(), Default::default());

    let mut errors = Errors::default();
    compare_load(queries, sharding, step_ms, &batches, &mut errors);
    compare_profiles(queries, &stream, &mut errors);
    errors
}

/// The shard of a key, by the store's own internal key and a search that takes its time.
fn place(sharding: &Sharding, key: &[u8]) -> usize {
    let internal = sharding.partitioning().internal_key(key);
    // The first shard begins with the empty key, so one is always found.
    (0..sharding.shards().len()).rev().find(|at| sharding.start(*at) <= &internal[..]).unwrap_or(0)
}

fn compare_load(queries: &[Query], sharding: &Sharding, step_ms: u32, batches: &[LoadBatch], errors: &mut Errors) {
    let step_ms = u64::from(step_ms);
    let mut exact = BTreeMap::<(Metric, usize, u64), f64>::new();
    for query in queries {
        let (at, step) = (place(sharding, &query.key), query.at_ms / step_ms);
        let write = query.operation.is_write();
        let (ops, bytes) =
            if write { (Metric::WriteOps, Metric::WriteBytes) } else { (Metric::ReadOps, Metric::ReadBytes) };
        *exact.entry((Metric::Load, at, step)).or_default() += if write { 2.0 } else { 1.0 };
        *exact.entry((ops, at, step)).or_default() += 1.0;
        *exact.entry((bytes, at, step)).or_default() += query.bytes as f64;
    }
    // The two ends are covered in part; the steps between are whole.
    let (first, last) = (queries[0].at_ms / step_ms, queries[queries.len() - 1].at_ms / step_ms);
    let mut given = HashSet::new();
    for batch in batches {
        for at in 0..batch.shards.len() {
            for (i, value) in batch.row(at).iter().enumerate() {
                let step = batch.start.0 / step_ms + i as u64;
                if step <= first || step >= last {
                    continue;
                }
                let counted = exact.get(&(batch.metric, at, step)).copied().unwrap_or(0.0);
                let rate = counted / (step_ms as f64 / 1000.0);
                errors.cells += 1;
                errors.wrong_cells += usize::from((f64::from(*value) - rate).abs() > rate * 1e-6);
                given.insert((batch.metric, at, step));
            }
        }
    }
    let whole = exact.keys().filter(|(_, _, step)| *step > first && *step < last);
    errors.wrong_cells += whole.filter(|cell| !given.contains(*cell)).count();
    assert_eq!(LOAD_METRICS.len(), 5);
}

fn compare_profiles(queries: &[Query], stream: &QueryStream, errors: &mut Errors) {
    let sharding = stream.sharding();
    let milli = LoadMilli::new(&LoadWeights::default());
    let mut by_shard: Vec<Vec<&Query>> = vec![Vec::new(); sharding.shards().len()];
    queries.iter().for_each(|query| by_shard[place(sharding, &query.key)].push(query));
    let mut all = HashMap::<&[u8], u64>::new();
    let mut told = Vec::new();
    let (mut splits, mut counted) = (0, 0);
    for (shard, profile) in by_shard.iter().zip(stream.profiles()) {
        let mut weights = BTreeMap::<Vec<u8>, (u64, &[u8])>::new();
        let mut mix = [(0, 0); Operation::ALL.len()];
        for query in shard {
            let internal = sharding.partitioning().internal_key(&query.key).to_vec();
            let weight = milli.of(query.operation);
            weights.entry(internal).or_insert((0, &query.key)).0 += weight;
            *all.entry(&query.key).or_default() += weight;
            mix[query.operation.number()].0 += 1;
            mix[query.operation.number()].1 += query.bytes;
        }
        let differs = Operation::ALL.into_iter().any(|operation| {
            let totals = profile.mix.of(operation);
            (totals.count, totals.bytes) != mix[operation.number()]
        });
        errors.wrong_mixes += usize::from(differs);
        let total: u64 = weights.values().map(|(weight, _)| weight).sum();
        if total == 0 {
            continue;
        }
        let left_of = |boundary: &[u8]| -> f64 {
            weights.range(..boundary.to_vec()).map(|(_, (weight, _))| weight).sum::<u64>() as f64 / total as f64
        };
        for cut in profile.keys.cuts(8).into_iter().chain(profile.keys.cut(0.5)) {
            let off = (left_of(&cut.boundary) - cut.left_share).abs();
            errors.cuts_out_of_bounds += usize::from(off > cut.error_share + 1e-9);
        }
        if let Some(cut) = profile.keys.cut(0.5) {
            let off = (left_of(&cut.boundary) - 0.5).abs();
            let (mut before, mut best) = (0, 0.5f64);
            for (weight, _) in weights.values() {
                before += weight;
                best = best.min((before as f64 / total as f64 - 0.5).abs());
            }
            splits += 1;
            if off > errors.split_worst {
                (errors.split_worst, errors.split_best_possible) = (off, best);
            }
            errors.split_excess_mean += off - best;
            errors.split_excess_worst = errors.split_excess_worst.max(off - best);
        }
        let hitters = profile.hitters.top(usize::MAX);
        for hitter in &hitters {
            let weight = shard_weight(&weights, sharding.partitioning(), &hitter.key.bytes());
            errors.hitters_out_of_bounds += usize::from(hitter.at_least > weight || weight > hitter.at_most);
            told.push((hitter.at_most, hitter.key.bytes()));
        }
        let found: HashSet<Vec<u8>> = hitters.iter().map(|hitter| hitter.key.bytes()).collect();
        for (_, key) in weights.values().filter(|(weight, _)| weight * ONE_OF > total) {
            errors.heavy += 1;
            errors.heavy_found += usize::from(found.contains(*key));
        }
        let off = (profile.distinct.estimate() / weights.len() as f64 - 1.0).abs();
        counted += 1;
        errors.distinct_mean += off;
        errors.distinct_worst = errors.distinct_worst.max(off);
    }
    errors.split_excess_mean /= splits.max(1) as f64;
    errors.distinct_mean /= counted.max(1) as f64;
    let mut exact: Vec<u64> = all.values().copied().collect();
    exact.sort_unstable_by(|a, b| b.cmp(a));
    let twentieth = exact[exact.len().min(20) - 1];
    told.sort_unstable_by(|a, b| b.cmp(a));
    errors.top20 = told.iter().take(20).filter(|(_, key)| all[key.as_slice()] >= twentieth).count();
}

fn shard_weight(weights: &BTreeMap<Vec<u8>, (u64, &[u8])>, partitioning: Partitioning, key: &[u8]) -> u64 {
    weights.get(&partitioning.internal_key(key)[..]).map_or(0, |(weight, _)| *weight)
}
