//! Promise 6: same input, same state, same artifact, same fuel: same bytes out. And what else every first-party policy keeps: it goes on
//! from its save as if nothing had happened, and answers as its native core does.

#![expect(clippy::unwrap_used, reason = "a test that can not set up its host has failed")]

use isobar::track_run::tool_host;
use isobar_bundle::{FirstParty, first_party};
use isobar_model::{
    ClusterView, Digest, ForecastBatch, ForecastRequest, InstantMs, KeyspaceId, LoadBatch, Metric, NodeColumns, NodeId,
    NodeState, PlacementLimits, Plan, Resource, Role, Scenarios, ShardColumns, ShardId, ZoneId,
};
use isobar_ports::{Forecaster, PolicyHost};

const STEP_MS: u32 = 300_000;
const DAY: u32 = 288;
const SHARDS: u64 = 20;
/// A Monday, 00:00 UTC.
const START_MS: u64 = 1_789_948_800_000;

fn of_role(role: Role) -> impl Iterator<Item = &'static FirstParty> {
    first_party().iter().filter(move |policy| policy.role == role)
}

/// A daily wave for each shard, with a ripple, a trend and holes.
fn load(shard: u64, step: u32) -> f32 {
    if (u64::from(step) * 31 + shard * 17).is_multiple_of(97) {
        return f32::NAN;
    }
    let phase = (step % DAY) as f32 / DAY as f32 + shard as f32 / SHARDS as f32;
    let ripple = ((u64::from(step) * 7919 + shard * 104_729) % 100) as f32 / 50.0;
    20.0 + 15.0 * (phase * std::f32::consts::TAU).sin() + ripple + step as f32 / 1_000.0
}

fn batch(first: u32, steps: u32) -> LoadBatch {
    let shards: Vec<_> = (1..=SHARDS).map(ShardId).collect();
    let values = shards.iter().flat_map(|shard| (first..first + steps).map(|step| load(shard.0, step))).collect();
    let start = InstantMs(START_MS + u64::from(first) * u64::from(STEP_MS));
    LoadBatch { metric: Metric::Load, start, step_ms: STEP_MS, steps, shards, values }
}

fn request() -> ForecastRequest {
    ForecastRequest {
        metric: Metric::Load,
        shards: (1..=SHARDS).map(ShardId).collect(),
        horizon: 12,
        quantiles: vec![0.1, 0.5, 0.9],
        peak_steps: 6,
    }
}

/// Nine days of history in one batch, then ticks, each with a forecast.
fn run(forecaster: &mut dyn Forecaster, first_tick: u32, ticks: u32) -> Vec<ForecastBatch> {
    (first_tick..first_tick + ticks)
        .map(|step| {
            forecaster.observe(&batch(step, 1)).unwrap();
            forecaster.predict(&request()).unwrap()
        })
        .collect()
}

fn bits(forecasts: &[ForecastBatch]) -> Vec<u32> {
    forecasts
        .iter()
        .flat_map(|forecast| forecast.values.iter().chain(&forecast.peaks))
        .map(|value| value.to_bits())
        .collect()
}

