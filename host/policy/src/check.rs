//! The one place that judges what a guest returns. Pure: an answer goes in, the answer or the reason against it comes out.
//!
//! An answer with one wrong number in it is refused whole: whoever computes NaN once has computed the rest by the same code. Texts are
//! only for people, so they are cut, not refused.

use crate::limits::{MAX_CELLS, MAX_MOVES, MAX_NOTES, MAX_SAVED_BYTES, MAX_SCHEMA_BYTES, MAX_TEXT_BYTES};
use crate::sandbox::{cut, one_line};
use isobar_model::cluster_view::{MAX_RESOURCES, MAX_SCENARIO_SHARDS, MAX_SCENARIOS};
use isobar_model::ids::MAX_ID;
use isobar_model::insights::{MAX_CLUSTERS, MAX_LINKS_PER_FOLLOWER};
use isobar_model::policy::MAX_CONFIG_BYTES;
use isobar_model::{
    Action, ClusterView, Description, ForecastBatch, ForecastRequest, Link, LoadBatch, Metric, Move, NodeId, Plan,
    Relations, Resource, Scenarios, ShardId,
};
use std::fmt::Display;

/// Why an answer (or a question) is outside the contract.
pub(crate) type Verdict<T> = Result<T, String>;

fn refused<T>(text: impl Display) -> Verdict<T> {
    Err(text.to_string())
}

/// A text for people: one line of at most 512 bytes.
pub(crate) fn text(text: &str) -> String {
    one_line(cut(text, MAX_TEXT_BYTES))
}

/// A configuration: a JSON object of bounded size. What it must hold, only the policy knows.
pub(crate) fn config(config: &str) -> Verdict<()> {
    if config.len() > MAX_CONFIG_BYTES {
        return refused(format_args!("it has {} bytes, more than the {MAX_CONFIG_BYTES} allowed", config.len()));
    }
    match serde_json::from_str::<serde_json::Value>(config) {
        Ok(value) if value.is_object() => Ok(()),
        Ok(_) => refused("it must be a JSON object, such as {}"),
        Err(error) => refused(format_args!("it is not JSON: {error}")),
    }
}

/// Who a policy says it is.
pub(crate) fn description(said: Description) -> Verdict<Description> {
    let in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !(1..=64).contains(&said.name.len()) || !said.name.chars().all(in_name) {
        return refused(format_args!("the name {:?} is not 1 to 64 of a-z 0-9 - _", cut(&said.name, 100)));
    }
    if !(1..=64).contains(&said.version.len()) || said.version.chars().any(char::is_control) {
        return refused(format_args!("the version {:?} is not 1 to 64 printable bytes", cut(&said.version, 100)));
    }
    if said.config_schema.len() > MAX_SCHEMA_BYTES {
        return refused(format_args!("the configuration schema has more than {MAX_SCHEMA_BYTES} bytes"));
    }
    match serde_json::from_str::<serde_json::Value>(&said.config_schema) {
        Ok(schema) if schema.is_object() => Ok(said),
        Ok(_) => refused("the configuration schema is not a JSON object"),
        Err(error) => refused(format_args!("the configuration schema is not JSON: {error}")),
    }
}

/// A saved state.
pub(crate) fn saved(state: Vec<u8>) -> Verdict<Vec<u8>> {
    if state.len() > MAX_SAVED_BYTES {
        return refused(format_args!(
            "a saved state of {} bytes, more than the {MAX_SAVED_BYTES} allowed",
            state.len()
        ));
    }
    Ok(state)
}

/// The host's own question, so that a slip of the host's is never taken for the guest's.
pub(crate) fn batch(batch: &LoadBatch) -> Verdict<()> {
    if !batch.is_well_formed() {
        return refused("the batch's values do not fit its shards and steps");
    }
    shard_ids(&batch.shards)?;
    cells(batch.values.len())
}

/// The same for a request.
pub(crate) fn request(request: &ForecastRequest) -> Verdict<()> {
    let ascending = request.quantiles.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || !request.quantiles.iter().all(|q| (0.0..=1.0).contains(q)) {
        return refused("the quantiles asked for are not ascending within 0 to 1");
    }
    if request.peak_steps > request.horizon {
        return refused("more peak steps are asked for than the horizon has");
    }
    shard_ids(&request.shards)?;
    let values = request.shards.len().checked_mul(request.quantiles.len());
    cells(values.and_then(|values| values.checked_mul(request.horizon as usize)).unwrap_or(usize::MAX))
}

