//! Three shards on two nodes, any two of them hot at a time: no placement fits all day long.

use super::*;
use isobar_model::{Action, NodeState, ZoneId};
use proptest::prelude::*;

const STEP_MS: u32 = 300_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_STEPS: u64 = 288;
const KEYSPACE: KeyspaceId = KeyspaceId(1);

/// Who is hot changes at 0, 8 and 16 o'clock.
fn hand_over(shard: u64, at: InstantMs) -> f32 {
    let cold = at.0 / (8 * HOUR_MS) % 3 + 1;
    if shard == cold { 5.0 } else { 90.0 }
}

fn steady(_: u64, _: InstantMs) -> f32 {
    40.0
}

type Load = fn(u64, InstantMs) -> f32;

/// What the policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// Sees the next step.
    Foresees,
    /// Swings one leader after the other.
    Random,
    Nothing,
}

/// Placers by script.
struct Script {
    load: Load,
    policy: Policy,
    chance: standing::Chance,
}

impl Script {
    fn new(load: Load, policy: Policy) -> Self {
        Self { load, policy, chance: standing::Chance(1) }
    }

    /// Gives the heaviest shard of an overloaded node to its other node, by these loads; of equal ones the one that is lighter now.
    fn relieve(view: &ClusterView, load: impl Fn(u64) -> f32) -> Vec<Move> {
        let led = |node: u32| {
            let shards = (0..view.shards.ids.len()).filter(move |&at| view.shards.replicas_of(at)[0] == node);
            shards.map(|at| (load(view.shards.ids[at].0), at)).collect::<Vec<_>>()
        };
        let mut moves = Vec::new();
        for node in 0..view.nodes.ids.len() as u32 {
            let led = led(node);
            let total: f32 = led.iter().map(|(load, _)| load).sum();
            let now = |at: usize| view.shards.leader_load[at];
            let heaviest = led.into_iter().max_by(|a, b| a.0.total_cmp(&b.0).then(now(b.1).total_cmp(&now(a.1))));
            if let Some((_, at)) = heaviest.filter(|_| total > 100.0) {
                moves.push(transfer(view, at));
            }
        }
        moves
    }
}

/// The leadership goes to the follower.
fn transfer(view: &ClusterView, at: usize) -> Move {
    let target = view.nodes.ids[view.shards.replicas_of(at)[1] as usize];
    Move {
        shard: view.shards.ids[at],
        action: Action::TransferLeader(target),
        urgency: 1.0,
        start_by: view.now,
        gain: 1.0,
        reason: "scripted".into(),
    }
}

impl Advisor for Script {
    fn react(&mut self, view: &ClusterView) -> Vec<Move> {
        assert_eq!((view.steps, view.quantiles.as_slice()), (1, &[0.5][..]));
        assert_eq!(view.shards.predicted, view.shards.leader_load, "it sees the present alone");
        Self::relieve(view, |shard| view.shards.leader_load[shard as usize - 1])
    }

    fn predict(&mut self, view: &ClusterView) -> Vec<Move> {
        match self.policy {
            // A move takes effect one step after it is decided.
            Policy::Foresees => Self::relieve(view, |shard| (self.load)(shard, view.now.plus_ms(u64::from(STEP_MS)))),
            Policy::Random => match self.chance.below(10) {
                0 => vec![transfer(view, self.chance.below(view.shards.ids.len()))],
                _ => Vec::new(),
            },
            Policy::Nothing => Vec::new(),
        }
    }

    fn forecast_shape(&self) -> (Vec<f32>, u32) {
        (vec![0.1, 0.5], 4)
    }

    fn forecast(&self, _: ShardId) -> Option<Vec<f32>> {
        None
    }

    fn recorded(&self, shard: ShardId, steps: usize) -> Vec<f32> {
        (0..steps as u64).map(|hour| (self.load)(shard.0, InstantMs(hour * HOUR_MS))).collect()
    }
}

/// The real cluster.
#[derive(Clone, Debug)]
struct Cluster {
    nodes: Vec<NodeFact>,
    replicas: Vec<Vec<NodeId>>,
    load: Load,
    now: InstantMs,
    mode: Mode,
    live: bool,
    policy: String,
}

impl Cluster {
    fn new(load: Load) -> Self {
        let node = |id| NodeFact {
            id: NodeId(id),
            zone: ZoneId(id as u32),
            state: NodeState::Up,
            capacity: 100.0,
            used_bytes: 0,
            capacity_bytes: 1 << 40,
            labels: BTreeSet::new(),
            resources: Default::default(),
        };
        let replicas = [[1, 2], [2, 1], [2, 1]].map(|nodes| nodes.map(NodeId).to_vec()).to_vec();
        let (now, policy) = (InstantMs(0), "seer".to_owned());
        Self { nodes: vec![node(1), node(2)], replicas, load, now, mode: Mode::Auto, live: false, policy }
    }

