//! Instances of policies behind the port's traits.

use crate::check;
use crate::contract::{self, Batch, ForecastingPolicy, Lifecycle, PlacementPolicy, Related, Request, View};
use crate::limits::{Effective, Limits, MAX_SAVED_BYTES, Work};
use crate::sandbox::Sandbox;
use isobar_model::{
    ClusterView, Description, ForecastBatch, ForecastRequest, LoadBatch, Metric, Plan, Relations, ShardId,
};
use isobar_ports::{Forecaster, Placer, PolicyFailure, Usage};

/// A running policy of either role.
pub(crate) struct Instance<B: 'static> {
    sandbox: Sandbox<B>,
    limits: Limits,
    /// Most shards it was shown so far: what its memory and its save are bounded by.
    rows: usize,
}

/// A question of the host's that breaks the contract. It never reaches the guest, and is not held against it.
fn ill_posed(what: String) -> PolicyFailure {
    PolicyFailure::Unavailable(format!("the host asked outside the contract: {what}"))
}

impl<B: Lifecycle> Instance<B> {
    pub(crate) fn new(sandbox: Sandbox<B>, limits: Limits) -> Self {
        Self { sandbox, limits, rows: 0 }
    }

    pub(crate) fn describe(&mut self) -> Result<Description, PolicyFailure> {
        let limits = self.effective(0, 0, 0);
        let said = self.sandbox.call(limits, |world, guest| world.describe(guest))?;
        check::description(said).map_err(|what| self.invalid(what))
    }

    pub(crate) fn open(&mut self, config: &str, saved: Option<&[u8]>) -> Result<(), PolicyFailure> {
        // No configuration at all stands for an empty one.
        let config = if config.trim().is_empty() { "{}" } else { config };
        check::config(config).map_err(PolicyFailure::Config)?;
        let saved = saved.map(<[u8]>::to_vec);
        let saved_bytes = saved.as_ref().map_or(0, Vec::len);
        if saved_bytes > MAX_SAVED_BYTES {
            return Err(ill_posed(format!("a saved state of {saved_bytes} bytes")));
        }
        let mut limits = self.effective(0, saved_bytes / size_of::<f32>(), 0);
        // Reading a state takes its bytes, what they become, and room to grow.
        limits.memory_bytes = limits.memory_bytes.saturating_add(4 * saved_bytes);
        let config = config.to_owned();
        self.sandbox.call(limits, move |world, guest| world.open(guest, &config, saved.as_deref()))
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        let limits = self.effective(self.rows, 0, MAX_SAVED_BYTES);
        let state = self.sandbox.call(limits, |world, guest| world.save(guest))?;
        check::saved(state).map_err(|what| self.invalid(what))
    }

    fn effective(&mut self, rows: usize, cells: usize, answer_bytes: usize) -> Effective {
        self.rows = self.rows.max(rows);
        self.limits.effective(Work { rows, cells, answer_bytes })
    }

    fn invalid(&mut self, what: String) -> PolicyFailure {
        self.sandbox.kill(PolicyFailure::Invalid(what))
    }
}

impl Forecaster for Instance<ForecastingPolicy> {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        check::batch(batch).map_err(ill_posed)?;
        let limits = self.effective(batch.shards.len(), batch.values.len(), 0);
        let batch = Batch::from(batch);
        self.sandbox.call(limits, move |world, guest| contract::observe(world, guest, &batch))
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        check::request(request).map_err(ill_posed)?;
        let (rows, quantiles) = (request.shards.len(), request.quantiles.len());
        let values = rows * quantiles * (request.horizon as usize + 1);
        let limits = self.effective(rows, values, values * size_of::<f32>());
        let asked = Request::from(request);
        let answer = self.sandbox.call(limits, move |world, guest| contract::predict(world, guest, &asked))?;
        check::forecast(request, answer).map_err(|what| self.invalid(what))
    }

    fn relate(&mut self, metric: Metric, relations: &Relations) -> Result<(), PolicyFailure> {
        check::relations(relations).map_err(ill_posed)?;
        // Each link, and each shard's place in a cluster, may be learnt from at once.
        let told = relations.links.len() + relations.clusters.iter().map(Vec::len).sum::<usize>();
        let limits = self.effective(told, told, 0);
        let related = Related::new(metric, relations);
        self.sandbox.call(limits, move |world, guest| contract::relate(world, guest, &related))
    }

    fn forget(&mut self, shards: &[ShardId]) -> Result<(), PolicyFailure> {
        let ids: Vec<u64> = shards.iter().map(|id| id.0).collect();
        let limits = self.effective(ids.len(), 0, 0);
        self.sandbox.call(limits, move |world, guest| contract::forget(world, guest, &ids))
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Self::save(self)
    }

    fn usage(&self) -> Usage {
        self.sandbox.usage()
    }
}

impl Placer for Instance<PlacementPolicy> {
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure> {
        check::view(view).map_err(ill_posed)?;
        // A placer may weigh every shard against every node.
        let pairs = view.shards.ids.len().saturating_mul(view.nodes.ids.len());
        let cells = pairs.saturating_add(view.shards.predicted.len()).saturating_add(view.nodes.background.len());
        // Ten thousand moves with their reasons are 6 MiB; the spare part of every answer and this hold them and the notes.
        let limits = self.effective(view.shards.ids.len(), cells, 4 << 20);
        let asked = View::from(view);
        let answer = self.sandbox.call(limits, move |world, guest| contract::propose(world, guest, &asked))?;
        check::plan(view, answer).map_err(|what| self.invalid(what))
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Self::save(self)
    }

    fn usage(&self) -> Usage {
        self.sandbox.usage()
    }
}