/// The same for what was found of shards together.
pub(crate) fn relations(relations: &Relations) -> Verdict<()> {
    links(&relations.links)?;
    clusters(&relations.clusters)
}

fn clusters(clusters: &[Vec<ShardId>]) -> Verdict<()> {
    if clusters.len() > MAX_CLUSTERS {
        return refused(format_args!("{} clusters, more than the {MAX_CLUSTERS} allowed", clusters.len()));
    }
    let mut shards: Vec<ShardId> = clusters.concat();
    shard_ids(&shards)?;
    shards.sort_unstable();
    if shards.windows(2).any(|pair| pair[0] == pair[1]) {
        return refused("a shard that is in two clusters");
    }
    cells(shards.len())
}

fn links(links: &[Link]) -> Verdict<()> {
    if links.iter().any(|link| link.follower.0 >= MAX_ID || link.leader.0 >= MAX_ID) {
        return refused("a shard id of 2^53 or more");
    }
    if links.iter().any(|link| link.lag_steps == 0 || link.follower == link.leader) {
        return refused("a shard that follows itself, or one it is not behind");
    }
    if links.iter().any(|link| !(-1.0..=1.0).contains(&link.strength) || !(0.0..=1.0).contains(&link.gain)) {
        return refused("the strength of a link is not within -1 to 1, or its gain not within 0 to 1");
    }
    let mut followers: Vec<ShardId> = links.iter().map(|link| link.follower).collect();
    followers.sort_unstable();
    if followers.windows(MAX_LINKS_PER_FOLLOWER + 1).any(|run| run[0] == run[MAX_LINKS_PER_FOLLOWER]) {
        return refused(format_args!("more than {MAX_LINKS_PER_FOLLOWER} links of one follower"));
    }
    cells(links.len())
}

/// The same for a view.
pub(crate) fn view(view: &ClusterView) -> Verdict<()> {
    let (nodes, shards, steps) = (&view.nodes, &view.shards, view.steps as usize);
    let node_columns = [
        nodes.zones.len(),
        nodes.states.len(),
        nodes.capacity.len(),
        nodes.load.len(),
        nodes.used_bytes.len(),
        nodes.capacity_bytes.len(),
    ];
    let shard_columns = [
        shards.keyspaces.len(),
        shards.bytes.len(),
        shards.leader_load.len(),
        shards.follower_share.len(),
        shards.last_moved.len(),
        shards.move_steps.len(),
        shards.move_cost.len(),
    ];
    let fits = node_columns.iter().all(|&len| len == nodes.ids.len())
        && nodes.background.len() == nodes.ids.len() * steps
        && shard_columns.iter().all(|&len| len == shards.ids.len())
        && shards.predicted.len() == shards.ids.len() * view.quantiles.len() * steps
        && shards.replica_offsets.len() == shards.ids.len() + 1
        && shards.replica_offsets.is_sorted()
        && shards.replica_offsets.last().is_none_or(|&end| end as usize == shards.replicas.len())
        && shards.replicas.iter().all(|&node| (node as usize) < nodes.ids.len());
    if !fits {
        return refused("the cluster view's columns do not fit each other");
    }
    resources(view)?;
    scenarios(view)?;
    if !nodes.ids.is_sorted() || !shards.ids.is_sorted() {
        return refused("the cluster view's ids are not ascending");
    }
    if nodes.ids.iter().any(|id| id.0 >= MAX_ID) {
        return refused("a node id of 2^53 or more");
    }
    shard_ids(&shards.ids)?;
    let joint = view.scenarios.as_ref().map_or(0, |scenarios| scenarios.values.len());
    cells(shards.predicted.len() + joint)
}

fn resources(view: &ClusterView) -> Verdict<()> {
    let (nodes, shards, steps) = (view.nodes.ids.len(), view.shards.ids.len(), view.steps as usize);
    let fits = |of: &Resource| {
        [of.capacity.len(), of.used.len()] == [nodes; 2]
            && of.background.len() == nodes * steps
            && [of.leader_use.len(), of.follower_use.len()] == [shards; 2]
    };
    let ascending = view.resources.is_sorted_by(|a, b| a.metric < b.metric);
    let has_load = view.resources.iter().any(|of| of.metric == Metric::Load);
    if view.resources.len() > MAX_RESOURCES || !ascending || has_load || !view.resources.iter().all(fits) {
        return refused("the cluster view's resources do not fit its nodes and shards, or are not ascending");
    }
    Ok(())
}

