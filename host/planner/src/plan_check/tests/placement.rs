//! Placement rules: labels, who is to be apart, who is to be together.

use super::*;
use crate::testing::placed;
use isobar_model::{KeyspaceId, Label, PlacementRules};

const LABELS: [&str; 2] = ["disk=ssd", "disk=hdd"];

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn of(keyspace: u32, id: u64, replicas: &[u64]) -> ShardFact {
    ShardFact { keyspace: KeyspaceId(keyspace), ..shard(id, replicas, 1.0) }
}

fn rule(verdict: Verdict) -> Option<Rule> {
    match verdict {
        Verdict::Accepted => None,
        Verdict::Held { rule } | Verdict::Refused { rule, .. } => Some(rule),
    }
}

/// Shard 7 of keyspace 1 on nodes 1 to 3, of six; node 5 has an SSD.
fn judged(rules: PlacementRules, others: Vec<ShardFact>, proposed: Move, origin: Origin) -> Option<Rule> {
    let labels = |id| if id == 5 { [label("disk=ssd")].into() } else { BTreeSet::new() };
    let nodes = (1..=6).map(|id| NodeFact { labels: labels(id), ..node(id, id as u32) }).collect();
    let view = placed(nodes, [vec![of(1, 7, &[1, 2, 3])], others].concat(), [(KeyspaceId(1), rules)].into());
    let rule_of = |replication_factor| crate::KeyspaceRule { mode: Mode::Auto, replication_factor };
    let keyspaces = [(KeyspaceId(1), rule_of(3)), (KeyspaceId(2), rule_of(1))].into();
    rule(PlanCheck::new(&view, round(&keyspaces)).verdict(&proposed, origin))
}

#[test]
fn replicas_go_only_where_labels_fit() {
    let ssd = PlacementRules { require: [label("disk=ssd")].into(), ..Default::default() };
    for origin in [Origin::Policy, Origin::Released, Origin::Drain, Origin::Operator] {
        assert_eq!(judged(ssd.clone(), vec![], relocate(7, 1, 4), origin), Some(Rule::NodeLabels));
        assert_eq!(judged(ssd.clone(), vec![], relocate(7, 1, 5), origin), None);
    }
    let no_ssd = PlacementRules { forbid: [label("disk=ssd")].into(), ..Default::default() };
    assert_eq!(judged(no_ssd.clone(), vec![], relocate(7, 1, 5), Origin::Policy), Some(Rule::NodeLabels));
    assert_eq!(judged(no_ssd, vec![], relocate(7, 1, 4), Origin::Policy), None);
}

#[test]
fn who_is_to_be_apart_meets_nowhere_whoever_asked() {
    let apart = PlacementRules { apart: [KeyspaceId(2)].into(), ..Default::default() };
    let other = vec![of(2, 8, &[4])];
    assert_eq!(judged(apart.clone(), other.clone(), relocate(7, 1, 4), Origin::Policy), Some(Rule::KeyspacesApart));
    assert_eq!(judged(apart.clone(), other.clone(), relocate(7, 1, 6), Origin::Policy), None);
    assert_eq!(judged(apart, other, relocate(8, 4, 1), Origin::Operator), Some(Rule::KeyspacesApart));
}

#[test]
fn who_is_to_be_together_goes_only_where_the_other_is_and_is_not_left_alone() {
    let together = PlacementRules { together: [KeyspaceId(2)].into(), ..Default::default() };
    let other = vec![of(2, 8, &[1]), of(2, 9, &[4])];
    assert_eq!(judged(together.clone(), other.clone(), relocate(7, 1, 4), Origin::Policy), None);
    assert_eq!(
        judged(together.clone(), other.clone(), relocate(7, 1, 6), Origin::Policy),
        Some(Rule::KeyspacesTogether)
    );
    assert_eq!(
        judged(together.clone(), other.clone(), relocate(8, 1, 6), Origin::Policy),
        Some(Rule::KeyspacesTogether)
    );
    assert_eq!(judged(together, other, relocate(9, 4, 6), Origin::Policy), None, "nobody is with it there");
}

