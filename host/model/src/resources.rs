//! What nodes have only so much of beside load: what operators declare, what is measured.

use crate::load::Metric;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What a node can give of each metric beside load, by its operator's word. Those that are missing: no limit.
pub type Capacities = BTreeMap<Metric, f32>;

/// One metric of one node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeResource {
    /// What it can give; 0: not declared.
    pub capacity: f32,
    /// What it uses without the load of its shards; NaN: not known.
    pub idle: f32,
}

/// One metric of one shard's replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicaUse {
    /// What its leader uses.
    pub leader: f32,
    /// What each follower uses.
    pub follower: f32,
}

/// A capacity as operators write it: `cpu-millicores=8000`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeclaredCapacity {
    /// Of what; never load.
    pub metric: Metric,
    /// How much, in the metric's unit; above 0.
    pub amount: f32,
}

/// A text that declares no capacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCapacity(String);

impl fmt::Display for BadCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = beside_load().map(Metric::name).collect();
        write!(
            f,
            "{:?} declares no capacity: write METRIC=AMOUNT, the amount above 0, the metric one of {}",
            self.0,
            names.join(", ")
        )
    }
}

impl std::error::Error for BadCapacity {}

impl FromStr for DeclaredCapacity {
    type Err = BadCapacity;

    fn from_str(text: &str) -> Result<Self, BadCapacity> {
        let read = || {
            let (name, amount) = text.split_once('=')?;
            let metric = beside_load().find(|metric| metric.name() == name)?;
            let amount = amount.parse().ok().filter(|amount: &f32| is_capacity(*amount))?;
            Some(Self { metric, amount })
        };
        read().ok_or_else(|| BadCapacity(text.chars().take(64).collect()))
    }
}

/// Refuses what is no capacity of a node, in words.
///
/// # Errors
/// Where load is among them, or an amount is not a finite number above 0.
pub fn check_capacities(capacities: &Capacities) -> Result<(), String> {
    if capacities.contains_key(&Metric::Load) {
        return Err("a capacity for load is not declared among the resources: it is the node's capacity".to_owned());
    }
    match capacities.iter().find(|(_, amount)| !is_capacity(**amount)) {
        Some((metric, amount)) => Err(format!("a capacity of {amount} {}: it must be above 0", metric.name())),
        None => Ok(()),
    }
}

fn beside_load() -> impl Iterator<Item = Metric> {
    Metric::ALL.into_iter().filter(|metric| *metric != Metric::Load)
}

fn is_capacity(amount: f32) -> bool {
    amount.is_finite() && amount > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_read_and_nonsense_is_told_what_to_write() {
        let read = |text: &str| text.parse::<DeclaredCapacity>();
        let declared = DeclaredCapacity { metric: Metric::CpuMillicores, amount: 8_000.0 };
        assert_eq!(read("cpu-millicores=8000"), Ok(declared));
        for bad in ["cpu-millicores", "load=7", "cpus=8", "cpu-millicores=0", "cpu-millicores=inf", "read-ops=NaN", ""]
        {
            let told = read(bad).unwrap_err().to_string();
            assert!(told.contains("METRIC=AMOUNT") && told.contains("network-bytes"), "{bad}: {told}");
        }
    }

    #[test]
    fn load_and_amounts_that_are_none_are_refused() {
        assert_eq!(check_capacities(&[(Metric::ReadOps, 1.0)].into()), Ok(()));
        assert!(check_capacities(&[(Metric::Load, 1.0)].into()).is_err());
        assert!(check_capacities(&[(Metric::ReadOps, f32::NAN)].into()).is_err());
    }
}