fn scenarios(view: &ClusterView) -> Verdict<()> {
    let Some(Scenarios { shards, count, values }) = &view.scenarios else { return Ok(()) };
    let is_bounded = shards.len() <= MAX_SCENARIO_SHARDS && (1..=MAX_SCENARIOS).contains(&(*count as usize));
    let is_known = shards.last().is_none_or(|&last| (last as usize) < view.shards.ids.len());
    let fits = values.len() == shards.len() * *count as usize * view.steps as usize;
    if !(is_bounded && is_known && fits && shards.is_sorted_by(|a, b| a < b)) {
        return refused("the cluster view's scenarios do not fit its shards and steps, or their bounds");
    }
    Ok(())
}

fn shard_ids(ids: &[ShardId]) -> Verdict<()> {
    if ids.iter().any(|id| id.0 >= MAX_ID) { refused("a shard id of 2^53 or more") } else { Ok(()) }
}

fn cells(count: usize) -> Verdict<()> {
    if count > MAX_CELLS { refused(format_args!("more than {MAX_CELLS} values in one call")) } else { Ok(()) }
}

/// A forecast that answers `request`, which [`request`](fn@request) let pass.
pub(crate) fn forecast(request: &ForecastRequest, answer: ForecastBatch) -> Verdict<ForecastBatch> {
    let (rows, quantiles, horizon) = (request.shards.len(), request.quantiles.len(), request.horizon as usize);
    let (values, peaks) = (rows * quantiles * horizon, if request.peak_steps == 0 { 0 } else { rows * quantiles });
    if answer.values.len() != values {
        return refused(format_args!(
            "{} values for {rows} shards × {quantiles} quantiles × {horizon} steps, {values} are due",
            answer.values.len()
        ));
    }
    if answer.peaks.len() != peaks {
        return refused(format_args!("{} peaks where {peaks} are due", answer.peaks.len()));
    }
    for (row, shard) in request.shards.iter().enumerate() {
        let cells = quantiles * horizon;
        fan(&answer.values[row * cells..(row + 1) * cells], horizon, request)
            .map_err(|(what, step)| format!("shard {shard}, step {step}: {what}"))?;
        if peaks > 0 {
            fan(&answer.peaks[row * quantiles..(row + 1) * quantiles], 1, request)
                .map_err(|(what, _)| format!("shard {shard}, peak: {what}"))?;
        }
    }
    Ok(answer)
}

/// One row: `values[q * horizon + step]`, finite, not negative, not falling from one quantile to the next. Most are: all are looked at
/// without a branch, and what is wrong is only then looked for.
fn fan(values: &[f32], horizon: usize, request: &ForecastRequest) -> Result<(), (String, usize)> {
    let is_load = |value: f32| (0.0..f32::INFINITY).contains(&value);
    let pairs = || values.iter().zip(values.get(horizon..).unwrap_or(&[]));
    let all_loads = values.iter().fold(true, |sound, value| sound & is_load(*value));
    if !all_loads && let Some(at) = values.iter().position(|value| !is_load(*value)) {
        let (quantile, step) = (request.quantiles[at / horizon], at % horizon);
        return Err((format!("the {quantile} quantile is {}; loads are finite and not negative", values[at]), step));
    }
    let none_falls = pairs().fold(true, |sound, (lower, upper)| sound & (lower <= upper));
    if !none_falls && let Some(at) = pairs().position(|(lower, upper)| upper < lower) {
        let (lower, upper, q) = (values[at], values[at + horizon], at / horizon);
        let (below, quantile) = (request.quantiles[q], request.quantiles[q + 1]);
        return Err((
            format!("the {quantile} quantile ({upper}) lies below the {below} quantile ({lower})"),
            at % horizon,
        ));
    }
    Ok(())
}

/// A plan for `view`: ids known, numbers sane, lists bounded. Whether a move is wise or allowed, the planner judges.
pub(crate) fn plan(view: &ClusterView, mut answer: Plan) -> Verdict<Plan> {
    if answer.moves.len() > MAX_MOVES {
        return refused(format_args!("{} moves, more than the {MAX_MOVES} allowed", answer.moves.len()));
    }
    for (number, step) in answer.moves.iter_mut().enumerate() {
        judge(view, step).map_err(|what| format!("move {number}: {what}"))?;
        step.reason = text(&step.reason);
    }
    answer.notes.truncate(MAX_NOTES);
    answer.notes.iter_mut().for_each(|note| *note = text(note));
    Ok(answer)
}

