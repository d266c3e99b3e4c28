//! The policies, by name.

use crate::track_run;
use anyhow::{Context, bail};
use isobar_model::{Digest, Role};
use isobar_policy::WasmHost;
use isobar_ports::PolicyHost;
use isobar_sim::{AssessPolicies, CLAIRVOYANT_CONFIG, MakePlacer};
use std::sync::Arc;

/// Compiles what is needed. The clairvoyant arm is always `predictive`'s, so that what can be gained does not depend on who tries.
pub(super) fn open(host: WasmHost, forecaster: &Chosen<'_>, placer: &Chosen<'_>) -> anyhow::Result<AssessPolicies> {
    let forecasting = track_run::forecaster(&host, forecaster.policy)?;
    let (reactive, predictive) = (placer_named(&host, "reactive")?, placer_named(&host, "predictive")?);
    let chosen = if placer.policy == "predictive" { predictive } else { placer_named(&host, placer.policy)? };
    let host: Arc<dyn PolicyHost> = Arc::new(host);
    let placing = |digest: Digest, config: &str| -> MakePlacer {
        let (host, config) = (Arc::clone(&host), config.to_owned());
        Arc::new(move || host.placer(&digest, &config, None))
    };
    let config = forecaster.config.to_owned();
    let policies = AssessPolicies {
        reactive: placing(reactive, "{}"),
        predictive: placing(chosen, placer.config),
        clairvoyant: placing(predictive, CLAIRVOYANT_CONFIG),
        forecaster: Arc::new(move || host.forecaster(&forecasting, &config, None)),
    };
    // A configuration that does not fit is said before anything is read.
    (policies.predictive)().with_context(|| format!("{} does not open", placer.policy))?;
    (policies.forecaster)().with_context(|| format!("{} does not open", forecaster.policy))?;
    Ok(policies)
}

/// A policy that was asked for.
pub(super) struct Chosen<'a> {
    pub(super) policy: &'a str,
    /// As JSON.
    pub(super) config: &'a str,
}

fn placer_named(host: &WasmHost, policy: &str) -> anyhow::Result<Digest> {
    let inspection = track_run::artifact(host, policy, Role::Place)?;
    match inspection.role {
        Role::Place => Ok(inspection.digest),
        Role::Forecast => bail!("{policy} forecasts load; a placer is one that places shards"),
    }
}