    fn shards(&self) -> Vec<PlacedShard> {
        let during = InstantMs(self.now.0.saturating_sub(u64::from(STEP_MS)));
        let shard = |(id, replicas): (u64, &Vec<NodeId>)| PlacedShard {
            id: ShardId(id),
            keyspace: KEYSPACE,
            replicas: replicas.clone(),
            bytes: 1,
            load: (self.load)(id, during),
            follower_share: 0.0,
            move_steps: 2.0,
            last_moved: InstantMs(0),
        };
        (1..).zip(&self.replicas).map(shard).collect()
    }

    fn record(&self, spec: &GainSpec, ledger: &mut GainLedger, script: &mut Script) -> Vec<StandingChange> {
        let keyspaces = BTreeMap::from([(KEYSPACE, KeyspaceRule { mode: self.mode, replication_factor: 2 })]);
        let live = if self.live { BTreeSet::from([KEYSPACE]) } else { BTreeSet::new() };
        let limits = PlacementLimits {
            moves_per_node: 2,
            moves_per_round: 8,
            cool_down_ms: 1_800_000,
            max_utilisation: 1.0,
            leader_steps: 0.1,
        };
        let facts = StepFacts {
            now: self.now,
            step_ms: STEP_MS,
            rounds: 1,
            nodes: &self.nodes,
            shards: &self.shards(),
            moving: &[],
            limits,
            settings: CheckSettings::default(),
            keyspaces: &keyspaces,
            placement: &BTreeMap::new(),
            live: &live,
            heeded: &BTreeSet::new(),
            policy: &self.policy,
            seed: 0,
        };
        ledger.record(spec, &facts, script)
    }

    /// So many steps; in each the real leaders become these, where any are given.
    fn run(
        &mut self,
        steps: u64,
        ledger: &mut GainLedger,
        script: &mut Script,
        mut carry_out: impl FnMut(&mut Self, &mut GainLedger),
    ) -> Vec<StandingChange> {
        let mut changes = Vec::new();
        for _ in 0..steps {
            self.now = self.now.plus_ms(u64::from(STEP_MS));
            changes.extend(self.record(&GainSpec::default(), ledger, script));
            carry_out(self, ledger);
        }
        changes
    }
}

fn left_alone(_: &mut Cluster, _: &mut GainLedger) {}

fn report(ledger: &GainLedger) -> GainReport {
    ledger.report(&GainSpec::default()).remove(0)
}

fn overload(ledger: &GainLedger, world: WorldName) -> f64 {
    report(ledger).tallies[&world].overload_node_s
}

#[test]
fn a_daily_hand_over_pays_before_a_single_move_was_made() {
    let (mut cluster, mut ledger) = (Cluster::new(hand_over), GainLedger::default());
    let mut script = Script::new(hand_over, Policy::Foresees);
    let changes = cluster.run(7 * DAY_STEPS, &mut ledger, &mut script, left_alone);
    let told = report(&ledger);
    assert_eq!(told.standing, Standing::Pays, "{told:#?}");
    assert!(changes.iter().all(|change| !change.to.speaks_against()), "{changes:?}");
    // Any placement for all time has both hot shards on one node a third of the day: 80 % over.
    let third = 0.8 * told.seen_s / 3.0;
    assert!((overload(&ledger, WorldName::Static) / third - 1.0).abs() < 0.1);
    assert!((overload(&ledger, WorldName::Packed) / third - 1.0).abs() < 0.1);
    assert_eq!(overload(&ledger, WorldName::Actual), overload(&ledger, WorldName::Static), "nothing really moved");
    // Whoever reacts sees it a step late, and is done another step later.
    assert!(overload(&ledger, WorldName::Reactive) > 0.0);
    // Both hot shards begin on one node: two steps pass until the first move is done.
    assert!((overload(&ledger, WorldName::Predictive) - 2.0 * 0.8 * 300.0).abs() < 1e-6);
    let gain = told.gain.unwrap();
    assert_eq!(gain.against, WorldName::Reactive);
    assert!(0.0 < gain.lower_node_s && gain.lower_node_s < gain.node_s && gain.node_s < gain.upper_node_s, "{gain:?}");
    assert!(!told.live && told.tallies[&WorldName::Actual].transfers == 0);
}