/// Eight shards of which most lead on the first of four nodes, and a fifth node being drained.
fn view(seed: u32) -> ClusterView {
    let (nodes, shards, steps) = (5, 8, 6);
    let quantiles = vec![0.1, 0.5, 0.9];
    let replicas: Vec<u32> = (0..shards as u32).flat_map(|i| [i % 5 / 4 * 4, 1 + i % 3, 4 - i % 5 / 4 * 3]).collect();
    let predicted = (0..shards)
        .flat_map(|shard| [0.8, 1.0, 1.3].map(move |q| (shard, q)))
        .flat_map(|(shard, q)| (0..steps).map(move |step| q * (10.0 + shard as f32 + step as f32)))
        .collect();
    ClusterView {
        now: InstantMs(START_MS),
        step_ms: STEP_MS,
        steps: steps as u32,
        quantiles,
        nodes: NodeColumns {
            ids: (1..=nodes).map(NodeId).collect(),
            zones: (1..=nodes as u32).map(ZoneId).collect(),
            states: [vec![NodeState::Up; 4], vec![NodeState::Draining]].concat(),
            capacity: vec![60.0; 5],
            load: vec![90.0, 20.0, 20.0, 20.0, 20.0],
            background: vec![0.0; 5 * steps],
            used_bytes: vec![1 << 28; 5],
            capacity_bytes: vec![1 << 34; 5],
            labels: Vec::new(),
        },
        shards: ShardColumns {
            ids: (1..=shards as u64).map(ShardId).collect(),
            keyspaces: vec![KeyspaceId(1); shards],
            bytes: vec![1 << 24; shards],
            leader_load: (0..shards).map(|shard| 10.0 + shard as f32).collect(),
            follower_share: vec![0.2; shards],
            predicted,
            replica_offsets: (0..=shards as u32).map(|i| i * 3).collect(),
            replicas,
            last_moved: vec![InstantMs(0); shards],
            move_steps: vec![2.0; shards],
            move_cost: vec![0.0; shards],
        },
        moving: vec![],
        limits: PlacementLimits {
            moves_per_node: 2,
            moves_per_round: 8,
            cool_down_ms: 0,
            max_utilisation: 0.9,
            leader_steps: 0.1,
        },
        placement: Vec::new(),
        resources: Vec::new(),
        scenarios: None,
        seed,
    }
}

#[test]
fn every_first_party_policy_describes_itself_as_it_is_listed() {
    let (host, _folder) = tool_host().unwrap();
    let names: Vec<_> = first_party().iter().map(|policy| policy.name).collect();
    assert_eq!(
        names,
        [
            "arima",
            "best",
            "consolidate",
            "holt-winters",
            "lstm",
            "pooled",
            "predictive",
            "prophet",
            "published-rules",
            "reactive",
            "seasonal-naive",
            "spar",
            "spread"
        ]
    );
    for policy in first_party() {
        let inspection = host.inspect(policy.component).unwrap();
        assert_eq!((&*inspection.description.name, inspection.role), (policy.name, policy.role));
        let ours = |name: &String| name.starts_with("isobar:policy/");
        assert!(inspection.imports.iter().all(ours), "{} imports {:?}", policy.name, inspection.imports);
    }
}

/// A revision is named by the digest of its bytes: the same sources must give the same, wherever they lie.
#[test]
fn no_component_knows_the_folder_it_was_built_in() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_str().unwrap().as_bytes();
    for policy in first_party() {
        assert!(!policy.component.windows(here.len()).any(|bytes| bytes == here), "{}", policy.name);
    }
}

#[test]
fn promise_6_forecasters_give_the_same_bytes_and_burn_the_same_fuel() {
    let (host, _folder) = tool_host().unwrap();
    for policy in of_role(Role::Forecast) {
        let digest = host.inspect(policy.component).unwrap().digest;
        let once = || {
            let mut forecaster = host.forecaster(&digest, "{}", None).unwrap();
            forecaster.observe(&batch(0, 9 * DAY)).unwrap();
            let forecasts = run(&mut *forecaster, 9 * DAY, 5);
            let fuel = forecaster.usage().fuel;
            (bits(&forecasts), fuel, forecaster.save().unwrap())
        };
        assert_eq!(once(), once(), "{}", policy.name);
    }
}

#[test]
fn promise_6_placers_give_the_same_bytes_and_burn_the_same_fuel() {
    let (host, _folder) = tool_host().unwrap();
    for policy in of_role(Role::Place) {
        let digest = host.inspect(policy.component).unwrap().digest;
        let once = |seed| -> (Plan, u64) {
            let mut placer = host.placer(&digest, "{}", None).unwrap();
            let plan = placer.propose(&view(seed)).unwrap();
            let again = placer.propose(&view(seed)).unwrap();
            assert_eq!(plan, again, "{}: an instance that has answered before", policy.name);
            (plan, placer.usage().fuel)
        };
        assert_eq!(once(1), once(1), "{}", policy.name);
        assert!(
            !once(1).0.moves.is_empty(),
            "{} leaves an overloaded node and a draining one as they are",
            policy.name
        );
    }
}

