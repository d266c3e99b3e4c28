use crate::board::Step;
use isobar_model::{ClusterView, Resource};

/// What nodes use of each resource once what is in flight, and what was proposed so far, is done: whether a move would fill one, as the host judges
/// it by its rule `resource-headroom`. Empty, and of no cost, where no node declares any.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    of: Vec<Use>,
    /// The forecast's quantile next to one half.
    median: usize,
}

/// Use of one resource by node: now, and forecast, `later[node * steps + step]`.
#[derive(Clone, Debug)]
struct Use {
    now: Vec<f32>,
    later: Vec<f32>,
}

impl Rooms {
    /// As the view has it; moves in flight are told of by [`Rooms::moves`].
    pub(crate) fn new(view: &ClusterView) -> Self {
        let off = |q: &usize| (view.quantiles[*q] - 0.5).abs();
        let median = (0..view.quantiles.len()).min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(0);
        let mut rooms = Self { of: Vec::new(), median };
        let steps = view.steps as usize;
        for resource in &view.resources {
            let mut of = Use { now: resource.used.clone(), later: resource.background.clone() };
            for shard in 0..view.shards.ids.len() {
                let path = rooms.path(view, shard);
                for (slot, &node) in view.shards.replicas_of(shard).iter().enumerate() {
                    let part = known(resource.use_of(shard, slot == 0));
                    let later = &mut of.later[node as usize * steps..(node as usize + 1) * steps];
                    later.iter_mut().zip(path).for_each(|(later, load)| *later += part * known(*load));
                }
            }
            rooms.of.push(of);
        }
        rooms
    }

    /// A shard's leader load as forecast; empty where nothing is.
    fn path<'a>(&self, view: &'a ClusterView, shard: usize) -> &'a [f32] {
        let steps = view.steps as usize;
        let row = (shard * view.quantiles.len() + self.median) * steps;
        view.shards.predicted.get(row..row + steps).unwrap_or_default()
    }

    /// Whether no resource of `target` would by this step be fuller than it may be, and than the source's then is. By the present use or by that
    /// from the move's end until the shard may move again: whichever is in its favour.
    pub(crate) fn allow(&self, view: &ClusterView, step: Step, source: usize, target: usize) -> bool {
        if self.of.is_empty() {
            return true;
        }
        let (shard, steps) = (step.shard(), view.steps as usize);
        let duration = match step {
            Step::Lead { .. } => view.limits.leader_steps,
            Step::Relocate { .. } => view.shards.move_steps[shard],
        };
        let arrival = (known(duration).ceil() as usize).min(steps.saturating_sub(1));
        let stays = view.limits.cool_down_ms.div_ceil(u64::from(view.step_ms.max(1))).max(1);
        let leaves = arrival.saturating_add(usize::try_from(stays).unwrap_or(usize::MAX)).min(steps);
        let path = self.path(view, shard).get(arrival..leaves).unwrap_or_default();
        view.resources.iter().zip(&self.of).all(|(resource, of)| {
            let part = moved(resource, step);
            if part <= 0.0 {
                return true;
            }
            let share = |node: usize, used: f32| {
                let capacity = resource.capacity[node];
                if capacity > 0.0 { used.max(0.0) / capacity } else { 0.0 }
            };
            let fits = |source: f32, target: f32| target <= view.limits.max_utilisation || target <= source;
            let load = part * known(view.shards.leader_load[shard]);
            let now = (share(source, of.now[source] - load), share(target, of.now[target] + load));
            let mut later = if steps == 0 { now } else { (0.0_f32, 0.0_f32) };
            for (at, load) in (arrival..).zip(path) {
                let load = part * known(*load);
                later.0 = later.0.max(share(source, of.later[source * steps + at] - load));
                later.1 = later.1.max(share(target, of.later[target * steps + at] + load));
            }
            fits(now.0, now.1) || fits(later.0, later.1)
        })
    }

    /// A step is to be done, or is in flight.
    pub(crate) fn moves(&mut self, view: &ClusterView, step: Step, source: usize, target: usize) {
        if self.of.is_empty() {
            return;
        }
        let (shard, steps) = (step.shard(), view.steps as usize);
        let (path, load) = (self.path(view, shard), known(view.shards.leader_load[shard]));
        for (resource, of) in view.resources.iter().zip(&mut self.of) {
            let part = moved(resource, step);
            for (node, part) in [(source, -part), (target, part)] {
                of.now[node] += part * load;
                let later = &mut of.later[node * steps..(node + 1) * steps];
                later.iter_mut().zip(path).for_each(|(later, load)| *later += part * known(*load));
            }
        }
    }
}

/// What goes along with a step, per unit of the shard's leader load.
fn moved(resource: &Resource, step: Step) -> f32 {
    let shard = step.shard();
    match step {
        Step::Lead { .. } => known(resource.use_of(shard, true)) - known(resource.use_of(shard, false)),
        Step::Relocate { slot, .. } => known(resource.use_of(shard, slot == 0)),
    }
}

fn known(value: f32) -> f32 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}