fn judge(view: &ClusterView, step: &Move) -> Verdict<()> {
    let shard = |id: ShardId| match view.shards.ids.binary_search(&id) {
        Ok(_) => Ok(()),
        Err(_) => refused(format_args!("shard {id} is not in the view")),
    };
    let node = |id: NodeId| match view.nodes.ids.binary_search(&id) {
        Ok(_) => Ok(()),
        Err(_) => refused(format_args!("node {id} is not in the view")),
    };
    shard(step.shard)?;
    match step.action {
        Action::MoveReplica { source, target } => node(source).and_then(|()| node(target))?,
        Action::TransferLeader(to) => node(to)?,
        Action::AddReplica(on) | Action::RemoveReplica(on) => node(on)?,
        Action::Split => {}
        Action::MergeWith(other) => shard(other)?,
    }
    if !(0.0..=1.0).contains(&step.urgency) {
        return refused(format_args!("an urgency of {}; it lies within 0 to 1", step.urgency));
    }
    if !step.gain.is_finite() {
        return refused(format_args!("a gain of {}; it must be finite", step.gain));
    }
    if step.start_by.0 >= MAX_ID {
        return refused(format_args!("a start by {}; instants stay below 2^53", step.start_by));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{InstantMs, NodeColumns, NodeState, PlacementLimits, ShardColumns, ZoneId};
    use proptest::prelude::*;

    fn asked() -> ForecastRequest {
        ForecastRequest {
            metric: Metric::Load,
            shards: vec![ShardId(3), ShardId(8)],
            horizon: 2,
            quantiles: vec![0.1, 0.9],
            peak_steps: 2,
        }
    }

    fn answered() -> ForecastBatch {
        ForecastBatch { values: vec![1.0, 2.0, 1.0, 3.0, 0.0, 0.0, 0.0, 0.5], peaks: vec![2.0, 3.0, 0.0, 0.5] }
    }

    fn seen() -> ClusterView {
        ClusterView {
            now: InstantMs(1_000),
            step_ms: 300_000,
            steps: 1,
            quantiles: vec![0.5],
            nodes: NodeColumns {
                ids: vec![NodeId(1), NodeId(2)],
                zones: vec![ZoneId(1), ZoneId(2)],
                states: vec![NodeState::Up; 2],
                capacity: vec![10.0; 2],
                load: vec![1.0; 2],
                background: vec![0.0; 2],
                used_bytes: vec![0; 2],
                capacity_bytes: vec![1 << 30; 2],
                labels: Vec::new(),
            },
            shards: ShardColumns {
                ids: vec![ShardId(7)],
                keyspaces: vec![isobar_model::KeyspaceId(1)],
                bytes: vec![0],
                leader_load: vec![1.0],
                follower_share: vec![0.2],
                predicted: vec![1.0],
                replica_offsets: vec![0, 2],
                replicas: vec![0, 1],
                last_moved: vec![InstantMs(0)],
                move_steps: vec![1.0],
                move_cost: vec![0.0],
            },
            moving: vec![],
            limits: PlacementLimits {
                moves_per_node: 1,
                moves_per_round: 1,
                cool_down_ms: 0,
                max_utilisation: 0.9,
                leader_steps: 0.0,
            },
            placement: Vec::new(),
            resources: Vec::new(),
            scenarios: None,
            seed: 1,
        }
    }

    fn proposed() -> Move {
        Move {
            shard: ShardId(7),
            action: Action::TransferLeader(NodeId(2)),
            urgency: 1.0,
            start_by: InstantMs(2_000),
            gain: -1.0,
            reason: "so".into(),
        }
    }

    #[test]
    fn good_answers_pass_unchanged_with_equal_neighbouring_quantiles() {
        assert_eq!(request(&asked()), Ok(()));
        assert_eq!(forecast(&asked(), answered()), Ok(answered()));
        assert_eq!(view(&seen()), Ok(()));
        let good = Plan { moves: vec![proposed()], notes: vec!["note".into()] };
        assert_eq!(plan(&seen(), good.clone()), Ok(good));
    }

    #[test]
    fn a_bad_forecast_is_refused_with_its_place() {
        type Edit = fn(&mut ForecastBatch);
        let cases: [(Edit, &str); 8] = [
            (|f| f.values[5] = f32::NAN, "shard 8, step 1: the 0.1 quantile is NaN"),
            (|f| f.values[3] = f32::INFINITY, "shard 3, step 1: the 0.9 quantile is inf"),
            (|f| f.values[0] = -0.5, "shard 3, step 0: the 0.1 quantile is -0.5"),
            (|f| f.values[1] = 3.5, "shard 3, step 1: the 0.9 quantile (3) lies below the 0.1 quantile (3.5)"),
            (|f| f.peaks[0] = 4.0, "shard 3, peak: the 0.9 quantile (3) lies below"),
            (|f| f.values.truncate(7), "7 values for 2 shards × 2 quantiles × 2 steps, 8 are due"),
            (|f| f.values.push(0.0), "9 values"),
            (|f| f.peaks.clear(), "0 peaks where 4 are due"),
        ];
        for (edit, expected) in cases {
            let mut bad = answered();
            edit(&mut bad);
            let Err(text) = forecast(&asked(), bad) else { panic!("{expected} was let in") };
            assert!(text.contains(expected), "{expected:?} is not in {text:?}");
        }
    }

    #[test]
    fn a_bad_move_is_refused_with_its_number() {
        type Edit = fn(&mut Move);
        let cases: [(Edit, &str); 10] = [
            (|m| m.shard = ShardId(8), "move 1: shard 8 is not in the view"),
            (|m| m.action = Action::TransferLeader(NodeId(3)), "node 3 is not in the view"),
            (|m| m.action = Action::MoveReplica { source: NodeId(9), target: NodeId(1) }, "node 9"),
            (|m| m.action = Action::MoveReplica { source: NodeId(1), target: NodeId(9) }, "node 9"),
            (|m| m.action = Action::AddReplica(NodeId(9)), "node 9"),
            (|m| m.action = Action::MergeWith(ShardId(9)), "shard 9"),
            (|m| m.urgency = f32::NAN, "urgency of NaN"),
            (|m| m.urgency = 1.01, "urgency of 1.01"),
            (|m| m.gain = f32::INFINITY, "gain of inf"),
            (|m| m.start_by = InstantMs(MAX_ID), "instants stay below 2^53"),
        ];
        for (edit, expected) in cases {
            let mut bad = proposed();
            edit(&mut bad);
            let Err(text) = plan(&seen(), Plan { moves: vec![proposed(), bad], notes: vec![] }) else {
                panic!("{expected} was let in")
            };
            assert!(text.contains(expected), "{expected:?} is not in {text:?}");
        }
        let flood = Plan { moves: vec![proposed(); MAX_MOVES + 1], notes: vec![] };
        assert!(plan(&seen(), flood).is_err_and(|text| text.contains("10001 moves")));
    }

    #[test]
    fn texts_are_cut_between_characters_and_kept_on_one_line() {
        let long = Plan {
            moves: vec![Move { reason: format!("{}é", "x".repeat(511)), ..proposed() }],
            notes: vec!["a\nb".into(); 1_000],
        };
        let kept = plan(&seen(), long).unwrap();
        assert_eq!(kept.moves[0].reason, "x".repeat(511));
        assert_eq!(kept.notes, vec!["a b"; MAX_NOTES]);
    }

    #[test]
    fn descriptions_are_checked() {
        let good = Description { name: "a-b_9".into(), version: "1.0".into(), config_schema: "{}".into() };
        assert_eq!(description(good.clone()), Ok(good.clone()));
        let refused = |edit: fn(&mut Description)| {
            let mut bad = good.clone();
            edit(&mut bad);
            description(bad).unwrap_err()
        };
        for (text, expected) in [
            (refused(|d| d.name = "../etc".into()), "the name \"../etc\""),
            (refused(|d| d.name.clear()), "the name"),
            (refused(|d| d.name = "a".repeat(65)), "the name"),
            (refused(|d| d.version = "1\n2".into()), "the version"),
            (refused(|d| d.config_schema = "[]".into()), "not a JSON object"),
            (refused(|d| d.config_schema = "{".into()), "not JSON"),
            (refused(|d| d.config_schema = " ".repeat(MAX_SCHEMA_BYTES + 1)), "more than 65536 bytes"),
        ] {
            assert!(text.contains(expected), "{expected:?} is not in {text:?}");
        }
    }

    #[test]
    fn configurations_are_bounded_json_objects() {
        assert_eq!(config("{\"a\": 1}"), Ok(()));
        for (bad, expected) in [("", "not JSON"), ("[]", "JSON object"), ("{", "not JSON")] {
            assert!(config(bad).is_err_and(|text| text.contains(expected)), "{bad}");
        }
        assert!(config(&format!("{{}}{}", " ".repeat(MAX_CONFIG_BYTES))).is_err_and(|text| text.contains("65536")));
    }

    #[test]
    fn the_hosts_own_slips_are_found() {
        let bad = |edit: fn(&mut ClusterView)| {
            let mut seen = seen();
            edit(&mut seen);
            view(&seen).is_err()
        };
        assert!(bad(|v| v.nodes.load.clear()));
        assert!(bad(|v| v.shards.replicas[0] = 2));
        assert!(bad(|v| v.shards.replica_offsets[1] = 3));
        assert!(bad(|v| v.nodes.ids.reverse()));
        assert!(bad(|v| v.shards.ids[0] = ShardId(MAX_ID)));
        assert!(bad(|v| v.shards.move_cost.clear()));
        let whole = || Resource {
            metric: Metric::ReadOps,
            capacity: vec![1.0; 2],
            used: vec![0.0; 2],
            background: vec![0.0; 2],
            leader_use: vec![1.0],
            follower_use: vec![0.0],
        };
        let with = |of: &[Resource]| view(&ClusterView { resources: of.to_vec(), ..seen() });
        assert_eq!(with(&[whole(), Resource { metric: Metric::WriteOps, ..whole() }]), Ok(()));
        assert!(with(&[whole(), whole()]).is_err());
        assert!(with(&[Resource { metric: Metric::Load, ..whole() }]).is_err());
        assert!(with(&[Resource { leader_use: vec![], ..whole() }]).is_err());
        assert!(with(&[Resource { background: vec![0.0; 3], ..whole() }]).is_err());
        let joint = |shards: &[u32], count: u32, values: usize| {
            let scenarios = Scenarios { shards: shards.to_vec(), count, values: vec![1.0; values] };
            view(&ClusterView { scenarios: Some(scenarios), ..seen() })
        };
        assert_eq!(joint(&[0], 3, 3), Ok(()));
        for (shards, count, values) in [(&[1][..], 3, 3), (&[0, 0], 3, 6), (&[0], 3, 2), (&[0], 17, 17), (&[0], 0, 0)] {
            assert!(joint(shards, count, values).is_err(), "{shards:?} {count} {values}");
        }
        assert!(request(&ForecastRequest { quantiles: vec![0.9, 0.1], ..asked() }).is_err());
        assert!(request(&ForecastRequest { horizon: u32::MAX, peak_steps: 0, ..asked() }).is_err());
    }

    proptest! {
        /// Promise 5: whatever numbers a guest returns, what passes is finite, not negative and ordered.
        #[test]
        fn what_passes_is_sound(values in prop::collection::vec(prop_oneof![prop::num::f32::ANY, Just(0.0f32), 0.0f32..9.0], 8), peak in prop::num::f32::ANY) {
            let answer = ForecastBatch { values, peaks: vec![peak.min(1.0), 1.0, 0.0, 0.0] };
            if let Ok(passed) = forecast(&asked(), answer) {
                for (q, row) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let path = passed.path(&asked(), row, q);
                    prop_assert!(path.iter().all(|v| v.is_finite() && *v >= 0.0));
                    if q > 0 {
                        let below = passed.path(&asked(), row, q - 1);
                        prop_assert!(path.iter().zip(below).all(|(upper, lower)| upper >= lower));
                    }
                }
            }
        }
    }

    #[test]
    fn no_cluster_shares_a_shard_and_there_are_not_too_many() {
        let told = |clusters: Vec<Vec<ShardId>>| relations(&Relations { links: vec![], clusters });
        assert_eq!(told(vec![vec![ShardId(1), ShardId(3)], vec![], vec![ShardId(2)]]), Ok(()));
        assert!(told(vec![vec![ShardId(1)], vec![ShardId(2), ShardId(1)]]).is_err());
        assert!(told(vec![vec![ShardId(1), ShardId(1)]]).is_err());
        assert!(told(vec![vec![ShardId(MAX_ID)]]).is_err());
        let each = |count: u64| (0..count).map(|shard| vec![ShardId(shard)]).collect();
        assert_eq!(told(each(MAX_CLUSTERS as u64)), Ok(()));
        assert!(told(each(MAX_CLUSTERS as u64 + 1)).is_err());
    }
}
