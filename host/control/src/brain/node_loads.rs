use isobar_model::ClusterView;

/// What each node is forecast to carry, step by step: one quantile of its shards' loads summed. The sum of medians is near the median of the
/// sum; that of upper quantiles is a bound from above, reached where all shards are high at once.
#[derive(Clone, Debug)]
pub(super) struct NodeLoads {
    quantile: usize,
    steps: usize,
    /// `loads[node * steps + step]`.
    loads: Vec<f32>,
}

/// The highest load of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Peak {
    /// In shares of its capacity; 0 of one that has none.
    pub(super) share: f32,
    /// At which step.
    pub(super) step: usize,
}

impl NodeLoads {
    /// By the quantile nearest to one half.
    pub(super) fn median(view: &ClusterView) -> Self {
        let off = |quantile: &usize| (view.quantiles[*quantile] - 0.5).abs();
        let median = (0..view.quantiles.len()).min_by(|a, b| off(a).total_cmp(&off(b)));
        Self::of(view, median.unwrap_or(0))
    }

    /// By the uppermost quantile.
    pub(super) fn uppermost(view: &ClusterView) -> Self {
        Self::of(view, view.quantiles.len().saturating_sub(1))
    }

    fn of(view: &ClusterView, quantile: usize) -> Self {
        let steps = view.steps as usize;
        let mut loads = view.nodes.background.clone();
        loads.resize(view.nodes.ids.len() * steps, 0.0);
        let mut summed = Self { quantile, steps, loads };
        for shard in 0..view.shards.ids.len() {
            for (slot, &node) in view.shards.replicas_of(shard).iter().enumerate() {
                summed.add(view, node as usize, shard, part(view, shard, slot == 0));
            }
        }
        summed
    }

    /// Has a node carry so much more, in parts of a shard's leader load.
    pub(super) fn add(&mut self, view: &ClusterView, node: usize, shard: usize, part: f32) {
        let path = self.path(view, shard);
        let load = &mut self.loads[node * self.steps..(node + 1) * self.steps];
        load.iter_mut().zip(path).for_each(|(load, value)| *load += part * value);
    }

    /// A shard's leader load.
    pub(super) fn path<'a>(&self, view: &'a ClusterView, shard: usize) -> &'a [f32] {
        let row = (shard * view.quantiles.len() + self.quantile) * self.steps;
        view.shards.predicted.get(row..row + self.steps).unwrap_or_default()
    }

    /// The first of its highest steps.
    pub(super) fn peak(&self, view: &ClusterView, node: usize) -> Peak {
        self.peak_of(view, node, self.loads[node * self.steps..(node + 1) * self.steps].iter().copied())
    }

    /// The same with so much more, in parts of a shard's leader load.
    pub(super) fn peak_with(&self, view: &ClusterView, node: usize, shard: usize, part: f32) -> Peak {
        let loads = &self.loads[node * self.steps..(node + 1) * self.steps];
        let path = self.path(view, shard).iter().copied().chain(std::iter::repeat(0.0));
        self.peak_of(view, node, loads.iter().zip(path).map(|(load, value)| load + part * value))
    }

    fn peak_of(&self, view: &ClusterView, node: usize, loads: impl Iterator<Item = f32>) -> Peak {
        let highest =
            loads.enumerate().fold((0, 0.0f32), |best, (step, load)| if load > best.1 { (step, load) } else { best });
        let capacity = view.nodes.capacity[node];
        Peak { share: if capacity > 0.0 { highest.1 / capacity } else { 0.0 }, step: highest.0 }
    }
}

/// What a replica costs its node, in parts of the leader's load.
pub(super) fn part(view: &ClusterView, shard: usize, leads: bool) -> f32 {
    if leads { 1.0 } else { view.shards.follower_share[shard] }
}
