//! The shell of a forecasting component: the contract's types on one side, [`ForecastingPolicy`] on the other.

use crate::{Failure, ForecastingPolicy};
use bindings::exports::isobar::policy::{forecasting, lifecycle};
use bindings::isobar::policy::types;
use isobar_model::{ForecastRequest, InstantMs, Link, LoadBatch, Metric, Relations, ShardId};
use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;

/// What `wit/` says.
#[expect(missing_docs, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "forecasting-policy",
        pub_export_macro: true,
        export_macro_name: "export_forecaster",
        default_bindings_module: "forecasting_kit::guest::bindings",
    });
}

thread_local! {
    /// The instance's state. A component has one thread, and one policy.
    static POLICY: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// The component of policy `P`; export it with `export_forecaster!`.
#[derive(Debug)]
pub struct Shell<P>(PhantomData<P>);

impl<P: ForecastingPolicy + 'static> lifecycle::Guest for Shell<P> {
    fn describe() -> types::Description {
        types::Description {
            name: P::NAME.to_owned(),
            version: P::VERSION.to_owned(),
            config_schema: P::CONFIG_SCHEMA.to_owned(),
        }
    }

    fn open(config: String, saved: Option<Vec<u8>>) -> Result<(), types::Failure> {
        let mut policy = P::new(&config)?;
        if let Some(saved) = saved {
            policy.restore(&saved).map_err(types::Failure::Other)?;
        }
        POLICY.set(Some(Box::new(policy)));
        Ok(())
    }

    fn save() -> Result<Vec<u8>, types::Failure> {
        with(|policy: &mut P| policy.save())
    }
}

impl<P: ForecastingPolicy + 'static> forecasting::Guest for Shell<P> {
    fn observe(batch: forecasting::LoadBatch) -> Result<(), types::Failure> {
        let batch = LoadBatch {
            metric: batch.metric.into(),
            start: InstantMs(batch.start),
            step_ms: batch.step_ms,
            steps: batch.steps,
            shards: batch.shards.into_iter().map(ShardId).collect(),
            values: batch.values,
        };
        with(|policy: &mut P| policy.observe(&batch))
    }

    fn predict(request: forecasting::Request) -> Result<forecasting::ForecastBatch, types::Failure> {
        let request = ForecastRequest {
            metric: request.metric.into(),
            shards: request.shards.into_iter().map(ShardId).collect(),
            horizon: request.horizon,
            quantiles: request.quantiles,
            peak_steps: request.peak_steps,
        };
        let batch = with(|policy: &mut P| policy.predict(&request))?;
        Ok(forecasting::ForecastBatch { values: batch.values, peaks: batch.peaks })
    }

    fn relate(
        metric: types::Metric,
        links: Vec<forecasting::Link>,
        clusters: Vec<Vec<u64>>,
    ) -> Result<(), types::Failure> {
        let link = |link: forecasting::Link| Link {
            follower: ShardId(link.follower),
            leader: ShardId(link.leader),
            lag_steps: link.lag,
            strength: link.strength,
            gain: link.gain,
        };
        let relations = Relations {
            links: links.into_iter().map(link).collect(),
            clusters: clusters.into_iter().map(|shards| shards.into_iter().map(ShardId).collect()).collect(),
        };
        with(|policy: &mut P| policy.relate(metric.into(), &relations))
    }

    fn forget(shards: Vec<u64>) {
        let shards: Vec<ShardId> = shards.into_iter().map(ShardId).collect();
        // Before `open` there is nothing to forget.
        let _ = with(|policy: &mut P| {
            policy.forget(&shards);
            Ok(())
        });
    }
}

fn with<P: ForecastingPolicy + 'static, T>(
    call: impl FnOnce(&mut P) -> Result<T, Failure>,
) -> Result<T, types::Failure> {
    POLICY.with_borrow_mut(|policy| {
        let policy = policy.as_mut().and_then(|policy| policy.downcast_mut());
        let policy = policy.ok_or_else(|| types::Failure::Other("`open` was not called, or failed".to_owned()))?;
        Ok(call(policy)?)
    })
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Config(text) => Self::Config(text),
            Failure::NotReady(text) => Self::NotReady(text),
            Failure::Other(text) => Self::Other(text),
        }
    }
}

impl From<types::Metric> for Metric {
    fn from(metric: types::Metric) -> Self {
        match metric {
            types::Metric::Load => Self::Load,
            types::Metric::ReadOps => Self::ReadOps,
            types::Metric::WriteOps => Self::WriteOps,
            types::Metric::ReadBytes => Self::ReadBytes,
            types::Metric::WriteBytes => Self::WriteBytes,
            types::Metric::StorageIops => Self::StorageIops,
            types::Metric::CpuMillicores => Self::CpuMillicores,
            types::Metric::MemoryBytes => Self::MemoryBytes,
            types::Metric::NetworkBytes => Self::NetworkBytes,
        }
    }
}
