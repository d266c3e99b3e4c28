use super::SimulateArgs;
use crate::track_run::{artifact, tool_host};
use anyhow::{Context as _, bail};
use isobar_bundle::{native_forecaster, native_placer};
use isobar_model::Role;
use isobar_policy::WasmHost;
use isobar_ports::{PolicyFailure, PolicyHost};
use isobar_sim::{Arms, CLAIRVOYANT_CONFIG, MakeForecaster, MakePlacer, Simulation};
use std::sync::Arc;

/// The policies of a run, opened once to see that they can be.
pub(super) struct Policies {
    forecaster: MakeForecaster,
    reactive: MakePlacer,
    predictive: MakePlacer,
    clairvoyant: MakePlacer,
    own: Option<MakePlacer>,
    sandboxed: bool,
    /// What the sandbox compiled lies there; gone with it.
    _folder: Option<tempfile::TempDir>,
}

impl Policies {
    pub(super) fn open(args: &SimulateArgs) -> anyhow::Result<Self> {
        let (forecasts_natively, places_natively) = (
            !args.wasm && native_forecaster(&args.forecaster, &args.forecaster_config)?.is_some(),
            args.policy
                .as_deref()
                .map(|name| anyhow::Ok(!args.wasm && native_placer(name, &args.policy_config)?.is_some())),
        );
        let places_natively = places_natively.transpose()?.unwrap_or(true);
        let sandboxed = args.wasm || !forecasts_natively || !places_natively;
        // The sandbox is set up only where something runs in it.
        let (host, folder) = match sandboxed.then(tool_host).transpose()? {
            Some((host, folder)) => (Some(Arc::new(host)), Some(folder)),
            None => (None, None),
        };
        let opener = Opener { host, wasm: args.wasm };
        let policies = Self {
            forecaster: opener.forecaster(&args.forecaster, &args.forecaster_config)?,
            reactive: opener.placer("reactive", "{}")?,
            predictive: opener.placer("predictive", "{}")?,
            clairvoyant: opener.placer("predictive", CLAIRVOYANT_CONFIG)?,
            own: args.policy.as_deref().map(|name| opener.placer(name, &args.policy_config)).transpose()?,
            sandboxed,
            _folder: folder,
        };
        (policies.forecaster)().with_context(|| args.forecaster.clone())?;
        if let (Some(own), Some(name)) = (&policies.own, &args.policy) {
            own().with_context(|| name.clone())?;
        }
        Ok(policies)
    }

    /// Whether any of them runs in the sandbox.
    pub(super) fn is_sandboxed(&self) -> bool {
        self.sandboxed
    }

    pub(super) fn arms(&self, simulation: &Simulation) -> Arms {
        let forecaster = Arc::clone(&self.forecaster);
        let (reactive, predictive) = (Arc::clone(&self.reactive), Arc::clone(&self.predictive));
        Arms::new(Arc::clone(&simulation.scenario), forecaster, reactive, predictive)
            .with_clairvoyant(Arc::clone(&self.clairvoyant))
            .with_settings(simulation.times, simulation.config.clone())
    }

    /// The policy that was given beside the arms.
    pub(super) fn own(&self, name: &str) -> anyhow::Result<MakePlacer> {
        self.own.clone().with_context(|| format!("no policy {name} was given"))
    }
}

struct Opener {
    host: Option<Arc<WasmHost>>,
    wasm: bool,
}

impl Opener {
    fn forecaster(&self, name: &str, config: &str) -> anyhow::Result<MakeForecaster> {
        let (text, config) = (name.to_owned(), config.to_owned());
        if !self.wasm && native_forecaster(name, &config)?.is_some() {
            return Ok(Arc::new(move || native_forecaster(&text, &config)?.ok_or_else(|| gone(&text))));
        }
        let (host, digest) = self.compiled(name, Role::Forecast)?;
        Ok(Arc::new(move || host.forecaster(&digest, &config, None)))
    }

    fn placer(&self, name: &str, config: &str) -> anyhow::Result<MakePlacer> {
        let (text, config) = (name.to_owned(), config.to_owned());
        if !self.wasm && native_placer(name, &config)?.is_some() {
            return Ok(Arc::new(move || native_placer(&text, &config)?.ok_or_else(|| gone(&text))));
        }
        let (host, digest) = self.compiled(name, Role::Place)?;
        Ok(Arc::new(move || host.placer(&digest, &config, None)))
    }

    fn compiled(&self, name: &str, role: Role) -> anyhow::Result<(Arc<WasmHost>, isobar_model::Digest)> {
        let host = self.host.clone().context("the sandbox was not set up")?;
        let inspected = artifact(&host, name, role)?;
        match (inspected.role, role) {
            (Role::Forecast, Role::Forecast) | (Role::Place, Role::Place) => Ok((host, inspected.digest)),
            (Role::Forecast, Role::Place) => bail!("{name} forecasts: give it as --forecaster"),
            (Role::Place, Role::Forecast) => bail!("{name} places shards: give it as --policy"),
        }
    }
}

fn gone(name: &str) -> PolicyFailure {
    PolicyFailure::Unavailable(format!("no policy {name} in this build"))
}
