//! The policies, by name.

use crate::track_run;
use anyhow::{Context, anyhow, bail};
use isobar_bundle::first_party;
use isobar_model::policy::MAX_ARTIFACT_BYTES;
use isobar_model::{Digest, Role};
use isobar_policy::WasmHost;
use isobar_ports::PolicyHost;
use isobar_sim::{AssessPolicies, MakePlacer};
use std::sync::Arc;

/// Whoever knows the future needs no caution: its moves cost next to nothing.
const CLAIRVOYANT: &str = r#"{"transfer_price_s":1,"move_price_s":2,"allowance":1000}"#;

/// Compiles what is needed. The clairvoyant arm is always `predictive`'s, so that what can be gained does not depend on who tries.
pub(super) fn open(host: WasmHost, forecaster: &str, placer: &str) -> anyhow::Result<AssessPolicies> {
    let forecaster = track_run::forecaster(&host, forecaster)?;
    let (reactive, predictive) = (placer_named(&host, "reactive")?, placer_named(&host, "predictive")?);
    let chosen = if placer == "predictive" { predictive } else { placer_named(&host, placer)? };
    let host: Arc<dyn PolicyHost> = Arc::new(host);
    let placing = |digest: Digest, config: &'static str| -> MakePlacer {
        let host = Arc::clone(&host);
        Arc::new(move || host.placer(&digest, config, None))
    };
    Ok(AssessPolicies {
        reactive: placing(reactive, "{}"),
        predictive: placing(chosen, "{}"),
        clairvoyant: placing(predictive, CLAIRVOYANT),
        forecaster: Arc::new(move || host.forecaster(&forecaster, "{}", None)),
    })
}

fn placer_named(host: &WasmHost, policy: &str) -> anyhow::Result<Digest> {
    let read;
    let component = match first_party().iter().find(|known| known.name == policy) {
        Some(known) => known.component,
        None => {
            let size = std::fs::metadata(policy).with_context(|| {
                let placers = first_party().iter().filter(|known| known.role == Role::Place);
                let names = placers.map(|known| known.name).collect::<Vec<_>>().join(", ");
                format!("{policy} is neither a placer that comes with Isobar ({names}) nor a file that can be read")
            })?;
            if size.len() > MAX_ARTIFACT_BYTES as u64 {
                bail!("{policy} has {} bytes; a policy may have {MAX_ARTIFACT_BYTES} at most", size.len());
            }
            read = std::fs::read(policy).with_context(|| format!("{policy} can't be read"))?;
            &read
        }
    };
    let inspection = host.inspect(component).map_err(|why| anyhow!("{policy} is no policy: {why}"))?;
    match inspection.role {
        Role::Place => Ok(inspection.digest),
        Role::Forecast => bail!("{policy} forecasts load; --placer wants one that places shards"),
    }
}