#[test]
fn moves_that_are_really_made_are_judged_by_where_replicas_really_were() {
    let (mut cluster, mut ledger) = (Cluster::new(hand_over), GainLedger::default());
    cluster.live = true;
    let foresee = |cluster: &mut Cluster, ledger: &mut GainLedger| {
        let next = |shard: u64| hand_over(shard, cluster.now);
        for node in [1, 2] {
            let led: Vec<u64> = (1..=3).filter(|&s| cluster.replicas[s as usize - 1][0] == NodeId(node)).collect();
            if led.iter().map(|&shard| next(shard)).sum::<f32>() > 100.0 {
                let hot = led.into_iter().find(|&shard| next(shard) > 50.0).unwrap_or(1);
                cluster.replicas[hot as usize - 1].swap(0, 1);
                ledger.note_move(KEYSPACE, false);
            }
        }
    };
    cluster.run(7 * DAY_STEPS, &mut ledger, &mut Script::new(hand_over, Policy::Nothing), foresee);
    let told = report(&ledger);
    assert_eq!(told.standing, Standing::Pays, "{told:#?}");
    assert_eq!(told.tallies[&WorldName::Actual], told.tallies[&WorldName::Predictive]);
    assert!(told.tallies[&WorldName::Actual].transfers >= 7);
}

#[test]
fn moves_without_gain_are_found_out_and_one_that_comes_back_to_its_senses_is_let_in_again() {
    let (mut cluster, mut ledger) = (Cluster::new(hand_over), GainLedger::default());
    let mut script = Script::new(hand_over, Policy::Random);
    let changes = cluster.run(4 * DAY_STEPS, &mut ledger, &mut script, left_alone);
    assert!(report(&ledger).standing.speaks_against(), "{:#?}", report(&ledger));
    assert!(changes.iter().all(|change| change.from == Standing::Learning || change.from.speaks_against()));
    script.policy = Policy::Foresees;
    cluster.run(16 * DAY_STEPS, &mut ledger, &mut script, left_alone);
    assert_eq!(report(&ledger).standing, Standing::Pays);
}

#[test]
fn moves_where_nothing_is_overloaded_are_a_loss() {
    let (mut cluster, mut ledger) = (Cluster::new(steady), GainLedger::default());
    cluster.run(4 * DAY_STEPS, &mut ledger, &mut Script::new(steady, Policy::Random), left_alone);
    let told = report(&ledger);
    assert_eq!(told.standing, Standing::Loses, "{told:#?}");
    assert_eq!(told.gain.unwrap().share(1.0), None, "there was nothing to take a share of");
}

#[test]
fn a_static_load_has_nothing_to_gain() {
    let (mut cluster, mut ledger) = (Cluster::new(steady), GainLedger::default());
    let changes = cluster.run(4 * DAY_STEPS, &mut ledger, &mut Script::new(steady, Policy::Nothing), left_alone);
    assert_eq!(report(&ledger).standing, Standing::NothingToGain);
    let change = StandingChange { keyspace: KEYSPACE, from: Standing::Learning, to: Standing::NothingToGain };
    assert_eq!(changes, [change]);
}

#[test]
fn two_days_are_wanted_before_anything_is_said() {
    let (mut cluster, mut ledger) = (Cluster::new(hand_over), GainLedger::default());
    let mut script = Script::new(hand_over, Policy::Random);
    cluster.run(2 * DAY_STEPS, &mut ledger, &mut script, left_alone);
    let told = report(&ledger);
    assert_eq!((told.standing, told.gain, told.blocks), (Standing::Learning, None, 7), "the eighth is under way");
}

#[test]
fn another_node_sets_placements_anew_and_another_policy_begins_from_nothing() {
    let (mut cluster, mut ledger) = (Cluster::new(hand_over), GainLedger::default());
    let mut script = Script::new(hand_over, Policy::Foresees);
    cluster.run(3 * DAY_STEPS, &mut ledger, &mut script, left_alone);
    let (anchored, blocks) = (report(&ledger).anchored, report(&ledger).blocks);
    let third = NodeFact { id: NodeId(3), zone: ZoneId(3), ..cluster.nodes[0].clone() };
    cluster.nodes.push(third);
    cluster.run(1, &mut ledger, &mut script, left_alone);
    assert!(report(&ledger).anchored > anchored);
    assert!(report(&ledger).blocks >= blocks, "what the policy has shown stays shown");
    cluster.policy = "another".into();
    let changes = cluster.run(1, &mut ledger, &mut script, left_alone);
    assert_eq!(report(&ledger).blocks, 0);
    assert_eq!(changes.len(), 1);
    cluster.mode = Mode::Observe;
    cluster.run(1, &mut ledger, &mut script, left_alone);
    assert_eq!(ledger.report(&GainSpec::default()), [], "of what is only observed no book is kept");
}

