//! Meta's Rebalancer on the same clusters, by a script of its own (`tests/bench/rebalancer.py`).

use crate::problem::Problem;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the peer came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Solved {
    pub(crate) cpu_s: f64,
    pub(crate) max_mean: f64,
    pub(crate) moved_pct: f64,
}

/// The peer, where it could be installed.
pub(crate) struct Peer {
    python: PathBuf,
    script: PathBuf,
    folder: tempfile::TempDir,
}

impl Peer {
    /// `python` none, or not there: no peer.
    pub(crate) fn new(python: Option<PathBuf>) -> anyhow::Result<Option<Self>> {
        let Some(python) = python.filter(|python| python.exists()) else { return Ok(None) };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/rebalancer.py");
        let folder = tempfile::tempdir().context("no folder for the peer's problem can be made")?;
        Ok(Some(Self { python, script, folder }))
    }

    /// Solves a cluster, within `limit_s` of its own time. None: it failed, and has said why.
    pub(crate) fn solve(&self, problem: &Problem, limit_s: u32) -> anyhow::Result<Option<Solved>> {
        let path = self.folder.path().join("problem.json");
        std::fs::write(&path, serde_json::to_vec(&problem.to_json())?)?;
        // -P: the script has its module's name, and must not be found in its stead.
        let mut command = Command::new(&self.python);
        let ran = command.arg("-P").arg(&self.script).arg(&path).arg(limit_s.to_string()).output();
        let ran = ran.with_context(|| format!("{} can't be run", self.python.display()))?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            eprintln!("the peer failed: {}", said.lines().last().unwrap_or("without a word"));
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&ran.stdout);
        let line = said.lines().last().context("the peer said nothing")?;
        let answer: serde_json::Value = serde_json::from_str(line).context("the peer's answer is not JSON")?;
        let figure = |name: &str| answer[name].as_f64().with_context(|| format!("the peer gives no {name}"));
        Ok(Some(Solved { cpu_s: figure("cpu_s")?, max_mean: figure("max_mean")?, moved_pct: figure("moved_pct")? }))
    }
}
