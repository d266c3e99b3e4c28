//! A placer that misbehaves as its configuration says: `{"misbehave": "unknown-shard"}`. Without, it is a good one: it proposes to
//! give the first shard's leadership to its second replica.

wit_bindgen::generate!({ path: "../../../wit", world: "placement-policy" });

use exports::isobar::policy::lifecycle::{self, Description};
use exports::isobar::policy::placing::{Action, ClusterView, Failure, Guest, Move, Plan, Relocation};
use std::cell::RefCell;
use std::hint::black_box;

thread_local! {
    static CONFIG: RefCell<String> = const { RefCell::new(String::new()) };
}

fn misbehaviour() -> String {
    CONFIG.with_borrow(|config| {
        let Some((_, rest)) = config.split_once("\"misbehave\"") else { return String::new() };
        rest.split('"').nth(1).unwrap_or_default().to_owned()
    })
}

struct Hostile;

impl lifecycle::Guest for Hostile {
    fn describe() -> Description {
        Description { name: "hostile-placer".into(), version: "1".into(), config_schema: r#"{"type":"object"}"#.into() }
    }

    fn open(config: String, _saved: Option<Vec<u8>>) -> Result<(), Failure> {
        CONFIG.set(config);
        Ok(())
    }

    fn save() -> Result<Vec<u8>, Failure> {
        Ok(Vec::new())
    }
}

impl Guest for Hostile {
    fn propose(view: ClusterView) -> Result<Plan, Failure> {
        let shard = view.shards.ids[0];
        let node = |replica: usize| view.nodes.ids[view.shards.replicas[replica] as usize];
        let good = Move {
            shard,
            action: Action::TransferLeader(node(1)),
            urgency: 0.5,
            start_by: view.now,
            gain: 1.0,
            reason: "because I can".into(),
        };
        let mut plan = Plan { moves: vec![good.clone()], notes: vec!["nothing else".into()] };
        let first = &mut plan.moves[0];
        let elsewhere = |source, target| Action::MoveReplica(Relocation { source, target });
        match misbehaviour().as_str() {
            "spin" => loop {
                black_box(());
            },
            "panic" => panic!("I give up in propose"),
            "unknown-shard" => first.shard = 999_999,
            "huge-shard" => first.shard = u64::MAX,
            "unknown-node" => first.action = Action::TransferLeader(999_999),
            "unknown-source" => first.action = elsewhere(999_999, node(1)),
            "unknown-target" => first.action = elsewhere(node(0), 1 << 60),
            "unknown-neighbour" => first.action = Action::MergeWith(999_999),
            "nan-gain" => first.gain = f32::NAN,
            "infinite-gain" => first.gain = f32::INFINITY,
            "urgency" => first.urgency = 1.5,
            "nan-urgency" => first.urgency = f32::NAN,
            "far-start" => first.start_by = u64::MAX,
            "long-reason" => first.reason = format!("{}é", "x".repeat(511)),
            "many-notes" => plan.notes = vec!["é".repeat(1_000); 1_000],
            "too-many-moves" => plan.moves = vec![good; 10_001],
            "million-moves" => plan.moves = vec![good; 1_000_000],
            _ => {}
        }
        Ok(plan)
    }
}

export!(Hostile);
