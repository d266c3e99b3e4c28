//! The host: one engine, one clock, one vault, and the policies at hand.

use crate::artifact;
use crate::compile::Compiler;
use crate::contract::{self, ForecastingPolicyPre, Lifecycle, PlacementPolicyPre};
use crate::epoch_clock::EpochClock;
use crate::instance::Instance;
use crate::limits::{Limits, Work};
use crate::registry::{Compiled, Linked, Registry};
use crate::sandbox::{self, Opener, Sandbox, Tenant};
use crate::vault::Vault;
use isobar_model::{Description, Digest, Role};
use isobar_ports::{Forecaster, Inspection, Placer, PolicyFailure, PolicyHost, Rejection};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

/// Makes one of a native built-in policy.
pub type Factory<T> = Box<dyn Fn() -> Box<T> + Send + Sync>;

/// What a host is made of.
pub struct WasmHostConfig {
    /// Where compiled artifacts are kept; made if it is not there. For this process's user alone.
    pub cache_dir: PathBuf,
    /// Where artifacts are compiled.
    pub compiler: Compiler,
    /// What policies may use.
    pub limits: Limits,
    /// The native forecaster that is always there.
    pub builtin_forecaster: Factory<dyn Forecaster>,
    /// The native placer that is always there.
    pub builtin_placer: Factory<dyn Placer>,
}

impl fmt::Debug for WasmHostConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmHostConfig")
            .field("cache_dir", &self.cache_dir)
            .field("compiler", &self.compiler)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The directory for compiled artifacts can't be used.
    #[error("can't keep compiled policies in {}: {error}; make it writable or name another directory", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
    /// The machine is not one that wasmtime runs on, or gives no threads.
    #[error("policies can't run here: {0}")]
    Engine(String),
}

/// Runs policies that are WebAssembly components.
pub struct WasmHost {
    engine: Engine,
    linker: Linker<Tenant>,
    clock: Arc<EpochClock>,
    vault: Vault,
    registry: Registry,
    config: WasmHostConfig,
}

impl fmt::Debug for WasmHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmHost").field("config", &self.config).finish_non_exhaustive()
    }
}

impl WasmHost {
    /// Starts a host.
    pub fn new(config: WasmHostConfig) -> Result<Self, HostError> {
        let engine = sandbox::engine().map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let linker = contract::linker(&engine).map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let clock = EpochClock::start(&engine).map_err(|error| HostError::Engine(error.to_string()))?;
        let vault = Vault::open(&config.cache_dir, &engine)
            .map_err(|error| HostError::Cache { path: config.cache_dir.clone(), error })?;
        Ok(Self { engine, linker, clock: Arc::new(clock), vault, registry: Registry::default(), config })
    }

    /// What policies may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// The policy at hand, from memory or from the vault.
    fn ready(&self, digest: &Digest) -> Option<Arc<Compiled>> {
        if let Some(compiled) = self.registry.get(digest) {
            return Some(compiled);
        }
        let code = self.vault.load(digest)?;
        match self.link(&code) {
            Ok(compiled) => Some(self.keep(*digest, compiled)),
            Err(Rejection(reason)) => {
                tracing::warn!(%digest, reason, "a compiled policy can't be loaded; it is compiled again");
                None
            }
        }
    }

    fn keep(&self, digest: Digest, compiled: Compiled) -> Arc<Compiled> {
        let compiled = Arc::new(compiled);
        self.registry.insert(digest, Arc::clone(&compiled));
        compiled
    }

    fn compile(&self, digest: Digest, artifact: &[u8]) -> Result<Arc<Compiled>, Rejection> {
        let code = self.config.compiler.compile(&self.engine, artifact, self.vault.folder())?;
        let compiled = self.link(&code)?;
        if let Err(error) = self.vault.store(&digest, &code) {
            // It runs all the same; the next start compiles again.
            tracing::warn!(%digest, %error, "a compiled policy could not be kept");
        }
        Ok(self.keep(digest, compiled))
    }

