//! How a brain is set.

use isobar_analyzer::{BurstSpec, GuardSpec};
use isobar_model::PlacementLimits;
use isobar_planner::{CheckSettings, GainSpec};

/// What a brain keeps of each evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Nothing: simulations at scale.
    Nothing,
    /// Digests of inputs and outputs.
    Digests,
    /// Digests, and the bytes: enough to replay.
    Blobs,
}

/// How long a move of data takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MovePace {
    /// Always so many steps.
    Steps(f32),
    /// By the size of the replica.
    Bytes {
        /// Bytes copied in one second of the control clock.
        bytes_per_s: u64,
        /// Steps that stages other than the copy take.
        overhead_steps: f32,
    },
}

impl MovePace {
    /// Steps that moving a replica of `bytes` takes.
    #[must_use]
    pub fn steps(self, bytes: u64, step_ms: u32) -> f32 {
        match self {
            Self::Steps(steps) => steps,
            Self::Bytes { bytes_per_s, overhead_steps } => {
                let seconds = bytes as f64 / bytes_per_s.max(1) as f64;
                overhead_steps + (seconds * 1000.0 / f64::from(step_ms.max(1))) as f32
            }
        }
    }
}

/// The settings of a brain.
#[derive(Clone, Debug, PartialEq)]
pub struct BrainConfig {
    /// Length of a step on the control clock.
    pub step_ms: u32,
    /// Steps of history kept of each shard.
    pub keep_steps: usize,
    /// Steps forecast.
    pub horizon_steps: u32,
    /// Quantiles forecast, ascending, with one half among them.
    pub quantiles: Vec<f32>,
    /// The first so many steps whose maximum is forecast, too.
    pub peak_steps: u32,
    /// Rules that policies see.
    pub limits: PlacementLimits,
    /// Rules' figures that policies do not see.
    pub check: CheckSettings,
    /// Seeds every policy's chance.
    pub seed: u64,
    /// How long a move of data takes.
    pub move_pace: MovePace,
    /// Load units times seconds that copying a MiB costs either end.
    pub copy_cost_per_mib: f32,
    /// Whether placers are shown joint scenarios of the hottest shards.
    pub scenarios: bool,
    /// Load of a follower per unit of leader load, before any was measured.
    pub follower_share: f32,
    /// A policy's state is saved each time it has served so many steps: what a trap can cost at most to observe again.
    pub save_every_steps: u32,
    /// Horizons at which forecasts are scored, in steps ahead.
    pub score_horizons: Vec<u32>,
    /// When the bound forecaster yields to the native one, shard by shard and horizon by horizon; none: never.
    pub guard: Option<GuardSpec>,
    /// When a load that no forecast foresaw is a burst; none: nobody looks for bursts.
    pub bursts: Option<BurstSpec>,
    /// Fuel that the bound forecaster may use for one tick's forecasts. Where all shards take more, the hottest get it and the native
    /// forecaster answers for the others. Fuel, not time, so that the same tick forecasts the same shards wherever it is replayed.
    pub forecast_fuel: u64,
    /// How it is found out whether moves by forecast pay, keyspace by keyspace; none: nobody asks, and policies move whether they pay or not.
    pub gains: Option<GainSpec>,
    /// What is kept of each evaluation.
    pub recording: Recording,
}

/// Load units times seconds that copying a MiB costs either end, by default: what scenario files take for it unless told otherwise. A node of
/// 10 000 load units per second that copies 50 MiB/s gives a twentieth of itself to it.
const COPY_COST_PER_MIB: f32 = 10.0;
/// Quantiles forecast by default.
const QUANTILES: [f32; 6] = [0.05, 0.25, 0.5, 0.75, 0.9, 0.97];

impl Default for BrainConfig {
    /// Steps of five minutes, 28 days of them; an hour between two moves of one shard. The forecast reaches a day ahead, so that placement can
    /// tell a wave from a tide; its quantiles as far into the upper tail, where overload happens, as weeks of errors can teach. Forecasts may use
    /// 12 G of fuel: in the first-party policies 1 to 2 s of one core, in an interpreter some 5, once a step.
    fn default() -> Self {
        Self {
            step_ms: 300_000,
            keep_steps: 28 * 288,
            horizon_steps: 288,
            quantiles: QUANTILES.to_vec(),
            peak_steps: 12,
            limits: PlacementLimits {
                moves_per_node: 2,
                moves_per_round: 8,
                cool_down_ms: 3_600_000,
                max_utilisation: 0.9,
                leader_steps: 0.0,
            },
            check: CheckSettings::default(),
            seed: 0,
            move_pace: MovePace::Steps(6.0),
            copy_cost_per_mib: COPY_COST_PER_MIB,
            scenarios: true,
            // Reads 80 %, writes 20 %, default weights: 0.2 of 1.2.
            follower_share: 1.0 / 6.0,
            save_every_steps: 12,
            score_horizons: vec![1, 6, 12, 24],
            guard: Some(GuardSpec::daily(QUANTILES.to_vec(), 288, 288)),
            bursts: Some(BurstSpec::default()),
            forecast_fuel: 12_000_000_000,
            gains: None,
            recording: Recording::Blobs,
        }
    }
}
