//! One thing that nodes have only so much of, load or a resource beside it, as it would be with some moves done.

use isobar_model::{Action, ClusterView};

/// Use by node. What shards add is their leader load times a part: of load, 1 for a leader and the follower's share; of a resource, what the
/// view says.
#[derive(Clone, Debug)]
pub(super) struct Gauge {
    /// Which of the view's resources; none: load.
    resource: Option<usize>,
    /// Present use.
    now: Vec<f32>,
    /// Expected use, `later[node * steps + step]`.
    later: Vec<f32>,
}

/// Utilisation of source and target once a move is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct After {
    /// Which of the view's resources; none: load.
    pub(super) resource: Option<usize>,
    /// By the present use.
    pub(super) now: (f32, f32),
    /// By the peak of the expected use from the move's end until the shard may move again.
    pub(super) later: (f32, f32),
}

impl Gauge {
    /// With the present use of everything, and the expected use of what lies outside of the shards.
    pub(super) fn new(view: &ClusterView, resource: Option<usize>) -> Self {
        let (now, background) = match resource {
            None => (&view.nodes.load, &view.nodes.background),
            Some(at) => (&view.resources[at].used, &view.resources[at].background),
        };
        let mut later = background.clone();
        later.resize(view.nodes.ids.len() * view.steps as usize, 0.0);
        Self { resource, now: now.clone(), later }
    }

    /// What a replica adds per unit of the shard's leader load.
    pub(super) fn part(&self, view: &ClusterView, shard: usize, leads: bool) -> f32 {
        match self.resource {
            None if leads => 1.0,
            None => view.shards.follower_share[shard],
            Some(at) => view.resources[at].use_of(shard, leads),
        }
    }

    /// What goes along with a move per unit of the shard's leader load; `leads`: where it comes from leads.
    pub(super) fn moved(&self, view: &ClusterView, shard: usize, action: Action, leads: bool) -> f32 {
        match action {
            Action::TransferLeader(_) => self.part(view, shard, true) - self.part(view, shard, false),
            Action::MoveReplica { .. }
            | Action::AddReplica(_)
            | Action::RemoveReplica(_)
            | Action::Split
            | Action::MergeWith(_) => self.part(view, shard, leads),
        }
    }

    /// Whether a move of so much asks for room. A node that is short of what the shard does not take is no worse off by it.
    pub(super) fn goes_along(&self, moved: f32) -> bool {
        self.resource.is_none() || moved > 0.0
    }

    /// Adds a part of a shard's expected leader load to a node.
    pub(super) fn expect(&mut self, view: &ClusterView, node: usize, part: f32, path: impl Fn(usize) -> f32) {
        let steps = view.steps as usize;
        let later = &mut self.later[node * steps..(node + 1) * steps];
        later.iter_mut().enumerate().for_each(|(step, value)| *value += path(step) * part);
    }

    /// Has a part of a shard's leader load go from one node to another.
    pub(super) fn shift(
        &mut self,
        view: &ClusterView,
        (from, to): (usize, usize),
        load: f32,
        moved: f32,
        path: impl Fn(usize) -> f32,
    ) {
        let load = load * moved;
        self.now[from] -= load;
        self.now[to] += load;
        self.expect(view, from, -moved, &path);
        self.expect(view, to, moved, path);
    }

    /// The busier of present and expected peak utilisation.
    pub(super) fn utilisation(&self, view: &ClusterView, node: usize) -> f32 {
        let steps = view.steps as usize;
        let later = &self.later[node * steps..(node + 1) * steps];
        self.ratio(view, node, later.iter().copied().fold(self.now[node], f32::max))
    }

    /// Utilisation after `load` now, and `moved` times the leader load of the steps from `arrival` on, went from one node to another.
    pub(super) fn after(
        &self,
        view: &ClusterView,
        (from, to): (usize, usize),
        load: f32,
        moved: f32,
        arrival: usize,
        path: &[f32],
    ) -> After {
        let steps = view.steps as usize;
        let ratios = |source: f32, target: f32| (self.ratio(view, from, source), self.ratio(view, to, target));
        let now = ratios(self.now[from] - load, self.now[to] + load);
        let mut later = if steps == 0 { now } else { (0.0, 0.0) };
        for (step, value) in (arrival..).zip(path) {
            let load = value * moved;
            let then = ratios(self.later[from * steps + step] - load, self.later[to * steps + step] + load);
            later = (f32::max(later.0, then.0), f32::max(later.1, then.1));
        }
        After { resource: self.resource, now, later }
    }

    /// Use per capacity. A node that can carry no load is full with any; one that declares no capacity of a resource has no limit.
    fn ratio(&self, view: &ClusterView, node: usize, amount: f32) -> f32 {
        let (capacity, without) = match self.resource {
            None => (view.nodes.capacity[node], f32::INFINITY),
            Some(at) => (view.resources[at].capacity[node], 0.0),
        };
        if capacity > 0.0 {
            amount.max(0.0) / capacity
        } else if amount > 0.0 {
            without
        } else {
            0.0
        }
    }
}