    /// Loads machine code and checks every function's type against the contract.
    fn link(&self, code: &[u8]) -> Result<Compiled, Rejection> {
        // SAFETY: the bytes are wasmtime's own output for this engine: either our compiler has just made them, or the vault has checked
        // their tag.
        let component = unsafe { Component::deserialize(&self.engine, code) }
            .map_err(|error| Rejection(format!("the compiled component can't be loaded: {error:#}")))?;
        let kind = component.component_type();
        let imports: Vec<_> = kind.imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        let exports: Vec<_> = kind.exports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        let role = artifact::role_of(&imports, &exports)?;
        let linked = self.linker.instantiate_pre(&component).and_then(|linked| match role {
            Role::Forecast => ForecastingPolicyPre::new(linked).map(Linked::Forecast),
            Role::Place => PlacementPolicyPre::new(linked).map(Linked::Place),
        });
        let linked = linked.map_err(|error| {
            Rejection(format!(
                "the component does not fit the contract {}: {error:#}; build it against the host's wit/policy.wit",
                artifact::CONTRACT
            ))
        })?;
        Ok(Compiled { linked, imports })
    }

    fn start<B: Lifecycle>(&self, name: &str, open: Opener<B>) -> Result<Instance<B>, PolicyFailure> {
        let limits = self.config.limits;
        let sandbox = Sandbox::start(&self.engine, &self.clock, name, limits.effective(Work::default()), open)?;
        Ok(Instance::new(sandbox, limits))
    }

    fn describe(&self, name: &str, compiled: &Compiled) -> Result<Description, PolicyFailure> {
        match &compiled.linked {
            Linked::Forecast(linked) => {
                let linked = linked.clone();
                self.start(name, Box::new(move |guest| linked.instantiate(guest)))?.describe()
            }
            Linked::Place(linked) => {
                let linked = linked.clone();
                self.start(name, Box::new(move |guest| linked.instantiate(guest)))?.describe()
            }
        }
    }

    fn find(&self, digest: &Digest) -> Result<Arc<Compiled>, PolicyFailure> {
        self.ready(digest).ok_or_else(|| {
            PolicyFailure::Unavailable(format!("policy {} is not compiled on this node yet", digest.short()))
        })
    }
}

fn wrong_role(digest: &Digest, is: Role, asked: Role) -> PolicyFailure {
    let name = |role| match role {
        Role::Forecast => "forecasts",
        Role::Place => "places",
    };
    PolicyFailure::Unavailable(format!("policy {} {}; asked is one that {}", digest.short(), name(is), name(asked)))
}

impl PolicyHost for WasmHost {
    fn inspect(&self, artifact: &[u8]) -> Result<Inspection, Rejection> {
        let started = Instant::now();
        // Sizes and interfaces before anything costly.
        artifact::examine(artifact)?;
        let digest = Digest::of(artifact);
        let compiled = match self.ready(&digest) {
            Some(compiled) => compiled,
            None => self.compile(digest, artifact)?,
        };
        let compile_ms = started.elapsed().as_millis() as u64;
        let description = self
            .describe(&digest.short(), &compiled)
            .map_err(|failure| Rejection(format!("the policy does not describe itself: {failure}")))?;
        tracing::info!(policy = description.name, revision = %digest, compile_ms, "a policy is ready");
        Ok(Inspection {
            digest,
            role: compiled.linked.role(),
            description,
            imports: compiled.imports.clone(),
            compile_ms,
        })
    }

    fn forecaster(
        &self,
        digest: &Digest,
        config: &str,
        saved: Option<&[u8]>,
    ) -> Result<Box<dyn Forecaster>, PolicyFailure> {
        let compiled = self.find(digest)?;
        let Linked::Forecast(linked) = &compiled.linked else {
            return Err(wrong_role(digest, compiled.linked.role(), Role::Forecast));
        };
        let linked = linked.clone();
        let mut instance = self.start(&digest.short(), Box::new(move |guest| linked.instantiate(guest)))?;
        instance.open(config, saved)?;
        Ok(Box::new(instance))
    }

    fn placer(&self, digest: &Digest, config: &str, saved: Option<&[u8]>) -> Result<Box<dyn Placer>, PolicyFailure> {
        let compiled = self.find(digest)?;
        let Linked::Place(linked) = &compiled.linked else {
            return Err(wrong_role(digest, compiled.linked.role(), Role::Place));
        };
        let linked = linked.clone();
        let mut instance = self.start(&digest.short(), Box::new(move |guest| linked.instantiate(guest)))?;
        instance.open(config, saved)?;
        Ok(Box::new(instance))
    }

    fn builtin_forecaster(&self) -> Box<dyn Forecaster> {
        (self.config.builtin_forecaster)()
    }

    fn builtin_placer(&self) -> Box<dyn Placer> {
        (self.config.builtin_placer)()
    }
}