fn any_rules() -> impl Strategy<Value = PlacementRules> {
    let labels = || proptest::collection::btree_set(proptest::sample::select(LABELS.map(label).to_vec()), 0..2);
    let others = || proptest::collection::btree_set((1u32..4).prop_map(KeyspaceId), 0..2);
    (labels(), labels(), others(), others()).prop_map(|(require, forbid, apart, together)| PlacementRules {
        require,
        forbid,
        apart,
        together,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Promise 5: at no moment of a plan's execution, whichever of its moves are done and whichever are not, does a replica come to a node that its
    /// keyspace's rules do not allow.
    #[test]
    fn hostile_plans_break_no_placement_rule_at_any_moment(
        labels in proptest::collection::vec(0usize..3, 6),
        homes in proptest::collection::vec((1u32..4, proptest::sample::subsequence(vec![1u64, 2, 3, 4, 5, 6], 3)), 1..8),
        rules in proptest::collection::btree_map((1u32..4).prop_map(KeyspaceId), any_rules(), 0..4),
        plan in proptest::collection::vec((0u64..9, 1u64..7, 1u64..7), 0..40),
        by_policy: bool,
    ) {
        let labels: Vec<BTreeSet<Label>> = labels.iter().map(|at| LABELS.get(*at).map(|text| label(text)).into_iter().collect()).collect();
        let nodes = (1..).zip(&labels).map(|(id, labels)| NodeFact { labels: labels.clone(), ..node(id, id as u32) }).collect();
        let shards: Vec<ShardFact> = (1..).zip(&homes).map(|(id, (keyspace, on))| of(*keyspace, id, on)).collect();
        let view = placed(nodes, shards.clone(), rules.clone());
        let keyspaces = (1..4).map(|id| (KeyspaceId(id), crate::KeyspaceRule { mode: Mode::Auto, replication_factor: 3 })).collect();
        let mut check = PlanCheck::new(&view, round(&keyspaces));
        let plan = plan.into_iter().map(|(shard, from, to)| relocate(shard, from, to)).collect();
        let origin = if by_policy { Origin::Policy } else { Origin::Operator };

        // Whoever may be at a node at some moment, and whoever is there at every one.
        let mut most: BTreeSet<(NodeId, KeyspaceId)> = BTreeSet::new();
        let mut least: BTreeMap<(NodeId, KeyspaceId), usize> = BTreeMap::new();
        for shard in &shards {
            for &node in &shard.replicas {
                most.insert((node, shard.keyspace));
                *least.entry((node, shard.keyspace)).or_default() += 1;
            }
        }
        let mut came: Vec<(NodeId, KeyspaceId)> = Vec::new();
        for done in check.judge_plan(plan, origin).0.iter().filter(|m| m.verdict == Verdict::Accepted) {
            let Action::MoveReplica { source, target } = done.proposed.action else { unreachable!() };
            let keyspace = shards[done.proposed.shard.0 as usize - 1].keyspace;
            most.insert((target, keyspace));
            *least.get_mut(&(source, keyspace)).unwrap() -= 1;
            came.push((target, keyspace));
        }
        for (node, keyspace) in came {
            let asked = rules.get(&keyspace).cloned().unwrap_or_default();
            prop_assert!(asked.fits(&labels[node.0 as usize - 1]));
            for other in (1..4).map(KeyspaceId).filter(|other| *other != keyspace) {
                let asks_too = rules.get(&other).is_some_and(|rules| rules.apart.contains(&keyspace));
                let are_apart = asked.apart.contains(&other) || asks_too;
                prop_assert!(!are_apart || !most.contains(&(node, other)), "{} beside {} on {}", keyspace, other, node);
                let stays = least.get(&(node, other)).copied().unwrap_or(0) > 0;
                prop_assert!(!by_policy || !asked.together.contains(&other) || stays, "{} without {} on {}", keyspace, other, node);
            }
        }
    }
}
