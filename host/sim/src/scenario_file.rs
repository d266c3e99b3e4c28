//! A scenario as a file: what stands in `examples/scenarios/*.toml`. Every field is documented in `examples/scenarios/README.md`.

mod build;
mod event;
mod load;
mod tables;

pub use build::Simulation;
pub use event::{DrainEvent, Event, NodeLoss};
pub use load::LoadTable;
pub use tables::{MovesTable, NodesTable, QueueTable, ShardsTable};

use crate::scenario::ScenarioError;
use crate::trace::TraceError;
use serde::Deserialize;

/// Names closer than this (Jaro and Winkler 1990, 1: equal) are taken for a slip of the pen.
const ALIKE: f64 = 0.75;

/// A file that is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioFileError {
    /// No TOML, or no field of that name.
    #[error("{0}")]
    Unreadable(String),
    /// A figure out of its range; the text names it.
    #[error("{0}")]
    BadFigure(String),
    /// The parts make no scenario.
    #[error(transparent)]
    Impossible(#[from] ScenarioError),
    /// A trace that it names can't be had.
    #[error("trace {name}: {problem}")]
    Trace {
        /// Its name in the file.
        name: String,
        /// Why not.
        problem: TraceError,
    },
}

/// The file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScenarioFile {
    /// What it shows, for people.
    pub about: String,
    /// Seeds start placements and all that generators leave to chance.
    pub seed: u64,
    /// Days that forecasters know before the judged time begins.
    pub history_days: f64,
    /// Days that are judged.
    pub days: f64,
    /// Steps of five minutes that are forecast.
    pub horizon_steps: u32,
    /// The nodes.
    pub nodes: NodesTable,
    /// The shards.
    pub shards: ShardsTable,
    /// The moves.
    pub moves: MovesTable,
    /// How requests wait.
    pub queue: QueueTable,
    /// Groups of tenants; at least one.
    pub load: Vec<LoadTable>,
    /// What befalls nodes.
    pub event: Vec<Event>,
}

impl Default for ScenarioFile {
    fn default() -> Self {
        Self {
            about: String::new(),
            seed: 1,
            history_days: 14.0,
            days: 1.0,
            horizon_steps: 288,
            nodes: NodesTable::default(),
            shards: ShardsTable::default(),
            moves: MovesTable::default(),
            queue: QueueTable::default(),
            load: Vec::new(),
            event: Vec::new(),
        }
    }
}

impl ScenarioFile {
    /// Reads a file's text. A field that is unknown is refused with the nearest that is known.
    pub fn parse(text: &str) -> Result<Self, ScenarioFileError> {
        let explained = |error: toml::de::Error| {
            let nearest = nearest(error.message()).map_or_else(String::new, |name| format!("did you mean `{name}`?\n"));
            ScenarioFileError::Unreadable(format!("{error}{nearest}"))
        };
        let file: Self = toml::from_str(text).map_err(explained)?;
        file.check()?;
        Ok(file)
    }
}

/// The known name nearest to the unknown one, of serde's words: unknown field `x`, expected one of `a`, `b`.
fn nearest(message: &str) -> Option<&str> {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next().filter(|_| message.starts_with("unknown "))?;
    let likeness = |name: &&str| strsim::jaro_winkler(unknown, name);
    names.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|name| likeness(name) >= ALIKE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        ScenarioFile::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        for (text, line, nearest) in [
            ("seeed = 1", 1, "`seed`"),
            ("seed = 1\n[nodes]\nhedroom = 2", 3, "`headroom`"),
            ("[[load]]\ntenant = 3", 2, "`tenants`"),
            ("[[load]]\ntenants = 3\nshapes = [{ kind = \"diurnal\", amplitud = 1 }]", 3, "`amplitude`"),
            ("[[load]]\ntenants = 3\nshapes = [{ kind = \"flashcrowd\" }]", 3, "`flash-crowd`"),
            ("[[event]]\nkind = \"nodeloss\"", 2, "`node-loss`"),
            ("[move]\nbandwidth = 2", 1, "`moves`"),
        ] {
            let message = refused(text);
            assert!(message.contains(&format!("did you mean {nearest}?")), "{message}");
            assert!(message.contains(&format!("line {line}")), "{message}");
        }
        assert!(!refused("zzz = 1").contains("did you mean"));
    }

    #[test]
    fn figures_out_of_range_are_named() {
        for (text, named) in [
            ("", "[[load]]"),
            ("days = 0", "`days`"),
            ("horizon_steps = 0\n[[load]]\ntenants = 1", "`horizon_steps`"),
            ("[nodes]\ncount = 0\n[[load]]\ntenants = 1", "`nodes.count`"),
            ("[nodes]\nsizes = [1.0]\n[[load]]\ntenants = 1", "`nodes.sizes`"),
            ("[shards]\nreplication_factor = 9\n[[load]]\ntenants = 1", "replication_factor"),
            ("[[load]]\ntenants = 0", "`tenants`"),
            ("[[load]]\ntenants = 1\nshapes = [{ kind = \"weekly\", weekend = -1 }]", "`weekend`"),
            ("[[load]]\ntenants = 1\ntrace = \"worldwide\"", "`trace`"),
            ("[[load]]\ntenants = 1\n[[event]]\nkind = \"node-loss\"\nnode = 7", "`node`"),
            ("[[load]]\ntenants = 1\n[[event]]\nkind = \"drain\"\nat_hours = 24", "`at_hours`"),
            ("[moves]\nbandwidth_mib_per_s = 0\n[[load]]\ntenants = 1", "`moves.bandwidth_mib_per_s`"),
        ] {
            let message = refused(text);
            assert!(message.contains(named), "{text}: {message}");
        }
    }

    #[test]
    fn what_is_no_toml_says_where() {
        let message = refused("seed = 1\n[nodes\n");
        assert!(message.contains("line 2"), "{message}");
    }
}
