use super::ScenarioFileError;
use super::tables::within;
use serde::Deserialize;

/// What befalls a node.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// It goes away.
    NodeLoss(NodeLoss),
    /// Its operator has it emptied.
    Drain(DrainEvent),
}

/// A node goes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeLoss {
    /// Its number, from 1; none: the one that carries most of its capacity then, in the start placement.
    pub node: Option<usize>,
    /// When, hours after the judged time began; none: in the step of the judged time that has most load in all.
    pub at_hours: Option<f64>,
    /// It is back after so many hours; none: never.
    pub for_hours: Option<f64>,
}

/// An operator has a node emptied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainEvent {
    /// Its number, from 1; none: the one that carries most, as above.
    pub node: Option<usize>,
    /// When, hours after the judged time began.
    pub at_hours: f64,
}

impl Event {
    pub(super) fn check(&self, nodes: usize, days: f64) -> Result<(), ScenarioFileError> {
        let (node, at_hours, for_hours) = match self {
            Self::NodeLoss(loss) => (loss.node, loss.at_hours.unwrap_or(0.0), loss.for_hours.unwrap_or(1.0)),
            Self::Drain(drain) => (drain.node, drain.at_hours, 1.0),
        };
        within("node", node.unwrap_or(1) as f64, 1.0, nodes as f64)?;
        // The last step is the last in which something can begin.
        within("at_hours", at_hours, 0.0, days * 24.0 - 1.0 / 12.0)?;
        within("for_hours", for_hours, 1.0 / 12.0, 1e6)
    }
}
