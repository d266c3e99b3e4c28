//! How fast a group notices a lost leader, and how it keeps its log short.

use openraft::{Config, SnapshotPolicy};
use std::io;
use std::sync::Arc;

/// Raft's beat, in milliseconds of wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTiming {
    /// A leader that is idle says so this often.
    pub heartbeat_ms: u64,
    /// Shortest silence after which a follower stands for election.
    pub election_min_ms: u64,
    /// Longest such silence.
    pub election_max_ms: u64,
}

impl RaftTiming {
    /// For shards: a node has hundreds, and an idle one should cost next to nothing.
    pub const SHARD: Self = Self { heartbeat_ms: 500, election_min_ms: 1500, election_max_ms: 3000 };
    /// For the one control group: the control loop should miss no tick.
    pub const CONTROL: Self = Self { heartbeat_ms: 250, election_min_ms: 1000, election_max_ms: 2000 };
}

/// Entries after which a log is cut: re-applying them takes a fraction of a second.
const ENTRIES_PER_SNAPSHOT: u64 = 4000;
/// Entries kept past a cut, for followers that are a little behind: they would otherwise need a whole snapshot.
const ENTRIES_KEPT: u64 = 1000;

/// The openraft configuration of a group.
pub(crate) fn raft_config(name: String, timing: RaftTiming) -> io::Result<Arc<Config>> {
    let config = Config {
        cluster_name: name,
        heartbeat_interval: timing.heartbeat_ms,
        election_timeout_min: timing.election_min_ms,
        election_timeout_max: timing.election_max_ms,
        // Under writes, answers to appends prove liveness as well.
        heartbeat_min_interval: Some(timing.heartbeat_ms / 2),
        // A replica that comes back from a partition must not depose a healthy leader.
        enable_pre_vote: Some(true),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_PER_SNAPSHOT),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        replication_lag_threshold: ENTRIES_PER_SNAPSHOT + ENTRIES_KEPT,
        // Queues of one group; there are hundreds of groups, and a full queue only makes a caller wait.
        api_channel_size: Some(4096),
        notification_channel_size: Some(4096),
        state_machine_channel_size: Some(256),
        // Not ours: `full_snapshot` has deadlines of its own, chunk by chunk.
        install_snapshot_timeout: 24 * 3600 * 1000,
        ..Config::default()
    };
    let config = config.validate().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    Ok(Arc::new(config))
}