#[test]
fn a_forecaster_opened_from_a_save_goes_on_as_the_one_that_saved() {
    let (host, _folder) = tool_host().unwrap();
    for policy in of_role(Role::Forecast) {
        let digest = host.inspect(policy.component).unwrap().digest;
        let mut first = host.forecaster(&digest, "{}", None).unwrap();
        first.observe(&batch(0, 9 * DAY)).unwrap();
        run(&mut *first, 9 * DAY, 3);
        let saved = first.save().unwrap();
        let mut second = host.forecaster(&digest, "{}", Some(&saved)).unwrap();
        assert_eq!(second.save().unwrap(), saved, "{}", policy.name);
        let (on, taken_up) = (run(&mut *first, 9 * DAY + 3, 3), run(&mut *second, 9 * DAY + 3, 3));
        assert_eq!(bits(&on), bits(&taken_up), "{}", policy.name);

        // Another's state is refused in words, not with a trap.
        let failure = host.forecaster(&digest, "{}", Some(b"another's state")).err().unwrap();
        assert!(matches!(failure, isobar_ports::PolicyFailure::Policy(_)), "{}: {failure}", policy.name);
    }
}

/// The built-in policies are the same cores: what answers after a failure is no stranger.
#[test]
fn the_built_in_policies_answer_as_their_components_do() {
    let (host, _folder) = tool_host().unwrap();
    let digest = |name: &str| -> Digest {
        let policy = first_party().iter().find(|policy| policy.name == name).unwrap();
        host.inspect(policy.component).unwrap().digest
    };
    let mut component = host.placer(&digest("reactive"), "{}", None).unwrap();
    assert_eq!(host.builtin_placer().propose(&view(1)), component.propose(&view(1)));

    let answers = |mut forecaster: Box<dyn Forecaster>| {
        forecaster.observe(&batch(0, 9 * DAY)).unwrap();
        run(&mut *forecaster, 9 * DAY, 2)
    };
    let component = answers(host.forecaster(&digest("seasonal-naive"), "{}", None).unwrap());
    let native = answers(host.builtin_forecaster());
    // Up to the last bits: exp, ln and the like are another library's natively.
    for (component, native) in component.iter().zip(&native) {
        for (a, b) in component.values.iter().chain(&component.peaks).zip(native.values.iter().chain(&native.peaks)) {
            assert!((a - b).abs() <= 1e-3 * b.abs().max(1.0), "{a} is not {b}");
        }
    }
}

/// What nodes have beside load crosses as the rest does: a component that knows the host's rule keeps to it, as its native core does.
#[test]
fn a_component_sees_what_nodes_are_short_of() {
    let (host, _folder) = tool_host().unwrap();
    let (full, free) = (short_of_cpu(0.95), short_of_cpu(0.1));
    let is_data =
        |plan: &Plan| plan.moves.iter().any(|m| m.reason.contains("draining") || m.reason.contains("drained"));
    let known = |policy: &&FirstParty| ["predictive", "reactive"].contains(&policy.name);
    for policy in of_role(Role::Place).filter(known) {
        let digest = host.inspect(policy.component).unwrap().digest;
        let propose = |view: &ClusterView| host.placer(&digest, "{}", None).unwrap().propose(view).unwrap();
        assert_eq!(propose(&full).moves, [], "{}: nobody has room for anything", policy.name);
        assert!(is_data(&propose(&free)), "{}: with room a draining node is emptied", policy.name);
    }
    assert_eq!(host.builtin_placer().propose(&full).unwrap().moves, []);
}

/// Each node has 1 000 millicores, of which all use this part without load, but the overloaded one a little less, and the draining one nothing.
/// Load takes next to nothing of it. With joint scenarios.
fn short_of_cpu(part: f32) -> ClusterView {
    let mut view = view(1);
    let (nodes, shards, steps) = (view.nodes.ids.len(), view.shards.ids.len(), view.steps as usize);
    let used: Vec<f32> = [0.96, 1.0, 1.0, 1.0, 0.0].iter().map(|times| 1_000.0 * part * times).collect();
    view.resources = vec![Resource {
        metric: Metric::CpuMillicores,
        capacity: vec![1_000.0; nodes],
        background: used.iter().flat_map(|&used| vec![used; steps]).collect(),
        used,
        leader_use: vec![0.2; shards],
        follower_use: vec![0.1; shards],
    }];
    view.scenarios = Some(Scenarios { shards: vec![0, 3], count: 2, values: vec![10.0; 4 * steps] });
    view
}
