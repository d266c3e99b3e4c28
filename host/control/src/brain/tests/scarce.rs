//! What placers see beside load: resources, joint scenarios, what moves cost.

use super::*;
use isobar_model::{NodeResource, ReplicaUse};

const DAY_STEPS: u64 = 288;

/// As [`steady`], each node with 1 000 millicores, of which it uses 100 without load; leaders take 5 a load unit, followers 1.
fn with_cpu(step: u64) -> Observation {
    let mut seen = steady(step);
    for node in &mut seen.nodes {
        node.resources.insert(Metric::CpuMillicores, NodeResource { capacity: 1_000.0, idle: 100.0 });
    }
    for shard in &mut seen.shards {
        let used = ReplicaUse { leader: 5.0 * shard.leader_load, follower: shard.leader_load };
        shard.uses.insert(Metric::CpuMillicores, used);
    }
    seen
}

#[test]
fn a_placer_sees_what_shards_take_of_a_resource_and_what_copies_cost() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    (1..4).for_each(|step| drop(brain.tick(&with_cpu(step), &rules(Mode::Auto))));
    let view = brain.last_view().unwrap();
    let [cpu] = view.resources.as_slice() else { panic!("{:?}", view.resources) };
    assert_eq!((cpu.metric, cpu.capacity.as_slice()), (Metric::CpuMillicores, &[1_000.0; 4][..]));
    let near = |values: &[f32], wanted: f32| values.iter().all(|value| (value - wanted).abs() < 1e-3 * wanted);
    assert!(near(&cpu.leader_use, 5.0) && near(&cpu.follower_use, 1.0), "{cpu:?}");
    // Node 3 leads one of 40 and follows two, node 2 leads one and follows one.
    assert!(near(&cpu.used[2..3], 100.0 + 200.0 + 80.0) && near(&cpu.used[1..2], 100.0 + 200.0 + 40.0), "{cpu:?}");
    assert!(near(&cpu.background, 100.0));
    assert!(near(&view.shards.move_cost, brain.config().copy_cost_per_mib), "a MiB each");
}

#[test]
fn the_plan_check_refuses_what_would_fill_a_resource() {
    let host = FakeHost::new(Script { plan: Some(vec![transfer(1, 2)]), ..Script::default() });
    let mut brain = brain(&host);
    let mut full = with_cpu(1);
    full.nodes[1].resources.insert(Metric::CpuMillicores, NodeResource { capacity: 1_000.0, idle: 600.0 });
    let tick = brain.tick(&full, &rules(Mode::Auto));
    let refused = |v: &Verdict| matches!(v, Verdict::Refused { rule: Rule::ResourceHeadroom, .. });
    assert!(refused(&verdicts(&tick)[0]), "{:?}", tick.record.moves);
    assert_eq!(tick.verdicts[&JudgedAs::Refused(Rule::ResourceHeadroom)], 1);
    assert_eq!(brain.tick(&with_cpu(2), &rules(Mode::Auto)).accepted.len(), 1);
}

#[test]
fn with_days_of_history_a_placer_sees_joint_scenarios() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    assert!(brain.config().scenarios);
    let days = 6 * DAY_STEPS;
    brain.tick(&steady(days + 1), &rules(Mode::Auto));
    assert_eq!(brain.last_view().unwrap().scenarios, None, "nothing is known of earlier days");
    let past = LoadBatch {
        metric: Metric::Load,
        start: InstantMs(START),
        step_ms: STEP_MS as u32,
        steps: days as u32,
        shards: vec![ShardId(1), ShardId(2)],
        values: (0..2 * days).map(|at| (at / DAY_STEPS % 6) as f32).collect(),
    };
    brain.import_history(&past).unwrap();
    brain.tick(&steady(days + 2), &rules(Mode::Auto));
    let view = brain.last_view().unwrap();
    let joint = view.scenarios.as_ref().unwrap();
    assert_eq!((joint.shards.as_slice(), joint.count), (&[0, 1][..], 6), "of shard 3 there is no history");
    assert_eq!(joint.values.len(), 2 * 6 * view.steps as usize);
}
