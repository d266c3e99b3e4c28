//! Policies for tools that need no cluster: those that come with Isobar run natively, others, or all where that is wished, as components in the
//! sandbox that a node runs them in.

use crate::track_run::{artifact, tool_host};
use anyhow::{Context as _, bail};
use isobar_bundle::{native_forecaster, native_placer};
use isobar_model::{Digest, Role};
use isobar_policy::WasmHost;
use isobar_ports::{PolicyFailure, PolicyHost};
use isobar_sim::{MakeForecaster, MakePlacer};
use std::sync::{Arc, OnceLock};

/// Opens policies by name, or from a component's file.
pub(crate) struct ToolPolicies {
    wasm: bool,
    /// Set up only where something runs in it; what it compiled lies in the folder, and is gone with it.
    sandbox: OnceLock<(Arc<WasmHost>, tempfile::TempDir)>,
}

impl std::fmt::Debug for ToolPolicies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolPolicies").field("wasm", &self.wasm).finish_non_exhaustive()
    }
}

impl ToolPolicies {
    /// `wasm`: all of them in the sandbox.
    #[must_use]
    pub(crate) fn new(wasm: bool) -> Self {
        Self { wasm, sandbox: OnceLock::new() }
    }

    /// Whether any of those opened runs in the sandbox.
    #[must_use]
    pub(crate) fn are_sandboxed(&self) -> bool {
        self.sandbox.get().is_some()
    }

    /// A forecaster, opened once to see that it can be.
    pub(crate) fn forecaster(&self, name: &str, config: &str) -> anyhow::Result<MakeForecaster> {
        let (text, config) = (name.to_owned(), config.to_owned());
        let is_native = !self.wasm && native_forecaster(name, &config).with_context(|| name.to_owned())?.is_some();
        let make: MakeForecaster = if is_native {
            Arc::new(move || native_forecaster(&text, &config)?.ok_or_else(|| gone(&text)))
        } else {
            let (host, digest) = self.compiled(name, Role::Forecast)?;
            Arc::new(move || host.forecaster(&digest, &config, None))
        };
        make().with_context(|| name.to_owned())?;
        Ok(make)
    }

    /// A placer, opened once to see that it can be.
    pub(crate) fn placer(&self, name: &str, config: &str) -> anyhow::Result<MakePlacer> {
        let (text, config) = (name.to_owned(), config.to_owned());
        let is_native = !self.wasm && native_placer(name, &config).with_context(|| name.to_owned())?.is_some();
        let make: MakePlacer = if is_native {
            Arc::new(move || native_placer(&text, &config)?.ok_or_else(|| gone(&text)))
        } else {
            let (host, digest) = self.compiled(name, Role::Place)?;
            Arc::new(move || host.placer(&digest, &config, None))
        };
        make().with_context(|| name.to_owned())?;
        Ok(make)
    }

    fn compiled(&self, name: &str, role: Role) -> anyhow::Result<(Arc<WasmHost>, Digest)> {
        let host = match self.sandbox.get() {
            Some((host, _)) => host,
            None => {
                let (host, folder) = tool_host()?;
                &self.sandbox.get_or_init(|| (Arc::new(host), folder)).0
            }
        };
        let inspected = artifact(host, name, role)?;
        match (inspected.role, role) {
            (Role::Forecast, Role::Forecast) | (Role::Place, Role::Place) => Ok((Arc::clone(host), inspected.digest)),
            (Role::Forecast, Role::Place) => {
                bail!("{name} forecasts load, and a placer is wanted: give it as --forecaster")
            }
            (Role::Place, Role::Forecast) => bail!("{name} places shards, and a forecaster is wanted"),
        }
    }
}

fn gone(name: &str) -> PolicyFailure {
    PolicyFailure::Unavailable(format!("no policy {name} in this build"))
}
