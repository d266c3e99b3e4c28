use crate::Config;
use isobar_model::{ClusterView, Plan};
use placing_kit::{Board, Failure, Step, empty_draining_nodes};

/// The least fall of overload that a move must bring, as a share of the node's capacity: below it is noise.
const LEAST_RELIEF: f32 = 0.01;

/// Present loads, as they will be once the moves in flight and those proposed are done.
struct Loads {
    load: Vec<f32>,
    limit: Vec<f32>,
}

impl Loads {
    fn new(config: &Config, board: &Board<'_>) -> Self {
        let view = board.view;
        let mut load: Vec<f32> = view.nodes.load.iter().map(|&load| known(load)).collect();
        for shard in 0..board.shards() {
            let leader_load = known(view.shards.leader_load[shard]);
            for (slot, &node) in view.shards.replicas_of(shard).iter().enumerate() {
                load[node as usize] -= leader_load * board.share(shard, slot == 0);
            }
            for (slot, &node) in board.replicas(shard).iter().enumerate() {
                load[node] += leader_load * board.share(shard, slot == 0);
            }
        }
        Self { load, limit: view.nodes.capacity.iter().map(|&capacity| config.threshold * known(capacity)).collect() }
    }

    fn over(&self, node: usize, change: f32) -> f32 {
        (self.load[node] + change - self.limit[node]).max(0.0)
    }

    /// The fall of overload when `amount` of load goes from one node to another.
    fn relief(&self, from: usize, to: usize, amount: f32) -> f32 {
        self.over(from, 0.0) + self.over(to, 0.0) - self.over(from, -amount) - self.over(to, amount)
    }

    fn shift(&mut self, from: usize, to: usize, amount: f32) {
        self.load[from] -= amount;
        self.load[to] += amount;
    }

    fn room(&self, node: usize) -> f32 {
        self.limit[node] - self.load[node]
    }
}

/// Load as measured; an unknown one counts as none.
fn known(load: f32) -> f32 {
    if load.is_finite() { load.max(0.0) } else { 0.0 }
}

fn amount(board: &Board<'_>, step: Step) -> f32 {
    let shard = step.shard();
    let leader_load = known(board.view.shards.leader_load[shard]);
    match step {
        Step::Lead { .. } => leader_load * (1.0 - board.share(shard, false)),
        Step::Relocate { slot, .. } => leader_load * board.share(shard, slot == 0),
    }
}

pub(crate) fn plan(config: &Config, view: &ClusterView) -> Result<Plan, Failure> {
    let mut board = Board::new(view)?;
    let mut loads = Loads::new(config, &board);
    let drained = {
        let cell = std::cell::RefCell::new(&mut loads);
        empty_draining_nodes(&mut board, &mut |_, node| cell.borrow().room(node), &mut |board, step, from, to| {
            let amount = amount(board, step);
            cell.borrow_mut().shift(from, to, amount);
        });
        board.proposed()
    };
    let mut notes = Vec::new();
    let mut stuck = vec![false; board.nodes()];
    while board.has_room() && board.proposed() - drained < config.max_moves {
        let hot = (0..board.nodes())
            .filter(|&node| !stuck[node] && loads.over(node, 0.0) > LEAST_RELIEF * loads.limit[node])
            .max_by(|&a, &b| (loads.load[a] / loads.limit[a]).total_cmp(&(loads.load[b] / loads.limit[b])));
        let Some(hot) = hot else { break };
        let Some((step, to, relief)) = best_relief(&board, &loads, hot) else {
            stuck[hot] = true;
            notes.push(format!("{} is overloaded, but no move allowed now would relieve it", board.node_name(hot)));
            continue;
        };
        let reason = format!(
            "{} carries {:.0} of {:.0} load units per second; {} has room",
            board.node_name(hot),
            loads.load[hot],
            loads.limit[hot],
            board.node_name(to)
        );
        loads.shift(hot, to, amount(&board, step));
        // As if the present went on for one step.
        board.propose(step, 1.0, relief * view.step_ms as f32 / 1_000.0, 0, reason);
    }
    notes.truncate(100);
    Ok(Plan { moves: board.into_moves(), notes })
}

/// What relieves `hot` most: a leader transfer where one helps, since it is quick and cheap, else a move of data; the least loaded target first.
fn best_relief(board: &Board<'_>, loads: &Loads, hot: usize) -> Option<(Step, usize, f32)> {
    let least = LEAST_RELIEF * loads.limit[hot];
    let better = |best: &Option<(Step, usize, f32)>, to: usize, relief: f32| {
        best.is_none_or(|(_, old, most)| (relief, loads.room(to)) > (most, loads.room(old)))
    };
    let mut best = None;
    for shard in (0..board.shards()).filter(|&shard| board.may_move(shard)) {
        let replicas = board.replicas(shard);
        if replicas.first() != Some(&hot) {
            continue;
        }
        for (slot, &to) in replicas.iter().enumerate().skip(1) {
            let step = Step::Lead { shard, slot };
            let relief = loads.relief(hot, to, amount(board, step));
            if relief > least && board.allows(step) && better(&best, to, relief) {
                best = Some((step, to, relief));
            }
        }
    }
    if best.is_some() {
        return best;
    }
    for shard in (0..board.shards()).filter(|&shard| board.may_move(shard)) {
        let Some(slot) = board.replicas(shard).iter().position(|&node| node == hot) else { continue };
        for to in 0..board.nodes() {
            let step = Step::Relocate { shard, slot, target: to };
            let relief = loads.relief(hot, to, amount(board, step));
            if relief > least && board.allows(step) && better(&best, to, relief) {
                best = Some((step, to, relief));
            }
        }
    }
    best
}
