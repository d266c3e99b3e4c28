//! The policies, by name.

use crate::tool_policies::ToolPolicies;
use isobar_sim::{AssessPolicies, CLAIRVOYANT_CONFIG};

/// A policy that was asked for.
pub(super) struct Chosen<'a> {
    pub(super) policy: &'a str,
    /// As JSON.
    pub(super) config: &'a str,
}

/// Opens what is needed. The clairvoyant arm is always `predictive`'s, so that what can be gained does not depend on who tries.
pub(super) fn open(
    tools: &ToolPolicies,
    forecaster: &Chosen<'_>,
    placer: &Chosen<'_>,
) -> anyhow::Result<AssessPolicies> {
    Ok(AssessPolicies {
        forecaster: tools.forecaster(forecaster.policy, forecaster.config)?,
        predictive: tools.placer(placer.policy, placer.config)?,
        reactive: tools.placer("reactive", "{}")?,
        clairvoyant: tools.placer("predictive", CLAIRVOYANT_CONFIG)?,
    })
}
