//! What an assessment promises, with first-party policies compiled natively: it finds what was planted, and does not find what was not.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use forecasting_kit::SeriesModel;
use isobar_model::{Action, ClusterView, ForecastBatch, ForecastRequest, LoadBatch, Move, Plan, ShardId};
use isobar_ports::{Forecaster, Placer, PolicyFailure, Usage};
use isobar_sim::{
    Arm, AssessError, AssessPolicies, AssessSpec, Assessment, Findings, MakePlacer, Pays, SeedOutcome, UnitLoad,
};
use placing_kit::PlacementPolicy;
use predictive::Predictive;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reactive::Reactive;
use seasonal_naive::SeasonalNaive;
use std::sync::Arc;

struct NativeForecaster<M: SeriesModel>(forecasting_kit::Forecaster<M>);

fn failed(failure: impl ToString) -> PolicyFailure {
    PolicyFailure::Policy(failure.to_string())
}

impl<M: SeriesModel> Forecaster for NativeForecaster<M>
where
    forecasting_kit::Forecaster<M>: Send,
{
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        self.0.observe(batch).map_err(failed)
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        self.0.predict(request).map_err(failed)
    }

    fn forget(&mut self, _: &[ShardId]) -> Result<(), PolicyFailure> {
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

struct NativePlacer<P>(P);

impl<P: PlacementPolicy + Send> Placer for NativePlacer<P> {
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure> {
        self.0.propose(view).map_err(failed)
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

fn policies() -> AssessPolicies {
    let predictive = |config: &'static str| -> MakePlacer {
        Arc::new(move || Ok(Box::new(NativePlacer(Predictive::new(config).map_err(failed)?))))
    };
    AssessPolicies {
        forecaster: Arc::new(|| Ok(Box::new(NativeForecaster(SeasonalNaive::new("").map_err(failed)?)))),
        reactive: Arc::new(|| Ok(Box::new(NativePlacer(Reactive::new("").map_err(failed)?)))),
        predictive: predictive(""),
        clairvoyant: predictive(r#"{"transfer_price_s": 1, "move_price_s": 2, "allowance": 1000}"#),
    }
}

fn unit(name: usize, values: Vec<f32>) -> UnitLoad {
    UnitLoad { name: name.to_string(), values, max_parts: 1, bytes: Some(1_000) }
}

fn spec(headroom: f64, lead: usize, seeds: u64) -> AssessSpec {
    AssessSpec { headrooms: vec![headroom], leads: vec![lead], seeds: (1..=seeds).collect(), ..AssessSpec::default() }
}

fn found(units: &[UnitLoad], step_ms: u32, spec: AssessSpec) -> Findings {
    let assessment = Assessment::new(units, step_ms, spec, policies()).unwrap();
    let outcomes: Vec<SeedOutcome> = assessment.spec().seeds.iter().map(|seed| run(&assessment, *seed)).collect();
    assessment.conclude(&outcomes)
}

fn run(assessment: &Assessment, seed: u64) -> SeedOutcome {
    let mut run = assessment.begin(seed).unwrap();
    while run.step().unwrap() {}
    run.outcome()
}

const HALF_HOUR_MS: u32 = 1_800_000;

/// Units that rise and fall each day, each at an hour of its own, which changes every six days: a placement packed on history is soon of
/// yesterday, and yesterday tells the hour of today. Half-hour steps.
fn waves(units: usize, days: usize, seed: u64) -> Vec<UnitLoad> {
    let mut rng = StdRng::seed_from_u64(seed);
    let phases: Vec<Vec<f32>> =
        (0..units).map(|_| (0..=days / 6).map(|_| rng.random_range(0.0..1.0)).collect()).collect();
    let weights: Vec<f32> = (0..units).map(|_| rng.random_range(0.5..2.0)).collect();
    let load = |at: usize, step: usize| {
        let day = step as f32 / 48.0 + phases[at][step / 48 / 6];
        weights[at] * (50.0 + 45.0 * (day * std::f32::consts::TAU).sin())
    };
    (0..units).map(|at| unit(at, (0..days * 48).map(|step| load(at, step)).collect())).collect()
}

#[test]
fn where_moves_take_hours_a_daily_wave_is_worth_forecasting() {
    let findings = found(&waves(36, 18, 3), HALF_HOUR_MS, spec(1.15, 6, 2));
    let cell = &findings.cells[0];
    let told = format!("{:?} {:?} {:#?}", cell.gain_pct, cell.skill_pct, cell.arms);
    assert!(cell.gainable_pct.mid > 50.0, "{told}");
    assert!(cell.skill_pct.unwrap().mid > 30.0 && cell.gain_pct.mid > 20.0, "{told}");
    assert!(cell.avoided_pct.unwrap().mid > 30.0, "{told}");
    assert!(findings.verdict.sentence.contains("would have removed"), "{}", findings.verdict.sentence);
    // The bytes of what was moved are known.
    let moved = cell.arm(Arm::Predictive).unwrap();
    assert!(moved.moves.mid > 0.0 && moved.moved_bytes.unwrap().mid <= moved.moves.mid * 1_000.0, "{told}");
}

#[test]
fn a_random_walk_is_not_said_to_be_worth_it_and_costs_little() {
    let mut rng = StdRng::seed_from_u64(11);
    let units: Vec<UnitLoad> = (0..36)
        .map(|at| {
            let mut level = 50.0_f32;
            unit(
                at,
                (0..12 * 48)
                    .map(|_| {
                        level = (level + rng.random_range(-4.0..4.0)).clamp(5.0, 200.0);
                        level
                    })
                    .collect(),
            )
        })
        .collect();
    let findings = found(&units, HALF_HOUR_MS, spec(1.2, 6, 3));
    let cell = &findings.cells[0];
    let told = format!(
        "{:?} {:#?}",
        cell.gain_pct,
        cell.arms.iter().map(|a| (a.arm, a.overload_node_s, a.moves)).collect::<Vec<_>>()
    );
    // What it says it may lose, it says: the interval holds the figure, and the verdict follows the interval.
    assert!(cell.gain_pct.low <= cell.gain_pct.mid && cell.gain_pct.mid <= cell.gain_pct.high, "{told}");
    assert!(cell.gain_pct.mid > -10.0, "{told}");
    assert_eq!(cell.pays == Pays::Yes, cell.gain_pct.low > 0.0 && cell.gainable_pct.mid >= 5.0, "{told}");
}

#[test]
fn an_even_load_has_nothing_to_gain() {
    let units: Vec<UnitLoad> = (0..24).map(|at| unit(at, vec![10.0; 240])).collect();
    let findings = found(&units, 300_000, spec(1.3, 1, 2));
    assert_eq!(findings.cells[0].pays, Pays::NoOverload);
    assert!(findings.cells[0].skill_pct.is_none());
    assert_eq!(findings.cells[0].arm(Arm::Predictive).unwrap().moves.high, 0.0);
    assert!(findings.verdict.sentence.contains("no overload"), "{}", findings.verdict.sentence);
}

/// Proposes nothing.
struct Still;

impl Placer for Still {
    fn propose(&mut self, _: &ClusterView) -> Result<Plan, PolicyFailure> {
        Ok(Plan::default())
    }
    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// Moves two shards a round, whichever, wherever to.
struct Restless(StdRng);

impl Placer for Restless {
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure> {
        let mut pick = |from: usize| self.0.random_range(0..from);
        let moves = (0..2).map(|_| {
            let (shard, target) = (pick(view.shards.ids.len()), view.nodes.ids[pick(view.nodes.ids.len())]);
            let source = view.nodes.ids[view.shards.replicas_of(shard)[0] as usize];
            Move {
                shard: view.shards.ids[shard],
                action: Action::MoveReplica { source, target },
                urgency: 1.0,
                start_by: view.now,
                gain: 1e9,
                reason: "as good a node as any".into(),
            }
        });
        Ok(Plan { moves: moves.collect(), notes: Vec::new() })
    }
    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// A policy has to move, and for a reason: by the figures that `predictive` is judged by, planted ones that do not are told apart.
#[test]
fn policies_that_never_move_or_move_without_gain_have_no_skill() {
    let judged = |placer: MakePlacer| {
        let policies = AssessPolicies { predictive: placer, ..policies() };
        let assessment = Assessment::new(&waves(36, 18, 3), HALF_HOUR_MS, spec(1.15, 6, 2), policies).unwrap();
        let outcomes: Vec<SeedOutcome> = assessment.spec().seeds.iter().map(|seed| run(&assessment, *seed)).collect();
        assessment.conclude(&outcomes)
    };
    let still = judged(Arc::new(|| Ok(Box::new(Still))));
    let restless = judged(Arc::new(|| Ok(Box::new(Restless(StdRng::seed_from_u64(5))))));
    for (name, findings) in [("still", &still), ("restless", &restless)] {
        let cell = &findings.cells[0];
        let told = format!("{name}: {:?} {:#?}", cell.skill_pct, cell.arms);
        assert!(cell.skill_pct.unwrap().mid <= 0.0 && cell.gain_pct.mid <= 0.0, "{told}");
        assert!(!matches!(cell.pays, Pays::Yes), "{told}");
    }
    let moves = |findings: &Findings, arm| findings.cells[0].arm(arm).unwrap().moves.mid;
    assert_eq!(moves(&still, Arm::Predictive), 0.0);
    assert!(moves(&restless, Arm::Predictive) > 2.0 * moves(&restless, Arm::Reactive));
}

/// Runs that share their forecasts come to what they come to alone.
#[test]
fn starts_run_together_are_as_if_alone() {
    let assessment = Assessment::new(&waves(12, 6, 1), HALF_HOUR_MS, spec(1.3, 1, 2), policies()).unwrap();
    let alone: Vec<SeedOutcome> = [1, 2].map(|seed| run(&assessment, seed)).into();
    let mut together = assessment.begin_together(&[1, 2]).unwrap();
    while together.iter_mut().fold(false, |goes_on, run| run.step().unwrap() | goes_on) {}
    let together: Vec<SeedOutcome> = together.into_iter().map(|run| run.outcome()).collect();
    assert_eq!(alone, together);
}

#[test]
fn threads_change_nothing() {
    let assessment = Assessment::new(&waves(12, 6, 1), HALF_HOUR_MS, spec(1.3, 1, 2), policies()).unwrap();
    let one: Vec<SeedOutcome> = [1, 2].map(|seed| run(&assessment, seed)).into();
    let two: Vec<SeedOutcome> = std::thread::scope(|scope| {
        let runs = [1, 2].map(|seed| {
            scope.spawn({
                let assessment = &assessment;
                move || run(assessment, seed)
            })
        });
        runs.map(|run| run.join().unwrap()).into()
    });
    assert_eq!(assessment.conclude(&one), assessment.conclude(&two));
}

#[test]
fn what_can_not_be_assessed_is_refused_with_what_to_do() {
    let refused = |units: &[UnitLoad], spec: AssessSpec| Assessment::new(units, 300_000, spec, policies()).unwrap_err();
    let short = refused(&[unit(0, vec![1.0; 30])], AssessSpec::default());
    assert!(matches!(short, AssessError::TooShort { .. }) && short.to_string().contains("record longer"), "{short}");
    let idle = refused(&[unit(0, vec![0.0; 300])], AssessSpec::default());
    assert!(idle.to_string().contains("no load"), "{idle}");
    for (spec, word) in [
        (AssessSpec { nodes: 1, ..AssessSpec::default() }, "nodes"),
        (AssessSpec { headrooms: vec![f64::NAN], ..AssessSpec::default() }, "headrooms"),
        (AssessSpec { leads: vec![0], ..AssessSpec::default() }, "lead"),
        (AssessSpec { seeds: vec![], ..AssessSpec::default() }, "starts"),
    ] {
        assert!(refused(&[unit(0, vec![1.0; 300])], spec).to_string().contains(word), "{word}");
    }
    let many: Vec<UnitLoad> = (0..2_000).map(|at| unit(at, vec![1.0; 120])).collect();
    assert!(refused(&many, AssessSpec::default()).to_string().contains("put units together"));
}

/// What can be split is, as far as its hottest key allows.
#[test]
fn large_units_are_split_as_far_as_they_can_be() {
    let sized = |max_parts| UnitLoad { max_parts, ..unit(0, vec![100.0; 300]) };
    let facts =
        |units: &[UnitLoad]| Assessment::new(units, 300_000, spec(1.0, 1, 1), policies()).unwrap().facts().clone();
    let split = facts(&[sized(usize::MAX)]);
    // A node carries a sixth, a shard 15 % of that: 40 parts.
    assert_eq!((split.shards, split.split_units, split.unsplittable_units), (40, 1, 0));
    let hot = facts(&[sized(3)]);
    assert_eq!((hot.shards, hot.unsplittable_units), (3, 1));
}