#[test]
fn a_node_that_is_away_is_no_node_to_overload_and_others_lead_meanwhile() {
    let (mut cluster, mut ledger) = (Cluster::new(hand_over), GainLedger::default());
    let mut script = Script::new(hand_over, Policy::Nothing);
    cluster.run(DAY_STEPS, &mut ledger, &mut script, left_alone);
    cluster.nodes[0].state = NodeState::Down;
    cluster.replicas[0].swap(0, 1);
    let before = report(&ledger).open[&WorldName::Static].overload_node_s;
    cluster.run(2, &mut ledger, &mut script, left_alone);
    let open = &report(&ledger).open;
    assert!(open[&WorldName::Static].overload_node_s > before, "all is led by node 2");
    assert_eq!(open[&WorldName::Static], open[&WorldName::Actual]);
}

#[test]
fn steps_that_nobody_saw_are_missing_in_all_alike() {
    let (mut cluster, mut ledger) = (Cluster::new(hand_over), GainLedger::default());
    let mut script = Script::new(hand_over, Policy::Nothing);
    cluster.run(10, &mut ledger, &mut script, left_alone);
    let before = report(&ledger).open;
    cluster.now = cluster.now.plus_ms(HOUR_MS);
    cluster.run(1, &mut ledger, &mut script, left_alone);
    assert_eq!(report(&ledger).open, before);
    cluster.run(1, &mut ledger, &mut script, left_alone);
    assert!(report(&ledger).open[&WorldName::Static].overload_node_s > before[&WorldName::Static].overload_node_s);
}

/// Promise 6.
#[test]
fn the_same_steps_give_the_same_book() {
    let run = || {
        let (mut cluster, mut ledger) = (Cluster::new(hand_over), GainLedger::default());
        cluster.run(3 * DAY_STEPS, &mut ledger, &mut Script::new(hand_over, Policy::Random), left_alone);
        ledger
    };
    assert_eq!(run(), run());
}

fn jumpy(shard: u64, at: InstantMs) -> f32 {
    standing::Chance(shard ^ (at.0 / HOUR_MS) << 8).below(120) as f32
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Promise 8, and what bounds and tallies promise whatever is moved, by whom and when.
    #[test]
    fn books_stay_small_and_their_bounds_hold_the_gain(
        seed in any::<u64>(),
        days in 1_u64..20,
        policy in prop_oneof![Just(Policy::Foresees), Just(Policy::Random), Just(Policy::Nothing)],
        swaps in prop::collection::vec((0_usize..3, any::<bool>()), 1..40),
    ) {
        let (mut cluster, mut ledger) = (Cluster::new(jumpy), GainLedger::default());
        let mut script = Script { load: jumpy, policy, chance: standing::Chance(seed) };
        let mut turn = 0;
        let carry_out = |cluster: &mut Cluster, ledger: &mut GainLedger| {
            turn += 1;
            if turn % 37 == 0 {
                let (shard, live) = swaps[turn / 37 % swaps.len()];
                cluster.replicas[shard].swap(0, 1);
                cluster.live = live;
                ledger.note_move(KEYSPACE, false);
            }
        };
        cluster.run(days * DAY_STEPS, &mut ledger, &mut script, carry_out);
        let spec = GainSpec::default();
        let told = report(&ledger);
        prop_assert!(told.blocks <= spec.keep_blocks);
        prop_assert!(told.seen_s <= (told.blocks as u64 * spec.block_ms) as f64 / 1000.0);
        for tally in told.tallies.values() {
            prop_assert!(tally.overload_node_s.is_finite() && tally.overload_node_s >= 0.0);
        }
        prop_assert_eq!(told.gain.is_some(), told.blocks >= spec.least_blocks);
        if let Some(gain) = told.gain {
            prop_assert!(gain.lower_node_s <= gain.node_s && gain.node_s <= gain.upper_node_s);
            let cost = |world| told.tallies[&world].cost_node_s(&spec);
            let best = WorldName::WITHOUT_FORECAST.into_iter().map(cost).fold(f64::INFINITY, f64::min);
            prop_assert!((gain.baseline_node_s - best).abs() < 1e-6 * best.max(1.0));
            prop_assert!((gain.node_s - (best - cost(WorldName::Predictive))).abs() < 1e-6 * best.max(1.0));
            prop_assert_eq!(told.standing == Standing::Pays, gain.lower_node_s > 1e-6);
        }
    }
}
