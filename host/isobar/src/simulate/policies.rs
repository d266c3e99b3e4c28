use super::SimulateArgs;
use crate::tool_policies::ToolPolicies;
use anyhow::Context as _;
use isobar_sim::{Arms, CLAIRVOYANT_CONFIG, MakeForecaster, MakePlacer, Simulation};
use std::sync::Arc;

/// The policies of a run, opened once to see that they can be.
pub(super) struct Policies {
    forecaster: MakeForecaster,
    reactive: MakePlacer,
    predictive: MakePlacer,
    clairvoyant: MakePlacer,
    own: Option<MakePlacer>,
    tools: ToolPolicies,
}

impl Policies {
    pub(super) fn open(args: &SimulateArgs) -> anyhow::Result<Self> {
        let tools = ToolPolicies::new(args.wasm);
        let own = args.policy.as_deref().map(|name| tools.placer(name, &args.policy_config)).transpose()?;
        Ok(Self {
            forecaster: tools.forecaster(&args.forecaster, &args.forecaster_config)?,
            reactive: tools.placer("reactive", "{}")?,
            predictive: tools.placer("predictive", "{}")?,
            clairvoyant: tools.placer("predictive", CLAIRVOYANT_CONFIG)?,
            own,
            tools,
        })
    }

    /// Whether any of them runs in the sandbox.
    pub(super) fn is_sandboxed(&self) -> bool {
        self.tools.are_sandboxed()
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
